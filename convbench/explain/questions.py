"""What do people keep asking about convolution, and what is the answer for this problem, in its own numbers?

Twelve questions. Every number is computed on the problem and compared with another way to it before it is shown; a
question that a problem cannot show is shown on the nearest one that can.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import chain
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convbench.errors import ConvbenchError, first_line, unknown
from convbench.explain import question_costs as costs
from convbench.explain.sheet import Answer, Sheet, convolve, shape_of_y, unfolded_shape
from convbench.explain.steps import Axis, Cell, inside, measure_axes, place_taps
from convbench.explain.walk import affordable, choose_cell
from convbench.spec import ConvSpec, pair_text
from convbench.verify.oracle import conv2d_float64

Nearest = Callable[[ConvSpec], tuple[str, Iterator[ConvSpec]] | None]

# Where nothing near is affordable.
SHOWS_ALL = ConvSpec.parse("n1c4h7w8k4r2s2_st2_pd1_dl2_g2")
MODES = ("zeros", "reflect", "replicate", "circular")
CONV2D_DOC = "torch.nn.Conv2d, documentation"
CUTLASS_DOC = costs.CUTLASS_DOC
MOST_COUNTED = 6  # dilations in the table, and no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question and who answers it.

    Attributes:
        text: as people ask it.
        answer: fills the sheet and returns the short answer, a template.
        sources: where it is written, and where people asked.
        nearest: for a problem that cannot show it, why not, and other problems, the nearest first.
    """

    name: str
    text: str
    answer: Callable[[Sheet], str]
    sources: tuple[str, ...]
    nearest: Nearest = lambda _: None


def choose(words: str) -> tuple[Question, ...]:
    """`flip,order` or `all`, each once.

    Raises:
        ConvbenchError: there is no such question.
    """
    chosen: dict[str, Question] = {}
    for name in (part.strip().lower() for part in words.split(",")):
        if name == "all":
            chosen |= QUESTIONS
        elif name in QUESTIONS:
            chosen[name] = QUESTIONS[name]
        else:
            raise unknown("question", name, [*QUESTIONS, "all"])
    return tuple(chosen.values())


def ask(question: Question, spec: ConvSpec, cell: Cell | None = None, seed: int = 0) -> Answer:
    """The answer on x and w of small whole numbers, as the walk has them.

    The cell, by default one worth seeing, counts where the problem itself is shown.

    Raises:
        ConvbenchError: the problem is too large, or has no output.
    """
    spec = affordable(spec)
    cell = cell or choose_cell(spec)
    shown, why = spec, ""
    if (nearest := question.nearest(spec)) is not None:
        why, others = nearest
        shown = next(others, SHOWS_ALL)
        cell = choose_cell(shown)
    sheet = Sheet(spec=shown, cell=cell, seed=seed, stand_in=why)
    short = sheet.words(question.answer(sheet))
    return Answer(
        name=question.name,
        question=question.text,
        asked=spec,
        spec=sheet.spec,
        stand_in=sheet.stand_in,
        short=short,
        parts=tuple(sheet.parts),
        notes=tuple(sheet.notes),
        sources=question.sources,
        numbers=dict(sheet.numbers),
        proof=tuple(sheet.proof),
    )


# ----------------------------------------------------------------------------- the nearest problem


def _changed(spec: ConvSpec, **changes: Any) -> Iterator[ConvSpec]:
    """The problem with other parameters, then smaller ones of the kind; x grows where the kernel would outgrow it."""
    values = {one.name: getattr(spec, one.name) for one in fields(spec)} | changes
    for axis, (size, taps) in enumerate((("h", "r"), ("w", "s"))):
        extent = values["dilation"][axis] * (values[taps] - 1) + 1
        values[size] = max(values[size], extent + 1 - 2 * values["padding"][axis])
    few = 2 * values["groups"]
    for smaller in ({}, {"n": 1}, {"n": 1, "c": few, "k": few}):
        try:
            one = ConvSpec(**(values | smaller))
            if affordable(one) == one:
                yield one
        except ConvbenchError:
            continue


def _wants_taps(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.r * spec.s > 1:
        return None
    return "a 1x1 kernel has nothing to flip", _changed(spec, r=2, s=2)


def _wants_channels(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.c_per_group > 1 and spec.r * spec.s > 1:
        return None
    r, s = (spec.r, spec.s) if spec.r * spec.s > 1 else (2, 2)
    c = spec.c if spec.c_per_group > 1 else 2 * spec.groups
    why = "with one channel for a filter" if spec.c_per_group == 1 else "with a 1x1 kernel"
    return f"{why} every order is the same", _changed(spec, c=c, r=r, s=s)


def _drops(spec: ConvSpec) -> bool:
    return any(axis.rest for axis in measure_axes(spec))


def _wants_rest(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if _drops(spec):
        return None
    stride = (max(2, spec.stride[0]), max(2, spec.stride[1]))
    h, w = spec.h + stride[0] - 1, spec.w + stride[1] - 1
    others = chain(_changed(spec, stride=stride), _changed(spec, stride=stride, h=h, w=w))
    return "its strides divide evenly, so the floor drops nothing", filter(_drops, others)


def _wants_dilation(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if (spec.dilation[0] > 1 and spec.r > 1) or (spec.dilation[1] > 1 and spec.s > 1):
        return None
    if spec.r * spec.s == 1:
        return "a 1x1 kernel has no gaps to widen", _changed(spec, r=3, s=3, dilation=(2, 2))
    return "its taps are neighbours", _changed(spec, dilation=(2, 2))


def _overlaps(spec: ConvSpec) -> bool:
    return int(_reads(spec).max()) > 1


def _wants_overlap(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if _overlaps(spec):
        return None
    r, s = (spec.r, spec.s) if spec.r * spec.s > 1 else (2, 2)
    h, w = spec.h + r, spec.w + s
    others = chain(
        _changed(spec, r=r, s=s, stride=(1, 1)), _changed(spec, r=r, s=s, h=h, w=w, stride=(1, 1), dilation=(1, 1))
    )
    return "its patches do not overlap, so fold does undo unfold there", filter(_overlaps, others)


def _wants_groups(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    if spec.groups > 1:
        return None
    return "it has one group", _changed(spec, c=max(4, spec.c + spec.c % 2), k=spec.k + spec.k % 2, groups=2)


def _wants_padding(spec: ConvSpec) -> tuple[str, Iterator[ConvSpec]] | None:
    return None if max(spec.padding) else ("it has no padding", _changed(spec, padding=(1, 1)))


# ----------------------------------------------------------------------------- flip, order, nine


def _flip(sheet: Sheet) -> str:
    spec, one, cell = sheet.spec, sheet.one, sheet.cell
    x, w = sheet.one_x, sheet.one_w
    mirrored = w[:, :, list(range(spec.r))[::-1]][..., list(range(spec.s))[::-1]]
    y, flipped = convolve(x, w, one), convolve(x, w.flip(2, 3), one)
    oracle, mirror = conv2d_float64(x, w, one), conv2d_float64(x, mirrored, one)
    pairs = [(None if term.padding else term.x, term.w) for term in sheet.terms]
    by_channel = [pairs[i : i + spec.r * spec.s] for i in range(0, len(pairs), spec.r * spec.s)]
    reversed_w = [w for group in by_channel for _, w in reversed(group)]
    turned = [(x, w) for (x, _), w in zip(pairs, reversed_w, strict=True)]
    at = (0, 0, cell.p, cell.q)
    sheet.number("plain", sum((x or 0) * w for x, w in pairs), y[at], "F.conv2d")
    sheet.number("turned", sum((x or 0) * w for x, w in turned), flipped[at], "F.conv2d with w.flip(2, 3)")
    sheet.say(f"The kernel as it is, and turned by half a turn (channel {sheet.terms[0].channel}):")
    everything = torch.ones((spec.r, spec.s), dtype=torch.bool)
    sheet.grid("w", w[0, 0], sheet.w[cell.k, 0], "w itself", role="kernel", marked=everything)
    sheet.grid("flipped", mirrored[0, 0], w.flip(2, 3)[0, 0], "w.flip(2, 3)", role="kernel", marked=everything)
    sheet.sum(sheet.cell_name, pairs, float(oracle[at]), "shifted views of x, summed")
    sheet.sum("flipped", turned, float(mirror[at]), "shifted views of x, summed")
    marked = sheet.at_cell
    sheet.grid("y", y[0, 0], oracle[0, 0], "shifted views of x, summed", role="output", marked=marked)
    sheet.grid("y flipped", flipped[0, 0], mirror[0, 0], "shifted views of x", role="output", marked=marked)
    sheet.number("differ", int((y != flipped).sum()), int((oracle != mirror).sum()), "shifted views of x, summed")
    sheet.number("outputs", y.numel(), spec.p * spec.q, "P·Q")
    sheet.say("{differ:,} of these {outputs:,} outputs differ between the two.")
    sheet.note(
        "A convolution of the textbooks flips its kernel; the one of the frameworks is a cross-correlation. A learned "
        "kernel does not mind: it is learned flipped. A kernel from a textbook does: give it as w.flip(2, 3)."
    )
    same = (
        " Here the two are equal by chance of the numbers." if sheet.numbers["plain"] == sheet.numbers["turned"] else ""
    )
    return (
        f"No. F.conv2d lays the kernel on x as it is: {sheet.cell_name} is {{plain:g}}, and would be {{turned:g}} with "
        f"the kernel flipped.{same}"
    )


def _order(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    c, r, s = spec.c_per_group, spec.r, spec.s
    base = 10 ** len(str(r * s))
    # Each number says where it is from: channel, then tap, both counted from 1 so that none is zero.
    labels = (torch.arange(c)[:, None, None] + 1) * base + torch.arange(r * s).reshape(r, s) + 1  # (C/G, R, S)
    extent = spec.kernel_extent
    image = torch.zeros((1, c, *extent))
    image[:, :, :: spec.dilation[0], :: spec.dilation[1]] = labels.float()
    column = F.unfold(image, (r, s), spec.dilation)[0, :, 0]
    by_index = [(channel + 1) * base + tap + 1 for channel in range(c) for tap in range(r * s)]
    last = [(channel + 1) * base + tap + 1 for tap in range(r * s) for channel in range(c)]
    channels_last = labels.permute(1, 2, 0).flatten()
    sheet.say("One patch whose numbers say where they are from, channel first and tap after it, both from one:")
    sheet.grid(
        "order",
        torch.stack((column, channels_last.float())),
        torch.tensor([by_index, last]),
        "counting c, r and s",
        rows=("(c,r,s) F.unfold", "(r,s,c) NHWC"),
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
    sheet.say("Row (c·R + r)·S + s: for c={c}, r={r}, s={s} that is ({c}·{R} + {r})·{S} + {s} = {row}.")
    # What comes of mixing the two orders, on the followed cell.
    products = [(term.x, term.w) for term in sheet.terms]
    shuffled = sheet.one_w[0].permute(1, 2, 0).flatten()
    mixed = sum(x * float(w) for (x, _), w in zip(products, shuffled, strict=True))
    patch = torch.tensor([x for x, _ in products], dtype=torch.float64)
    index = torch.arange(c * r * s).reshape(c, r, s).permute(1, 2, 0).flatten()
    right = convolve(sheet.one_x, sheet.one_w, sheet.one)[0, 0, cell.p, cell.q]
    sheet.number("right", sum(x * w for x, w in products), right, "F.conv2d")
    sheet.number("mixed", mixed, patch @ sheet.one_w.flatten()[index], "w's numbers picked by index")
    sheet.say(
        f"Mix the two, a kernel flattened as (r,s,c) times a patch in (c,r,s) order, and {sheet.cell_name} becomes "
        "{mixed:g} in place of {right:g}: no error is raised, for the sizes agree."
    )
    if spec.groups > 1:
        sheet.number("all", spec.c * r * s, unfolded_shape(replace(spec, n=1))[1], "F.unfold's shape")
        sheet.number("groups", spec.groups, sheet.x.shape[1] // sheet.w.shape[1], "the shapes of x and w")
        sheet.number("taps", c * r * s, len(sheet.terms), "the cell's products")
        sheet.say(
            "F.unfold knows no groups: of its {all} rows each of the {groups} groups reads its own {taps}, in order."
        )
    sheet.note(
        "torch's NCHW tensors give (c,r,s), channel slowest, and so does w.reshape(K, -1). CUTLASS and others that "
        "keep "
        "NHWC count (r,s,c), channel fastest. Neither is wrong; both sides of a product must use the same one."
    )
    return "Channel by channel: (c, r, s), s fastest and c slowest, the same as w.reshape(K, -1)."


def _rest(spec: ConvSpec) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What F.unfold takes after the kernel's size."""
    return spec.dilation, spec.padding, spec.stride


def _nine(sheet: Sheet) -> str:
    spec = sheet.spec
    shape = unfolded_shape(spec)
    windows = [
        len(torch.arange(axis.size + 2 * axis.padding).unfold(0, axis.dilation * (axis.taps - 1) + 1, axis.stride))
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
    sheet.say("{rows:,} = C·R·S = {C}·{R}·{S}: the taps. One row holds what one tap reads at every position.")
    sheet.say("{columns:,} = P·Q = {P}·{Q}: the positions. One column holds one patch, and becomes one output.")
    sheet.say("What moves which:")
    changes: list[tuple[str, ConvSpec]] = [("this problem", spec)]
    changes.append(("twice the images", replace(spec, n=2 * spec.n)))
    changes.append(("twice the channels", replace(spec, c=2 * spec.c)))
    with suppress(ConvbenchError):  # the longer kernel may not fit
        changes.append(("a row more of kernel", replace(spec, r=spec.r + 1)))
    changes.append(("a row more of x", replace(spec, h=spec.h + 1)))
    changes.append(("twice the filters", replace(spec, k=2 * spec.k)))
    sheet.table(
        ("N", "C·R·S", "P·Q"),
        [(label, (one.n, one.c * one.r * one.s, one.p * one.q)) for label, one in changes],
        [unfolded_shape(one) for _, one in changes],
        "F.unfold's shapes",
    )
    sheet.note("The last number is often read as 'additional channels'. It counts places, and no channel is in it.")
    sheet.note("Filters are not in it either: the patch matrix is the same for one filter and for a thousand.")
    return (
        "F.unfold gives ({images}, {rows}, {columns}): {rows} taps of the kernel over all channels, and {columns} "
        "positions."
    )


# ----------------------------------------------------------------------------- floor, dilation, fold


def _reads(spec: ConvSpec) -> Tensor:
    """(H, W): how many patches read each pixel, by the index formula."""
    rows, columns = (axis.readers for axis in measure_axes(spec))
    return rows[:, None] * columns


def _plane(spec: ConvSpec) -> ConvSpec:
    return replace(spec, n=1, c=1, k=1, groups=1)


def _line(axis: Axis) -> ConvSpec:
    """One axis by itself: a problem one column wide."""
    return ConvSpec(
        n=1,
        c=1,
        h=axis.size,
        w=1,
        k=1,
        r=axis.taps,
        s=1,
        stride=(axis.stride, 1),
        padding=(axis.padding, 0),
        dilation=(axis.dilation, 1),
    )


def _folded(spec: ConvSpec, x: Tensor) -> Tensor:
    """F.fold of F.unfold of x (1, C, H, W)."""
    size = (spec.r, spec.s)
    return F.fold(F.unfold(x, size, *_rest(spec)), (spec.h, spec.w), size, *_rest(spec))


def _floor(sheet: Sheet) -> str:
    spec = sheet.spec
    for axis in measure_axes(spec):
        out, size, taps = axis.letters
        lines = torch.arange(axis.size + 2 * axis.padding)
        windows = lines.unfold(0, axis.dilation * (axis.taps - 1) + 1, axis.stride)
        dense = lines.unfold(0, axis.dilation * (axis.taps - 1) + 1, 1)
        at = 2 if out == "P" else 3
        for name, value, again, by in (
            (size, axis.size, sheet.x.shape[at], "x's shape"),
            (taps, axis.taps, sheet.w.shape[at], "w's shape"),
            (f"padding{at}", axis.padding, (len(lines) - axis.size) // 2, "lines around x"),
            (f"dilation{at}", axis.dilation, _spread(axis), "places of the first taps"),
            (f"stride{at}", axis.stride, _step(axis), "places of the first patches"),
            (f"room{at}", axis.room, len(dense) - 1, "windows at stride 1"),
            (f"quotient{at}", axis.room / axis.stride, (len(dense) - 1) / axis.stride, "windows at stride 1"),
            (out, axis.positions, len(windows), "windows of the padded lines"),
            (f"rest{at}", axis.rest, int(lines[-1] - windows[-1, -1]), "lines after the last window"),
        ):
            sheet.number(name, value, again, by)
        sheet.say(
            f"{out} = ⌊({{{size}}} + 2·{{padding{at}}} − {{dilation{at}}}·({{{taps}}}−1) − 1) / {{stride{at}}}⌋ + 1 = "
            f"⌊{{room{at}}}/{{stride{at}}}⌋ + 1 = ⌊{{quotient{at}:.4g}}⌋ + 1 = {{{out}}}; left over at the end: "
            f"{{rest{at}}}."
        )
    one, reads = _plane(spec), _reads(spec)
    ones = torch.ones(one.x_shape, dtype=torch.float64)
    sheet.say("How many patches read each pixel of x:")
    sheet.grid("reads", reads, _folded(one, ones)[0, 0], "F.fold of F.unfold of ones", marked=reads > 0)
    unread = reads == 0
    x = ones.clone().requires_grad_()
    convolve(x, torch.ones(one.w_shape, dtype=torch.float64), one).sum().backward()
    assert x.grad is not None
    sheet.number("unread", int(unread.sum()), int((x.grad == 0).sum()), "the gradient of y's sum by x")
    sheet.number("pixels", reads.numel(), prod(sheet.x.shape[2:]), "x's shape")
    for at, axis, line in zip((2, 3), measure_axes(spec), ("Rows", "Columns"), strict=True):
        if axis.unread:
            alone = _folded(_line(axis), torch.ones((1, 1, axis.size, 1)))
            found = (alone.flatten() == 0).nonzero().flatten().tolist()
            sheet.number(f"lost{at}", axis.unread, found, "F.fold of F.unfold of ones")
            sheet.say(f"{line} of x that no output reads: {{lost{at}}}.")
    if unread.any():
        other = torch.where(unread, 1_000_000.0, sheet.one_x)
        change = convolve(other, sheet.one_w, sheet.one) - convolve(sheet.one_x, sheet.one_w, sheet.one)
        oracle = conv2d_float64(other, sheet.one_w, sheet.one) - conv2d_float64(sheet.one_x, sheet.one_w, sheet.one)
        sheet.number("changed", float(change.abs().max()), float(oracle.abs().max()), "shifted views of x, summed")
        sheet.say("Put a million into every unread pixel, and y changes by {changed:g}.")
    else:
        sheet.say("Every pixel is read: what is left over is padding only.")
    sheet.note(
        "Some tools refuse a stride that does not divide; torch takes the floor and says nothing. A convolution has no "
        "ceil_mode as pooling has. To use every pixel, pad or crop x first."
    )
    return (
        "A kernel that would hang over the end has no output there, so the quotient is rounded down. Left over at the "
        "end of "
        "the padded x are {rest2} in height and {rest3} in width; {unread:,} of {pixels:,} pixels are never read."
    )


def _spread(axis: Axis) -> int:
    """The dilation, from where the taps fall."""
    places = place_taps(axis)
    return int(places[1, 0] - places[0, 0]) if axis.taps > 1 else axis.dilation


def _step(axis: Axis) -> int:
    """The stride, from where the patches fall."""
    places = place_taps(axis)
    return int(places[0, 1] - places[0, 0]) if axis.positions > 1 else axis.stride


def _weights(spec: ConvSpec) -> int:
    """Numbers in the weight of a module of torch."""
    return nn.Conv2d(
        spec.c,
        spec.k,
        (spec.r, spec.s),
        spec.stride,
        spec.padding,
        spec.dilation,
        spec.groups,
        bias=False,
        device="meta",
    ).weight.numel()


def _dilation(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    rows = tuple(dict.fromkeys(term.row for term in sheet.terms))
    columns = tuple(dict.fromkeys(term.column for term in sheet.terms))
    places = [
        tuple((position * axis.stride - axis.padding + torch.arange(axis.taps) * axis.dilation).tolist())
        for axis, position in zip(measure_axes(spec), (cell.p, cell.q), strict=True)
    ]
    dense = torch.zeros((1, spec.c_per_group, *spec.kernel_extent), dtype=torch.float64)
    dense[:, :, :: spec.dilation[0], :: spec.dilation[1]] = sheet.one_w
    undilated = replace(spec, dilation=(1, 1))
    for name, value, again, by in (
        ("rows", rows, places[0], "p·stride − padding + r·dilation"),
        ("columns", columns, places[1], "q·stride − padding + s·dilation"),
        ("D_h", spec.dilation[0], _gap(rows, spec.dilation[0]), "gaps between the rows read"),
        ("D_w", spec.dilation[1], _gap(columns, spec.dilation[1]), "gaps between the columns read"),
        ("R", spec.r, len(rows), "rows read"),
        ("S", spec.s, len(columns), "columns read"),
        ("extent_h", spec.kernel_extent[0], rows[-1] - rows[0] + 1, "from the first row read to the last"),
        ("extent_w", spec.kernel_extent[1], columns[-1] - columns[0] + 1, "from the first column read to the last"),
        ("weights", prod(spec.w_shape), _weights(spec), "torch.nn.Conv2d's weight"),
        ("undilated", prod(undilated.w_shape), _weights(undilated), "torch.nn.Conv2d's weight with dilation 1"),
        ("P", spec.p, shape_of_y(spec)[2], "F.conv2d's shape"),
        ("Q", spec.q, shape_of_y(spec)[3], "F.conv2d's shape"),
        ("P1", undilated.p, shape_of_y(undilated)[2], "F.conv2d's shape"),
        ("Q1", undilated.q, shape_of_y(undilated)[3], "F.conv2d's shape"),
        (
            "holes",
            prod(spec.kernel_extent) - spec.r * spec.s,
            int((dense[0, 0] == 0).sum()),
            "zeros of the wide kernel",
        ),
    ):
        sheet.number(name, value, again, by)
    sheet.say(
        "Rows: {D_h}·({R}−1) + 1 = {extent_h}. Columns: {D_w}·({S}−1) + 1 = {extent_w}. "
        f"{sheet.cell_name} reads rows {{rows}} and columns {{columns}} of x; negative ones are padding."
    )
    sheet.say("The same as a kernel of {extent_h}×{extent_w} with {holes:,} zeros in each slice, undilated:")
    marked = torch.zeros(spec.kernel_extent, dtype=torch.bool)
    marked[:: spec.dilation[0], :: spec.dilation[1]] = True
    one_by_one = torch.zeros(spec.kernel_extent, dtype=torch.float64)
    for r in range(spec.r):
        for s in range(spec.s):
            one_by_one[r * spec.dilation[0], s * spec.dilation[1]] = sheet.w[cell.k, 0, r, s]
    sheet.grid("wide w", dense[0, 0], one_by_one, "w's numbers one by one", role="kernel", marked=marked)
    wide = replace(sheet.one, r=dense.shape[2], s=dense.shape[3], dilation=(1, 1))
    y = convolve(sheet.one_x, sheet.one_w, sheet.one)
    sheet.check("y", y, convolve(sheet.one_x, dense, wide), "F.conv2d with the wide kernel")
    sheet.say("What a dilation makes of this problem:")
    tried: list[tuple[str, ConvSpec]] = []
    for dilation in range(1, MOST_COUNTED + 1):
        try:
            tried.append((f"dilation {dilation}", replace(spec, dilation=(dilation, dilation))))
        except ConvbenchError:
            break  # and wider ones do not fit either
    if all(one != spec for _, one in tried):
        tried.append((f"dilation {pair_text(spec.dilation)}", spec))
    sheet.table(
        ("rows", "columns", "P", "Q", "weights"),
        [(label, (*one.kernel_extent, one.p, one.q, prod(one.w_shape))) for label, one in tried],
        [(*_wide(one), *shape_of_y(one)[2:], _weights(one)) for _, one in tried],
        "F.conv2d's and torch.nn.Conv2d's shapes",
    )
    axis = measure_axes(spec)[0 if spec.r > 1 else 1]
    lines = axis.size + 2 * axis.padding
    sheet.number(
        "solved",
        (lines - 1 - (axis.positions - 1) * axis.stride) / (axis.taps - 1),
        axis.dilation + axis.rest / (axis.taps - 1),
        "the dilation and what the floor drops",
        within=1e-12 * lines,
    )
    sheet.note(
        f"The formula for {axis.letters[0]} solved for the dilation gives {{solved:.4g}} here: it finds the dilation "
        "only "
        "where the floor drops nothing. Choose the dilation; the size follows."
    )
    return (
        "It spreads the taps apart: {R}×{S} of them span {extent_h}×{extent_w} of x, with the same {weights:,} "
        "weights; y is "
        "{P}×{Q} in place of {P1}×{Q1}."
    )


def _wide(spec: ConvSpec) -> tuple[int, int]:
    """Lines that the kernel spans, from where its taps fall."""
    rows, columns = (place_taps(axis)[:, 0] for axis in measure_axes(spec))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def _gap(places: Sequence[int], alone: int) -> int:
    return places[1] - places[0] if len(places) > 1 else alone


def _fold(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    one, counts = _plane(spec), _reads(spec)
    ones = torch.ones(one.x_shape, dtype=torch.float64)
    overlaps = _folded(one, ones)[0, 0]
    x = sheet.one_x[:, :1]
    folded = _folded(one, x)[0, 0]
    picked = x.clone().requires_grad_()
    patches = F.unfold(picked, (spec.r, spec.s), *_rest(spec))
    patches.backward(torch.ones_like(patches))
    assert picked.grad is not None
    sheet.check("unfold's gradient", picked.grad[0, 0], overlaps, "F.fold of F.unfold of ones")
    middle = (spec.h // 2, spec.w // 2)
    for name, (row, column) in (("corner", (0, 0)), ("edge", (0, middle[1])), ("inside", middle)):
        sheet.number(name, int(overlaps[row, column]), int(counts[row, column]), "positions whose patch holds it")
    sheet.say("How often each pixel stands in the patch matrix: corner {corner}, edge {edge}, inside {inside}.")
    sheet.grid("counts", overlaps, counts, "positions whose patch holds each", marked=overlaps > 1)
    sheet.grid("x", x[0, 0], sheet.x[cell.n, sheet.terms[0].channel], "x itself")
    sheet.grid("folded", folded, x[0, 0] * counts, "x times the counts", marked=overlaps > 1)
    row, column = divmod(int(counts.argmax()), spec.w)
    value = float(x[0, 0, row, column])
    again = float(sheet.x[cell.n, sheet.terms[0].channel].flatten()[row * spec.w + column])
    sheet.number("value", value, again, "x flattened")
    sheet.number("times", int(counts[row, column]), int(overlaps.max()), "the largest overlap")
    sheet.number("comes", float(folded[row, column]), value * int(counts[row, column]), "the number times its count")
    sheet.say(f"x[{row},{column}] = {{value:g}} stands in {{times}} patches and comes back as {{comes:g}}.")
    restored = torch.where(overlaps > 0, folded / overlaps, torch.zeros_like(folded))
    right = restored == x[0, 0]
    sheet.number("restored", int(right.sum()), int((counts > 0).sum()), "pixels that some patch holds")
    sheet.number("pixels", folded.numel(), spec.h * spec.w, "H·W")
    sheet.say("fold(unfold(x)) / fold(unfold(ones)) gives back {restored:,} of {pixels:,} pixels exactly.")
    if sheet.numbers["restored"] < sheet.numbers["pixels"]:
        sheet.say("The others are in no patch: what was never read cannot come back.")
    sheet.number("P", spec.p, shape_of_y(spec)[2], "F.conv2d's shape")
    sheet.number("Q", spec.q, shape_of_y(spec)[3], "F.conv2d's shape")
    sheet.number("H", folded.shape[0], spec.h, "x's height")
    sheet.number("W", folded.shape[1], spec.w, "x's width")
    sheet.note(
        "y is made by a reshape of the product, (K, P·Q) to (K, P, Q), which moves no number in an ungrouped problem. "
        "F.fold sums what overlaps, and is what the gradient by x needs: it is the transpose of F.unfold, not its "
        "inverse."
    )
    return (
        "Neither: it adds up what overlaps and gives x's size, {H}×{W}, not y's {P}×{Q}. {value:g} comes back as "
        "{comes:g}; "
        "divided by the counts it is {value:g} again."
    )


# ----------------------------------------------------------------------------- groups, padding


def _groups(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    alone = replace(spec, n=1)
    x = sheet.x[cell.n][None]
    y = convolve(x, sheet.w, alone)
    parts = [
        F.conv2d(x_part, w_part, None, spec.stride, spec.padding, spec.dilation)
        for x_part, w_part in zip(x.chunk(spec.groups, 1), sheet.w.chunk(spec.groups, 0), strict=True)
    ]
    sheet.check("y", y, torch.cat(parts, dim=1), "each group by itself")
    group = cell.k // spec.k_per_group
    mine = torch.arange(spec.c).reshape(spec.groups, -1)[group]
    read = tuple(dict.fromkeys(term.channel for term in sheet.terms))
    whole = replace(spec, groups=1)
    for name, value, again, by in (
        ("K", spec.k, sheet.w.shape[0], "w's shape"),
        ("C", spec.c, sheet.x.shape[1], "x's shape"),
        ("G", spec.groups, sheet.x.shape[1] // sheet.w.shape[1], "the shapes of x and w"),
        ("slices", spec.c_per_group, sheet.w.shape[1], "w's shape"),
        ("R", spec.r, sheet.w.shape[2], "w's shape"),
        ("S", spec.s, sheet.w.shape[3], "w's shape"),
        (
            "k",
            cell.k,
            int((torch.arange(spec.k).reshape(spec.groups, -1)[group] == cell.k).nonzero()[0, 0])
            + group * spec.k_per_group,
            "its place in its group",
        ),
        ("group", group, int((torch.arange(spec.k).reshape(spec.groups, -1) == cell.k).nonzero()[0, 0]), "looked up"),
        ("channels", read, mine, "channels dealt out to groups"),
        ("weights", prod(spec.w_shape), _weights(spec), "torch.nn.Conv2d's weight"),
        ("dense", prod(whole.w_shape), _weights(whole), "torch.nn.Conv2d's weight with one group"),
    ):
        sheet.number(name, value, again, by)
    sheet.say(
        "w is (K, C/G, R, S) = ({K}, {slices}, {R}, {S}): C/G, as a filter only has slices for its group's channels."
    )
    sheet.say("Filter {k} is in group {group} and reads channels {channels} of {C}. Slice by slice, then summed:")
    size = spec.r * spec.s
    sums = [sum(t.product for t in sheet.terms[c * size : (c + 1) * size]) for c in range(spec.c_per_group)]
    slices = convolve(
        sheet.one_x,
        sheet.one_w[0][:, None],
        replace(sheet.one, c=spec.c_per_group, k=spec.c_per_group, groups=spec.c_per_group),
    )[0, :, cell.p, cell.q]
    sheet.table(
        (sheet.cell_name,),
        [(f"channel {channel}", (value,)) for channel, value in zip(read, sums, strict=True)],
        [[float(value)] for value in slices],
        "F.conv2d channel by channel",
    )
    sheet.number("total", sum(sums), float(y[0, cell.k, cell.p, cell.q]), "F.conv2d")
    sheet.say("Together {total:g}.")
    others = torch.ones(spec.c, dtype=torch.bool)
    others[mine] = False
    changed = x.clone()
    changed[:, others] += 1000
    moved = (convolve(changed, sheet.w, alone) - y)[0, cell.k].abs().max()
    again = conv2d_float64(changed, sheet.w, alone)[0, cell.k] - conv2d_float64(x, sheet.w, alone)[0, cell.k]
    sheet.number("moved", float(moved), float(again.abs().max()), "shifted views of x, summed")
    sheet.say("Add a thousand to every other channel, and what filter {k} gives changes by {moved:g}.")
    if spec.c_per_group > 1:
        same = sheet.one_w[:, :1].expand_as(sheet.one_w)
        reused = convolve(sheet.one_x, same, sheet.one)[0, 0, cell.p, cell.q]
        summed = convolve(sheet.one_x.sum(1, keepdim=True), sheet.one_w[:, :1], replace(sheet.one, c=1))
        sheet.number(
            "reused", float(reused), float(summed[0, 0, cell.p, cell.q]), "one slice on the sum of the channels"
        )
        sheet.say("Were one slice used again for every channel, it would be {reused:g}.")
    try:
        F.conv2d(torch.zeros((1, *sheet.x.shape[1:])), torch.zeros(sheet.w.shape), None, *_plain(spec))
    except RuntimeError as refusal:
        sheet.word("refusal", first_line(refusal))
        sheet.say(f"Forget groups={spec.groups}, and torch says: {{refusal}}. (`convbench explain --error` reads it.)")
    sheet.note(
        "The shape (K, C·R·S) of a flattened kernel is right for one group only. In groups the product is one for each "
        "group, (K/G, C/G·R·S) times that group's rows."
    )
    return (
        "Each filter has a slice of its own for every channel that it reads, and their sums are added. {G} groups: "
        "filter "
        "{k} reads {slices} of {C} channels; {weights:,} weights in place of {dense:,}."
    )


def _plain(spec: ConvSpec) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """What F.conv2d takes after the bias, without groups."""
    return spec.stride, spec.padding, spec.dilation


def _padding(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    at = 3 if spec.padding[1] else 2  # along a row if there is padding there, else along a column
    axis = measure_axes(spec)[at - 2]
    plane = sheet.one_x[0, 0]
    index = min(max(sheet.terms[0].row if at == 3 else sheet.terms[0].column, 0), (spec.h, spec.w)[3 - at] - 1)
    line = plane[index] if at == 3 else plane[:, index]
    possible, refused = [], {}
    for mode in MODES:
        try:
            possible.append((mode, _pad_line(line, axis.padding, mode)))
        except (RuntimeError, ValueError) as refusal:
            refused[mode] = first_line(refusal)
    name = f"row {index}" if at == 3 else f"column {index}"
    sheet.number(
        "line",
        index,
        min(max((sheet.terms[0].row, sheet.terms[0].column)[3 - at], 0), sheet.x.shape[5 - at] - 1),
        "x's shape",
    )
    sheet.say(f"{name.partition(' ')[0].capitalize()} {{line}} of x with each padding_mode of torch.nn.Conv2d:")
    lines = torch.stack([padded for _, padded in possible])
    around = torch.ones(lines.shape[1], dtype=torch.bool)
    around[axis.padding : axis.padding + axis.size] = False
    sheet.grid(
        name,
        lines,
        torch.stack([_pad_by_index(line, axis.padding, mode) for mode, _ in possible]),
        "x by index: mirrored, clamped, modulo",
        origin=(0, -axis.padding),
        rows=tuple(mode for mode, _ in possible),
        marked=around.expand_as(lines),
    )
    for mode, words in refused.items():
        sheet.word(mode, words)
        sheet.say(f"{mode} is not possible here; torch says: {{{mode}}}")
    found: list[tuple[str, float, float]] = []
    for mode, _ in possible:
        with suppress(RuntimeError):  # the other axis may be too short for this mode
            by_module, by_hand = (float(_module_y(sheet, mode, way)[cell.p, cell.q]) for way in (True, False))
            found.append((mode, by_module, by_hand))
    sheet.table(
        (sheet.cell_name,),
        [(mode, (by_module,)) for mode, by_module, _ in found],
        [(by_hand,) for _, _, by_hand in found],
        "x padded first, then F.conv2d",
    )
    sheet.say("padding='same' adds dilation·(size − 1) lines in all, the odd one after the image:")
    rows = []
    measured = []
    for extra in (0, 1):
        taps = [(spec.r + extra, spec.dilation[0]), (spec.s + extra, spec.dilation[1])]
        sides = [side for size, step in taps for side in _same(size, step)]
        label = f"{taps[0][0]}×{taps[1][0]} kernel" + (" (one more)" if extra else " (this)")
        rows.append((label, sides))
        measured.append([side for size, step in taps for side in _measure_same(size, step)])
    sheet.table(("top", "bottom", "left", "right"), rows, measured, "zeros that F.conv2d brings in, one tap at a time")
    one = torch.zeros((1, 1, 4, 4))
    try:
        F.conv2d(one, one[:, :, :1, :1], stride=2, padding="same")
        sheet.say("torch took padding='same' with a stride when asked just now.")
    except RuntimeError as error:
        sheet.word("refusal", first_line(error))
        sheet.say("With a stride it is refused; asked just now, torch says: {refusal}.")
    zeros = int((~torch.stack([inside(axis) for axis in measure_axes(spec)[:1]])).sum())
    missing = [int((~inside(axis)).sum()) for axis in measure_axes(spec)]
    total = spec.r * spec.p * spec.s * spec.q
    outside = total - (spec.r * spec.p - missing[0]) * (spec.s * spec.q - missing[1])
    ones = torch.ones((1, 1, spec.h, spec.w))
    sheet.check("rows outside", zeros, missing[0], "the index formula")
    counted = (F.unfold(ones, (spec.r, spec.s), *_rest(spec)) == 0).sum()
    sheet.number("share", outside / total, int(counted) / total, "zeros in F.unfold of ones", within=1e-12)
    sheet.note(
        "F.conv2d itself only knows zeros; the other modes pad a copy of x first. F.unfold pads with zeros only as "
        "well: "
        "for another mode give it F.pad(x, ..., mode=...). {share:.1%} of this problem's products are with padding."
    )
    return (
        "Zeros, unless padding_mode says otherwise; each mode gives other outputs at the border. padding='same' works "
        "without a stride only; where it needs an odd number of lines, the odd one is at the bottom or on the right."
    )


def _pad_line(line: Tensor, padding: int, mode: str) -> Tensor:
    """A line of x as torch pads it."""
    return F.pad(line[None, None], (padding, padding), mode="constant" if mode == "zeros" else mode)[0, 0]


def _pad_by_index(line: Tensor, padding: int, mode: str) -> Tensor:
    """The same from the definition of each mode."""
    size, numbers = len(line), line.tolist()
    places = range(-padding, size + padding)
    match mode:
        case "zeros":
            found = [numbers[i] if 0 <= i < size else 0.0 for i in places]
        case "reflect":
            found = [numbers[size - 1 - abs(size - 1 - abs(i))] for i in places]
        case "replicate":
            found = [numbers[min(max(i, 0), size - 1)] for i in places]
        case _:
            found = [numbers[i % size] for i in places]
    return torch.tensor(found, dtype=line.dtype)


def _module_y(sheet: Sheet, mode: Any, by_module: bool) -> Tensor:
    """(P, Q) of the cell's filter under a padding mode, by torch.nn.Conv2d or by F.pad and F.conv2d."""
    spec, x, w = sheet.one, sheet.one_x, sheet.one_w
    if by_module:
        layer = nn.Conv2d(
            spec.c, 1, (spec.r, spec.s), *_plain(spec), bias=False, padding_mode=mode, dtype=torch.float64
        )
        with torch.no_grad():
            layer.weight.copy_(w)
            found: Tensor = layer(x)[0, 0]
        return found
    pad_h, pad_w = spec.padding
    padded = F.pad(x, (pad_w, pad_w, pad_h, pad_h), mode="constant" if mode == "zeros" else mode)
    return F.conv2d(padded, w, None, spec.stride, (0, 0), spec.dilation)[0, 0]


def _same(size: int, step: int) -> tuple[int, int]:
    """Lines before and after, by arithmetic."""
    total = step * (size - 1)
    return total // 2, total - total // 2


def _measure_same(size: int, step: int) -> tuple[int, int]:
    """Lines before and after, seen: a kernel with one tap reads zeros where it reads padding."""
    ones, found = torch.ones((1, 1, 1, 2 * step * size)), []
    for tap in (0, size - 1):
        w = torch.zeros((1, 1, 1, size))
        w[..., tap] = 1
        with warnings.catch_warnings(action="ignore"):  # torch tells of the copy that an uneven padding costs
            y = F.conv2d(ones, w, padding="same", dilation=(1, step))
        found.append(int((y == 0).sum()))
    return found[0], found[1]


# ----------------------------------------------------------------------------- the twelve


def _catalogue(questions: Iterable[Question]) -> dict[str, Question]:
    return {question.name: question for question in questions}


QUESTIONS = _catalogue(
    (
        Question(
            name="flip",
            text="Is the kernel flipped?",
            answer=_flip,
            sources=(f"{CONV2D_DOC}: cross-correlation",),
            nearest=_wants_taps,
        ),
        Question(
            name="order",
            text="In what order do the patch rows run?",
            answer=_order,
            sources=("torch.nn.Unfold, documentation", "d-li14/involution#18", f"{CUTLASS_DOC}: NHWC"),
            nearest=_wants_channels,
        ),
        Question(
            name="nine",
            text="What are the 4 and the 9 of (1, 4, 9)?",
            answer=_nine,
            sources=("torch.nn.Unfold, documentation", "ygjwd12345/TransDepth#10"),
        ),
        Question(
            name="floor",
            text="Why the floor, and what does it drop?",
            answer=_floor,
            sources=(f"{CONV2D_DOC}: Shape", "Dumoulin and Visin 2016"),
            nearest=_wants_rest,
        ),
        Question(
            name="dilation",
            text="What does dilation do to the kernel?",
            answer=_dilation,
            sources=(
                f"{CONV2D_DOC}: dilation",
                "PyTorch forum 66834, What is the dilation in the convolutional layer output size formula",
            ),
            nearest=_wants_dilation,
        ),
        Question(
            name="fold",
            text="Does fold undo unfold, or build the output?",
            answer=_fold,
            sources=(
                "torch.nn.Fold, documentation",
                "PyTorch forum 172378, Need help understanding conv2d and fold, unfold",
            ),
            nearest=_wants_overlap,
        ),
        Question(
            name="groups",
            text="What do channels and groups do?",
            answer=_groups,
            sources=(
                f"{CONV2D_DOC}: groups",
                "PyTorch forum 127331, How to understand groups parameter of conv2d",
                "DeepLearning.AI community 358868, How conv2d deals with multiple channels",
            ),
            nearest=_wants_groups,
        ),
        Question(
            name="padding",
            text="What does padding put around x?",
            answer=_padding,
            sources=("pytorch#152152: the modes", "pytorch#67551: same and stride"),
            nearest=_wants_padding,
        ),
        Question(
            name="not-equal",
            text="Why is my unfold version not equal to conv2d?",
            answer=costs.not_equal,
            sources=("pytorch#47990", "f-dangel/unfoldNd#24", "Higham 2002, section 3.1"),
        ),
        Question(
            name="memory",
            text="Why is im2col so hungry for memory?",
            answer=costs.memory,
            sources=("aharley/segaware#9", "Tencent/ncnn#534", CUTLASS_DOC),
        ),
        Question(
            name="algorithm",
            text="Which algorithm runs, when Winograd or FFT?",
            answer=costs.algorithm,
            sources=(
                "Stack Overflow 64506489",
                "pytorch#18536, #88567, #52439",
                "ATen/native/Convolution.cpp",
                "oneDNN, verbose message catalogue",
                "NVIDIA forum 165802, CUDNN_STATUS_NOT_SUPPORTED for algo 6 and 3",
                "Lavin and Gray 2016",
            ),
        ),
        Question(
            name="flops",
            text="MACs or FLOPs, and why is fewer not faster?",
            answer=costs.flops,
            sources=("fvcore#133, #102", "pytorch#31239, #18631: depthwise is slow", "Williams et al. 2009: roofline"),
        ),
    )
)
