"""Tables as a person sees them, at 80 and 120 columns."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from convbench import Case, Failed, Problem, Result, Skipped, Timed, Verified, Wrong
from convbench.ceilings.roofline import IMPOSSIBLE, TRANSFORM
from convbench.outcome import Bill, Check, Noise, Outcome, PairedRatio, Roofline
from convbench.show.ceilings import age, ceiling_table
from convbench.show.results import remark_lines
from convbench.show.tables import (
    LEGEND,
    answer,
    bench_table,
    doubt_lines,
    dtype_lines,
    fault_lines,
    layers_title,
    memory_line,
    mode_lines,
    noise_line,
    ratio_words,
    shrunk,
    skip_lines,
    standing_table,
    suite_title,
    table_title,
    verify_table,
)
from convbench.show.units import amount, seconds, share
from convbench.spec import ConvSpec
from tests.conftest import make_case
from tests.snapshots import assert_golden

FINE = Check(worst_of_bound=0.034, relative_l2=2e-7)
BAD = Check(worst_of_bound=12.3, relative_l2=0.1, evidence="3 of 9 outputs wrong, in the last output column (q=2)")
BILL = Bill(prepare_s=1e-5, first_call_s=0.0123, peak_nbytes=8_028_160, ran="aten::im2col; aten::bmm")


def problem(name: str, shape: str) -> Problem:
    return Problem(suite="quick", name=name, spec=ConvSpec.parse(shape))


DENSE = Case(problem=problem("dense3x3_early", "n1c64h56w56k64r3s3_pd1"))
GROUPED = Case(problem=problem("grouped", "n1c128h56w56k128r3s3_st2x1_pd1_dl1x2_g32"), dtype="bf16", layout="nhwc")


def timed(seconds_: float, ratio: float | None = None, verdict: str = "") -> Timed:
    compared = ratio and PairedRatio(ratio=ratio, low=ratio * 0.97, high=ratio * 1.02, verdict=verdict)
    return Timed(check=FINE, samples_s=(seconds_,) * 12, bill=BILL, comparison=compared or None)


def below(timed: Timed, roof_s: float, bound: str, flag: str = "", launch_s: float | None = None) -> Timed:
    roof = Roofline(time_s=roof_s, bound=bound, flops_per_s=2e11, bytes_per_s=1e11, probe="fma", launch_s=launch_s)
    return replace(timed, roofline=roof, flag=flag)


def results(*rows: tuple[Case, str, Outcome]) -> list[Result]:
    return [Result(case=case, backend=backend, family="", outcome=outcome) for case, backend, outcome in rows]


BENCH = results(
    (DENSE, "torch", below(timed(1.19e-3), 1.11e-3, "compute")),
    (DENSE, "onednn", timed(1.18e-3, 1.01, "tie")),
    (DENSE, "unfold-einsum", below(timed(3.77e-3, 0.32, "slower"), 1.11e-3, "memory")),
    (DENSE, "my-very-long-backend-name", below(timed(3.4e-4, 3.5, "faster"), 1.11e-3, "compute", TRANSFORM)),
    (DENSE, "too-good", below(timed(8e-4, 1.49, "faster"), 1.11e-3, "compute", IMPOSSIBLE)),
    (DENSE, "wrong-one", Wrong(BAD)),
    (DENSE, "failing-one", Failed("out of memory: tried to allocate 80 GiB")),
    (DENSE, "naive-loops", Skipped("115,605,504 multiply-adds would take about 29 s per call")),
    (GROUPED, "torch", below(timed(2.5e-6), 2.4e-9, "launch", launch_s=6e-7)),
    (GROUPED, "onednn", timed(2.6e-6, 0.98, "undecided")),
    (GROUPED, "naive-loops", Skipped("2,709,504 multiply-adds would take about 1 s per call")),
)
VERIFY = results(
    (DENSE, "torch", Verified(FINE)),
    (DENSE, "unfold-einsum", Verified(FINE)),
    (DENSE, "wrong-one", Wrong(BAD)),
    (DENSE, "failing-one", Failed("ValueError: no")),
    (DENSE, "cudnn", Skipped("cudnn runs on cuda, not on cpu")),
    (GROUPED, "torch", Verified(Check(worst_of_bound=1, relative_l2=2e-3))),
)


def drawn(width: int, *parts: RenderableType) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, force_terminal=True, highlight=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_bench_table_looks_as_it_did(width: int) -> None:
    text = drawn(width, bench_table("quick", BENCH, width=width))
    assert max(map(len, text.splitlines())) <= width
    assert_golden(f"bench_{width}", text)


@pytest.mark.parametrize("width", [80, 120])
def test_percentiles_are_beside_the_median_on_request(width: int) -> None:
    spread = replace(timed(1e-3), samples_s=tuple(1e-3 * (1 + n / 100) for n in range(101)))
    text = drawn(width, bench_table("quick", results((DENSE, "torch", spread)), width=width, percentiles=True))
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"time +p95 +p99 +max ", text)
    assert re.search(r"torch +1.50 ms +1.95 ms +1.99 ms +2.00 ms ", text)
    assert "p95" not in drawn(width, bench_table("quick", BENCH, width=width))


def test_without_ceilings_nothing_is_said_of_the_roof() -> None:
    bare = results((DENSE, "torch", timed(1.19e-3)))
    assert "peak:" not in drawn(80, bench_table("quick", bare, width=80))


@pytest.mark.parametrize("width", [80, 120])
def test_the_ceilings_look_as_they_did(width: int) -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    rows: list[list[str | float | None]] = [
        ["operations", None, "llvm fma 512-bit", 2.252e11, "yes", "2026-11-22T11:00:00+00:00", ""],
        ["operations", None, "torch.mm 1024", 1.477e11, "", "2026-11-20T11:00:00+00:00", ""],
        ["operations", None, "numpy matmul 1024", None, "", "", "ImportError: no such library"],
        ["L1", 65536, "llvm triad", 4.67e11, "yes", "2026-11-22T11:59:30+00:00", ""],
        ["memory", None, "llvm copy past the cache", 4.58e10, "yes", "not a time", ""],
        ["call", None, "F.conv2d 1x1x1x1", 3.6e5, "yes", "2026-11-22T11:50:00+00:00", ""],
    ]
    text = drawn(width, ceiling_table("cpu fp32 ieee  (a CPU, 2 threads)", rows, now=now))
    assert max(map(len, text.splitlines())) <= width
    assert_golden(f"ceilings_{width}", text)
    assert age("2026-11-20T11:00:00+00:00", now) == "2 d"


@pytest.mark.parametrize("width", [80, 120])
def test_the_verify_table_looks_as_it_did(width: int) -> None:
    text = drawn(width, verify_table(VERIFY, width=width))
    assert max(map(len, text.splitlines())) <= width
    assert_golden(f"verify_{width}", text)


@pytest.mark.parametrize("width", [80, 120])
def test_the_standings_look_as_they_did(width: int) -> None:
    grouped = Case(problem=problem("grouped", "n1c128h56w56k128r3s3_g32"))
    rows = BENCH[:8] + results((grouped, "torch", timed(2e-3)), (grouped, "onednn", timed(3e-3, 0.67, "slower")))
    table = standing_table(rows)
    assert table is not None
    assert_golden(f"standing_{width}", drawn(width, table))
    assert standing_table(BENCH[:8]) is None  # one case: the table above says it all


def whole(*ratios: tuple[float, str], medians: tuple[float, float] = (2e-3, 1e-3)) -> list[Result]:
    """Torch and onednn over so many layers."""
    rows: list[Result] = []
    for number, (ratio, verdict) in enumerate(ratios):
        case = Case(problem=problem(f"layer{number}", "n1c8h9w9k8r3s3"))
        rows += results((case, "torch", timed(medians[0])), (case, "onednn", timed(medians[1], ratio, verdict)))
    return rows


def compared(ratio: float, low: float, high: float, verdict: str = "faster") -> PairedRatio:
    return PairedRatio(ratio=ratio, low=low, high=high, verdict=verdict)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (compared(1.014, 1.003, 1.021), "1.01x (1.003-1.02)"),
        (compared(0.952, 0.834, 0.99996, "slower"), "0.95x (0.83-0.99996)"),
        (compared(1.004, 1.002, 1.006, "undecided"), "1.004x (1.002-1.01)"),
        (compared(1.0, 0.996, 1.004, "tie"), "1.00x (1.00-1.00)"),
        (compared(0.00058, 0.00051, 0.0049, "slower"), "0.0006x (0.0005-0.005)"),
        (compared(1852.3, 23.46, 2000, "faster"), "1,852x (23.5-2,000)"),
        (compared(0.5, 0.0, inf, "undecided"), "0.50x"),
    ],
)
def test_an_interval_that_excludes_1_never_shows_1_and_no_ratio_is_0(found: PairedRatio, expected: str) -> None:
    assert ratio_words(found) == expected


@given(low=st.floats(1, 10, exclude_min=True), factor=st.floats(1, 10))
def test_the_printed_ends_of_a_decided_ratio_stay_on_their_side_of_1(low: float, factor: float) -> None:
    middle, high = low * sqrt(factor), low * factor
    faster = ratio_words(compared(middle, low, high))
    assert all(float(part.replace(",", "")) > 1 for part in re.findall(r"[\d.,]+", faster))
    slower = ratio_words(compared(1 / middle, 1 / high, 1 / low, "slower"))
    assert all(0 < float(part) < 1 for part in re.findall(r"[\d.]+", slower) if 1 / low < 1)


def test_a_verdict_that_the_medians_contradict_is_marked_and_explained() -> None:
    rows = results(
        (DENSE, "torch", timed(1e-3)),
        (DENSE, "onednn", timed(1.1e-3, 1.06, "faster")),
        (DENSE, "mine", timed(0.9e-3, 0.9, "slower")),
        (DENSE, "fine", timed(0.9e-3, 1.1, "faster")),
        (DENSE, "near", timed(1.1e-3, 1.0, "tie")),
    )
    text = drawn(80, bench_table("quick", rows, width=80))
    verdicts = {line.split()[0]: line.split()[-1] for line in text.splitlines()[3:8]}
    assert verdicts == {"torch": "baseline", "onednn": "faster*", "mine": "slower*", "fine": "faster", "near": "tie"}
    assert "* the medians say otherwise; the verdict comes from the rounds in which both ran" in text
    assert "the medians say otherwise" not in drawn(80, bench_table("quick", rows[:1] + rows[3:], width=80))


def test_a_row_with_too_few_clean_samples_is_undecided_and_nothing_else() -> None:
    row = replace(timed(88e-3, 0.0006, "undecided"), noise=Noise(noisy=True))
    rows = results((DENSE, "torch", timed(5e-5)), (DENSE, "naive-loops", row))
    text = drawn(80, bench_table("quick", rows, width=80))
    assert "undecided" in text
    assert "noisy" not in text
    assert "0.0006x" in text
    assert "~88.0 ms" in text
    assert "~ too few clean samples, so disturbed ones were used: a time not to be trusted" in text
    assert "~" not in drawn(80, bench_table("quick", rows[:1], width=80))
    assert noise_line(rows).startswith("1 of 2 timed rows had too few clean samples, so disturbed ones were used (run")


def test_a_row_on_a_suspect_machine_or_a_shared_gpu_is_marked_and_counted() -> None:
    sick = replace(timed(88e-3), noise=Noise(suspect="its canaries are slow", contended=3))
    shared = replace(timed(44e-3), noise=Noise(contended=1, noisy=True))
    rows = results((DENSE, "torch", timed(5e-5)), (DENSE, "mine", sick), (DENSE, "other", shared))
    text = drawn(120, bench_table("quick", rows, width=120))
    assert " ?88.0 ms" in text
    assert " ~?44.0 ms" in text
    assert "? 1 row timed on a suspect machine (its canaries are slow): trust ratios, not times" in text
    assert "? 1 row timed on a GPU in use by other processes: trust ratios, not times" in text
    assert remark_lines(rows)[-2:] == doubt_lines(rows)
    assert "?" not in drawn(120, bench_table("quick", rows[:1], width=120))


def test_the_peak_of_a_launch_bound_row_is_the_launch() -> None:
    def shown(launch_s: float | None) -> str:
        row = below(timed(6e-6), 1e-9, "launch", launch_s=launch_s)
        return drawn(100, bench_table("quick", results((DENSE, "torch", row)), width=100)).splitlines()[3]

    assert " 10 % l " in shown(6e-7)
    assert "% l" not in shown(None)  # an older file does not say how long the launch takes
    assert " l " in shown(None)


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("ratio", [None, 0.0006, 12345.0])
@pytest.mark.parametrize("name", ["t", "naive-loops", "a" * 24])
def test_nothing_is_cut_in_a_table_of_one_row(width: int, ratio: float | None, name: str) -> None:
    text = drawn(width, bench_table("quick", results((DENSE, name, timed(88e-3, ratio, "undecided"))), width=width))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_problem_that_was_named_heads_its_table_and_not_the_suite_that_it_is_from() -> None:
    assert suite_title(BENCH[:8]) == "dense3x3_early"
    assert suite_title(BENCH) == "quick"
    assert (table_title(BENCH), table_title(BENCH[:8])) == ("suite quick", "from suite quick")
    typed = [replace(one, case=replace(one.case, problem=replace(one.case.problem, suite="shape"))) for one in BENCH]
    assert (table_title(typed), table_title(typed[:8])) == ("given shapes", "given shape")


def test_what_is_summed_and_counted_is_named() -> None:
    rows = whole((2.0, "faster"), (2.0, "faster"))
    rows += results((rows[0].case, "mine", replace(timed(1e-4, 2.0, "undecided"), noise=Noise(noisy=True))))
    assert layers_title(rows) == "2 of 12 layers of quick"
    table = standing_table(rows)
    assert table is not None
    assert "1 of these 5 rows had too few clean samples, but count in the totals" in drawn(120, table)
    typed = [replace(one, case=replace(one.case, problem=replace(one.case.problem, suite="shape"))) for one in rows]
    assert layers_title(typed) == "all given shapes"


def test_a_suite_of_undecided_rows_has_no_ranking_and_says_what_to_do() -> None:
    rows = whole((2.0, "undecided"), (2.0, "undecided"), (2.0, "faster"))
    words = (
        "no ranking: 2 of the 3 rows compared with torch are undecided; run convbench doctor to see what disturbs "
        "this machine, raise --budget, or use --wait-until-quiet"
    )
    assert answer(rows) == words
    table = standing_table(rows)
    assert table is not None
    text = drawn(120, table)
    assert "2.00" not in text.replace("2.00 ms", "")  # no geomean, no regret
    assert " % " not in text
    assert text.index(" torch ") < text.index(" onednn ")


def test_where_medians_and_ratios_disagree_the_sentence_says_tie() -> None:
    assert answer(whole((1.1, "faster"), (1.1, "faster"))).startswith(
        "Fastest overall, by regret: onednn (0.0 %), then torch (10.0 %); totals 2.00 ms and 4.00 ms for 2 of 12"
    )
    against = answer(whole((1.1, "faster"), (1.1, "faster"), medians=(1e-3, 1.05e-3)))
    assert "by regret: a tie of onednn (0.0 %) and torch (10.0 %); totals 2.10 ms and 2.00 ms" in against
    assert against.endswith("beats torch on 2 of 2 cases. Use either everywhere: choosing per layer gains nothing.")
    assert "a tie of onednn" in answer(whole((1.01, "tie"), (1.01, "tie")))


def test_a_mean_of_some_cases_does_not_stand_next_to_those_of_all() -> None:
    rows = whole((2.0, "faster"), (2.0, "faster"))
    rows += results((rows[0].case, "winograd", timed(1e-4, 20.0, "faster")))
    table = standing_table(rows)
    assert table is not None
    lines = drawn(80, table).splitlines()
    assert next(line for line in lines if line.startswith(" winograd")).split() == ["winograd", "1", "of", "2"]
    assert f"{LEGEND}; '1 of 2': timed on 1 of 2 cases, so not ranked" in " ".join(lines)


def test_without_torch_there_is_no_ranking() -> None:
    rows = [one for one in whole((2.0, "faster"), (2.0, "faster")) if one.backend != "torch"]
    others = [replace(one, backend="other") for one in rows]
    assert answer(rows + others) == "no ranking: it needs torch, and a ratio to it, for all of these layers"


def test_faults_are_told_in_three_lines() -> None:
    assert fault_lines(VERIFY[2], "convbench verify ...") == [
        "WRONG wrong-one on dense3x3_early (n1c64h56w56k64r3s3_pd1; cpu fp32 nchw ieee)",
        "  3 of 9 outputs wrong, in the last output column (q=2)",
        "  convbench verify ...",
    ]
    known = replace(BAD, cause="tap (0,2) is missing in the last output column (q=2)", smallest="n1c1h1w2k1r1s2")
    (result,) = results((DENSE, "wrong-one", Wrong(known)))
    assert fault_lines(result, "convbench verify ...", "convbench verify -")[1:] == [
        "  tap (0,2) is missing in the last output column (q=2)",
        "  3 of 9 outputs wrong, in the last output column (q=2)",
        "  convbench verify ...",
        "  smallest: convbench verify -",
    ]
    smaller = shrunk(result)
    assert smaller is not None
    assert str(smaller.case.spec) == "n1c1h1w2k1r1s2"
    assert shrunk(VERIFY[2]) is None
    assert fault_lines(VERIFY[3], "again")[0].startswith("FAILED failing-one")
    assert fault_lines(VERIFY[0], "again") == []


def test_a_fault_whose_search_was_cut_says_so() -> None:
    def lines(check: Check, smallest: str = "") -> list[str]:
        (result,) = results((DENSE, "wrong-one", Wrong(check)))
        return fault_lines(result, "again", smallest)

    cut = replace(BAD, cause_cut=1234, smallest="n1c1h1w2k1r1s2", smallest_cut=60)
    assert lines(cut, "convbench verify -")[1:] == [
        "  no cause found (search cut after 1,234 experiments)",
        "  3 of 9 outputs wrong, in the last output column (q=2)",
        "  again",
        "  smallest so far (search cut after 60 tries): convbench verify -",
    ]
    assert lines(replace(cut, smallest=""))[-1] == "  no smaller problem so far (search cut after 60 tries)"
    assert lines(replace(cut, cause_cut=None))[1] == "  no cause found"
    assert lines(replace(BAD, cause_cut=0))[1].endswith("; the command below diagnoses it")
    assert lines(replace(cut, cause="tap (0,2) is missing", cause_cut=None))[1] == "  tap (0,2) is missing"


def test_skips_that_differ_in_numbers_alone_are_told_once() -> None:
    words = "115,605,504 multiply-adds would take about 29 s per call"
    assert skip_lines(BENCH) == [f"naive-loops skipped 2 cases, e.g. dense3x3_early: {words}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (seconds(1.234), "1.23 s"),
        (seconds(9.87e-3), "9.87 ms"),
        (seconds(45.6e-6), "45.6 us"),
        (seconds(789e-9), "789 ns"),
        (seconds(0.0), "0.00 ns"),
        (amount(8_028_160, "B"), "8.03 MB"),
        (amount(180, "B"), "180 B"),
        (share(0.034), "3 %"),
        (share(0.0001), "<1 %"),
        (share(0.0), "0 %"),
        (share(1.0), "100 %"),
        (share(12.34), "x12.3"),
        (share(float("inf")), "xinf"),
    ],
)
def test_numbers_are_scaled_for_reading(text: str, expected: str) -> None:
    assert text == expected


def test_a_pass_that_is_not_fprop_is_told_in_every_table() -> None:
    wgrad, relu = replace(DENSE, pass_="wgrad"), replace(DENSE, epilogue="bias_relu")
    rows = results((wgrad, "torch", timed(1e-3)), (wgrad, "onednn", timed(2e-3, 0.5, "slower")))
    alone = drawn(80, bench_table("quick", rows, width=80))
    assert alone.splitlines()[0] == "quick  wgrad"
    both = drawn(80, bench_table("quick", rows + results((relu, "torch", timed(1e-3))), width=80))
    assert "cpu fp32 nchw ieee wgrad" in both
    assert "cpu fp32 nchw ieee bias_relu" in both
    other = Case(problem=problem("grouped", "n1c128h56w56k128r3s3_g32"), pass_="wgrad")
    more = results((other, "torch", timed(2e-3)), (other, "onednn", timed(3e-3, 0.67, "slower")))
    standing = standing_table(
        rows + more + [replace(one, case=replace(one.case, pass_="dgrad")) for one in rows + more]
    )
    assert standing is not None
    assert "cpu fp32 nchw ieee dgrad" in drawn(80, standing)
    verified = drawn(
        80, verify_table(results((wgrad, "torch", Verified(FINE)), (relu, "torch", Verified(FINE))), width=80)
    )
    assert "cpu fp32 wgrad" in verified
    assert "cpu fp32 bias_relu" in verified
    assert fault_lines(results((wgrad, "torch", Wrong(BAD)))[0], "")[0].endswith("cpu fp32 nchw ieee wgrad)")


def slowed(mapped_s: float | None, *samples_s: float) -> Result:
    (result,) = results((DENSE, "torch", Timed(check=FINE, samples_s=samples_s, bill=replace(BILL, mapped_s=mapped_s))))
    return result


def test_samples_in_two_heaps_are_told_and_others_are_not() -> None:
    (line,) = mode_lines([slowed(None, *[4.6e-4] * 12, *[8.9e-4] * 6), slowed(None, *[4.6e-4] * 18)])
    assert line.startswith("bimodal timings: torch on ")
    assert line.endswith("460 us (67 % of the samples) and 890 us (33 %)")


def test_who_pays_for_memory_that_is_mapped_anew_is_told() -> None:
    words = "1 row takes more than 1.1x as long: torch on dense3x3_early 9.00x"
    line = memory_line([slowed(9e-3, 1e-3), slowed(None, 1e-3)])
    assert line == f"timings reuse buffers; with freshly allocated ones {words}"
    dearest = [replace(slowed(1e-3 * times, 1e-3), backend=f"{times}x") for times in (3, 6, 5, 4)]
    words = "4 rows take more than 1.1x as long; the worst are 6x on dense3x3_early 6.00x, 5x on"
    assert words in memory_line(dearest)
    assert memory_line([slowed(1.05e-3, 1e-3)]) == ""
    assert memory_line([slowed(None, 1e-3)]) == ""


def test_rows_of_several_numbers_of_threads_are_apart_and_say_so() -> None:
    cases = [DENSE, Case(problem=problem("late", "n1c8h8w8k8r3s3"))]
    rows = [
        replace(one, threads=threads)
        for threads, torch_s in ((1, 4e-3), (4, 1e-3))
        for case in cases
        for one in results((case, "torch", timed(torch_s)), (case, "mine", timed(2 * torch_s, 0.5, "slower")))
    ]
    text = drawn(120, bench_table("quick", rows, width=120))
    assert text.count("dense3x3_early") == 2
    assert text.count("cpu 1 thread fp32 nchw ieee") == text.count("cpu 4 threads fp32 nchw ieee") == 2
    standing = standing_table(rows)
    assert standing is not None
    text = drawn(120, standing)
    assert "cpu 4 threads fp32 nchw ieee: Fastest overall, by regret: torch" in text.replace("\n", " ")
    for name, totals in (("torch", ["8.00 ms", "2.00 ms"]), ("mine", ["16.0 ms", "4.00 ms"])):
        lines = [line.split() for line in text.splitlines() if line.split()[:1] == [name] and " ms" in line]
        assert [" ".join(line[1:3]) for line in lines if line[2] == "ms"] == totals
    right = [replace(one, threads=threads) for threads in (1, 4) for one in results((DENSE, "torch", Verified(FINE)))]
    assert "cpu 4 threads fp32" in drawn(120, verify_table(right, width=120))
    assert "threads" not in drawn(120, verify_table(right[:1], width=120))
    assert "threads" not in drawn(120, bench_table("quick", rows[:4], width=120))


def test_a_dtype_in_which_a_backend_only_raises_comes_with_advice() -> None:
    def result(dtype: str, outcome: Outcome) -> Result:
        return Result(case=make_case("n1c1h4w4k1r2s2", dtype=dtype), backend="mine", family="direct", outcome=outcome)

    fine = Verified(Check(worst_of_bound=0.1, relative_l2=0.0))
    raised, hung = Failed("TypeError: fp32 only"), Failed("hung: no answer within 3 s")
    (line,) = dtype_lines([result("fp32", fine), result("bf16", raised), result("bf16", Skipped("large"))])
    assert line.startswith("mine raises in every case of bf16. ")
    assert "Unsupported" in line
    assert "@backend(dtypes={'fp32'})" in line
    assert not dtype_lines([result("fp32", fine), result("bf16", raised), result("bf16", fine)])
    assert not dtype_lines([result("fp32", fine), result("bf16", hung)])
    assert not dtype_lines([result("bf16", raised)])
