"""What happens at the border: what the floor drops, and what padding puts there."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import warnings
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.errors import first_line
from convbench.explain.questions.patches import reads
from convbench.explain.sheet import Sheet
from convbench.explain.steps import SlidingAxis, inside, measure_axes
from convbench.ran.by_torch import convolve, fold, make_module, unfold
from convbench.spec import ConvSpec
from convbench.verify.oracle import conv2d_float64

MODES = ("zeros", "reflect", "replicate", "circular")
END = 9  # columns of a long line in sight at either end


def floor(sheet: Sheet) -> str:
    spec = sheet.spec
    for axis in measure_axes(spec):
        out, size, taps = axis.letters
        lines = torch.arange(axis.lines)
        windows = lines.unfold(0, axis.dilation * (axis.taps - 1) + 1, axis.stride)
        dense = lines.unfold(0, axis.dilation * (axis.taps - 1) + 1, 1)
        at = 2 if out == "P" else 3
        sheet.given(**{size: axis.size, taps: axis.taps, f"padding{at}": axis.padding, f"end{at}": axis.padding_end})
        sheet.given(**{f"dilation{at}": axis.dilation, f"stride{at}": axis.stride})
        for name, value, again, by in (
            (f"room{at}", axis.room, len(dense) - 1, "windows at stride 1"),
            (f"quotient{at}", axis.room / axis.stride, (len(dense) - 1) / axis.stride, "windows at stride 1"),
            (out, axis.positions, len(windows), "windows of the padded lines"),
            (f"rest{at}", axis.rest, int(lines[-1] - windows[-1, -1]), "lines after the last window"),
        ):
            sheet.number(name, value, again, by)
        both = f"2·{{padding{at}}}" if axis.padding == axis.padding_end else f"{{padding{at}}} + {{end{at}}}"
        sheet.say(
            f"${out} = ⌊({{{size}}} + {both} − {{dilation{at}}}·({{{taps}}}−1) − 1) / {{stride{at}}}⌋ + 1 = "
            f"⌊{{room{at}}}/{{stride{at}}}⌋ + 1 = ⌊{{quotient{at}:.4g}}⌋ + 1 = {{{out}}}; left over at the end: "
            f"{{rest{at}}}."
        )
    one, readers = spec.plane, reads(spec)
    ones = torch.ones(one.x_shape, dtype=torch.float64)
    sheet.say("How many patches read each pixel of x:")
    sheet.grid("reads", readers, fold(unfold(ones, one), one)[0, 0], "F.fold of F.unfold of ones", marked=readers > 0)
    unread = readers == 0
    x = ones.clone().requires_grad_()
    convolve(x, torch.ones(one.w_shape, dtype=torch.float64), one).sum().backward()
    assert x.grad is not None
    sheet.number("unread", int(unread.sum()), int((x.grad == 0).sum()), "the gradient of y's sum by x")
    sheet.number("pixels", readers.numel(), prod(sheet.x.shape[2:]), "x's shape")
    for at, axis, line in zip((2, 3), measure_axes(spec), ("Rows", "Columns"), strict=True):
        if axis.unread:
            alone = fold(unfold(torch.ones((1, 1, axis.size, 1)), _line(axis)), _line(axis))
            found = (alone.flatten() == 0).nonzero().flatten().tolist()
            sheet.number(f"lost{at}", axis.unread, found, "F.fold of F.unfold of ones")
            sheet.say(f"{line} of x that no output reads: {{lost{at}}}.")
    if unread.any():
        other = torch.where(unread, 1_000_000.0, sheet.one_x)
        change = convolve(other, sheet.one_w, sheet.one) - convolve(sheet.one_x, sheet.one_w, sheet.one)
        oracle = conv2d_float64(other, sheet.one_w, sheet.one) - conv2d_float64(sheet.one_x, sheet.one_w, sheet.one)
        sheet.number("changed", float(change.abs().max()), float(oracle.abs().max()), "shifted views of x, summed")
        told = "does not change" if sheet.numbers["changed"] == 0 else "changes by {changed:g}"
        sheet.say(f"Set every unread pixel to a million, and y {told}.")
        if any(_between(axis) for axis in measure_axes(spec)):
            sheet.say(
                "Not all of them are left over at the end: the kernel steps over those before its last position, "
                "whatever the floor does."
            )
    else:
        sheet.say("Every pixel is read: only padding is left over.")
    sheet.note(
        "Some tools refuse a stride that does not divide evenly; torch silently takes the floor. A convolution has no "
        "ceil_mode, unlike pooling."
        + (
            " To use the pixels at the end, pad x; to leave none over, crop it."
            if any(map(_drops_pixels, measure_axes(spec)))
            else ""
        )
    )
    are = "is" if sheet.numbers["unread"] == 1 else "are"
    lost = (
        f"{{unread:,}} of {{pixels:,}} pixels {are} never read"
        if unread.any()
        else "every one of the {pixels:,} pixels is read"
    )
    return (
        "A kernel that would reach past the end has no output there, so the quotient is rounded down. Left over at the "
        f"end of the padded x: {{rest2}} in height and {{rest3}} in width; {lost}."
    )


def _between(axis: SlidingAxis) -> bool:
    """Whether the kernel steps over a line of x before the last one that it reads."""
    read = axis.readers.nonzero().flatten()
    return any(line < int(read[-1]) for line in axis.unread) if len(read) else False


def _drops_pixels(axis: SlidingAxis) -> bool:
    """Whether lines of x, and not only of its padding, are left over at the end."""
    return axis.rest > axis.padding_end


def _line(axis: SlidingAxis) -> ConvSpec:
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
        padding_end=(axis.padding_end, 0),
        dilation=(axis.dilation, 1),
    )


def padding(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    at = 3 if max(spec.sides[2:]) else 2  # along a row if there is padding there, else along a column
    axis = measure_axes(spec)[at - 2]
    plane = sheet.one_x[0, 0]
    index = min(max(sheet.terms[0].row if at == 3 else sheet.terms[0].column, 0), (spec.h, spec.w)[3 - at] - 1)
    line = plane[index] if at == 3 else plane[:, index]
    possible, refused = [], {}
    for mode in MODES:
        try:
            possible.append((mode, _pad_line(line, axis, mode)))
        except (RuntimeError, ValueError) as refusal:
            refused[mode] = first_line(refusal)
    name = f"row {index}" if at == 3 else f"column {index}"
    sheet.given(line=index)
    modes = "padding_mode of torch.nn.Conv2d"
    if any(spec.surplus):
        modes = "mode of F.pad (torch.nn.Conv2d pads opposite sides equally)"
    sheet.say(f"{'Row' if at == 3 else 'Column'} {{line}} of x with each {modes}:")
    lines = torch.stack([padded for _, padded in possible])
    by_index = torch.stack([_pad_by_index(line, axis, mode) for mode, _ in possible])
    around = torch.ones(lines.shape[1], dtype=torch.bool)
    around[axis.padding : axis.padding + axis.size] = False
    ends = [(name, slice(None))]
    if lines.shape[1] > 2 * END:  # what padding does is at the two ends
        ends = [(f"{name}, its start", slice(END)), (f"{name}, its end", slice(-END, None))]
    for label, part in ends:
        sheet.grid(
            label,
            lines[:, part],
            by_index[:, part],
            "x by index: mirrored, clamped, modulo",
            origin=(0, (lines.shape[1] - END if part.start else 0) - axis.padding),
            rows=tuple(mode for mode, _ in possible),
            marked=around[part].expand_as(lines[:, part]),
        )
    for mode, words in refused.items():
        sheet.word(mode, words)
        sheet.say(f"{mode} is not possible here; torch says: {{{mode}}}")
    found: list[tuple[str, float, float]] = []
    for mode, _ in possible:
        with suppress(RuntimeError):  # the other axis may be too short for this mode
            by_torch, by_hand = (float(y(sheet, mode)[cell.p, cell.q]) for y in (_y_of_torch, _y_by_index))
            found.append((mode, by_torch, by_hand))
    sheet.table(
        (sheet.cell_name,),
        [(mode, (by_torch,)) for mode, by_torch, _ in found],
        [(by_hand,) for _, _, by_hand in found],
        "x padded by index, then shifted views of it",
    )
    sheet.say("padding='same' adds dilation·(size − 1) rows or columns in total; an odd one goes after the image:")
    rows = []
    measured = []
    for extra in (0, 1):
        taps = [(spec.r + extra, spec.dilation[0]), (spec.s + extra, spec.dilation[1])]
        sides = [side for size, step in taps for side in _same(size, step)]
        label = f"{taps[0][0]}×{taps[1][0]} kernel" + (" (one more)" if extra else " (this)")
        rows.append((label, sides))
        measured.append([side for size, step in taps for side in _measure_same(size, step)])
    sheet.table(
        ("top", "bottom", "left", "right"), rows, measured, "zeros that F.conv2d brings in, one weight at a time"
    )
    one = torch.zeros((1, 1, 4, 4))
    try:
        F.conv2d(one, one[:, :, :1, :1], stride=2, padding="same")
        sheet.say("torch accepted padding='same' with a stride just now.")
    except RuntimeError as error:
        sheet.word("refusal", first_line(error))
        sheet.say("With a larger stride torch refuses it: {refusal}.")
    missing = [int((~inside(axis)).sum()) for axis in measure_axes(spec)]
    total = spec.r * spec.p * spec.s * spec.q
    outside = total - (spec.r * spec.p - missing[0]) * (spec.s * spec.q - missing[1])
    ones = torch.ones((1, 1, spec.h, spec.w))
    counted = (unfold(ones, spec) == 0).sum()
    sheet.number("share", 100 * outside / total, 100 * int(counted) / total, "zeros in F.unfold of ones", within=1e-10)
    sheet.note(
        "F.conv2d itself only knows zeros; the other modes pad a copy of x first. F.unfold pads with zeros only as "
        "well: "
        "for another mode pass it F.pad(x, ..., mode=...). {share:.1f} % of this problem's products read padding."
    )
    return (
        "Zeros, unless you set padding_mode; the modes only differ in outputs that read padding. padding='same' only "
        "works with a stride of one; if it needs an odd number of rows or columns, the extra one is at the bottom or "
        "on the right."
    )


def _pad_line(line: Tensor, axis: SlidingAxis, mode: str) -> Tensor:
    """A line of x as torch pads it."""
    around = (axis.padding, axis.padding_end)
    return F.pad(line[None, None], around, mode="constant" if mode == "zeros" else mode)[0, 0]


def _pad_by_index(x: Tensor, axis: SlidingAxis, mode: str, dim: int = 0) -> Tensor:
    """The same along one dimension of x, from the definition of each mode."""
    size, places = axis.size, range(-axis.padding, axis.size + axis.padding_end)
    match mode:
        case "zeros":
            return torch.stack([x.select(dim, i) if 0 <= i < size else 0 * x.select(dim, 0) for i in places], dim)
        case "reflect":
            found = [size - 1 - abs(size - 1 - abs(i)) for i in places]
        case "replicate":
            found = [min(max(i, 0), size - 1) for i in places]
        case _:
            found = [i % size for i in places]
    return torch.stack([x.select(dim, i) for i in found], dim)


def _y_of_torch(sheet: Sheet, mode: Any) -> Tensor:
    """(P, Q) of the cell's filter under a padding mode, by torch.nn.Conv2d; by F.pad and F.conv2d where it cannot."""
    spec, x, w = sheet.one, sheet.one_x, sheet.one_w
    if any(spec.surplus):
        top, bottom, left, right = spec.sides
        padded = F.pad(x, (left, right, top, bottom), mode="constant" if mode == "zeros" else mode)
        return F.conv2d(padded, w, None, spec.stride, 0, spec.dilation)[0, 0]
    layer = make_module(spec, bias=False, padding_mode=mode, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(w)
        found: Tensor = layer(x)[0, 0]
    return found


def _y_by_index(sheet: Sheet, mode: str) -> Tensor:
    """The same from the definitions."""
    spec, x = sheet.one, sheet.one_x
    for dim, axis in zip((2, 3), measure_axes(spec), strict=True):
        x = _pad_by_index(x, axis, mode, dim)
    height, width = spec.padded
    over = replace(spec, h=height, w=width, padding=(0, 0), padding_end=None)
    return conv2d_float64(x, sheet.one_w, over)[0, 0]


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
