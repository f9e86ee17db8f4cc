"""Is this machine as fast as when it started, and as others of its kind?

Three fixed convolutions of torch, measured again and again while other work runs, in a tenth of a second. A machine
whose canaries become slower, or are slower than those of its kind, is not to be believed (`convbench merge` says so).
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from statistics import median

from convbench.device import find_device
from convbench.spec import ConvSpec

# One that computes, one that moves data, one of many small sums.
SHAPES = ("n1c64h28w28k64r3s3_pd1", "n1c256h28w28k64r1s1", "n1c96h56w56k96r3s3_pd1_g96")
WARM_S, EACH_S, FEWEST = 5e-3, 30e-3, 9
AGAIN_S = 60.0


@dataclass(slots=True)
class Canaries:
    """The medians of the latest measurement, in seconds; none before the first."""

    device: str
    medians_s: tuple[float, ...] = ()
    _since: float = field(default=0.0, init=False)

    def measure(self, *, sure: bool = False) -> None:
        """Measure if a minute has passed since the last time, or if it must be."""
        if sure or time.monotonic() - self._since >= AGAIN_S:
            self.medians_s = measure(self.device)
            self._since = time.monotonic()

    @property
    def cell(self) -> str:
        """As in a row."""
        return " ".join(f"{one:.4g}" for one in self.medians_s)


def measure(device: str) -> tuple[float, ...]:
    """Seconds per call of each canary, with torch's present number of threads.

    An accelerator is measured in a process of its own: this one may have no context on it.
    """
    if find_device(device).on_host:
        return _measure(device)
    words = [sys.executable, "-m", __name__, device]
    done = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  # of our own
    return tuple(json.loads(done.stdout))


def _measure(device: str) -> tuple[float, ...]:
    return tuple(_median_s(device, shape) for shape in SHAPES)


def _median_s(device: str, shape: str) -> float:
    import torch
    from torch.nn.functional import conv2d

    spec, target = ConvSpec.parse(shape), find_device(device)
    x, w = (torch.ones(size, device=device) for size in (spec.x_shape, spec.w_shape))

    def call() -> torch.Tensor:
        return conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

    with torch.no_grad():
        end = time.perf_counter() + WARM_S
        while time.perf_counter() < end:
            target.time_block(call, 1)
        samples: list[float] = []
        end = time.perf_counter() + EACH_S
        while len(samples) < FEWEST or time.perf_counter() < end:
            samples.append(target.time_block(call, 1))
    return median(samples)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1])))
