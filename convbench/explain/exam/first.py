"""Level 1: how large is the output of a small image, and what is one of its numbers?"""

# ruff: noqa: RUF001  # the minus sign is meant: this is mathematics as text

from random import Random

from convbench.explain.exam.ask import Kind, plane, products, question, walk_of, x_and_w
from convbench.explain.letters import Letters
from convbench.explain.quiz import QuizQuestion
from convbench.explain.steps import Walk
from convbench.spec import ConvSpec


def _small(random: Random) -> ConvSpec:
    return plane((random.randint(4, 7), random.randint(4, 7)), (random.randint(2, 3), random.randint(2, 3)))


def _note(random: Random) -> Walk:
    """Of the size of the note's problem, at another output than the first."""
    while True:
        found = walk_of(random, plane((4, 4), (2, 2)))
        if found.position and found.flipped != found.total:
            return found


def output_size(random: Random, letters: Letters) -> QuizQuestion:
    spec = _small(random)
    return question(
        f"The image is {spec.h}x{spec.w}, the kernel {spec.r}x{spec.s}; stride 1, no padding. How large is the output? "
        f"({letters.P},{letters.Q})",
        (spec.p, spec.q),
        f"{letters.P} = {spec.h} − {spec.r} + 1 = {spec.p}, {letters.Q} = {spec.w} − {spec.s} + 1 = {spec.q}",
        slips=(
            ((spec.h - spec.r, spec.w - spec.s), "the + 1 is missing: the first position counts, too"),
            ((spec.q, spec.p), "rows come first, then columns"),
            ((spec.h, spec.w), "without padding the kernel stays inside the image, so the output is smaller"),
        ),
    )


def position_count(random: Random, letters: Letters) -> QuizQuestion:
    spec = _small(random)
    return question(
        f"The image is {spec.h}x{spec.w}, the kernel {spec.r}x{spec.s}; stride 1, no padding. At how many positions "
        "does the kernel fit?",
        spec.p * spec.q,
        f"{letters.P}·{letters.Q} = {spec.p}·{spec.q} = {spec.p * spec.q}",
        slips=(
            ((spec.h - spec.r) * (spec.w - spec.s), "the + 1 of each size is missing"),
            (spec.h * spec.w, "that is how many pixels the image has"),
            (spec.p + spec.q, "the two sizes are multiplied, not added"),
        ),
    )


def one_output(random: Random, _: Letters) -> QuizQuestion:
    found = _note(random)
    cell, y = found.cell, found.y[0, 0]
    slips = [
        (int(found.flipped), "the kernel was flipped; a convolution layer lays it on the image as it is"),
        (int(y[cell.q, cell.p]), "rows come first: that is the output with row and column swapped"),
        (int(found.own[:, found.position].sum()), "the weights are missing: that is the sum of the patch"),
    ]
    if cell.p and cell.q:
        slips.append((int(y[cell.p - 1, cell.q - 1]), "rows and columns are counted from 0"))
    return question(
        f"What is y[0,0,{cell.p},{cell.q}], the output in row {cell.p} and column {cell.q}, counted from 0?",
        int(found.total),
        f"{products((term.x, term.w) for term in found.terms)} = {found.total:.0f}",
        grids=x_and_w(found),
        slips=slips,
    )


def one_pixel(random: Random, _: Letters) -> QuizQuestion:
    found = _note(random)
    cell, term = found.cell, random.choice(found.terms)
    return question(
        f"For y[0,0,{cell.p},{cell.q}], which number of x is multiplied by w[0,0,{term.r},{term.s}]?",
        int(term.x),
        f"row {cell.p} + {term.r} = {term.row}, column {cell.q} + {term.s} = {term.column}; "
        f"x[0,0,{term.row},{term.column}] = {term.x:.0f}",
        grids=x_and_w(found),
        slips=(
            (int(found.x[0, 0, term.r, term.s]), "that is the patch of the first output; the window has moved on"),
            (int(found.x[0, 0, term.column, term.row]), "rows come first, then columns"),
        ),
    )


def whole_output(random: Random, _: Letters) -> QuizQuestion:
    found = walk_of(random, plane((3, 3), (2, 2)))
    columns, weights = found.own.T.tolist(), found.w_row.tolist()
    return question(
        "Compute all four outputs, row by row.",
        [int(one) for one in found.y_row],
        "; ".join(
            f"{products(zip(patch, weights, strict=True))} = {int(one)}"
            for patch, one in zip(columns, found.y_row, strict=True)
        ),
        grids=x_and_w(found),
        slips=(
            ([int(one) for one in found.y[0, 0].T.flatten()], "that is column by column"),
            (
                [int(sum(x * w for x, w in zip(patch, weights[::-1], strict=True))) for patch in columns],
                "the kernel was flipped; a convolution layer lays it on the image as it is",
            ),
        ),
    )


KINDS: tuple[Kind, ...] = (output_size, position_count, one_output, one_pixel, whole_output)
