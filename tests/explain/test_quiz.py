"""Are the quiz's answers right, by the numbers themselves, and is a reply graded fairly?"""

import re
from random import Random

import pytest
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvSpec
from convbench.explain import STEPS
from convbench.explain.quiz import QuizQuestion, ask
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from tests.strategies import specs


def walk_of(spec: ConvSpec) -> Walk:
    return walk(*small_integers(spec), spec, choose_cell(spec))


def numbers(text: str) -> list[int]:
    return [int(word) for word in re.findall(r"-?\d+", text)]


def solve(walk: Walk, step: str, question: QuizQuestion) -> tuple[int, ...]:
    """The answer from the question's own words, by padded x and by torch; another way than the quiz's."""
    spec, text = walk.spec, question.text
    top, bottom, left, right = spec.sides
    padded = F.pad(walk.x, (left, right, top, bottom))
    asked = numbers(text)
    match step:
        case "operands":
            n, k, p, q, _, c, r, s = asked
            channel = k // spec.k_per_group * spec.c_per_group + c
            row, column = p * spec.stride[0] + r * spec.dilation[0], q * spec.stride[1] + s * spec.dilation[1]
            return (int(padded[n, channel, row, column]),)
        case "loops" if text.startswith("What is"):
            n, k, p, q = asked
            y = F.conv2d(padded, walk.w, None, spec.stride, 0, spec.dilation, spec.groups)
            return (int(y[n, k, p, q]),)
        case "loops":
            _, _, p, q, r, s = asked
            return (
                p * spec.stride[0] - top + r * spec.dilation[0],
                q * spec.stride[1] - left + s * spec.dilation[1],
            )
        case "positions":
            stride, sides, dilation = asked[:2], asked[2:-2], asked[-2:]
            top, bottom, left, right = sides if len(sides) == 4 else [one for one in sides for _ in range(2)]
            around = F.pad(walk.x[:, :1], (left, right, top, bottom))
            y = F.conv2d(around, walk.w[:1, :1], None, stride, 0, dilation)
            return tuple(y.shape[2:])
        case "unfold" if "row" in text:
            _, channel, r, s = asked
            return (channel * spec.r * spec.s + r * spec.s + s,)
        case "unfold":
            _, _, _, p, q = asked
            return (p * spec.q + q,)
        case "flatten":
            _, _, c, r, s = asked
            flat = walk.w[walk.cell.k].flatten().tolist()
            place = (c * spec.r + r) * spec.s + s
            assert flat[place] == walk.w[walk.cell.k, c, r, s]
            return (place,)
        case "multiply":
            return (spec.macs // spec.n * asked[0],)
        case "pytorch":
            one = F.unfold(padded[:1], (spec.r, spec.s), spec.dilation, 0, spec.stride)
            return (asked[0] * one.float().nbytes,)
    (position,) = asked
    return divmod(position, spec.q)


@pytest.mark.parametrize("step", STEPS)
@given(spec=specs(least_batch=1, any_padding=True), seed=st.integers(0, 1000))
def test_every_answer_is_right(step: str, spec: ConvSpec, seed: int) -> None:
    found = walk_of(spec)
    question = ask(found, step, Random(seed))
    text = question.text.replace("x", ", ") if step == "positions" else question.text
    assert question.answer == solve(found, step, QuizQuestion(text=text, answer=(), because=""))
    assert question.grade(question.answer_text) is True
    assert question.grade(",".join(str(number + 1) for number in question.answer)) is False
    assert question.because


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_more_than_one_question(step: str) -> None:
    found = walk_of(ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"))
    assert len({ask(found, step, Random(seed)).text for seed in range(20)}) > 3
    assert ask(found, step, Random(7)) == ask(found, step, Random(7))


@pytest.mark.parametrize(("reply", "graded"), [("3,4", True), (" (3, 4) ", True), ("3 4", True), ("4,3", False)])
def test_a_reply_may_be_written_in_several_ways(reply: str, graded: bool) -> None:
    assert QuizQuestion(text="?", answer=(3, 4), because="").grade(reply) is graded


@pytest.mark.parametrize("reply", ["", "3", "3,4,5", "three,four", "3,", "--3,4", "3.0,4", "9" * 5000 + ",4"])
def test_what_is_no_reply_is_neither_right_nor_wrong(reply: str) -> None:
    assert QuizQuestion(text="?", answer=(3, 4), because="").grade(reply) is None
