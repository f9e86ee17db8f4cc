"""Level 3: where is what in the patch matrix, what do groups change, and how much work is it?"""

from dataclasses import replace
from math import prod
from random import Random

import torch

from convbench.explain.exam.ask import Kind, plane, question, walk_of, x_and_w
from convbench.explain.letters import Letters
from convbench.explain.quiz import QuizQuestion
from convbench.spec import ConvSpec


def _layer(random: Random, *, groups: int) -> ConvSpec:
    """Of some channels, so that a person can still count it."""
    kernel, padding = random.choice((1, 2, 3)), random.randint(0, 1)
    return ConvSpec(
        n=random.randint(1, 3),
        c=groups * random.randint(1, 3),
        h=random.randint(4, 8),
        w=random.randint(4, 8),
        k=groups * random.randint(1, 4),
        r=kernel,
        s=random.choice((2, 3)),
        padding=(padding, padding),
        groups=groups,
    )


def _sizes(spec: ConvSpec) -> str:
    return f"x is {'x'.join(map(str, spec.x_shape))}, the kernel {spec.r}x{spec.s}, padding {spec.padding[0]}, stride 1"


def _module(spec: ConvSpec) -> str:
    groups = f", groups={spec.groups}" if spec.groups > 1 else ""
    return f"nn.Conv2d({spec.c}, {spec.k}, ({spec.r}, {spec.s}){groups})"


def patches_shape(random: Random, letters: Letters) -> QuizQuestion:
    spec = _layer(random, groups=1)
    rows, columns = spec.c * spec.r * spec.s, spec.p * spec.q
    return question(
        f"{_sizes(spec)}. What is the shape of F.unfold's patch matrix? ({letters.N}, rows, columns)",
        (spec.n, rows, columns),
        f"{letters.taps()} = {spec.c}·{spec.r}·{spec.s} = {rows} rows, {letters.P}·{letters.Q} = {spec.p}·{spec.q} = "
        f"{columns} columns",
        slips=(
            ((spec.n, spec.r * spec.s, columns), "every channel has rows of its own"),
            ((spec.n, columns, rows), "a column is a patch: the patch's numbers are the rows"),
            ((spec.n, rows, spec.h * spec.w), "the columns are the positions of the kernel, not the pixels"),
        ),
    )


def patch_row(random: Random, letters: Letters) -> QuizQuestion:
    c, r, s = random.randint(2, 4), random.randint(2, 3), random.randint(2, 3)
    numbered = torch.arange(c * r * s).reshape(c, r, s)
    at = random.randrange(1, c), random.randrange(r), random.randrange(s)
    row = int(numbered[at])
    return question(
        f"x has {c} channels, the kernel is {r}x{s}. Which row of the patch matrix, from 0, holds channel {at[0]} "
        f"under the kernel element ({at[1]},{at[2]})?",
        row,
        f"({letters.c}·{letters.R} + {letters.r})·{letters.S} + {letters.s} = "
        f"({at[0]}·{r} + {at[1]})·{s} + {at[2]} = {row}",
        slips=(
            (row + 1, "rows are counted from 0"),
            ((at[1] * s + at[2]) * c + at[0], "the channel changes slowest, not fastest"),
            (at[1] * s + at[2], "the channels before it have rows, too"),
        ),
    )


def patch_column(random: Random, letters: Letters) -> QuizQuestion:
    p, q = random.randint(3, 6), random.randint(3, 6)
    numbered = torch.arange(p * q).reshape(p, q)
    at = random.randrange(p), random.randrange(q)
    column = int(numbered[at])
    if random.random() < 0.5:
        return question(
            f"y is {p}x{q}. Which output is column l={column} of the patch matrix? ({letters.p},{letters.q})",
            (numbered == column).nonzero()[0].tolist(),
            f"{letters.p} = ⌊{column}/{q}⌋ = {at[0]}, {letters.q} = {column} - {at[0]}·{q} = {at[1]}",
            slips=(
                (divmod(column, p), f"a row of y has {letters.Q} = {q} outputs, so divide by {q}"),
                ((at[1], at[0]), "rows come first, then columns"),
            ),
        )
    return question(
        f"y is {p}x{q}. Which column of the patch matrix, from 0, gives the output in row {at[0]}, column {at[1]}?",
        column,
        f"l = {letters.p}·{letters.Q} + {letters.q} = {at[0]}·{q} + {at[1]} = {column}",
        slips=(
            (at[1] * p + at[0], "outputs go row by row, not column by column"),
            (column + 1, "columns are counted from 0"),
        ),
    )


def one_patch(random: Random, letters: Letters) -> QuizQuestion:
    found = walk_of(random, plane((4, 4), (2, 2)))
    cell, column = found.cell, found.own[:, found.position]
    return question(
        f"Write down column l={found.position} of the patch matrix, from top to bottom.",
        [int(one) for one in column],
        f"l={found.position} is the output ({letters.p},{letters.q}) = ({cell.p},{cell.q}); its patch is read row by "
        "row",
        grids=x_and_w(found),
        slips=(
            (
                [int(one) for one in column.reshape(2, 2).T.flatten()],
                "the patch is read row by row, not column by column",
            ),
            (
                [int(found.x[0, 0, cell.q + r, cell.p + s]) for r in range(2) for s in range(2)],
                "that is the patch with row and column swapped",
            ),
        ),
    )


def weight_shape(random: Random, letters: Letters) -> QuizQuestion:
    spec = _layer(random, groups=random.choice((2, 3, 4)))
    return question(
        f"What is the shape of the weight of {_module(spec)}? "
        f"({letters.K}, {letters.per_group(letters.C, spec.groups)}, {letters.R}, {letters.S})",
        spec.w_shape,
        f"each filter reads {letters.C}/G = {spec.c}/{spec.groups} = {spec.c_per_group} channels",
        slips=(
            ((spec.k, spec.c, spec.r, spec.s), "a filter reads the channels of its own group only"),
            ((spec.c, spec.k_per_group, spec.r, spec.s), "output channels come first"),
            ((spec.k_per_group, spec.c_per_group, spec.r, spec.s), "all filters of all groups are in one weight"),
        ),
    )


def parameters(random: Random, letters: Letters) -> QuizQuestion:
    spec = _layer(random, groups=random.choice((1, 1, 2, 4)))
    weights, whole = prod(spec.w_shape), prod(replace(spec, groups=1).w_shape)
    return question(
        f"How many parameters has {_module(spec)}, bias included?",
        weights + spec.k,
        f"{letters.K}·{letters.taps(spec.groups)} + {letters.K} = {spec.k}·{spec.c_per_group}·{spec.r}·{spec.s} + "
        f"{spec.k} = {weights + spec.k}",
        slips=(
            (weights, f"the bias is missing: one for each of the {spec.k} output channels"),
            (whole + spec.k, "a filter reads the channels of its own group only"),
            (weights + 1, "each output channel has a bias of its own"),
            (weights + spec.c, "the bias belongs to the output channels, not to the input channels"),
        ),
    )


def macs(random: Random, letters: Letters) -> QuizQuestion:
    spec = _layer(random, groups=random.choice((1, 1, 2)))
    sizes = (letters.N, letters.K, letters.P, letters.Q)
    groups = f", {spec.groups} groups" if spec.groups > 1 else ""
    return question(
        f"{_sizes(spec)}, {spec.k} output channels{groups}. How many multiply-adds (MACs) does it take, those with "
        "padding included?",
        spec.macs,
        f"{'·'.join(sizes)}·{letters.taps(spec.groups)} = {spec.n}·{spec.k}·{spec.p}·{spec.q}·{spec.c_per_group}·"
        f"{spec.r}·{spec.s} = {spec.macs}",
        slips=(
            (spec.flops, "those are FLOPs, two for each multiply-add"),
            (replace(spec, groups=1).macs, "a filter reads the channels of its own group only"),
            (spec.macs // spec.n, f"that is for one image; there are {spec.n}"),
            (spec.macs // spec.k, f"that is for one output channel; there are {spec.k}"),
            (spec.n * spec.k * spec.h * spec.w * spec.taps, "one sum for each output, not for each pixel of x"),
        ),
    )


KINDS: tuple[Kind, ...] = (patches_shape, patch_row, patch_column, one_patch, weight_shape, parameters, macs)
