"""Does the code of a walk run, and does it fail where the walk is wrong?"""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from convbench.explain import STEPS
from convbench.explain.program import counted_operands, notebook, program
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import draw_step
from convbench.spec import ConvSpec
from tests.strategies import specs

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")


def walked(spec: ConvSpec, seed: int = 0) -> Walk:
    return walk(*small_integers(spec, seed), spec, choose_cell(spec))


def run(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(text, "program", "exec"), names)
    assert out.getvalue() == "every step holds\n"
    return names


@settings(max_examples=30)
@given(spec=specs(least_batch=1, any_padding=True))
def test_the_program_computes_the_walk(spec: ConvSpec) -> None:
    for seed in (0, 3):
        found = walked(spec, seed)
        text = program(found, counted_operands(spec, seed))
        assert max(map(len, text.splitlines())) <= 80
        names = run(text)
        assert torch.equal(names["x"], found.x)
        assert torch.equal(names["w"], found.w)
        assert torch.equal(names["y"], found.y)
        assert torch.equal(names["y_torch"], found.y)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("F.unfold(x, (2, 2))", "F.unfold(x, (2, 2)).flip(1)"),
        ("w.reshape(w.shape[0], -1)", "w.reshape(w.shape[0], -1).flip(1)"),
        ("- 1) // 1 + 1", "- 1) // 1 + 2"),
        ("for kh in range(2)", "for kh in range(1)"),
    ],
)
def test_a_wrong_step_is_caught_by_its_assertions(old: str, new: str) -> None:
    text = program(walked(NOTE), counted_operands(NOTE, 0))
    assert old in text
    with pytest.raises((AssertionError, RuntimeError)):
        run(text.replace(old, new))


def test_a_wrong_number_of_the_walk_is_caught() -> None:
    found = walked(NOTE)
    wrong = replace(found, terms=(replace(found.terms[0], x=99.0), *found.terms[1:]))
    with pytest.raises(AssertionError):
        run(program(wrong, counted_operands(NOTE, 0)))


def test_a_notebook_has_each_steps_text_and_code() -> None:
    found = walked(NOTE)
    texts = {step: draw_step(found, step, 80).plain() for step in STEPS}
    whole = json.loads(notebook(found, counted_operands(NOTE, 0), texts))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert [cell["id"] for cell in whole["cells"]] == [
        "title", "imports", *(f"{step}-{kind}" for step in STEPS for kind in ("text", "code"))
    ]  # fmt: skip
    names: dict[str, Any] = {}
    for cell in whole["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
        elif cell["id"] != "title":
            assert texts[cell["id"].removesuffix("-text")] in "".join(cell["source"])
    assert torch.equal(names["y_torch"], found.y)


@pytest.mark.notebook
@pytest.mark.parametrize(
    "words", [[], ["n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", "--seed", "3"], ["n1c1h4w4k1r2s2_pd0x1x0x1"]]
)
def test_the_notebook_runs_under_nbconvert(words: list[str], tmp_path: Path) -> None:
    file, done = tmp_path / "walk.ipynb", tmp_path / "done.ipynb"
    subprocess.run([sys.executable, "-m", "convbench", "explain", *words, "--notebook", str(file)], check=True)
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(file), "--output", str(done)]
    subprocess.run(command, check=True, capture_output=True)
    cells = [cell for cell in json.loads(done.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert len(cells) == 1 + len(STEPS)
