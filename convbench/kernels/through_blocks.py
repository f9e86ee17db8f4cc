"""A convolution by the kernels of `blocked`: x into blocks of channels, y back from them, some images at a time.

    enter   x, NCHW or NHWC, to blocks with a halo of zeros
    ...     the blocked kernel
    leave   blocks to y, NCHW or NHWC, with the bias and the relu

That is two passes over x and two over y, in the caches for the most part. In blocks a vector holds channels, whatever
the width of the image; in NCHW it holds neighbouring pixels, and small images leave most of its lanes empty. So it pays
where a number is used often: the `..._pays` are the rules, from races of both ways (`scripts/blocks_or_not.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from convbench.jit.emit import Fields, FloatVector, Int, Module
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked import convolution, depthwise
from convbench.kernels.blocked.geometry import Blocked, halo_of
from convbench.kernels.blocked.packing import row_in, row_out
from convbench.kernels.blocked.plan import BlockedPlan, Places
from convbench.kernels.blocked.problems import Convolution, Depthwise
from convbench.kernels.blocked.rows import ROWS, for_rows, names_of, place_of, rows_plan, words_of
from convbench.kernels.blocked.winograd import winograd_candidates
from convbench.kernels.epilogue import finish
from convbench.kernels.plan import Call, align
from convbench.kernels.transforms import Points
from convbench.spec import ConvSpec

TOGETHER = 512 << 10  # floats of x and y in blocks that are in memory at once, if an image is not larger
MOST_KEPT = 64  # lists of steps of a plan, by the addresses of the weights and the scratch
WIDE = 16  # squares of channels by columns, of a row of the kernels that turn them

ENTER = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} width channels channel_step top height left right")
LEAVE = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} width channels channel_step bias floor")


def enter(module: Module, pixels: bool) -> None:
    """Rows of a block with its halo.

    Args:
        pixels: whether x is NHWC, so that the channels of a pixel are neighbours.
    """
    f, block, piece, _ = module.task("enter")
    args = ENTER.on(f, block)
    lanes = f.lanes

    def row(image: Int, channel_block: Int, row: Int) -> None:
        to = place_of(args, "y", image, channel_block, row)
        width, left, right = (args.number(one) for one in ("width", "left", "right"))

        def zeros(first: Int, count: Int) -> None:
            f.loop(0, count, lambda i: f.store(f.zero(), to + (first + i) * lanes))

        inside = row - args.number("top")

        def copy() -> None:
            zeros(f.integer(0), left)
            source, start = place_of(args, "x", image, channel_block, f.integer(inside)), to + left * lanes
            channels = f.integer(args.number("channels") - channel_block * lanes)
            if pixels:
                step = args.number("channel_step")
                mask = f.lanes_of(0, channels)
                f.when(
                    channels.above(lanes - 1),
                    lambda: f.loop(0, width, lambda i: f.store(f.load(source + i * step), start + i * lanes)),
                    lambda: f.loop(
                        0, width, lambda i: f.store(f.load_some(source + i * step, mask), start + i * lanes)
                    ),
                )
            else:
                row_in(f, source, start, width, channels, args.number("channel_step"))
            zeros(f.integer(left + width), right)

        there = f.integer(inside).above(-1) & f.integer(inside).below(args.number("height"))
        f.when(there, copy, lambda: zeros(f.integer(0), f.integer(left + width + right)))

    for_rows(f, args, piece, row)


def leave(module: Module, pixels: bool) -> None:
    """Rows of y from those of a block, with the bias and the relu."""
    f, block, piece, _ = module.task("leave")
    args = LEAVE.on(f, block)
    lanes = f.lanes

    def row(image: Int, channel_block: Int, row: Int) -> None:
        source, to = (place_of(args, one, image, channel_block, row) for one in ("x", "y"))
        width, step = args.number("width"), args.number("channel_step")
        channels = f.integer(args.number("channels") - channel_block * lanes)
        mask = f.lanes_of(0, channels)
        bias, floor = f.load_some(args.address("bias") + channel_block * lanes, mask), args.spread("floor")

        def last(pixel: FloatVector) -> FloatVector:
            return finish(pixel, bias, floor)

        if not pixels:
            row_out(f, source, to, width, channels, step, last)
            return
        f.when(
            channels.above(lanes - 1),
            lambda: f.loop(0, width, lambda i: f.store(last(f.load(source + i * lanes)), to + i * step)),
            lambda: f.loop(0, width, lambda i: f.store_some(last(f.load(source + i * lanes)), to + i * step, mask)),
        )

    for_rows(f, args, piece, row)


def wide(h: int, w: int, lanes: int) -> tuple[int, int]:
    """An image without a halo as rows that are long enough for whole squares, and enough to share."""
    rows = max(one for one in range(1, h + 1) if h % one == 0 and (one == 1 or h // one * w >= WIDE * lanes))
    return rows, h // rows * w


def winograd_pays(spec: ConvSpec, target: Target) -> bool:
    return spec.r == 3 and _dense(spec, target) and _reuse(spec) >= 280 and _size(spec) <= 4 << 20


def direct_pays(spec: ConvSpec, target: Target) -> bool:
    enough = 200 if spec.r * spec.s == 1 else 100
    return _dense(spec, target) and _reuse(spec) >= enough and _size(spec) <= 8 << 20


def depthwise_pays(spec: ConvSpec, target: Target) -> bool:
    small = spec.q < 8 or spec.r * spec.s >= 49
    return small and spec.k == spec.c and spec.c >= target.lanes and _size(spec) <= 8 << 20


def _dense(spec: ConvSpec, target: Target) -> bool:
    """Whether blocks hold few channels that do not exist, or that are of another group."""
    c, k, lanes = spec.c_per_group, spec.k_per_group, target.lanes
    if spec.groups > 1:
        return c % lanes == 0 and k % lanes == 0
    return align(c, lanes) * align(k, lanes) <= 1.25 * c * k


def _reuse(spec: ConvSpec) -> float:
    """Multiply-adds for each number of x and y."""
    y = spec.k * spec.p * spec.q
    return spec.c_per_group * spec.r * spec.s * y / max(1, spec.c * spec.h * spec.w + y)


def _size(spec: ConvSpec) -> int:
    """Floats of x with its padding and of y, of an image."""
    top, bottom, left, right = spec.sides
    return spec.c * (spec.h + top + bottom) * (spec.w + left + right) + spec.k * spec.p * spec.q


Make = Callable[[Blocked, Blocked, ConvSpec, Target, int], BlockedPlan]


def by_winograd(points: Points) -> Make:
    def make(x: Blocked, y: Blocked, spec: ConvSpec, target: Target, threads: int) -> BlockedPlan:
        found = winograd_candidates(_convolution(x, y, spec), target, threads, four=True)
        return next(one for one in found if one.points == points)

    return make


def directly(x: Blocked, y: Blocked, spec: ConvSpec, target: Target, threads: int) -> BlockedPlan:
    return convolution.direct_candidates(_convolution(x, y, spec), target, threads)[0]


def channelwise(x: Blocked, y: Blocked, spec: ConvSpec, target: Target, threads: int) -> BlockedPlan:
    top, _, left, _ = spec.sides
    problem = Depthwise(x, y, (spec.r, spec.s), spec.stride, (top, left), spec.dilation)
    return depthwise.candidates(problem, target, threads)[0]


def _convolution(x: Blocked, y: Blocked, spec: ConvSpec) -> Convolution:
    top, _, left, _ = spec.sides
    return Convolution(x, y, (spec.r, spec.s), spec.stride, (top, left), spec.dilation, groups=spec.groups)


@dataclass(frozen=True)
class ThroughBlocks:
    """The plan of one problem.

    Attributes:
        make: the blocked plan of the convolution, for the geometry of some images.
        nhwc: whether x and y are NHWC.
    """

    spec: ConvSpec
    make: Make
    target: Target
    threads: int
    nhwc: bool = False
    _kept: dict[tuple[int, int, int], list[KernelStep]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def in_nhwc(self) -> "ThroughBlocks":
        """The same for x and y in NHWC, with the same packed weights."""
        return replace(self, nhwc=True, _kept={})

    def pack(self, w: Tensor) -> Tensor:
        """As the blocked plan does, with no bias: that is added on the way back."""
        return self.plan(1).pack(w, None)

    @cached_property
    def together(self) -> int:
        """Images that are done at once."""
        return max(1, min(self.spec.n, TOGETHER // max(1, self.source(1).size + self.to(1).size)))

    def source(self, images: int) -> Blocked:
        spec = self.spec
        top, _, left, _ = spec.sides
        halo = halo_of((spec.h, spec.w), (spec.p, spec.q), (spec.r, spec.s), spec.stride, (top, left), spec.dilation)
        return Blocked(images, spec.c, spec.h, spec.w, self.target.lanes, halo)

    def to(self, images: int) -> Blocked:
        return Blocked(images, self.spec.k, self.spec.p, self.spec.q, self.target.lanes)

    def plan(self, images: int) -> BlockedPlan:
        spec = self.spec if images == self.spec.n else replace(self.spec, n=images)
        return self.make(self.source(images), self.to(images), spec, self.target, self.threads)

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Floats of x and of y in blocks, each to the end of a page and some lines more, so that they differ in it."""
        return align(self.source(self.together).size, 1024) + 272, align(self.to(self.together).size, 1024) + 272

    @cached_property
    def scratch(self) -> int:
        """Floats that a call needs besides its operands."""
        rest = self.spec.n % self.together
        return sum(self.sizes) + max(self.plan(images).scratch for images in {self.together, rest or self.together})

    def steps(self, call: Call) -> list[KernelStep]:
        x, weights, y, bias, floor, scratch = call
        spec, found = self.spec, list[KernelStep]()
        for first in range(0, spec.n, self.together):
            into, *middle, out = self.steps_within(min(self.together, spec.n - first), weights, scratch)
            own_x, own_y = x + 4 * first * spec.c * spec.h * spec.w, y + 4 * first * spec.k * spec.p * spec.q
            found += [with_words(into, ENTER, x=own_x), *middle]
            found.append(with_words(out, LEAVE, y=own_y, bias=bias, floor=floor))
        return found

    def steps_within(self, images: int, weights: int, scratch: int) -> list[KernelStep]:
        """All steps, of which the first waits for x and the last for y, bias and floor: those change in each call."""
        key = (images, weights, scratch)
        found = self._kept.get(key)
        if found is None:
            own_x, own_y, room = scratch, scratch + 4 * self.sizes[0], scratch + 4 * sum(self.sizes)
            within = self.plan(images).steps(Places(own_x, own_y, weights, scratch=room))
            found = [self.way_in(images, own_x), *within, self.way_out(images, own_y)]
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found  # another thread may clear it at once: nobody reads it back
        return found

    def way_in(self, images: int, to: int) -> KernelStep:
        spec, source = self.spec, self.source(images)
        top, _, left, right = source.halo
        rows, width = wide(spec.h, spec.w, source.lanes) if source.flat else (spec.h, spec.w)
        shape = Blocked(images, spec.c, source.height if not source.flat else rows, left + width + right, source.lanes)
        words = {
            **self.plain_words("x", spec.c, spec.h * spec.w, width), **words_of("y", shape),
            "width": width, "channels": spec.c, "top": top, "height": rows, "left": left, "right": right,
        }  # fmt: skip
        plan = rows_plan("enter", enter, (self.nhwc,), ENTER, shape, self.target, self.threads, words)
        return plan.steps(Places(0, to))[0]

    def way_out(self, images: int, source: int) -> KernelStep:
        spec, lanes = self.spec, self.target.lanes
        rows, width = wide(spec.p, spec.q, lanes)
        shape = Blocked(images, spec.k, rows, width, lanes)
        words = {
            **self.plain_words("y", spec.k, spec.p * spec.q, width), **words_of("x", shape),
            "width": width, "channels": spec.k, "bias": 0, "floor": 0,
        }  # fmt: skip
        plan = rows_plan("leave", leave, (self.nhwc,), LEAVE, shape, self.target, self.threads, words)
        return plan.steps(Places(source, 0))[0]

    def plain_words(self, name: str, channels: int, pixels: int, width: int) -> dict[str, int]:
        """Where rows of `width` pixels of the caller's operand lie."""
        lanes = self.target.lanes
        steps = (lanes, width * channels, channels) if self.nhwc else (lanes * pixels, width, pixels)
        plane, row, step = steps
        words = {f"{name}_image": channels * pixels, f"{name}_plane": plane, f"{name}_row": row, f"{name}_start": 0}
        return {**words, "channel_step": step}


def with_words(step: KernelStep, fields: Fields, **words: int) -> KernelStep:
    """The step with other arguments in a block of its own."""
    block = step.block[:]
    for name, word in words.items():
        block[fields.names.index(name)] = word
    return KernelStep(step.pieces, step.task, block)
