"""Random cases: legal, within their limits, of every kind, and the same again."""

from itertools import islice
from pathlib import Path

import pytest

from convbench.case import DTYPES, LAYOUTS, PASSES
from convbench.session import for_seconds
from convbench.suites.fuzz import MOST_MACS, MOST_NBYTES, fuzz
from tests.cli.conftest import Cli, table
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

SAMPLE = list(islice(fuzz(0), 2000))


def test_a_seed_gives_the_same_cases_and_another_seed_others() -> None:
    assert list(islice(fuzz(0), 50)) == SAMPLE[:50]
    assert list(islice(fuzz(1), 50)) != SAMPLE[:50]


def test_the_first_cases_of_a_seed_are_known() -> None:
    """A seed in a bug report must mean the same tomorrow: change this only with the generator."""
    assert [(case.problem.name, case.dtype, case.layout, case.pass_) for case in SAMPLE[:2]] == FIRST


def test_no_case_goes_beyond_the_limits() -> None:
    for case in SAMPLE:
        assert case.spec.macs <= MOST_MACS
        assert case.spec.nbytes("fp64") <= MOST_NBYTES
        assert case.spec.patch_matrix_nbytes("fp64") <= MOST_NBYTES
        assert case.why_not is None
        assert case.problem.name == str(case.spec)


def test_odd_corners_are_hit_often() -> None:
    specs = [case.spec for case in SAMPLE]
    least = {
        "an empty batch": (sum(one.n == 0 for one in specs), 10),
        "one row or column of outputs": (sum(min(one.p, one.q) == 1 for one in specs), 200),
        "a stride beyond the kernel": (sum(one.stride[0] > one.r for one in specs), 100),
        "padding beyond the kernel": (sum(one.padding[0] > one.r for one in specs), 100),
        "dilation": (sum(max(one.dilation) > 1 for one in specs), 300),
        "depthwise": (sum(one.groups == one.c > 1 for one in specs), 100),
        "uneven groups": (sum(one.groups > 1 and one.c_per_group != one.k_per_group for one in specs), 200),
        "a kernel of one row": (sum(one.r == 1 < one.s for one in specs), 100),
        "one past a vector": (sum(one.c in (9, 17, 33) for one in specs), 100),
        "sides padded differently": (sum(one.padding_end is not None for one in specs), 100),
        "many images": (sum(one.n > 16 for one in specs), 100),
        "patches": (sum(one.stride == (one.r, one.s) and one.r > 8 for one in specs), 10),
        "groups of a vector of channels": (sum(1 < one.groups <= 4 and one.c_per_group >= 8 for one in specs), 100),
        "many columns of outputs": (sum(one.q > 60 for one in specs), 100),
        "pairs that differ": (sum(one.stride[0] != one.stride[1] for one in specs), 300),
    }
    assert {name: count for name, (count, limit) in least.items() if count < limit} == {}
    assert {case.dtype for case in SAMPLE} == set(DTYPES)
    assert {case.layout for case in SAMPLE} == set(LAYOUTS)
    assert {case.pass_ for case in SAMPLE} == set(PASSES)


def test_an_axis_that_is_given_is_drawn_among_what_is_given() -> None:
    cases = list(
        islice(fuzz(0, dtypes=("bf16",), layouts=("nhwc",), passes=("fprop",), epilogues=("bias", "bias_relu")), 50)
    )
    assert {(case.dtype, case.layout, case.pass_) for case in cases} == {("bf16", "nhwc", "fprop")}
    assert {case.epilogue for case in cases} == {"bias", "bias_relu"}


def test_fuzz_runs_as_many_cases_as_it_was_told_and_says_so(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "fuzz.csv"
    done = cli("verify", "--fuzz", "12", "--seed", "5", "--backend", "torch,unfold-matmul", "--csv", path)
    assert done.code == 0
    assert "12 random cases with seed 5" in done.err
    rows = table(done.out)
    assert [row["spec"] for row in rows[::2]] == [case.problem.name for case in islice(fuzz(5), 12)]
    assert {row["suite"] for row in rows} == {"fuzz"}
    again = cli("verify", "--fuzz", "12", "--seed", "5", "--backend", "torch,unfold-matmul", "--csv", path, "--resume")
    assert again.code == 0
    assert table(again.out) == rows


@pytest.mark.program
def test_a_fault_is_printed_as_a_command_that_shows_it_again(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "swapped.py"
    plugin.write_text(
        "import torch.nn.functional as F\nfrom convbench import backend\n\n"
        '@backend(family="direct", source="a test")\n'
        "def swapped(x, w, spec):\n"
        "    y = F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
        "    return y * 1.5 if spec.groups > 1 else y\n"
    )
    words = ("--backend", "swapped", "--plugin", plugin, "--no-isolate")
    done = cli("verify", "--fuzz", "20", "--pass", "fprop", "--dtype", "fp32", *words)
    assert done.code == 1
    lines = [line.strip() for line in done.err.splitlines() if line.startswith("  convbench verify")]
    assert lines
    command = lines[0].split()
    again = cli(*command[1 : command.index("--plugin")], *words[2:])
    assert again.code == 1
    assert table(again.out)[0]["outcome"] == "wrong"


def test_the_clock_ends_a_run_after_a_whole_case(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 2.5, 4.0])
    monkeypatch.setattr("convbench.session.time.monotonic", lambda: next(ticks))
    numbers: list[object] = list(for_seconds(2.0, range(100), each=2))  # type: ignore[arg-type]
    assert numbers == [0, 1, 2, 3, 4, 5]  # the clock starts after the first case: 0 s, then 1 s, then 2.5 s


def test_whichever_ends_first_ends_the_run(cli: Cli) -> None:
    done = cli("verify", "--fuzz", "3", "--seconds", "600", "--backend", "torch")
    assert done.code == 0
    assert "3 random cases with seed 0" in done.err


@pytest.mark.program
def test_random_cases_outlive_a_backend_that_does_not(cli: Cli) -> None:
    done = cli("verify", "--fuzz", "3", "--backend", "torch", "--isolate")
    assert done.code == 0
    assert len(table(done.out)) == 3


def test_what_would_run_is_listed(cli: Cli) -> None:
    done = cli("verify", "--fuzz", "3", "--backend", "torch", "--dry-run")
    assert done.code == 0
    assert "3 cases, 3 rows" in done.out + done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fuzz", "3", "--suite", "quick"), "--suite and --fuzz each select the cases"),
        (("--seconds", "1", "--shape", "n1c1h4w4k1r2s2"), "--shape and --fuzz each select the cases"),
        (("--fuzz", "3", "--vectors", "onnx"), "--fuzz and --vectors each select the cases"),
        (("--fuzz", "3", "--match", "x"), "--match cannot be combined with --fuzz"),
        (("--fuzz", "3", "--batch", "2"), "--batch or --axis of a size cannot be combined with --fuzz"),
        (("--seconds", "1", "--dry-run"), "a run that ends by the clock cannot be planned"),
        (("--fuzz", "9", "--seconds", "1", "--resume", "--csv", "x.csv"), "a run that ends by the clock"),
        (("--fuzz", "1000000"), "the limit is 100,000 cases"),
        (("--fuzz", "3", "--dtype", "fp8"), "unknown dtype 'fp8'"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(cli: Cli, words: tuple[str, ...], message: str) -> None:
    done = cli("verify", *words)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


FIRST = [
    ("n1c96h5w20k448r5s4_g32", "fp64", "unaligned", "dgrad"),
    ("n2c5h11w16k55r4s1_g5", "fp32", "strided", "wgrad"),
]
