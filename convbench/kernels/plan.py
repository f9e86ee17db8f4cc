"""What does a call of a kernel need, and how do its operands get there?"""

from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from convbench.case import Case
from convbench.jit.compile import compiled
from convbench.jit.target import host
from convbench.jit.team import KernelStep, run
from convbench.kernels.epilogue import floor_word
from convbench.kernels.layout import TURN, turn
from convbench.kernels.scratch import scratch
from convbench.spec import ConvSpec


def align(count: int, to: int) -> int:
    return -(-count // to) * to


Call: TypeAlias = "array[int]"  # the words of CALL
CALL = "x w y bias floor scratch"  # the words that change from call to call; they come first in each block


class KernelPlan(Protocol):
    """One problem in NCHW, for a target and a number of threads.

    Attributes:
        scratch: floats that a call needs besides its operands.
    """

    @property
    def scratch(self) -> int: ...
    def pack(self, w: Tensor) -> Tensor: ...
    def steps(self, call: Call) -> list[KernelStep]: ...


@runtime_checkable
class AlsoNhwc(Protocol):
    """A plan that has a twin for NHWC, with the same packed weights."""

    @property
    def in_nhwc(self) -> KernelPlan: ...


TURNED = 8 << 20  # floats of x and y in NCHW that a call in NHWC may need: 32 MiB


def convolve(
    plan: Callable[[ConvSpec, int], KernelPlan],
    x: Tensor,
    weights: Tensor,
    spec: ConvSpec,
    bias: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """y of a convolution, in the layout of x: for plans without a twin, NHWC is turned to NCHW and back, a few images
    at a time.

    Args:
        plan: of a problem and a number of threads.
        weights: as the plan packs them.
    """
    nhwc = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    y = torch.empty(spec.y_shape, memory_format=torch.channels_last) if nhwc else torch.empty(spec.y_shape)
    if y.numel() == 0:
        return y
    bias = no_bias(spec.k) if bias is None else bias.contiguous()
    threads = torch.get_num_threads()
    whole = plan(spec, threads)
    if nhwc and not isinstance(whole, AlsoNhwc):
        convolve_turned(plan, x, weights, y, spec, bias, relu)
    else:
        chosen = whole.in_nhwc if nhwc and isinstance(whole, AlsoNhwc) else whole
        x = x if nhwc else x.contiguous()
        room = scratch().take(4 * chosen.scratch)
        words = (x.data_ptr(), weights.data_ptr(), y.data_ptr(), bias.data_ptr(), floor_word(relu), room)
        run(chosen.steps(array("q", words)), threads)
    scratch().done()
    return y


def convolve_turned(
    plan: Callable[[ConvSpec, int], KernelPlan],
    x: Tensor,
    weights: Tensor,
    y: Tensor,
    spec: ConvSpec,
    bias: Tensor,
    relu: bool,
) -> None:
    """x and y in NHWC, by a plan in NCHW."""
    threads = torch.get_num_threads()
    image_x, image_y = spec.c * spec.h * spec.w, spec.k * spec.p * spec.q
    together = min(spec.n, max(1, TURNED // (image_x + image_y)))
    for first in range(0, spec.n, together):
        count = min(together, spec.n - first)
        part = plan(spec if count == spec.n else replace(spec, n=count), threads)
        room = scratch().take(4 * (part.scratch + count * (image_x + image_y)))
        source, to = x.data_ptr() + 4 * first * image_x, y.data_ptr() + 4 * first * image_y
        own_x = room + 4 * part.scratch
        own_y = own_x + 4 * count * image_x
        words = (own_x, weights.data_ptr(), own_y, bias.data_ptr(), floor_word(relu), room)
        steps = [
            turned(source, own_x, count, spec.h * spec.w, spec.c),
            *part.steps(array("q", words)),
            turned(own_y, to, count, spec.k, spec.p * spec.q),
        ]
        run(steps, threads)


@cache
def no_bias(filters: int) -> Tensor:
    return torch.zeros(filters)


def turned(source: int, to: int, images: int, rows: int, columns: int) -> KernelStep:
    """to[columns][rows] = source[rows][columns], image by image."""
    chunk = 64
    chunks = -(-rows // chunk)
    words = {"source": source, "to": to, "rows": rows, "columns": columns, "chunk": chunk, "chunks": chunks}
    return KernelStep(images * chunks, compiled(turn, host(), ("turn",)).addresses["turn"], TURN.block(words))


def mirrored(w: Tensor, spec: ConvSpec) -> tuple[Tensor, ConvSpec]:
    """The weight, channels for filters and its taps turned around, and the fprop of dy that a dgrad with stride 1 is.

    Its padding is the reach of the kernel less the padding, which must not be negative: see `cannot_mirror`.
    """
    turned_w = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s).transpose(1, 2).flip(3, 4)
    top, bottom, left, right = _mirrored_sides(spec)
    back = replace(
        spec, c=spec.k, k=spec.c, h=spec.p, w=spec.q, padding=(top, left), padding_end=(bottom, right)
    )  # fmt: skip
    return turned_w.reshape(back.w_shape), back


def cannot_mirror(case: Case) -> str | None:
    """Why a dgrad is not the same kernel with another weight, or None."""
    if case.pass_ != "dgrad":
        return None
    if case.spec.stride != (1, 1):
        return "its dgrad is the same kernel with the weight turned around, which needs stride 1"
    if min(_mirrored_sides(case.spec)) < 0:
        return "its dgrad is the same kernel with the weight turned around, which needs less padding than kernel"
    return None


def _mirrored_sides(spec: ConvSpec) -> list[int]:
    reach = [(spec.r - 1) * spec.dilation[0]] * 2 + [(spec.s - 1) * spec.dilation[1]] * 2
    return [most - side for most, side in zip(reach, spec.sides, strict=True)]
