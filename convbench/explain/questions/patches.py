"""What is in the patch matrix, in which order, and what does fold do with it?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from contextlib import suppress
from dataclasses import replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.explain.letters import TAP
from convbench.explain.sheet import Sheet
from convbench.explain.steps import measure_axes
from convbench.ran.by_torch import convolve, fold, shape_of_y, unfold, unfolded_shape
from convbench.spec import ConvSpec


def order(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    c, r, s = spec.c_per_group, spec.r, spec.s
    base = 10 ** len(str(r * s))
    # Each number says where it is from: channel, then tap, both counted from 1 so none is zero.
    labels = (torch.arange(c)[:, None, None] + 1) * base + torch.arange(r * s).reshape(r, s) + 1  # (C/G, R, S)
    extent = spec.kernel_extent
    image = torch.zeros((1, c, *extent))
    image[:, :, :: spec.dilation[0], :: spec.dilation[1]] = labels.float()
    column = F.unfold(image, (r, s), spec.dilation)[0, :, 0]
    by_index = [(channel + 1) * base + tap + 1 for channel in range(c) for tap in range(r * s)]
    last = [(channel + 1) * base + tap + 1 for tap in range(r * s) for channel in range(c)]
    channels_last = labels.permute(1, 2, 0).flatten()
    sheet.say("One patch whose numbers are their channel, then their place in the kernel, both counted from one:")
    sheet.grid(
        "order",
        torch.stack((column, channels_last.float())),
        torch.tensor([by_index, last]),
        "counting $c, $r and $s",
        rows=(f"{TAP} F.unfold", "($r,$s,$c) NHWC"),
        marked=torch.tensor([[True], [False]]).expand(2, len(by_index)),
    )
    sheet.check("w", labels.reshape(1, -1)[0], column, "F.unfold of the patch")
    row = 0 if len(by_index) < 2 else len(by_index) // 2
    channel, tap = divmod(row, r * s)
    sheet.number("row", row, int((column == by_index[row]).nonzero()[0, 0]), "looked up in the column")
    sheet.number("c", channel, int(labels.flatten()[row]) // base - 1, "its first digits")
    sheet.number("r", tap // s, (int(labels.flatten()[row]) % base - 1) // s, "its last digits")
    sheet.number("s", tap % s, (int(labels.flatten()[row]) % base - 1) % s, "its last digits")
    sheet.number("R", r, sheet.w.shape[2], "w's shape")
    sheet.number("S", s, sheet.w.shape[3], "w's shape")
    sheet.say("Row ($c·$R + $r)·$S + $s: for $c={c}, $r={r}, $s={s} that is ({c}·{R} + {r})·{S} + {s} = {row}.")
    # What comes of mixing the two orders, on the followed cell.
    products = [(term.x, term.w) for term in sheet.terms]
    shuffled = sheet.one_w[0].permute(1, 2, 0).flatten()
    mixed = sum(x * float(w) for (x, _), w in zip(products, shuffled, strict=True))
    patch = torch.tensor([x for x, _ in products], dtype=torch.float64)
    index = torch.arange(c * r * s).reshape(c, r, s).permute(1, 2, 0).flatten()
    right = convolve(sheet.one_x, sheet.one_w, sheet.one)[0, 0, cell.p, cell.q]
    sheet.number("right", sum(x * w for x, w in products), right, "F.conv2d")
    sheet.number("mixed", mixed, patch @ sheet.one_w.flatten()[index], "w's numbers picked by index")
    differs = sheet.numbers["mixed"] != sheet.numbers["right"]
    sheet.say(
        f"Mix the two (a kernel flattened as ($r,$s,$c), a patch in {TAP} order), and {sheet.cell_name} "
        + ("becomes {mixed:g} instead of {right:g}" if differs else "happens to stay {right:g}")
        + ", without an error, because the sizes match."
    )
    if spec.groups > 1:
        sheet.number("all", spec.c * r * s, unfolded_shape(replace(spec, n=1))[1], "F.unfold's shape")
        sheet.number("groups", spec.groups, sheet.x.shape[1] // sheet.w.shape[1], "the shapes of x and w")
        sheet.number("taps", c * r * s, len(sheet.terms), "the cell's products")
        sheet.say(
            "F.unfold ignores groups: each of the {groups} groups reads its own {taps} of the {all} rows, in order."
        )
    sheet.note(
        f"torch's NCHW tensors give {TAP}, channel slowest, and so does w.reshape($K, -1). CUTLASS and others that "
        "keep NHWC use ($r,$s,$c), channel fastest. Neither is wrong, but both sides of a product must use the same "
        "order."
    )
    return "Channel by channel: ($c, $r, $s), with $s changing fastest, the same as w.reshape($K, -1)."


def nine(sheet: Sheet) -> str:
    spec = sheet.spec
    shape = unfolded_shape(spec)
    windows = [
        len(torch.arange(axis.lines).unfold(0, axis.dilation * (axis.taps - 1) + 1, axis.stride))
        for axis in measure_axes(spec)
    ]
    for name, value, again, by in (
        ("images", shape[0], len(sheet.x), "x's first size"),
        ("rows", shape[1], spec.groups * sheet.w[0].numel(), "numbers in a filter"),
        ("columns", shape[2], prod(windows), "windows along both axes"),
        ("C", spec.c, sheet.x.shape[1], "x's shape"),
        ("R", spec.r, sheet.w.shape[2], "w's shape"),
        ("S", spec.s, sheet.w.shape[3], "w's shape"),
        ("P", spec.p, windows[0], "windows along the rows"),
        ("Q", spec.q, windows[1], "windows along the columns"),
    ):
        sheet.number(name, value, again, by)
    sheet.say(
        "{rows:,} = $C·$R·$S = {C}·{R}·{S}: the kernel elements. One row is what one of them reads at every position."
    )
    each = " of each filter" if spec.k > 1 else ""
    sheet.say(
        f"{{columns:,}} = $P·$Q = {{P}}·{{Q}}: the positions. One column is one patch, and becomes one output{each}."
    )
    sheet.say("What changes which:")
    changes: list[tuple[str, ConvSpec]] = [("this problem", spec)]
    changes.append(("twice the images", replace(spec, n=2 * spec.n)))
    changes.append(("twice the channels", replace(spec, c=2 * spec.c)))
    with suppress(ConvbenchError):  # the longer kernel may not fit
        changes.append(("one more row of the kernel", replace(spec, r=spec.r + 1)))
    changes.append(("one more row of x", replace(spec, h=spec.h + 1)))
    changes.append(("twice the filters", replace(spec, k=2 * spec.k)))
    sheet.table(
        ("$N", "$C·$R·$S", "$P·$Q"),
        [(label, (one.n, one.c * one.r * one.s, one.p * one.q)) for label, one in changes],
        [unfolded_shape(one) for _, one in changes],
        "F.unfold's shapes",
    )
    sheet.note("The last number is often read as 'additional channels'. It counts positions, not channels.")
    sheet.note("Filters are not in it either: the patch matrix is the same for one filter or a thousand.")
    return (
        f"F.unfold gives ({{images}}, {{rows}}, {{columns}}): {sheet.count('rows', 'kernel element')} over all "
        f"channels, and {sheet.count('columns', 'position')}."
    )


def not_undone(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    one, counts = spec.plane, reads(spec)
    ones = torch.ones(one.x_shape, dtype=torch.float64)
    overlaps = fold(unfold(ones, one), one)[0, 0]
    x = sheet.one_x[:, :1]
    folded = fold(unfold(x, one), one)[0, 0]
    picked = x.clone().requires_grad_()
    patches = unfold(picked, spec)
    patches.backward(torch.ones_like(patches))
    assert picked.grad is not None
    sheet.check("unfold's gradient", picked.grad[0, 0], overlaps, "F.fold of F.unfold of ones")
    middle = (spec.h // 2, spec.w // 2)
    for name, (row, column) in (("corner", (0, 0)), ("edge", (0, middle[1])), ("inside", middle)):
        sheet.number(name, int(overlaps[row, column]), int(counts[row, column]), "positions whose patch holds it")
    places = {(0, 0): "corner", (0, middle[1]): "edge", middle: "inside"}
    times = [f"{{{name}}} at x[{row},{column}]" for (row, column), name in places.items()]
    sheet.say(f"How many times a pixel occurs in the patch matrix: {', '.join(times)}.")
    sheet.grid("counts", overlaps, counts, "positions whose patch holds each", marked=overlaps > 1)
    one_by_one = F.unfold(sheet.x[cell.n][None], 1)[0, sheet.terms[0].channel].reshape(spec.h, spec.w)
    sheet.grid("x", x[0, 0], one_by_one, "x itself")
    sheet.grid("folded", folded, x[0, 0] * counts, "x times the counts", marked=overlaps > 1)
    row, column = divmod(int(counts.argmax()), spec.w)
    value = float(x[0, 0, row, column])
    again = float(sheet.x[cell.n, sheet.terms[0].channel].flatten()[row * spec.w + column])
    sheet.number("value", value, again, "x flattened")
    sheet.number("times", int(counts[row, column]), int(overlaps.max()), "the largest overlap")
    sheet.number("comes", float(folded[row, column]), value * int(counts[row, column]), "the number times its count")
    sheet.say(f"x[{row},{column}] = {{value:g}} is in {{times}} patches and comes back as {{comes:g}}.")
    restored = torch.where(overlaps > 0, folded / overlaps, torch.zeros_like(folded))
    right = restored == x[0, 0]
    sheet.number("restored", int(right.sum()), int((counts > 0).sum()), "pixels that some patch holds")
    sheet.number("pixels", folded.numel(), spec.h * spec.w, "H·W")
    sheet.say("fold(unfold(x)) / fold(unfold(ones)) gives back {restored:,} of {pixels:,} pixels exactly.")
    if sheet.numbers["restored"] < sheet.numbers["pixels"]:
        sheet.say("The others are in no patch: a pixel that was never read cannot come back.")
    sheet.number("P", spec.p, shape_of_y(spec)[2], "F.conv2d's shape")
    sheet.number("Q", spec.q, shape_of_y(spec)[3], "F.conv2d's shape")
    sheet.number("H", folded.shape[0], spec.h, "x's height")
    sheet.number("W", folded.shape[1], spec.w, "x's width")
    sheet.note(
        "y is made by a reshape of the product, ($K, $P·$Q) to ($K, $P, $Q), which moves no numbers without groups. "
        "F.fold sums the overlaps, as the gradient of x requires: it is the transpose of F.unfold, not its "
        "inverse."
    )
    size = "has x's size, {H}×{W}, not y's {P}×{Q}"
    if (spec.p, spec.q) == (spec.h, spec.w):
        size = "belongs to x, with x's channels; y only happens to have its height and width here, {P}×{Q}"
    return (
        f"Neither: it sums the overlaps, and its result {size}. {{value:g}} comes back as {{comes:g}}; "
        "divided by the counts, it is {value:g} again."
    )


def reads(spec: ConvSpec) -> Tensor:
    """(H, W): how many patches read each pixel, by the index formula."""
    rows, columns = (axis.readers for axis in measure_axes(spec))
    return rows[:, None] * columns
