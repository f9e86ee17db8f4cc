"""What happens to the kernel: is it flipped, spread apart, split into groups?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from dataclasses import replace
from math import prod

import torch

from convbench.errors import ConvbenchError, first_line
from convbench.explain.sheet import Sheet
from convbench.explain.steps import measure_axes, place_taps
from convbench.ran.by_torch import convolve, make_module, shape_of_y
from convbench.spec import ConvSpec, pair_text
from convbench.verify.oracle import conv2d_float64

MOST_COUNTED = 6  # dilations in the table, and no more


def flip(sheet: Sheet) -> str:
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
    sheet.say(f"The kernel as it is, and flipped (channel {sheet.terms[0].channel}):")
    everything = torch.ones((spec.r, spec.s), dtype=torch.bool)
    one_by_one = torch.tensor([term.w for term in sheet.terms[: spec.r * spec.s]]).reshape(spec.r, spec.s)
    sheet.grid("w", w[0, 0], one_by_one, "w itself", role="kernel", marked=everything)
    sheet.grid("flipped", mirrored[0, 0], w.flip(2, 3)[0, 0], "w.flip(2, 3)", role="kernel", marked=everything)
    sheet.sum(sheet.cell_name, pairs, float(oracle[at]), "shifted views of x, summed")
    sheet.sum("flipped", turned, float(mirror[at]), "shifted views of x, summed")
    marked = sheet.at_cell
    sheet.grid("y", y[0, 0], oracle[0, 0], "shifted views of x, summed", role="output", marked=marked)
    sheet.grid("y flipped", flipped[0, 0], mirror[0, 0], "shifted views of x", role="output", marked=marked)
    sheet.number("differ", int((y != flipped).sum()), int((oracle != mirror).sum()), "shifted views of x, summed")
    sheet.number("outputs", y.numel(), spec.p * spec.q, "$P·$Q")
    if sheet.numbers["differ"] == sheet.numbers["outputs"]:
        every = "All" if sheet.numbers["outputs"] > 1 else "The"
        sheet.say(f"{every} {sheet.count('outputs', 'output')} differ{'s' if every == 'The' else ''} between the two.")
    else:
        of = "differs" if sheet.numbers["differ"] == 1 else "differ"
        sheet.say(f"{{differ:,}} of these {{outputs:,}} outputs {of} between the two.")
    sheet.note(
        "A textbook convolution flips its kernel; the one in frameworks is a cross-correlation. For a learned kernel "
        "it "
        "does not matter: it is learned flipped. A kernel from a textbook needs w.flip(2, 3)."
    )
    same = " Here the two happen to be equal." if sheet.numbers["plain"] == sheet.numbers["turned"] else ""
    return (
        f"No. F.conv2d applies the kernel to x as it is: {sheet.cell_name} is {{plain:g}}, and would be {{turned:g}} "
        f"with "
        f"the kernel flipped.{same}"
    )


def dilation(sheet: Sheet) -> str:
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
    sheet.given(D_h=spec.dilation[0], D_w=spec.dilation[1])
    for name, value, again, by in (
        ("rows", rows, places[0], "$p·stride − padding + $r·dilation"),
        ("columns", columns, places[1], "$q·stride − padding + $s·dilation"),
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
        f"{sheet.cell_name} reads rows {{rows}} and columns {{columns}} of x"
        + ("; those outside x are padding." if any(term.padding for term in sheet.terms) else ".")
    )
    sheet.say("The same as an undilated kernel of {extent_h}×{extent_w} with {holes:,} zeros in each slice:")
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
    sheet.say("This problem with other dilations:")
    tried: list[tuple[str, ConvSpec]] = []
    for dilation in range(1, MOST_COUNTED + 1):
        try:
            tried.append((f"dilation {dilation}", replace(spec, dilation=(dilation, dilation))))
        except ConvbenchError:
            break  # and wider ones do not fit either
    if all(one != spec for _, one in tried):
        tried.append((f"dilation {pair_text(spec.dilation)}", spec))
    sheet.table(
        ("rows", "columns", "$P", "$Q", "weights"),
        [(label, (*one.kernel_extent, one.p, one.q, prod(one.w_shape))) for label, one in tried],
        [(*_wide(one), *shape_of_y(one)[2:], _weights(one)) for _, one in tried],
        "F.conv2d's and torch.nn.Conv2d's shapes",
    )
    axis = measure_axes(spec)[0 if spec.r > 1 else 1]
    sheet.number(
        "solved",
        (axis.lines - 1 - (axis.positions - 1) * axis.stride) / (axis.taps - 1),
        axis.dilation + axis.rest / (axis.taps - 1),
        "the dilation and what the floor drops",
        within=1e-12 * axis.lines,
    )
    sheet.note(
        f"The formula for ${axis.letters[0]} solved for the dilation gives {{solved:.4g}} here: "
        + ("without a stride the floor drops nothing. " if axis.stride == 1 else "there the floor would drop nothing. ")
        + "You choose the dilation; the size follows."
    )
    other = " instead of {P1}×{Q1}" if (spec.p, spec.q) != (undilated.p, undilated.q) else ", as without dilation"
    return (
        "It spreads the weights of the kernel apart: {R}×{S} of them span {extent_h}×{extent_w} of x, with the same "
        f"{{weights:,}} weights; y is {{P}}×{{Q}}{other}."
    )


def _wide(spec: ConvSpec) -> tuple[int, int]:
    """Lines that the kernel spans, from where its taps fall."""
    rows, columns = (place_taps(axis)[:, 0] for axis in measure_axes(spec))
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def groups(sheet: Sheet) -> str:
    spec, cell = sheet.spec, sheet.cell
    alone = replace(spec, n=1)
    x = sheet.x[cell.n][None]
    y = convolve(x, sheet.w, alone)
    part = replace(alone, c=spec.c_per_group, k=spec.k_per_group, groups=1)
    parts = [
        convolve(x_part, w_part, part)
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
        ("channel", read[0], mine[0], "channels dealt out to groups"),
        ("weights", prod(spec.w_shape), _weights(spec), "torch.nn.Conv2d's weight"),
        ("dense", prod(whole.w_shape), _weights(whole), "torch.nn.Conv2d's weight with one group"),
    ):
        sheet.number(name, value, again, by)
    sheet.say(
        "w is ($K, $C/G, $R, $S) = ({K}, {slices}, {R}, {S}): $C/G, because a filter only has slices for its group's "
        "channels."
    )
    several = spec.c_per_group > 1
    sheet.say(
        "Filter {k} is in group {group} and reads "
        + ("channels {channels} of {C}. Slice by slice, then summed:" if several else "only channel {channel} of {C}:")
    )
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
    sheet.say("Their sum is {total:g}." if several else "With one slice there is nothing more to sum: it is {total:g}.")
    others = torch.ones(spec.c, dtype=torch.bool)
    others[mine] = False
    changed = x.clone()
    changed[:, others] += 1000
    moved = (convolve(changed, sheet.w, alone) - y)[0, cell.k].abs().max()
    again = conv2d_float64(changed, sheet.w, alone)[0, cell.k] - conv2d_float64(x, sheet.w, alone)[0, cell.k]
    sheet.number("moved", float(moved), float(again.abs().max()), "shifted views of x, summed")
    change = "does not change" if sheet.numbers["moved"] == 0 else "changes by {moved:g}"
    sheet.say(f"Add a thousand to all other channels, and the output of filter {{k}} {change}.")
    if spec.c_per_group > 1:
        same = sheet.one_w[:, :1].expand_as(sheet.one_w)
        reused = convolve(sheet.one_x, same, sheet.one)[0, 0, cell.p, cell.q]
        summed = convolve(sheet.one_x.sum(1, keepdim=True), sheet.one_w[:, :1], replace(sheet.one, c=1))
        sheet.number(
            "reused", float(reused), float(summed[0, 0, cell.p, cell.q]), "one slice on the sum of the channels"
        )
        sheet.say("If one slice were reused for every channel, the sum would be {reused:g}.")
    try:
        convolve(torch.zeros((1, *sheet.x.shape[1:])), torch.zeros(sheet.w.shape), replace(alone, groups=1))
    except RuntimeError as refusal:
        sheet.word("refusal", first_line(refusal))
        sheet.say(f"Forget groups={spec.groups}, and torch says: {{refusal}}. (`convbench error` explains it.)")
    sheet.note(
        "The shape ($K, $C·$R·$S) of a flattened kernel is only right for one group. With groups there is one product "
        "per group, ($K/G, $C/G·$R·$S) times that group's rows."
    )
    added = "their sums are added" if several else "here that is one channel"
    return (
        f"Each filter has its own slice for every channel that it reads, and {added}. {{G}} groups: filter "
        "{k} reads {slices} of {C} channels; {weights:,} weights instead of {dense:,}."
    )


def _weights(spec: ConvSpec) -> int:
    """Numbers in the weight of a module of torch."""
    return make_module(spec, bias=False, device="meta").weight.numel()
