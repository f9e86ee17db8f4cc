"""Which backend is probably the fastest for a case, without measuring it? What `auto` takes without a plan.

`scripts/cost_table.py` measured the backends that come with convbench on the problems of its suites, and fitted the
logarithm of each one's time to a quadratic of the features below. Sizes beyond those that were measured count as the
nearest of them. The table is of one thread of a CPU with AVX2; it is taken for other CPUs too, where only the features
of the register tile differ: what a kernel reaches of its CPU's peak is much alike with AVX-512 (docs/auto.md).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations_with_replacement
from math import exp, log2
from pathlib import Path

from convbench.backend import BASELINE
from convbench.backends import _aten
from convbench.case import Case
from convbench.spec import ConvSpec

FILE = Path(__file__).with_name("cost_table.json")
# Of the backends that come with convbench. `onednn` is what `torch` runs where both can; of `depthwise` and `grouped`,
# which are one kernel, the first is asked.
NAMES = (BASELINE, "onednn-prepacked", "winograd", "direct", "gemm-1x1", "depthwise", "grouped")
HOPELESS = 3.0  # so many times the predicted time of the best is not worth a race
# One more pass over y, where a backend does not fuse the epilogue: seconds for each output and for the call.
PASS_S, PASS_CALL_S = 1e-9, 3e-6
TILE = (16, 6)  # pixels and filters of the register tile with AVX2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The time of a backend: exp(mean + coefficients . products of features) of `base_s`."""

    mean: float
    coefficients: Sequence[float]

    def seconds(self, products: Sequence[float], base: float) -> float:
        return base * exp(self.mean + sum(map(float.__mul__, self.coefficients, products)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """The fits of a pass and layout by `variant`, and the least and the largest value of each feature measured."""

    least: Sequence[float]
    most: Sequence[float]
    fits: Mapping[str, Fit]

    def predict(self, case: Case) -> dict[str, float]:
        """Seconds of a call on one thread, by backend: none for one that was never measured."""
        values = [
            min(max(one, low), high) for one, low, high in zip(features(case.spec), self.least, self.most, strict=True)
        ]
        known, base = products(values), base_s(case.spec)
        found = {name: self.fits.get(variant(name, case)) for name in NAMES}
        return {
            name: fit.seconds(known, base) + epilogue_s(name, case) for name, fit in found.items() if fit is not None
        }


def features(spec: ConvSpec, tile: tuple[int, int] = TILE) -> list[float]:
    """What the time of a problem depends on besides its work: logarithms of sizes, and yes or no."""
    pixels, rows = tile
    q, pq, kg, cg = spec.q, spec.p * spec.q, spec.k_per_group, spec.c_per_group
    logs = (spec.n, cg, kg, spec.groups, pq, spec.r * spec.s, q)
    wasted = (_up(q, pixels) / max(q, 1), _up(pq, pixels) / max(pq, 1), _up(kg, rows) / max(kg, 1))
    flags = (
        spec.stride != (1, 1),
        spec.dilation != (1, 1),
        spec.r == spec.s == 1,
        (spec.r, spec.s) == (3, 3),
        spec.groups > 1,
        spec.groups > 1 and cg == 1,
        any(spec.sides),
    )
    return [
        *(log2(max(one, 1)) / 4 for one in logs),
        *(log2(max(one, 1)) / 2 for one in wasted),
        *(float(one) / 2 for one in flags),
    ]


def products(values: Sequence[float]) -> list[float]:
    """1, the features, and the products of two of them."""
    return [one * other for one, other in combinations_with_replacement([1.0, *values], 2)]


def base_s(spec: ConvSpec) -> float:
    """Seconds that a problem would take at 40 GFLOP/s, and 20 microseconds for the call."""
    return spec.macs / 20e9 + 20e-6


def variant(name: str, case: Case) -> str:
    """torch has several algorithms, with a rule of its own for the choice."""
    return f"{name} {_aten.library(case)}" if name == BASELINE else name


def table_of(case: Case) -> str | None:
    """The table for a case; None if there is none: then torch does it."""
    if not case.target.on_host or case.dtype != "fp32" or case.spec.macs == 0:
        return None
    layout = "nhwc" if case.layout == "nhwc" else "nchw"
    return {"fprop": f"fprop {layout}", "dgrad": "dgrad nchw" if layout == "nchw" else None}.get(case.pass_)


def epilogue_s(name: str, case: Case) -> float:
    """Seconds of the passes over y after a backend that does not fuse all of it; convbench's own do."""
    passes = {BASELINE: int(case.relu), "onednn-prepacked": (case.epilogue != "none") + case.relu}.get(name, 0)
    return passes * (PASS_S * case.spec.n * case.spec.k * case.spec.p * case.spec.q + PASS_CALL_S)


@lru_cache(4096)
def predicted(case: Case, threads: int) -> dict[str, float]:  # noqa: ARG001  # torch's own rule depends on them
    """Seconds of a call, by backend, the least first; none without a table."""
    tables, name = _tables(), table_of(case)
    found = tables[name].predict(case) if name in tables else {}
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def ranked(case: Case) -> tuple[str, ...]:
    """The backends by their predicted time, the fastest first; some of them may refuse the case."""
    return tuple(predicted(case, _threads()))


def hopeless(case: Case, names: Sequence[str]) -> dict[str, str]:
    """Those of these backends, which all do the case, that are not worth a race, with the reason."""
    seconds = {name: one for name, one in predicted(case, _threads()).items() if name in names}
    best = min(seconds.values(), default=0.0)
    return {
        name: f"the cost table expects it to be {one / best:.0f} times slower than the best"
        for name, one in seconds.items()
        if one > HOPELESS * best and name != BASELINE
    }


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@cache
def _tables() -> dict[str, CostTable]:
    return dict(_read(json.loads(FILE.read_text(encoding="utf-8"))))


def _read(data: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, CostTable]]:
    for name, table in data.items():
        fits = {one: Fit(**fit) for one, fit in table["fits"].items()}  # type: ignore[attr-defined]  # JSON
        yield name, CostTable(least=table["least"], most=table["most"], fits=fits)  # type: ignore[arg-type]  # JSON


def _up(count: int, to: int) -> int:
    return -(-count // to) * to
