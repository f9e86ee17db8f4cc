"""The plug-in of pytest: a test for each case, with its diagnosis; one file of rows; no cost where it is not used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import convbench.testing as testing  # before the runs within this process, which forget what they import
from convbench import ConvbenchError, backend
from convbench.case import DTYPES, LAYOUTS
from convbench.store import read_rows
from convbench.verify import sweep

pytest_plugins = ["pytester"]
assert sweep

KERNELS = """
import os, time
import torch.nn.functional as F
from convbench import backend

def conv(x, w, spec, bias=None):
    return F.conv2d(x, w, bias, spec.stride, spec.padding, spec.dilation, spec.groups)

def right(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return F.conv2d(x, w, bias, stride, padding, dilation, groups)

def no_stride(x, w):
    return F.conv2d(x, w)

def wrong_for_five(x, w, spec):
    return conv(x, w, spec) * (2 if spec.k == 5 else 1)

def raising_dgrad(dy, w, spec):
    raise ValueError("no gradient yet")

@backend(family="direct", source="a test", dgrad=raising_dgrad)
def has_a_gradient(x, w, spec):
    return conv(x, w, spec)

def raises_for_five(x, w, spec):
    if spec.k == 5:
        raise ValueError("five")
    return conv(x, w, spec)

def crashes_for_five(x, w, spec):
    if spec.k == 5:
        os.abort()
    return conv(x, w, spec)

def hangs_for_five(x, w, spec):
    if spec.k == 5:
        time.sleep(1000)
    return conv(x, w, spec)
"""
SUITE = "n1c2h6w5k4r3s3,n1c2h6w5k5r3s3,n1c2h6w5k6r3s3_st2"
MARK = f"@pytest.mark.convolution(suite={SUITE!r}, dtypes='fp32', layouts='nchw')"
WANTED = ("right", "no_stride", "wrong_for_five", "has_a_gradient")
HEAD = "import pytest, kernels\n"
PLUGIN = ("-p", "pytest_convbench", "-p", "no:randomly")


def write(pytester: pytest.Pytester, *names: str, mark: str = MARK) -> None:
    """A file of kernels, and a test of each of these."""
    pytester.makepyfile(kernels=KERNELS)
    tests = [f"{mark}\ndef test_{one}(convolution):\n    convolution(kernels.{one})\n" for one in names]
    pytester.makepyfile(test_mine="\n".join([HEAD, *tests]))
    pytester.syspathinsert()


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    """In this process, with its torch."""
    return pytester.runpytest_inprocess(*PLUGIN, "-p", "no:xdist", "--convbench-no-isolate", *words)


def test_there_is_a_test_for_each_case_which_passes_fails_with_a_diagnosis_or_is_skipped(
    pytester: pytest.Pytester,
) -> None:
    write(pytester, *WANTED)
    done = run(pytester, "-rs", "--convbench-csv=rows.csv", "--strict-markers")
    done.assert_outcomes(passed=3 + 2 + 2, skipped=1, failed=1 + 3)
    text = done.stdout.str()
    assert "test_wrong_for_five[n1c2h6w5k5r3s3-fp32-nchw]" in text
    assert "Traceback" not in text
    done.stdout.fnmatch_lines(
        [
            "WRONG wrong-for-five on n1c2h6w5k5r3s3 (*; cpu fp32 nchw ieee)",
            "  convbench verify --backend wrong-for-five --shape n1c2h6w5k5r3s3 * --plugin kernels.py::wrong_for_five",
            "  smallest: convbench verify * --plugin kernels.py::wrong_for_five",
            "FAILED has-a-gradient on * dgrad)",
            "  ValueError: no gradient yet (kernels.py:*)",
            "  convbench verify * --pass dgrad --plugin kernels.py::has_a_gradient",
            "convbench: 16 verified, 1 skipped, 1 wrong, 3 failed; largest error 0.* of its bound (*); not isolated: *",
            "convbench: rows in rows.csv",
            "SKIPPED * test_mine.py:*: no_stride has no argument stride",
        ],
        consecutive=False,
    )
    rows = read_rows(pytester.path / "rows.csv")
    assert [(row["backend"], row["pass"], row["epilogue"], row["outcome"]) for row in rows[:3]] == [
        ("right", "fprop", "none", "verified"),
        ("right", "fprop", "bias", "verified"),
        ("right", "fprop", "bias_relu", "verified"),
    ]
    assert len(rows) == 3 * 3 + 3 + 3 + 3 * 2
    assert all(row["command"].startswith("pytest -p pytest_convbench") for row in rows)
    assert {row["outcome"] for row in rows} == {"verified", "skipped", "wrong", "failed"}


def test_tests_are_chosen_by_name_again_when_they_failed_and_until_one_fails(pytester: pytest.Pytester) -> None:
    write(pytester, "raises_for_five")
    run(pytester, "-x").assert_outcomes(passed=1, failed=1)
    run(pytester, "--lf").assert_outcomes(failed=1)
    run(pytester, "-k", "k4r3s3 and fp32").assert_outcomes(passed=1, deselected=2)


def test_what_the_marker_leaves_open_is_everything_and_an_option_replaces_its_suite(pytester: pytest.Pytester) -> None:
    write(pytester, "right", mark="@pytest.mark.convolution(suite='quick', where=lambda spec: spec.groups > 1)")
    quick = run(pytester, "--collect-only", "-q").parseoutcomes()["tests"]
    assert quick % (len(DTYPES) * len(LAYOUTS)) == 0
    done = run(
        pytester,
        "--collect-only",
        "-q",
        "--convbench-suite",
        "n1c2h6w5k4r3s3,n1c2h6w5k4r3s3_g2",
        "--convbench-csv=no.csv",
    )
    assert "test_right[n1c2h6w5k4r3s3_g2-bf16-strided]" in done.stdout.str()
    assert not (pytester.path / "no.csv").exists()
    done = run(pytester, "--convbench-suite", "n1c2h6w5k4r3s3", "-q")
    done.stdout.fnmatch_lines(["*@pytest.mark.convolution of test_right: where= leaves none of * cases*"])
    assert done.ret == pytest.ExitCode.INTERRUPTED


def test_a_device_that_is_not_there_is_a_skip_with_its_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    write(pytester, "right", mark=MARK.replace(")", ", devices='cpu,cuda')"))
    done = run(pytester, "-rs")
    done.assert_outcomes(passed=3, skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED * test_mine.py:*: *CUDA*"])
    write(pytester, "right", mark=MARK.replace(")", ", devices='cuda')"))
    run(pytester).assert_outcomes(skipped=1)


def test_a_pass_that_is_named_is_a_test_of_its_own() -> None:
    chosen = testing.choose_cases(suite="n1c2h6w5k4r3s3", dtypes=["fp32"], layouts=["nchw"], passes=["fprop", "dgrad"])
    assert [one.name for one in chosen] == ["n1c2h6w5k4r3s3-fp32-nchw", "n1c2h6w5k4r3s3-fp32-nchw-dgrad"]


def test_a_problem_that_was_drawn_for_a_pass_is_a_plain_fprop_for_a_function_without_it() -> None:
    def plain(*_: object) -> object:
        raise AssertionError("nothing is run")

    alone = backend(family="direct", source="a test")(plain)
    whole = backend(family="direct", source="a test", dgrad=plain, wgrad=plain, fused=plain)(plain)
    chosen = testing.choose_cases(suite="awkward")
    assert len(chosen) == len({one.name for one in chosen}) > 1500
    assert {(case.pass_, case.epilogue) for one in chosen for case in one.of(alone)} == {("fprop", "none")}
    kinds = {(case.pass_, case.epilogue) for one in chosen for case in one.of(whole)}
    assert kinds == {("fprop", "none"), ("fprop", "bias"), ("fprop", "bias_relu"), ("dgrad", "none"), ("wgrad", "none")}
    assert all(len(one.of(alone)) == len(one.of(whole)) == 1 for one in chosen)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"{MARK}\ndef test_it(convolution): pass", "the test never called convolution(function), so nothing was"),
        ("def test_it(convolution): pass", "a test with the fixture convolution needs @pytest.mark.convolution"),
        (
            "@pytest.mark.convolution('quick')\ndef test_it(convolution): pass",
            "the marker takes names, such as suite='q",
        ),
        ("@pytest.mark.convolution(dtype=1)\ndef test_it(convolution): pass", "unexpected keyword argument 'dtype'"),
        (
            "@pytest.mark.convolution(dtypes='fp23')\ndef test_it(convolution): pass",
            "unknown dtype 'fp23': choose from",
        ),
        (f"{MARK}\ndef test_it(convolution): convolution(3)", "convolution(3): give a function fn(x, w, spec), or one"),
        (f"{MARK}\ndef test_it(convolution): convolution(lambda x: x)", "lambda takes 1 arguments; a function is fn(x"),
        (
            f"{MARK}\ndef test_it(convolution):\n    def torch(x, w, spec): pass\n    convolution(torch)",
            "two backends are named 'torch': one from convbench, one from this test; rename one of them",
        ),
        (
            f"{MARK}\ndef test_it(convolution): convolution(lambda x, w, spec: 1 / 0)",
            "no command repeats it: lambda has no name at the top of a file",
        ),
    ],
)
def test_a_mistake_is_one_line(pytester: pytest.Pytester, body: str, said: str) -> None:
    pytester.makepyfile(test_mine=f"{HEAD.replace(', kernels', '')}{body}\n")
    done = run(pytester)
    text = done.stdout.str()
    assert said in text
    assert "Traceback" not in text
    assert "another exception" not in text
    assert done.ret != pytest.ExitCode.OK


def test_a_file_of_something_else_is_not_overwritten(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_mine="def test_it(): pass")
    done = run(pytester, "--convbench-csv=test_mine.py")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert "--convbench-csv test_mine.py exists and is no results file" in done.stderr.str()
    assert "def test_it" in (pytester.path / "test_mine.py").read_text()
    for _ in range(2):  # an old file of rows is
        assert run(pytester, "--convbench-csv=rows.csv").ret == pytest.ExitCode.OK
    assert read_rows(pytester.path / "rows.csv") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--convbench-timeout=0"], "--convbench-timeout 0: give seconds above 0"),
        (["--convbench-timeout=3"], "--convbench-timeout needs a process that can be killed"),
        (["--convbench-csv=-"], "--convbench-csv -: pytest prints there; name a file"),
        (["--convbench-csv=no/such/folder.csv"], "cannot write no/such/folder.csv"),
    ],
)
def test_an_option_that_cannot_be_followed_is_one_line(pytester: pytest.Pytester, words: list[str], said: str) -> None:
    done = run(pytester, *words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr.str()
    assert "Traceback" not in done.stderr.str()


def test_the_example_of_the_docs_runs(pytester: pytest.Pytester) -> None:
    page = (Path(__file__).parents[1] / "docs" / "pytest.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n# (\w+)\.py\n(.*?)```", page, re.DOTALL)
    assert block is not None
    pytester.makepyfile(**{block[1]: block[2]})
    run(pytester, "-k", "bf16 and note").assert_outcomes(passed=1, deselected=5)


def test_others_may_have_a_fixture_and_a_marker_of_that_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_mine="""
        import pytest
        @pytest.fixture
        def convolution(): return 3
        def test_fixture(convolution): assert convolution == 3
        @pytest.mark.convolution
        def test_marker(): pass
        """
    )
    done = run(pytester)
    done.assert_outcomes(passed=2)
    assert "convbench:" not in done.stdout.str()


def test_a_function_is_found_where_another_process_can_load_it(tmp_path: Path) -> None:
    def inner(x: object, w: object, spec: object) -> None: ...

    assert testing.find_function(inner, None, tmp_path).local
    import torch.nn.functional as F

    given = testing.find_function(F.conv2d, F, tmp_path)
    assert (given.plugin, given.local) == ("torch::conv2d", False)
    from convbench.backends.unfold_matmul import unfold_matmul

    given = testing.find_function(unfold_matmul, None, tmp_path)
    assert (given.backend, given.plugin, given.local) == (unfold_matmul, "", False)
    with pytest.raises(ConvbenchError, match="give a function"):
        testing.find_function(int, None, tmp_path)


@pytest.mark.program
def test_a_run_without_it_costs_30_ms_at_most_and_imports_neither_torch_nor_convbench(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text("def test_plain(): pass\n")
    code = """
import contextlib, io, sys, time
import pytest
start = time.process_time()
import pytest_convbench
imported_s = time.process_time() - start

def run(*words):
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        assert pytest.main(["test_plain.py", "-p", "no:cacheprovider", *words]) == 0
    return time.process_time() - start

for words in ((), ("-p", "pytest_convbench")):
    run(*words)
pairs = [(run("-p", "pytest_convbench"), run("-p", "no:pytest_convbench")) for _ in range(2)]
print(imported_s + min(one for one, _ in pairs) - min(other for _, other in pairs))
print(sorted({"torch", "convbench", "numpy", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=without_plugins()
    )
    assert done.returncode == 0, done.stderr
    cost_s, modules = done.stdout.splitlines()[-2:]
    assert float(cost_s) < 0.03
    assert modules == "[]"


def without_plugins() -> dict[str, str]:
    """The environment without the other plug-ins of this one, which import torch or its like."""
    import os

    root = str(Path(__file__).parents[1])
    return os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": root}


@pytest.mark.program
@pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")
def test_a_crash_and_a_hang_cost_their_test_alone(pytester: pytest.Pytester) -> None:
    write(pytester, "right", "crashes_for_five", "hangs_for_five")
    done = pytester.runpytest_inprocess(*PLUGIN, "-p", "no:xdist", "--convbench-timeout=3")
    done.assert_outcomes(passed=3 + 2 + 2, failed=2)
    done.stdout.fnmatch_lines(
        [
            "FAILED crashes-for-five on n1c2h6w5k5r3s3 *",
            "  died of SIGABRT while being verified",
            "  convbench verify --backend crashes-for-five * --plugin kernels.py::crashes_for_five",
            "FAILED hangs-for-five on n1c2h6w5k5r3s3 *",
            "  hung: no answer within 3 s while being verified; killed",
            "convbench: 13 verified, 2 failed; largest error * of its bound *)",
        ]
    )


@pytest.mark.program
@pytest.mark.skipif(sys.platform != "linux", reason="worker processes need Linux")
def test_the_cases_of_a_function_share_a_process_from_the_first_one_on(pytester: pytest.Pytester) -> None:
    write(pytester, "right")
    pytester.makepyfile(kernels=KERNELS + "\nopen('loaded', 'a').write(f'{os.getpid()}\\n')\n")
    pytester.runpytest_subprocess(*PLUGIN, "-p", "no:xdist").assert_outcomes(passed=3)
    loaded = (pytester.path / "loaded").read_text().splitlines()
    assert len(loaded) == len(set(loaded)) == 2  # pytest's own, and one


@pytest.mark.program
def test_the_processes_of_xdist_write_one_file(pytester: pytest.Pytester) -> None:
    write(pytester, *WANTED)
    words = ("-n", "2", "--convbench-csv=rows.csv", "--convbench-no-isolate")
    done = pytester.runpytest_subprocess(*PLUGIN, *words)
    done.assert_outcomes(passed=3 + 2 + 2, skipped=1, failed=1 + 3)
    rows = read_rows(pytester.path / "rows.csv")
    assert len(rows) == len({(row["backend"], row["spec"], row["pass"], row["epilogue"]) for row in rows}) == 21
    done.stdout.fnmatch_lines(["convbench: 16 verified*", "convbench: rows in rows.csv"])
