"use strict";
// Which x and w does a reader choose: counted, drawn by code, a picture of one's own, a kernel by name, each edited?
(() => {
  // Pictures as functions of a place in a square of `side`; 0 is black, 1 is white.
  const stroke = (x, y, [ax, ay, bx, by], width) => { // 1 on a line of that width, and soft beside it
    const [dx, dy] = [bx - ax, by - ay];
    const t = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
    return width + 0.5 - Math.hypot(x - ax - t * dx, y - ay - t * dy);
  };
  const PICTURES = {
    seven: { side: 28, at: (x, y) => Math.max(stroke(x, y, [7.5, 7, 20.5, 7], 1.4),
      stroke(x, y, [20.5, 7, 12, 22], 1.4), stroke(x, y, [10.5, 14.6, 19, 14.6], 0.7)) },
    rings: { side: 28, at: (x, y) => {
      const r = Math.hypot(x - 14, y - 14);
      return (0.5 + 0.5 * Math.cos(1.15 * r)) * Math.min(1, Math.max(0, 13.5 - r));
    } },
    house: { side: 16, at: (x, y) => {
      if (Math.hypot(x - 13, y - 3) < 1.7) return 1;
      if (y > 14) return 0.35;
      const wall = x > 3 && x < 12 && y > 8;
      if (wall && x > 6.5 && x < 8.5 && y > 10.5) return 0.1;
      if (wall && x > 9.2 && x < 11 && y > 9.6 && y < 11.4) return 0.95;
      if (wall) return 0.6;
      return y > 3.2 && y <= 8 && Math.abs(x - 7.5) < (y - 3.2) * 1.15 ? 0.85 : 0.06;
    } },
    face: { side: 16, at: (x, y) => {
      const r = Math.hypot(x - 8, y - 8);
      if (r > 7.2) return 0.03;
      if (Math.hypot(Math.abs(x - 8) - 2.5, y - 6) < 1) return 0.1;
      return y > 9 && Math.abs(Math.hypot(x - 8, y - 7.4) - 4.1) < 0.6 ? 0.1 : 0.9 - 0.04 * r;
    } },
  };
  // One pixel of a picture, 0 to 255; channel 1 is its mirror, channel 2 its negative, and so on.
  function drawn(name, c, i, j, h, w) {
    const { side, at } = PICTURES[name];
    const column = c % 3 === 1 ? w - 1 - j : j;
    const value = Math.round(255 * Math.max(0, Math.min(1, at((column + 0.5) * side / w, (i + 0.5) * side / h))));
    return c % 3 === 2 ? 255 - value : value;
  }

  // A picture of one's own is kept small, as bytes: grey, or red, green and blue.
  const MOST_OWN = 40;
  function ownPixel(own, c, i, j, h, w) {
    const plane = own.planes[c % own.planes.length];
    return plane[Math.floor((i + 0.5) * own.h / h) * own.w + Math.floor((j + 0.5) * own.w / w)];
  }
  const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"; // RFC 4648, 5
  function packBytes(bytes) {
    let words = "";
    for (let i = 0; i < bytes.length; i += 3) {
      const whole = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
      for (let k = 0; k < 4; k++) words += SIGNS[(whole >> (18 - 6 * k)) & 63];
    }
    return words;
  }
  const packOwn = ({ h, w, planes }) => `${h}x${w}x${planes.length}:` +
    packBytes(planes.flatMap((plane) => Array.from(plane)));
  // null where the text is none.
  function unpackOwn(given) {
    const [, h, w, many, words] = /^(\d{1,2})x(\d{1,2})x([13]):([\w-]+)$/.exec(given)?.map((one, i) => (i < 4 ?
      Number(one) : one)) ?? [];
    const size = h * w;
    if (!size || h > MOST_OWN || w > MOST_OWN || words.length !== Math.ceil(size * many / 3) * 4) return null;
    const bytes = [];
    for (let i = 0; i < words.length; i += 4) {
      const whole = [0, 1, 2, 3].reduce((sum, k) => sum * 64 + SIGNS.indexOf(words[i + k]), 0);
      bytes.push((whole >> 16) & 255, (whole >> 8) & 255, whole & 255);
    }
    return { h, w, planes: Array.from({ length: many }, (_, i) => Uint8Array.from(bytes.slice(i * size,
      (i + 1) * size))) };
  }

  const KERNELS = {
    identity: { rows: [[0, 0, 0], [0, 1, 0], [0, 0, 0]] },
    "sobel-x": { rows: [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]] },
    "sobel-y": { rows: [[-1, -2, -1], [0, 0, 0], [1, 2, 1]] },
    laplacian: { rows: [[0, 1, 0], [1, -4, 1], [0, 1, 0]] },
    blur: { rows: [[1, 2, 1], [2, 4, 2], [1, 2, 1]], over: 16 },
    sharpen: { rows: [[0, -1, 0], [-1, 5, -1], [0, -1, 0]] },
  };
  const turned = (rows) => rows[0].map((_, j) => rows.map((row) => row[j]).reverse());
  // The named kernel at any size, centred, cut or filled with zeros; each further filter is turned by 90 degrees.
  function weights(name, spec) {
    const { rows, over = 1 } = KERNELS[name];
    const w = new Float64Array(spec.k * spec.taps);
    let now = rows;
    for (let k = 0, i = 0; k < spec.k; k++, now = turned(now)) {
      for (let c = 0; c < spec.cg; c++) for (let r = 0; r < spec.r; r++) for (let s = 0; s < spec.s; s++) {
        const row = r + Math.floor((now.length - spec.r) / 2);
        const column = s + Math.floor((now.length - spec.s) / 2);
        w[i++] = (now[row]?.[column] ?? 0) / over;
      }
    }
    return w;
  }
  function pixels(image, own, spec) {
    const x = new Float64Array(spec.n * spec.c * spec.h * spec.w);
    const at = image === "own" ? (...place) => ownPixel(own, ...place) : (...place) => drawn(image, ...place);
    for (let n = 0, i = 0; n < spec.n; n++) for (let c = 0; c < spec.c; c++) {
      for (let row = 0; row < spec.h; row++) for (let column = 0; column < spec.w; column++, i++) {
        x[i] = at(c + n, row, column, spec.h, spec.w); // further images begin with the next channel
      }
    }
    return x;
  }

  // Numbers that were typed: `12:255,13:-0.5`, an index and its value. What is none is left out.
  const LARGEST = 1e6;
  function readEdits(given, size) {
    const found = new Map();
    for (const one of given ? given.split(",") : []) {
      const [, index, value] = /^(\d{1,7}):(-?\d{1,7}(?:\.\d{1,6})?)$/.exec(one) ?? [];
      if (index !== undefined && Number(index) < size && Math.abs(Number(value)) <= LARGEST) {
        found.set(Number(index), Number(value));
      }
    }
    return found;
  }
  const writeEdits = (edits) => Array.from(edits, ([index, value]) => `${index}:${value}`).join(",");
  // A number as typed, or null.
  function readNumber(typed) {
    const words = typed.trim().replace(",", ".").replace("−", "-");
    const value = Math.round(Number(words) * 1e6) / 1e6;
    return words !== "" && Number.isFinite(value) && Math.abs(value) <= LARGEST ? value : null;
  }

  // The x and w of a choice; what is not chosen is left to the seed.
  function chosen(spec, { image, kernel, own, x = "", w = "" }) {
    const derived = convbench.derive(spec);
    const found = {};
    if (image in PICTURES || (image === "own" && own)) found.x = pixels(image, own, derived);
    if (kernel in KERNELS) found.w = weights(kernel, derived);
    const base = convbench.problem(spec, found);
    for (const [name, edits] of [["x", x], ["w", w]]) {
      const changed = readEdits(edits, base[name].length);
      if (changed.size) changed.forEach((value, index) => { base[name][index] = value; });
    }
    return { x: base.x, w: base.w };
  }

  Object.assign(convbench, { PICTURES, KERNELS, MOST_OWN, packBytes, packOwn, unpackOwn, readEdits, writeEdits, readNumber,
    chosen, drawn });
})();
