"""In which order are the candidates of a case timed, and when is it enough?"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from convbench.bench.statistics import Rule, compare, signed_rank
from convbench.outcome import Comparison

FEWEST_CLEAN = 12  # samples that stand for a backend; with fewer, the disturbed ones serve as well
FIRST_LOOK = 1 / 32  # of the budget; each later look at half as much again


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Seconds a call over one block, and what disturbed it; "" when nothing was seen to."""

    seconds: float
    dirt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
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

    Each round is a fresh random order of those still in. The order is what makes the verdicts
    valid: where candidate and baseline are the same, which of the two stood at the worse moment
    is the toss of a coin, whatever the machine did in between, so the signs of the log ratios
    are those of fair coins, whatever their sizes, and the signed-rank interval covers 1 as often as
    it says (the randomisation argument: Fisher 1935, The Design of Experiments, section 21).
    Slow drift (clock, heat, neighbours) meets all alike.

    The samples are looked at again and again, and a candidate leaves when its verdict stands.
    Of the error that the confidence allows, a look spends the share of the budget that has gone
    by since the look before (Lan and DeMets 1983, with the linear spending function), and the
    candidates share it equally; by the union bound all intervals hold together.

    A disturbed pair is set aside. Where too few are left, all serve for the numbers and none for
    a verdict: two threads that want the same core as a stranger can lose a hundredfold what one
    thread loses, so under load the wrong one wins.

    Attributes:
        names: the candidates; with the baseline among them the others are decided against it.
        samples: by name, in the order of the rounds. The baseline stays to the end, so sample i
            of a candidate always pairs with sample i of the baseline.
        comparisons: what the last look said, or the one that decided.
        warm: whether the round that is on counts.
        too_few: who had too few clean pairs for a verdict when they were last looked at.
    """

    names: Sequence[str]
    baseline: str
    budget: Budget
    rule: Rule
    rng: random.Random
    samples: dict[str, list[Sample]] = field(init=False)
    comparisons: dict[str, Comparison] = field(default_factory=dict, init=False)
    warm: bool = field(default=False, init=False)
    too_few: set[str] = field(default_factory=set, init=False)
    _decided: set[str] = field(default_factory=set, init=False)
    _rounds: int = field(default=0, init=False)
    _spent: float = field(default=0.0, init=False)
    _next_look: float = field(default=FIRST_LOOK, init=False)

    def __post_init__(self) -> None:
        self.samples = {name: [] for name in self.names}

    def next_round(self, elapsed_s: float) -> list[str]:
        """Who is timed now, in order; nobody when the contest is over."""
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
        return [] if late or over else self.rng.sample(still_in, len(still_in))

    def record(self, samples: Mapping[str, Sample]) -> None:
        """Take the samples of a round; those of the warm-up are forgotten."""
        if self.warm:
            self._rounds += 1
            for name, sample in samples.items():
                self.samples[name].append(sample)

    def drop(self, name: str) -> None:
        """Take out a candidate that cannot go on; without the baseline, what is not decided never will be."""
        del self.samples[name]
        if name == self.baseline:
            self.comparisons = {one: found for one, found in self.comparisons.items() if one in self._decided}

    def kept(self, name: str) -> list[Sample]:
        """The clean samples, or all where too few are clean."""
        own = self.samples[name]
        clean = own if self.disturbs_itself(name) else [sample for sample in own if not sample.dirt]
        return clean if len(clean) >= FEWEST_CLEAN else own

    def disturbs_itself(self, name: str) -> bool:
        """Whether what disturbs a candidate is itself: more threads than cores wait for each other in every round.

        A stranger would have met the baseline in the same rounds as well.
        """
        own, base = self.samples[name], self.samples.get(self.baseline, [])[: len(self.samples[name])]
        dirty = [sum(bool(sample.dirt) for sample in samples) for samples in (own, base)]
        return len(base) >= self.rule.least and dirty[0] >= 0.9 * len(own) and dirty[1] <= 0.1 * len(base)

    def _error(self, share: float) -> float:
        """What a look now may spend on each candidate."""
        rivals = max(1, len(self.names) - 1)  # as many as set out, so that a drop-out loosens nothing
        return (1 - self.rule.confidence) * (share - self._spent) / rivals

    def _could_decide(self, share: float) -> bool:
        """Whether the rounds, were all clean, are enough for a verdict; a look at fewer could only spend its error."""
        return self._rounds >= self.rule.least and signed_rank(self._rounds, self._error(share)) > 0

    def _look(self, share: float) -> None:
        error, self._spent = self._error(share), share
        for name in self.samples.keys() - self._decided - {self.baseline}:
            pairs = list(zip(self.samples.get(self.baseline, ()), self.samples[name], strict=False))
            spared = self.disturbs_itself(name)
            clean = [(base, own) for base, own in pairs if not base.dirt and (spared or not own.dirt)]
            enough = len(clean) >= self.rule.least
            known = name in self.comparisons and name not in self.too_few
            self.too_few -= {name}
            self.too_few |= set() if enough else {name}
            if ratios := [base.seconds / own.seconds for base, own in (clean if enough else pairs)]:
                found = compare(ratios, error, self.rule)
                if found.high == inf and known:
                    continue  # the last look may have little to spend; what an earlier one said still holds
                self.comparisons[name] = found if enough else replace(found, verdict="undecided")
                if self.comparisons[name].verdict != "undecided":
                    self._decided.add(name)
