"""How exact is convbench's own graph of whole models? Against float64, on many random inputs, in both accuracy classes.

    python scripts/accuracy.py resnet18 mobilenet_v2 --inputs 100
    python scripts/accuracy.py scripts/nets.py:UNet --input 1x3x256x256 --csv accuracy.csv

Besides the model's own input, half of the inputs have magnitude 1, and the others magnitudes from 1e-3 to 1e3, evenly
spaced in their logarithms.
`allowed` is the largest share of what the class allows that an error took.
"""

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import torch
from nets import with_plausible_norms

from convbench.graph.build import build
from convbench.machine import cpu_name
from convbench.models.accuracy import distance
from convbench.models.load import find_model
from convbench.optimize.proof import prove
from convbench.optimize.subject import ModelCall, as_inputs, tensors_of

COLUMNS = ("model", "input", "accuracy", "inputs", "eager_error", "error", "allowed", "wrong", "cpu", "torch")


def measure(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    torch.manual_seed(options.seed)
    model = with_plausible_norms(find_model(name).make().eval())
    x = torch.randn(*map(int, options.input.split("x")))
    half = options.inputs // 2
    magnitudes = [1.0] * (options.inputs - half) + torch.logspace(-3, 3, half).tolist()
    subject = ModelCall(name=name, model=model, inputs=as_inputs(x))
    rows, strict = [], prove(subject, "strict", seed=options.seed, magnitudes=magnitudes)
    for accuracy in ("strict", "standard"):
        proof = strict.judged_by(accuracy)
        graph = build(model, (x,), threads=options.threads, accuracy=accuracy, tune_s=options.tune, tell=lambda _: None)
        answers = [tensors_of(one.inputs.call(graph)) for one in proof.truths]
        found = proof.judge(answers)
        shares = [distance(y, one.out) / one.allowed for y, one in zip(answers, proof.truths, strict=True)]
        rows.append(
            {
                "model": name,
                "input": options.input,
                "accuracy": accuracy,
                "inputs": len(proof.truths),
                "eager_error": f"{proof.eager_error:.2e}",
                "error": f"{found.error:.2e}",
                "allowed": f"{max(shares):.2f}",
                "wrong": found.wrong,
                "cpu": cpu_name(),
                "torch": torch.__version__,
            }
        )
        print(
            f"{name:24s} {options.input:14s} {accuracy:9s} {len(proof.truths):4d} inputs: "
            f"eager {proof.eager_error:.2e}, ours {found.error:.2e}, {max(shares):.2f} of what is allowed",
            found.wrong,
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--input", default="1x3x224x224")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tune", type=float, default=0.0, metavar="SECONDS", help="tune the graph for so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, help="append the rows to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(mode=False)
    wrong = False
    for name in options.models:
        rows = measure(name, options)
        wrong |= any(row["wrong"] for row in rows)
        if options.csv is not None:
            append(options.csv, rows)
    sys.exit(wrong)


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
