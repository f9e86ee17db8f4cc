"""What a timed block is given, which of them are judged, and who is accused."""

import time
from collections.abc import Callable
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import Backend, ConvSpec, backend
from convbench.bench import entrant as rules
from convbench.bench.entrant import Caught, Entrant
from convbench.bench.ring import Ring
from convbench.case import Case
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import Trial, attempt
from tests.conftest import make_case

WHOLE, SAMPLED = make_case("n1c4h9w8k6r3s3_pd1"), make_case("n1c16h28w28k16r3s3_pd1")
each_way = pytest.mark.parametrize("case", [WHOLE, SAMPLED], ids=["whole", "sampled"])


def conv(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def enter(fn: Callable[..., Any], case: Case = WHOLE, draws: float = 0.0, **traits: Any) -> Entrant:
    """One that was right when it was verified as `conv`, and is `fn` since; what it draws is always the same."""
    exam = prepare_exam(case)
    made = backend(family="direct", source="a test", **traits)
    trial = attempt(made(conv), exam)
    assert isinstance(trial, Trial)
    ring = Ring(case, exam.operands)
    found = Entrant(backend=made(fn), case=case, trial=trial, ring=ring)
    found.calls = [lambda one=one: fn(one.first, exam.w, case.spec) for one in ring.sets]  # type: ignore[misc]  # of a loop
    found.rng.random = lambda: draws  # type: ignore[method-assign]  # a coin that always falls on one side
    return found


def judged(one: Entrant, when: str = "here") -> str:
    """What it is accused of; "" for nothing."""
    block = one.block(1)
    assert block.shot is not None
    try:
        one.judge(block.shot, when)
    except Caught as caught:
        return caught.check.evidence or "nothing"
    return ""


def test_no_call_meets_numbers_that_it_has_met() -> None:
    met: list[bytes] = []

    def note(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        met.append(x.numpy().tobytes())
        return conv(x, w, spec)

    one = enter(note)
    for count in (1, 3, 11):
        one.settle()
        assert one.block(count).seconds > 0
    assert len(met) == len(set(met)) == 18


def test_one_of_the_first_blocks_is_judged_for_certain() -> None:
    one = enter(conv, draws=0.99)
    assert [one.block(1).shot is not None for _ in range(3)] == [False, False, True]


def test_later_ones_are_judged_as_often_as_their_share_allows() -> None:
    one = enter(conv, draws=0.5)
    one.judged, one._judging_s, one._again = rules.SURE, rules.SURE * 2e-3, rules.SURE  # 2 ms each
    assert not one._due(0.99 * 0.5 * 2e-3 / rules.SHARE, again=True)
    assert one._due(1.01 * 0.5 * 2e-3 / rules.SHARE, again=True)
    assert not one._due(1.01 * 0.5 * 2e-3 / rules.SHARE / 1.1, again=False)
    one._again = rules.SURE - 1
    assert not one._due(1e9, again=True)  # on the toss of a coin, whatever it costs
    one.rng.random = lambda: 0.49  # type: ignore[method-assign]  # the other side
    assert one._due(0.0, again=True)


def test_an_answer_that_was_kept_for_each_set_is_met_by_blocks_of_one_call() -> None:
    """A ring has more small sets than blocks that are judged at first; each new one has to be computed."""
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return kept.setdefault(x.data_ptr(), conv(x, w, spec))

    one = enter(keep, draws=0.4)  # no set is written as a whole, and each toss says that it is judged
    assert len(one.ring) > 4 * rules.SURE
    one._judging_s = 1e3  # judging is dear: of the new sets, it is the first few
    for _ in one.ring.sets:
        if (shot := one.block(1).shot) is not None:
            one.judge(shot, "here")
    assert one.judged == rules.SURE
    assert "outputs wrong" in judged(one)


@each_way
def test_right_work_is_not_accused_and_what_it_took_is_counted(case: Case) -> None:
    one = enter(conv, case)
    assert judged(one) == ""
    assert one.judged == 1
    assert one._judging_s > 0


@each_way
def test_wrong_work_is_told_with_the_moment(case: Case) -> None:
    evidence = judged(enter(lambda x, w, spec: 2 * conv(x, w, spec), case), "while it was timed (round 7)")
    assert evidence.startswith("correct before timing; while it was timed (round 7): ")
    assert ("sampled outputs wrong; worst y[" in evidence) == (case is SAMPLED)


@each_way
def test_what_is_no_output_of_the_case_is_told(case: Case) -> None:
    assert "returned NoneType" in judged(enter(lambda x, w, spec: None, case))
    assert "returned shape (1,)" in judged(enter(lambda x, w, spec: x.new_zeros(1), case))
    assert "returned torch.float64" in judged(enter(lambda x, w, spec: conv(x, w, spec).double(), case))


@each_way
def test_work_that_ends_after_the_call_is_not_seen(case: Case) -> None:
    def late(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y, own = torch.zeros(spec.y_shape), x.clone()

        def work() -> None:
            time.sleep(0.02)
            y.copy_(conv(own, w, spec))

        Thread(target=work, daemon=True).start()
        return y

    assert "wrong" in judged(enter(late, case))


@each_way
def test_an_output_that_changes_after_it_was_judged_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    outs: list[Tensor] = []

    def keeping(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        outs.append(conv(x, w, spec))
        return outs[-1]

    one = enter(keeping, case)
    verdict = one._verdict

    def then_it_writes(shot: Any) -> Any:
        found = verdict(shot)
        outs[-1].zero_()
        return found

    monkeypatch.setattr(Entrant, "_verdict", lambda _, shot: then_it_writes(shot))
    assert judged(one) == "correct before timing; here: its output changed after it was returned"


@each_way
def test_who_changes_its_input_is_told_and_not_who_finds_it_changed(case: Case) -> None:
    def harming(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        x.zero_()
        return torch.zeros(spec.y_shape)

    assert judged(enter(harming, case)) == "correct before timing; here it changed its input x"
    innocent = enter(conv, case)
    innocent.ring._operands["w"].zero_()
    for one in innocent.ring.sets:
        one.first.zero_()
    assert judged(innocent) == ""


def test_a_known_defect_accuses_none_of_ours_and_excuses_nobody_else() -> None:
    def nudged(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return conv(x, w, spec) * 1.001

    one = enter(nudged, defects=lambda case, probe: "known")
    assert "outputs wrong" in judged(one)
    own: Backend = SimpleNamespace(  # type: ignore[assignment]  # as much of a backend as is asked for
        built_in=True, family="direct", count_roundings=lambda _: 0, defects=lambda case, probe: "known"
    )
    one.backend = own
    assert judged(one) == ""


def test_a_cold_call_is_judged_too() -> None:
    one = enter(lambda x, w, spec: 2 * conv(x, w, spec))
    emptied: list[int] = []
    with pytest.raises(Caught, match=r"correct before timing; while it was timed \(cold\): 432 of 432"):
        one.cold(lambda: emptied.append(1))
    one.rng.random = lambda: 0.5  # type: ignore[method-assign]  # this one is not
    assert one.cold(lambda: emptied.append(2)) > 0
    assert emptied == [1, 2]
