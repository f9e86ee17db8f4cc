"""Which plan of each node is the fastest in its place?

Alone, with its weights in the cache, another plan wins than in the model. So each round runs the whole program with the
next plan of every node and reads the executor's stamps. Other programs on these cores only make a sample longer: of a
round counts the fifth of its calls that was least disturbed, and of a plan its best round. A round that was slow as a
whole is run again, or dropped.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from torch import Tensor

from convbench.graph.program import Program, Times, chosen_plan

CALLS = 15  # of a round
FEWEST = 3  # of them that count
AGAIN = 3  # more tries of a round that was slower than ...
DISTURBED = 1.3  # ... so many times the round before with the same work; beyond the square of it the round is dropped
CLEARLY = 0.99  # a plan replaces the default if it takes less than this of its time
PASSES = 2


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
    """Rounds until every plan had its turn twice, or the budget is spent; the first round has the defaults."""
    tuning, start = Tuning(), clock()
    most = max((len(one.plans) for one in program.lowered.values()), default=1)
    least = float("inf")
    for turn in range(PASSES):
        for step in range(most):
            if tuning.rounds and budget_s is not None and clock() - start > budget_s:
                tell(f"the time for tuning ended after {tuning.rounds} of {PASSES * most} rounds")
                return tuning
            # In the second pass neighbours are others, and so is what they leave in the cache.
            program.load(
                {
                    name: one.plans[(step + turn * place) % len(one.plans)].name
                    for place, (name, one) in enumerate(program.lowered.items())
                }
            )
            found, least = _round(program, inputs, least)
            tuning.rounds += 1
            if found is not None:
                for name, seconds in found.of.items():
                    tuning.note(name, program.choices.get(name, name), seconds)
    return tuning


def _round(program: Program, inputs: Sequence[Tensor], least: float) -> tuple[Times | None, float]:
    """The times of a round, and the least total of all rounds so far; no times if all tries were disturbed."""
    program.run(inputs)  # what it compiles or touches first is no part of it
    best: Times | None = None
    for _ in range(1 + AGAIN):
        one = measure(program, inputs)
        best = one if best is None or one.total < best.total else best
        if best.total < DISTURBED * least:
            break
    assert best is not None
    keep = best.total < DISTURBED**2 * least * 2
    return (best if keep else None), min(least, best.total)


def measure(program: Program, inputs: Sequence[Tensor], calls: int = CALLS) -> Times:
    """The median of each node over the calls that were least disturbed."""
    all_times = []
    for _ in range(calls):
        times = Times()
        program.run(inputs, times)
        all_times.append(times)
    calm = sorted(all_times, key=lambda one: one.total)[: max(FEWEST, calls // 5)]
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
