"""Which ways of computing a convolution are right? The verifier may reject none of them.

They differ in the order of summation or in the algorithm, sum in float32 and round once at the end.
`convolve` is the index formula itself, from which `mutants` makes its bugs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convbench.backend import Backend
from convbench.case import Case
from convbench.spec import ConvSpec

Function = Callable[[Tensor, Tensor, ConvSpec], Tensor]
DTYPES = ("fp32", "bf16", "fp16")


PASSES = ("dgrad", "wgrad", "fused")  # of what a kernel brings, the functions that compute


def everywhere(_: Case) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One way to compute y (N, K, P, Q), right or with a bug in it.

    Attributes:
        words: what it does, or what a person did wrong.
        make: a fresh `fn(x, w, spec) -> y`: some remember things from call to call.
        kind: correct; or a bug of structure (another sum is computed), precision (the right sum, less
            exactly), behaviour (right numbers from a call that does what it must not), place (wrong for certain
            sizes and layouts alone), gradient or epilogue.
        dtypes: where it is a bug, or a way to compute, at all.
        fits: which cases of those dtypes it is for.
        family: how it sums, for its bound.
        probe: which probe should find the bug where the plain numbers do not.
        causes: regular expressions; a cause is true of the bug when one of them is found in its words.
        brings: what a backend may have besides, by name: dgrad, wgrad, fused, nondeterministic, any_padding.
    """

    name: str
    words: str
    make: Callable[[], Function]
    kind: str = "correct"
    dtypes: tuple[str, ...] = DTYPES
    fits: Callable[[Case], bool] = everywhere
    family: str = "direct"
    probe: str = ""
    causes: tuple[str, ...] = ()
    brings: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, case: Case) -> bool:
        return case.dtype in self.dtypes and self.fits(case)


def as_backend(kernel: Kernel) -> Backend:
    """A kernel that remembers nothing yet, as the verifier takes it."""
    brings: dict[str, Any] = {name: _quietly(one) if name in PASSES else one for name, one in kernel.brings.items()}
    return Backend(
        name=kernel.name,
        fn=_quietly(kernel.make()),
        family=kernel.family,
        source="the self-test",
        devices=frozenset({"cpu"}),
        dtypes=frozenset(kernel.dtypes),
        doc=kernel.words,
        refuse=lambda case: None if kernel.fits(case) else f"{kernel.name} is not for such a case",
        **brings,
    )


def _quietly(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same without numpy's warnings of NaN and infinity, which it is asked with on purpose."""

    @wraps(fn)
    def call(*given: Any) -> Tensor:
        with np.errstate(all="ignore"):
            return fn(*given)

    return call


def name_and_words(fn: Callable[..., object]) -> tuple[str, str]:
    """`tap_missing` is tap-missing; the first line of its docstring says what it does."""
    return fn.__name__.replace("_", "-"), (fn.__doc__ or "").strip().partition("\n")[0]


def correct(
    *, family: str = "direct", dtypes: tuple[str, ...] = DTYPES, fits: Callable[[Case], bool] = everywhere
) -> Callable[[Function], Kernel]:
    """Turn a function into a kernel that is right."""

    def wrap(fn: Function) -> Kernel:
        name, words = name_and_words(fn)
        return Kernel(name=name, words=words, make=lambda: fn, family=family, dtypes=dtypes, fits=fits)

    return wrap


def wide(tensor: Tensor) -> Tensor:
    """The same numbers in the dtype of the sums: float64 for float64, float32 for all others."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def round_once(y: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 to `dtype`, nearest, ties to even.

    torch goes through float32, which rounds twice for a 16-bit type. Rounded to odd on the way (Boldo and
    Melquiond 2008), the float32 remembers on which side of a tie it was.
    """
    if dtype == torch.float64:
        return y
    near = y.float()
    if dtype == torch.float32:
        return near
    inexact = (near.double() != y) & near.isfinite()
    cut = torch.where(inexact & (near.double().abs() > y.abs()), torch.nextafter(near, torch.zeros_like(near)), near)
    odd = cut.contiguous().view(torch.int32) | inexact.to(torch.int32)
    return odd.view(torch.float32).to(dtype)


def places(spec: ConvSpec, axis: int) -> Tensor:
    """(P, R) or (Q, S) int64: the row (axis 0) or column (1) of x that each tap of an output reads."""
    outs, taps = ((spec.p, spec.r), (spec.q, spec.s))[axis]
    first = torch.arange(outs)[:, None] * spec.stride[axis] - spec.padding[axis]
    return first + torch.arange(taps) * spec.dilation[axis]


def patches(
    x: Tensor, spec: ConvSpec, rows: Tensor | None = None, columns: Tensor | None = None, border: str = "zero"
) -> Tensor:
    """(N, G, C/G*R*S, P*Q) in the dtype of the sums: what each output reads, by the index formula.

    Args:
        rows, columns: `places` unless other ones are given.
        border: what lies beyond the image: "zero"; "edge" repeats its edge; on the right, "next" goes on
            with what is stored there, the next row.
    """
    if rows is None and columns is None and border == "zero":  # views are faster than indices
        padded = F.pad(wide(x), (spec.padding[1],) * 2 + (spec.padding[0],) * 2)
        (height, width), (down, right) = spec.kernel_extent, spec.dilation
        windows = padded.unfold(2, height, spec.stride[0]).unfold(3, width, spec.stride[1])[..., ::down, ::right]
        return windows.permute(0, 1, 4, 5, 2, 3).reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)
    row = (places(spec, 0) if rows is None else rows)[:, :, None, None]
    column = places(spec, 1) if columns is None else columns  # (P, R, Q, S) together
    inside = (row >= 0) & (row < spec.h) & (column >= 0)
    if border == "next":
        flat = row * spec.w + column
        inside &= flat < spec.h * spec.w
        flat = flat.where(inside, 0)
    else:
        inside &= column < spec.w
        flat = row.clamp(0, spec.h - 1) * spec.w + column.clamp(0, spec.w - 1)
    read = wide(x).flatten(2)[:, :, flat.flatten()]
    if border != "edge":
        read = torch.where(inside.flatten(), read, 0.0)
    read = read.reshape(spec.n, spec.c, *flat.shape).permute(0, 1, 3, 5, 2, 4)  # (N, C, R, S, P, Q)
    return read.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)


def by_group(w: Tensor, spec: ConvSpec) -> Tensor:
    """(G, K/G, C/G*R*S) in the dtype of the sums."""
    return wide(w).reshape(spec.groups, spec.k_per_group, spec.taps)


def convolve(
    x: Tensor,
    w: Tensor,
    spec: ConvSpec,
    *,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
    border: str = "zero",
) -> Tensor:
    """y (N, K, P, Q) of x's dtype; float64 operands give it in float64. See `patches` for the rest."""
    y = by_group(w, spec) @ patches(x, spec, rows, columns, border)
    return y.reshape(spec.y_shape).to(x.dtype)


def products(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """(C/G*R*S, N*K*P*Q) in the dtype of the sums: every term of every output."""
    read = patches(x, spec).permute(2, 0, 1, 3)[:, :, :, None]  # (T, N, G, 1, P*Q)
    weights = by_group(w, spec).permute(2, 0, 1)[:, None, :, :, None]  # (T, 1, G, K/G, 1)
    return (read * weights).reshape(spec.taps, -1)


def sum_in_order(terms: Tensor) -> Tensor:
    """The sum over the first axis in float32, one term after another: numpy's accumulate may do it no other way."""
    return torch.from_numpy(np.add.accumulate(terms.numpy(), axis=0)[-1])


def _finish(y: Tensor, x: Tensor, spec: ConvSpec) -> Tensor:
    return y.reshape(spec.y_shape).to(x.dtype)


def _torch(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """torch's own convolution without oneDNN, which is not known to be right, and NNPACK, which is Winograd and FFT.

    oneDNN of torch 2.15 (AVX512) takes memory that nobody wrote into the sums of x = 1x6748x6x1 and
    w = 4x6748x3x1 in fp32, channels last: NaN where the heap holds NaN. This self-test found it.
    """
    backends: Any = torch.backends
    before, backends.mkldnn.enabled = backends.mkldnn.enabled, False
    try:
        with backends.nnpack.flags(enabled=False):
            return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    finally:
        backends.mkldnn.enabled = before


@correct()
def torch_conv2d(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """torch's own convolution, in float32, without oneDNN"""
    return _torch(x.float(), w.float(), spec).to(x.dtype)


@correct()
def channels_last(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """torch's own convolution, in float32, without oneDNN, channels last"""
    data, kernel = (tensor.float().contiguous(memory_format=torch.channels_last) for tensor in (x, w))
    return _torch(data, kernel, spec).to(x.dtype)


def _unfolded(x: Tensor, spec: ConvSpec) -> Tensor:
    columns = F.unfold(x.float(), (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return columns.reshape(spec.n, spec.groups, spec.taps, spec.p * spec.q)


@correct(family="im2col")
def unfold_matmul(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """F.unfold and one matrix product a group"""
    return _finish(by_group(w, spec) @ _unfolded(x, spec), x, spec)


@correct(family="im2col")
def unfold_einsum(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """F.unfold and an einsum"""
    return _finish(torch.einsum("gkt,ngtp->ngkp", by_group(w, spec), _unfolded(x, spec)), x, spec)


@correct()
def taps_reversed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """One matrix product a tap, the last tap first"""
    area = spec.r * spec.s
    read = patches(x, spec).unflatten(2, (spec.c_per_group, area))
    kernel = by_group(w, spec).unflatten(2, (spec.c_per_group, area))
    y = torch.zeros(1)
    for tap in reversed(range(area)):
        y = y + kernel[..., tap] @ read[:, :, :, tap]
    return _finish(y, x, spec)


@correct()
def channels_reversed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """torch's own convolution, without oneDNN, the last channel of each group first"""
    data = x.float().unflatten(1, (spec.groups, spec.c_per_group)).flip(2).flatten(1, 2)
    return _torch(data, w.float().flip(1), spec).to(x.dtype)


@correct(family="implicit_gemm")
def split_k(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The sum in four parts, added at the end"""
    parts = zip(by_group(w, spec).chunk(4, dim=2), patches(x, spec).chunk(4, dim=2), strict=True)
    y = torch.zeros(1)
    for kernel, read in parts:
        y = y + kernel @ read
    return _finish(y, x, spec)


@correct()
def one_after_another(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every product rounded, and added to one accumulator in order"""
    return _finish(sum_in_order(products(x, w, spec)), x, spec)


@correct()
def last_term_first(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every product rounded, and added to one accumulator from the last to the first"""
    return _finish(sum_in_order(products(x, w, spec).flip(0)), x, spec)


@correct()
def shuffled_terms(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every product rounded, and added to one accumulator in a random order"""
    order = torch.randperm(spec.taps, generator=torch.Generator().manual_seed(spec.taps))
    return _finish(sum_in_order(products(x, w, spec)[order]), x, spec)


@correct()
def pairwise_tree(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Neighbours added in pairs until one is left"""
    terms = products(x, w, spec)
    while len(terms) > 1:
        rest = terms[len(terms) // 2 * 2 :]
        terms = torch.cat([terms[0 : len(terms) - len(rest) : 2] + terms[1::2], rest])
    return _finish(terms[0], x, spec)


@correct()
def kahan(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Compensated sums in lanes, and a compensated sum of the lanes (Kahan 1965)"""
    terms = products(x, w, spec).numpy()
    steps = int(np.ceil(len(terms) ** 0.5))
    lanes = -(-len(terms) // steps)
    padded = np.zeros((steps * lanes, terms.shape[1]), dtype=np.float32)
    padded[: len(terms)] = terms
    return _finish(torch.from_numpy(_compensated(_compensated(padded.reshape(steps, lanes, terms.shape[1])))), x, spec)


def _compensated(terms: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = np.zeros_like(terms[0])
    lost = np.zeros_like(total)
    for term in terms:
        step = term - lost
        new = total + step
        lost = np.where(np.isfinite(new), (new - total) - step, np.float32(0))  # beside infinity nothing is lost
        total = new
    return total


@correct()
def rounded_once(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Everything in float64, rounded once"""
    return round_once(convolve(x.double(), w.double(), spec), x.dtype)


def _small_kernel(case: Case) -> bool:
    spec = case.spec
    small = (spec.r, spec.s, spec.stride, spec.dilation) == (3, 3, (1, 1), (1, 1))
    return small and case.problem.operands != "large_and_small"  # where a transform overflows it is wrong


# B^T, G and A^T of F(2, 3) and F(4, 3) as Lavin and Gray 2016 print them, section 4.1.
_F2 = (
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    ((1, 1, 1, 0), (0, 1, -1, -1)),
)
_F4 = (
    (
        (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
    ),
    (
        (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
    ),
    ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)  # fmt: skip


def _winograd(x: Tensor, w: Tensor, spec: ConvSpec, matrices: tuple[tuple[tuple[float, ...], ...], ...]) -> Tensor:
    bt, g, at = (torch.tensor(matrix, dtype=torch.float32) for matrix in matrices)
    tile, out = len(bt), len(at)
    tiles_h, tiles_w = -(-spec.p // out), -(-spec.q // out)
    (top, left), (bottom, right) = spec.padding, (out * tiles_h + 2 - spec.h, out * tiles_w + 2 - spec.w)
    padded = F.pad(x.float(), (left, right - left, top, bottom - top))
    data = (bt @ padded.unfold(2, tile, out).unfold(3, tile, out) @ bt.T).unflatten(1, (spec.groups, spec.c_per_group))
    kernel = (g @ w.float() @ g.T).unflatten(0, (spec.groups, spec.k_per_group))
    y = (at @ torch.einsum("gkcab,ngchwab->ngkhwab", kernel, data) @ at.T).flatten(1, 2)  # (N, K, tiles, tiles, m, m)
    y = y.permute(0, 1, 2, 4, 3, 5).reshape(spec.n, spec.k, out * tiles_h, out * tiles_w)
    return y[..., : spec.p, : spec.q].to(x.dtype)


@correct(family="winograd", fits=_small_kernel)
def winograd_f2(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Winograd F(2x2, 3x3)"""
    return _winograd(x, w, spec, _F2)


@correct(family="winograd", fits=_small_kernel)
def winograd_f4(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Winograd F(4x4, 3x3)"""
    return _winograd(x, w, spec, _F4)


CORRECT = (
    torch_conv2d,
    channels_last,
    channels_reversed,
    unfold_matmul,
    unfold_einsum,
    taps_reversed,
    split_k,
    one_after_another,
    last_term_first,
    shuffled_terms,
    pairwise_tree,
    kahan,
    rounded_once,
    winograd_f2,
    winograd_f4,
)
