"""convbench in one call each: what is given, what comes back, how it is drawn, and what an error says."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

import convbench as cb
from convbench.errors import NothingSelected
from convbench.functions import as_backend
from convbench.rows import Row
from convbench.schema import COLUMNS
from convbench.show.progress import progress
from convbench.store import read_rows
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

SHAPE = "n2c4h9w8k6r3s3_st2x1_pd1"
ONE: dict[str, Any] = {"on": SHAPE, "dtypes": "fp32", "layouts": "nchw"}
NONE = cb.Results([])
USER: Any = cb  # with values that no type checker would let pass
QUICKLY: dict[str, Any] = {"budget_s": 0.02, "ceilings": False}


def by_spec(x: torch.Tensor, w: torch.Tensor, spec: cb.ConvSpec) -> torch.Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def like_torch(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    return F.conv2d(x, w, bias, stride, padding, dilation, groups)


def swapped(x: Any, w: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    return F.conv2d(x, w, None, stride[::-1], padding, dilation, groups)


def outcomes(results: cb.Results) -> list[str]:
    return [type(one.outcome).__name__ for one in results]


def test_the_package_is_imported_in_a_moment_and_without_anything_heavy() -> None:
    code = (
        "import time, sys; before = time.process_time(); import convbench; after = time.process_time()\n"
        "from convbench import Results, bench, explain\n"
        "print(after - before, *({'torch', 'numpy', 'pandas', 'rich'} & {*sys.modules}))"
    )
    found = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    words = [one.stdout.split() for one in found]
    assert min(float(seconds) for seconds, *_ in words) <= 0.06
    assert {heavy for _, *names in words for heavy in names} <= {"rich"}


def test_a_name_that_is_a_module_too_is_the_function_whichever_comes_first() -> None:
    code = (
        "import convbench, sys\n"
        "import convbench.compare as module\n"  # the module before the function
        "from types import FunctionType\n"
        "for name in ('compare', 'bench', 'verify', 'explain', 'model', 'assert_convolution'):\n"
        "    assert type(getattr(convbench, name)) is FunctionType, name\n"
        "assert convbench.compare.Gate is module.Gate is sys.modules['convbench.compare'].Gate\n"
        "import convbench.bench.statistics as statistics\n"  # the function before the module
        "assert type(convbench.bench) is FunctionType\n"
        "assert convbench.bench.statistics is statistics is sys.modules['convbench.bench.statistics']\n"
        "import convbench.backend\n"
        "assert convbench.backend is sys.modules['convbench.backend'].backend\n"
        "assert {*convbench.__all__} <= {*dir(convbench)}\n"
        "assert all(hasattr(convbench, name) for name in convbench.__all__) and not hasattr(convbench, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.program  # some seconds: it loads pandas, the walk and models
def test_the_lines_of_the_reference_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/python.md, on a small problem."""
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(import convbench as cb\n.*?)```", page, re.DOTALL)
    assert lines is not None
    text = lines[1].replace('on="quick"', f"on={SHAPE!r}, budget_s=0.02, ceilings=False")
    text = text.replace('on="awkward"', f"on={SHAPE!r}, dtypes='fp32', layouts='nchw'").replace(
        "(my_conv)", f"(my_conv, {SHAPE!r}, dtypes='fp32', layouts='nchw')"
    )
    small = f"cb.verify('torch', {SHAPE!r}, dtypes='fp32').to_csv('before.csv')\n"
    names: dict[str, Any] = {"net": torch.nn.Conv2d(1, 1, 2), "x": torch.zeros(1, 1, 4, 4)}
    exec(
        compile(
            text.replace("cb.compare(", small + "cb.compare(").replace("(net, x)", "(net, x, timed=False)"),
            "ten",
            "exec",
        ),
        names,
    )
    assert outcomes(names["r"]) == ["Timed"] * 3
    assert Path("r.csv").is_file()


def test_the_lines_of_the_readme_run() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(import convbench as cb\n.*?)```", readme, re.DOTALL)
    assert lines is not None
    names: dict[str, Any] = {}
    exec(lines[1].replace('on="quick:note"', 'on="quick:note", budget_s=0.02, ceilings=False'), names)
    assert names["frame"]["backend"].tolist() == ["torch", "unfold-matmul"]


@pytest.mark.parametrize(
    ("function", "name", "kinds"),
    [
        (by_spec, "by-spec", {"none"}),
        (like_torch, "like-torch", {"none", "bias", "bias_relu"}),
        (F.conv2d, "conv2d", {"none", "bias", "bias_relu"}),
        (partial(like_torch, groups=1), "like-torch", {"none", "bias", "bias_relu"}),
        (lambda x, w, **more: like_torch(x, w, **more) + 0, "<lambda>", {"none", "bias", "bias_relu"}),
        (cb.backend(family="direct", source="a test")(by_spec), "by-spec", {"none"}),
    ],
)
def test_a_function_is_verified_with_all_that_its_signature_has(function: Any, name: str, kinds: set[str]) -> None:
    found = cb.verify(function, **ONE)
    assert set(outcomes(found)) == {"Verified"}
    assert {one.backend for one in found} == {name}
    assert {one.case.epilogue for one in found} == kinds


def test_a_bias_that_is_taken_and_not_added_is_wrong() -> None:
    def deaf(x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1) -> Any:
        return F.conv2d(x, w, None, stride, padding, dilation)

    found = cb.verify(deaf, "n1c1h3w3k2r2s2", dtypes="fp32", layouts="nchw")
    assert {one.case.epilogue: type(one.outcome).__name__ for one in found} == {
        "none": "Verified",
        "bias": "Wrong",
        "bias_relu": "Wrong",
    }


def test_a_case_that_needs_a_parameter_which_the_function_lacks_is_refused() -> None:
    def plain(x: Any, w: Any, stride: Any = 1) -> Any:
        return F.conv2d(x, w, stride=stride)

    shapes = ["n1c2h5w5k2r3s3_st2", "n1c2h5w5k2r3s3_pd1x0", "n1c2h5w5k2r2s2_dl2", "n1c2h5w5k2r3s3_g2"]
    found = cb.verify(plain, on=shapes, dtypes="fp32", layouts="nchw")
    reasons = [getattr(one.outcome, "reason", "") for one in found]
    missing = ["padding 1x0", "dilation 2", "groups 2"]
    assert reasons == [
        "",
        *(f"plain has no argument {one.split()[0]}" for one in missing),
    ]
    bare = cb.verify(lambda x, w: F.conv2d(x, w) + 0, on="n1c2h5w5k2r3s3", dtypes="fp32", layouts="nchw")
    assert outcomes(bare) == ["Verified"]


def test_a_function_of_neither_signature_is_an_error_of_one_line() -> None:
    def odd(x: Any, w: Any, block: int, *, stride: Any) -> Any:
        raise AssertionError("it is not called")

    with pytest.raises(cb.ConvbenchError, match="odd needs the argument 'block'; a function is fn"):
        cb.verify(odd, **ONE)


def test_a_function_is_never_taken_for_one_of_convbenchs_own() -> None:
    assert not any(as_backend(one).built_in for one in (by_spec, like_torch, F.conv2d))
    assert as_backend(like_torch).origin == __name__


def test_what_is_run_is_named_by_suite_file_text_spec_or_a_list(tmp_path: Path) -> None:
    suite = tmp_path / "mine.csv"
    suite.write_text("name,n,c,h,w,k,r,s\none,1,1,4,4,1,2,2\ntwo,1,1,5,5,1,2,2\n")
    few: dict[str, Any] = {"dtypes": "fp32", "layouts": "nchw", "passes": "fprop"}
    text = "n1c1h4w4k1r2s2"

    def names(on: Any, **more: Any) -> list[str]:
        return [one.case.problem.name for one in cb.verify("torch", on, **few, **more)]

    assert names(text) == names(cb.ConvSpec.parse(text)) == [text]
    assert names(str(suite)) == ["one", "two"]
    assert names([cb.ConvSpec.parse(text), str(suite), "quick:note"]) == ["one", "two", text, "note"]
    assert names(str(suite), where=lambda spec: spec.h == 5) == ["two"]
    with pytest.raises(NothingSelected, match="where leaves none of 2 cases"):
        names(str(suite), where=lambda spec: spec.h == 6)
    with pytest.raises(cb.ConvbenchError, match="did you mean 'resnet50'"):
        names("resnet5")


def without_run(row: Row | dict[str, str]) -> dict[str, Any]:
    return {column: cell for column, cell in row.items() if column not in ("time", "command")}


def test_rows_are_those_of_the_command_line_and_survive_a_file(cli: Cli, tmp_path: Path) -> None:
    words = ("--shape", SHAPE, "--dtype", "fp32", "--layout", "nchw", "--pass", "fprop,wgrad")
    assert cli("verify", "--backend", "torch,unfold-matmul", *words, "--csv", tmp_path / "cli.csv").code == 0
    found = cb.verify(["torch", "unfold-matmul"], **ONE, passes=["fprop", "wgrad"], csv=tmp_path / "kept.csv")
    found.to_csv(tmp_path / "python.csv")
    files = [read_rows(tmp_path / f"{name}.csv") for name in ("cli", "kept", "python")]
    assert [without_run(row) for row in files[0]] == [without_run(row) for row in files[1]]
    assert files[1] == files[2] == [dict(row) for row, _ in found.pairs]
    assert files[1][0]["command"] == f"convbench.verify(['torch', 'unfold-matmul'], on='{SHAPE}')"
    again = cb.Results.load(tmp_path / "python.csv")
    assert [one.key() for one in again] == [one.key() for one in found]
    assert again.to_frame().equals(found.to_frame())
    assert found.to_frame().columns.tolist() == list(COLUMNS)
    with pytest.raises(cb.ConvbenchError, match="exists; name another file"):
        found.to_csv(tmp_path / "python.csv", overwrite=False)


def test_a_name_that_a_spreadsheet_would_run_keeps_its_letters(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("name,n,c,h,w,k,r,s\n=1+1,1,1,4,4,1,2,2\n")
    found = cb.verify("torch", on=str(tmp_path / "mine.csv"), dtypes="fp32", layouts="nchw", passes="fprop")
    for _ in range(2):
        assert found.pairs[0][0]["name"] == found[0].case.problem.name == "=1+1"
        found.to_csv(tmp_path / "r.csv")
        assert ",'=1+1," in (tmp_path / "r.csv").read_text()
        found = cb.Results.load(tmp_path / "r.csv")


def test_results_are_a_sequence_that_draws_itself() -> None:
    found = cb.verify([swapped, by_spec], **ONE)
    assert (len(found), found[1], found[-1].backend) == (2, list(found)[1], "by-spec")
    assert isinstance(found[:1], cb.Results)
    assert list(found[:1]) == [found[0]] == list(found.faults)
    assert found[0] in found
    bundle = found._repr_mimebundle_()
    assert bundle == {"text/plain": found.text(100), "text/html": found._repr_html_()}
    for drawn in (repr(found), bundle["text/html"]):
        assert "returned shape (2, 6, 9, 4), expected (2, 6, 5, 8)" in drawn
    assert repr(cb.Results()) == "no results"
    assert max(map(len, found[1:].text(60).split("note:")[0].splitlines())) <= 60


def test_a_table_of_times_is_html_and_no_text_of_a_kernel_is_a_tag() -> None:
    found = cb.bench(["torch", by_spec, lambda x, w, spec: by_spec(x, w, spec) + 0], SHAPE, **QUICKLY)
    html = found._repr_html_()
    assert html.count("<tr>") == 4
    assert "&lt;lambda&gt;" in html
    assert "<lambda>" not in html
    assert html.count("<td") == html.count("</td>") >= 3 * 5


def test_what_cannot_be_isolated_says_so_in_the_result() -> None:
    (note,) = cb.verify(by_spec, **ONE).notes
    assert note.startswith("not isolated: by-spec ran in this process")
    assert note in repr(cb.verify(by_spec, **ONE))
    assert not cb.verify("torch", **ONE, passes="fprop").notes
    with pytest.raises(cb.ConvbenchError, match="another process cannot load by-spec"):
        cb.verify(by_spec, **ONE, isolate=True)


@pytest.mark.program
def test_a_kernel_in_a_file_is_isolated_and_its_crash_is_its_own_row(tmp_path: Path) -> None:
    file = tmp_path / "crash.py"
    file.write_text(
        "import os, signal\nfrom convbench import backend\n\n@backend(family='direct', source='a test')\n"
        "def crash(x, w, spec):\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    found = cb.verify(["torch", "crash"], **ONE, passes="fprop", plugins=str(file))
    assert outcomes(found) == ["Verified", "Failed"]
    assert "SIGSEGV" in repr(found.faults)
    assert f"convbench verify --backend crash --shape {SHAPE}" in repr(found.faults)
    assert f"--plugin {file}" in repr(found.faults)
    assert not found.notes


def test_an_assertion_says_the_place_the_smallest_problem_and_a_call_that_shows_it_again() -> None:
    with pytest.raises(AssertionError) as error:
        cb.assert_convolution(swapped, on=SHAPE)
    first, evidence, call, smallest, *_, last = str(error.value).splitlines()
    assert first == f"WRONG swapped on {SHAPE} ({SHAPE}; cpu fp32 nchw ieee)"
    assert evidence == "  returned shape (2, 6, 9, 4), expected (2, 6, 5, 8)"
    for text in (call, smallest.removeprefix("  smallest: ")):
        (again,) = eval(text, {"convbench": cb, "swapped": swapped})
        assert isinstance(again.outcome, cb.Wrong)
    assert again.case.problem.text == "n1c1h1w2k1r1s1_st2x1"
    assert last == "... and 17 more that are wrong or failed"
    right = cb.assert_convolution(like_torch, **ONE)
    assert outcomes(right) == ["Verified"] * 3


def test_an_assertion_is_no_pass_where_nothing_was_verified() -> None:
    def dense(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        raise AssertionError("it is not called")

    with pytest.raises(AssertionError, match=r"(?s)nothing was verified:.*dense has no argument groups"):
        cb.assert_convolution(dense, on="n1c2h4w4k2r2s2_g2", dtypes="fp32", layouts="nchw")


def test_without_torch_there_is_no_verdict_and_a_note_says_why() -> None:
    found = cb.bench("unfold-matmul", SHAPE, **QUICKLY)
    assert found.notes == ("no ratio and no verdict: add 'torch', the baseline, to the backends",)
    assert found.winner() == frozenset()


def test_a_notebook_gets_a_bar_that_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def display(shown: str, *, display_id: bool) -> SimpleNamespace:
        drawn.append(shown)
        return SimpleNamespace(update=drawn.append)

    fake: Any = ModuleType("IPython")
    fake.get_ipython = lambda: SimpleNamespace(kernel=object())
    fake.display = SimpleNamespace(display=display, HTML=str)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    cb.verify("torch", on=["n1c1h4w4k1r2s2", "n1c1h5w5k1r2s2"], dtypes="fp32", layouts="nchw", passes="fprop")
    assert drawn == [
        '<progress value="0" max="2"></progress> 0/2 n1c1h4w4k1r2s2',
        '<progress value="1" max="2"></progress> 1/2 n1c1h5w5k1r2s2',
        '<progress value="2" max="2"></progress> 2/2 ',
        "",
    ]
    fake.get_ipython = lambda: None  # IPython is imported, and this is no notebook
    drawn.clear()
    with progress(["a"], shown=True) as advance:
        advance()
    assert not drawn


def test_a_pipe_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    cb.verify("torch", **ONE, passes="fprop")
    assert capsys.readouterr() == ("", "")


def test_an_explanation_is_text_and_in_a_notebook_the_page_in_a_frame() -> None:
    found = cb.explain("n1c1h4w4k1r2s2", at=(0, 1))
    assert (found.walk.cell.p, found.walk.cell.q) == (0, 1)
    assert "OPERANDS" in found.text(60)
    assert max(map(len, found.text(60).splitlines())) <= 60
    html = found._repr_html_()
    assert html.startswith("<iframe srcdoc=")
    assert html.count('"') == 2 * len(re.findall(r'[\w-]+="', html))  # nothing of the page ends the attribute
    assert "Content-Security-Policy" in html
    assert found._repr_mimebundle_()["text/plain"].startswith("━ 1/8")
    assert cb.explain(cb.ConvSpec.parse("n1c1h4w4k1r2s2")).walk.total == cb.explain().walk.total
    with pytest.raises(cb.ConvbenchError, match=r"^at: p=9 is outside"):
        cb.explain(at=(9, 0))


def test_what_is_too_large_for_a_page_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.show.explain_page.MOST_NUMBERS", 1)
    assert cb.explain()._repr_html_().startswith("<pre")


def test_two_runs_are_compared_by_results_or_files(tmp_path: Path) -> None:
    before = cb.verify([by_spec, "torch"], **ONE, passes="fprop", epilogues="none")
    broken = cb.verify(
        [cb.backend(family="direct", source="a test")(swapped_as_by_spec()), "torch"], **ONE, passes="fprop"
    )
    before.to_csv(tmp_path / "before.csv")
    same = cb.compare(tmp_path / "before.csv", before)
    assert same.state == "ok"
    assert repr(same).endswith("OK: 2 verified in both files")
    assert "OK: 2 verified" in same._repr_html_()
    worse = cb.compare(before, broken)
    assert worse.state == "regression"
    assert "WRONG by-spec" in repr(worse)
    assert worse.to_frame()[["backend", "outcome_after"]].values.tolist() == [["by-spec", "wrong"]]
    with pytest.raises(cb.ConvbenchError, match="give shares above 0"):
        cb.compare(before, before, fail_if_slower=-0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: USER.compare(NONE, NONE, margin="x"), "margin='x': give a fraction such as 0.05, or a percentage"),
        (lambda: USER.compare(NONE, NONE, margin=[1]), r"margin=\[1\]: give a number, not a list"),
        (lambda: USER.compare(NONE, NONE, confidence="x"), "confidence='x': give a number, not a str"),
        (lambda: USER.compare(NONE, NONE, fail_if_slower=5), r"fail_if_slower=5 is 500 %: .*did you mean 0.05\?"),
        (lambda: USER.compare(NONE, NONE, fail_if_slower=1), r"fail_if_slower=1 is 100 %: .*did you mean 0.01\?"),
        (lambda: USER.bench("torch", budget_s="1"), "budget_s='1': give a number, not a str"),
        (lambda: USER.bench("torch", margin="x"), "margin='x': give a number, not a str"),
        (lambda: USER.bench("torch", threads="two"), "threads='two': give an integer, such as 2"),
        (lambda: USER.optimize("resnet18", threads="two"), "threads='two': give an integer, such as 2"),
        (lambda: USER.optimize("resnet18", budget_s=0), "budget_s=0: give seconds, more than 0"),
        (lambda: USER.verify("torch", timeout_s="x"), "timeout_s='x': give a number, not a str"),
        (lambda: USER.bench("torch", on="note", where=3), "where=3: give a function of a ConvSpec"),
        (lambda: USER.Results.load(3), r"Results.load\(\) got a int; give the name of a CSV file"),
        (lambda: USER.bench("torch", on=3), "on=3: give a suite, a problem, or a list of these"),
        (lambda: USER.verify("torch", layouts=3), "layouts=3: give a text, or a list of texts"),
        (lambda: USER.verify("torch", plugins=[3]), r"plugins=\[3\]: give a text, or a list of texts"),
        (lambda: USER.verify("torch", seed="x"), "seed='x': give an integer"),
        (lambda: USER.bench("torch", csv=3), "csv=3: give the name of a file"),
        (lambda: USER.verify(3), "backends: 3 is none; give names, Backends and functions"),
        (lambda: USER.verify(["torch", 3]), "backends: 3 is none; give names, Backends and functions"),
    ],
)
def test_a_value_of_another_type_is_an_error_of_one_line(call: Callable[[], object], words: str) -> None:
    with pytest.raises(cb.ConvbenchError, match=f"^{words}") as found:
        call()
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(("given", "value"), [("5%", 0.05), ("0.05", 0.05), (0.05, 0.05), ("300%", 3.0)])
def test_a_share_is_given_as_on_the_command_line(given: Any, value: float) -> None:
    found = cb.compare(NONE, NONE, fail_if_slower=given, margin="1%").changes.gate
    assert [found.allowance, found.margin] == pytest.approx([value, 0.01])


def swapped_as_by_spec() -> Any:
    def by_spec(x: Any, w: Any, spec: cb.ConvSpec) -> Any:
        return swapped(x, w, spec.stride, spec.padding)

    return by_spec


@pytest.mark.program
def test_a_model_of_ones_own_is_listed_and_left_as_it_was(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 3, 1))
    net[1].eval()
    found = cb.model(net, torch.randn(2, 2, 6, 5), timed=False)
    assert (net.training, net[1].training) == (True, False)
    assert [str(row.shape) for row in found.costs.rows] == ["n2c2h6w5k4r3s3_pd1", "n2c4h6w5k3r1s1"]
    assert "Sequential" in repr(found)
    found.to_csv(tmp_path / "net.csv")
    assert found.to_frame()["name"].tolist() == [0, 2]
    again = cb.verify("torch", on=str(tmp_path / "net.csv"), dtypes="fp32", layouts="nchw", epilogues="none")
    assert outcomes(again) == ["Verified"] * 2
    sizes = cb.model(net, (2, 2, 6, 5), timed=False)
    assert sizes.costs.rows == found.costs.rows


@pytest.mark.notebook
def test_the_lines_run_in_a_notebook_and_are_drawn_there(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(import convbench as cb\n.*?)```", page, re.DOTALL)
    assert lines is not None
    first, rest = lines[1].replace('on="quick"', 'on="quick:note", budget_s=0.1').split("\nr   ")
    rest = rest.split("\n", 1)[1].replace('on="awkward"', 'on="quick:note"')
    rest = rest.replace("(my_conv)", '(my_conv, "quick:note")').replace('"before.csv"', '"r.csv"')
    model = "import torch\nnet, x = torch.nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)"
    sources = [
        first,
        "r",
        *rest.strip().splitlines()[:-2],
        f"{model}\ncb.model(net, x, timed=False)",
        'cb.Results.load("r.csv")',
    ]
    cells = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": one}
        for n, one in enumerate(sources)
    ]
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    file, done = tmp_path / "lines.ipynb", tmp_path / "done.ipynb"
    file.write_text(json.dumps(whole), encoding="utf-8")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(file), "--output", str(done)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    cells = json.loads(done.read_text(encoding="utf-8"))["cells"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    html = [
        "".join(out["data"]["text/html"])
        for cell in cells
        for out in cell["outputs"]
        if "text/html" in out.get("data", {})
    ]
    assert sum(one.startswith("<table>") for one in html) == 2  # r, and r as it was loaded
    assert sum(one.startswith("<iframe srcdoc=") for one in html) == 1
    assert not any("<progress" in one for one in html)
    assert not any(out["output_type"] in ("error", "stream") for cell in cells for out in cell["outputs"])


@pytest.mark.program
def test_a_model_is_named_as_on_the_command_line_and_what_it_prints_is_not_the_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    kind, info = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    x, w, y = info("x", kind, [1, 3, 8, 8]), info("w", kind, [4, 3, 3, 3]), info("y", kind, [1, 4, 6, 6])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Conv", ["x", "w"], ["y"], name="conv")], "net", [x, w], [y])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    read = cb.model(str(tmp_path / "net.onnx"), timed=False)
    assert [str(row.shape.spec) for row in read.costs.rows] == ["n1c3h8w8k4r3s3"]
    read.to_csv(tmp_path / "net.csv")
    with pytest.raises(cb.ConvbenchError, match="exists; name another file, or give overwrite=True"):
        read.to_csv(tmp_path / "net.csv", overwrite=False)
    with pytest.raises(cb.ConvbenchError, match="cannot write"):
        read.to_csv(tmp_path / "nowhere" / "net.csv")

    class Chatty(torch.nn.Conv2d):
        def forward(self, input: Any) -> Any:  # noqa: A002  # as torch names it
            sys.stdout.write("a call\n")
            return super().forward(input)

    capfd.readouterr()
    assert len(cb.model(Chatty(3, 4, 3), (1, 3, 8, 8), timed=False).costs.rows) == 1
    out, err = capfd.readouterr()
    assert (out, "a call\n" in err) == ("", True)


def test_the_rows_of_results_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(f"2026-01-01T00:00:{second:02}+00:00" for second in range(60))

    class Clock:
        @staticmethod
        def now(_: object) -> Any:
            return Clock

        @staticmethod
        def isoformat(**_: str) -> str:
            return next(times)

    monkeypatch.setattr("convbench.rows.datetime", Clock)
    found = cb.verify([by_spec, "torch"], **ONE, passes="fprop", csv=tmp_path / "r.csv")
    assert found.to_frame().equals(cb.Results.load(tmp_path / "r.csv").to_frame())


def test_words_with_commas_are_lists_and_files_are_suites(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("n,c,h,w,k,r,s\n1,2,5,5,2,3,3\n")
    found = cb.verify("torch", on=str(tmp_path / "mine.csv"), dtypes="fp32, bf16", layouts="nchw", passes="fprop")
    assert [(one.case.dtype, str(one.case.spec)) for one in found] == [
        ("fp32", "n1c2h5w5k2r3s3"), ("bf16", "n1c2h5w5k2r3s3"),
    ]  # fmt: skip


def test_a_result_is_a_line() -> None:
    def shifted(x: Any, w: Any, spec: cb.ConvSpec) -> Any:
        return by_spec(x, w, spec) + 1

    one: dict[str, Any] = {
        "on": "n1c1h4w4k1r2s2",
        "dtypes": "fp32",
        "layouts": "nchw",
        "passes": "fprop",
        "epilogues": "none",
    }
    right, wrong = cb.verify([by_spec, shifted], **one)
    (timed,) = cb.bench("torch", on="n1c1h4w4k1r2s2", budget_s=0.02, ceilings=False)
    (skipped,) = cb.verify("cudnn", **one)
    where = "on n1c1h4w4k1r2s2 (cpu fp32 nchw ieee)"
    assert re.fullmatch(rf"by-spec {re.escape(where)}: verified, \d+ % of its bound", str(right))
    assert str(wrong).startswith(f"shifted {where}: WRONG, ")
    assert re.fullmatch(rf"torch {re.escape(where)}: timed, .* s a call", str(timed))
    assert str(skipped).startswith(f"cudnn {where}: skipped: ")
    pretty: list[str] = []
    right._repr_pretty_(type("Printer", (), {"text": lambda _, words: pretty.append(words)})(), False)
    assert pretty == [str(right)]


def test_what_a_result_holds_is_explained_and_anything_else_is_an_error_of_one_line() -> None:
    (r,) = cb.verify("torch", on="n1c1h4w4k1r2s2", dtypes=torch.float32, layouts="nchw", passes="fprop")
    assert r.case.dtype == "fp32"
    texts = {cb.explain(one).text() for one in (r, r.case, r.case.problem, r.case.spec, r.case.problem.text)}
    assert len(texts) == 1
    frame = cb.Results([({}, r)]).to_frame()
    for given, words in (
        ({"on": pd.Series({"spec": "n1c1h4w4k1r2s2"})}, r"explain\(\) got a Series; .* row.spec"),
        ({"at": 5}, "^at=5: give the row and the column of an output"),
        ({"at": (99, 0)}, "^at: p=99 is outside"),
        ({"filter": 7}, "^filter: k=7 is outside"),
    ):
        with pytest.raises(cb.ConvbenchError, match=words):
            cb.explain(**given)
    with pytest.raises(cb.ConvbenchError, match=r"^before is a DataFrame; give Results or a CSV file"):
        cb.compare(frame, cb.Results([]))  # type: ignore[arg-type]  # what a user may give
    with pytest.raises(cb.ConvbenchError, match=r"^Conv2d is a module with weights of its own"):
        cb.bench(["torch", torch.nn.Conv2d(1, 1, 2)], on="note")
    with pytest.raises(cb.ConvbenchError, match=r"^on= is a DataFrame without a column spec"):
        cb.verify("torch", on=pd.DataFrame({"name": ["a"]}))
    with pytest.raises(cb.ConvbenchError, match="float8_e8m0fnu"):
        cb.verify("torch", on="note", dtypes=[torch.float32, torch.float8_e8m0fnu])


def test_a_frame_gives_its_problems() -> None:
    frame = pd.DataFrame({"name": ["a", "b", "c"], "spec": ["n1c1h4w4k1r2s2", "n1c1h5w4k1r2s2", "n1c1h4w4k1r2s2"]})
    for on in (frame, frame.spec[:2]):
        r = cb.verify("torch", on=on, dtypes="fp32", layouts="nchw", passes="fprop", epilogues="none")
        assert [str(one.case.spec) for one in r] == ["n1c1h4w4k1r2s2", "n1c1h5w4k1r2s2"]


def test_a_time_is_reproduced_by_bench_and_a_row_of_a_file_with_the_plug_in_of_its_command(tmp_path: Path) -> None:
    def mine(x: Any, w: Any, spec: Any) -> Any:
        return by_spec(x, w, spec)

    r = cb.bench(["torch", mine], on="n1c1h4w4k1r2s2", budget_s=0.01, ceilings=False)
    assert r.reproduce(r[0]).startswith("convbench bench --backend torch --shape n1c1h4w4k1r2s2 ")
    assert r.reproduce(r[1]).startswith("convbench.bench(mine, ")
    r.to_csv(tmp_path / "r.csv")
    old = cb.Results.load(tmp_path / "r.csv")
    assert old.reproduce(old[0]) == r.reproduce(r[0])
    assert old.reproduce(old[1]).startswith("no command loads mine, a function of the program that ran convbench.bench")
    again = old.reproduce(old[1])
    (tmp_path / "p.csv").write_text(
        (tmp_path / "r.csv").read_text().replace("convbench.bench(", "convbench bench --plugin 'my k.py' (")
    )
    old = cb.Results.load(tmp_path / "p.csv")
    assert old.reproduce(old[1]).endswith(" --plugin 'my k.py'") != again.startswith("convbench")


@pytest.mark.program
def test_a_suite_is_not_results_and_says_where_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    cb.model(torch.nn.Conv2d(1, 2, 3), (1, 1, 8, 8), timed=False).to_csv(path)
    with pytest.raises(cb.ConvbenchError, match=r"is a suite, .* bench\(on="):
        cb.Results.load(path)
