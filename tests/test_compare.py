"""Two files of results: what matches, what is a regression, and how sure that is."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import exp, inf
from pathlib import Path

import pytest

from convbench import Case, ConvbenchError, Failed, Problem, Result, Skipped, Timed, Verified, Wrong
from convbench.bench.shift import Shift
from convbench.compare import Changes, Gate, by_kind, compare_files, compare_pairs
from convbench.machine import Machine
from convbench.outcome import Bill, Check, Noise, Outcome
from convbench.rows import Context, to_row
from convbench.spec import ConvSpec
from convbench.store import CsvFile, read_pairs

FINE = Check(worst_of_bound=0.1, relative_l2=1e-7)
BAD = Check(worst_of_bound=9.0, relative_l2=1.0, evidence="3 of 9 outputs wrong")
BILL = Bill(prepare_s=None, first_call_s=0.1)
MACHINE = Machine(
    machine="ci", cpu="CPU, 2 cores", gpu="", driver="", python="3.11.7", torch="2.14.0", cuda="", cudnn="",
    onednn="3.13", convbench="0.1.0", commit="abc",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"


def case(name: str = "first", **axes: object) -> Case:
    spec = ConvSpec.parse("n1c64h56w56k64r3s3_pd1")
    return Case(problem=Problem(suite="quick", name=name, spec=spec), **axes)  # type: ignore[arg-type]


def timed(samples: Iterable[float]) -> Timed:
    return Timed(check=FINE, samples_s=tuple(samples), bill=BILL)


def noisy(seed: object, median_s: float = 1e-3, rounds: int = 100, spread: float = 0.01) -> Timed:
    rng = random.Random(str(seed))
    return timed(median_s * rng.lognormvariate(0, spread) for _ in range(rounds))


Row = tuple[Case, str, Outcome]


def write(path: Path, rows: Sequence[Row], machine: Machine = MACHINE, threads: int = 2, mode: str = "w") -> Path:
    with CsvFile(str(path), overwrite=True) as file:
        for one, backend, outcome in rows:
            result = Result(case=one, backend=backend, family="vendor", outcome=outcome)
            file.append(to_row(result, Context(machine=machine, threads=threads, command="convbench bench")))
    return path


Found = Callable[..., Changes]  # rows of two files, as they are compared


@pytest.fixture
def changes(tmp_path: Path) -> Found:
    def found(old: Sequence[Row], new: Sequence[Row], gate: Gate | None = None, **options: object) -> Changes:
        gate = gate or Gate(allowance=0.05)
        paths = write(tmp_path / "old.csv", old), write(tmp_path / "new.csv", new)
        return compare_files(*paths, gate=gate, **options)  # type: ignore[arg-type]

    return found


@pytest.mark.parametrize(
    ("interval", "verdict", "state"),
    [
        ((1.02, 1.10), "faster", "ok"),
        ((0.99, 1.01), "same", "ok"),
        ((0.99, 1.05), "undecided", "ok"),  # same or faster: no reason to stop a release
        ((0.96, 0.97), "slower", "ok"),  # within the allowance
        ((0.94, 0.97), "slower", "undecided"),
        ((0.90, 0.95), "slower", "regression"),
        ((0.0, inf), "undecided", "undecided"),
    ],
)
def test_an_interval_is_judged_as_a_whole(interval: tuple[float, float], verdict: str, state: str) -> None:
    gate, found = Gate(margin=0.015, allowance=0.05), Shift(ratio=1.0, low=interval[0], high=interval[1])
    assert (gate.verdict(found), gate.state(found)) == (verdict, state)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.stem)
def test_a_file_against_itself_is_the_same_in_every_row(path: Path) -> None:
    found = compare_files(path, path, gate=Gate())
    assert found.state == "ok"
    assert {row.verdict for row in found.rows} == {"same"}
    assert {(row.judged.low, row.judged.high) for row in found.rows} == {(1.0, 1.0)}
    assert not found.drifted
    assert found.machine == found.versions == ()


def test_a_regression_is_found_and_the_others_are_left_in_peace(changes: Found) -> None:
    names = ("torch", "onednn", "unfold-matmul")
    old = [(case(), name, noisy(("old", name))) for name in names]
    new = [(case(), name, noisy(("new", name), 1.12e-3 if name == "onednn" else 1e-3)) for name in names]
    found = changes(old, new)
    assert found.state == "regression"
    assert [row.state for row in found.rows] == ["ok", "regression", "ok"]
    slow = found.rows[1]
    assert slow.verdict == "slower"
    assert slow.judged.low < 1 / 1.12 < slow.judged.high
    assert [one.backend for one in found.wholes] == list(names)
    assert not found.drifted


def test_a_row_matches_by_every_axis_and_the_rest_is_named(changes: Found) -> None:
    old = [(case(), "torch", noisy(1)), (case(dtype="bf16"), "torch", noisy(2)), (case("second"), "torch", noisy(3))]
    new = [(case(), "torch", noisy(4)), (case(layout="nhwc"), "torch", noisy(5)), (case(), "onednn", noisy(6))]
    found = changes(old, new)
    assert [(row.key.case.dtype, row.key.case.layout) for row in found.rows] == [("fp32", "nchw")]
    assert [(one.key.name, one.key.case.dtype, one.before, one.after) for one in found.apart] == [
        ("first", "bf16", "timed", ""),
        ("second", "fp32", "timed", ""),
        ("first", "fp32", "", "timed"),
        ("first", "fp32", "", "timed"),
    ]
    assert found.state == "ok"


def test_other_random_numbers_are_compared_and_other_kinds_of_them_are_not(changes: Found) -> None:
    huge = replace(case(), problem=replace(case().problem, operands="huge"))
    found = changes([(case(seed=1), "torch", noisy(1))], [(case(seed=2), "torch", noisy(2)), (huge, "torch", noisy(3))])
    assert [row.key.case.seed for row in found.rows] == [0]
    assert [one.key.case.operands for one in found.apart] == ["huge"]


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        (noisy(1), Wrong(BAD), "regression"),
        (noisy(1), Failed("out of memory"), "regression"),
        (Verified(FINE), Wrong(BAD), "regression"),
        (Skipped("no cuDNN"), Failed("out of memory"), "regression"),
        (Wrong(BAD), Wrong(BAD), "nothing"),
        (Wrong(BAD), noisy(1), "nothing"),
        (noisy(1), Skipped("too large"), "nothing"),
        (Verified(FINE), Verified(FINE), "ok"),
    ],
)
def test_what_becomes_of_an_outcome(changes: Found, old: Outcome, new: Outcome, state: str) -> None:
    found = changes([(case(), "torch", old)], [(case(), "torch", new)])
    assert found.state == state
    assert len(found.apart) == (state != "ok")


def test_a_wrong_row_beats_an_undecided_one_and_that_a_right_one(changes: Found) -> None:
    few, right = noisy(1, rounds=2), noisy(2)
    assert changes(
        [(case(), "a", few), (case(), "b", right)], [(case(), "a", noisy(3)), (case(), "b", right)]
    ).state == ("undecided")
    assert changes(
        [(case(), "a", few), (case(), "b", right)], [(case(), "a", right), (case(), "b", Wrong(BAD))]
    ).state == ("regression")
    assert changes([], [(case(), "a", right)]).state == "nothing"


def test_drift_of_the_machine_cancels_in_ratios_to_torch(changes: Found) -> None:
    def run(seed: int, drift: float, own: float) -> list[Row]:
        rng = random.Random(seed)
        speed = [drift * exp(rng.gauss(0, 0.02)) for _ in range(120)]
        return [
            (case(), "torch", timed(1e-3 * one * rng.lognormvariate(0, 0.003) for one in speed)),
            (case(), "onednn", timed(own * one * rng.lognormvariate(0, 0.003) for one in speed[:60])),  # left early
        ]

    found = changes(run(1, 1.0, 2e-3), run(2, 1.2, 2e-3))
    assert found.drifted
    assert [row.state for row in found.rows] == ["undecided", "undecided"]  # nobody can tell torch from the machine
    relative = Gate(allowance=0.05, relative=True)
    found = changes(run(1, 1.0, 2e-3), run(2, 1.2, 2e-3), relative)
    assert [(row.key.backend, row.verdict, row.state) for row in found.rows] == [("onednn", "same", "ok")]
    assert found.drifted  # said all the same
    found = changes(run(1, 1.0, 2e-3), run(2, 1.2, 2.2e-3), relative)
    assert [(row.verdict, row.state) for row in found.rows] == [("slower", "regression")]
    assert found.rows[0].judged.ratio == pytest.approx(1 / 1.1, rel=0.01)


@pytest.mark.parametrize(
    ("torch", "own", "verdict", "state"),
    [
        (0.5, 0.575, "undecided", "undecided"),  # a machine twice as fast, of which a kernel of another kind got less
        (2.0, 1.7, "undecided", "ok"),  # and twice as slow
        (0.5, 0.9, "slower", "regression"),  # too much less
        (2.0, 2.3, "slower", "regression"),  # its own time grew, too
        (0.99, 1.15, "slower", "regression"),
    ],
)
def test_a_machine_that_changes_torch_need_not_change_all_else_alike(
    changes: Found, torch: float, own: float, verdict: str, state: str
) -> None:
    def run(seed: int, torch: float, own: float) -> list[Row]:
        return [(case(), "torch", noisy(seed, torch)), (case(), "onednn", noisy((seed, 2), own))]

    (row,) = changes(run(1, 1e-3, 1e-3), run(2, torch * 1e-3, own * 1e-3), Gate(allowance=0.05, relative=True)).rows
    assert (row.verdict, row.state) == (verdict, state)
    assert ("torch itself became" in row.note) is (verdict == "undecided")


def test_without_torch_there_is_nothing_relative(changes: Found) -> None:
    rows = [(case(), "onednn", noisy(1))]
    found = changes(rows, [(case(), "onednn", noisy(2))], Gate(relative=True))
    assert found.state == "nothing"
    assert "torch" in found.apart[0].reason


def test_several_runs_are_pooled_and_narrow_nothing(changes: Found) -> None:
    old = [(case(), "torch", noisy(seed, 1e-3 * (1 + seed / 50))) for seed in range(4)]
    new = [(case(), "torch", noisy(seed + 9, 1e-3 * (1 + seed / 50))) for seed in range(4)]
    found = changes(old, new)
    assert len(found.rows) == 1
    assert "pooled: 4 and 4" in found.rows[0].note
    one = changes(old[:1], new[:1])
    width = {name: rows[0].judged.high / rows[0].judged.low for name, rows in (("4", found.rows), ("1", one.rows))}
    assert width["4"] > width["1"]  # runs differ, and that shows
    many = [(case(), "torch", noisy(seed)) for seed in range(40)]
    assert changes(many, [(case(), "torch", noisy(seed + 99)) for seed in range(40)]).rows[0].verdict == "same"


@pytest.mark.parametrize("fact", ["machine", "cpu", "gpu"])
def test_another_machine_is_refused_by_the_name_of_the_fact(tmp_path: Path, fact: str) -> None:
    rows = [(case(), "torch", noisy(1))]
    old = write(tmp_path / "old.csv", rows)
    new = write(tmp_path / "new.csv", rows, replace(MACHINE, **{fact: "another"}))
    with pytest.raises(ConvbenchError, match=f"{fact} .*-> another.*--across"):
        compare_files(old, new, gate=Gate())
    found = compare_files(old, new, gate=Gate(), across=True)
    assert [one.name for one in found.machine] == [fact]
    assert len(found.rows) == 1


def test_other_threads_are_another_machine(tmp_path: Path) -> None:
    rows = [(case(), "torch", noisy(1))]
    paths = [write(tmp_path / f"{count}.csv", rows, threads=count) for count in (2, 4)]
    with pytest.raises(ConvbenchError, match="threads 2 -> 4"):
        compare_files(*paths, gate=Gate())
    assert len(compare_files(*paths, gate=Gate(), across=True).rows) == 1


def test_rows_of_several_numbers_of_threads_are_compared_each_with_its_own(tmp_path: Path) -> None:
    files = []
    for side, slow in (("old", 1.0), ("new", 1.5)):
        few = write(tmp_path / f"{side}1.csv", [(case(), "torch", noisy((side, 1)))], threads=1)
        many = write(tmp_path / f"{side}2.csv", [(case(), "torch", noisy((side, 2), slow * 5e-4))], threads=2)
        few.write_text(few.read_text() + many.read_text().partition("\n")[2])
        files.append(few)
    found = compare_files(*files, gate=Gate(allowance=0.05))
    assert found.machine == ()
    assert [(row.key.threads, row.state) for row in found.rows] == [("1", "ok"), ("2", "regression")]


def test_times_of_two_regimes_are_left_out_and_told(changes: Found) -> None:
    eager, graph, cold = noisy(1), replace(noisy(2), timing="graph"), replace(noisy(3), cache="cold")
    found = changes(
        [(case(), "torch", eager), (case(), "a", eager), (case(), "b", graph)],
        [(case(), "torch", graph), (case(), "a", eager), (case(), "b", graph)],
    )
    assert [row.key.backend for row in found.rows] == ["a", "b"]
    assert [row.to_torch for row in found.rows] == [None, None]  # torch is of another regime in one of the files
    (apart,) = found.apart
    assert (apart.key.backend, apart.regression) == ("torch", False)
    assert apart.reason == "timed eager, hot before, graph, hot after: not comparable"
    assert changes([(case(), "torch", eager)], [(case(), "torch", cold)]).state == "nothing"
    # In each file another regime than torch: the times are compared, and no ratio of the two is.
    rows = [(case(), "torch", eager), (case(), "a", graph)]
    (row, other) = changes(rows, rows).rows
    assert (row.to_torch, other.to_torch) == (None, None)


def test_two_machines_in_one_file_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.csv", [(case(), "torch", noisy(1))])
    two = write(tmp_path / "two.csv", [(case(), "torch", noisy(2))], replace(MACHINE, machine="b"))
    one.write_text(one.read_text() + two.read_text().partition("\n")[2])
    with pytest.raises(ConvbenchError, match="machine b, ci -> b, ci"):
        compare_files(one, one, gate=Gate())


def of_shards(path: Path, rows: Sequence[Row], machine: Machine) -> Path:
    with CsvFile(str(path), overwrite=True) as file:
        for one, backend, outcome in rows:
            result = Result(case=one, backend=backend, family="vendor", outcome=outcome)
            file.append({**to_row(result, Context(machine=machine, threads=2, command="")), "shard": "1/4"})
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_text(parts[0].read_text() + "".join(part.read_text().partition("\n")[2] for part in parts[1:]))
    return path


def test_shards_of_two_machines_of_a_kind_are_one_and_two_kinds_are_compared_each_with_itself(tmp_path: Path) -> None:
    def merged(name: str, *medians_s: float) -> Path:
        parts = [
            of_shards(tmp_path / f"{name}{number}.csv", rows, replace(MACHINE, machine=f"{name}{number}", cpu=cpu))
            for number, (cpu, rows) in enumerate(
                [
                    ("zen5", [(case(), "torch", noisy((name, 1), medians_s[0]))]),
                    ("zen5", [(case("second"), "torch", noisy((name, 2), medians_s[1]))]),
                    *([("grace", [(case(), "torch", noisy((name, 3), medians_s[2]))])] if len(medians_s) > 2 else []),
                ]
            )
        ]
        return joined(tmp_path / f"{name}.csv", *parts)

    one_kind = compare_files(merged("a", 1e-3, 1e-3), merged("b", 1e-3, 1e-3), gate=Gate(allowance=0.05))
    assert (one_kind.machine, one_kind.state, len(one_kind.rows)) == ((), "ok", 2)
    old, new = (read_pairs(merged(name, 1e-3, 1e-3, last)) for name, last in (("c", 1e-3), ("d", 3e-3)))
    kinds = by_kind(old, new)
    assert {kind: (len(mine), len(yours)) for kind, (mine, yours) in kinds.items()} == {"zen5": (2, 2), "grace": (1, 1)}
    states = {
        kind: compare_pairs(*sides, gate=Gate(allowance=0.05), before="c", after="d").state
        for kind, sides in kinds.items()
    }
    assert states == {"zen5": "ok", "grace": "regression"}
    alone = [pair for pair in old if pair[0]["cpu"] == "grace"]
    assert by_kind(alone, new)["zen5"] == ([], [pair for pair in new if pair[0]["cpu"] == "zen5"])
    zen5 = [pair for pair in new if pair[0]["cpu"] == "zen5"]
    with pytest.raises(ConvbenchError, match="cpu grace -> zen5"):
        compare_pairs(*by_kind(alone, zen5)[""], gate=Gate(), before="c", after="d")


def test_other_versions_are_told_and_compared(tmp_path: Path) -> None:
    old = write(tmp_path / "old.csv", [(case(), "torch", noisy(1))])
    new = write(tmp_path / "new.csv", [(case(), "torch", noisy(2))], replace(MACHINE, torch="2.15.0", driver="590"))
    found = compare_files(old, new, gate=Gate(allowance=0.05))
    assert [str(one) for one in found.versions] == ["driver unknown -> 590", "torch 2.14.0 -> 2.15.0"]
    assert found.state == "ok"


@pytest.mark.long
def test_a_run_against_another_of_the_same_is_called_different_no_oftener_than_it_says(tmp_path: Path) -> None:
    # 20 rows a comparison, at 90 % for all of them together: 60 comparisons, each its own false alarm or none.
    false = 0
    for trial in range(60):
        paths = [
            write(
                tmp_path / f"{trial}{side}.csv",
                [(case(str(i)), "torch", noisy((trial, side, i), rounds=24, spread=0.3)) for i in range(20)],
            )
            for side in "ab"
        ]
        found = compare_files(*paths, gate=Gate(confidence=0.9, margin=1e-9, allowance=1e-9))
        false += any(row.verdict in ("faster", "slower") for row in found.rows)
    assert false / 60 <= 0.1 + 3 * (0.1 * 0.9 / 60) ** 0.5


def test_the_geometric_mean_lies_within_the_bounds_of_its_rows(changes: Found) -> None:
    old = [(case(str(i)), "torch", noisy(("a", i))) for i in range(5)]
    new = [(case(str(i)), "torch", noisy(("b", i), 0.8e-3)) for i in range(5)]
    (whole,) = changes(old, new).wholes
    assert whole.rows == 5
    assert whole.factor.low < 1.25 < whole.factor.high
    few = [*new[:4], (case("4"), "torch", noisy(7, rounds=2))]
    (whole,) = changes(old, few).wholes
    assert (whole.factor.low, whole.factor.high) == (0.0, inf)


def test_relative_pairs_what_was_timed_in_one_round_though_samples_were_set_aside(changes: Found) -> None:
    """The machine becomes ten times slower midway; torch lost a sample to noise and the other did not."""
    drift = [1.0] * 50 + [10.0] * 50

    def run(seed: int, lost: int) -> list[Row]:
        rng = random.Random(seed)
        base, own = ([1e-3 * slow * rng.lognormvariate(0, 0.01) for slow in drift] for _ in range(2))
        torch = replace(timed(base[:lost] + base[lost + 1 :]), noise=Noise(set_aside=(lost,)))
        return [(case(), "torch", torch), (case(), "onednn", timed(own))]

    found = changes(run(1, 3), run(2, 30), Gate(relative=True))
    (row,) = [row for row in found.rows if row.key.backend == "onednn"]
    assert row.judged.low > 0.98
    assert row.judged.high < 1.02


def disturbed(outcome: Timed) -> Timed:
    return replace(outcome, noise=Noise(noisy=True))


def test_what_was_noisy_is_undecided_however_far_apart(changes: Found) -> None:
    quick, slow = noisy(1), noisy(2, median_s=3e-3)
    for old, new, words in (
        (disturbed(quick), slow, "undecided: too few clean samples before"),
        (quick, disturbed(slow), "undecided: too few clean samples after"),
        (disturbed(quick), disturbed(slow), "undecided: too few clean samples before and after"),
    ):
        found = changes([(case(), "mine", old)], [(case(), "mine", new)])
        assert [(one.verdict, one.state, one.note) for one in found.rows] == [("undecided", "undecided", words)]
        assert [one.noisy for one in found.rows] == [tuple(word for word in ("before", "after") if word in words)]
        assert found.state == "undecided"
    assert changes([(case(), "mine", quick)], [(case(), "mine", slow)]).state == "regression"


def test_a_noisy_torch_decides_no_ratio_to_it(changes: Found) -> None:
    old = [(case(), "torch", disturbed(noisy(1))), (case(), "mine", noisy(2))]
    new = [(case(), "torch", noisy(3)), (case(), "mine", noisy(4, median_s=3e-3))]
    assert changes(old, new, Gate(allowance=0.05, relative=True)).state == "undecided"


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (Noise(suspect="slow canaries"), "on a suspect machine"),
        (Noise(contended=1), "on a GPU in use by other processes"),
    ],
)
def test_times_of_a_suspect_machine_or_a_shared_gpu_decide_nothing_and_their_ratios_do(
    changes: Found, noise: Noise, words: str
) -> None:
    old = [(case(), "torch", noisy(1)), (case(), "mine", noisy(2))]
    new = [(case(), name, replace(noisy(seed, 3e-3), noise=noise)) for seed, name in ((3, "torch"), (4, "mine"))]
    found = changes(old, new)
    assert {(row.verdict, row.state, row.note) for row in found.rows} == {
        ("undecided", "undecided", f"undecided: {words} after")
    }
    (row,) = changes(old, new, Gate(allowance=0.05, relative=True)).rows
    assert (row.state, row.note) == ("ok", "")
    (torch, _) = changes(new, new).rows
    assert torch.note == f"identical in both files; undecided: {words} before and after"
    free = [(one, name, replace(found, noise=Noise(contended=0))) for one, name, found in new]
    assert changes(old[1:], free[1:]).rows[0].note == ""


def early(rounds: int, slow: float = 1.0) -> tuple[Timed, Timed]:
    """torch over 100 rounds and one that left early; the first rounds were slow for both."""
    base, own = noisy(("torch", slow)).samples_s, noisy(("mine", slow), rounds=rounds).samples_s
    return (
        timed([one * (slow if number < rounds else 1.0) for number, one in enumerate(base)]),
        timed([one * slow for one in own]),
    )


def test_slow_rounds_that_torch_met_as_well_are_no_regression(changes: Found) -> None:
    (torch_old, mine_old), (torch_new, mine_new) = early(20), early(20, slow=1.3)
    old = [(case(), "torch", torch_old), (case(), "mine", mine_old)]
    new = [(case(), "torch", torch_new), (case(), "mine", mine_new)]
    mine = next(one for one in changes(old, new).rows if one.key.backend == "mine")
    assert mine.time.high < 1 / 1.05
    assert (mine.verdict, mine.state) == ("undecided", "undecided")
    words = "not slower relative to torch by more than 1.5 % in the same rounds, so it may have been the machine"
    assert mine.note == f"undecided: {words}"
    alone = changes(old[1:], new[1:]).rows[0]
    assert alone.state == "regression"  # without torch nobody can tell


def test_one_that_moves_against_torch_is_a_regression_whatever_the_machine_did(changes: Found) -> None:
    (torch_old, mine_old), (torch_new, mine_new) = early(40), early(40, slow=1.3)
    slower = timed(1.2 * one for one in mine_new.samples_s)
    old = [(case(), "torch", torch_old), (case(), "mine", mine_old)]
    new = [(case(), "torch", torch_new), (case(), "mine", slower)]
    assert next(one for one in changes(old, new).rows if one.key.backend == "mine").state == "regression"


def test_where_torch_is_another_one_it_is_no_measure(tmp_path: Path) -> None:
    (torch_old, mine_old), (torch_new, mine_new) = early(20), early(20, slow=1.3)
    old = write(tmp_path / "old.csv", [(case(), "torch", torch_old), (case(), "mine", mine_old)])
    new = write(
        tmp_path / "new.csv",
        [(case(), "torch", torch_new), (case(), "mine", mine_new)],
        machine=replace(MACHINE, torch="2.15.0"),
    )
    rows = compare_files(old, new, gate=Gate(allowance=0.05)).rows
    assert next(one for one in rows if one.key.backend == "mine").state == "regression"


def test_a_row_that_changed_more_or_less_than_torch_is_undecided_where_it_did_not_change_beside_it(
    changes: Found,
) -> None:
    """One may change less than torch, or by up to the margin more: the words may say neither."""
    for factor, torch_factor in ((2.0, 4.0), (1.05, 1.04)):
        old = [(case(), "torch", noisy(1, 1e-3)), (case(), "mine", noisy(2, 1e-3))]
        new = [(case(), "torch", noisy(1, 1e-3 * torch_factor)), (case(), "mine", noisy(2, 1e-3 * factor))]
        mine = next(one for one in changes(old, new).rows if one.key.backend == "mine")
        assert mine.time.high < 1 / 1.015
        assert (mine.verdict, mine.note.partition(" by more")[0]) == (
            "undecided",
            "undecided: not slower relative to torch",
        )


def run_of(side: str, **slower: float) -> list[Row]:
    """torch and three others, of which some are slower."""
    names = ("torch", "onednn", "mine", "other")
    return [(case(), name, noisy((side, name), 1e-3 * slower.get(name, 1.0))) for name in names]


@pytest.mark.parametrize(
    ("slower", "states"),
    [
        (dict.fromkeys(("torch", "onednn", "mine", "other"), 2.0), ["undecided"] * 4),  # the machine
        ({"torch": 2.0}, ["regression", "ok", "ok", "ok"]),
        ({"mine": 2.0}, ["ok", "ok", "regression", "ok"]),
        ({"torch": 2.0, "onednn": 2.0, "mine": 2.0}, ["undecided", "undecided", "undecided", "ok"]),
        ({"torch": 2.0, "onednn": 2.0}, ["regression", "undecided", "ok", "ok"]),  # most others are as before
        (
            {"torch": 2.0, "onednn": 1.2, "mine": 1.2, "other": 1.2},  # torch changed more
            ["regression", "undecided", "undecided", "undecided"],
        ),
    ],
)
def test_torch_is_undecided_only_if_most_others_changed_as_much(
    changes: Found, slower: dict[str, float], states: list[str]
) -> None:
    found = changes(run_of("old"), run_of("new", **slower))
    assert [row.state for row in found.rows] == states
    words = "undecided: most other backends became slower too, and torch did not clearly change more than they"
    assert found.rows[0].note == (f"{words}, so it may have been the machine" if states[0] == "undecided" else "")


def test_torch_of_another_version_or_alone_is_a_regression_whatever_the_others_did(
    changes: Found, tmp_path: Path
) -> None:
    slower = dict.fromkeys(("torch", "onednn", "mine", "other"), 2.0)
    old = write(tmp_path / "old.csv", run_of("old"))
    new = write(tmp_path / "new.csv", run_of("new", **slower), machine=replace(MACHINE, torch="2.15.0"))
    assert {row.state for row in compare_files(old, new, gate=Gate(allowance=0.05)).rows} == {"regression"}
    (alone,) = changes(run_of("old")[:1], run_of("new", torch=2.0)[:1]).rows
    assert (alone.state, alone.note) == ("regression", "")


def test_rows_that_are_identical_show_that_torch_alone_changed(changes: Found) -> None:
    old = run_of("old")
    new = [(old[0][0], "torch", timed(2 * one for one in noisy(("old", "torch")).samples_s)), *old[1:]]
    found = changes(old, new)
    assert [row.state for row in found.rows] == ["regression", "ok", "ok", "ok"]
    assert found.rows[1].to_torch is not None
    assert found.rows[1].to_torch.ratio == pytest.approx(2, rel=0.02)
