"""Which plan of each node is the fastest in its place?

Alone, with its weights in the cache, another plan wins than in the model. So each round runs the whole program with the
next plan of every node and reads the executor's stamps. Other programs on these cores only make a sample longer: of a
round counts the fifth of its calls that was least disturbed, and of a plan its best round. A round that was slow as a
whole is run again, or dropped.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from torch import Tensor

from convbench.graph.program import Program, Times, chosen_plan

ROUND_S = 0.1  # of a round, but ...
FEWEST, MOST = 5, 25  # ... at least and at most so many calls
COUNT = 3  # of its calls that count at least
AGAIN = 2  # more tries of a round that was ...
DISTURBED = 1.25  # ... so many times slower, in plans that an earlier round has timed, than there
CONTENDER = 2.0  # times the best: slower plans have no second turn
CLEARLY = 0.99  # a plan replaces the default if it takes less than this of its time


@dataclass
class Tuning:
    """What was measured.

    Attributes:
        seconds: by node and plan: in its best round.
        rounds: how many.
    """

    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    rounds: int = 0

    def note(self, node: str, plan: str, seconds: float) -> None:
        seen = self.seconds.setdefault(node, {})
        seen[plan] = min(seconds, seen.get(plan, seconds))

    def contenders(self, node: str, plans: list[str]) -> list[str]:
        """The plans that are not far slower than the best one."""
        seen = self.seconds.get(node, {})
        best = min(seen.values(), default=0.0)
        return [one for one in plans if seen.get(one, 0.0) <= CONTENDER * best] or plans[:1]

    def slower_than_before(self, times: Times, choices: Mapping[str, str]) -> float:
        """How many times slower plans were that an earlier round has timed: 1 if none was."""
        before = now = 0.0
        for name, seconds in times.of.items():
            known = self.seconds.get(name, {}).get(choices.get(name, name))
            if known is not None:
                before, now = before + known, now + seconds
        return now / before if before else 1.0

    def choices(self, program: Program) -> dict[str, str]:
        """The fastest plan of each node; the default where no other is clearly faster."""
        chosen = {}
        for name, lowered in program.lowered.items():
            default, seen = lowered.plans[0].name, self.seconds.get(name, {})
            best = min(seen, key=lambda one: seen[one], default=default)
            chosen[name] = best if seen.get(best, 0) < CLEARLY * seen.get(default, 0) else default
        return chosen


def tune(
    program: Program,
    inputs: Sequence[Tensor],
    budget_s: float | None = None,
    tell: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Tuning:
    """Rounds until every plan had its turn, and the faster ones a second, or the budget is spent.

    The first round has the defaults.
    """
    tuning, start = Tuning(), clock()
    plans = {name: [plan.name for plan in one.plans] for name, one in program.lowered.items()}
    for turn in range(2):
        if turn:
            plans = {name: tuning.contenders(name, each) for name, each in plans.items()}
        rounds = max(map(len, plans.values()), default=1)
        for step in range(rounds):
            if tuning.rounds and budget_s is not None and clock() - start > budget_s:
                tell(f"the time for tuning ended in its {'second' if turn else 'first'} turn, round {step} of {rounds}")
                return tuning
            # In the second turn neighbours are others, and so is what they leave in the cache.
            some = {name: each[(step + turn * at) % len(each)] for at, (name, each) in enumerate(plans.items())}
            program.load(some)
            _round(program, inputs, tuning)
    return tuning


def _round(program: Program, inputs: Sequence[Tensor], tuning: Tuning) -> None:
    """Time what is loaded; once more if it was disturbed, and not at all if it was each time."""
    start = time.perf_counter()
    program.run(inputs)
    program.run(inputs)
    calls = max(FEWEST, min(MOST, int(2 * ROUND_S / (time.perf_counter() - start))))
    for _ in range(1 + AGAIN):
        found = measure(program, inputs, calls)
        if tuning.slower_than_before(found, program.choices) < DISTURBED:
            tuning.rounds += 1
            for name, seconds in found.of.items():
                tuning.note(name, program.choices.get(name, name), seconds)
            return


def measure(program: Program, inputs: Sequence[Tensor], calls: int = MOST) -> Times:
    """The median of each node over the calls that were least disturbed."""
    all_times = []
    for _ in range(calls):
        times = Times()
        program.run(inputs, times)
        all_times.append(times)
    calm = sorted(all_times, key=lambda one: one.total)[: max(COUNT, calls // 5)]
    return Times({name: median(one.of[name] for one in calm) for name in calm[0].of})


def share_of_torch(program: Program, times: Times) -> float:
    """Of the time, in nodes that torch runs and at their borders."""
    by_torch = {node.name for node in program.graph.nodes if node.name not in program.lowered}
    if not by_torch.intersection(times.of):
        return 0.0
    own = sum(seconds for name, seconds in times.of.items() if name in program.lowered)
    return 1 - own / times.total


def seconds_of(tuning: Tuning, program: Program, name: str) -> tuple[str, float, float]:
    """The default plan of a node, and the seconds of it and of the loaded one."""
    seen = tuning.seconds.get(name, {})
    default = chosen_plan(program.lowered[name], None).name if name in program.lowered else program.choices[name]
    nan = float("nan")
    return default, seen.get(default, nan), seen.get(program.choices[name], nan)
