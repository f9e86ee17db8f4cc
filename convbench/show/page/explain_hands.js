"use strict";
// What does the pointer do on the stage? It shows links, goes to outputs, and changes pixels and weights in place.
convbench.makeHands = (page) => {
  const { state, self, change } = page;
  const { cellAt, place } = convbench.layout;
  const $ = (id) => document.getElementById(id);
  const canvas = $("canvas");
  const [edit, sign] = [$("edit"), $("sign")];
  const DRAG_PX = 5; // a pointer that moves less has clicked
  const PX_A_STEP = 6;
  const PEN_PX = 22; // smaller pixels are drawn on, larger ones typed
  const SIGN_PX = 48; // a keyboard of digits may lack the minus
  let drag = null;
  let chosen = null; // the cell that is being typed

  // What lies at a point: {grid, key, k, tile, i, j}, or null.
  function hit(px, py) {
    const boxes = page.boxes();
    if (!boxes) return null;
    for (const grid of ["x", "w", "y", "patches", "wFlat", "yFlat"]) {
      const box = boxes[grid];
      const strip = grid === "patches" || grid === "yFlat" ? page.strip() : 0;
      const cell = box.alpha < 0.3 ? null : cellAt(box, px, py, strip);
      if (cell) return { grid, ...cell, ...keyOf(grid, cell) };
    }
    return null;
  }
  function keyOf(grid, { tile, i, j }) {
    const { spec, channels, filters, tap0 } = page.slice();
    const many = channels.length;
    const first = channels[0] - page.slice().first;
    return {
      x: () => ({ key: `x:${channels[tile]},${i - spec.padding[0]},${j - spec.padding[1]}`, k: state.k }),
      w: () => ({ key: `w:${first + tile % many},${i},${j}`, k: filters[Math.floor(tile / many)] }),
      y: () => ({ key: `y:${i},${j}`, k: filters[tile] }),
      patches: () => ({ key: `m:${tap0 + i},${j}`, k: state.k }),
      wFlat: () => ({ key: `f:${tap0 + j}`, k: filters[i] }),
      yFlat: () => ({ key: `l:${j}`, k: filters[i] }),
    }[grid]();
  }

  // A pixel or a weight that can be changed: which operand and which index; null for anything else.
  function target(key, k = state.k) {
    const { spec } = self;
    const [kind, rest] = (key ?? "").split(":");
    const [c, row, column] = (rest ?? "").split(",").map(Number);
    if (kind === "w") return { name: "w", index: ((k * spec.cg + c) * spec.r + row) * spec.s + column, key, k };
    if (kind === "f") return { name: "w", index: k * spec.taps + c, key, k };
    const inside = kind === "x" && row >= 0 && column >= 0 && row < spec.h && column < spec.w;
    return inside ? { name: "x", index: ((state.n * spec.c + c) * spec.h + row) * spec.w + column, key, k } : null;
  }
  function write({ name, index }, value) {
    const edits = convbench.readEdits(state[name], self[name].length);
    edits.set(index, value);
    change({ [name]: convbench.writeEdits(edits) });
  }
  // Where the cell of a key stands on the stage now, or null.
  function rectOf(key, k) {
    const { spec, channels, filters, tap0, first } = page.slice();
    const boxes = page.boxes();
    const [kind, rest] = key.split(":");
    const [a, i, j] = rest.split(",").map(Number);
    const b = filters.indexOf(k);
    if (kind === "x" && channels.includes(a)) return place(boxes.x, channels.indexOf(a), i + spec.padding[0],
      j + spec.padding[1]);
    if (kind === "w" && b >= 0 && channels.includes(first + a)) return place(boxes.w, b * channels.length +
      channels.indexOf(first + a), i, j);
    return kind === "f" && b >= 0 && a >= tap0 ? place(boxes.wFlat, 0, b, a - tap0) : null;
  }

  // Typing.
  function select(key, k = state.k, from = canvas) {
    const cell = target(key, k);
    const rect = cell && rectOf(key, k);
    if (!rect) return false;
    page.play(false);
    chosen = { ...cell, from, before: state[cell.name] };
    page.point({ key, k, chosen: true });
    [edit.hidden, sign.hidden] = [false, !matchMedia("(pointer: coarse)").matches];
    edit.value = String(Number(self[cell.name][cell.index].toFixed(6)));
    const [w, h] = [Math.max(rect.w, 46), Math.max(rect.h, 30)];
    const box = canvas.getBoundingClientRect();
    const frame = $("stage").getBoundingClientRect();
    const left = Math.min(Math.max(0, rect.x + (rect.w - w) / 2), box.width - w);
    Object.assign(edit.style, { left: `${box.left - frame.left + left}px`, width: `${w}px`, height: `${h}px`,
      top: `${box.top - frame.top + rect.y + (rect.h - h) / 2}px`,
      fontSize: `${Math.max(16, Math.min(h * 0.42, 26))}px` });
    const beside = left + w + SIGN_PX < box.width ? left + w : left - SIGN_PX;
    Object.assign(sign.style, { left: `${box.left - frame.left + beside}px`, top: edit.style.top });
    edit.focus({ preventScroll: true });
    edit.select();
    return true;
  }
  function deselect(giveBack = false) {
    if (!chosen) return;
    const { from } = chosen;
    chosen = null;
    [edit.hidden, sign.hidden] = [true, true];
    page.complain("");
    page.point(null);
    if (giveBack) page.giveBack(from);
  }
  // The next pixel or weight along its row, then the next row.
  function next(by) {
    const { spec } = self;
    const { name, k } = chosen;
    const { from } = chosen;
    const index = chosen.index + by;
    const [rows, columns] = name === "x" ? [spec.h, spec.w] : [spec.r, spec.s];
    const each = rows * columns;
    const channel = Math.floor(index / each) % (name === "x" ? spec.c : spec.cg);
    const row = Math.floor(index / columns) % rows;
    const key = `${name}:${channel},${row},${index % columns}`;
    const same = Math.floor(index / each) === Math.floor(chosen.index / each);
    if (index >= 0 && (same || rectOf(key, k))) select(key, k, from);
  }
  edit.addEventListener("input", () => {
    const value = convbench.readNumber(edit.value);
    page.complain(value === null && edit.value.trim() ? convbench.words.complaints.number : "");
    if (value !== null) write(chosen, value);
  });
  edit.addEventListener("keydown", (event) => {
    event.stopPropagation();
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (event.key === "Escape") {
      change({ [chosen.name]: chosen.before });
      deselect(true);
    } else if (event.key === "Enter" || event.key === "Tab") {
      event.preventDefault();
      if (edit.value.trim() === "") change({ [chosen.name]: chosen.before });
      else if (convbench.readNumber(edit.value) === null) return; // the sentence stays, and so does the cell
      if (event.key === "Tab") next(event.shiftKey ? -1 : 1);
      else deselect(true);
    } else if (by) {
      event.preventDefault();
      const value = Number((self[chosen.name][chosen.index] + by).toFixed(6)); // what an address holds
      write(chosen, value);
      edit.value = String(value);
    }
  });
  edit.addEventListener("blur", () => setTimeout(() => {
    if (document.activeElement !== edit && document.activeElement !== sign) deselect();
  }));
  sign.addEventListener("click", () => {
    const value = -self[chosen.name][chosen.index] || 0;
    write(chosen, value);
    edit.value = String(value);
    edit.focus({ preventScroll: true });
  });

  // The pointer.
  const pointOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const isPen = (cell) => cell?.name === "x" && rectOf(cell.key, cell.k).w < PEN_PX;
  function paint(cell, erase) {
    const [low, high] = page.slice().rangeX;
    if (cell?.name === "x") write(cell, erase ? Math.min(0, low) : state.image ? 255 : high);
  }
  canvas.addEventListener("pointerdown", (event) => {
    const [px, py] = pointOf(event);
    const found = hit(px, py);
    const cell = found && target(found.key, found.k);
    if (event.isPrimary && event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
    drag = { px, py, found, cell, value: cell ? self[cell.name][cell.index] : 0, moved: false, pen: isPen(cell) };
    if (drag.pen) {
      page.play(false);
      paint(cell, event.shiftKey);
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const [px, py] = pointOf(event);
    const found = hit(px, py);
    if (drag?.pen) return paint(found && target(found.key, found.k), event.shiftKey);
    if (drag?.cell && Math.abs(py - drag.py) + Math.abs(px - drag.px) > DRAG_PX) {
      drag.moved = true;
      deselect();
      page.play(false);
      const step = Number.isInteger(drag.value) ? 1 : 0.05;
      return write(drag.cell, Math.round((drag.value + Math.round((drag.py - py) / PX_A_STEP) * step) * 1e4) / 1e4);
    }
    if (!chosen) page.point(found);
    const cell = found && target(found.key, found.k);
    canvas.style.cursor = !found ? "default" : cell ? (isPen(cell) ? "crosshair" : "ns-resize") : "pointer";
    return undefined;
  });
  canvas.addEventListener("pointerup", () => {
    const was = drag;
    drag = null;
    if (!was?.found || was.moved || was.pen) return;
    if (was.cell) select(was.cell.key, was.cell.k);
    else {
      change({ k: was.found.k });
      page.choose(was.found.key);
    }
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("pointerleave", () => {
    if (!drag && !chosen) page.point(null);
  });

  return { hit, select, deselect, target, chosen: () => chosen, rectOf };
};
