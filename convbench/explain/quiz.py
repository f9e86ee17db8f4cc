"""What does the quiz ask about a step, and is the reply right?

Each question is about something that the step does not show, and its answer is read from the proved
tensors or counted; the formula is only in the explanation.
"""

# ruff: noqa: RUF001  # the minus sign is meant: this is mathematics as text

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

import torch

from convbench.errors import ConvbenchError
from convbench.explain.letters import TORCH, Letters
from convbench.explain.steps import Walk, vary
from convbench.spec import ITEM_NBYTES, ConvSpec

MOST_TERMS = 9  # a longer sum is a chore, not a question
_COUNTS = ("no", "one", "two", "three", "four")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuizGrid:
    """Numbers that a question is about; `role` is patch, kernel or output."""

    label: str
    rows: tuple[tuple[int, ...], ...]
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuizQuestion:
    """A text, the integers that answer it, and why they do.

    Attributes:
        slips: wrong answers that a usual mistake gives, each with the mistake.
        level: how hard it is, from 1 to 4; 0 where it is about a step.
    """

    text: str
    answer: tuple[int, ...]
    because: str
    grids: tuple[QuizGrid, ...] = ()
    slips: tuple[tuple[tuple[int, ...], str], ...] = ()
    level: int = 0

    @property
    def answer_text(self) -> str:
        return ",".join(str(number) for number in self.answer)

    @property
    def form(self) -> str:
        """What a reply looks like."""
        count = len(self.answer)
        return "a number" if count == 1 else f"{_COUNTS[count]} numbers, like {','.join('1234'[:count])}"

    def read(self, reply: str) -> tuple[int, ...] | None:
        """The numbers of a reply; None if they are not what was asked for."""
        reply = reply.strip().strip("()").replace("−", "-")
        if len(self.answer) == 1 and re.fullmatch(r"-?\d{1,3}(,\d{3})+", reply):
            reply = reply.replace(",", "")
        words = re.split(r"[\s,]+", reply)
        if len(words) != len(self.answer) or not all(re.fullmatch(r"-?\d{1,18}", word) for word in words):
            return None
        return tuple(map(int, words))

    def grade(self, reply: str) -> bool | None:
        """Whether the reply is right; None if it is not the numbers that were asked for."""
        numbers = self.read(reply)
        return None if numbers is None else numbers == self.answer

    def slip(self, reply: str) -> str:
        """The mistake that gives this reply; empty where it is none of the usual ones."""
        return dict(self.slips).get(self.read(reply) or (), "")


def ask(walk: Walk, step: str, random: Random, letters: Letters = TORCH) -> QuizQuestion:
    """A question about a step of a walk that holds, another one each time."""
    by_name: Mapping[str, Callable[[Walk, Random, Letters], QuizQuestion]] = {
        "operands": _which_number,
        "loops": _what_output,
        "positions": _how_many,
        "unfold": _where_in_patches,
        "flatten": _where_in_kernel,
        "multiply": _how_much_work,
        "reshape": _which_position,
        "pytorch": _how_many_bytes,
    }
    return by_name[step](walk, random, letters)


def _draw_output(walk: Walk, random: Random) -> tuple[int, int]:
    """Another output of the same image and filter, if there is one."""
    cells = walk.spec.p * walk.spec.q
    position = random.randrange(cells - 1) if cells > 1 else 0
    return divmod(position + (cells > 1 and position >= walk.position), walk.spec.q)


def _which_number(walk: Walk, random: Random, _: Letters) -> QuizQuestion:
    spec, cell = walk.spec, walk.cell
    p, q = _draw_output(walk, random)
    tap = random.randrange(spec.taps)
    term = walk.terms[tap]
    row = p * spec.stride[0] - spec.padding[0] + term.r * spec.dilation[0]
    column = q * spec.stride[1] - spec.padding[1] + term.s * spec.dilation[1]
    outside = ", outside x: a zero" if walk.padding[tap, p * spec.q + q] else ""
    return QuizQuestion(
        text=(
            f"For y[{cell.n},{cell.k},{p},{q}], which number of x is multiplied by "
            f"w[{cell.k},{term.c},{term.r},{term.s}]?"
        ),
        answer=(int(walk.own[tap, p * spec.q + q]),),
        because=(
            f"row {p}·{spec.stride[0]} − {spec.padding[0]} + {term.r}·{spec.dilation[0]} = {row}, column "
            f"{q}·{spec.stride[1]} − {spec.padding[1]} + {term.s}·{spec.dilation[1]} = {column}{outside}"
        ),
    )


def _what_output(walk: Walk, random: Random, _: Letters) -> QuizQuestion:
    spec, cell = walk.spec, walk.cell
    p, q = _draw_output(walk, random)
    if spec.taps > MOST_TERMS:
        return _where_tap_falls(walk, (p, q), random)
    pairs = zip(walk.own[:, p * spec.q + q].tolist(), walk.w_row.tolist(), strict=True)
    return QuizQuestion(
        text=f"What is y[{cell.n},{cell.k},{p},{q}]?",
        answer=(int(walk.y[cell.n, cell.k, p, q]),),
        because=" + ".join(f"{x:.0f}·{f'({w:.0f})' if w < 0 else f'{w:.0f}'}" for x, w in pairs),
    )


def _where_tap_falls(walk: Walk, output: tuple[int, int], random: Random) -> QuizQuestion:
    spec, cell = walk.spec, walk.cell
    tap = random.randrange(spec.r), random.randrange(spec.s)
    places, sums = [], []
    for i, size in enumerate((spec.h, spec.w)):
        before, after = spec.sides[2 * i : 2 * i + 2]
        lines = torch.arange(-before, size + after).unfold(0, spec.kernel_extent[i], spec.stride[i])
        places.append(int(lines[output[i], tap[i] * spec.dilation[i]]))
        sums.append(f"{output[i]}·{spec.stride[i]} − {spec.padding[i]} + {tap[i]}·{spec.dilation[i]} = {places[i]}")
    return QuizQuestion(
        text=f"For y[{cell.n},{cell.k},{output[0]},{output[1]}], which pixel of x does tap ({tap[0]},{tap[1]}) read? "
        "(row,column; negative is padding)",
        answer=(places[0], places[1]),
        because=", ".join(sums),
    )


def _how_many(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    other = _vary_more(walk.spec, random)
    sizes, kernels = other.padded, other.kernel_extent
    windows = [torch.arange(sizes[i]).unfold(0, kernels[i], other.stride[i]).shape[0] for i in range(2)]
    strides, paddings, dilations = ("x".join(map(str, one)) for one in (other.stride, other.padding, other.dilation))
    (top, bottom), both = other.sides[:2], f"2·{other.padding[0]}"
    if other.padding_end is not None:
        paddings, both = f"{other.padding_text} (top, bottom, left, right)", f"{top} + {bottom}"
    rows = f"{letters.P} = ⌊({other.h} + {both} − {other.dilation[0]}·({other.r}−1) − 1) / {other.stride[0]}⌋ + 1"
    named = f"({letters.P},{letters.Q})"
    return QuizQuestion(
        text=f"With stride {strides}, padding {paddings}, dilation {dilations}: how large is y? {named}",
        answer=(windows[0], windows[1]),
        because=f"{rows}, and {letters.Q} in the same way",
    )


def _vary_more(spec: ConvSpec, random: Random) -> ConvSpec:
    """Another stride, padding and dilation than the step shows, if there is one with an output.

    Opposite sides are padded differently only where they are in the problem.
    """
    seen = {spec, *(variant.spec for variant in vary(spec))}
    for _ in range(50):
        stride, padding, dilation = random.randint(1, 3), (random.randint(0, 3),) * 2, random.randint(1, 3)
        end = None if spec.padding_end is None else (random.randint(0, 3), random.randint(0, 3))
        try:
            other = replace(spec, stride=(stride,) * 2, padding=padding, padding_end=end, dilation=(dilation,) * 2)
        except ConvbenchError:
            continue  # the dilated kernel has outgrown the input
        if other not in seen:
            return other
    return spec


def _where_in_patches(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    spec, cell = walk.spec, walk.cell
    if random.random() < 0.5:
        tap = random.randrange(spec.taps)
        term = walk.terms[tap]
        place = torch.arange(walk.patches.shape[1]).reshape(spec.c, spec.r, spec.s)[term.channel, term.r, term.s]
        return QuizQuestion(
            text=f"Which row of the patch matrix, from 0, has channel {term.channel}, tap ({term.r},{term.s})?",
            answer=(int(place),),
            because=f"{_tap_formula(letters)} = ({term.channel}·{spec.r} + {term.r})·{spec.s} + {term.s}",
        )
    p, q = _draw_output(walk, random)
    return QuizQuestion(
        text=f"Which column of the patch matrix, from 0, gives y[{cell.n},{cell.k},{p},{q}]?",
        answer=(int(torch.arange(spec.p * spec.q).reshape(spec.p, spec.q)[p, q]),),
        because=f"l = {letters.p}·{letters.Q} + {letters.q} = {p}·{spec.q} + {q}",
    )


def _where_in_kernel(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    spec, cell = walk.spec, walk.cell
    term = walk.terms[random.randrange(spec.taps)]
    place = torch.arange(spec.taps).reshape(spec.c_per_group, spec.r, spec.s)[term.c, term.r, term.s]
    return QuizQuestion(
        text=f"At which index of the flattened filter, from 0, is w[{cell.k},{term.c},{term.r},{term.s}]?",
        answer=(int(place),),
        because=f"{_tap_formula(letters)} = ({term.c}·{spec.r} + {term.r})·{spec.s} + {term.s}",
    )


def _tap_formula(letters: Letters) -> str:
    return f"({letters.c}·{letters.R} + {letters.r})·{letters.S} + {letters.s}"


def _how_much_work(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    spec = walk.spec
    images = spec.n + random.randint(1, 4)
    each = walk.y[0].numel() * len(walk.terms)
    return QuizQuestion(
        text=f"How many multiply-adds would {images} images take?",
        answer=(images * each,),
        because=(
            f"{letters.N}·{letters.K}·{letters.P}·{letters.Q}·({letters.taps(spec.groups)}) = "
            f"{images}·{spec.k}·{spec.p}·{spec.q}·{spec.taps}"
        ),
    )


def _which_position(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    spec = walk.spec
    p, q = _draw_output(walk, random)
    position = p * spec.q + q
    place = (torch.arange(spec.p * spec.q).reshape(spec.p, spec.q) == position).nonzero()[0]
    return QuizQuestion(
        text=f"Which output is column l={position}? ({letters.p},{letters.q})",
        answer=(int(place[0]), int(place[1])),
        because=f"{letters.p} = ⌊{position}/{spec.q}⌋ = {p}, {letters.q} = {position} − {p}·{spec.q} = {q}",
    )


def _how_many_bytes(walk: Walk, random: Random, letters: Letters) -> QuizQuestion:
    spec, images = walk.spec, walk.spec.n + random.randint(1, 4)
    each = walk.patches[0].numel() * ITEM_NBYTES["fp32"]
    return QuizQuestion(
        text=f"How many bytes would the patch matrix of {images} images take in fp32?",
        answer=(images * each,),
        because=(
            f"{letters.N}·({letters.taps()})·{letters.P}·{letters.Q}·{ITEM_NBYTES['fp32']} = "
            f"{images}·{spec.c * spec.r * spec.s}·{spec.p * spec.q}·{ITEM_NBYTES['fp32']}"
        ),
    )
