"""Does every explanation speak one kind of letters: torch's by default, cuDNN's when asked?"""

import json

# ruff: noqa: RUF001  # the minus sign is meant: this is mathematics as text
import re
from collections.abc import Callable, Iterable

import pytest
from rich.text import Text

from convbench import ConvSpec
from convbench.explain import STEPS
from convbench.explain.algorithms.catalogue import ALGORITHMS, follow
from convbench.explain.backward import backward, gradient
from convbench.explain.letters import CUDNN, TORCH, Letters
from convbench.explain.questions import QUESTIONS, ask
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.algorithms import algorithms_page, algorithms_record, backward_page
from convbench.show.explain import page
from convbench.show.questions import answer_page, record_answers
from convbench.show.steps import View

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")
AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
# What only cuDNN has: K, P, Q, R, S and r, s, k, q as names; k is also the index of a matrix product, and N is both's.
SHORT = re.compile(r"(?<![\w.'])(?:[CKPQRS](?=[·,)]| \+)|[kpqrs](?=·[A-Z]|\)·)|\(c, ?r, ?s\)|[KQR](?= = )|[nkrs]=\d)")
LONG = re.compile(r"\b(?:C_in|C_out|kH|kW|H_out|W_out|oh|ow|kh|kw)\b")


def algorithms(found: Walk, letters: Letters) -> Iterable[Text]:
    traces = list(follow(found, ALGORITHMS, letters))
    return algorithms_page(traces, traces, 100)


def gradients(found: Walk, letters: Letters) -> Iterable[Text]:
    return backward_page(backward(found, gradient(found.spec, ones=True)), 100, letters)


def answers(found: Walk, letters: Letters) -> Iterable[Text]:
    told = [ask(question, found.spec, found.cell, letters=letters) for question in QUESTIONS.values()]
    return answer_page(told, 100)


def steps(found: Walk, letters: Letters) -> Iterable[Text]:
    return page(found, 100, STEPS, View(letters=letters))


PAGES: dict[str, Callable[[Walk, Letters], Iterable[Text]]] = {
    "steps": steps,
    "algorithms": algorithms,
    "gradients": gradients,
    "answers": answers,
}


def text_of(name: str, spec: ConvSpec, letters: Letters) -> str:
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    lines = (line.plain for line in PAGES[name](found, letters))
    # In torch's formula P is padding and S stride; and k numbers the weights in an implicit product.
    ours = ("H_out = ⌊(H", "P padding", "k=0", "k=1", "k=2", "k=3", "top + bottom − D")
    return "\n".join(line for line in lines if not any(one in line for one in ours))


@pytest.mark.parametrize("spec", [NOTE, AWKWARD], ids=str)
@pytest.mark.parametrize("name", PAGES)
def test_the_letters_of_torch_stand_alone_by_default(name: str, spec: ConvSpec) -> None:
    text = text_of(name, spec, TORCH)
    assert LONG.search(text)
    assert not SHORT.search(text), SHORT.search(text)
    assert "$" not in text
    assert not re.search(r"\btaps?\b", text)


@pytest.mark.parametrize("name", PAGES)
def test_the_short_letters_stand_alone_when_asked(name: str) -> None:
    text = text_of(name, AWKWARD, CUDNN)
    assert SHORT.search(text)
    found = {word for word in LONG.findall(text) if word not in ("H_out", "W_out")}  # torch's lines of code have these
    assert not found
    assert "$" not in text


def test_the_json_of_algorithms_and_answers_holds_no_template() -> None:
    found = walk(*small_integers(NOTE), NOTE, choose_cell(NOTE))
    told = json.dumps(algorithms_record(list(follow(found, ALGORITHMS))))
    told += json.dumps(record_answers([ask(question, NOTE) for question in QUESTIONS.values()]))
    assert "$" not in told
    assert "(c,kh,kw)" in told


def test_a_template_is_written_and_braces_are_left_for_numbers() -> None:
    assert TORCH.write("{} of $c,$r,$s: ${P}x{P:g}") == "{} of c,kh,kw: H_outx{P:g}"
    assert CUDNN.write("$k=0 $Q") == "k=0 Q"
