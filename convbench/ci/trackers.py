"""Rows as the numbers of a benchmark tracker: Bencher's format, and that of github-action-benchmark.

A timed row is its median; of a row that was only verified it is the largest error as a share of its bound. Other rows
have no number.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from convbench.ci.findings import Pair, row_names
from convbench.outcome import Timed, Verified
from convbench.show.tables import ratio_words

_NS = 1e9  # nanoseconds, the unit of Bencher's measure `latency`


def bmf(pairs: Sequence[Pair]) -> str:
    """Bencher Metric Format: https://bencher.dev/docs/reference/bencher-metric-format/.

    `latency` is the median in nanoseconds with the quartiles as its bounds, `worst-of-bound` the error.
    """
    found = {}
    for name, outcome in _numbers(pairs):
        measures: dict[str, dict[str, float]] = {}
        if isinstance(outcome, Timed):
            low, high = outcome.quartiles_s
            values = {"value": outcome.median_s, "lower_value": low, "upper_value": high}
            measures["latency"] = {which: _digits(seconds * _NS) for which, seconds in values.items()}
        if isfinite(outcome.check.worst_of_bound):
            measures["worst-of-bound"] = {"value": _digits(outcome.check.worst_of_bound)}
        found[name] = measures
    return _text(found)


def github_benchmark(pairs: Sequence[Pair]) -> str:
    """What github-action-benchmark reads with `tool: customSmallerIsBetter`.

    See https://github.com/benchmark-action/github-action-benchmark.
    """
    found = []
    for name, outcome in _numbers(pairs):
        entry: dict[str, str | float] = {"name": name}
        if isinstance(outcome, Timed):
            low, high = outcome.quartiles_s
            compared = outcome.comparison
            versus = f"\nvs torch: {ratio_words(compared)}, {compared.verdict}" if compared else ""
            entry |= {
                "unit": "ns",
                "value": _digits(outcome.median_s * _NS),
                "range": f"± {(high - low) / 2 * _NS:.0f}",
                "extra": f"median and half of the interquartile range of {len(outcome.samples_s)} samples{versus}",
            }
        else:
            entry |= {"unit": "of bound", "value": _digits(outcome.check.worst_of_bound)}
        found.append(entry)
    return _text([one for one in found if isfinite(float(one["value"]))])


def without_number(pairs: Sequence[Pair]) -> int:
    """How many rows a tracker is not told of: those that were skipped, wrong or failed."""
    return sum(not isinstance(result.outcome, Timed | Verified) for _, result in pairs)


def _numbers(pairs: Sequence[Pair]) -> Iterator[tuple[str, Timed | Verified]]:
    """The rows that have a number, by name."""
    names = row_names(result.key(row["threads"]) for row, result in pairs)
    for name, (_, result) in zip(names, pairs, strict=True):
        if isinstance(result.outcome, Timed | Verified):
            yield name, result.outcome


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _text(value: Sequence[Any] | Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
