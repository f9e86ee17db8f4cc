"""What of the input does each result of an operator see, given what its operands see? One table for torch and ONNX.

An operator goes by torch's name without the marks of its variants, and by torch's names of its arguments.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from typing import Any

from convbench.models.reach import Reach

Sizes = tuple[int, ...]
# The prefixes and suffixes of one operator's variants: _upsample_nearest_exact2d, max_pool2d_with_indices, copy_.
_VARIANT = re.compile(r"^_*(?:native_|unsafe_|cudnn_|miopen_|mkldnn_)?|(?<=\w)[123]d(?=_|$)|_with_indices$|_+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An operator as it was called.

    Attributes:
        name: see `plain_name`.
        operands: what each tensor that it was given sees; None of one that does not hang on the input.
        options: its arguments by name; of a tensor its sizes.
        shapes: of its results.
    """

    name: str
    operands: Sequence[Reach | None]
    options: Mapping[str, Any]
    shapes: Sequence[Sizes]

    @property
    def x(self) -> Reach:
        first = self.operands[0]
        if first is None:
            raise ValueError("only a weight, an index or a mask depends on the input")
        return first

    @property
    def y(self) -> Sizes:
        return self.shapes[0]

    @property
    def known(self) -> list[Reach]:
        return [one for one in self.operands if one is not None]

    @property
    def anything(self) -> Reach:
        """All that any operand sees, as one number: the whole input at most."""
        return reduce(lambda one, other: one.join(other, ()), (one.lost(()) for one in self.known))

    def sizes(self, name: str, rank: int, usual: int = 1) -> Sizes:
        """A size for each of the last `rank` dimensions."""
        given = self.options.get(name) or [usual]
        return tuple(given) if len(given) == rank else tuple(given) * rank


Rule = Callable[[Operator], Reach | Sequence[Reach] | None]


def plain_name(name: str) -> str:
    """`max_pool` for max_pool2d_with_indices, `softmax` for _softmax, `copy` for copy_."""
    return _VARIANT.sub("", name)


def follow(operator: Operator) -> tuple[list[Reach], bool]:
    """What each result sees, and whether a rule knows; where none does, it is the whole input at most."""
    rule = RULES.get(operator.name)
    try:
        found = rule(operator) if rule is not None else None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
        found = None  # called in a way that the rule does not know
    anything = operator.anything
    results = [found] * len(operator.shapes) if isinstance(found, Reach) else found or [anything] * len(operator.shapes)
    return [
        one if one.shape == shape else anything.lost(shape) for one, shape in zip(results, operator.shapes, strict=True)
    ], found is not None


def _pointwise(one: Operator) -> Reach:
    first, *others = one.known
    return reduce(lambda joined, other: joined.join(other, one.y), others, first.expand(one.y))


def _concatenate(one: Operator) -> Reach:
    """Along the dimension that grows, a position no longer says where."""
    dim = one.options["dim"] % len(one.y)
    parts = one.known
    if one.name == "stack":
        parts = [part.regroup((*part.shape[:dim], 1, *part.shape[dim:])) for part in parts]
    parts = [part.forget(dim).mix([dim], one.y) for part in parts]
    return reduce(lambda joined, other: joined.join(other, one.y), parts)


def _slide(one: Operator, x: Reach, kernel: Sizes, stride: Sizes) -> Reach:
    """A kernel over the last dimensions."""
    rank = len(kernel)
    numbers = zip(kernel, stride, one.sizes("padding", rank, 0), one.sizes("dilation", rank), strict=True)
    for dim, (taps, step, before, apart) in enumerate(numbers, len(x.shape) - rank):
        move = x.spread if one.options.get("transposed") else x.window
        x = move(dim, one.y[dim], apart * (taps - 1) + 1, step, before)
    return x


def _convolution(one: Operator) -> Reach | None:
    if one.operands[1] is not None:  # its weights hang on the input
        return None
    kernel = one.options["weight"][2:]
    return _slide(one, _mix_channels(one), kernel, one.sizes("stride", len(kernel)))


def _mix_channels(one: Operator) -> Reach:
    return one.x.mix([1], (*one.y[:2], *one.x.shape[2:]))


def _pool(one: Operator) -> Reach:
    rank = max(len(one.options["kernel_size"]), len(one.y) - 2)
    kernel = one.sizes("kernel_size", rank)
    return _slide(one, one.x, kernel, one.sizes("stride", rank) if one.options.get("stride") else kernel)


def _adaptive_pool(one: Operator) -> Reach:
    """Output o pools the positions floor(o*size/count) to ceil((o+1)*size/count) - 1."""
    x = one.x
    for dim in range(len(x.shape) - len(one.options["output_size"]), len(x.shape)):
        size, count = x.shape[dim], one.y[dim]
        if size % count == 0:
            x = x.window(dim, count, size // count, size // count, 0)
        else:
            x = x.forget(dim).part(dim, count, 0)
    return x


def _interpolate(one: Operator, taps: int) -> Reach:
    """From `taps` neighbours at most along each axis.

    With 1/every outputs for an input, output o lies at the input every*o, or by half-pixel centres or aligned corners
    up to every - 1 beside it.
    """
    x, beside = one.x, max(1, taps // 2)
    for dim in one.options.get("dims", range(2, len(x.shape))):
        every = Fraction(x.shape[dim], one.y[dim])
        first, last = min(every - 1, Fraction(0)) - beside, max(every - 1, Fraction(0)) + beside
        x = x.look(dim, one.y[dim], first, last, every, exact=False)
    return x


def _pad(one: Operator) -> Reach:
    x, pads = one.x, one.options.get("pad") or one.options["padding"]
    for place, before in enumerate(pads[::2]):
        dim = len(x.shape) - 1 - place
        x = x.part(dim, one.y[dim], -before)
    return x


def _shuffle_pixels(one: Operator) -> Reach:
    x, times = _mix_channels(one), one.options["upscale_factor"]
    for dim in (2, 3):
        x = x.spread(dim, one.y[dim], times, times, 0)
    return x


def _slice(one: Operator) -> Reach:
    dim = one.options["dim"] % len(one.y)
    start, size = one.options.get("start") or 0, one.x.shape[dim]
    return one.x.part(dim, one.y[dim], max(0, start + size) if start < 0 else min(start, size), one.options["step"])


def _select(one: Operator) -> Reach:
    dim = one.options["dim"] % len(one.x.shape)
    return one.x.part(dim, 1, one.options["index"] % one.x.shape[dim]).regroup(one.y)


def _unbind(one: Operator) -> list[Reach]:
    dim = one.options["dim"] % len(one.x.shape)
    return [one.x.part(dim, 1, place).regroup(one.y) for place in range(len(one.shapes))]


def _split(one: Operator) -> list[Reach]:
    dim = one.options["dim"] % len(one.y)
    starts = [sum(shape[dim] for shape in one.shapes[:place]) for place in range(len(one.shapes))]
    return [one.x.part(dim, shape[dim], start) for shape, start in zip(one.shapes, starts, strict=True)]


def _transpose(one: Operator) -> Reach:
    rank = len(one.x.shape)
    first, second = (one.options.get(name, usual) % rank for name, usual in (("dim0", 0), ("dim1", 1)))
    return one.x.permute([{first: second, second: first}.get(dim, dim) for dim in range(rank)])


def _reduce(one: Operator) -> Reach:
    dims = one.options.get("dim")
    dims = range(len(one.x.shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return one.x.reduce(dims).regroup(one.y)


def _layer_norm(one: Operator) -> Reach:
    rank = len(one.x.shape)
    return one.x.mix(range(rank - len(one.options["normalized_shape"]), rank))


def _product(one: Operator) -> Reach | None:
    *added, left, right = one.operands
    return left.matmul(right, one.y) if left is not None and all(other is None for other in added) else None


def _table(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """Of several names with one rule."""
    return {name: rule for names, rule in rules.items() for name in names.split()}


# Followed as a whole: torch's own ways to take them apart gather by computed indices, which are not.
WHOLE = _table(
    {
        "max_pool avg_pool": _pool,
        "adaptive_max_pool adaptive_avg_pool": _adaptive_pool,
        "upsample_nearest upsample_nearest_exact": partial(_interpolate, taps=1),
        "upsample_linear upsample_bilinear upsample_trilinear": partial(_interpolate, taps=2),
        "upsample_bicubic": partial(_interpolate, taps=4),
        "constant_pad_nd reflection_pad replication_pad": _pad,
        "scaled_dot_product_attention scaled_dot_product_attention_math scaled_dot_product_flash_attention "
        "scaled_dot_product_flash_attention_for_cpu scaled_dot_product_efficient_attention "
        "scaled_dot_product_cudnn_attention": lambda one: one.x.mix([-2]),
    }
)
RULES = WHOLE | _table(
    {
        # Each of its operands alone decides each of its results, at the same place; torch marks most of these.
        "pointwise alias clone contiguous copy detach dropout hardswish hardswish_ lift_fresh masked_fill prelu "
        "to_copy where": _pointwise,
        "view reshape unsqueeze squeeze flatten reshape_alias": lambda one: one.x.regroup(one.y),
        "as_strided": lambda one: one.x if one.x.shape == one.y else None,
        "expand": lambda one: one.x.expand(one.y),
        "permute": lambda one: one.x.permute(one.options["dims"]),
        "transpose t": _transpose,
        "slice": _slice,
        "select": _select,
        "unbind": _unbind,
        "split split_with_sizes chunk": _split,
        "cat stack": _concatenate,
        "convolution": _convolution,
        "mm bmm addmm baddbmm": _product,
        "pixel_shuffle": _shuffle_pixels,
        "channel_shuffle": lambda one: one.x.mix([1]),
        "group_norm": lambda one: one.x.mix(range(1, len(one.y))),
        "batch_norm batch_norm_legit_no_training": lambda one: None if one.options.get("training") else one.x,
        "layer_norm": _layer_norm,
        "softmax log_softmax safe_softmax": lambda one: one.x.mix([one.options["dim"]]),
        "mean sum amax amin max min var std linalg_vector_norm": _reduce,
    }
)
