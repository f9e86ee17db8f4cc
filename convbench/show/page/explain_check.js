"use strict";
// Does this page compute what convbench proved?
(() => {
  const { range } = convbench.dom;

  const totalOf = (terms) => terms.reduce((sum, term) => sum + term.product, 0);
  // Counts equal numbers, or names the first that differs.
  function check(proved, seed) {
    const own = convbench.problem({ ...convbench.parse(proved.spec), seed });
    const { spec } = own;
    let equal = 0;
    const wrong = [];
    const same = (name, want, got) => {
      if (want === null) return; // too large to be carried
      if (want.length !== got.length) {
        wrong.push(`${name}: ${got.length} numbers, ${want.length} were proved`);
        return;
      }
      for (let i = 0; i < want.length; i++) {
        if (want[i] === got[i]) equal += 1;
        else {
          wrong.push(`${name}[${i}] is ${got[i]}, ${want[i]} was proved`);
          return;
        }
      }
    };
    const cell = proved.cell;
    const terms = convbench.terms(own, cell);
    const channelSums = range([0, spec.cg]).map((c) => totalOf(terms.filter((term) => term.c === c)));
    const all = (size, at) => (size === undefined ? [] : Array.from({ length: size }, (_, i) => at(i)));
    const whole = (size, way) => range([0, size]).flatMap((i) => Array.from(way(i)));
    same("x", proved.x, own.x);
    same("w", proved.w, own.w);
    same("terms", proved.terms.flat(), terms.slice(0, proved.terms.length)
      .flatMap((term) => [term.channel, term.r, term.s, term.row, term.column, term.x, term.w, term.product]));
    same("sums", proved.sums, [...channelSums, totalOf(terms),
      terms.reduce((sum, term) => sum + term.x * term.mirrored, 0)]);
    spec.axes.forEach((axis, i) => same(`axis ${i}`, proved.axes[i],
      [axis.room, axis.rest, axis.positions, ...axis.readers, axis.unread.length, ...axis.unread]));
    if (proved.patches) same("patches", proved.patches, all(spec.n * spec.c * spec.r * spec.s * spec.l, (i) => {
      const [n, rest] = [Math.floor(i / (spec.c * spec.r * spec.s * spec.l)), i % (spec.c * spec.r * spec.s * spec.l)];
      return own.patch(n, Math.floor(rest / spec.l), rest % spec.l);
    }));
    same("y of the filter", proved.y_plane, proved.y_plane && convbench.ALGORITHMS.shift.run(own, cell.n, cell.k));
    if (proved.y) same("y", proved.y, whole(spec.n * spec.k, (i) =>
      convbench.ALGORITHMS.shift.run(own, Math.floor(i / spec.k), i % spec.k)));
    if (proved.folded) same("folded", proved.folded, all(spec.c * spec.h * spec.w, (i) => {
      const [c, row, column] = [Math.floor(i / (spec.h * spec.w)), Math.floor(i / spec.w) % spec.h, i % spec.w];
      return own.pixel(cell.n, c, row, column) * convbench.overlap(spec, row, column);
    }));
    const { counts } = proved;
    const padded = spec.n * spec.k * spec.cg * (spec.r * spec.s * spec.l - spec.axes.map((axis) =>
      axis.readers.reduce((sum, one) => sum + one, 0)).reduce((a, b) => a * b));
    same("counts", [counts.position, ...counts.gemm, counts.macs, counts.multiplications, counts.additions,
      counts.on_padding, counts.x_nbytes, counts.patches_nbytes],
      [cell.p * spec.q + cell.q, spec.kg, spec.n * spec.l, spec.taps, spec.macs,
        convbench.ALGORITHMS.unfold.count(spec).multiplications,
        convbench.ALGORITHMS.unfold.count(spec).additions, padded, 4 * own.x.length,
          convbench.ALGORITHMS.unfold.count(spec).memory]);
    return { equal, wrong };
  }

  Object.assign(convbench, { check, totalOf });
})();
