"""Does the race find the winner, and only a right one, whatever happens to the others?"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

import convbench as cb
from convbench.errors import ConvbenchError
from convbench.optimize.candidates import CANDIDATES, Candidate, choose_candidates, lines_of
from convbench.optimize.host import CandidateLost, Here, TimedTurn
from convbench.optimize.race import Race, Shortage, race
from convbench.optimize.use import Keeper
from convbench.optimize.ways import WAYS, Made, NotPossible, Order
from convbench.show.optimize import sentence
from tests.optimize import nets
from tests.optimize.test_subject import subject

NAMES = ("eager", "quick", "quicker")
RNG_SPREAD = 1e-4


def way(factor: float = 1.0) -> Callable[[Order], Made]:
    """A candidate whose output is the model's, times a factor."""

    def make(order: Order) -> Made:
        return Made(call=lambda *args: order.subject.model(*args) * factor, export_s=1.0)

    return make


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[Order], Made]]:
    """Eager and two others that tests may replace, and no clock: how long a turn takes is in `times`."""
    own = {"eager": WAYS["eager"], "quick": way(), "quicker": way()}
    monkeypatch.setattr("convbench.optimize.ways.WAYS", own)
    for name in NAMES[1:]:
        monkeypatch.setitem(CANDIDATES, name, Candidate(name=name, lines=("run {shapes}",)))
    return own


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Seconds of a turn by candidate; an exception is raised instead."""
    seconds: dict[str, Any] = {"eager": 2e-3, "quick": 1e-3, "quicker": 0.7e-3, "dirt": ""}
    count = iter(range(10**9))

    def turn(self: Here, calls: int) -> TimedTurn:
        own = seconds[self._name]
        if isinstance(own, Exception):
            raise own
        return TimedTurn(seconds=own * (1 + RNG_SPREAD * (next(count) % 7)), dirt=seconds["dirt"], turn_s=0.0)

    monkeypatch.setattr(Here, "turn", turn)
    monkeypatch.setattr(Here, "call_s", lambda self: 1e-3)
    return seconds


def run(model: Any = None, **more: Any) -> Race:
    candidates = [CANDIDATES[name] for name in NAMES]
    settings: dict[str, Any] = {"threads": 1, "accuracy": "standard", "budget_s": 0.2, "isolate": False} | more
    return race(subject(model or nets.Net().eval()), candidates, **settings)


def test_the_fastest_wins_with_its_ratio_to_eager_and_to_the_next(ways: Any, times: Any) -> None:
    times["quick"] = 0.71e-3
    found = run()
    assert found.winner == "quicker"
    ratio = found.row("quicker").ratio
    assert ratio is not None
    assert ratio.verdict == "faster"
    assert ratio.low < 2 / 0.7 * 1.01
    assert ratio.high > 2 / 0.7 * 0.99
    assert [one.outcome for one in found.rows] == ["raced"] * 3
    assert found.row("quick").error == found.eager_error
    assert found.row("quick").bill_s == pytest.approx(1.0, abs=0.5)


def test_two_that_cannot_be_told_apart_are_level(ways: Any, times: Any) -> None:
    times["quicker"] = times["quick"]
    found = run()
    assert found.winner in ("quick", "quicker")
    assert found.second is not None
    assert found.second[1].verdict == "tie"
    assert f"; {found.second[0]} is level with it." in sentence(found)


def test_eager_is_kept_where_nothing_is_faster(ways: Any, times: Any) -> None:
    times.update(quick=2e-3, quicker=3e-3)
    found = run()
    assert found.winner == "eager"
    assert sentence(found) == "Keep torch eager: none of 2 other candidates is certainly faster on this machine."


def test_too_few_rounds_say_how_many_a_verdict_takes_and_a_larger_budget_gives_them(ways: Any, times: Any) -> None:
    times.update(eager=0.2, quick=0.1, quicker=0.05)
    found = run(budget_s=0.0)
    assert (found.winner, found.row("quicker").samples) == ("", 3)
    assert found.short == Shortage(rounds=3, least=12, budget_s=4)  # 1.5 * 12 * 0.35 s for two candidates
    assert sentence(found) == (
        "No verdict yet: it takes 12 rounds, and there was time for 3. Run it again with --budget 4."
    )
    found = run(budget_s=0.2)  # the turns take no time, so this is enough
    assert (found.winner, found.short) == ("quicker", None)


def test_a_busy_machine_has_no_winner(ways: Any, times: Any) -> None:
    times["dirt"] = "foreign load"
    found = run()
    assert found.winner == ""
    assert all(one.noisy for one in found.rows if one.name != "eager")
    assert sentence(found).startswith("The machine is too busy to tell")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Seconds per call alone by candidate; an exception is raised instead."""
    seconds: dict[str, Any] = {"eager": 2e-3, "quick": 4e-3, "quicker": 0.7e-3}

    def call_s(self: Here) -> float:
        if isinstance(own := seconds[self._name], Exception):
            raise own
        return float(own)

    monkeypatch.setattr(Here, "call_s", call_s)
    return seconds


def test_what_is_far_behind_alone_and_in_an_undisturbed_turn_is_not_raced(ways: Any, times: Any, alone: Any) -> None:
    times["quick"] = 3e-3
    found = run()
    quick = found.row("quick")
    assert (quick.outcome, quick.median_s, quick.alone_s) == ("behind", None, 4e-3)
    assert quick.error == found.eager_error
    assert quick.note == "alone it takes 4.3x the time of quicker"
    assert [found.row(name).outcome for name in ("eager", "quicker")] == ["raced", "raced"]
    assert (found.winner, found.second) == ("quicker", None)
    times["quick"] = 1.9e-3  # it was disturbed the first time
    assert [one.outcome for one in run().rows] == ["raced"] * 3
    times.update(quick=3e-3, dirt="foreign load")  # so may this turn be
    assert [one.outcome for one in run().rows] == ["raced"] * 3


def test_what_is_faster_than_eager_is_raced_for_the_fastest_may_fail(ways: Any, times: Any, alone: Any) -> None:
    alone.update(eager=9e-3, quick=4e-3, quicker=0.7e-3)
    times.update(eager=9e-3, quick=4e-3, quicker=CandidateLost("died of SIGSEGV"))
    found = run()
    assert [one.outcome for one in found.rows] == ["raced", "raced", "failed"]
    assert found.winner == "quick"


def test_without_torch_itself_there_is_no_race(ways: Any, times: Any, alone: Any) -> None:
    alone["eager"] = CandidateLost("died of SIGKILL while being timed")
    with pytest.raises(ConvbenchError, match=r"^torch itself cannot be raced: died of SIGKILL while being timed$"):
        run()


def test_a_candidate_far_behind_is_one_that_is_not_faster(ways: Any, times: Any, alone: Any) -> None:
    alone.update(eager=1e-3, quick=1e-3, quicker=4e-3)
    times.update(eager=1e-3, quick=2e-3, quicker=4e-3)
    found = run()
    assert [one.outcome for one in found.rows] == ["raced", "raced", "behind"]
    assert sentence(found) == "Keep torch eager: none of 2 other candidates is certainly faster on this machine."


@pytest.mark.parametrize(
    ("factor", "accuracy"), [(1 + 1e-5, "standard"), (1 + 2e-6, "strict"), (float("nan"), "strict")]
)
def test_a_wrong_candidate_is_shown_with_its_error_and_cannot_win(
    ways: Any, times: Any, factor: float, accuracy: str
) -> None:
    ways["quicker"] = way(factor)
    found = run(accuracy=accuracy)
    row = found.row("quicker")
    assert (found.winner, row.outcome, row.median_s) == ("quick", "wrong", None)
    assert f"and {accuracy} allows" in row.note
    assert row.error is None or row.error == pytest.approx(factor - 1, rel=0.3)


def test_one_that_is_wrong_only_after_the_race_cannot_win_either(ways: Any, times: Any) -> None:
    calls = iter(range(10**9))

    def worse(order: Order) -> Made:
        return Made(call=lambda *args: order.subject.model(*args) * (1.0 if next(calls) < 5 else 1.01))

    ways["quicker"] = worse
    found = run()
    assert (found.winner, found.row("quicker").outcome) == ("quick", "wrong")
    assert found.row("quicker").note.endswith("after the race, and none before it")


@pytest.mark.parametrize("moment", ["build", "call", "turn"])
def test_a_candidate_that_fails_is_a_row_with_the_reason(ways: Any, times: Any, moment: str) -> None:
    def fail(*_: Any) -> Any:
        raise SystemExit("no such operator") if moment == "build" else NotPossible("it has no such operator")

    if moment == "turn":
        times["quicker"] = CandidateLost("died of SIGSEGV while being timed")
    else:
        ways["quicker"] = fail if moment == "build" else lambda _: Made(call=fail)
    told: list[str] = []
    found = run(tell=told.append)
    assert (found.winner, found.row("quicker").outcome) == ("quick", "failed")
    words = {"build": "SystemExit: no such operator", "call": "it has no such operator"}.get(moment, "SIGSEGV")
    assert words in found.row("quicker").note
    assert any("quicker is out" in one for one in told)


def test_without_eager_there_is_no_race(ways: Any, times: Any) -> None:
    times["eager"] = CandidateLost("it broke")
    with pytest.raises(ConvbenchError, match="torch itself stopped in the race: it broke"):
        run()


def test_the_winner_is_kept_before_its_files_are_removed(ways: Any, times: Any) -> None:
    keeper = Keeper(lambda _: None)
    found = run(keep=keeper)
    assert keeper.call is not None
    net = subject(nets.Net().eval())
    assert keeper.call(nets.image()).shape == (1, 4)
    assert found.winner == "quicker"
    assert net.inputs.args[0].shape == (1, 3, 12, 12)


def test_what_is_not_installed_is_told_with_what_to_install(
    ways: Any, times: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = ("no_such_package", "nor_this")
    monkeypatch.setitem(CANDIDATES, "quicker", replace(CANDIDATES["quicker"], needs=needs))
    row = run().row("quicker")
    words = "needs no_such_package and nor_this: pip install no_such_package nor_this"
    assert (row.outcome, row.note) == ("missing", words)


def test_candidates_are_chosen_by_name_and_eager_is_always_there() -> None:
    assert [one.name for one in choose_candidates(["OpenVINO", "channels_last"])] == [
        "eager",
        "channels-last",
        "openvino",
    ]
    assert [one.name for one in choose_candidates(None)] == list(CANDIDATES)
    assert [one.name for one in choose_candidates(["ncnn", "NCNN", "eager"])] == ["eager", "ncnn"]
    with pytest.raises(ConvbenchError, match="unknown candidate 'tvm': choose from channels-last"):
        choose_candidates(["tvm"])


@pytest.mark.parametrize("name", list(CANDIDATES))
def test_every_candidate_has_a_way_and_lines_that_are_code(name: str) -> None:
    assert name in WAYS
    lines = lines_of(name, shapes="1x3x8x8", threads=2, accuracy="strict")
    compile("\n".join(lines), name, "exec")


@pytest.mark.parametrize("name", ["eager", "channels-last"])
def test_the_lines_that_need_no_package_give_the_models_output(name: str) -> None:
    net, x = nets.Net().eval(), nets.image()
    scope: dict[str, Any] = {"torch": torch, "model": net, "x": x}
    exec("\n".join(lines_of(name, shapes="1x3x12x12", threads=1, accuracy="strict")), scope)
    with torch.no_grad():
        torch.testing.assert_close(scope["y"], net(x))


@pytest.mark.parametrize("net", [nets.Net, nets.Tied, nets.Branching, nets.Custom])
def test_channels_last_is_right_and_leaves_the_model_as_it_was(net: Any) -> None:
    model = net().eval()
    x = torch.randn(2, 6) if net is nets.Tied else nets.image(2)
    strides = [one.stride() for one in model.parameters()]
    only = [CANDIDATES["eager"], CANDIDATES["channels-last"]]
    found = race(subject(model, x), only, threads=1, accuracy="standard", budget_s=0.0, isolate=False)
    assert [one.outcome for one in found.rows] == ["raced", "raced"]
    assert [one.stride() for one in model.parameters()] == strides


def test_optimize_returns_a_model_that_says_what_it_is(ways: Any, times: Any, tmp_path: Any) -> None:
    net, x = nets.Net().eval(), nets.image()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = cb.optimize(net, x, only=["quick", "quicker"], budget_s=0.2, isolate=False, progress=False)
        with torch.no_grad():
            torch.testing.assert_close(fast(x), net(x))
    assert fast.winner == "quicker"
    assert fast.model is net
    assert [one.name for one in fast.candidates] == [*NAMES]
    assert fast.lines() == "run 1,3,12,12"
    assert "Use quicker: 2.8" in fast.text(80)
    assert all(len(line) <= 80 for line in fast.text(80).splitlines())
    assert "quicker" in fast._repr_html_()
    fast.save_plan(tmp_path / "plan.json")
    times["quicker"] = CandidateLost("it is not raced again")
    again = cb.optimize(net, x * 2, plan=tmp_path / "plan.json", progress=False)
    assert (again.winner, again.candidates, again.race) == ("quicker", (), None)
    assert "by a plan: quicker is 2.8" in again.text()
    with torch.no_grad():
        torch.testing.assert_close(again(x), net(x))


def test_a_fast_model_refuses_to_be_pickled_or_copied(ways: Any, times: Any) -> None:
    import copy
    import pickle

    fast = cb.optimize(nets.Net().eval(), nets.image(), only="quick", budget_s=0.2, isolate=False, progress=False)
    for refuse in (pickle.dumps, copy.deepcopy):
        with pytest.raises(ConvbenchError, match="cannot be pickled or copied"):
            refuse(fast)


def test_a_plan_is_used_for_its_own_model_only_and_its_winner_must_still_be_right(
    ways: Any, times: Any, tmp_path: Any
) -> None:
    plan, net, x = tmp_path / "plan.json", nets.Net().eval(), nets.image()
    settings: Mapping[str, Any] = {"only": "quick", "budget_s": 0.2, "isolate": False, "progress": False}
    with pytest.raises(ConvbenchError, match="cannot read the plan"):
        cb.optimize(net, x, plan=plan, **settings)
    assert cb.optimize(net, x, plan=plan, retune=True, **settings).winner == "quick"
    with pytest.raises(ConvbenchError, match="has no Net on 2x3x12x12, only Net on 1x3x12x12"):
        cb.optimize(net, nets.image(2), plan=plan)
    with pytest.raises(ConvbenchError, match="accuracy standard, here strict"):
        cb.optimize(net, x, plan=plan, accuracy="strict")
    cb.optimize(net, nets.image(2), plan=plan, retune=True, **settings)
    assert cb.optimize(net, x, plan=plan, progress=False).winner == "quick"  # both are in it
    ways["quick"] = way(1.1)
    with pytest.raises(ConvbenchError, match="quick does not work in this process"):
        cb.optimize(net, x, plan=plan, progress=False)
    ways["quick"], times["dirt"] = way(), "steal"
    with pytest.raises(ConvbenchError, match="too busy to tell"):
        cb.optimize(net, x, **settings)


def test_an_unknown_accuracy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConvbenchError, match="unknown accuracy 'exact': choose from standard, strict"):
        cb.optimize(nets.Net().eval(), nets.image(), accuracy="exact")
