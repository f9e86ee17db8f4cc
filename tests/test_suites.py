"""The shipped suites, rows by name, and suites of one's own."""

from pathlib import Path

import pytest

from convbench import ConvbenchError
from convbench.suites import COLUMNS, find_problem, load_suite, suite_names


@pytest.mark.parametrize("suite", suite_names())
def test_every_shipped_row_is_a_legal_problem_with_a_source(suite: str) -> None:
    problems = load_suite(suite)
    assert problems
    assert all(problem.source and problem.count >= 1 for problem in problems)
    assert len({problem.name for problem in problems}) == len(problems)


@pytest.mark.parametrize(
    ("suite", "rows", "layers", "gmacs"),
    [("resnet50", 23, 53, 4.087), ("vgg16", 9, 13, 15.347), ("mobilenet_v2", 30, 52, 0.2995)],
)
def test_whole_models_add_up_to_their_published_work(suite: str, rows: int, layers: int, gmacs: float) -> None:
    problems = load_suite(suite)
    assert len(problems) == rows
    assert sum(problem.count for problem in problems) == layers
    assert sum(problem.count * problem.spec.macs for problem in problems) / 1e9 == pytest.approx(gmacs, rel=1e-3)


def test_the_awkward_suite_holds_what_it_promises() -> None:
    specs = [problem.spec for problem in load_suite("awkward")]
    assert len(specs) >= 30
    assert {1, 6, 7, 9} <= {spec.c for spec in specs}
    assert any(spec.n == 0 for spec in specs)
    assert any(spec.padding[0] > spec.r // 2 for spec in specs)
    assert any((spec.r, spec.s) == (spec.h, spec.w) and spec.r > 1 for spec in specs)
    assert any(spec.stride != spec.dilation and spec.dilation != (1, 1) for spec in specs)
    assert any(spec.h == 1 < spec.w for spec in specs)


def test_a_row_is_found_by_its_name_or_the_end_of_it() -> None:
    assert find_problem("resnet50:layer1.0.conv2").count == 3
    assert find_problem("benchdnn_resnet_50:res2a_branch2a").name == "resnet_50:res2a_branch2a"


@pytest.mark.parametrize(
    "text", ["resnet50:nothing", "resnet5:conv1", "resnet50:", "missing.csv:row", "benchdnn_ssd_yolo_densenet:conv1"]
)
def test_an_unknown_row_or_suite_is_refused(text: str) -> None:
    with pytest.raises(ConvbenchError):
        find_problem(text)


def test_a_suite_of_ones_own_is_a_csv_with_the_same_columns(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(",".join(COLUMNS) + "\nfirst*4,1,3,8,8,4,3,3,1,1,1,1,1,1,1,me\n")
    (problem,) = load_suite(str(path))
    assert (problem.suite, problem.name, problem.count) == ("mine", "first", 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [("name,n\nx,1\n", "lacks the columns"), (",".join(COLUMNS) + "\nx,1,a,8,8,4,3,3,1,1,1,1,1,1,1,me\n", "line 2")],
)
def test_a_broken_suite_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match=words):
        load_suite(str(path))
