"""What do loops, patches and F.conv2d cost here and now?"""

# ruff: noqa: RUF001  # the times and minus signs are meant: this is mathematics as text

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backends.naive_loops import naive_loops
from convbench.explain.steps import Walk, flatten_kernel, name_formula
from convbench.ran.by_torch import convolve, unfold
from convbench.spec import ConvSpec

ENOUGH_S = 0.03  # of timing for each way
FEWEST, MOST = 3, 30  # calls
LONG_S = 0.5  # a call of which one is enough
LOOPED_MACS = 20_000  # some milliseconds of Python
LAYER = ConvSpec(n=1, c=64, h=56, w=56, k=64, r=3, s=3, padding=(1, 1))
LAYER_NAME = "a layer of ResNet (64 channels of 56×56, 3×3 kernel)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Seconds of the fastest of some calls in fp32, on one thread, as Python's loops have no more.

    Attributes:
        what: which problem; "" is the walk's own.
        loops_s: nested loops in Python.
        estimated: whether `loops_s` is that of a part of the problem, times how often it fits into it.
        einsum_s: F.unfold and torch.einsum; `conv2d_s` F.conv2d.
    """

    loops_s: float
    einsum_s: float
    conv2d_s: float
    what: str = ""
    estimated: bool = False


def measure(walk: Walk, clock: Callable[[], float] = time.perf_counter) -> tuple[Price, ...]:
    """What the three ways cost on the walk's own numbers and, where those are few, in a layer of a real network."""
    found = [_measure(walk.spec, walk.x.float(), walk.w.float(), "", clock)]
    if walk.spec.macs < LAYER.macs / 100:
        generator = torch.Generator().manual_seed(0)
        x, w = (torch.randn(shape, generator=generator) for shape in (LAYER.x_shape, LAYER.w_shape))
        found.append(_measure(LAYER, x, w, LAYER_NAME, clock))
    return tuple(found)


def _measure(spec: ConvSpec, x: Tensor, w: Tensor, what: str, clock: Callable[[], float]) -> Price:
    part, image, kernel = _part(spec, x, w)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Price(
            what=what,
            loops_s=_fastest_s(lambda: naive_loops.fn(image, kernel, part), clock) * (spec.macs / part.macs),
            estimated=part != spec,
            einsum_s=_fastest_s(lambda: _by_patches(x, w, spec), clock),
            conv2d_s=_fastest_s(lambda: convolve(x, w, spec), clock),
        )
    finally:
        torch.set_num_threads(threads)


def _by_patches(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    patches = unfold(x, spec)
    if spec.groups > 1:
        patches = patches.unflatten(1, (spec.groups, -1))
    return torch.einsum(name_formula(spec), patches, flatten_kernel(w, spec)).reshape(spec.y_shape)


def _part(spec: ConvSpec, x: Tensor, w: Tensor) -> tuple[ConvSpec, Tensor, Tensor]:
    """The problem itself, or as many channels, rows and columns of it as loops do in milliseconds."""
    if spec.macs <= LOOPED_MACS:
        return spec, x, w
    extent = spec.kernel_extent
    channels = min(spec.c_per_group, max(1, LOOPED_MACS // (spec.r * spec.s)))
    positions = max(1, LOOPED_MACS // (channels * spec.r * spec.s))
    rows = min(spec.p, max(1, positions // spec.q))
    columns = min(spec.q, positions)
    h, width = (
        (count - 1) * step + size for count, step, size in zip((rows, columns), spec.stride, extent, strict=True)
    )
    padded = F.pad(x[:1, :channels], (spec.sides[2], spec.sides[3], spec.sides[0], spec.sides[1]))
    part = replace(spec, n=1, c=channels, h=h, w=width, k=1, groups=1, padding=(0, 0), padding_end=None)
    return part, padded[..., :h, :width].contiguous(), w[:1, :channels].contiguous()


def _fastest_s(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Of some calls after a first one; of a long call that one alone."""
    samples: list[float] = []
    while len(samples) <= FEWEST or (sum(samples) < ENOUGH_S and len(samples) < MOST):
        start = clock()
        call()
        samples.append(clock() - start)
        if samples[0] > LONG_S:
            return samples[0]
    return min(samples[1:])
