"""What do rounding, memory, algorithms and operation counts make of this problem? The last four of the questions."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from dataclasses import replace
from math import ceil, gcd, prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from convbench.backends.unfold_matmul import unfold_matmul
from convbench.case import Case, Problem
from convbench.errors import ConvbenchError, first_line
from convbench.explain.algorithms.catalogue import ALGORITHMS
from convbench.explain.ledger import Ledger
from convbench.explain.ran import glance
from convbench.explain.sheet import Sheet, convolve, hollow, shape_of_y, unfolded_shape
from convbench.explain.steps import inside, measure_axes
from convbench.spec import ITEM_NBYTES, ConvSpec
from convbench.verify.bounds import gamma
from convbench.verify.check import make_exam
from convbench.verify.oracle import conv2d_float64
from convbench.verify.trial import conditions

CUTLASS_DOC = "CUTLASS, implicit_gemm_convolution.md"
ITEM = ITEM_NBYTES["fp32"]
MEMORY_NBYTES = 2**33  # of the example: eight GiB
TILE = (8, 128)  # taps and positions of an implicit GEMM's tile in the example
LARGEST_TILE = 6  # of Winograd in use: F(4x4, 3x3), Lavin and Gray 2016
U32, U64 = 2.0**-24, 2.0**-53


# ----------------------------------------------------------------------------- not-equal


def not_equal(sheet: Sheet) -> str:
    """Two right answers in fp32, how far apart they are, and how far from float64."""
    ours = sheet.spec
    found = _race(ours, sheet.seed)
    if torch.equal(*found[2:]):
        for other in _longer(ours):
            longer = _race(other, sheet.seed)
            if not torch.equal(*longer[2:]):
                found, sheet.spec = longer, other
                sheet.stand_in = (
                    "there the two are equal bit for bit: torch sums in the same order, or has little to sum"
                )
                break
    x, w, conv, unfolded = found
    spec = sheet.spec
    case = Case(problem=Problem(suite="shape", name=str(spec), spec=spec), seed=sheet.seed)
    exam = make_exam(case, x, w, drawn=True)
    y = exam.truth.y
    again_y = convolve(x.double(), w.double(), spec)
    magnitude = convolve(x.double().abs(), w.double().abs(), spec)
    taps = float(len(w[0].flatten()))
    slack = float((2 * gamma(taps + 2, U64) * magnitude).max())  # both truths are sums in float64
    sheet.check("float64", y, again_y, "F.conv2d in float64", within=slack)
    difference = conv.double() - unfolded.double()
    sheet.number(
        "apart", float(difference.abs().max()), torch.dist(conv.double(), unfolded.double(), p=torch.inf), "torch.dist"
    )
    sheet.number("differ", int((conv != unfolded).sum()), int(difference.count_nonzero()), "their difference")
    sheet.number("outputs", conv.numel(), prod(shape_of_y(spec)), "F.conv2d's shape")
    close = torch.allclose(unfolded, conv)
    beyond = (unfolded - conv).abs() > 1e-8 + 1e-5 * conv.abs()
    sheet.check("allclose", close, not bool(beyond.any()), "|a − b| <= 1e-8 + 1e-5·|b| by hand")
    sheet.number("beyond", int(beyond.sum()), int((~torch.isclose(unfolded, conv)).sum()), "torch.isclose")
    # The hard bound, by hand: gamma_{n+2} times the sum of the absolute products, and fp32's own rounding of y.
    one = replace(spec, n=1, c=1, k=1, groups=1)
    ones = (torch.ones(shape, dtype=torch.float64) for shape in (one.x_shape, one.w_shape))
    taps_in = spec.c_per_group * convolve(next(ones), next(ones), one)
    steps = taps_in.round() + 2
    allowed = torch.where(taps_in > 0, gamma(steps, U32) * magnitude + steps * torch.finfo(torch.float32).tiny, 0.0)
    low, high = (again_y - allowed).float().double(), (again_y + allowed).float().double()
    rows = []
    again = []
    for label, out in (("F.conv2d", conv), ("unfold + matmul", unfolded)):
        checked = exam.check(out, "vendor" if out is conv else "im2col")
        side = torch.where(out.double() >= again_y, high - again_y, again_y - low)
        by_hand = ((out.double() - again_y).abs() / side).nan_to_num(nan=0.0).max()
        name = "conv" if out is conv else "unfold"
        error = float((out.double() - y).abs().max())
        error_again = float((out.double() - again_y).abs().max())
        sheet.number(name, error, error_again, "float64 by F.conv2d", within=slack)
        sheet.number(f"{name}_share", checked.worst_of_bound, float(by_hand), "the bound by hand", within=1e-6)
        sheet.check(f"{name} in its bound", checked.passed, True, "the bound of convbench verify")
        rows.append((label, (error, checked.worst_of_bound)))
        again.append((error_again, float(by_hand)))
    sheet.check(
        "triangle",
        sheet.numbers["apart"] <= sheet.numbers["conv"] + sheet.numbers["unfold"] + slack,
        True,
        "both errors",
    )
    verdict = "True" if close else "False"
    sheet.say(
        "Random normal x and w in fp32: {differ:,} of {outputs:,} outputs differ, by at most {apart:.2g}. "
        "torch.allclose "
        f"with its defaults says {verdict}" + (": {beyond:,} outputs are beyond it." if not close else ".")
    )
    sheet.table(
        ("from float64", "of the bound"), rows, again, "float64 by F.conv2d, the bound by hand", within=max(slack, 1e-6)
    )
    sheet.say(
        "Both are right: the bound is what any order of summation may err (gamma_{{n+2}}·Σ|x·w|), and each lies within "
        "{conv_share:.2g} and {unfold_share:.2g} of it."
    )
    doubled = unfold_matmul.fn(x.double(), w.double(), spec)
    sheet.number(
        "apart64", float((doubled - again_y).abs().max()), torch.dist(doubled, again_y, p=torch.inf), "torch.dist"
    )
    sheet.say("The same two in float64 are {apart64:.2g} apart: the difference is rounding, and shrinks with it.")
    whole = sheet.operands if sheet.spec == ours else (x.mul(8).round().double(), w.mul(8).round().double())
    same = unfold_matmul.fn(*whole, spec) - convolve(*whole, spec)
    exact = conv2d_float64(*whole, spec) - convolve(*whole, spec)
    sheet.number("whole", float(same.abs().max()), float(exact.abs().max()), "shifted views of x, summed")
    sheet.say("On whole numbers, whose sums are exact in any order, they are {whole:g} apart.")
    try:
        F.unfold(torch.ones((1, 1, 2, 2), dtype=torch.int64), 1)
    except (RuntimeError, NotImplementedError) as refusal:
        sheet.word("int64", first_line(refusal))
        sheet.say("(F.unfold wants them as floating point; of int64 it says: {int64}.)")
    sheet.note(
        "torch.allclose has one tolerance for every length of sum. Compare with float64 instead, or with a bound that "
        "knows the sum: convbench verify does."
    )
    if not sheet.numbers["apart"]:
        return (
            "Here it is: both sum in the same order, or have a single product to sum. Longer sums differ in their "
            "last bits."
        )
    return (
        "Because sums round, and the two add in another order. They are {apart:.2g} apart here, while each is only "
        "{conv:.2g} "
        "and {unfold:.2g} away from float64: neither is wrong."
    )


def _race(spec: ConvSpec, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x and w, random normal in fp32, and y by F.conv2d and by unfold and matmul."""
    generator = torch.Generator().manual_seed(seed)
    x, w = (torch.randn(shape, generator=generator) for shape in (spec.x_shape, spec.w_shape))
    with conditions(Case(problem=Problem(suite="shape", name=str(spec), spec=spec))):
        return x, w, convolve(x, w, spec), unfold_matmul.fn(x, w, spec)


def _longer(spec: ConvSpec) -> list[ConvSpec]:
    """Problems with more to sum: more channels, then what torch gives to a library with an order of its own."""
    found = []
    for c, size, n in ((16, 1, 1), (16, 1, 2), (32, 16, 2)):
        wider = c // gcd(c, spec.groups) * spec.groups
        try:
            one = replace(spec, n=n, c=max(spec.c, wider), h=max(spec.h, size), w=max(spec.w, size))
        except ConvbenchError:
            continue
        if one.macs < 10**8:
            found.append(one)
    return [*found, ConvSpec(n=2, c=32, h=16, w=16, k=8, r=3, s=3)]


# ----------------------------------------------------------------------------- memory


def memory(sheet: Sheet) -> str:
    """What the patch matrix takes, and what an implicit GEMM takes in its place."""
    spec = sheet.spec
    x = torch.empty(spec.x_shape, device="meta")
    images, rows, columns = unfolded_shape(spec)
    y = shape_of_y(spec)
    for name, value, again, by in (
        ("N", spec.n, sheet.x.shape[0], "x's shape"),
        ("C", spec.c, sheet.x.shape[1], "x's shape"),
        ("H", spec.h, sheet.x.shape[2], "x's shape"),
        ("W", spec.w, sheet.x.shape[3], "x's shape"),
        ("R", spec.r, sheet.w.shape[2], "w's shape"),
        ("S", spec.s, sheet.w.shape[3], "w's shape"),
        ("L", spec.p * spec.q, columns, "F.unfold's shape"),
        ("x", prod(spec.x_shape[1:]), sheet.x[0].numel(), "x's numbers"),
        ("patches", spec.c * spec.r * spec.s * spec.p * spec.q, rows * columns, "F.unfold's numbers"),
        ("x_nbytes", prod(spec.x_shape) * ITEM, x.nbytes, "torch's own count"),
        ("patches_nbytes", spec.patch_matrix_nbytes("fp32"), images * rows * columns * ITEM, "F.unfold's numbers"),
        ("y_nbytes", prod(spec.y_shape) * ITEM, prod(y) * ITEM, "F.conv2d's shape"),
        (
            "times",
            spec.patch_matrix_nbytes("fp32") / (prod(spec.x_shape) * ITEM),
            images * rows * columns / x.numel(),
            "F.unfold's numbers",
        ),
        ("taps", spec.r * spec.s, sheet.w[0, 0].numel(), "w's numbers"),
    ):
        sheet.number(name, value, again, by)
    sheet.say(
        "An image holds C·H·W = {C}·{H}·{W} = {x:,} numbers. Its patch matrix holds C·R·S·L = {C}·{R}·{S}·{L} = "
        "{patches:,}: "
        "each pixel stands there once for each patch that reads it. {times:.4g}× as many."
    )
    sheet.say("In fp32, with N={N}: x {x_nbytes:,} B, patches {patches_nbytes:,} B, y {y_nbytes:,} B.")
    without = (prod(spec.x_shape[1:]) + prod(spec.y_shape[1:])) * ITEM
    single = (x[0].nbytes + prod(y[1:]) * ITEM, x[0].nbytes + (prod(y[1:]) + rows * columns) * ITEM)
    with_patches = without + spec.patch_matrix_nbytes("fp32") // spec.n
    sheet.number("gib", MEMORY_NBYTES >> 30, MEMORY_NBYTES / 2**30, "the same in bytes")
    sheet.number("fit", MEMORY_NBYTES // without, int(MEMORY_NBYTES / single[0]), "torch's own count")
    sheet.number("fit_patches", MEMORY_NBYTES // with_patches, int(MEMORY_NBYTES / single[1]), "torch's own count")
    sheet.say(
        "Into {gib} GiB go x and y of {fit:,} images, and of {fit_patches:,} where all their patches are held as "
        "well: so a "
        "batch shrinks."
    )
    positions, taps = spec.n * spec.p * spec.q, spec.taps
    tile = min(TILE[0], taps) * min(TILE[1], positions) * ITEM
    whole = torch.empty((taps, positions), device="meta")
    sheet.number("tile_taps", min(TILE[0], taps), whole[: TILE[0]].shape[0], "a slice of the matrix")
    sheet.number("tile_positions", min(TILE[1], positions), whole[:, : TILE[1]].shape[1], "a slice of the matrix")
    sheet.number("tile", tile, whole[: TILE[0], : TILE[1]].numel() * ITEM, "a slice of the matrix")
    sheet.say(
        "An implicit GEMM computes indices and gathers a tile of the matrix when its product is due: {tile_taps} taps "
        "by "
        "{tile_positions} positions are {tile:,} B, and no more is ever there."
    )
    view = _windows(x, spec)
    sheet.number("windows", view.numel(), spec.n * spec.c * spec.r * spec.s * spec.p * spec.q, "N·C·R·S·P·Q")
    padded = spec.n * spec.c * (spec.h + 2 * spec.padding[0]) * (spec.w + 2 * spec.padding[1]) * ITEM
    sheet.number("stored", view.untyped_storage().nbytes(), padded, "N·C times the padded image")
    sheet.say(
        "The patches can be seen without being stored, too: x.unfold(2, ...).unfold(3, ...) is a view of {windows:,} "
        "numbers on "
        "{stored:,} B of padded x. The reshape to a matrix is what copies."
    )
    sheet.note(
        "Hungry is F.unfold, and each library that stores the matrix. A framework that forms tiles, or reads x "
        "directly, "
        "is not: see the question 'algorithm' for what torch does here."
    )
    if spec.patch_matrix_nbytes("fp32") <= prod(spec.x_shape) * ITEM:
        return (
            "It is not, here: the patch matrix is {times:.4g}× as large as x ({patches:,} and {x:,} numbers an image)."
        )
    return (
        "A pixel is copied once for each patch that holds it: {patches:,} numbers for {x:,}, {times:.4g}× as much, "
        "where the "
        "kernel has {taps} taps."
    )


def _windows(x: Tensor, spec: ConvSpec) -> Tensor:
    """(N, C, P, Q, R, S), a view of padded x."""
    pad_h, pad_w = spec.padding
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h))
    views = padded.unfold(2, spec.kernel_extent[0], spec.stride[0]).unfold(3, spec.kernel_extent[1], spec.stride[1])
    return views[..., :: spec.dilation[0], :: spec.dilation[1]]


# ----------------------------------------------------------------------------- algorithm


def algorithm(sheet: Sheet) -> str:
    """What torch selects here, and what the fast algorithms would take."""
    spec = sheet.spec
    seen = glance(spec)
    name, sentence = seen.name, f"{seen.sentence}."
    sheet.word("took", name)
    sheet.word("ran", sentence)
    sheet.say("F.conv2d in fp32 on this machine's CPU: {ran}")
    multiplications = prod(spec.y_shape) * spec.taps
    rows: list[tuple[str, tuple[float, float]]] = [
        ("direct", (multiplications, 0)),
        ("im2col", (multiplications, spec.patch_matrix_nbytes("fp32"))),
    ]
    m, n, k = spec.gemm
    again: list[tuple[float, float]] = [
        (m * n * k * spec.groups, 0),
        (spec.k * k * n, prod(unfolded_shape(spec)) * ITEM),
    ]
    reasons = _reasons(spec)
    tile = choose_tile(spec)
    if reasons["winograd"] is None and tile is not None:
        sides = (tile[0] + spec.r - 1, tile[1] + spec.s - 1)
        tiles = spec.n * ceil(spec.p / tile[0]) * ceil(spec.q / tile[1])
        counted = spec.n * len(range(0, spec.p, tile[0])) * len(range(0, spec.q, tile[1]))
        numbers = prod(sides) * (tiles * (spec.c + spec.k) + spec.k * spec.c_per_group)
        shapes = ((counted, spec.c, *sides), (spec.k, spec.c_per_group, *sides), (counted, spec.k, *sides))
        each = torch.empty((counted, spec.k, spec.c_per_group, *sides), device="meta").numel()
        name = f"Winograd F({tile[0]}×{tile[1]}, {spec.r}×{spec.s})"
        rows.append((name, (tiles * prod(sides) * spec.k * spec.c_per_group, numbers * ITEM)))
        again.append((each, sum(prod(shape) for shape in shapes) * ITEM))
        sheet.number(
            "winograd",
            multiplications / (tiles * prod(sides) * spec.k * spec.c_per_group),
            m * n * k * spec.groups / each,
            "the counts again",
        )
        sheet.say(
            "Winograd would take {winograd:.3g}× fewer multiplications, its transforms apart. It applies to this "
            "problem, for stride and dilation are 1; whether a library has it for this device is said below."
        )
    else:
        sheet.word("no_winograd", reasons["winograd"] or "a tile would be too large")
        sheet.say("Winograd does not apply here: {no_winograd}.")
    if reasons["fft"] is None:
        size = tuple(
            2 ** (extent + 2 * pad - 1).bit_length() for extent, pad in zip((spec.h, spec.w), spec.padding, strict=True)
        )
        spectrum = size[0] * (size[1] // 2 + 1)
        planes = (spec.n * spec.c, spec.k * spec.c_per_group, spec.n * spec.k)
        bins = prod(torch.fft.rfft2(torch.empty((1, *size), device="meta")).shape)
        products = 4 * spec.n * spec.k * spec.c_per_group  # real ones of each complex one
        rows.append((f"FFT {size[0]}×{size[1]}", (products * spectrum, sum(planes) * spectrum * 2 * ITEM)))
        again.append(
            (products * bins, sum(prod(s[:2]) for s in (spec.x_shape, spec.w_shape, spec.y_shape)) * bins * 2 * ITEM)
        )
        sheet.number(
            "fft",
            products * spectrum / multiplications,
            products * bins / (m * n * k * spec.groups),
            "the counts again",
        )
        sheet.check("y by FFT", _by_fft(sheet, size).round(), convolve(sheet.one_x, sheet.one_w, sheet.one), "F.conv2d")
        kind = "fewer" if sheet.numbers["fft"] < 1 else "more"
        sheet.say(
            f"An FFT computes it too, with {{fft:.3g}}× the multiplications ({kind}) plus the transforms; the larger "
            "the "
            "kernel, the better it stands, as its cost does not grow with the taps."
        )
    else:
        sheet.word("no_fft", reasons["fft"])
        sheet.say("FFT is not shown here: {no_fft}.")
    sheet.table(("multiplications", "extra B, fp32"), rows, again, "counted another way")
    one = replace(spec, n=1, c=1, k=1, groups=1)
    axes = measure_axes(spec)
    nonzeros = prod(int(inside(axis).sum()) for axis in axes)
    sheet.number("nonzeros", nonzeros, _toeplitz_nonzeros(one), "ones convolved with ones")
    sheet.number(
        "places", spec.p * spec.q * spec.h * spec.w, prod(shape_of_y(one)) * prod(sheet.x.shape[2:]), "P·Q times H·W"
    )
    sheet.note(
        "'Not performed on images; it is linear algebra' is right as mathematics: for one channel y is a matrix times "
        "x, "
        "with {nonzeros:,} nonzeros of {places:,}. As an account of what runs it depends on the shape: see above."
    )
    sheet.note(
        "'Nested loops are inefficient' is true of interpreted, unblocked ones. What libraries call direct is nested "
        "loops too, compiled and blocked for the caches, and often the fastest. Data sets and loaders have no part in "
        "it."
    )
    sheet.note(
        "Winograd in cuDNN needs a three by three kernel; oneDNN has it on GPUs and AArch64 only, not on x86. FFT "
        "needs room "
        "for the spectra. What a call really runs is watched by convbench explain --ran: primitive, layouts, memory."
    )
    fits = "does not apply" if "no_winograd" in sheet.numbers else "would take {winograd:.3g}× fewer multiplications"
    where = "" if "no_winograd" in sheet.numbers else ", where a library has it (oneDNN not on x86)"
    return f"Here F.conv2d took {{took}}. Winograd {fits}{where}; an FFT pays only for large kernels."


def choose_tile(spec: ConvSpec) -> tuple[int, int] | None:
    """Outputs of one Winograd tile, of the fewest multiplications with tiles up to the largest in use."""
    found = []
    for taps, outputs in ((spec.r, spec.p), (spec.s, spec.q)):
        sizes = [1] if taps == 1 else range(2, LARGEST_TILE - taps + 2)
        ranked = sorted(sizes, key=lambda m: (ceil(outputs / m) * (m + taps - 1), m))
        if not ranked:
            return None
        found.append(ranked[0])
    return found[0], found[1]


def _by_fft(sheet: Sheet, size: tuple[int, ...]) -> Tensor:
    """y (1, 1, P, Q) of the cell's filter by the convolution theorem; the kernel is conjugated as it is not flipped."""
    spec = sheet.one
    pad_h, pad_w = spec.padding
    x = F.pad(sheet.one_x, (pad_w, pad_w, pad_h, pad_h))
    w = sheet.one_w.new_zeros((1, spec.c, *spec.kernel_extent))
    w[:, :, :: spec.dilation[0], :: spec.dilation[1]] = sheet.one_w
    product = (torch.fft.rfft2(x, s=size) * torch.fft.rfft2(w, s=size).conj()).sum(1, keepdim=True)
    full: Tensor = torch.fft.irfft2(product, s=size)
    return full[..., : spec.p * spec.stride[0] : spec.stride[0], : spec.q * spec.stride[1] : spec.stride[1]]


def _toeplitz_nonzeros(one: ConvSpec) -> int:
    ones = torch.ones(one.x_shape, dtype=torch.float64), torch.ones(one.w_shape, dtype=torch.float64)
    return round(float(convolve(*ones, one).sum()))


def _reasons(spec: ConvSpec) -> dict[str, str | None]:
    """Why Winograd and FFT do not do a problem; None where they do."""
    reasons = {one.name: one.why_not(spec) for one in ALGORITHMS if one.name in ("winograd", "fft")}
    if reasons["winograd"] is None and spec.r * spec.s == 1:
        reasons["winograd"] = "a 1x1 kernel leaves no product to save"
    if reasons["winograd"] is None and max(spec.r, spec.s) >= LARGEST_TILE:
        reasons["winograd"] = f"its kernel is as large as the largest tile in use, {LARGEST_TILE}×{LARGEST_TILE}"
    return reasons


# ----------------------------------------------------------------------------- flops


def flops(sheet: Sheet) -> str:
    """The work in every unit, and the bytes that it stands beside."""
    spec = sheet.spec
    outputs, taps = prod(spec.y_shape), spec.taps
    with FlopCounterMode(display=False) as counter:
        x, w = hollow(spec)
        y = convolve(x, w, spec)
    m, n, k = spec.gemm
    products = int(
        convolve(
            torch.ones((1, 1, spec.h, spec.w)).double(),
            torch.ones((1, 1, spec.r, spec.s)).double(),
            replace(spec, n=1, c=1, k=1, groups=1),
        ).sum()
    )
    for name, value, again, by in (
        ("macs", outputs * taps, counter.get_total_flops() // 2, "half of torch's FlopCounterMode"),
        ("flops", 2 * outputs * taps, counter.get_total_flops(), "torch's FlopCounterMode"),
        ("outputs", outputs, y.numel(), "F.conv2d's shape"),
        ("taps", taps, w[0].numel(), "numbers in a filter"),
        ("mul", outputs * taps, m * n * k * spec.groups, "the product's M·N·K"),
        ("add", outputs * (taps - 1), m * n * (k - 1) * spec.groups, "the product's M·N·(K−1)"),
        ("exact", outputs * (2 * taps - 1), m * n * (2 * k - 1) * spec.groups, "the product's M·N·(2K−1)"),
        ("bias", outputs, m * n * spec.groups, "the product's M·N"),
        ("inner", spec.inner_macs, products * spec.n * spec.k * spec.c_per_group, "ones convolved with ones"),
    ):
        sheet.number(name, value, again, by)
    _check_ledger(sheet)
    sheet.say("{macs:,} MACs: {outputs:,} outputs of {taps:,} multiply-adds each. At two FLOPs a MAC: {flops:,} FLOPs.")
    sheet.say(
        "Exactly: {mul:,} multiplications + {add:,} additions = {exact:,}; a sum takes one addition less than terms. "
        "A bias adds {bias:,} more."
    )
    if spec.inner_macs < spec.macs:
        sheet.say("{inner:,} of the MACs meet a pixel, the others a zero of the padding; most tools count them all.")
    sheet.say("What moves, each of x, w and y once, against what is computed (fp32):")
    variants = [("this problem", spec)]
    for label, change in (
        ("depthwise", {"k": spec.c * max(1, spec.k // spec.c), "groups": spec.c}),
        ("one filter", {"k": spec.groups}),
        (
            "1×1 kernel",
            {"r": 1, "s": 1, "padding": (0, 0), "dilation": (1, 1), "h": spec.p, "w": spec.q, "stride": (1, 1)},
        ),
    ):
        other = replace(spec, **change)
        if all(other != one for _, one in variants):
            variants.append((label, other))
    sheet.table(
        ("MACs", "B", "FLOP/B", "with patches"),
        [(label, (one.macs, one.nbytes("fp32"), one.intensity("fp32"), _with_patches(one))) for label, one in variants],
        [_measured(one) for _, one in variants],
        "FlopCounterMode and the tensors' own bytes",
        within=1e-9,
    )
    dense, depthwise = (
        next((one for label, one in variants if label == name), spec) for name in ("this problem", "depthwise")
    )
    if depthwise != dense and depthwise.macs < dense.macs:
        ratio, bytes_ratio = dense.macs / depthwise.macs, dense.nbytes("fp32") / depthwise.nbytes("fp32")
        ours, theirs = _measured(dense), _measured(depthwise)
        sheet.number("fewer", ratio, ours[0] / theirs[0], "FlopCounterMode", within=1e-9 * ratio)
        sheet.number("lighter", bytes_ratio, ours[1] / theirs[1], "the tensors' own bytes", within=1e-9 * bytes_ratio)
        sheet.say(
            "Depthwise has {fewer:.3g}× fewer MACs but moves only {lighter:.3g}× fewer bytes. A memory that is the "
            "limit sees the second."
        )
    sheet.number(
        "intensity",
        spec.intensity("fp32"),
        _measured(spec)[2],
        "FlopCounterMode and bytes",
        within=1e-9 * spec.intensity("fp32"),
    )
    sheet.number("patchy", _with_patches(spec), _measured(spec)[3], "FlopCounterMode and bytes", within=1e-9)
    sheet.note(
        "Papers say FLOPs and mean MACs, or twice as many; say which. The last column counts patches written once and "
        "read "
        "once: what im2col makes of the same work."
    )
    if spec.k_per_group == 1:
        sheet.note(
            "One filter for a group makes the product a matrix times a vector: each patch is used once, and the reuse "
            "that "
            "makes a GEMM fast cannot be seen in this problem."
        )
    return (
        "{macs:,} MACs, which are {flops:,} FLOPs at two a MAC and {exact:,} operations exactly. Fewer is not faster "
        "where bytes "
        "are the limit: here {intensity:.3g} FLOP stand against each byte ({patchy:.2g} with patches)."
    )


def _with_patches(spec: ConvSpec) -> float:
    """FLOP for each byte where the patches are written once and read once."""
    return spec.flops / (spec.nbytes("fp32") + 2 * spec.patch_matrix_nbytes("fp32"))


def _measured(spec: ConvSpec) -> tuple[float, float, float, float]:
    """MACs, bytes and FLOP a byte without and with patches, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        x, w = hollow(spec)
        y = convolve(x, w, spec)
    total, nbytes = counter.get_total_flops(), x.nbytes + w.nbytes + y.nbytes
    return total // 2, nbytes, total / nbytes, total / (nbytes + 2 * prod(unfolded_shape(spec)) * ITEM)


def _check_ledger(sheet: Sheet) -> None:
    """Compare with the cost ledger."""
    ledger = Ledger(spec=sheet.spec)
    for name, again in (
        ("macs", ledger.macs),
        ("mul", ledger.multiplications),
        ("add", ledger.additions),
        ("bias", ledger.bias_additions),
        ("inner", ledger.multiplications_on_image),
    ):
        sheet.check(f"{name}, ledger", sheet.numbers[name], again, "the cost ledger")
