"""How high does each probe get when all of them take turns?"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

BURST_S = 0.025  # long enough for the clock to rise and a pool of threads to wake


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One way to keep the machine busy.

    Attributes:
        name: what computes, or which level of memory and how it is read and written.
        work: operations, bytes or calls of one block.
        run: does one block, some milliseconds long, and returns its seconds.
    """

    name: str
    work: float
    run: Callable[[], float]


# A probe and how it is made, or why it cannot be: libraries and dtypes are missing on many a machine.
Recipe = tuple[str, Callable[[], Probe]]


def make(recipes: Iterable[Recipe]) -> tuple[list[Probe], dict[str, str]]:
    """The probes that run here, and for the others the reason why not, by name."""
    probes, missing = [], {}
    for name, build in recipes:
        try:
            probe = build()
            probe.run()
            probes.append(probe)
        except Exception as error:  # third-party code: whatever it raises, the other probes still count
            missing[name] = f"{type(error).__name__}: {error}".partition("\n")[0]
    return probes, missing


def highest(
    probes: Sequence[Probe],
    seconds: float,
    *,
    burst_s: float = BURST_S,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The highest work a second of each probe, over interleaved bursts.

    A ceiling is what the machine does undisturbed, so the best block counts and
    not the median. The first block of a burst warms up. The rounds are whole, so each
    probe has as many chances, and go on until `seconds` have passed.
    """
    best = dict.fromkeys((probe.name for probe in probes), 0.0)
    start = clock()
    while probes:
        for probe in probes:
            begin = clock()
            probe.run()
            while True:
                best[probe.name] = max(best[probe.name], probe.work / probe.run())
                if clock() - begin >= burst_s:
                    break
        if clock() - start >= seconds:
            break
    return best


def in_blocks(
    name: str, work: float, call: Callable[[], object], timed: Callable[[int], float], *, block_s: float = 2e-3
) -> Probe:
    """A probe of as many calls as fill a block; `timed(count)` is the seconds of `count` calls."""
    call()
    count = 1
    while (elapsed := min(timed(count) for _ in range(2))) < block_s / 2 and count < 1 << 20:
        count = min(1 << 20, max(2 * count, round(count * block_s / max(elapsed, 1e-9) / 2)))
    return Probe(name=name, work=work * count, run=lambda: timed(count))
