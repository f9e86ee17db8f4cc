"""In which order are the candidates of a case timed, and when is it enough?"""

import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf

from convbench.bench.noise import Meter
from convbench.bench.statistics import VerdictRule, compare, signed_rank
from convbench.outcome import Noise, PairedRatio

FEWEST_CLEAN = 12  # samples that a backend needs; with fewer, the disturbed ones are used too
FIRST_LOOK = 1 / 32  # of the budget; each later look at half as much again
# Of the time since their verdicts, all that are decided together take this share: so their medians are of the whole
# case like the others', and not of its first moments.
AFTERWARDS = 0.1
# A sample that lost at most this share of its time is slightly disturbed. It is then at most COLDER times as much too
# long: who took the core took the caches as well.
SLIGHTLY, COLDER = 0.05, 2.0
# How long a contest waits while the CPUs are elsewhere: they were seen away for 10 to 20 s.
PATIENCE, MOST_PATIENCE_S = 7.0, 20.0
DIGITS = 4  # of a sample, as the CSV keeps them: a row that is read again has the same median


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSample:
    """Seconds per call over one block, and what disturbed it, or "".

    `turn_s` is the time of the whole turn, including the work before the block; 0 means one call. `lost` is the share
    of the block that the disturbance cost at most.
    """

    seconds: float
    dirt: str = ""
    turn_s: float = 0.0
    lost: float = inf

    @property
    def cost_s(self) -> float:
        return max(self.turn_s, self.seconds)

    @property
    def bounded(self) -> bool:
        """Whether it is not disturbed, or slightly."""
        return not self.dirt or self.lost <= SLIGHTLY

    @property
    def least_s(self) -> float:
        """The least it may have been without the disturbance."""
        return self.seconds * (1 - COLDER * self.lost) if self.dirt else self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeBudget:
    """How long the timing of a case may take: `seconds` for each candidate against the baseline.

    But at least `least` rounds and at most `most`. The first rounds, a thirtieth of the time and at
    most a tenth of a second, warm up and are not counted: clocks rise and thread pools settle
    for longer than a call takes.
    """

    seconds: float = 3.0
    least: int = 3
    most: int = 5000

    def total_s(self, names: int) -> float:
        return self.seconds * max(1, names - 1)

    def warm_up_s(self, names: int) -> float:
        return min(0.1, self.total_s(names) / 30)


@dataclass(slots=True, kw_only=True)
class Contest:
    """The rounds of one case, as a state machine that touches no clock and no backend.

    Each round is a fresh random order of those that are timed in it. The order is what makes the verdicts
    valid: if candidate and baseline are the same, which of the two gets the worse moment
    is a coin toss, whatever the machine did in between, so the signs of the log ratios
    are those of fair coins, whatever their sizes, and the signed-rank interval covers 1 as often as
    it says (the randomisation argument: Fisher 1935, The Design of Experiments, section 21).
    Slow drift (clock, heat, neighbours) affects all equally.

    The samples are checked repeatedly, until a candidate has its verdict. Nothing is checked
    after that: the candidate is only timed in a few more rounds, so its median is of the same
    period as the others'. They cost a tenth of the time since.
    The candidates share the error that the confidence allows equally. Of its part, a look at one
    spends the share of the budget that has gone by since the look before (Lan and DeMets 1983, with
    the linear spending function); by the union bound all intervals hold jointly. A look that finds too few clean
    pairs for any interval spends nothing: which pairs are clean says nothing about which of the two was faster.

    A disturbed pair is set aside. If too few are left, those that are slightly disturbed are taken as well, each at its
    worst for either end of the interval: a load that is small and never rests disturbs every block that is long. If
    even so they are too few, none is used for a verdict: two threads that compete with another process can lose a
    hundred times what one thread loses, so under load the wrong one wins. A candidate with too few clean samples or
    pairs is `noisy`, with a verdict or without: another run has nothing to pair its times with.

    Attributes:
        names: the candidates; with the baseline among them the others are decided against it.
        samples: by name, in the order of the rounds.
        rounds: by name, the round of each sample, counted from 0. The baseline is timed in every round, so a
            candidate's sample of round i pairs with sample i of the baseline.
        comparisons: the result of the last look, or of the one that decided.
        warm: whether the round that is on counts.
        too_few: candidates that had too few clean pairs at the last look.
        apart: candidates that are timed but not compared, because they are timed in another way than the baseline.
    """

    names: Sequence[str]
    baseline: str
    budget: TimeBudget
    rule: VerdictRule
    rng: random.Random
    apart: Collection[str] = ()
    samples: dict[str, list[TimeSample]] = field(init=False)
    rounds: dict[str, list[int]] = field(init=False)
    comparisons: dict[str, PairedRatio] = field(default_factory=dict, init=False)
    warm: bool = field(default=False, init=False)
    too_few: set[str] = field(default_factory=set, init=False)
    _decided: dict[str, "_Afterwards"] = field(default_factory=dict, init=False)
    _elapsed_s: float = field(default=0.0, init=False)
    _rounds: int = field(default=0, init=False)
    _spent: dict[str, float] = field(init=False)
    _next_look: float = field(default=FIRST_LOOK, init=False)

    def __post_init__(self) -> None:
        self.samples = {name: [] for name in self.names}
        self.rounds = {name: [] for name in self.names}
        self._spent = dict.fromkeys(self.names, 0.0)

    def next_round(self, elapsed_s: float) -> list[str]:
        """The candidates of this round, in order; empty when the contest is over."""
        self._elapsed_s = elapsed_s
        self.warm = elapsed_s >= self.budget.warm_up_s(len(self.names))
        total_s = self.budget.total_s(len(self.names))
        late = elapsed_s >= total_s and self._rounds >= self.budget.least
        late = late or self._rounds >= self.budget.most
        share = 1.0 if late else max(elapsed_s / total_s if total_s else 0.0, self._rounds / self.budget.most)
        if late or (self._next_look <= share < 1 and self._could_decide(share)):
            self._look(share)
            self._next_look = 1.5 * share
        still_in = [name for name in self.samples if name not in self._decided]
        over = still_in in ([], [self.baseline]) and self._rounds > 0 and len(self.samples) > 1
        if late or over:
            return []
        timed = [*still_in, *(name for name in self._decided if name in self.samples and self._due(name))]
        return self.rng.sample(timed, len(timed))

    def _due(self, name: str) -> bool:
        """Whether a decided candidate has time for another turn."""
        after = self._decided[name]
        share = AFTERWARDS / len(self._decided)
        return after.spent_s + after.turn_s <= share * (self._elapsed_s - after.since_s)

    @property
    def moment(self) -> str:
        """The round that is on, as the rounds of the samples are counted."""
        return f"round {self._rounds}" if self.warm else "warming up"

    def record(self, samples: Mapping[str, TimeSample]) -> None:
        """Take the samples of a round; those of the warm-up are forgotten."""
        if self.warm:
            for name, sample in samples.items():
                self.samples[name].append(sample)
                self.rounds[name].append(self._rounds)
                if name in self._decided:
                    self._decided[name].take(sample)
            self._rounds += 1

    def drop(self, name: str) -> None:
        """Take out a candidate that cannot go on; without the baseline, what is not decided never will be."""
        del self.samples[name], self.rounds[name]
        if name == self.baseline:
            self.comparisons = {one: found for one, found in self.comparisons.items() if one in self._decided}

    def kept(self, name: str) -> dict[int, TimeSample]:
        """By round the clean samples; the slightly disturbed as well where too few are clean, or else all."""
        own = dict(zip(self.rounds[name], self.samples[name], strict=True))
        if self.disturbs_itself(name):
            return own
        clean = {number: sample for number, sample in own.items() if not sample.dirt}
        bounded = {number: sample for number, sample in own.items() if sample.bounded}
        return next((some for some in (clean, bounded) if len(some) >= FEWEST_CLEAN), own)

    def told(self, name: str, noise: Noise) -> "Told":
        """The data for the row of a candidate: its samples as in the CSV, and how disturbed they were."""
        kept = self.kept(name)
        dirty = any(sample.dirt for sample in kept.values()) and not self.disturbs_itself(name)
        return Told(
            samples_s=tuple(float(f"{sample.seconds:.{DIGITS}g}") for sample in kept.values()),
            rounds=tuple(kept),
            comparison=self.comparisons.get(name),
            noise=replace(
                noise,
                set_aside=tuple(number for number in self.rounds[name] if number not in kept),
                noisy=dirty or name in self.too_few,
            ),
        )

    def disturbs_itself(self, name: str) -> bool:
        """Whether a candidate disturbs itself: more threads than cores wait for each other in every round.

        Another process would also have disturbed the baseline in these rounds.
        """
        own, base = self.samples[name], self._base(name)
        dirty = [sum(bool(sample.dirt) for sample in samples) for samples in (own, base)]
        return len(base) >= self.rule.least and dirty[0] >= 0.9 * len(own) and dirty[1] <= 0.1 * len(base)

    def _base(self, name: str) -> list[TimeSample]:
        """The baseline's samples of a candidate's rounds; none without a baseline."""
        base = self.samples.get(self.baseline)
        return [base[number] for number in self.rounds[name]] if base else []

    @property
    def least_rounds(self) -> int:
        """How many rounds, all of them clean, a verdict takes at the end of the budget."""
        rivals = max(1, len(self.names) - 1)
        error = (1 - self.rule.confidence) / rivals
        return next(rounds for rounds in count(self.rule.least) if signed_rank(rounds, error) > 0)

    def _error(self, share: float, name: str) -> float:
        """The error that a look at a candidate may spend now."""
        rivals = max(1, len(self.names) - 1)  # as many as set out, so a drop-out loosens nothing
        return (1 - self.rule.confidence) * (share - self._spent[name]) / rivals

    def _could_decide(self, share: float) -> bool:
        """Whether the rounds, were all clean, are enough for a verdict."""
        most = max((self._error(share, name) for name in self._open()), default=0.0)
        return self._rounds >= self.rule.least and signed_rank(self._rounds, most) > 0

    def _open(self) -> set[str]:
        return self.samples.keys() - self._decided.keys() - {self.baseline}

    def _look(self, share: float) -> None:
        for name in self._open():
            pairs = list(zip(self._base(name), self.samples[name], strict=False))
            if self.disturbs_itself(name):
                pairs = [(base, replace(own, dirt="")) for base, own in pairs]
            clean = [(base, own) for base, own in pairs if not base.dirt and not own.dirt]
            self.too_few -= {name}
            self.too_few |= set() if len(clean) >= self.rule.least else {name}
            if name in self.apart:
                if name not in self.too_few:
                    self._decide(name)
                continue
            error = self._error(share, name)
            if name in self.too_few or not signed_rank(len(clean), error):
                clean = [(base, own) for base, own in pairs if base.bounded and own.bounded]
            enough = len(clean) >= self.rule.least
            if pairs:
                found = self._compare(clean if enough else pairs, error)
                known = self._spent[name] > 0
                if enough and found.high < inf:
                    self._spent[name] = share
                if found.high == inf and known:
                    continue  # the last look may have little to spend; what an earlier one said still holds
                self.comparisons[name] = found if enough else replace(found, verdict="undecided")
                if self.comparisons[name].verdict != "undecided":
                    self._decide(name)

    def _compare(self, pairs: Sequence[tuple[TimeSample, TimeSample]], error: float) -> PairedRatio:
        """The verdict of pairs (baseline, candidate); one of slightly disturbed samples must hold at their worst."""
        found = compare([base.seconds / own.seconds for base, own in pairs], error, self.rule)
        both = [one for pair in pairs for one in pair]
        if not any(one.dirt for one in both) or not all(one.bounded for one in both):
            return found
        least = compare([base.least_s / own.seconds for base, own in pairs], error, self.rule)
        most = compare([base.seconds / own.least_s for base, own in pairs], error, self.rule)
        verdicts = {one.verdict for one in (least, found, most)}
        return replace(
            found, low=least.low, high=most.high, verdict=found.verdict if len(verdicts) == 1 else "undecided"
        )

    def _decide(self, name: str) -> None:
        self._decided[name] = _Afterwards(since_s=self._elapsed_s, turn_s=self.samples[name][-1].cost_s)


def paced(contest: Contest, meter: Meter) -> Iterator[list[str]]:
    """The rounds of a contest by the clock of this machine.

    While the CPUs are elsewhere it waits, for PATIENCE times the budget and MOST_PATIENCE_S at most, without spending
    the budget.
    """
    patience_s = min(MOST_PATIENCE_S, PATIENCE * contest.budget.total_s(len(contest.names)))
    start = time.perf_counter()
    while order := contest.next_round(time.perf_counter() - start):
        meter.refresh()
        if meter.moved and patience_s > 0:
            waited_s = meter.wait(patience_s)
            patience_s, start = patience_s - waited_s, start + waited_s
        yield order


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a contest says of one candidate, as a row has it: see Timed."""

    samples_s: tuple[float, ...]
    rounds: tuple[int, ...]
    comparison: PairedRatio | None
    noise: Noise


@dataclass(slots=True, kw_only=True)
class _Afterwards:
    """What a candidate costs after its verdict, which stood at `since_s`; the next turn is guessed by the last."""

    since_s: float
    turn_s: float
    spent_s: float = 0.0

    def take(self, sample: TimeSample) -> None:
        self.turn_s = sample.cost_s
        self.spent_s += self.turn_s
