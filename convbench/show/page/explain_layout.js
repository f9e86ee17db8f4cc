"use strict";
// Where does each grid stand in each step? Pure geometry, in pixels: a grid has tiles (channels or filters) of cells.
convbench.layout = (() => {
  const GAP = 0.6; // between tiles, in cells
  const span = (count, tiles) => count * tiles + GAP * (tiles - 1);
  const wide = (grid) => span(grid.cols, grid.across);
  const high = (grid) => span(grid.rows, grid.down);
  const clamp = (value, least, most) => Math.max(least, Math.min(most, value));

  function shapes({ spec, channels, filters, taps }) {
    const [a, b] = [channels.length, filters.length];
    const one = { tiles: 1, across: 1, down: 1 };
    return {
      x: { rows: spec.hp, cols: spec.wp, tiles: a, across: a, down: 1 },
      w: { rows: spec.r, cols: spec.s, tiles: a * b, across: a, down: b },
      patches: { rows: taps, cols: spec.l, ...one },
      wFlat: { rows: b, cols: taps, ...one },
      yFlat: { rows: b, cols: spec.l, ...one },
      y: { rows: spec.p, cols: spec.q, tiles: b, across: b, down: 1 },
    };
  }
  // A grid with its tiles in one row, in one column, or between.
  const folds = (grid) => Array.from({ length: grid.tiles }, (_, i) => ({ ...grid, across: i + 1,
    down: Math.ceil(grid.tiles / (i + 1)) }));
  const put = (grid, x, y, cw, ch = cw, more = {}) => ({ ...grid, x, y, cw, ch, alpha: 1, shown: grid.cols, ...more });
  const away = (grid, x, y, size, shown) => put(grid, x, y, size, size, { alpha: 0, shown: Math.min(grid.cols, shown ??
    grid.cols) });

  // What there is room for: inner width and height, margins, the height of a caption, the size of a roomy cell.
  // Below the boxes step 3 counts and colours are explained; steps 4 to 6 have nothing there.
  function areaOf({ width, height, em }, step, colours) {
    const tall = height > width * 0.76;
    const side = em * (tall ? 1 : 2.4);
    const top = em * (tall ? 0.6 : 1.2);
    const W = width - 2 * side;
    const H = height - top - em * ((step >= 4 && step <= 6) || (tall && !colours) ? 0.4 : 1.7);
    return { width, height, em, tall, side, top, W, H, cap: em * 1.7, unit: Math.max(em, Math.min(W / 50,
      height / 27)) };
  }

  // Steps 1 to 3: x * w = y in one row.
  function inRow({ x, w, y }, area) {
    const { W, H, side, top, cap, em, unit } = area;
    const sign = unit * 2.4;
    const crowded = Math.max(wide(x), wide(y)) > 12; // then w has cells of its own size
    const room = crowded ? Math.min(W * 0.2, wide(w) * unit * 2.7) : 0;
    const across = wide(x) + wide(y) + (crowded ? 0 : wide(w));
    const down = Math.max(high(x), high(y), crowded ? 0 : high(w));
    const cell = Math.min(unit * 5, (W - room - 2 * sign) / across, (H - cap) / down);
    const own = crowded ? Math.min(em * 4.6, room / wide(w), (H - cap) / high(w)) : cell;
    const total = (wide(x) + wide(y)) * cell + wide(w) * own + 2 * sign;
    const middle = top + cap + (H - cap) / 2;
    let left = side + (W - total) / 2;
    const next = (grid, size) => {
      const found = put(grid, left, middle - high(grid) * size / 2, size);
      left += wide(grid) * size + sign;
      return found;
    };
    const boxes = { x: next(x, cell), w: next(w, own), y: next(y, cell) };
    return { cell, boxes, signs: [["∗", boxes.w.x - sign / 2, middle], ["=", boxes.y.x - sign / 2, middle]] };
  }
  // The same on a tall screen: y below.
  function stacked({ x, w, y }, area) {
    const { W, H, side, top, cap, em, unit } = area;
    const sign = unit * 2.4;
    const crowded = Math.max(wide(x), wide(y)) > 12;
    const room = crowded ? Math.min(W * 0.3, wide(w) * unit * 2.7) : 0;
    const gap = em * 1.7; // step 3 counts there
    const rows = Math.max(high(x), crowded ? 0 : high(w)) + high(y);
    const cell = Math.min(em * 4, (W - sign - room) / (wide(x) + (crowded ? 0 : wide(w))), (W - sign) / wide(y),
      (H - 2 * cap - gap) / rows);
    const own = crowded ? Math.min(em * 3, room / wide(w), H * 0.4 / high(w)) : cell;
    const upper = Math.max(high(x) * cell, high(w) * own);
    const y0 = top + cap + Math.max(0, (H - 2 * cap - gap - upper - high(y) * cell) / 2);
    const x0 = side + (W - wide(x) * cell - sign - wide(w) * own) / 2;
    const wBox = put(w, x0 + wide(x) * cell + sign, y0 + (upper - high(w) * own) / 2, own);
    const yBox = put(y, Math.max(x0 + sign, side + (W - wide(y) * cell) / 2), y0 + upper + cap + gap, cell);
    return { cell, boxes: { x: put(x, x0, y0, cell), w: wBox, y: yBox },
      signs: [["∗", wBox.x - sign / 2, y0 + upper / 2], ["=", yBox.x - sign / 2, yBox.y + high(y) * cell / 2]] };
  }
  function product(grids, area) {
    const way = area.tall ? stacked : inRow;
    let best = null;
    for (const x of folds(grids.x)) for (const y of folds(grids.y)) {
      const found = way({ x, w: grids.w, y }, area);
      if (!best || found.cell > best.cell * 1.02) best = found;
    }
    const { width, height, em } = area;
    return { ...best.boxes, patches: away(grids.patches, width + em, area.top + area.cap, em * 2, 9),
      wFlat: away(grids.wFlat, best.boxes.w.x, height + em, em * 2),
      yFlat: away(grids.yFlat, width + em, height, em * 2, 9), signs: best.signs };
  }

  // Steps 4 to 6: patches above y, w_flat on the left of y, so that row and column meet in the cell.
  function matrices(grids, area) {
    const { width, height, side, top, W, H, cap, em, unit } = area;
    const left = Math.min(W * 0.34, unit * 18);
    const right = W - left - unit * 3;
    const rowHigh = Math.min(unit * 3, H * 0.16 / grids.yFlat.rows);
    const least = grids.patches.cols <= 12 ? em * 1.6 : Math.min(em * 2.5, right / 8);
    const cw = clamp(right / grids.patches.cols, least, unit * 3.5);
    const shown = Math.min(grids.patches.cols, Math.floor(right / cw + 0.01));
    const beside = 3 * cap + em * 2.6 + rowHigh * grids.yFlat.rows;
    const ch = Math.min(unit * 3, (H - beside) / grids.patches.rows, cw * 1.1);
    const tall = ch * grids.patches.rows;
    const y0 = top + Math.max(0, (H - beside - tall) / 2) + 2 * cap;
    const x0 = side + left + unit * 3;
    const patches = put(grids.patches, x0, y0, cw, ch, { shown });
    const yFlat = put(grids.yFlat, x0, y0 + tall + em * 2.6 + cap, cw, rowHigh, { shown });
    const room = Math.min(H * 0.6, Math.max(tall + em * 1.2, H * 0.3));
    const sizeOf = (grid) => Math.min(unit * 3, left * 0.62 / wide(grid), room / high(grid));
    const x = folds(grids.x).reduce((best, one) => (sizeOf(one) > sizeOf(best) * 1.02 ? one : best));
    const xBox = put(x, side, y0, sizeOf(x));
    const wx = side + wide(x) * xBox.cw + em * 2;
    const wBox = put(grids.w, wx, y0, Math.min(unit * 3, (x0 - em - wx) / wide(grids.w), room / high(grids.w),
      Math.max(xBox.cw, em * 1.9)));
    const fc = Math.min(unit * 3, left / grids.wFlat.cols);
    return { x: xBox, w: wBox, patches, yFlat,
      wFlat: put(grids.wFlat, side + left - fc * grids.wFlat.cols, yFlat.y, fc, rowHigh),
      y: away(grids.y, width + em, height * 0.6, em * 2), signs: [] };
  }
  // The same on a tall screen: x, w and w_flat above, patches and y below.
  function matricesTall(grids, area) {
    const { width, height, side, top, W, H, cap, em } = area;
    const upper = H * 0.36;
    const sizeOf = (grid) => Math.min(em * 2.6, W * 0.46 / wide(grid), (upper - cap) / high(grid));
    const x = folds(grids.x).reduce((best, one) => (sizeOf(one) > sizeOf(best) * 1.02 ? one : best));
    const wx = side + W * 0.54;
    const wSize = Math.min(em * 2.4, W * 0.44 / wide(grids.w), (upper - 2 * cap) * 0.55 / high(grids.w));
    const wBox = put(grids.w, wx, top + cap, wSize);
    const fc = Math.min(em * 2.4, W * 0.46 / grids.wFlat.cols);
    const fh = Math.min(em * 2, upper * 0.3 / grids.wFlat.rows);
    const fy = Math.max(top + upper - fh * grids.wFlat.rows, wBox.y + high(grids.w) * wSize + cap);
    const y0 = Math.max(top + upper, fy + fh * grids.wFlat.rows) + cap * 2.35;
    const rows = grids.yFlat.rows;
    const rowHigh = Math.min(em * 2, H * 0.12 / rows);
    const cw = clamp(W / grids.patches.cols, em * 2, em * 2.8);
    const shown = Math.min(grids.patches.cols, Math.floor(W / cw + 0.01));
    const gap = cap * (shown < grids.patches.cols ? 2 : 1.25); // above the caption of y is the picture of all columns
    const ch = Math.min(em * 2.2, (height - em * 0.6 - y0 - gap - rowHigh * rows) / grids.patches.rows);
    const px = side + (W - cw * shown) / 2;
    return { x: put(x, side, top + cap, sizeOf(x)), w: wBox, wFlat: put(grids.wFlat, wx, fy, fc, fh),
      patches: put(grids.patches, px, y0, cw, ch, { shown }),
      yFlat: put(grids.yFlat, px, y0 + ch * grids.patches.rows + gap, cw, rowHigh, { shown }),
      y: away(grids.y, width, height, em * 2), signs: [] };
  }

  // Step 7: the row above the image that it becomes.
  function reshaped(grids, area) {
    const { side, top, W, H, cap, em, unit, tall, height } = area;
    const shown = Math.max(1, Math.min(grids.yFlat.cols, Math.floor(W / (em * 2.4))));
    const cw = Math.min(unit * 3.2, W / (shown + (tall ? 0 : 2)), H * 0.2 / grids.yFlat.rows);
    const head = cap + cw * grids.yFlat.rows + em * (tall ? 1.6 : 3) + cap;
    const sizeOf = (grid) => Math.min(unit * 6, W * 0.8 / wide(grid), (H - head) / high(grid));
    const y = folds(grids.y).reduce((best, one) => (sizeOf(one) > sizeOf(best) * 1.02 ? one : best));
    const cell = sizeOf(y);
    const y0 = top + Math.max(0, (H - head - high(y) * cell) / 2);
    const yFlat = put(grids.yFlat, side + (W - shown * cw) / 2, y0 + cap, cw, cw, { shown });
    return { yFlat, y: put(y, side + (W - wide(y) * cell) / 2, y0 + head, cell),
      x: away(grids.x, -em * 14, y0 + head, em), w: away(grids.w, -em * 6, height, em),
      patches: away(grids.patches, yFlat.x, -em * 12, em * 2, shown),
      wFlat: away(grids.wFlat, -em * 12, top + cap, em * 2), signs: [] };
  }

  // The boxes of a step: {x, w, patches, wFlat, yFlat, y, signs}.
  function boxesOf(slice, step, size) {
    const [area, grids] = [areaOf(size, step, slice.colours), shapes(slice)];
    if (step === 7) return reshaped(grids, area);
    if (step <= 3 || step === 8) {
      const found = product(grids, area);
      if (step === 8) for (const name of ["x", "w", "y"]) found[name].alpha = 0;
      return step === 8 ? { ...found, signs: [] } : found;
    }
    const found = (area.tall ? matricesTall : matrices)(grids, area);
    if (step === 4) [found.wFlat.alpha, found.yFlat.alpha] = [0, 0]; // nothing is half seen: it could not be read
    if (step === 5) found.yFlat.alpha = 0;
    return found;
  }

  // The rectangle of a cell; `shift` columns of a film strip are to the left of it.
  function place(box, tile, i, j, shift = 0) {
    const [a, b] = [tile % box.across, Math.floor(tile / box.across)];
    return { x: box.x + (a * (box.cols + GAP) + j - shift) * box.cw, y: box.y + (b * (box.rows + GAP) + i) * box.ch,
      w: box.cw, h: box.ch };
  }
  // The cell at a point, or null.
  function cellAt(box, px, py, shift = 0) {
    const [wTile, hTile] = [(box.cols + GAP) * box.cw, (box.rows + GAP) * box.ch];
    const [a, b] = [Math.floor((px - box.x) / wTile), Math.floor((py - box.y) / hTile)];
    if (a < 0 || b < 0 || a >= box.across || b >= box.down) return null;
    if (box.across === 1 && (px - box.x) / box.cw > box.shown) return null;
    const j = Math.floor((px - box.x - a * wTile) / box.cw + shift);
    const i = Math.floor((py - box.y - b * hTile) / box.ch);
    const tile = b * box.across + a;
    return i < 0 || j < 0 || i >= box.rows || j >= box.cols || tile >= box.tiles ? null : { tile, i, j };
  }
  // What a box takes on the screen.
  const outline = (box) => ({ x: box.x, y: box.y, w: (box.shown < box.cols ? box.shown : wide(box)) * box.cw,
    h: high(box) * box.ch });

  return { boxesOf, place, cellAt, outline, span };
})();
