"""The self-test plants what it says, takes correct for correct, and notices a crippled verifier."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import ConvSpec
from convbench.call.tensors import TORCH_DTYPE, lay_out
from convbench.case import Case
from convbench.outcome import Check, Verified, Wrong
from convbench.verify.bounds import interval
from convbench.verify.exam import Exam, prepare_exam
from convbench.verify.probes import Probes
from convbench.verify.selftest import selftest
from convbench.verify.selftest.kernels import CORRECT, DTYPES, Kernel, as_backend, convolve, round_once
from convbench.verify.selftest.mutants import ANYWHERE, behaviour, precision, structure
from convbench.verify.selftest.selftest import (
    KERNELS,
    LEAST_BUG_RUNS,
    LEAST_CORRECT_RUNS,
    RULES,
    Finding,
    Judged,
    Rate,
    SharedCase,
    choose_kernels,
    measure,
    measure_with,
    nearest,
    random_cases,
)
from convbench.verify.state import call_first, disturbances
from convbench.verify.transforms import winograd_bound
from tests.cli.conftest import Cli, table
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.conftest import make_case

# Every bug of structure is one here: two of everything, nothing symmetrical, but for the square image.
ASKEW = "n2c36h13w13k12r3s4_st2x1_pd1x2_dl1x2_g2"
SMALL = "n2c6h9w8k4r3s3_pd1"
STRUCTURE, PRECISION, BEHAVIOUR = (
    [bug for bug in ANYWHERE if bug.kind == kind] for kind in ("structure", "precision", "behaviour")
)


def name_of(value: object) -> str:
    return value.name if isinstance(value, Kernel) else str(value)


def judge(kernel: Kernel, case: Case) -> Judged:
    return SharedCase(prepare_exam(case)).judge(kernel)


def test_there_are_as_many_kernels_as_promised_each_with_words_of_its_own() -> None:
    assert len(ANYWHERE) >= 25
    assert len(CORRECT) >= 8
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS) == len({kernel.words for kernel in KERNELS})
    assert all(kernel.words and not kernel.words.endswith(".") for kernel in KERNELS)
    assert {bug.kind for bug in ANYWHERE} == {"structure", "precision", "behaviour"}
    modules = (structure, precision, behaviour)
    defined = {value.name for module in modules for value in vars(module).values() if isinstance(value, Kernel)}
    assert defined == {bug.name for bug in ANYWHERE}  # none is left out of the list
    for case in random_cases(20, seed=1):
        assert any(kernel.takes(case) for kernel in ANYWHERE)


@pytest.mark.parametrize("bug", STRUCTURE, ids=name_of)
def test_a_bug_of_structure_computes_another_sum(bug: Kernel) -> None:
    case = make_case(ASKEW, layout="strided")
    subject = SharedCase(prepare_exam(case))
    out = subject._call(bug)
    assert not subject.is_equivalent(bug, out)
    assert out.shape == case.spec.y_shape
    assert not torch.allclose(out, subject._truth)


@pytest.mark.parametrize("bug", PRECISION, ids=name_of)
def test_a_bug_of_precision_loses_bits_and_no_more(bug: Kernel) -> None:
    for dtype in bug.dtypes:
        shows = []
        for seed in range(10):  # a thousandth of a single number may round away in bf16
            exam = prepare_exam(make_case(SMALL, dtype=dtype, seed=seed))
            out = SharedCase(exam)._call(bug)
            assert out.dtype == TORCH_DTYPE[dtype]
            assert ((out.double() - exam.truth.y).abs() / exam.truth.magnitude).max() < 0.1
            shows.append(not nearest(out, exam.truth.y))
        assert any(shows)


def plain(exam: Exam) -> Tensor:
    return convolve(exam.x, exam.w, exam.case.spec)


def changes_an_input(bug: Kernel, exam: Exam) -> bool:
    before = [operand.clone() for operand in exam.operands.values()]
    bug.make()(exam.x, exam.w, exam.case.spec)
    return not all(torch.equal(one, other) for one, other in zip(before, exam.operands.values(), strict=True))


def answers_with_the_past(bug: Kernel, exam: Exam) -> bool:
    """Other numbers in the same memory do not all show."""
    fn = bug.make()
    right = torch.equal(fn(exam.x, exam.w, exam.case.spec), plain(exam))
    exam.x.neg_()
    return right and not torch.allclose(fn(exam.x, exam.w, exam.case.spec), plain(exam))


def answers_with_another_problem(bug: Kernel, exam: Exam) -> bool:
    """The same call is right before one on a larger problem, and no longer after it."""
    fn, case = bug.make(), exam.case
    right = torch.equal(fn(exam.x, exam.w, case.spec), plain(exam))
    same = as_backend(replace(bug, make=lambda: fn))
    assert [call_first(same, options) for options in disturbances(case)]
    return right and not torch.allclose(fn(exam.x, exam.w, case.spec), plain(exam))


def differs_from_call_to_call(bug: Kernel, exam: Exam) -> bool:
    fn = bug.make()
    first, second = (fn(exam.x, exam.w, exam.case.spec) for _ in range(2))
    return not torch.equal(first, second) and torch.allclose(first, plain(exam), rtol=1e-3, atol=1e-3)


def takes_nan_elsewhere(bug: Kernel, exam: Exam) -> bool:
    exam.x[0, 0, 4, 4] = torch.nan
    out = bug.make()(exam.x, exam.w, exam.case.spec)
    return not torch.equal(out.isnan(), plain(exam).isnan())


def leaves_memory_as_it_was(bug: Kernel, exam: Exam) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", lambda shape, dtype: torch.full(shape, torch.nan, dtype=dtype))
        return bool(bug.make()(exam.x, exam.w, exam.case.spec).isnan().any())


def reads_beyond(bug: Kernel, exam: Exam) -> bool:
    operands = {}
    for name, operand in exam.operands.items():
        room = torch.full((operand.numel() + 1,), torch.nan)
        room[:-1] = operand.flatten()
        operands[name] = room[:-1].view(operand.shape)
    return bool(bug.make()(operands["x"], operands["w"], exam.case.spec).isnan().any())


def writes_beyond(bug: Kernel, exam: Exam) -> bool:
    count = torch.Size(exam.case.spec.y_shape).numel()
    room = torch.full((count + 1,), torch.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", lambda shape, dtype: room[:count].view(shape).to(dtype))
        bug.make()(exam.x, exam.w, exam.case.spec)
    return not bool(room[count].isnan())


SIGNS: dict[str, Callable[[Kernel, Exam], bool]] = {
    "tail-unwritten": leaves_memory_as_it_was,
    "tail-of-last-time": answers_with_the_past,
    "sums-not-cleared": answers_with_the_past,
    "workspace-cleared-once": answers_with_another_problem,
    "workspace-of-a-size-cleared-once": answers_with_another_problem,
    "cached-by-pointer": answers_with_the_past,
    "last-bit-varies": differs_from_call_to_call,
    "order-varies": differs_from_call_to_call,
    "nan-to-zero": takes_nan_elsewhere,
    "nan-lost-in-comparison": takes_nan_elsewhere,
    "nan-reaches-next-image": takes_nan_elsewhere,
    "nan-reaches-all-groups": takes_nan_elsewhere,
    "x-changed": changes_an_input,
    "w-changed": changes_an_input,
    "reads-beyond-x": reads_beyond,
    "reads-beyond-w": reads_beyond,
    "writes-beyond-y": writes_beyond,
}


@pytest.mark.parametrize("bug", BEHAVIOUR, ids=name_of)
def test_a_bug_of_behaviour_does_what_a_correct_kernel_does_not(bug: Kernel) -> None:
    case = make_case("n2c36h9w8k4r3s3_pd1_g2")
    assert bug.takes(case)
    assert bug.probe
    shows = SIGNS[bug.name]
    assert shows(bug, prepare_exam(case))
    right = replace(bug, make=lambda: convolve)
    assert not shows(right, prepare_exam(case))  # it is a sign of the bug alone
    assert not SharedCase(prepare_exam(case)).is_equivalent(bug, plain(prepare_exam(case)))


@pytest.mark.parametrize("name", ["tail-unwritten", "sums-not-cleared", "x-changed", "w-changed"])
def test_a_bug_of_behaviour_is_found(name: str) -> None:
    (bug,) = choose_kernels([name])
    for dtype in DTYPES:
        assert judge(bug, make_case(SMALL, dtype=dtype)).rejected


@pytest.mark.parametrize("kernel", CORRECT, ids=name_of)
@pytest.mark.parametrize("shape", [SMALL, ASKEW, "n1c700h5w4k3r3s3_pd1", "n3c1h2w2k1r1s1"])
def test_a_correct_kernel_is_within_the_hard_bound(kernel: Kernel, shape: str) -> None:
    for dtype in DTYPES:
        case = make_case(shape, dtype=dtype, layout="nhwc")
        if not kernel.takes(case):
            continue
        exam = prepare_exam(case)
        bound = exam.error
        if kernel.family == "winograd":
            bound = torch.maximum(bound, winograd_bound(case, exam.x, exam.w))
        out = kernel.make()(exam.x, exam.w, case.spec)
        low, high = interval(exam.truth.y, bound, out.dtype)
        assert out.shape == case.spec.y_shape
        assert bool(((low <= out.double()) & (out.double() <= high)).all())
        verdict = judge(kernel, case)
        assert not verdict.fault, verdict.evidence


def test_correct_kernels_differ_in_their_last_bits() -> None:
    """One order under many names would prove nothing."""
    case = make_case("n1c64h6w6k4r3s3_pd1")
    exam = prepare_exam(case)
    outs = {kernel.make()(exam.x, exam.w, case.spec).numpy().tobytes() for kernel in CORRECT}
    assert len(outs) >= 10


def test_the_index_formula_is_torchs_convolution_wherever_it_reads_from() -> None:
    for shape in (ASKEW, SMALL, "n1c2h5w7k4r2s3_st3x2_pd1x0_dl2x1_g2"):
        case = make_case(shape, dtype="fp64")
        exam, spec = prepare_exam(case), case.spec
        y = F.conv2d(exam.x, exam.w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        rows = torch.arange(spec.p)[:, None] * spec.stride[0] - spec.padding[0]
        rows = rows + torch.arange(spec.r) * spec.dilation[0]
        for out in (convolve(exam.x, exam.w, spec), convolve(exam.x, exam.w, spec, rows=rows)):
            assert torch.allclose(out, y, rtol=0, atol=1e-12)


def test_a_number_is_rounded_once_and_not_through_float32() -> None:
    tie = 1 + 2.0**-8  # between 1 and the next bf16
    y = torch.tensor([tie + 2.0**-40, -tie - 2.0**-40, tie - 2.0**-40, tie, 0.0, 3e38, 1e-42], dtype=torch.float64)
    step = 2.0**-7
    assert round_once(y, torch.bfloat16)[:5].tolist() == [1 + step, -1 - step, 1.0, 1.0, 0.0]
    assert y.float().to(torch.bfloat16)[0] == 1.0  # what torch makes of it
    assert nearest(round_once(y, torch.bfloat16), y)
    assert not nearest(y.to(torch.bfloat16), y)
    many = torch.randn(10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert nearest(round_once(many, dtype), many)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("stride-swapped", "n1c3h8w8k2r3s3_st2", "fp32"),
        ("groups-shifted", SMALL, "fp16"),
        ("kernel-transposed", "n2c3h4w4k2r1s1", "bf16"),
        ("first-image-for-all", "n1c3h8w8k2r3s3", "fp32"),
        ("layout-of-x-assumed", SMALL, "fp32"),
        ("sums-in-bf16", "n1c1h8w8k1r1s1", "bf16"),
        ("last-output-scaled", "n1c1h1w1k1r1s1", "bf16"),
    ],
)
def test_a_bug_that_is_none_on_a_case_is_removed(name: str, shape: str, dtype: str) -> None:
    (bug,) = choose_kernels([name])
    one = judge(bug, make_case(shape, dtype=dtype))
    assert one.equivalent
    assert not one.counts
    assert not one.fault
    assert Finding.of([one], by_choice=True).equivalent == 1
    assert Rate.of([one]).runs == 0


def test_the_shapes_are_small_and_their_sums_of_every_length() -> None:
    cases = random_cases(200, seed=0)
    assert [case.dtype for case in cases[:3]] == list(DTYPES)
    terms = sorted(case.spec.taps for case in cases)
    assert terms[0] <= 2
    assert terms[-1] > 20_000
    assert len([one for one in terms if 100 < one < 3_000]) > len(terms) / 5
    assert max(case.spec.macs for case in cases) <= selftest.MOST_MACS
    assert {case.layout for case in cases} == {"nchw", "nhwc", "strided", "chunk", "unaligned"}
    specs = [case.spec for case in cases]
    for ask in (
        lambda spec: spec.groups > 1,
        lambda spec: spec.stride[0] != spec.stride[1],
        lambda spec: spec.dilation[0] != spec.dilation[1],
        lambda spec: spec.padding != (0, 0),
        lambda spec: spec.h == spec.w,
        lambda spec: (spec.r, spec.s, spec.stride, spec.dilation) == (3, 3, (1, 1), (1, 1)),
    ):
        assert 10 < sum(map(ask, specs)) < len(specs)
    assert random_cases(200, seed=0) == cases
    assert random_cases(200, seed=1) != cases
    assert random_cases(200, seed=0, dtypes=["bf16"]) == [case for case in cases if case.dtype == "bf16"]


def test_the_whole_size_is_enough_for_the_published_rates() -> None:
    """Counted without running: at most half of the bugs turn out to be none."""
    cases = random_cases(selftest.SHAPES, seed=0)
    assert sum(kernel.takes(case) for case in cases for kernel in CORRECT) >= LEAST_CORRECT_RUNS
    assert sum(kernel.takes(case) for case in cases for kernel in ANYWHERE) / 2 >= LEAST_BUG_RUNS


def test_the_others_judge_as_their_sources_say() -> None:
    truth = torch.tensor([1.0, 100.0])
    for name, near, far in (
        ("allclose", 1e-4, 1e-2),
        ("assert_close", 1e-5, 1e-3),
        ("1e-3", 0.01, 0.2),
        ("1e-2", 0.5, 1.5),
        ("MIOpen", 1e-4, 1e-3),
        ("XLA", 10.0, 12.0),
    ):
        for error, accepted in ((near, True), (far, False)):
            assert RULES[name](truth + torch.tensor([0.0, error]), truth, "fp32") is accepted, (name, error)
        assert not RULES[name](torch.tensor([1.0, torch.nan]), truth, "fp32")
    half, other = truth.bfloat16(), torch.tensor([1.0, 101.5]).bfloat16()
    assert RULES["assert_close"](other, half, "bf16")
    assert not RULES["assert_close"](other.half(), half.half(), "fp16")


@pytest.mark.parametrize("dtype", DTYPES)
def test_our_assert_close_is_torchs(dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for size in (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
        truth = torch.randn(20, generator=generator).to(TORCH_DTYPE[dtype])
        out = (truth.float() * (1 + size * torch.randn(20, generator=generator))).to(TORCH_DTYPE[dtype])
        try:
            torch.testing.assert_close(out, truth)
            expected = True
        except AssertionError:
            expected = False
        assert RULES["assert_close"](out, truth, dtype) is expected


def some(count: int, *, kind: str, rejected: bool, equivalent: bool = False) -> list[Judged]:
    kernel = "kahan" if kind == "correct" else "tap-missing"
    one = Judged(
        case=make_case(SMALL),
        kernel=kernel,
        kind=kind,
        rejected=rejected,
        probe="",
        evidence="",
        rejected_by=frozenset(),
        equivalent=equivalent,
    )
    return [one] * count


def test_the_published_rates_are_met_or_not() -> None:
    right = some(LEAST_CORRECT_RUNS, kind="correct", rejected=False)
    found = some(LEAST_BUG_RUNS, kind="structure", rejected=True)
    missed = some(1, kind="structure", rejected=False)
    alarm = some(1, kind="correct", rejected=True)
    none = some(50, kind="structure", rejected=False, equivalent=True)

    def met(*parts: list[Judged], by_choice: bool = False) -> bool:
        return Finding.of([one for part in parts for one in part], by_choice=by_choice).met

    assert met(right, found)
    assert met(right, found, missed * 5, none)  # 5 of 5,005 are 99.9 %
    assert not met(right, found, missed * 6)
    assert not met(right, found, alarm)
    assert not met(right[:-1], found)
    assert not met(right, found[:-1], none)  # what was removed does not fill up
    assert met(right[:10], found[:10], by_choice=True)
    assert not met(right[:10], alarm, found[:10], by_choice=True)
    assert not met(right[:10], found[:10], missed, by_choice=True)


@pytest.mark.program
def test_processes_side_by_side_find_what_one_does() -> None:
    cases, kernels = random_cases(2, seed=5), choose_kernels(["kahan", "tap-missing", "sums-not-cleared"])
    threads = torch.get_num_threads()
    assert list(measure_with(2, cases, kernels)) == list(measure(cases, kernels))
    assert torch.get_num_threads() == threads


def test_a_kernel_that_cannot_be_run_is_no_bug_found_and_no_pass() -> None:
    def broken(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if x.isfinite().all():
            broken.calls += 1  # type: ignore[attr-defined]
        if broken.calls == 1:  # type: ignore[attr-defined]
            raise RuntimeError("out of luck")
        return convolve(x, w, spec)

    for kind, rejected in (("structure", False), ("correct", True)):
        broken.calls = 0  # type: ignore[attr-defined]
        one = judge(Kernel(name="kahan", words="", make=lambda: broken, kind=kind), make_case(SMALL))
        assert one.rejected is rejected
        assert "out of luck" in one.evidence


NARROW = ("--suite", "quick", "--match", ":note$", "--dtype", "fp32", "--layout", "nchw", "--backend", "kahan")
SEEN = ("--backend", "kahan,tap-missing,padding-one-more,x-changed")


def test_a_small_self_test_runs_and_says_that_it_is_small(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    done = cli("selftest", "--shapes", 4, *SEEN, "--csv", path)
    assert done.code == 0, done.err
    rows = table(done.out)
    assert len(rows) == 4 * 3
    assert {row["rejected"] for row in rows if row["kernel"] == "kahan"} == {"0"}
    assert {row["rejected"] for row in rows if row["kernel"] == "padding-one-more"} == {"1"}
    assert "this run is smaller than the 2,500 correct runs and 5,000 bugs" in done.err
    assert "OK: 0 false alarms in 12 correct runs; " in done.err
    frame = pd.read_csv(path)
    assert len(frame) == 4 * 4 * 3
    assert set(frame.kernel) == {"kahan", "tap-missing", "padding-one-more", "x-changed"}
    assert cli("selftest", "--shapes", 1, "--csv", path).code == 2
    again = cli("selftest", "--shapes", 1, *SEEN, "--csv", path, "--overwrite")
    assert again.code == 0
    assert len(pd.read_csv(path)) == 4 * 3


def test_the_csv_of_a_self_test_may_go_to_stdout(cli: Cli) -> None:
    done = cli("selftest", "--shapes", 1, "--dtype", "fp32", "--backend", "kahan", "--csv", "-")
    assert done.code == 0
    header, row = done.out.splitlines()
    assert header.startswith("kernel,kind,spec,dtype,layout,seed,rejected,")
    assert row.startswith("kahan,correct,n")


def test_it_is_exit_1_when_the_verifier_lets_bugs_through(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "weigh", lambda *_: Verified(Check(worst_of_bound=0.0, relative_l2=0.0)))
    done = cli("selftest", "--shapes", 2, "--dtype", "bf16", "--backend", "kahan,padding-one-more")
    assert done.code == 1
    first, command, *_ = done.err.splitlines()
    assert first.startswith("MISSED padding-one-more on n")
    assert command.startswith("  convbench selftest --backend padding-one-more --shape n")
    assert "NOT MET: 0 false alarms in 2 correct runs; 0 of 2 bugs found" in done.err
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", [])
    again = cli(*command.split()[1:])  # the same case, and a verifier that is whole again
    assert again.code == 0
    assert "1 of 1 bugs found" in again.err


def test_it_is_exit_1_when_the_verifier_cries_wolf(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_strict(backend: Any, probes: Probes, _: object) -> Verified | Wrong:
        exam = probes.exam
        out = backend.fn(exam.x, exam.w, exam.case.spec)
        same = torch.equal(out, exam.truth.y.to(out.dtype))
        return Verified(Check(worst_of_bound=0, relative_l2=0)) if same else Wrong(
            Check(worst_of_bound=2, relative_l2=1, evidence="not every bit")
        )  # fmt: skip

    monkeypatch.setattr(selftest, "weigh", too_strict)
    done = cli("selftest", "--shape", SMALL, "--dtype", "fp32", "--backend", "one-after-another")
    assert done.code == 1
    first, evidence, command, *_ = done.err.splitlines()
    assert first.startswith(f"FALSE ALARM one-after-another on {SMALL} (fp32 nchw)")
    assert evidence == "  not every bit"
    assert "--layout nchw --seed 0" in command


def test_the_whole_size_with_too_few_runs_is_not_met(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nearly every bug had been removed, or kernels had been taken out of the list."""
    few = choose_kernels(["kahan", "padding-one-more"])
    monkeypatch.setattr(selftest, "KERNELS", few)
    monkeypatch.setattr(selftest, "SHAPES", 2)
    done = cli("selftest", "--shapes", 2)
    assert done.code == 1
    assert "5,000 bugs that the required rates are stated for, so it does not pass" in done.err
    assert "NOT MET: 0 false alarms in 6 correct runs; 6 of 6 bugs found (100 %)" in done.err
    assert cli("selftest", "--shapes", 1).code == 0


def test_nothing_judged_is_exit_3(cli: Cli) -> None:
    done = cli("selftest", "--shape", "n1c3h8w8k2r5s5", "--backend", "winograd-f2")
    assert done.code == 3
    assert "NOTHING JUDGED" in done.err
    assert cli("selftest", "--shape", SMALL, "--backend", "groups-shifted").code == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--shapes", "3", "--suite", "quick"),
            "--suite cannot be combined with --shapes, which takes --backend, --dtype",
        ),
        (
            ("--shape", SMALL, "--pass", "dgrad", "--match", "x"),
            "--match, --pass cannot be combined with --shape, which takes",
        ),
        (("--plugin", "x.py"), "No such option: --plugin"),
        (("--backend", "torch"), "unknown kernel 'torch'"),
        (("--shapes", "3", "--dtype", "fp64"), "unknown dtype 'fp64'"),
        (("--shapes", "3", "--shape", SMALL), "not both"),
        (("--shapes", "3", "--layout", "nchw"), "random shapes draw a layout each"),
        (("--shape", "n64c64h56w56k64r3s3_pd1"), "try a smaller shape"),
        (("--threads", "1,2"), "value for --threads 1,2"),
        (("--csv", "no/such/folder/x.csv"), "there is no folder no/such/folder"),
    ],
)
def test_what_the_self_test_does_not_take_is_exit_2_in_one_line(words: tuple[str, ...], said: str, cli: Cli) -> None:
    done = cli("selftest", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_the_old_option_answers_with_the_command(cli: Cli) -> None:
    done = cli("verify", "--self-test", "--shapes", "3", "--threads", "1")
    assert done.code == 2
    assert done.err == "convbench: this is a command of its own now: convbench selftest --shapes 3 --threads 1\n"


@pytest.mark.parametrize("words", [NARROW, ("--shapes", "1", "--backend", "kahan", "--dtype", "fp32")])
def test_a_file_or_link_that_appears_while_it_runs_is_left_as_it_is(
    words: tuple[str, ...], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = tmp_path / "runs.csv", tmp_path / "elsewhere"
    monkeypatch.setattr("convbench.cli.selftest.check_outputs", lambda *_, **__: path.symlink_to(elsewhere))
    done = cli("selftest", *words, "--csv", path)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "appeared during the run and was left as it is" in done.err
    assert not elsewhere.exists()


def test_operands_in_float64_lie_as_the_case_has_them() -> None:
    for layout in ("nchw", "nhwc", "strided"):
        exam = prepare_exam(make_case(SMALL, layout=layout))
        x, _ = SharedCase(exam)._operands64
        assert x.dtype == torch.float64
        assert x.stride() == lay_out(exam.x, layout).stride()


def test_the_tables_fit_80_columns_and_show_every_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    from convbench.show.selftest import selftest_tables

    judged = [one for found in measure([make_case(ASKEW), make_case(SMALL, dtype="bf16")]) for one in found]
    for width in (80, 120):
        console = Console(width=width, file=StringIO(), force_terminal=False)
        for part in selftest_tables(judged, width=width):
            console.print(part)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in text
        for one in judged:
            assert f" {one.kernel} " in text
        assert ("assert_close" in text.split("bugs found, %")[1]) is (width == 120)
