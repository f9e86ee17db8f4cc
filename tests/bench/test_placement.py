"""Where the CPUs lie: measured on this machine, and judged on distances that are made up."""

import json
import os
import time
from itertools import chain, repeat
from pathlib import Path
from threading import Thread

import pytest

from convbench import Timed, backend, discover
from convbench.bench import placement as module
from convbench.bench.noise import Meter
from convbench.bench.placement import Place, Placement, handover_s
from convbench.bench.rounds import TimeBudget
from convbench.bench.statistics import VerdictRule
from convbench.bench.sweep import bench
from convbench.device import find_device
from tests.bench.test_sweep import CASE, correct

NEAR, FAR, ONE_CORE = 48e-9, 245e-9, 23e-9
PAIR = (0, 1)


def made_up(monkeypatch: pytest.MonkeyPatch, *distances: float, **known: int) -> Placement:
    """A pair of CPUs that is met at these distances, at the last one for ever."""
    look = chain(distances, repeat(distances[-1]))
    monkeypatch.setattr(module, "handover_s", lambda _one, _other: next(look))
    monkeypatch.setattr(module, "SURVEY_LOOKS", 3)
    places = [Place({"near": NEAR, "far": FAR, "one_core": ONE_CORE}[name], looks) for name, looks in known.items()]
    return Placement(pairs=(PAIR,), known={PAIR: places} if places else {})


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU has no neighbour")
def test_two_cpus_exchange_a_line_in_nanoseconds_and_keep_their_affinity() -> None:
    before = os.sched_getaffinity(0)
    one, other, *_ = sorted(before)
    found = [time_s for _ in range(20) if (time_s := handover_s(one, other)) is not None]
    assert found
    assert 1e-9 < min(found) < 1e-5
    assert os.sched_getaffinity(0) == before


def test_a_partner_that_never_comes_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(Thread):
        def run(self) -> None:
            if self._target.__name__ == "lead":  # type: ignore[attr-defined]  # of every Thread
                super().run()

    monkeypatch.setattr(module, "TURNS", 2)
    monkeypatch.setattr(module, "Thread", Absent)
    begin = time.perf_counter()
    assert handover_s(*(sorted(os.sched_getaffinity(0)) * 2)[:2]) is None
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(("now_s", "away"), [(NEAR, False), (1.3 * NEAR, False), (FAR, True), (ONE_CORE, True)])
def test_elsewhere_is_where_the_cpus_mostly_are_not(monkeypatch: pytest.MonkeyPatch, now_s: float, away: bool) -> None:
    place = made_up(monkeypatch, now_s, near=100, far=90)
    place.look(now=True)
    assert bool(place.moved) == away
    if away:
        assert place.moved == f"CPUs 0 and 1 {1e9 * now_s:.0f} ns apart, mostly 48 ns"


def test_where_nothing_is_known_the_first_looks_say_what_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, NEAR, FAR, NEAR, FAR)
    place.look(now=True)
    assert place.moved
    assert [share for _, share in place.shares(PAIR)] == [0.5, 0.5]


def test_looks_are_far_between_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, NEAR, near=1)
    for _ in range(100):
        place.look()
    assert len(place.seen) < 20


def test_a_pair_that_cannot_be_measured_is_surveyed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(module, "handover_s", lambda one, _other: asked.append(one))
    monkeypatch.setattr(module, "SURVEY_LOOKS", 3)
    place = Placement(pairs=(PAIR,))
    for _ in range(5):
        place.look(now=True)
    assert len(asked) == 3
    assert not place.moved


@pytest.mark.parametrize(("cpus", "pairs"), [(2, 1), (9, 8), (10, 5), (16, 8), (20, 7), (64, 8)])
def test_of_many_cpus_some_from_all_over_are_watched(monkeypatch: pytest.MonkeyPatch, cpus: int, pairs: int) -> None:
    monkeypatch.setattr(module, "is_virtual", lambda: True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cpus)))
    place = Placement.of_machine(cpus)
    assert place is not None
    assert len(place.pairs) == pairs
    assert place.pairs[-1][1] >= cpus - 9


def test_what_is_usual_is_learned_from_run_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, FAR, near=10)
    place.path = tmp_path / "new" / "placement.json"
    for _ in range(30):
        place.look(now=True)
    assert place.moved  # within a run, what is usual stays
    place.keep()
    again = Placement(pairs=(PAIR,), known=module._load(place.path))
    again.look(now=True)
    assert not again.moved


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 0}', '{"version": 1, "places": {"0-1": [[1]]}}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "placement.json"
    path.write_text(text)
    assert module._load(path) == {}


def test_a_machine_that_moved_for_good_is_believed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, 1e-7, near=module.MOST_LOOKS)
    for _ in range(2 * module.MOST_LOOKS):
        place.look(now=True)
    assert place.shares(PAIR)[0][0] == pytest.approx(1e-7)
    assert sum(one.looks for one in place.known[PAIR]) <= module.MOST_LOOKS


def test_one_thread_needs_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_virtual", lambda: True)
    assert Placement.of_machine(1) is None


def test_without_a_hypervisor_nobody_moves_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(module, "is_virtual", lambda: None)  # not told: it may
    assert Placement.of_machine(2) is not None
    monkeypatch.setattr(module, "is_virtual", lambda: False)
    assert Placement.of_machine(2) is None


def test_the_file_holds_every_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, NEAR, FAR, near=1)
    place.path = tmp_path / "placement.json"
    place.look(now=True)
    place.look(now=True)
    place.keep()
    assert json.loads(place.path.read_text()) == {"version": 1, "places": {"0-1": [[NEAR, 2], [FAR, 1]]}}


@backend(family="direct", source="a test")
def twin(x, w, spec):  # type: ignore[no-untyped-def]
    """F.conv2d under another name."""
    return correct(x, w, spec)


def noise_of_bench(monkeypatch: pytest.MonkeyPatch, place: Placement, seconds: float) -> Timed:
    monkeypatch.setattr(Placement, "of_machine", classmethod(lambda _cls, _threads: place))
    monkeypatch.setattr(module, "LOOK_EVERY_S", 1e-3)
    monkeypatch.setattr("convbench.bench.noise.LOOK_EVERY_S", 1e-3)
    # What else disturbs this machine now is not the question.
    monkeypatch.setattr(Meter, "dirt", lambda meter, *_: "CPUs moved" if meter.moved else "")
    (torch_itself,), _ = discover(names=["torch"])
    budget = TimeBudget(seconds=seconds, least=3, most=60)
    *_, result = bench([CASE], [torch_itself, twin], budget=budget, rule=VerdictRule())
    assert isinstance(result.outcome, Timed)
    return result.outcome


def test_bench_waits_until_the_cpus_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = noise_of_bench(monkeypatch, made_up(monkeypatch, *[FAR] * 20, NEAR, near=100), 3.0)
    assert timed.noise.handover_s == NEAR
    assert not timed.noise.noisy


def test_where_they_do_not_come_back_nothing_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = noise_of_bench(monkeypatch, made_up(monkeypatch, FAR, near=100), 0.05)
    assert timed.noise.noisy
    assert timed.noise.handover_s == FAR
    assert timed.comparison is not None
    assert timed.comparison.verdict == "undecided"


def test_a_wait_ends_with_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    place = made_up(monkeypatch, FAR, near=100)
    monkeypatch.setattr(Placement, "of_machine", classmethod(lambda _cls, _threads: place))
    told: list[None] = []
    with Meter(find_device("cpu"), 2, lambda: told.append(None)) as meter:
        meter.refresh()
        assert meter.moved
        told.clear()
        assert 0.35 <= meter.wait(0.35) < 2
        assert len(told) >= 2  # a parent that waits for a sign of life gets it
        assert meter.dirt(meter.read(), meter.read(), 1.0) == "CPUs moved"
