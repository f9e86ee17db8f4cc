"use strict";
// The page works without this file; it adds sorting, filters, and the detail of a row.
// Text from the results becomes text nodes only, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const body = document.querySelector("#table tbody");
  if (!body) return; // too many rows to list
  const rows = Array.from(body.rows);
  const form = document.getElementById("filters");
  const dialog = document.getElementById("detail");
  // Cells on their own would run together; the problem stands among the facts.
  const texts = rows.map((row, i) => [...Array.from(row.cells, (cell) => cell.textContent),
    data.rows[i].facts[data.facts.indexOf("spec")]].join(" ").toLowerCase());

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function draw(name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  // Sorting: numbers by value, words by the alphabet, what is missing last either way.
  const collator = new Intl.Collator("en", { numeric: true });
  function sortBy(column, direction) {
    const key = (row) => data.rows[row.dataset.row].cells[column];
    const order = Array.from(body.rows).sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return direction * (typeof x === "number" ? x - y : collator.compare(x, y));
    });
    body.append(...order);
    filter();
  }
  const headings = Array.from(document.querySelectorAll("#table thead th"));
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, ...heading.childNodes);
    heading.replaceChildren(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortBy(column, up ? 1 : -1);
    });
  });

  // A browser lays out some hundred rows at once; a button, and a printer, shows the rest.
  const STEP = 500;
  let most = STEP;
  const more = make("button", { type: "button", hidden: "" });
  document.querySelector("#rows .scroll").after(more);
  more.addEventListener("click", () => { most += STEP; filter(); });

  // Filters: every word must stand in the row; a list must be met.
  const count = document.getElementById("count");
  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = Array.from(form.querySelectorAll("select")).map((list) => [list.name, list.value]);
    let shown = 0;
    for (const row of body.rows) {
      const i = Number(row.dataset.row);
      const own = data.rows[i].filters;
      const match = words.every((word) => texts[i].includes(word)) &&
        wanted.every(([name, value]) => value === "" || own[name] === value);
      row.hidden = !match;
      shown += match;
      row.classList.toggle("later", match && shown > most);
    }
    count.textContent = `${shown} of ${rows.length} rows`;
    more.hidden = shown <= most;
    more.textContent = `Show ${Math.min(STEP, shown - most)} more of ${shown - most}`;
  }
  form.hidden = false;
  document.querySelectorAll(".script-only").forEach((element) => { element.hidden = false; });
  form.addEventListener("input", () => { most = STEP; filter(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // Rows open with a click or Enter; the arrows go from row to row.
  rows.forEach((row) => { row.tabIndex = 0; });
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) open(Number(row.dataset.row));
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      open(Number(row.dataset.row));
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
      let next = row[step];
      while (next && (next.hidden || next.classList.contains("later"))) next = next[step];
      if (next) next.focus();
    }
  });
  document.querySelectorAll(".chart").forEach((chart) => chart.addEventListener("click", (event) => {
    const mark = event.target.closest("[data-row]");
    if (mark) open(Number(mark.dataset.row));
  }));

  function time(value) {
    for (const [scale, unit] of [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]]) {
      if (value >= scale || unit === "ns") return `${(value / scale).toPrecision(3)} ${unit}`;
    }
    return "";
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea", {});
      area.value = text;
      button.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
  function addCopy(block) {
    const button = make("button", { type: "button", class: "copy", "aria-label": "Copy the command" }, "Copy");
    button.addEventListener("click", () => copy(block.querySelector("pre").textContent, button));
    block.append(button);
  }
  document.querySelectorAll(".command").forEach(addCopy);

  function command(title, text) {
    const block = make("div", { class: "command" }, make("pre", {}, text));
    addCopy(block);
    return [make("h3", {}, title), block];
  }

  // Samples are whole thousandths of the median of their row.
  function samples(row) {
    return row.samples.map((one) => one * 1e-3 * row.median_s);
  }
  function distribution(row) {
    const lanes = [[row, samples(row), "s1"]];
    const base = row.baseline === null ? null : data.rows[row.baseline];
    if (base && base !== row) lanes.push([base, samples(base), "s0"]);
    const all = lanes.flatMap(([, values]) => values).sort((a, b) => a - b);
    const low = all[0], high = all[Math.min(all.length - 1, Math.floor(0.99 * all.length))];
    const [from, to] = [low - 0.03 * (high - low || low), high + 0.03 * (high - low || low)];
    const [left, width] = [8, 744];
    const place = (value) => left + width * (Math.min(Math.max(value, from), to) - from) / (to - from);
    const tall = 96;
    const svg = draw("svg", { viewBox: `0 0 760 ${lanes.length * tall + 34}`, role: "img",
      "aria-label": "Distribution of the samples" });
    lanes.forEach(([own, values, ink], lane) => {
      const floor = (lane + 1) * tall - 6;
      const bins = new Array(60).fill(0);
      for (const value of values) bins[Math.min(59, Math.floor(60 * (place(value) - left) / width))] += 1;
      const most = Math.max(...bins);
      bins.forEach((number, bin) => {
        const height = 56 * number / most;
        if (number) svg.append(draw("rect", { x: left + bin * width / 60, y: floor - height, width: width / 60 - 1,
          height, class: `m ${ink}` }));
      });
      const x = place(own.median_s);
      svg.append(draw("path", { d: `M${x} ${floor - 62}V${floor + 3}`, class: "l ink", "stroke-width": 2 }));
      svg.append(draw("text", { x: left, y: floor - 70, "font-size": 13, class: "t ink" },
        `${own.backend}: ${own.count} samples, median ${time(own.median_s)}`));
      svg.append(draw("path", { d: `M${left} ${floor}h${width}`, class: "l quiet", "stroke-width": 1 }));
    });
    const bottom = lanes.length * tall;
    for (const [value, anchor] of [[from, "start"], [(from + to) / 2, "middle"], [to, "end"]]) {
      svg.append(draw("text", { x: place(value), y: bottom + 14, "font-size": 12, class: "t quiet",
        "text-anchor": anchor }, time(value)));
    }
    const beyond = all.filter((value) => value > to).length;
    const words = `${beyond ? `The last bar includes ${beyond} samples beyond the end. ` : ""}`;
    svg.append(draw("text", { x: left, y: bottom + 30, "font-size": 11, class: "t quiet" },
      `${words}Samples have three digits${row.drawn < row.count ? `; ${row.drawn} of ${row.count} are drawn` : ""}.`));
    return svg;
  }

  function facts(pairs) {
    const list = make("dl", {});
    for (const [name, value] of pairs) {
      if (value !== "" && value !== null) list.append(make("dt", {}, name), make("dd", {}, String(value)));
    }
    return list;
  }

  let opener = null;
  function open(number) {
    const row = data.rows[number];
    const close = make("button", { type: "button", class: "close" }, "Close");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(close, make("h2", { id: "detail-title" }, `${row.backend} on ${row.name}`),
      make("p", { class: row.status }, `${row.status}${row.reason ? `: ${row.reason}` : ""}`));
    if (row.samples.length) dialog.append(make("h3", {}, "Samples"), distribution(row));
    const made = data.contexts[row.context].command; // none in anonymous rows
    dialog.append(...command("Reproduce it", row.again), ...(made ? command("The command that made this row", made) : []));
    dialog.append(make("h3", {}, "Facts"),
      facts([...row.facts.map((value, i) => [data.facts[i], value]), ...Object.entries(data.contexts[row.context])]));
    opener = document.activeElement;
    dialog.showModal();
    dialog.scrollTop = 0;
    close.focus();
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { if (opener && opener.isConnected) opener.focus(); });
})();
