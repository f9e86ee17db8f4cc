"use strict";
// How does a part of the page come about? Elements, words for numbers, and windows on long lines.
(() => {
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" :
        value);
    }
    element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }
  const text = (value) => (Object.is(value, -0) ? "0" : String(Number.isInteger(value) ? value :
    Number(value.toPrecision(7))))
    .replace("-", "−");
  // For a cell: at most two decimals.
  const short = (value) => (Number.isInteger(value) ? String(value === 0 ? 0 : value) :
    value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2)).replace("-", "−");
  const signed = (values) => values.map((value, i) => (i === 0 ? text(value) :
    `${value < 0 ? "−" : "+"} ${text(Math.abs(value))}`)).join(" ");
  const count = (value) => value.toLocaleString(convbench.words.locale);
  const bytes = (value) => (value < 10000 ? `${count(value)} B` :
    value < 1e7 ? `${(value / 1000).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`);
  const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
  const p = (...children) => make("p", {}, ...children);
  const quiet = (...children) => make("p", { class: "quiet" }, ...children);
  const formula = (...children) => make("p", { class: "formula" }, ...children);
  const role = (name, value) => make("span", { class: name }, { patch: `[${value}]`, kernel: `(${value})`,
    output: `<${value}>` }[name]);
  const button = (label, act, attributes = {}) => {
    const element = make("button", { type: "button", ...attributes }, label);
    element.addEventListener("click", act);
    return element;
  };
  const narrow = () => window.innerWidth < 700;
  function windowOf(from, to, first, last, most) {
    if (to - from <= most) return [from, to];
    let start = last - first + 1 >= most ? first : Math.round((first + last + 1 - most) / 2);
    start = Math.min(Math.max(start, from), to - most);
    return [start, start + most];
  }
  const range = ([from, to]) => Array.from({ length: to - from }, (_, i) => from + i);

  convbench.dom = { make, text, short, signed, count, bytes, plural, p, quiet, formula, role, button, narrow, windowOf,
    range };
})();
