"""Rows for a page, the well-behaved and the hostile."""

import csv
from pathlib import Path

from convbench.show.charts import Entry
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
