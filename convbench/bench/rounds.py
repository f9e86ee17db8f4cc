"""In which order are the candidates of a case timed, and when is it enough?"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When to stop: after `seconds` (never before `least` rounds), or after `most` rounds.

    The rule looks at the clock alone, never at the samples, so it cannot bias a verdict.
    """

    seconds: float = 4.0
    least: int = 3
    most: int = 200


def interleave(
    timers: Mapping[str, Callable[[], float]],
    budget: Budget,
    *,
    rng: random.Random,
    now: Callable[[], float],
) -> tuple[dict[str, list[float]], dict[str, Exception]]:
    """Time every candidate once a round, in a fresh random order each round.

    Slow drift (clock, heat, neighbours) then meets all candidates alike, and the samples of
    one round are pairs. A candidate that raises is dropped, with what it raised.

    Args:
        timers: name -> a function that times one block and returns seconds a call.

    Returns:
        samples by name, in the order of the rounds, and the exceptions of those dropped.
    """
    samples: dict[str, list[float]] = {name: [] for name in timers}
    raised: dict[str, Exception] = {}
    start, rounds = now(), 0
    while samples and rounds < budget.most and (rounds < budget.least or now() - start < budget.seconds):
        for name in rng.sample(sorted(samples), len(samples)):
            try:
                samples[name].append(timers[name]())
            except Exception as error:  # a backend may raise anything; the others go on
                raised[name] = error
                del samples[name]
        rounds += 1
    return samples, raised
