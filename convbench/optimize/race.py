"""The race of whole models: every candidate built, proved, timed in interleaved rounds, and proved again."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, inf
from statistics import median
from typing import Any

from convbench.bench.clock import block_counts
from convbench.bench.heap import heap_kept
from convbench.bench.noise import Meter
from convbench.bench.rounds import Contest, TimeBudget, TimeSample, paced
from convbench.bench.statistics import VerdictRule
from convbench.errors import ConvbenchError, one_line, plural
from convbench.optimize.candidates import BASELINE, OWN, Candidate, lines_of
from convbench.optimize.host import CandidateLost, Elsewhere, Here, Host, Loader, can_be_sent
from convbench.optimize.proof import Judgement, Proof, prove
from convbench.optimize.scratch import scratch_folder
from convbench.optimize.subject import ModelCall, Tell, identity, output_of, require_fit
from convbench.optimize.ways import Facts, Made, Order
from convbench.outcome import Noise, PairedRatio
from convbench.system import lacks

BLOCK_S = 5e-3  # of calls in a turn; at least one
SPARE = 1.5  # of the budget that is suggested, for rounds that are disturbed
FAR = 3.0  # times the time of the fastest, alone
TUNING = 4.0  # budgets that our own graph may be tuned for
Keep = Callable[[str, Order, Proof, Made | None], None]
_COLOURS = re.compile(r"(?:\x1b|\\x1b)\[[\d;]*m")  # of exporters, some of them escaped already
RACED, MISSING, FAILED, WRONG, BEHIND = "raced", "missing", "failed", "wrong", "behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateRow:
    """What came of a candidate.

    Attributes:
        outcome: raced, missing (a package), failed, wrong (not within the accuracy class), or behind (slower than
            eager and far behind the fastest, alone: rounds with it would be lost time).
        note: why it did not race, or ""; what is remarkable if it did.
        median_s: seconds per call; None if it was not timed.
        alone_s: seconds per call before the race, of calls in a row while all others sleep: the best of three blocks.
        samples: undisturbed turns, or disturbed ones as well where those were too few.
        ratio: against eager, above 1 is faster; None for eager itself.
        noisy: too few turns were undisturbed, so the time is of disturbed ones.
        error: the largest relative L2 error against float64; None if it gave no output.
        export_s, build_s: its bill: to write the model for another program, and to load or compile it.
    """

    name: str
    outcome: str
    note: str = ""
    median_s: float | None = None
    alone_s: float | None = None
    samples: int = 0
    ratio: PairedRatio | None = None
    noisy: bool = False
    error: float | None = None
    export_s: float | None = None
    build_s: float | None = None

    @property
    def bill_s(self) -> float | None:
        return None if self.build_s is None else self.build_s + (self.export_s or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A race that ended before a verdict was possible, on a machine that was quiet enough.

    Attributes:
        rounds: how many there were.
        least: how many a verdict takes.
        budget_s: for each candidate, in which they fit.
    """

    rounds: int
    least: int
    budget_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The race of one model.

    Attributes:
        identity: digest of its architecture and the shapes of its input.
        eager_error: torch's own relative L2 error, on the worst of the inputs.
        rows: by candidate, in their own order.
        winner: the one to use; "" where the machine was too busy to tell.
        second: the next one, with the ratio of its time to the winner's; None if it is far behind, or alone.
        short: whether the time was too short for a verdict; None if it was not, or the machine was too busy.
        layers, torch_share, choices: of our own graph; empty if it did not race.
        remarks: what should be known, a line each.
    """

    model: str
    identity: str
    shapes: str
    threads: int
    accuracy: str
    eager_error: float
    inputs: int
    rows: tuple[CandidateRow, ...]
    winner: str
    second: tuple[str, PairedRatio] | None = None
    short: Shortage | None = None
    layers: tuple[Mapping[str, Any], ...] = ()
    torch_share: float | None = None
    choices: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    noise: Noise = field(default_factory=Noise)

    def row(self, name: str) -> CandidateRow:
        return next(one for one in self.rows if one.name == name)

    def lines(self, name: str) -> tuple[str, ...]:
        """How to run the model as this candidate does, in Python."""
        return lines_of(name, shapes=self.shapes, threads=self.threads, accuracy=self.accuracy)


@dataclass(slots=True, kw_only=True)
class _Field:
    """The candidates that are in the race, and what came of those that are not."""

    proof: Proof
    tell: Tell
    hosts: dict[str, Host] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)
    judged: dict[str, Judgement] = field(default_factory=dict)
    call_s: dict[str, float] = field(default_factory=dict)
    out: dict[str, CandidateRow] = field(default_factory=dict)
    loader: Loader | None = None

    def drop(self, name: str, outcome: str, note: str) -> None:
        """It is out of the race."""
        if name in self.hosts:
            self.hosts.pop(name).close()
        judged, facts = self.judged.get(name), self.facts.get(name)
        self.out[name] = CandidateRow(
            name=name,
            outcome=outcome,
            note=one_line(_COLOURS.sub("", note)),
            alone_s=self.call_s.get(name),
            error=judged.error if judged is not None and judged.error < inf else None,
            export_s=None if facts is None else facts.export_s,
            build_s=None if facts is None else facts.build_s,
        )
        self.tell(f"{name} is out: {self.out[name].note}")

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Whatever happens to a candidate is its row."""
        try:
            yield
        except CandidateLost as lost:
            self.drop(name, FAILED, str(lost))

    def judge(self, name: str, when: str = "") -> None:
        """Compare its outputs with float64; drop it if they are wrong."""
        self.judged[name] = self.proof.judge(self.hosts[name].answers())
        if wrong := self.judged[name].wrong:
            self.drop(name, WRONG, wrong + when)

    def require_baseline(self) -> None:
        """Raise a ConvbenchError if torch itself is out: nothing can be compared without it."""
        if BASELINE not in self.hosts:
            raise ConvbenchError(f"torch itself cannot be raced: {self.out[BASELINE].note}")

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        self.hosts.clear()
        if self.loader is not None:
            self.loader.close()
            self.loader = None


def race(
    subject: ModelCall,
    candidates: Sequence[Candidate],
    *,
    threads: int,
    accuracy: str,
    budget_s: float = 5.0,
    rule: VerdictRule | None = None,
    isolate: bool = True,
    choices: Mapping[str, Any] | None = None,
    seed: int = 0,
    tell: Tell = lambda _: None,
    say: Tell = lambda _: None,
    hold: Callable[[], None] = lambda: None,
    keep: Keep | None = None,
) -> Race:
    """Race the candidates on a model.

    Args:
        threads: of the CPU, as torch has them now.
        accuracy: strict or standard, see `proof`.
        budget_s: seconds of rounds for each candidate.
        isolate: a process for each candidate, where the model can be sent there.
        choices: of our own graph, as an earlier race found them.
        tell, say: receive what is remarkable, and what is done next.
        hold: called before anything is timed.
        keep: called with the winner before the files of the exports are removed.

    Raises:
        ConvbenchError: the model cannot be raced, see `subject`, `proof`; or torch itself fails on it.
    """
    require_fit(subject)
    say(f"running {subject.name} once")
    structure = output_of(subject)
    say(f"computing what {subject.name} returns in float64")
    proof = prove(subject, accuracy, seed=seed)
    say("starting the candidates' processes")
    remarks = list(proof.left_out)
    trials = [one.inputs for one in proof.truths]
    ready = _Field(proof=proof, tell=tell)
    with scratch_folder() as folder:
        order = Order(
            subject=subject,
            structure=structure,
            threads=threads,
            accuracy=accuracy,
            folder=folder,
            choices=choices,
            tune_s=TUNING * budget_s,
        )
        why_here = can_be_sent(subject, structure, trials, folder) if isolate else "asked for"
        try:
            why_here = _start(ready, candidates, order, trials, why_here, say)
            if why_here and isolate:
                why = why_here if lacks("isolation") else f"no other can load the model: {why_here}"
                remarks.append(f"all candidates ran in this process, because {why}")
                tell(remarks[-1])
            for name in list(ready.hosts):
                _build(ready, name)
            ready.require_baseline()
            with heap_kept():
                found = _rounds(ready, threads, budget_s, rule or VerdictRule(), seed, say, hold)
            say("comparing with float64 again")
            for name in list(ready.hosts):
                with ready.attempt(name):
                    ready.judge(name, " after the race, and none before it")
            ready.require_baseline()
            rows = _rows(ready, candidates, found)
            winner, second = _decide(rows, found)
            if winner and keep is not None:
                host = ready.hosts[winner]
                keep(winner, order, proof, host.made if isinstance(host, Here) else None)
        finally:
            ready.close()
    own = ready.facts.get(OWN)
    return Race(
        model=subject.name,
        identity=identity(subject.model, subject.inputs),
        shapes=subject.shapes,
        threads=threads,
        accuracy=accuracy,
        eager_error=proof.eager_error,
        inputs=len(proof.truths),
        rows=rows,
        winner=winner,
        second=second,
        short=_shortage(found.final or found.contest),
        layers=own.layers if own else (),
        torch_share=own.torch_share if own else None,
        choices=own.choices if own else None,
        remarks=tuple(remarks),
        noise=found.noise,
    )


def _start(
    ready: _Field,
    candidates: Sequence[Candidate],
    order: Order,
    trials: Sequence[Any],
    why_here: str,
    say: Tell,
) -> str:
    """Start a host for each candidate that is installed; returns why they are in this process, or ""."""
    installed = []
    for one in candidates:
        if missing := one.missing():
            ready.drop(one.name, MISSING, f"needs {' and '.join(missing)}: pip install {' '.join(missing)}")
        else:
            installed.append(one.name)

    def order_of(name: str) -> Order:
        return order.told(lambda words: say(f"{name}: {words}"))

    if not why_here:
        try:
            ready.loader = Loader(order)
            ready.loader.ready()
            for name in installed:
                ready.hosts[name] = Elsewhere(name, order_of(name), ready.loader)
        except CandidateLost as lost:
            why_here = str(lost)
            ready.close()
    if why_here:
        ready.hosts.update({name: Here(name, order_of(name), trials) for name in installed})
    return why_here


def _build(ready: _Field, name: str) -> None:
    with ready.attempt(name):
        ready.facts[name] = ready.hosts[name].make()
        ready.judge(name)


@dataclass(slots=True, kw_only=True)
class _Found:
    """What the rounds said: by candidate against eager, and against the fastest of them."""

    contest: Contest
    noise: Noise
    leader: str = ""
    final: Contest | None = None


def _rounds(
    ready: _Field, threads: int, budget_s: float, rule: VerdictRule, seed: int, say: Tell, hold: Callable[[], None]
) -> _Found:
    """All against eager; then those that may be the fastest against the one that seems to be."""
    for name in list(ready.hosts):
        say(f"timing {name} alone")
        with ready.attempt(name):
            ready.call_s[name] = ready.hosts[name].call_s()
    ready.require_baseline()
    rng = random.Random(seed)  # noqa: S311  # an order of rounds, no secret
    with Meter(None, threads) as meter:

        def contest(names: Sequence[str], baseline: str) -> Contest:
            found = Contest(names=names, baseline=baseline, budget=TimeBudget(seconds=budget_s), rule=rule, rng=rng)
            most_s = found.budget.total_s(len(names))
            say(f"racing {plural(len(names), 'candidate')}, for up to {most_s:.0f} s")
            hold()
            _hold(found, ready, meter)
            return found

        _drop_far_behind(ready, meter, say)
        first = contest(list(ready.hosts), BASELINE)
        found = _Found(contest=first, noise=meter.noise())
        leader, rivals = _finalists(first)
        if leader and rivals:
            found.leader, found.final = leader, contest([leader, *rivals], leader)
            found.noise = meter.noise()
    return found


def _drop_far_behind(ready: _Field, meter: Meter, say: Tell) -> None:
    """Leave out what is far behind the fastest, in an undisturbed turn too: a round lasts as long as its slowest.

    But nothing that is faster than eager: should the fastest fail in the rounds, it may be the one to use.
    """
    counts = block_counts(ready.call_s, BASELINE, BLOCK_S)
    fastest = min(ready.hosts, key=lambda one: ready.call_s[one])
    most_s = max(FAR * ready.call_s[fastest], ready.call_s[BASELINE])
    for name in [one for one in ready.hosts if ready.call_s[one] > most_s]:
        say(f"timing {name} again")
        with ready.attempt(name):
            meter.refresh()
            sample = _sample(ready, name, counts[name], meter)
            if sample.bounded and sample.least_s > most_s:
                times = min(sample.seconds, ready.call_s[name]) / ready.call_s[fastest]
                ready.drop(name, BEHIND, f"alone it takes {times:.1f}x the time of {fastest}")


def _sample(ready: _Field, name: str, count: int, meter: Meter) -> TimeSample:
    """A turn of a candidate.

    Raises:
        CandidateLost: it cannot go on.
    """
    turn = ready.hosts[name].turn(count)
    moved = "CPUs moved" if meter.moved else ""
    lost = inf if moved else turn.lost
    return TimeSample(seconds=turn.seconds, dirt=turn.dirt or moved, turn_s=turn.turn_s, lost=lost)


def _hold(contest: Contest, ready: _Field, meter: Meter) -> None:
    """Time rounds until the contest is over; candidates that cannot go on drop out."""
    counts = block_counts(ready.call_s, contest.baseline, BLOCK_S)
    for order in paced(contest, meter):
        samples: dict[str, TimeSample] = {}
        for name in order:
            try:
                samples[name] = _sample(ready, name, counts[name], meter)
            except CandidateLost as lost:
                contest.drop(name)
                ready.drop(name, FAILED, str(lost))
                if name == BASELINE:
                    raise ConvbenchError(f"torch itself stopped in the race: {lost}") from None
        contest.record(samples)


def _shortage(contest: Contest) -> Shortage | None:
    base = contest.samples.get(contest.baseline, [])
    undecided = any(one.verdict == "undecided" for one in contest.comparisons.values())
    if not undecided or len(base) >= contest.least_rounds or 2 * sum(not one.bounded for one in base) > len(base):
        return None
    round_s = sum(median(sample.cost_s for sample in samples) for samples in contest.samples.values() if samples)
    needed_s = SPARE * contest.least_rounds * round_s / max(1, len(contest.names) - 1)
    return Shortage(rounds=len(base), least=contest.least_rounds, budget_s=max(1, ceil(needed_s)))


def _finalists(contest: Contest) -> tuple[str, list[str]]:
    """The one that seems to be the fastest, and those that its interval does not exclude; "" with none above eager."""
    faster = {name: one for name, one in contest.comparisons.items() if name in contest.samples}
    faster = {name: one for name, one in faster.items() if one.verdict == "faster"}
    if not faster:
        return "", []
    leader = max(faster, key=lambda name: faster[name].ratio)
    return leader, [name for name, one in faster.items() if name != leader and one.high >= faster[leader].low]


def _decide(rows: Sequence[CandidateRow], found: _Found) -> tuple[str, tuple[str, PairedRatio] | None]:
    """The winner and the next one; eager where none is certainly faster; nothing where the machine was too busy."""
    raced = {one.name: one for one in rows if one.outcome == RACED}
    ratios = {name: one.ratio for name, one in raced.items() if one.ratio is not None}
    faster = {name: one for name, one in ratios.items() if one.verdict == "faster"}
    if not faster:
        return ("" if any(one.verdict == "undecided" for one in ratios.values()) else BASELINE), None
    finals: dict[str, PairedRatio] = {}
    if found.final is not None and found.leader in faster:
        finals = {name: one for name, one in found.final.comparisons.items() if name in faster}
    beats = {name: one for name, one in finals.items() if one.verdict == "faster"}
    if beats:
        winner = max(beats, key=lambda name: beats[name].ratio)
    elif found.leader in faster:
        winner = found.leader
    else:  # it fell after the rounds
        winner = max(faster, key=lambda name: faster[name].ratio)
    others = {name: one for name, one in finals.items() if name != winner}
    if winner == found.leader and others:
        second = max(others, key=lambda name: others[name].ratio)
        return winner, (second, others[second])
    return winner, None


def _rows(ready: _Field, candidates: Sequence[Candidate], found: _Found) -> tuple[CandidateRow, ...]:
    rows = []
    for one in candidates:
        name = one.name
        if name in ready.out:
            rows.append(ready.out[name])
            continue
        told, facts = found.contest.told(name, found.noise), ready.facts[name]
        rows.append(
            CandidateRow(
                name=name,
                outcome=RACED,
                median_s=median(told.samples_s),
                alone_s=ready.call_s[name],
                samples=len(told.samples_s),
                ratio=told.comparison,
                noisy=told.noise.noisy,
                error=ready.judged[name].error,
                export_s=facts.export_s,
                build_s=facts.build_s,
            )
        )
    return tuple(rows)
