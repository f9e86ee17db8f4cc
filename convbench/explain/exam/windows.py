"""Level 2: what do stride, padding and dilation do to the window and to the output?"""

# ruff: noqa: RUF001  # the minus sign is meant: this is mathematics as text

from dataclasses import replace
from random import Random

from convbench.errors import ConvbenchError, plural
from convbench.explain.exam.ask import SIGNED, Kind, Slip, plane, products, question, value_with, walk_of, x_and_w
from convbench.explain.letters import Letters
from convbench.explain.quiz import QuizQuestion
from convbench.explain.steps import measure_axes
from convbench.spec import ConvSpec


def _square(random: Random) -> ConvSpec:
    """Not plain: something of stride, padding and dilation is another than usual."""
    while True:
        stride, padding, dilation = random.randint(1, 3), random.randint(0, 2), random.randint(1, 2)
        size, kernel = random.randint(6, 12), random.choice((2, 3, 4))
        if (stride, padding, dilation) != (1, 0, 1):
            return plane((size, size), (kernel, kernel), stride=stride, padding=padding, dilation=dilation)


def _options(spec: ConvSpec) -> str:
    return f"stride {spec.stride[0]}, padding {spec.padding[0]}, dilation {spec.dilation[0]}"


def output_size(random: Random, letters: Letters) -> QuizQuestion:
    spec = _square(random)
    rows = measure_axes(spec)[0]
    stride, padding, dilation = spec.stride[0], spec.padding[0], spec.dilation[0]
    slips: list[Slip] = [
        (-(-rows.room // stride) + 1, "the quotient is rounded down, not up"),
        (rows.positions - 1, "the + 1 is missing: the first position counts, too"),
        ((rows.room - padding) // stride + 1, "the padding is on both sides, so it counts twice"),
    ]
    for mistake, plain in (("dilation", (1, 1)), ("padding", (0, 0)), ("stride", (1, 1))):
        try:
            slips.append((replace(spec, **{mistake: plain}).p, f"the {mistake} is missing"))  # type: ignore[arg-type]  # only pairs are named
        except ConvbenchError:
            continue  # the kernel does not fit without padding
    return question(
        f"A square image with {spec.h} rows, a {spec.r}x{spec.s} kernel, {_options(spec)}. How many rows has the "
        f"output ({letters.P})?",
        spec.p,
        f"{letters.P} = ⌊({spec.h} + 2·{padding} − {dilation}·({spec.r}−1) − 1) / {stride}⌋ + 1 = "
        f"⌊{rows.room}/{stride}⌋ + 1 = {spec.p}",
        slips=slips,
    )


def same_padding(random: Random, letters: Letters) -> QuizQuestion:
    size, kernel, dilation = random.randint(10, 32), random.choice((3, 5, 7)), random.randint(1, 3)
    padding = next(
        padding
        for padding in range(size)
        if padding * 2 + size > dilation * (kernel - 1)
        and plane((size, size), (kernel, kernel), padding=padding, dilation=dilation).p == size
    )
    return question(
        f"A {kernel}x{kernel} kernel with stride 1 and dilation {dilation}. Which padding on every side keeps a "
        f"{size}x{size} image at {size}x{size}?",
        padding,
        f"{letters.P} = {letters.H} where 2·padding = dilation·({letters.R}−1) = {dilation}·{kernel - 1}",
        slips=(
            ((kernel - 1) // 2, "the dilation is missing"),
            (2 * padding, "that is for both sides together"),
            (dilation * kernel // 2, f"a kernel of {kernel} has {kernel - 1} steps between its elements"),
        ),
    )


def extent(random: Random, letters: Letters) -> QuizQuestion:
    kernel, dilation = (random.randint(2, 5), random.randint(2, 5)), random.randint(2, 4)
    height, width = plane((40, 40), kernel, dilation=dilation).kernel_extent
    return question(
        f"How many rows and columns of x does a {kernel[0]}x{kernel[1]} kernel with dilation {dilation} cover, from "
        "its first to its last element? (rows,columns)",
        (height, width),
        f"dilation·({letters.R}−1) + 1 = {dilation}·{kernel[0] - 1} + 1 = {height}, and "
        f"{dilation}·{kernel[1] - 1} + 1 = {width}",
        slips=(
            (
                (dilation * kernel[0], dilation * kernel[1]),
                "behind the last element there is no gap: dilation·(K−1) + 1, not dilation·K",
            ),
            (kernel, "the dilation is missing"),
            ((height - 1, width - 1), "the + 1 is missing: the first element counts, too"),
        ),
    )


def one_output(random: Random, _: Letters) -> QuizQuestion:
    while True:
        stride, padding, dilation = random.choice(((2, 1, 1), (2, 0, 1), (1, 1, 1), (1, 1, 2), (1, 0, 2), (2, 1, 2)))
        spec = plane((4, 4), (2, 2), stride=stride, padding=padding, dilation=dilation)
        found = walk_of(random, spec, w=SIGNED)
        if sum(not term.padding for term in found.terms) > 1:
            break  # one product alone is no sum
    cell = found.cell
    slips: list[Slip] = [
        (wrong, f"the {name} is missing")
        for name, plain in (("padding", (0, 0)), ("stride", (1, 1)), ("dilation", (1, 1)))
        if (wrong := value_with(found, **{name: plain})) is not None
    ]
    slips.append((int(found.flipped), "the kernel was flipped; a convolution layer lays it on the image as it is"))
    zeros = sum(term.padding for term in found.terms)
    beyond = f"; {zeros} of the {len(found.terms)} products are zeros of the padding" if zeros else ""
    return question(
        f"With {_options(spec)}: what is y[0,0,{cell.p},{cell.q}]?",
        int(found.total),
        f"{products((term.x, term.w) for term in found.terms)} = {found.total:.0f}{beyond}",
        grids=x_and_w(found),
        slips=slips,
    )


def one_pixel(random: Random, _: Letters) -> QuizQuestion:
    spec = _square(random)
    stride, padding, dilation = spec.stride[0], spec.padding[0], spec.dilation[0]
    found = walk_of(random, spec)
    cell, term = found.cell, random.choice(found.terms[1:])
    places = ((cell.p, term.r), (cell.q, term.s))
    row, column = (f"{at}·{stride} − {padding} + {tap}·{dilation}" for at, tap in places)
    return question(
        f"A {spec.r}x{spec.s} kernel with {_options(spec)}. Which pixel of x does w[0,0,{term.r},{term.s}] read for "
        f"y[0,0,{cell.p},{cell.q}]? (row,column; negative is padding)",
        (term.row, term.column),
        f"row {row} = {term.row}, column {column} = {term.column}",
        slips=(
            ([at * stride + tap * dilation for at, tap in places], "the padding is missing: x begins behind it"),
            ([at * stride - padding + tap for at, tap in places], "the dilation is missing"),
            ([at - padding + tap * dilation for at, tap in places], "the stride is missing"),
            ([at * stride + padding + tap * dilation for at, tap in places], "the padding is subtracted, not added"),
        ),
    )


def unread(random: Random, letters: Letters) -> QuizQuestion:
    size, kernel, stride = random.randint(7, 14), random.choice((1, 2, 3)), random.randint(2, 4)
    rows = measure_axes(plane((size, size), (kernel, kernel), stride=stride))[0]
    lost = len(rows.unread)
    which = ", ".join(map(str, rows.unread))
    never = f"row{'s' * (lost > 1)} {which} {'are' if lost > 1 else 'is'} never read" if lost else "every row is read"
    return question(
        f"An image with {size} rows, a {kernel}x{kernel} kernel, stride {stride}, no padding. How many rows of x does "
        "no output read?",
        lost,
        f"{letters.P} = {rows.positions}, and output row {letters.p} reads rows {letters.p}·{stride} to "
        f"{letters.p}·{stride} + {kernel - 1}; {never}: {plural(lost, 'row')}",
        slips=((rows.rest, "rows between the windows are skipped as well where the stride is larger than the kernel"),),
    )


KINDS: tuple[Kind, ...] = (output_size, same_padding, extent, one_output, one_pixel, unread)
