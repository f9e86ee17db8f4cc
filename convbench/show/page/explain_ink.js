"use strict";
// How does one cell look? Roles are hues (patch, kernel, output), values are fills (grey for x, blue to red for y);
// never both in one cell. A cell that is too small for a number shows colour alone.
convbench.makeInk = (canvas) => {
  const { clamp, mix } = convbench.timeline;
  const { short } = convbench.dom;
  const paint = canvas.getContext("2d");
  const TONES = ["paper", "raised", "cell", "ink", "quiet", "line", "patch", "patch-bg", "kernel", "kernel-bg",
    "output", "output-bg", "focus", "low", "high"];
  const [DARK_INK, LIGHT_INK] = ["#000000", "#ffffff"]; // on a fill: whichever has more contrast has 4.5
  const EVEN = 0.179; // the luminance at which both have the same
  const tone = {};
  const rgb = {};
  const bitmaps = new Map();
  let fontNow = "";
  const size = { width: 0, height: 0, em: 16, ratio: 1 };

  function readTones() {
    const style = getComputedStyle(document.documentElement);
    const probe = document.createElement("i");
    document.body.append(probe);
    for (const name of TONES) {
      probe.style.color = `var(--${name})`;
      tone[name] = getComputedStyle(probe).color;
      rgb[name] = tone[name].match(/[\d.]+/g).slice(0, 3).map(Number);
    }
    probe.remove();
    for (const name of ["mono", "sans"]) tone[name] = style.getPropertyValue(`--${name}`);
    size.em = parseFloat(getComputedStyle(document.body).fontSize);
    bitmaps.clear();
  }
  function resize() {
    const { width, height } = canvas.getBoundingClientRect();
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    Object.assign(size, { width, height, ratio });
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  }
  function clear() {
    paint.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    paint.clearRect(0, 0, size.width, size.height);
    paint.globalAlpha = 1;
    fontNow = "";
  }
  // Draw something as seen through an alpha.
  function faded(alpha, draw) {
    const before = paint.globalAlpha;
    paint.globalAlpha = before * alpha;
    draw();
    paint.globalAlpha = before;
  }

  // Values as colours.
  const grey = (value, [low, high]) => new Array(3).fill(255 * clamp((value - low) / (high - low || 1)));
  function diverging(value, most) {
    const t = clamp(value / (most || 1), -1);
    const end = t < 0 ? rgb.low : rgb.high;
    return rgb.cell.map((from, i) => mix(from, end[i], Math.abs(t) ** 0.8));
  }
  function colourOf(kind, value, slice) {
    if (kind === "x" || kind === "patches") return grey(value, slice.rangeX);
    return diverging(value, kind[0] === "w" ? slice.mostW : slice.mostY);
  }
  const css = (colour) => `rgb(${colour.map(Math.round).join(" ")})`;
  const linear = (part) => (part <= 10.3 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4);
  const inkOn = ([r, g, b]) => (0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) > EVEN ? DARK_INK :
    LIGHT_INK);
  const longOf = (kind, slice) => slice[{ x: "longX", p: "longX", w: "longW", y: "longY" }[kind[0]]];
  const tooSmall = ({ w, h }, long) => w < Math.max(15, long * 7) || h < 11;
  const small = (box, kind, slice) => tooSmall({ w: box.cw, h: box.ch }, longOf(kind, slice));

  // Strokes, words and numbers.
  function rounded({ x, y, w, h }, inset = 1, part = 0.12) {
    paint.beginPath();
    paint.roundRect(x + inset, y + inset, Math.max(0, w - 2 * inset), Math.max(0, h - 2 * inset),
      Math.max(0, Math.min(w, h) * part));
  }
  function outline(rect, colour, width, { inset = 1, part = 0.12, dash = [] } = {}) {
    rounded(rect, inset, part);
    paint.setLineDash(dash);
    paint.strokeStyle = colour;
    paint.lineWidth = width;
    paint.stroke();
    paint.setLineDash([]);
  }
  function say(words, x, y, { align = "left", colour = tone.quiet, scale = 0.86, font = tone.sans, weight = 400,
    base = "alphabetic" } = {}) {
    const wanted = `${weight} ${(scale * size.em).toFixed(1)}px ${font}`;
    if (wanted !== fontNow) paint.font = fontNow = wanted; // to set it takes longer than to draw a number
    paint.fillStyle = colour;
    paint.textAlign = align;
    paint.textBaseline = base;
    paint.fillText(words, x, y);
    return paint.measureText(words).width;
  }
  function numberIn(words, rect, colour, { weight = 400, scale = 1, long = 0, part = 0.44 } = {}) {
    const high = Math.min(rect.h * part, rect.w * 0.82 / (Math.max(words.length, long) * 0.6), size.em * 2.2) * scale;
    if (high < 6.5) return;
    say(words, rect.x + rect.w / 2, rect.y + rect.h / 2 + high * 0.04,
      { align: "center", colour, scale: high / size.em, font: tone.mono, weight, base: "middle" });
  }
  function line(x0, y0, x1, y1, colour, width = 2) {
    paint.strokeStyle = colour;
    paint.lineWidth = width;
    paint.beginPath();
    paint.moveTo(x0, y0);
    paint.lineTo(x1, y1);
    paint.stroke();
  }
  function clipped({ x, y, w, h }, draw) {
    paint.save();
    paint.beginPath();
    paint.rect(x, y, w, h);
    paint.clip();
    draw();
    paint.restore();
    fontNow = "";
  }
  function lifted(draw) {
    paint.save();
    Object.assign(paint, { shadowColor: "rgb(0 0 0 / 0.28)", shadowBlur: 10, shadowOffsetY: 3 });
    draw();
    paint.restore();
    fontNow = "";
  }

  // Cells. ring: 1 linked, 2 chosen.
  function emptyCell(rect, tiny) {
    if (!tiny) faded(0.42, () => outline(rect, tone.quiet, 1, { inset: 1.5 }));
    else faded(0.4, () => { paint.fillStyle = tone.line; paint.fillRect(rect.x, rect.y, rect.w, rect.h); });
  }
  const partOf = (inside, rect) => (inside.h < rect.h ? SHARED : undefined);
  function paddedCell(rect, words, tiny, inside) {
    if (tiny) return;
    faded(0.7, () => outline(rect, tone.quiet, 1, { inset: 1.5, dash: [2, 3] }));
    numberIn(words, inside, tone.quiet, { scale: 0.85, part: partOf(inside, rect) });
  }
  function colouredCell(rect, colour, words, tiny, role, inside) {
    paint.fillStyle = css(colour);
    if (tiny) return paint.fillRect(rect.x, rect.y, rect.w + 0.4, rect.h + 0.4);
    paint.fillRect(rect.x + 1, rect.y + 1, rect.w - 2, rect.h - 2);
    if (rect.w > 23) numberIn(words, inside, inkOn(colour), { scale: 0.82, part: partOf(inside, rect) });
    if (role === "patch") outline(rect, tone.patch, 2);
    return undefined;
  }
  function cell(rect, kind, value, slice, { role = "", ring = 0, alpha = 1, empty = false, padded = false,
    struck = false, inside = rect } = {}) {
    const long = longOf(kind, slice);
    const tiny = tooSmall(rect, long);
    faded(alpha, () => {
      if (empty) emptyCell(rect, tiny);
      else if (padded) paddedCell(rect, short(value), tiny, inside);
      else if (slice.colours || tiny) colouredCell(rect, colourOf(kind, value, slice), short(value), tiny, role, inside);
      else {
        rounded(rect, Math.min(1.5, rect.w * 0.03));
        paint.fillStyle = role ? tone[`${role}-bg`] : tone.cell;
        paint.fill();
        numberIn(short(value), inside, role ? tone[role] : tone.ink, { weight: role ? 600 : 400, long,
          part: partOf(inside, rect) });
      }
      if (struck && !tiny) line(rect.x + rect.w * 0.2, rect.y + rect.h / 2, rect.x + rect.w * 0.8, rect.y + rect.h / 2,
        tone.quiet, 1.5);
    });
    if (ring) outline(rect, ring === 2 ? tone.focus : tone.ink, tiny ? 1 : ring === 2 ? 2.5 : 1.8);
  }
  function flying(rect, kind, value, slice, role) {
    lifted(() => { rounded(rect, Math.min(1.5, rect.w * 0.03)); paint.fillStyle = tone[`${role}-bg`]; paint.fill(); });
    cell(rect, kind, value, slice, { role });
  }
  const SHARED = 0.7; // of the height, where there is half of a cell
  // Where a number and the weight that rides on it share a cell: next to each other, or the weight below.
  function shared(rect, slice) {
    if (rect.w * 0.46 / (slice.longX * 0.6) >= 11) {
      return { inside: { ...rect, w: rect.w * 0.58 }, weight: { x: rect.x + rect.w * 0.56, y: rect.y + rect.h * 0.14,
        w: rect.w * 0.42, h: rect.h * 0.72 } };
    }
    return { inside: { ...rect, h: rect.h * 0.54 }, weight: { x: rect.x + rect.w * 0.08, y: rect.y + rect.h * 0.52,
      w: rect.w * 0.84, h: rect.h * 0.44 } };
  }
  function rider(rect, value, slice, moving) {
    const at = shared(rect, slice).weight;
    const fill = () => { rounded(at, 0.5, 0.14); paint.fillStyle = tone["kernel-bg"]; paint.fill(); };
    if (moving) lifted(fill);
    else fill();
    numberIn(short(value), at, tone.kernel, { weight: 600, part: partOf(at, { h: rect.h / 2 }) });
  }

  // Many small cells are one bitmap, a pixel for a cell; at(i, j) is null where nothing is.
  const MOST_WIDE = 2048;
  function bitmap(name, kind, rows, cols, at, slice) {
    const key = `${name}:${slice.version}`;
    if (!bitmaps.has(key)) {
      for (const old of bitmaps.keys()) if (old.startsWith(`${name}:`)) bitmaps.delete(old);
      const one = document.createElement("canvas");
      const wide = Math.min(cols, MOST_WIDE);
      [one.width, one.height] = [wide, rows];
      const image = one.getContext("2d");
      const data = image.createImageData(wide, rows);
      for (let i = 0; i < rows; i++) for (let j = 0; j < wide; j++) {
        const value = at(i, wide === cols ? j : Math.floor(j * cols / wide));
        if (value !== null) data.data.set([...colourOf(kind, value, slice), 255], (i * wide + j) * 4);
      }
      image.putImageData(data, 0, 0);
      bitmaps.set(key, one);
    }
    return bitmaps.get(key);
  }
  // What the colours mean, below a box.
  function legend(x, y, wide, most) {
    const ramp = paint.createLinearGradient(x, 0, x + wide, 0);
    for (let i = 0; i <= 10; i++) ramp.addColorStop(i / 10, css(diverging((i / 5 - 1) * most, most)));
    paint.fillStyle = ramp;
    paint.fillRect(x, y, wide, size.em * 0.45);
    say(short(-most), x - size.em * 0.4, y + size.em * 0.5, { align: "right", font: tone.mono, scale: 0.8 });
    say(short(most), x + wide + size.em * 0.4, y + size.em * 0.5, { font: tone.mono, scale: 0.8 });
  }

  return { paint, tone, rgb, size, readTones, resize, clear, faded, outline, say, line, clipped, cell, flying, shared,
    rider, bitmap, legend, small, colourOf, css, inkOn };
};
