"""Rows for a page, the well-behaved and the hostile."""

import csv
from dataclasses import replace
from math import inf
from pathlib import Path

from convbench.case import Case, Problem
from convbench.machine import Machine
from convbench.outcome import Check, Failed, Outcome, Picture, Result, Skipped, Verified, Wrong
from convbench.rows import Context, text_row, to_row
from convbench.show.charts import Entry
from convbench.spec import ConvSpec
from convbench.store import read_pairs

RESULTS = Path(__file__).parents[1] / "results"
QUICK = RESULTS / "quick-cpu-zen4.csv"
EVIL = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'> {{data}} & \"q\" `$(touch x)`"
MORE = ("peak_flops_per_s", "peak_bytes_per_s", "roofline_s", "bound")


def entries(*paths: Path) -> list[Entry]:
    pairs = [(str(path.name), row, result) for path in paths for row, result in read_pairs(path)]
    return [Entry(number=i, file=file, row=row, result=result) for i, (file, row, result) in enumerate(pairs)]


def hostile(path: Path) -> Path:
    """The quick suite with ceilings, wrong and failed rows, and a text in each cell that would like to be code."""
    with QUICK.open(newline="") as old, path.open("w", newline="") as new:
        rows = csv.DictReader(old)
        writer = csv.DictWriter(new, [*(rows.fieldnames or ()), *MORE])
        writer.writeheader()
        for row in rows:
            row |= {"peak_flops_per_s": "2.6e11", "peak_bytes_per_s": "2.1e10", "bound": "compute " + EVIL}
            if row["outcome"] == "timed":
                row["percent_of_ceiling"] = f"{float(row['gflops']) / 2.6:.3g}"
            if row["backend"] == "unfold-matmul":
                row["backend"] = EVIL
            if row["backend"] == "unfold-einsum" and row["name"] in ("note", "pointwise"):
                row |= {"outcome": "wrong", "reason": EVIL}
            if row["backend"] == "naive-loops":
                row |= {"outcome": "failed", "reason": EVIL}
            row |= {"name": f"{row['name']}{EVIL}", "suite": EVIL, "machine": EVIL, "cpu": EVIL, "torch": EVIL}
            row |= {"command": f'convbench bench --plugin "my kernel.py" --force {EVIL}'}
            writer.writerow(row)
    return path


def faults() -> list[Entry]:
    """What verify may have found: right, wrong, failed, skipped; one text would like to be code."""
    small = Picture(name="y[0,1]", axes=("p", "q"), rows=2, columns=3, shares=((0.1, 3.0, inf), (0.2, 0.3, 4e4)))
    large = Picture(name="y[1,0]", axes=("p", "q"), rows=320, columns=640, shares=((0.5, 2.0) * 32,) * 32)
    bad = Check(worst_of_bound=inf, relative_l2=0.5, evidence="2 of 6 outputs wrong", cause="tap (0,0) is missing")
    outcomes: list[tuple[str, Outcome]] = [
        ("mine", Wrong(replace(bad, smallest="n1c1h1w2k1r1s2", picture=small))),
        (EVIL, Wrong(replace(bad, cause=EVIL, evidence=EVIL, picture=large))),
        ("torch", Verified(Check(worst_of_bound=0.1, relative_l2=1e-7))),
        ("broken", Failed("ValueError: no")),
        ("cudnn", Skipped("cudnn runs on cuda, not on cpu")),
    ]
    case = Case(problem=Problem(suite="shape", name="n1c4h3w4k2r2s2", spec=ConvSpec.parse("n1c4h3w4k2r2s2")))
    context = Context(
        machine=Machine(**dict.fromkeys(Machine.__dataclass_fields__, "one")), threads=1, command="convbench verify"
    )
    results = [Result(case=case, backend=name, family="direct", outcome=outcome) for name, outcome in outcomes]
    return [
        Entry(number=number, file="this run", row=text_row(to_row(result, context)), result=result)
        for number, result in enumerate(results)
    ]
