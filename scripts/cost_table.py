"""The cost table of `auto`: measure the backends that come with convbench, and fit the table to their times.

    python scripts/cost_table.py measure TIMES.csv [SUITE ...]
    python scripts/cost_table.py fit TIMES.csv ...
    python scripts/cost_table.py regret TIMES.csv ... -- AGAIN.csv

`measure` continues its file. It writes CPU time of one thread, which others on the machine disturb less than that of
the clock; the backends take turns, and the fastest of the rounds counts. `fit` writes
convbench/backends/cost_table.json. `regret` fits to four fifths of the problems and chooses for the last one, five
times: how much longer than the best does the choice take? The best is found in TIMES.csv and both are compared in
AGAIN.csv, which was measured independently: within one file the best would be the luckiest.
"""

import csv
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from convbench import Case, ConvSpec, Problem, discover
from convbench.backends._cost_table import (
    FILE,
    NAMES,
    CostTable,
    Fit,
    base_s,
    features,
    products,
    table_of,
    variant,
)
from convbench.call.bind import bound, conditions, prepare
from convbench.case import cases
from convbench.suites import load_suite
from convbench.verify.operands import make_operands

SUITES = (
    "quick resnet18 resnet50 vgg16 mobilenet_v2 efficientnet_b0 resnext50_32x4d convnext_tiny googlenet "
    "deepbench_inference_device deepbench_inference_server benchdnn_dilated benchdnn_googlenet_v3 benchdnn_unet "
    "benchdnn_mobilenet benchdnn_perf_basic benchdnn_alexnet asymmetric deepbench_training torchbench_mobilenet_v2_bs96"
).split()
KINDS = (("nchw", "fprop"), ("nhwc", "fprop"), ("nchw", "dgrad"))
BATCHES = (1, 4)  # the rows of models come with a batch of 1, or with one too large to be timed often
MOST_FLOPS, MOST_NUMBERS = 1.5e9, 1e7
ROUNDS, SHORTEST_S = 8, 2e-3
COLUMNS = ("spec", "layout", "pass", *NAMES)
RIDGE = 0.05
FOLDS = 5


@dataclass(frozen=True)
class Measured:
    """The seconds of a case, by backend."""

    case: Case
    seconds: dict[str, float]

    @property
    def best(self) -> str:
        return min(self.seconds, key=self.seconds.__getitem__)


def case_of(spec: ConvSpec, layout: str, pass_: str) -> Case:
    (case,) = cases([Problem(suite="table", name=str(spec), spec=spec)], layouts=[layout], passes=[pass_])
    return case


def problems(suites: Iterable[str]) -> Iterator[ConvSpec]:
    """Each problem of the suites once, with a batch of 1 and a small one."""
    seen = set()
    for suite in suites:
        for problem in load_suite(suite):
            for n in BATCHES:
                spec = replace(problem.spec, n=n)
                small = 0 < spec.flops <= MOST_FLOPS and n * spec.c * spec.h * spec.w <= MOST_NUMBERS
                if small and str(spec) not in seen and not problem.skip:
                    seen.add(str(spec))
                    yield spec


def measure(case: Case) -> dict[str, float]:
    """Seconds a call, by backend."""
    operands = dict(zip(case.operands, make_operands(case), strict=True))
    calls: dict[str, Callable[[], Any]] = {}
    with conditions(case):
        for backend in discover(names=NAMES)[0]:
            if backend.why_not(case) is None:
                given, _ = prepare(backend, case, operands)
                calls[backend.name] = bound(backend, case, given)
        for call in calls.values():
            call()
        repeats = {name: max(1, int(SHORTEST_S / seconds(call, 1))) for name, call in calls.items()}
        found: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                call()
                found[name].append(seconds(call, repeats[name]))
    return {name: min(one) for name, one in found.items()}


def seconds(call: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return max((time.process_time() - start) / repeats, 1e-9)


def measure_all(path: Path, suites: Sequence[str]) -> None:
    done = {(str(one.case.spec), one.case.layout, one.case.pass_) for one in read([path])} if path.exists() else set()
    every = [(spec, *kind) for spec in problems(suites or SUITES) for kind in KINDS]
    todo = [(spec, layout, pass_) for spec, layout, pass_ in every if (str(spec), layout, pass_) not in done]
    random.Random(0).shuffle(todo)
    with path.open("a", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        if not done:
            rows.writerow(COLUMNS)
        for number, (spec, layout, pass_) in enumerate(todo, start=1):
            took = measure(case_of(spec, layout, pass_))
            rows.writerow([str(spec), layout, pass_, *(f"{took[name]:.4g}" if name in took else "" for name in NAMES)])
            file.flush()
            print(f"\r{number}/{len(todo)}", end="", file=sys.stderr, flush=True)


def read(paths: Iterable[Path]) -> list[Measured]:
    """The rows of the files, of a case in several of them the fastest times; what two backends share is one time."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                took = {name: float(row[name]) for name in NAMES if row[name]}
                if "depthwise" in took and "grouped" in took:
                    took |= dict.fromkeys(("depthwise", "grouped"), min(took["depthwise"], took["grouped"]))
                known = found.setdefault((row["spec"], row["layout"], row["pass"]), took)
                known |= {name: min(one, known.get(name, one)) for name, one in took.items()}
    return [Measured(case_of(ConvSpec.parse(spec), *kind), took) for (spec, *kind), took in found.items()]


def fit(rows: Sequence[Measured]) -> dict[str, CostTable]:
    """A table for each pass and layout."""
    kinds = sorted({kind for row in rows if (kind := table_of(row.case)) is not None})
    return {kind: fit_kind([row for row in rows if table_of(row.case) == kind]) for kind in kinds}


def fit_kind(rows: Sequence[Measured]) -> CostTable:
    every = [features(row.case.spec) for row in rows]
    by_variant: dict[str, list[tuple[list[float], float]]] = {}
    for row, values in zip(rows, every, strict=True):
        for name, took in row.seconds.items():
            target = log(took / base_s(row.case.spec))
            by_variant.setdefault(variant(name, row.case), []).append((products(values), target))
    return CostTable(
        least=[round(min(one), 4) for one in zip(*every, strict=True)],
        most=[round(max(one), 4) for one in zip(*every, strict=True)],
        fits={name: solve(points) for name, points in sorted(by_variant.items())},
    )


def solve(points: Sequence[tuple[list[float], float]]) -> Fit:
    """Ridge regression with weights that make far points count less, as some were measured in a bad moment."""
    x, y = (torch.tensor(one, dtype=torch.float64) for one in zip(*points, strict=True))
    mean, weights = y.mean(), torch.ones_like(y)
    for _ in range(5):
        normal = (x.T * weights) @ x + RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
        found = torch.linalg.solve(normal, (x.T * weights) @ (y - mean))
        weights = 0.05 / (x @ found + mean - y).abs().clamp(min=0.05)
    return Fit(mean=float(mean), coefficients=[float(f"{one:.4g}") for one in found.tolist()])


def write(tables: dict[str, CostTable]) -> None:
    data = {
        kind: {
            "least": table.least,
            "most": table.most,
            "fits": {
                name: {"mean": float(f"{one.mean:.4g}"), "coefficients": one.coefficients}
                for name, one in table.fits.items()
            },
        }
        for kind, table in tables.items()
    }
    FILE.write_text(json.dumps(data, separators=(",", ":")).replace('},"', '},\n"') + "\n")


def regret(paths: Sequence[Path], again: Path) -> None:
    rows = read(paths)
    second = {one.case: one.seconds for one in read([again])}
    specs = sorted({str(row.case.spec) for row in rows})
    random.Random(1).shuffle(specs)
    found: list[tuple[float, Measured, str]] = []
    for fold in range(FOLDS):
        held_out = set(specs[fold::FOLDS])
        tables = fit([row for row in rows if str(row.case.spec) not in held_out])
        for row in rows:
            kind = table_of(row.case)
            if str(row.case.spec) not in held_out or row.case not in second or kind is None:
                continue
            guess = {name: one for name, one in tables[kind].predict(row.case).items() if name in row.seconds}
            chosen, took = min(guess, key=guess.__getitem__), second[row.case]
            found.append((took[chosen] / took[row.best], row, chosen))
    for layout, pass_ in KINDS:
        of_kind = [one for one in found if (one[1].case.layout, one[1].case.pass_) == (layout, pass_)]
        print(f"\n{pass_} {layout}: {len(of_kind)} problems that the table had not seen")
        for label, rest in (("table", None), *((name, name) for name in NAMES[:2])):
            ratios = []
            for ratio, row, _ in of_kind:
                took = second[row.case]
                if rest is None or rest in took:
                    ratios.append(ratio if rest is None else took[rest] / took[row.best])
            if ratios:
                mean, worse = exp(fmean(map(log, ratios))), sum(one > 1.1 for one in ratios)
                print(f"  {label:17} {100 * (mean - 1):6.1f} % longer than the best; more than 10 % for {worse}")
        for ratio, row, chosen in sorted(of_kind, key=lambda one: -one[0])[:5]:
            took = second[row.case]
            times = ", ".join(f"{name} {1e3 * took[name]:.3f}" for name in sorted(took, key=took.__getitem__))
            print(f"  {ratio:.2f} {row.case.spec}: {chosen} instead of {row.best} (ms: {times})")


def main(words: Sequence[str]) -> None:
    torch.set_num_threads(1)
    match words:
        case ["measure", path, *suites]:
            measure_all(Path(path), suites)
        case ["fit", *paths] if paths:
            write(fit(read(map(Path, paths))))
        case ["regret", *paths, "--", again] if paths:
            regret([*map(Path, paths)], Path(again))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
