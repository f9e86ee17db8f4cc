"use strict";
// Which part of a problem is on the stage, and what are its numbers? One image, and of one group some channels and
// filters around the followed ones; the rest stays in the sums.
(() => {
  const MOST_CHANNELS = 3;
  const MOST_FILTERS = 4;
  const MEASURED = 4000; // numbers that are looked at to find the longest

  const longest = (values, write) => {
    let most = 1;
    for (let i = 0; i < values.length && i < MEASURED; i++) most = Math.max(most, write(values[i]).length);
    return most;
  };
  const largest = (values) => {
    let most = 0;
    for (const value of values) most = Math.max(most, Math.abs(value));
    return most;
  };
  const limits = (values) => {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return [Math.min(low, 0), high];
  };

  // What is drawn of self for a state; `plane(k)` is y of that image and filter, `version` names these numbers.
  function slice(self, { n, k, c, colours }, { plane, version }) {
    const { windowOf, range, short } = convbench.dom;
    const { spec } = self;
    const first = self.group(k) * spec.cg;
    const channels = range(windowOf(first, first + spec.cg, c, c, MOST_CHANNELS));
    const start = self.group(k) * spec.kg;
    const filters = range(windowOf(start, start + spec.kg, k, k, MOST_FILTERS));
    const each = spec.r * spec.s;
    const planes = filters.map(plane);
    const tap0 = (channels[0] - first) * each; // the first row of w_flat that is shown
    return {
      spec, self, n, k, first, channels, filters, planes, colours, version, tap0,
      taps: channels.length * each, // rows of the patches that are shown
      // Channel a and filter b count what is shown; j the shown rows, l the positions.
      x: (a, row, column) => self.padded(n, channels[a], row, column),
      outside: (row, column) => spec.axes[0].outside(row) || spec.axes[1].outside(column),
      w: (b, j) => self.w[filters[b] * spec.taps + tap0 + j],
      patch: (j, l) => self.patch(n, channels[0] * each + j, l),
      place: (j, l) => { // channel a, and where the number of row j, column l lies in padded x
        const [, r, s] = self.tap(j);
        const [p, q] = self.position(l);
        return [Math.floor(j / each), p * spec.stride[0] + r * spec.dilation[0],
          q * spec.stride[1] + s * spec.dilation[1]];
      },
      y: (b, l) => planes[b][l],
      rangeX: limits(self.x), mostY: Math.max(...planes.map(largest)), mostW: largest(self.w),
      longX: longest(self.x, short), longW: longest(self.w, short),
      longY: Math.max(...planes.map((one) => longest(one, short))),
    };
  }

  Object.assign(convbench, { slice });
})();
