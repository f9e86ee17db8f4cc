"""Whole models: torch eager, channels_last, ONNX Runtime and convbench's own graph, in rounds of random order.

    python scripts/graph_speed.py resnet18 mobilenet_v2 --rounds 15
    python scripts/graph_speed.py resnet50 --threads 2 --layers 20

With one thread the times are CPU time of that thread, so other work on the machine disturbs little; with more they are
wall time. `--save FOLDER` keeps the choices of the tuning and takes them from there the next time.
"""

import argparse
import copy
import io
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from nets import with_plausible_norms
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.graph.build import OwnGraph, build
from convbench.models.load import find_model


def by_onnxruntime(model: nn.Module, x: Tensor, threads: int) -> Callable[[], Any] | None:
    """The model in ONNX Runtime, or None where it cannot be exported."""
    try:
        import onnxruntime
    except ImportError:
        return None
    file = io.BytesIO()
    torch.onnx.export(model, (x,), file, dynamo=False, opset_version=17)  # type: ignore[arg-type]  # a file object is allowed, too
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x.numpy()})


def race(name: str, options: argparse.Namespace) -> None:
    torch.manual_seed(0)
    model = with_plausible_norms(find_model(name).make().eval())
    x = torch.randn(options.batch, 3, options.size, options.size)
    kept = options.save / f"{name.replace(':', '_')}_{options.batch}_{options.threads}.json" if options.save else None
    choices = json.loads(kept.read_text()) if kept is not None and kept.is_file() else None
    start = time.process_time()
    own = build(model, (x,), threads=options.threads, accuracy=options.accuracy, choices=choices, tell=print)
    built = time.process_time() - start
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(own.choices, indent=0))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    x_last = x.to(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], Any]] = {"eager": lambda: model(x), "channels_last": lambda: last(x_last)}
    if not options.no_onnxruntime and (session := by_onnxruntime(model, x, options.threads)) is not None:
        ways["ONNX Runtime"] = session
    ways["own graph"] = lambda: own(x)
    times: dict[str, list[float]] = {way: [] for way in ways}
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    for turn in range(options.rounds + 2):
        for way in random.sample(list(ways), len(ways)):  # none always follows the same one
            start = clock()
            ways[way]()
            if turn >= 2:
                times[way].append(clock() - start)
    truth = tree_leaves(copy.deepcopy(model).double()(x.double()))
    print(f"{name}, batch {options.batch}, {options.threads} threads, built in {built:.1f} s CPU, ", end="")
    print(f"{own.workspace >> 20} MiB, torch {own.torch_share:.0%}")
    for way, seconds in times.items():
        ratios = sorted(a / b for a, b in zip(seconds, times["own graph"], strict=True))
        got = [torch.as_tensor(one) for one in tree_leaves(ways[way]())]
        error = max(float((a.double() - b).norm() / b.norm()) for a, b in zip(got, truth, strict=True))
        low, high = ratios[len(ratios) // 5], ratios[-1 - len(ratios) // 5]
        print(f"  {way:14}{min(seconds) * 1e3:9.2f} ms least{median(seconds) * 1e3:9.2f} median", end="")
        print(f"   own is {median(ratios):5.2f} x as fast ({low:.2f} to {high:.2f})   error {error:.1e}")
    show(own, options.layers)


def show(own: OwnGraph, count: int) -> None:
    """The layers that take the most time."""
    for one in sorted(own.layers, key=lambda one: -one.chosen_s)[:count]:
        error = "" if one.error is None else f"{one.error:.1e}"
        print(f"    {one.chosen_s * 1e3:8.3f} ms {one.name:28} {one.operation:44} {one.chosen:32} {error}", end="")
        print(f"  (default {one.default}: {one.default_s * 1e3:.3f})" if one.default != one.chosen else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--accuracy", default="standard", choices=["strict", "standard"])
    parser.add_argument("--save", type=Path)
    parser.add_argument("--no-onnxruntime", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(mode=False)
    for name in options.models:
        race(name, options)


if __name__ == "__main__":
    main()
