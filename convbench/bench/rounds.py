"""In which order are the candidates of a case timed, and when is it enough?"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from convbench.bench.statistics import Rule, compare
from convbench.outcome import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a case may take: `seconds` of timing, but at least `least` rounds and at most `most`.

    The rounds of the first eighth, at most half a second, warm up and are not counted: clocks
    rise and thread pools settle for longer than a call takes.
    """

    seconds: float = 4.0
    least: int = 3
    most: int = 2000

    @property
    def warm_up_s(self) -> float:
        return min(0.5, self.seconds / 8)


@dataclass(slots=True, kw_only=True)
class Contest:
    """The rounds of one case, as a state machine that touches no clock and no backend.

    Each round is a fresh random order of those still in: slow drift (clock, heat, neighbours)
    then meets all alike, and the samples of one round are pairs. A candidate leaves when its
    verdict against the baseline stands; the baseline stays to the end, so sample i of a
    candidate always pairs with sample i of the baseline.

    Attributes:
        names: the candidates; with the baseline among them the others are decided against it.
        samples: seconds a call by name, in the order of the rounds.
        verdicts: the comparisons that are decided.
    """

    names: Sequence[str]
    baseline: str
    budget: Budget
    rule: Rule
    rng: random.Random
    samples: dict[str, list[float]] = field(init=False)
    verdicts: dict[str, Comparison] = field(default_factory=dict, init=False)
    _rounds: int = field(default=0, init=False)
    _elapsed_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.samples = {name: [] for name in self.names}

    def next_round(self, elapsed_s: float) -> list[str]:
        """Who is timed now, in order; nobody when the contest is over."""
        self._elapsed_s = elapsed_s
        still_in = [name for name in self.samples if name not in self.verdicts]
        over = still_in in ([], [self.baseline]) and self._rounds > 0 and len(self.samples) > 1
        late = elapsed_s >= self.budget.seconds and self._rounds >= self.budget.least
        if over or late or self._rounds >= self.budget.most:
            return []
        return self.rng.sample(still_in, len(still_in))

    def record(self, seconds: Mapping[str, float]) -> None:
        """Take the samples of a round, and decide what can be decided."""
        if self._elapsed_s < self.budget.warm_up_s and self._rounds == 0:
            return
        self._rounds += 1
        for name, value in seconds.items():
            self.samples[name].append(value)
        looks = takewhile(lambda pairs: pairs <= self._rounds, self.rule.looks())
        if self.baseline in self.samples and self._rounds in looks:
            for name in seconds.keys() - {self.baseline}:
                compared = self.comparison(name)
                if compared is not None and compared.verdict != "undecided":
                    self.verdicts[name] = compared

    def drop(self, name: str) -> None:
        """Take out a candidate that cannot go on."""
        del self.samples[name]

    def comparison(self, name: str) -> Comparison | None:
        """A candidate against the baseline, decided or not; None where there is no baseline."""
        if name == self.baseline or self.baseline not in self.samples or not self.samples[name]:
            return None
        own = self.samples[name]
        rivals = len(self.names) - 1  # as many as set out, so that a drop-out loosens nothing
        return compare(self.samples[self.baseline][: len(own)], own, candidates=rivals, rule=self.rule)
