"""Do the algorithms and the gradients stand beside the walk, proved, and drawn once a cell?"""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from rich.text import Text

from convbench import ConvSpec
from convbench.explain.letters import CUDNN, TORCH, Letters
from convbench.explain.steps import Comparison, UnprovedError, Walk
from convbench.explain.walk import choose_cell, move, small_integers, walk
from convbench.show.further_pages import further_pages

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")


@dataclass(frozen=True)
class NotHere:
    title: str
    why_not: str


@dataclass(frozen=True)
class Found:
    words: str
    holds: bool = True
    proof: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Algorithm:
    name: str

    def title(self, spec: ConvSpec) -> str:
        return f"{self.name} of {spec}"


def note() -> Walk:
    return walk(*small_integers(NOTE), NOTE, choose_cell(NOTE))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for the algorithms and the gradients, and what was run of them."""
    ran: list[str] = []

    def follow(walk: Walk, algorithms: list[Algorithm], letters: Letters) -> list[Any]:
        (one,) = algorithms
        ran.append(f"{one.name} at {walk.cell.p},{walk.cell.q}")
        if one.name == "picky":
            return [NotHere(title="picky", why_not="it needs a stride of 3")]
        wrong = Comparison(name="y", against="torch", compared=1, worst=1, evidence="1 of 1 differ")
        return [Found("wrong", holds=False, proof=(wrong,)) if one.name == "wrong" else Found(f"ran {one.name}")]

    def draw(found: Found, width: int, letters: Letters = TORCH) -> list[Text]:
        return [Text(f"{found.words}, {width} wide")]

    def gradient(spec: ConvSpec, seed: int, *, ones: bool) -> str:
        return f"g of {spec}, seed {seed}, ones {ones}"

    def backward(walk: Walk, g: str) -> Found:
        return Found(g)

    stand_ins = {
        "ALGORITHMS": [Algorithm("fft"), Algorithm("picky"), Algorithm("wrong")],
        "follow": follow,
        "NotHere": NotHere,
        "gradient": gradient,
        "backward": backward,
        "trace_page": draw,
        "backward_page": draw,
    }
    for name, one in stand_ins.items():
        monkeypatch.setattr(f"convbench.show.further_pages.{name}", one)
    return ran


def test_each_algorithm_has_a_page_and_runs_once_a_cell(ran: list[str]) -> None:
    here = note()
    algorithms, backward = further_pages(here, 0, ones=True)
    assert list(algorithms) == [f"{name} of {NOTE}" for name in ("fft", "picky", "wrong")]
    draw = algorithms[f"fft of {NOTE}"]
    for width in (80, 80, 120, 120):
        assert [line.plain for line in draw(here, width)] == [f"ran fft, {width} wide"]
    list(draw(move(here, replace(here.cell, p=0)), 120))
    assert ran == ["fft at 1,2", "fft at 1,2", "fft at 0,2"]
    assert [line.plain for line in backward["dx and dw"](here, 60)] == [f"g of {NOTE}, seed 0, ones True, 60 wide"]


def test_an_algorithm_that_does_not_apply_says_why(ran: list[str]) -> None:
    here = note()
    lines = [line.plain for line in further_pages(here, 0, ones=True)[0][f"picky of {NOTE}"](here, 80)]
    assert "not here" in lines[0]
    assert "it needs a stride of 3." in lines[1]


def test_an_algorithm_that_is_not_proved_is_not_drawn(ran: list[str]) -> None:
    here = note()
    with pytest.raises(UnprovedError, match="y fails: 1 of 1 differ"):
        list(further_pages(here, 0, ones=True)[0][f"wrong of {NOTE}"](here, 80))


def test_the_pages_speak_the_letters_of_the_walk() -> None:
    here = note()
    for letters, row in ((TORCH, "(c,kh,kw)"), (CUDNN, "(c,r,s)")):
        algorithms, backward = further_pages(here, 0, ones=True, letters=letters)
        for draw in (algorithms["unfold + einsum"], backward["dx and dw"]):
            assert any(row in line.plain for line in draw(here, 80))


def test_every_algorithm_and_both_gradients_have_a_page_on_the_note() -> None:
    here = note()
    algorithms, backward = further_pages(here, 0, ones=True)
    pages = {
        name: "\n".join(line.plain for line in draw(here, 80)) for name, draw in {**algorithms, **backward}.items()
    }
    assert len(pages) >= 9
    assert all("104" in text for name, text in pages.items() if name != "dx and dw")
    assert "10" in pages["dx and dw"]
