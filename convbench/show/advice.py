"""Which layers of a model are slow, and what should its owner do? In sentences, each from what was measured."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from convbench.errors import plural
from convbench.show.units import seconds

if TYPE_CHECKING:
    from convbench.models.costs import ModelCosts, Row

MATTERS, MOST_LAYERS = 0.6, 5  # the layers that take so much of the time together, at most so many
MOST_NOISY = 0.1  # of the time: above, nothing is said of the order
FEW_CONVOLUTIONS = 0.5  # of the time of all operators: below, the rest is named first
NEAR_PEAK = 75.0  # percent: no kernel gains much there
# What torch falls back to, and oneDNN's own reference.
SLOW_CODE = ("Slow2d", "SlowDilated2d", "oneDNN ref")


def what_matters(costs: "ModelCosts") -> "tuple[Row, ...]":
    """The slowest rows, which take most of the convolutions' time together; untimed, those of the most work."""
    timed = costs.time_s is not None
    rows = costs.by_time if timed else tuple(sorted(costs.rows, key=lambda row: -row.macs))
    shares = accumulate((row.time_share or 0.0) if timed else row.macs / max(1, costs.macs) for row in rows)
    needed = next((number for number, share in enumerate(shares, start=1) if share >= MATTERS), len(rows))
    return rows[: min(needed, MOST_LAYERS)]


def cannot_tell(costs: "ModelCosts") -> str:
    """Why nothing can be said of the order, or ""."""
    if costs.time_s is None:
        return ""
    noisy = [row for row in costs.rows if row.noisy]
    if sum(row.time_share or 0.0 for row in noisy) <= MOST_NOISY:
        return ""
    return (
        f"The machine is too busy to tell which layer is slow: {_percent(costs.disturbed)} of the samples were "
        f"disturbed, and {plural(len(noisy), 'layer')} of {len(costs.rows)} had too few others (~). Run it again when "
        f"convbench doctor finds the machine quiet."
    )


def advice(costs: "ModelCosts", command: str = "", *, suite: str | None = None, raced: bool = False) -> Iterator[str]:
    """The answer, in a few sentences; nothing where nothing was timed.

    Args:
        command: what timed it, to be run again with --race.
        suite: the file that the table was written to.
        raced: the layers that matter are timed against each other next.
    """
    if costs.time_s is None or not costs.rows:
        return
    if why := cannot_tell(costs):
        yield why
        return
    rows, top = costs.by_time, what_matters(costs)
    if costs.disturbed >= MOST_NOISY:
        yield f"{_percent(costs.disturbed)} of the samples were disturbed and are set aside."
    yield from _elsewhere(costs)
    share = sum(row.time_share or 0.0 for row in top)
    if len(rows) > 1:
        yield (
            f"{len(top)} of {plural(len(rows), 'layer')} {'takes' if len(top) == 1 else 'take'} {_percent(share)} of "
            f"the convolutions' {seconds(costs.time_s)}{'' if len(top) == 1 else ': ' + _names(top)}."
        )
        yield _slowest(rows)
    yield from _reached(top)
    yield from _causes(top)
    if raced or not (own := [row for row in top if row.shape.why_no_spec is None]):
        return
    if suite is not None:
        pattern = "|".join(f":{name}$" for name in (_escaped(row.name) for row in own))
        yield f"Next: convbench bench --suite {shlex.quote(suite)} --match {shlex.quote(pattern)}"
    else:
        again = command or f"convbench model {shlex.quote(costs.model)}"
        yield f"Next: {again} --race times every backend on {_these(own)}."


def _elsewhere(costs: "ModelCosts") -> Iterator[str]:
    if costs.conv_time_share is not None and costs.conv_time_share < FEW_CONVOLUTIONS and costs.others_s:
        others = ", ".join(f"{name} {seconds(own_s)}" for name, own_s in costs.others_s[:3])
        yield (
            f"The convolutions take only {_percent(costs.conv_time_share)} of the time of all operators; look at the "
            f"others first: {others}."
        )


def _slowest(rows: "Sequence[Row]") -> str:
    """The first, and those whose samples overlap with its own."""
    first = rows[0]
    ends = first.ends_s
    alike = [row for row in rows[1:] if ends and row.ends_s and row.ends_s[1] > ends[0] and not row.noisy]
    if not alike:
        return f"The slowest is {first.name}, {seconds(first.time_s)}{_each(first)}."
    return f"Which is the slowest cannot be told: the times of {_names([first, *alike[:2]])} overlap."


def _each(row: "Row") -> str:
    return f" in {row.count} calls" if row.count > 1 else ""


def _reached(top: "Sequence[Row]") -> Iterator[str]:
    known = [(row, percent) for row in top if (percent := row.percent) is not None]
    if not known:
        yield "How near they come to what this CPU can do is unknown until convbench ceilings has measured it."
        return
    lost = {row.name: (row.time_s or 0.0) * max(0.0, 1 - percent / 100) for row, percent in known}
    row, percent = max(known, key=lambda pair: lost[pair[0].name])
    bound = " (memory bound: fuse it with its neighbours, as torch.compile does)" if row.bound == "memory" else ""
    most = seconds(lost[row.name])
    yield f"{row.name} reaches {percent:.0f} % of what this CPU can do{bound}; at most {most} can be gained there."
    if min(percent for _, percent in known) >= NEAR_PEAK:
        yield "All of them are near the peak: only less work helps, by smaller images, fewer channels or fewer bits."


def _causes(top: "Sequence[Row]") -> Iterator[str]:
    for row in top:
        if row.ran.startswith(SLOW_CODE):
            yield (
                f"{row.name} runs {row.ran}, a fallback; convbench ran {row.shape} --dtype {row.shape.dtype} "
                f"--layout {row.shape.layout} says why."
            )


def _names(rows: "Sequence[Row]") -> str:
    names = [row.name for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _these(rows: "Sequence[Row]") -> str:
    return "it" if len(rows) == 1 else f"these {len(rows)}"


def _escaped(name: str) -> str:
    return name.replace("*", "x").replace(".", r"\.")


def _percent(share: float) -> str:
    """100 % only if exact."""
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")
