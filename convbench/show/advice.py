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
LOW_PEAK, DEAR = 25.0, 3.0  # out of proportion: below this percentage of peak, so many times more time than work
# What torch falls back to, and oneDNN's own reference.
SLOW_CODE = ("Slow2d", "SlowDilated2d", "oneDNN ref")


def what_matters(costs: "ModelCosts") -> "tuple[Row, ...]":
    """The rows in which most of what can be gained is; where no peak is known that is time, and untimed it is work."""
    if costs.time_s is None:
        weights = {row: float(row.macs) for row in costs.rows}
    else:
        weights = {row: row.gain_s for row in costs.rows}
    rows = tuple(sorted(costs.rows, key=lambda row: -weights[row]))
    sums = accumulate(weights[row] for row in rows)
    most = MATTERS * sum(weights.values())
    needed = next((number for number, one in enumerate(sums, start=1) if one >= most), len(rows))
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
        f"disturbed, and {plural(len(noisy), 'layer')} of {len(costs.rows)} had too few others (~). Run it again with "
        f"--wait-until-quiet{', or with fewer --threads' if costs.threads > 1 else ''}."
    )


def certain(costs: "ModelCosts") -> str:
    """Which layers are slower than all others in spite of the noise, or "".

    An undisturbed call takes no longer than the least of all samples, so that bounds the others from above.
    """
    rows = costs.by_time
    for count in range(min(MOST_LAYERS, len(rows) - 1), 0, -1):
        top, rest = rows[:count], rows[count:]
        if any(row.noisy or row.ends_s is None for row in top):
            continue
        least = min(row.ends_s[0] for row in top if row.ends_s)
        if least > max(row.ends_s[1] for row in rest if row.ends_s):
            others = "each of the others" if len(rest) > 1 else rest[0].name
            return f"Certain all the same: {_names(top)} {'takes' if count == 1 else 'take'} longer than {others}."
    return ""


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
        if words := certain(costs):
            yield words
        return
    rows, top = costs.by_time, what_matters(costs)
    if costs.disturbed >= MOST_NOISY:
        yield f"{_percent(costs.disturbed)} of the samples were disturbed and are set aside."
    yield from _elsewhere(costs)
    if len(rows) > 1:
        yield _most(costs, top)
        yield _slowest(rows)
    yield from _out_of_proportion(costs, top)
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


def _most(costs: "ModelCosts", top: "Sequence[Row]") -> str:
    many = f"{len(top)} of {plural(len(costs.rows), 'layer')}"
    names = "" if len(top) == 1 else f": {_names(top)}"
    if all(row.percent is None for row in costs.rows):
        share = sum(row.time_share or 0.0 for row in top)
        takes = "takes" if len(top) == 1 else "take"
        return f"{many} {takes} {_percent(share)} of the convolutions' {seconds(costs.time_s)}{names}."
    gains = sum(row.gain_s for row in costs.rows)
    share = sum(row.gain_s for row in top) / gains if gains else 0.0
    whole = f"At 100 % of peak the convolutions would take {seconds(gains)} less"
    return f"{whole}, {_percent(share)} of it in {many}{names}."


def _out_of_proportion(costs: "ModelCosts", top: "Sequence[Row]") -> Iterator[str]:
    """The first layer that takes far more of the time than of the work, far from the peak, and the likely reason."""
    for row in top:
        share, work = row.time_share or 0.0, row.macs / max(1, costs.macs)
        if row.percent is None or row.percent >= LOW_PEAK or share < DEAR * work or row.bound == "memory":
            continue
        groups, channels = row.shape.groups, row.shape.x[1] // row.shape.groups
        why = f"PyTorch runs {row.ran}" if row.ran else "its kernel does not suit it"
        if groups > 1:
            why = f"{groups} groups of {plural(channels, 'channel')}, for which kernels for dense layers do badly"
        elif row.shape.transposed or max(row.shape.dilation) > 1:
            why = "transposed" if row.shape.transposed else "dilated"
        yield (
            f"{row.name} takes {_percent(share)} of the time for {_percent(work)} of the MACs, at {row.percent:.0f} % "
            f"of peak: {why}."
        )
        return


def _elsewhere(costs: "ModelCosts") -> Iterator[str]:
    if costs.conv_time_share is not None and costs.conv_time_share < FEW_CONVOLUTIONS and costs.others_s:
        others = ", ".join(f"{name} {seconds(own_s)}" for name, own_s in costs.others_s[:3])
        yield (
            f"The convolutions take only {_percent(costs.conv_time_share)} of the time of all operators; look at the "
            f"others first: {others}."
        )


def _slowest(rows: "Sequence[Row]") -> str:
    """The first, and how far the order after it can be told: as long as no slower one's samples overlap."""
    first = rows[0]
    slowest = f"The slowest is {first.name}, {seconds(first.time_s)}{_each(first)}."
    for place, (name, row) in enumerate(zip(("the slowest", "second", "third"), rows, strict=False), start=1):
        ends = row.ends_s
        alike = [one for one in rows[place:] if ends and one.ends_s and one.ends_s[1] > ends[0] and not one.noisy]
        if alike:
            words = f"Which is {name} cannot be told: the times of {_names([row, *alike[:2]])} overlap."
            return words if row is first else f"{slowest} {words}"
    return slowest


def _each(row: "Row") -> str:
    return f" in {row.count} calls" if row.count > 1 else ""


def _reached(top: "Sequence[Row]") -> Iterator[str]:
    known = [(row, percent) for row in top if (percent := row.percent) is not None]
    if not known:
        yield "How near they come to what this CPU can do is unknown until convbench ceilings has measured it."
        return
    row, percent = max(known, key=lambda pair: pair[0].gain_s)
    bound = " (memory bound: fuse it with its neighbours, as torch.compile does)" if row.bound == "memory" else ""
    most = seconds(row.gain_s)
    yield f"{row.name} reaches {percent:.0f} % of peak{bound}; at 100 % it would take {most} less."
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
    """0 and 100 % only if exact."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")
