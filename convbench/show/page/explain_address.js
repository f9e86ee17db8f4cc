"use strict";
// How does the state stand in the address after the #, and how does it come back, whatever is written there?
(() => {
  const NUMBER = /^-?\d+(\.\d+)?(e\d+)?$/;
  const soft = (value) => encodeURIComponent(value).replace(/%2C/g, ",").replace(/%3A/g, ":");

  // `start` has the type of each part and what need not be written.
  function write(state, start) {
    const parts = Object.keys(start).filter((name) => state[name] !== start[name])
      .map((name) => `${name}=${soft(state[name])}`);
    return parts.length ? `#${parts.join("&")}` : "";
  }
  function read(hash, start) {
    const found = { ...start };
    for (const [name, value] of new URLSearchParams(hash.slice(1))) {
      if (!Object.hasOwn(start, name)) continue;
      if (typeof start[name] !== "number") found[name] = value;
      else found[name] = value === "" ? 1 : NUMBER.test(value) ? Number(value) : NaN; // `#present` is `#present=1`
    }
    return found;
  }

  Object.assign(convbench, { address: { write, read } });
})();
