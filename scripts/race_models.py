"""How much faster do whole models become? `convbench optimize` on each, and the memory's read bandwidth at that time.

    python scripts/race_models.py                      # resnet18 ... U-Net, batch 1 and 8
    python scripts/race_models.py resnet18 --batch 8 --csv models.csv

A row for each model and candidate, as `convbench optimize --csv` writes it. `ratio_next`, `low_next` and `high_next`:
the winner's speed over the next candidate's in the race of the finalists. `read_gb_s`: all threads read what no cache
holds, the best of a second before the race and one after it.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from convbench.ceilings.cpu import level_nbytes, memory_probes
from convbench.ceilings.measure import highest, make
from convbench.machine import cpu_name

# By model: its input for one image, and the seconds of rounds for each candidate and image.
MODELS = {
    "resnet18": ("3x224x224", 5.0),
    "resnet50": ("3x224x224", 10.0),
    "vgg16": ("3x224x224", 20.0),
    "mobilenet_v2": ("3x224x224", 4.0),
    "efficientnet_b0": ("3x224x224", 5.0),
    "convnext_tiny": ("3x224x224", 10.0),
    "timm:mobilenetv3_small_050": ("3x224x224", 4.0),
    "scripts/nets.py:UNet": ("3x256x256", 15.0),
}
LARGER = 2.5  # times the budget of one image, for a batch of eight


def read_gb_s(threads: int) -> float:
    """The memory's read bandwidth, in a process of its own: this one keeps no threads."""
    code = f"import runpy; print(runpy.run_path({__file__!r})['best_read']({threads}))"
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def best_read(threads: int) -> float:
    torch.set_num_threads(threads)
    probes, _ = make(one for one in memory_probes("memory", level_nbytes(None, 0), threads) if "read" in one[0])
    return max(highest(probes, 1.0).values()) / 1e9


def race(model: str, size: str, budget_s: float, threads: int) -> list[dict[str, Any]]:
    command = ["optimize", model, "--input", size, "--budget", f"{budget_s:g}", "--threads", f"{threads}", "--json"]
    before = read_gb_s(threads)
    ran = subprocess.run([sys.executable, "-m", "convbench", *command], stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode not in (0, 3):
        raise SystemExit(f"convbench {' '.join(command)} ended with {ran.returncode}")
    found = json.loads(ran.stdout)
    after = read_gb_s(threads)
    following = found["second"] or {}
    print(f"{model} {size}: {found['sentence']}", *found["remarks"], sep="\n  ", flush=True)
    return [
        {
            "model": Path(model).name,
            "input": found["input"],
            "threads": threads,
            "accuracy": found["accuracy"],
            **{key: value for key, value in one.items() if key not in ("code", "note")},
            "eager_relative_l2": found["eager_relative_l2"],
            "winner": found["winner"],
            "next": following.get("candidate"),
            **{f"{key}_next": _inverse(following.get(of)) for key, of in INVERSE.items()},
            "torch_share": found["torch_share"],
            "read_gb_s": round(max(before, after), 2),
            "budget_s": budget_s,
            "cpu": cpu_name(),
            "torch": torch.__version__,
            "note": one["note"],
        }
        for one in found["candidates"]
    ]


INVERSE = {"ratio": "ratio", "low": "high", "high": "low"}  # the race of the finalists has the next one over the winner


def _inverse(value: float | None) -> float | None:
    return 1 / value if value else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"default: all of {', '.join(MODELS)}")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="of the budgets")
    parser.add_argument("--csv", type=Path, help="append the rows to this file")
    options = parser.parse_args()
    if unknown := [model for model in options.models if model not in MODELS]:
        parser.error(f"{unknown[0]}: give some of {', '.join(MODELS)}")
    for batch in options.batch:
        for model in options.models or MODELS:
            size, budget_s = MODELS[model]
            scale = options.scale * (LARGER if batch > 1 else 1.0)
            rows = race(model, f"{batch}x{size}", scale * budget_s, options.threads)
            if options.csv is not None:
                fresh = not options.csv.exists()
                with options.csv.open("a", newline="") as file:
                    out = csv.DictWriter(file, rows[0], lineterminator="\n")
                    if fresh:
                        out.writeheader()
                    out.writerows(rows)


if __name__ == "__main__":
    main()
