"""How does an FFT compute a convolution? It multiplies spectra, and one corner of the result is the answer.

The product of spectra is a circular correlation: outputs whose kernel hangs over the end read on at
the beginning. They are shown, and thrown away. float64 rounds here, so every number has a bound, and
where that of y is below a half, the integer next to it is the exact one.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import cmath
from dataclasses import dataclass
from math import log2, pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.explain.algorithms.trace import Again, Algorithm, AlgorithmStage, Fact, Matrix, Second, Trace
from convbench.explain.algorithms.work import Counts, Work, mark, too_many
from convbench.explain.geometry import channels, pad, window
from convbench.explain.steps import Cell
from convbench.spec import ConvSpec, Pair

MAX_NUMBERS = 2**23
UNIT = 2.0**-53
# Of a root of unity as computed: its angle is rounded twice (at most 2 * pi * UNIT), its sine and cosine once each.
ROOT_ERROR = 8 * UNIT


@dataclass(slots=True)
class Butterflies:
    """Counts the butterflies: each is one complex product and two complex sums."""

    count: int = 0

    @property
    def work(self) -> Work:
        return Work(multiplications=4 * self.count, additions=(2 + 4) * self.count)


def transform_size(spec: ConvSpec) -> Pair:
    """The powers of two that hold the padded image."""
    height, width = spec.padded
    return 1 << (height - 1).bit_length(), 1 << (width - 1).bit_length()


def why_not(spec: ConvSpec) -> str | None:
    height, width = transform_size(spec)
    planes = spec.n * spec.c + spec.k * spec.c_per_group + spec.n * spec.k
    return too_many(planes * height * width, "the spectra", MAX_NUMBERS)


def transform(numbers: Tensor, butterflies: Butterflies, *, inverse: bool = False) -> Tensor:
    """The DFT over the last two axes, powers of two, by Cooley and Tukey; the inverse divides by their product."""
    result = numbers.to(torch.complex128)
    for axis in (-1, -2):
        result = _radix_2(result.transpose(axis, -1), butterflies, inverse=inverse).transpose(axis, -1)
    return result / (result.shape[-1] * result.shape[-2]) if inverse else result


def _radix_2(numbers: Tensor, butterflies: Butterflies, *, inverse: bool) -> Tensor:
    """Over the last axis, decimated in time: the even and the odd ones first, then one butterfly for each pair."""
    size = numbers.shape[-1]
    if size == 1:
        return numbers
    even = _radix_2(numbers[..., ::2], butterflies, inverse=inverse)
    odd = _radix_2(numbers[..., 1::2], butterflies, inverse=inverse)
    turned = odd * _roots(size, inverse=inverse)
    butterflies.count += turned.numel()
    return torch.cat((even + turned, even - turned), dim=-1)


def _roots(size: int, *, inverse: bool) -> Tensor:
    """(size / 2,): the powers of the root of unity of this size."""
    turn = 2 * pi if inverse else -2 * pi
    return torch.tensor([cmath.rect(1.0, turn * i / size) for i in range(size // 2)], dtype=torch.complex128)


def form(algorithm: Algorithm, x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Trace:
    height, width = transform_size(spec)
    of_x, of_w, of_y = Butterflies(), Butterflies(), Butterflies()
    padded = torch.zeros((spec.n, spec.c, height, width), dtype=torch.float64)
    (pad_h, pad_w), (stride_h, stride_w), (dilation_h, dilation_w) = spec.padding, spec.stride, spec.dilation
    padded[..., pad_h : pad_h + spec.h, pad_w : pad_w + spec.w] = x
    image = transform(padded, of_x).reshape(spec.n, spec.groups, spec.c_per_group, height, width)
    spread = torch.zeros((spec.k, spec.c_per_group, height, width), dtype=torch.float64)
    extent_h, extent_w = spec.kernel_extent
    spread[..., :extent_h:dilation_h, :extent_w:dilation_w] = w
    kernel = transform(spread, of_w)
    circular = torch.empty((spec.n, spec.k, height, width), dtype=torch.float64)
    group = cell.k // spec.k_per_group
    products, sums = 0, 0
    for k in range(spec.k):  # one filter at a time: a product of spectra has C/G planes for each
        product = image[:, k // spec.k_per_group] * kernel[k].conj()
        products += product.numel()
        sums += product.numel() - product.numel() // spec.c_per_group
        summed = product.sum(dim=1)
        circular[:, k] = transform(summed, of_y, inverse=True).real
        if k == cell.k:
            spectrum = summed[cell.n]
    core = Work(multiplications=4 * products, additions=2 * products + 2 * sums)
    valid = (spec.padded[0] - extent_h + 1, spec.padded[1] - extent_w + 1)
    y = circular[..., : valid[0] : stride_h, : valid[1] : stride_w]
    bound = answer_bound(padded, spread, spec)
    exact = bound < 0.5 and are_whole(x, w)
    place = (cell.p * stride_h, cell.q * stride_w)
    first = group * spec.c_per_group
    shape = (height, width)
    kept = mark(shape, slice(0, valid[0], stride_h), slice(0, valid[1], stride_w))
    wrapped = mark(shape)
    wrapped[height - extent_h + 1 :], wrapped[:, width - extent_w + 1 :] = True, True
    patch = mark(
        shape,
        slice(place[0], place[0] + extent_h, dilation_h),
        slice(place[1], place[1] + extent_w, dilation_w),
    )
    taps = mark(shape, slice(0, extent_h, dilation_h), slice(0, extent_w, dilation_w))
    nothing = mark(shape)
    many = spec.c_per_group > 1
    stages = [
        AlgorithmStage(
            title="PAD TO POWERS OF TWO",
            formula=f"x padded and w {'spread out, both ' if spec.dilation != (1, 1) else ''}to {height}×{width}",
            matrices=(
                Matrix(f"x[{cell.n},{first}]", padded[cell.n, first], patch, role="patch"),
                Matrix(f"w[{cell.k},0]", spread[cell.k, 0], taps, role="kernel"),
            ),
        ),
        AlgorithmStage(
            title="SPECTRA",
            formula="X = DFT(x), W = DFT(w), once per weight; every number affects every output",
            matrices=(
                Matrix("X", image[cell.n, group, 0], nothing),
                Matrix("W", kernel[cell.k, 0], nothing),
            ),
        ),
        AlgorithmStage(
            title="MULTIPLY",
            formula="Z = X · conj(W), elementwise" + (f", summed over {spec.c_per_group} channels" if many else ""),
            matrices=(Matrix("Z", spectrum, nothing),),
        ),
        AlgorithmStage(
            title="TRANSFORM BACK",
            formula="IDFT(Z): the result, and what wrapped around (~)",
            matrices=(Matrix("IDFT(Z)", circular[cell.n, cell.k], mark(shape, *place), role="output", aside=wrapped),),
            facts=(
                Fact(
                    "Of the {} numbers {} are outputs and {} wrapped around; {} are beyond the last output or skipped "
                    "by a stride.",
                    (height * width, int(kept.sum()), int(wrapped.sum()), int((~kept & ~wrapped).sum())),
                ),
                Fact(
                    "By Higham's bound no output is more than {} from the truth"
                    + (", so the nearest integer is the exact result." if exact else "."),
                    (bound,),
                ),
            ),
        ),
    ]
    planes = spec.n * spec.c + spec.k * spec.c_per_group + spec.n * spec.k
    back, forth = of_y.work, of_x.work
    counts = Counts(
        core=core,
        transform=Work(
            # The division by the number of points: one real product for each number that is kept.
            multiplications=back.multiplications + forth.multiplications + circular.numel(),
            additions=back.additions + forth.additions,
        ),
        weights=of_w.work,
        stored=2 * planes * height * width,
        held=2 * planes * height * width,
    )
    return algorithm.trace(spec, cell, stages, y.round() if exact else y, counts)


def relative_error(points: int) -> float:
    """How far an FFT of this many points may be from the truth, as a share of its norm.

    Higham 2002, Accuracy and Stability of Numerical Algorithms, theorem 24.2: t*eta / (1 - t*eta), with
    t = log2(points), eta = mu + gamma_4 * (sqrt(2) + mu), and mu the error of the roots of unity. In
    two dimensions the t stages are those of the rows and then those of the columns.
    """
    eta = ROOT_ERROR + _gamma(4) * (sqrt(2) + ROOT_ERROR)
    stages = log2(points)
    return stages * eta / (1 - stages * eta)


def answer_bound(padded: Tensor, spread: Tensor, spec: ConvSpec) -> float:
    """The largest error of any output, from the norms of the padded images and the spread kernels.

    Let e be `relative_error`. X and W have norms sqrt(T)*|x| and sqrt(T)*|w| and an error of at most e
    of that. By Cauchy and Schwarz the sum of |X*W| is at most T*|x|*|w|; its error at most that times
    d = (1 + e)^2 * (1 + gamma_{C/G + 4}) - 1, for a complex product has an error of sqrt(2)*gamma_2
    (lemma 3.5) and each sum one rounding. The inverse divides by T and leaves at most d*|x|*|w|, and
    adds an error of e times the norm of what it is given: at most sqrt(T)*(1 + d)*|x|*|w|.
    """
    points = padded.shape[-1] * padded.shape[-2]
    if not padded.numel():
        return 0.0
    error = relative_error(points)
    images = padded.flatten(2).norm(dim=2).reshape(spec.n, spec.groups, 1, spec.c_per_group)
    kernels = spread.flatten(2).norm(dim=2).reshape(spec.groups, spec.k_per_group, spec.c_per_group)
    norms = float((images * kernels).sum(dim=-1).max()) * (1 + 1e-6)  # the norms are rounded, too
    spoiled = (1 + error) ** 2 * (1 + _gamma(spec.c_per_group + 4)) - 1
    return norms * (spoiled + (error + UNIT) * sqrt(points) * (1 + spoiled))


def are_whole(*tensors: Tensor) -> bool:
    return all(torch.equal(tensor, tensor.round()) for tensor in tensors)


def again(x: Tensor, w: Tensor, spec: ConvSpec, cell: Cell) -> Again:
    """Spectra by the definition, as a product with the matrix of all roots; the circular correlation by rolling x."""
    height, width = transform_size(spec)
    own, shape = channels(spec, cell), (height, width)
    image = _extend(pad(x, spec), shape)
    kernel = torch.zeros((spec.k, spec.c_per_group, height, width), dtype=torch.float64)
    for r in range(spec.r):
        for s in range(spec.s):
            kernel[:, :, r * spec.dilation[0], s * spec.dilation[1]] = w[:, :, r, s]
    here, weights = image[cell.n, own], kernel[cell.k]
    # No wider than T: a term is read at (i + r*dilation) mod T, integers all along.
    circular = torch.zeros(shape, dtype=torch.float64)
    for i, j in (weights != 0).any(dim=0).nonzero().tolist():
        circular += (here.roll((-i, -j), dims=(1, 2)) * weights[:, i, j, None, None]).sum(dim=0)
    seen = torch.zeros_like(pad(x, spec)[0, 0], dtype=torch.bool)
    seen[window(spec, cell.p, cell.q)] = True
    taps = mark(spec.kernel_extent)
    taps[:: spec.dilation[0], :: spec.dilation[1]] = True
    place = mark(shape)
    place[cell.p * spec.stride[0], cell.q * spec.stride[1]] = True
    # What hangs over the end: of T rows the last ones, as many as the kernel has beyond its first.
    over = [torch.arange(size) + extent > size for size, extent in zip(shape, spec.kernel_extent, strict=True)]
    wrapped = over[0][:, None] | over[1]
    bound = answer_bound(image, kernel, spec)
    exact = bound < 0.5 and are_whole(x, w)
    first = int(own[0])
    unwrapped = (height - spec.kernel_extent[0] + 1) * (width - spec.kernel_extent[1] + 1)
    nothing = mark(shape)
    return Again(
        matrices=(
            Second(f"x[{cell.n},{first}]", "padded x", here[0], _extend(seen, shape)),
            Second(f"w[{cell.k},0]", "w, weight by weight", weights[0], _extend(taps, shape)),
            _spectrum("X", here[0], nothing, _error_of(here[0])),
            _spectrum("W", weights[0], nothing, _error_of(weights[0])),
            _spectrum("Z", circular, nothing, _error_of_product(here, weights)),
            Second("IDFT(Z)", "x rolled round, exactly", circular, place, aside=wrapped, bound=bound),
        ),
        values=((height * width, spec.p * spec.q, int(wrapped.sum()), unwrapped - spec.p * spec.q), (bound,)),
        counts=_counts_again(spec),
        bound=0.0 if exact else bound,
    )


def _extend(plane: Tensor, shape: Pair) -> Tensor:
    return F.pad(plane, (0, shape[1] - plane.shape[-1], 0, shape[0] - plane.shape[-2]))


def _spectrum(label: str, plane: Tensor, followed: Tensor, bound: float) -> Second:
    """The DFT of a plane (T_h, T_w) as two products with matrices of roots, and the bounds of both ways to it.

    A row has T products and sums, each with an error of at most gamma_4: gamma_{T + 4} besides that of the roots.
    """
    roots = [_all_roots(size) for size in plane.shape]
    error = (1 + ROOT_ERROR) ** 2 * (1 + _gamma(plane.shape[0] + 4)) * (1 + _gamma(plane.shape[1] + 4)) - 1
    return Second(
        label,
        "the DFT by its definition",
        roots[0] @ plane.to(torch.complex128) @ roots[1],
        followed,
        bound=bound + 2 * error * float(plane.abs().sum()),
    )


def _all_roots(size: int) -> Tensor:
    """(size, size), symmetric: the roots to the powers i*j, each computed by itself."""
    powers = torch.arange(size)[:, None] * torch.arange(size) % size
    return torch.tensor([cmath.rect(1.0, -2 * pi * i / size) for i in range(size)], dtype=torch.complex128)[powers]


def _error_of(plane: Tensor) -> float:
    return relative_error(plane.numel()) * sqrt(plane.numel()) * float(plane.norm())


def _error_of_product(images: Tensor, kernels: Tensor) -> float:
    """T * d * the sum over the channels of |x|*|w|, as in `answer_bound`."""
    points = images.shape[-1] * images.shape[-2]
    norms = float((images.flatten(1).norm(dim=1) * kernels.flatten(1).norm(dim=1)).sum()) * (1 + 1e-6)
    return points * norms * ((1 + relative_error(points)) ** 2 * (1 + _gamma(len(images) + 4)) - 1)


def _counts_again(spec: ConvSpec) -> Counts:
    height, width = transform_size(spec)
    points = height * width
    each = points // 2 * (points.bit_length() - 1)  # butterflies of a plane: T/2 * log2(T)
    images, kernels, outputs = spec.n * spec.c, spec.k * spec.c_per_group, spec.n * spec.k
    products = outputs * spec.c_per_group * points
    sums = outputs * (spec.c_per_group - 1) * points
    numbers = 2 * (images + kernels + outputs) * points
    return Counts(
        core=Work(multiplications=4 * products, additions=2 * products + 2 * sums),
        transform=Work(
            multiplications=4 * each * (images + outputs) + outputs * points,
            additions=6 * each * (images + outputs),
        ),
        weights=Work(multiplications=4 * each * kernels, additions=6 * each * kernels),
        stored=numbers,
        held=numbers,
    )


def _gamma(steps: int) -> float:
    return steps * UNIT / (1 - steps * UNIT)


FFT = Algorithm(
    name="fft",
    title=lambda spec: "FFT {}×{}".format(*transform_size(spec)),
    idea="By the Fourier transform a convolution is a product of spectra, number by number; then transform back.",
    source="Mathieu, Henaff, LeCun 2014, Fast Training of Convolutional Networks through FFTs",
    why_not=why_not,
    form=form,
    again=again,
)
