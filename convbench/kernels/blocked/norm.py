"""LayerNorm over the channels of each pixel, as ConvNeXt has it: two passes over the pixel's blocks, then the result.

Compiled for nothing but the target.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convbench.jit.emit import Carried, Fields, FloatVector, Function, Int, Module, Pointer, float_word
from convbench.jit.target import Target
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Accuracy, BlockedPlan
from convbench.kernels.blocked.rows import ROWS, RowsPlan, for_rows, names_of, place_of, rows_plan, words_of

TOGETHER = 4  # pixels

FIELDS = Fields.of(f"{ROWS} {names_of('x')} {names_of('y')} weights width whole_blocks channels one_over eps")


@dataclass(frozen=True, slots=True)
class BlockedLayerNorm:
    """y = (x - mean) / sqrt(var + eps) * w + bias, over the channels of each pixel; w and bias are (C,)."""

    x: Blocked
    y: Blocked
    eps: float = 1e-6


@dataclass(frozen=True)
class LayerNormPlan(RowsPlan):
    """The plan of a problem."""

    channels: int = 0

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        """[block]([w], [bias]), zeros for spare channels."""
        lanes = self.target.lanes
        full = torch.zeros(2, -(-self.channels // lanes) * lanes)
        full[0, : self.channels] = w
        full[1, : self.channels] = 0 if bias is None else bias
        return full.view(2, -1, lanes).transpose(0, 1).flatten().contiguous()


def layer_norm(module: Module) -> None:
    """`layer_norm(args, piece, thread)`: some rows of an image, all channels."""
    f, block, piece, _ = module.task("layer_norm")
    args = FIELDS.on(f, block)
    lanes = f.lanes

    def row(image: Int, channels: Int, r: Int) -> None:
        source, to = (place_of(args, one, image, channels, r) for one in ("x", "y"))
        width, whole = args.number("width"), args.number("whole_blocks")
        mask = f.lanes_of(0, args.number("channels") - whole * lanes)
        one_over, eps = args.spread("one_over"), args.spread("eps")
        x_plane, y_plane = args.number("x_plane"), args.number("y_plane")

        def pixels(count: int, first: Int) -> None:
            x, y = source + first * lanes, to + first * lanes

            def total(of: Callable[[int, FloatVector], FloatVector]) -> list[FloatVector]:
                """The sum over all channels, in all lanes, for each pixel."""

                def some(_: Int, at: Pointer, *sums: FloatVector) -> Sequence[Carried]:
                    done = [one + of(q, f.load(at, q * lanes)) for q, one in enumerate(sums)]
                    return [at + x_plane, *done]

                carried = f.loop(0, whole, some, [x, *[f.zero()] * count])
                last = x + whole * x_plane
                sums = [one for one in carried if isinstance(one, FloatVector)]
                return [
                    across(f, one + of(q, f.load(last, q * lanes)).where(mask)) for q, one in enumerate(sums)
                ]  # fmt: skip

            means = [one * one_over for one in total(lambda _, x: x)]

            def square(q: int, x: FloatVector) -> FloatVector:
                return (x - means[q]) * (x - means[q])

            factors = [f.constant(1.0) / (one * one_over + eps).root() for one in total(square)]

            def put(_: Int, at: Pointer, out: Pointer, weights: Pointer) -> Sequence[Carried]:
                w, bias = f.load(weights), f.load(weights, lanes)
                for q in range(count):
                    done = (f.load(at, q * lanes) - means[q]) * factors[q]
                    f.store(f.fma(done, w, bias), out, q * lanes)
                return [at + x_plane, out + y_plane, weights + 2 * lanes]

            f.loop(0, whole + 1, put, [x, y, args.address("weights")])

        several = width // TOGETHER * TOGETHER
        f.loop(0, several, partial(pixels, TOGETHER), step=TOGETHER)
        f.loop(several, width, partial(pixels, 1))

    for_rows(f, args, piece, row)


def across(f: Function, vector: FloatVector) -> FloatVector:
    """The sum of all lanes, in all lanes."""
    step = f.lanes // 2
    while step:
        vector = vector + f.shuffle(vector, vector, [lane ^ step for lane in range(f.lanes)])
        step //= 2
    return vector


def candidates(
    problem: BlockedLayerNorm, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    del accuracy
    x, y = problem.x, problem.y
    words = {
        **words_of("x", x), **words_of("y", y), "width": y.w, "whole_blocks": x.blocks - 1, "channels": x.c,
        "one_over": float_word(1 / x.c), "eps": float_word(problem.eps),
    }  # fmt: skip
    shape = Blocked(y.n, 1, y.h, y.w * y.blocks, y.lanes)  # a row is that of all blocks
    plan = rows_plan("layer norm", layer_norm, (), FIELDS, shape, target, threads, words)
    return [LayerNormPlan(**vars(plan), channels=x.c)]
