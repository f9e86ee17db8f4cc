"""What does a problem cost: memory, by which algorithm, how many operations?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from dataclasses import replace
from math import prod

import torch
from torch import Tensor
from torch.utils.flop_counter import conv_flop_count

from convbench.explain.algorithms.fft import FFT
from convbench.explain.algorithms.unfold import UNFOLD_MATMUL
from convbench.explain.algorithms.winograd import winograd
from convbench.explain.geometry import windows
from convbench.explain.ledger import Ledger
from convbench.explain.sheet import Sheet, Table
from convbench.explain.steps import inside, measure_axes
from convbench.ran.by_torch import convolve, hollow, shape_of_y, unfolded_shape
from convbench.ran.claims import sentence
from convbench.ran.watch import glance
from convbench.spec import ITEM_NBYTES, ConvSpec

ITEM = ITEM_NBYTES["fp32"]
MEMORY_NBYTES = 2**33  # of the example: eight GiB
TILE = (8, 128)  # taps and positions of an implicit GEMM's tile in the example


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
    copies = spec.inner_macs * spec.groups // (spec.n * spec.k)
    on_image = spec.c * _toeplitz_nonzeros(spec.plane)
    sheet.number("copies", copies, on_image, "ones convolved with ones")
    zeros = spec.c * spec.r * spec.s * spec.p * spec.q - copies
    sheet.number("zeros", zeros, rows * columns - on_image, "F.unfold's numbers without those copies")
    why = "each pixel once for each patch that reads it"
    why += " ({copies:,}), and {zeros:,} zeros of the padding" if zeros else ""
    sheet.say(
        f"An image has $C·H·W = {{C}}·{{H}}·{{W}} = {sheet.count('x', 'number')}. "
        "Its patch matrix has $C·$R·$S·L = {C}·{R}·{S}·{L} = "
        "{patches:,}, with L = $P·$Q locations, {times:.4g}× as many: " + why + "."
    )
    sheet.say("In fp32, with $N={N}: x {x_nbytes:,} B, patches {patches_nbytes:,} B, y {y_nbytes:,} B.")
    without = (prod(spec.x_shape[1:]) + prod(spec.y_shape[1:])) * ITEM
    single = (x[0].nbytes + prod(y[1:]) * ITEM, x[0].nbytes + (prod(y[1:]) + rows * columns) * ITEM)
    with_patches = without + spec.patch_matrix_nbytes("fp32") // spec.n
    sheet.given(gib=MEMORY_NBYTES >> 30)
    sheet.number("fit", MEMORY_NBYTES // without, int(MEMORY_NBYTES / single[0]), "torch's own count")
    sheet.number("fit_patches", MEMORY_NBYTES // with_patches, int(MEMORY_NBYTES / single[1]), "torch's own count")
    sheet.say(
        "{gib} GiB hold x and y of {fit:,} images, but only of {fit_patches:,} if all their "
        "patches are stored too: the batch has to shrink."
    )
    positions, taps = spec.n * spec.p * spec.q, spec.taps
    tile = min(TILE[0], taps) * min(TILE[1], positions) * ITEM
    whole = torch.empty((taps, positions), device="meta")
    sheet.number("tile_taps", min(TILE[0], taps), whole[: TILE[0]].shape[0], "a slice of the matrix")
    sheet.number("tile_positions", min(TILE[1], positions), whole[:, : TILE[1]].shape[1], "a slice of the matrix")
    sheet.number("tile", tile, whole[: TILE[0], : TILE[1]].numel() * ITEM, "a slice of the matrix")
    size = f"{sheet.count('tile_taps', 'kernel element')} by {sheet.count('tile_positions', 'position')}"
    sheet.say(
        "An implicit GEMM computes indices and builds one tile of the matrix at a time, just before its product. "
        + (
            f"A tile of {size}, for example, is {{tile:,}} B, and no more is stored."
            if (taps, positions) != (sheet.numbers["tile_taps"], sheet.numbers["tile_positions"])
            else f"Here a single tile holds the whole matrix, {size}, {{tile:,}} B, so it would save no memory."
        )
    )
    view = windows(x, spec)
    try:
        view.permute(0, 1, 4, 5, 2, 3).view(spec.n, -1, spec.p * spec.q)
        copied = "Here even the reshape to a matrix is a view."
    except RuntimeError:  # no strides walk through the patches as a matrix
        only = "Only" if spec.padded == (spec.h, spec.w) else "After the padding, only"
        copied = f"{only} the reshape to a matrix copies."
    sheet.number("windows", view.numel(), spec.n * spec.c * spec.r * spec.s * spec.p * spec.q, "$N·$C·$R·$S·$P·$Q")
    padded = spec.n * spec.c * prod(spec.padded) * ITEM
    sheet.number("stored", view.untyped_storage().nbytes(), padded, "$N·$C times the padded image")
    sheet.say(
        "You can also view the patches without storing them: x.unfold(2, ...).unfold(3, ...) is a view of "
        f"{sheet.count('windows', 'number')} on {{stored:,}} B of {'padded x' if max(spec.sides) else 'x'}. {copied}"
    )
    sheet.note(
        "F.unfold needs this memory, and so does every library that stores the matrix. One that builds tiles, or "
        "reads x "
        "directly, "
        "does not: see the question 'algorithm' for what torch does here."
    )
    if spec.patch_matrix_nbytes("fp32") <= prod(spec.x_shape) * ITEM:
        return (
            "It is not, here: the patch matrix is {times:.4g}× as large as x ({patches:,} and {x:,} numbers per image)."
        )
    return (
        "The patch matrix has {patches:,} numbers for the {x:,} of x, {times:.4g}× as many: "
        + why
        + f". The kernel has {sheet.count('taps', 'element')} per channel."
    )


def algorithm(sheet: Sheet) -> str:
    """What torch selects here, and what other algorithms take for the same numbers."""
    spec = sheet.spec
    seen = glance(spec)
    sheet.word("took", seen.name)
    sheet.word("ran", f"{sentence(seen)}.")
    sheet.word("evened", str(spec.evened))
    beforehand = ", with x padded first to {evened}" if any(spec.surplus) else ""
    sheet.say(f"F.conv2d in fp32 on this machine's CPU{beforehand}: {{ran}}")
    m, n, k = spec.gemm
    sheet.number("direct", spec.macs, m * n * k * spec.groups, "the product's sizes")
    rows = [("direct", (spec.macs, 0))]
    for one in (UNFOLD_MATMUL, winograd(), FFT):
        title = one.title(spec)
        if (why_not := one.why_not(spec)) is not None:
            sheet.word(f"no_{one.name}", why_not)
            sheet.word(f"name_{one.name}", title)
            sheet.say(f"{{name_{one.name}}} is not shown here: {{no_{one.name}}}.")
            continue
        trace = one.run(sheet.x, sheet.w, spec, sheet.cell)
        sheet.proof += trace.proof  # its counts and its y are compared there
        core = trace.counts.core.multiplications
        rows.append((title, (core, trace.extra_nbytes)))
        sheet.given(**{one.name: spec.macs / core if one.name == "winograd" else core / spec.macs})
    sheet.parts.append(Table(columns=("multiplications", "extra B, fp32"), rows=tuple(rows)))
    sheet.say(
        "The multiplications are those of x with w: without transforms, with those on padding. "
        "(convbench explain --algorithm shows each algorithm step by step.)"
    )
    saves = sheet.numbers.get("winograd", 0.0) > 1
    if saves:
        sheet.say(
            "Winograd applies, because stride and dilation are 1: {winograd:.3g}× fewer multiplications than "
            "{direct:,}; "
            "see below whether a library has it for this device."
        )
    elif "winograd" in sheet.numbers:
        sheet.say("Winograd saves no multiplication here: the outputs are too few for its tile, or share no pixels.")
    if "fft" in sheet.numbers:
        sheet.say(
            "An FFT takes {fft:.3g}× as many multiplications, plus the transforms; the larger the kernel, the "
            "better it gets, as its cost does not grow with the kernel."
        )
    plane = spec.plane
    axes = measure_axes(spec)
    nonzeros = prod(int(inside(axis).sum()) for axis in axes)
    sheet.number("nonzeros", nonzeros, _toeplitz_nonzeros(plane), "ones convolved with ones")
    sheet.number(
        "places",
        spec.p * spec.q * spec.h * spec.w,
        prod(shape_of_y(plane)) * prod(sheet.x.shape[2:]),
        "$P·$Q times H·W",
    )
    sheet.note(
        "People say that a convolution 'is not performed on images; it is linear algebra'. Mathematically that is "
        f"right: for one channel y is a matrix times x, with {sheet.count('nonzeros', 'nonzero')} of {{places:,}}. "
        "What really runs depends on the shape: see above."
    )
    sheet.note(
        "People also say that 'nested loops are inefficient'. That is true for interpreted, unblocked loops. What "
        "libraries call direct is nested loops too, compiled and blocked for the caches, and often the fastest."
    )
    sheet.note(
        "Winograd in cuDNN needs a kernel of three by three, or five by five for its nonfused variant; oneDNN has it "
        "on GPUs and AArch64 only, not on x86. FFT needs room for the spectra. convbench ran shows what a call really "
        "runs: primitive, layouts, memory."
    )
    fits = "Winograd saves nothing here" if "winograd" in sheet.numbers else "Winograd is not shown (see why below)"
    if spec.stride != (1, 1) or spec.dilation != (1, 1):
        fits = "Winograd needs a stride and a dilation of one, which this problem does not have"
    if saves:
        fits = "Winograd would take {winograd:.3g}× fewer multiplications, if a library has it (oneDNN has none on x86)"
    return f"Here F.conv2d used {{took}}. {fits}; an FFT pays only for large kernels."


def _toeplitz_nonzeros(one: ConvSpec) -> int:
    ones = torch.ones(one.x_shape, dtype=torch.float64), torch.ones(one.w_shape, dtype=torch.float64)
    return round(float(convolve(*ones, one).sum()))


def flops(sheet: Sheet) -> str:
    """The work in every unit, and its bytes."""
    spec = sheet.spec
    outputs, taps = prod(spec.y_shape), spec.taps
    x, w = hollow(spec)
    y = convolve(x, w, spec)
    by_torch = _flops_by_torch(x, w, y)
    m, n, k = spec.gemm
    products = int(
        convolve(
            torch.ones((1, 1, spec.h, spec.w)).double(),
            torch.ones((1, 1, spec.r, spec.s)).double(),
            spec.plane,
        ).sum()
    )
    ledger = Ledger(spec=spec)
    in_ledger = {
        "macs": ledger.macs,
        "mul": ledger.multiplications,
        "add": ledger.additions,
        "bias": ledger.bias_additions,
        "inner": ledger.multiplications_on_image,
    }
    for name, value, again, by in (
        ("macs", outputs * taps, by_torch // 2, "half of torch's conv_flop_count"),
        ("flops", 2 * outputs * taps, by_torch, "torch's conv_flop_count"),
        ("outputs", outputs, y.numel(), "F.conv2d's shape"),
        ("taps", taps, w[0].numel(), "numbers in a filter"),
        ("mul", outputs * taps, m * n * k * spec.groups, "the product's sizes"),
        ("add", outputs * (taps - 1), m * n * (k - 1) * spec.groups, "the product's sizes"),
        ("exact", outputs * (2 * taps - 1), m * n * (2 * k - 1) * spec.groups, "the product's sizes"),
        ("bias", outputs, m * n * spec.groups, "the product's sizes"),
        ("inner", spec.inner_macs, products * spec.n * spec.k * spec.c_per_group, "ones convolved with ones"),
    ):
        sheet.number(name, value, again, by)
        if name in in_ledger:
            sheet.check(f"{name}, ledger", in_ledger[name], again, by)
    sheet.say(
        f"{sheet.count('macs', 'MAC')}: {sheet.count('outputs', 'output')} of {sheet.count('taps', 'multiply-add')} "
        "each. At two FLOPs per MAC: {flops:,} FLOPs."
    )
    sheet.say(
        f"Exactly: {sheet.count('mul', 'multiplication')} + {sheet.count('add', 'addition')} = {{exact:,}}; a sum "
        "takes one addition fewer than it has terms. "
        "A bias adds {bias:,} more."
    )
    if spec.inner_macs < spec.macs:
        sheet.say("{inner:,} of the MACs read a pixel, the others a padding zero; most tools count them all.")
    sheet.say("Bytes moved (x, w and y once each) and work done (fp32):")
    variants = [("this problem", spec)]
    filters = spec.c * max(1, spec.k // spec.c)
    by_channel = "depthwise" + (f", {filters} filters" if filters != spec.k else "")
    for label, change in (
        (by_channel, {"k": filters, "groups": spec.c}),
        ("one filter" if spec.groups == 1 else "one filter per group", {"k": spec.groups}),
        (
            "1×1 kernel",
            {"r": 1, "s": 1, "padding": (0, 0), "dilation": (1, 1), "h": spec.p, "w": spec.q, "stride": (1, 1)}
            | {"padding_end": None},
        ),
    ):
        other = replace(spec, **change)
        if all(other != one for _, one in variants):
            variants.append((label, other))
    sheet.table(
        ("MACs", "B", "FLOP/B", "with patches"),
        [(label, (one.macs, one.nbytes("fp32"), one.intensity("fp32"), _with_patches(one))) for label, one in variants],
        [_measured(one) for _, one in variants],
        "conv_flop_count and the tensors' own bytes",
        within=1e-9,
    )
    dense, depthwise = (
        next((one for label, one in variants if label == name), spec) for name in ("this problem", by_channel)
    )
    if depthwise != dense and depthwise.macs < dense.macs:
        ratio, bytes_ratio = dense.macs / depthwise.macs, dense.nbytes("fp32") / depthwise.nbytes("fp32")
        ours, theirs = _measured(dense), _measured(depthwise)
        sheet.number("fewer", ratio, ours[0] / theirs[0], "conv_flop_count", within=1e-9 * ratio)
        sheet.number("lighter", bytes_ratio, ours[1] / theirs[1], "the tensors' own bytes", within=1e-9 * bytes_ratio)
        sheet.number("worked", 100 / ratio, 100 * theirs[0] / ours[0], "conv_flop_count", within=1e-7 / ratio)
        sheet.number(
            "moved", 100 / bytes_ratio, 100 * theirs[1] / ours[1], "the tensors' own bytes", within=1e-7 / bytes_ratio
        )
        multiple = ""
        if depthwise.k != dense.k:
            sheet.number("filters", filters, depthwise.k, "the filters of that problem")
            multiple = ", with {filters:,} filters to keep a multiple of the channels,"
        sheet.say(
            f"Depthwise{multiple} needs {{worked:.3g}} % of the MACs but moves {{moved:.3g}} % of the bytes. If memory "
            "is the limit, the second number counts."
        )
    sheet.number(
        "intensity",
        spec.intensity("fp32"),
        _measured(spec)[2],
        "conv_flop_count and bytes",
        within=1e-9 * spec.intensity("fp32"),
    )
    sheet.number("patchy", _with_patches(spec), _measured(spec)[3], "conv_flop_count and bytes", within=1e-9)
    sheet.note(
        "Papers use FLOPs for MACs, or for twice as many; say which. The last column counts patches written once and "
        "read "
        "once: the same work with im2col."
    )
    if spec.k_per_group == 1:
        sheet.note(
            "One filter per group makes the product a matrix times a vector: each patch is used once, and the reuse "
            "that "
            "makes a GEMM fast does not exist in this problem."
        )
    return (
        f"{sheet.count('macs', 'MAC')}, which {'is' if spec.macs == 1 else 'are'} {{flops:,}} FLOPs at two per MAC, or "
        f"exactly {sheet.count('exact', 'operation')}. Fewer is not faster "
        "if bytes "
        "are the limit: here there are {intensity:.3g} FLOP per byte ({patchy:.2g} with patches)."
    )


def _with_patches(spec: ConvSpec) -> float:
    """FLOP for each byte where the patches are written once and read once."""
    return spec.flops / (spec.nbytes("fp32") + 2 * spec.patch_matrix_nbytes("fp32"))


def _measured(spec: ConvSpec) -> tuple[float, float, float, float]:
    """MACs, bytes and FLOP a byte without and with patches, as torch counts them."""
    x, w = hollow(spec)
    y = convolve(x, w, spec)
    total, nbytes = _flops_by_torch(x, w, y), x.nbytes + w.nbytes + y.nbytes
    return total // 2, nbytes, total / nbytes, total / (nbytes + 2 * prod(unfolded_shape(spec)) * ITEM)


def _flops_by_torch(x: Tensor, w: Tensor, y: Tensor) -> int:
    """By the formula of its FlopCounterMode, which would import torch's whole compiler for it: seconds."""
    return conv_flop_count(list(x.shape), list(w.shape), list(y.shape))
