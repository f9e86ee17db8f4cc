"""The shipped suites, rows by name, and suites of one's own."""

from pathlib import Path

import pytest

from convbench import ConvbenchError
from convbench.suites import COLUMNS, SHIPPED, find_problem, load_suite, suite_names

DOCS = Path(__file__).parents[1] / "docs"


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


def test_the_documents_count_the_rows_that_the_suites_have() -> None:
    pages = {name: " ".join((DOCS / name).read_text().split()) for name in ("verification.md", "edge-cases.md")}
    rows = load_suite("awkward")
    made = ("cover_", "layer_")
    groups = {
        "written by hand": [one for one in rows if not one.operands and not one.name.startswith(made)],
        "with numbers that are not drawn": [one for one in rows if one.operands],
        "of 14 layers": [one for one in rows if one.name.startswith("layer_")],
        "of a covering array": [one for one in rows if one.name.startswith("cover_")],
    }
    assert sum(map(len, groups.values())) == len(rows)
    for page in ("README.md", "CONTRIBUTING.md"):
        assert f"{len(rows):,} awkward cases" in (DOCS.parent / page).read_text()
    for words, group in groups.items():
        assert f"- {len(group):,} {words}" in pages["verification.md"]
    edge, large = load_suite("edge"), load_suite("edge_large")
    faults = {one.name.partition("_")[0] for one in edge}
    assert f"has {len(faults)} faults of convolutions, in {len(edge)} rows" in pages["edge-cases.md"]
    assert f"`--suite edge` has {len(faults)} [faults" in pages["verification.md"]
    assert [one.name.partition("_")[0] for one in large] == ["29", "30"]


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


def test_what_has_a_default_may_be_left_out_of_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("c,n,h,w,k,r,s,pad_h,pad_w,count\n3,1,8,8,4,3,3,1,1,4\n3,2,8,8,4,3,3,,,\n")
    first, second = load_suite(str(path))
    assert (first.name, first.count, str(first.spec)) == ("n1c3h8w8k4r3s3_pd1", 4, "n1c3h8w8k4r3s3_pd1")
    assert (second.name, second.count, str(second.spec)) == ("n2c3h8w8k4r3s3", 1, "n2c3h8w8k4r3s3")


def test_a_shipped_suite_copied_to_a_file_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.csv"
    path.write_bytes((SHIPPED / "resnet50.csv").read_bytes())
    assert load_suite(str(path)) == load_suite("resnet50")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "name,n\nx,1\n",
            "lacks the columns c, h, w, k, r, s; it needs n, c, h, w, k, r, s, separated by commas, and may",
        ),
        (",".join(COLUMNS) + "\nx,1,a,8,8,4,3,3,1,1,1,1,1,1,1,me\n", "line 2: c is 'a'; sizes are integers"),
        (",".join(COLUMNS) + "\nx,1,3,8,8,4,3,3,1,1,1,1,1,1,2,me\n", "line 2: groups=2 .* must divide"),
        ("n,c,h,w,k,r,s,n\n1,3,8,8,4,3,3,2\n", "the column 'n' occurs twice"),
        ("n,c,h,w,k,r,s,pad\n1,3,8,8,4,3,3,1\n", "unknown column 'pad': .* did you mean 'pad_"),
        ("n,c,h,w,k,r,s\n1,3,8,8,4,3,3\n1,3,8,8\n", "line 3: k is ''"),
        ("n,c,h,w,k,r,s\n1,3,8,8,4,3,3,1,1\n", "line 2: it has more cells than columns"),
        ("n,c,h,w,k,r,s,count\n1,3,8,8,4,3,3,many\n", "line 2: count is 'many'"),
        ("name,n,c,h,w,k,r,s,count\nx*2,1,3,8,8,4,3,3,2\n", "line 2: x\\*2 has \\*2 as well as a count column"),
    ],
)
def test_a_broken_suite_is_refused_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.csv"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match=words):
        load_suite(str(path))


def test_a_file_of_results_is_recognised() -> None:
    path = Path(__file__).parents[1] / "results" / "quick-cpu-zen4.csv"
    with pytest.raises(ConvbenchError, match=r"is a results file; show it with convbench report .*quick-cpu-zen4.csv"):
        load_suite(str(path))


def test_a_heading_in_capitals_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("N,C,H,W,K,R,S\n1,1,4,4,1,2,2\n")
    with pytest.raises(ConvbenchError, match=r"its columns are N, C, H, W, K, R, S; write them in lower case"):
        load_suite(str(path))
