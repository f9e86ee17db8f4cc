"""Is this machine as fast as when it started, and as others of its kind?

Three fixed convolutions of torch, measured again and again while other work runs, in less than a tenth of a second. A
machine whose canaries become slower, or are slower than those of its kind, is not to be believed (`convbench merge`
says so).

A load that stays must show, and one that passes must not. A window of many calls has the waits for a core in it, which
the median of single calls would not have. Of several windows the fastest counts, and where they disagree more are
taken, so a short disturbance is outlived.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from convbench.device import Device, find_device
from convbench.spec import ConvSpec

# One that computes, one that moves data, one of many small sums.
SHAPES = ("n1c64h28w28k64r3s3_pd1", "n1c256h28w28k64r1s1", "n1c96h56w56k96r3s3_pd1_g96")
WARM_S, WARM = 3e-3, 3  # seconds and calls, at least
# Of calls that nothing disturbs. Linux gives a core for 1 to 3 ms at a time (0.7 ms times 1 + log2 of the CPUs, at most
# 8), so next to another process no window is without its waits.
WINDOW_S = 10e-3
FEWEST, MOST = 2, 6  # windows
AGREE = 1.05  # of the two fastest windows
PAUSE_S = 0.05  # between windows that disagree
AGAIN_S = 60.0


@dataclass(slots=True)
class Canaries:
    """The times of the latest measurement, in seconds; none before the first."""

    device: str
    each_s: tuple[float, ...] = ()
    _since: float = field(default=0.0, init=False)

    def measure(self, *, sure: bool = False) -> None:
        """Measure if a minute has passed since the last time, or if it must be."""
        if sure or time.monotonic() - self._since >= AGAIN_S:
            self.each_s = measure(self.device)
            self._since = time.monotonic()

    @property
    def cell(self) -> str:
        """As in a row."""
        return " ".join(f"{one:.4g}" for one in self.each_s)


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
    import torch

    target = find_device(device)
    with torch.no_grad():
        calls = [_canary(device, shape) for shape in SHAPES]
        counts = [_calls_in_a_window(target, call) for call in calls]
        return fastest(
            lambda: [target.time_block(call, count) / count for call, count in zip(calls, counts, strict=True)],
        )


def fastest(window: Callable[[], list[float]], sleep: Callable[[float], None] = time.sleep) -> tuple[float, ...]:
    """The fastest of several windows for each canary, of more if the two fastest disagree.

    Args:
        window: seconds per call of each canary, over one window.
    """
    taken = [window() for _ in range(FEWEST)]
    while True:
        ordered = [sorted(own) for own in zip(*taken, strict=True)]
        if len(taken) >= MOST or all(own[1] <= AGREE * own[0] for own in ordered):
            return tuple(own[0] for own in ordered)
        sleep(PAUSE_S)
        taken.append(window())


def _canary(device: str, shape: str) -> Callable[[], object]:
    import torch
    from torch.nn.functional import conv2d

    spec = ConvSpec.parse(shape)
    x, w = (torch.ones(size, device=device) for size in (spec.x_shape, spec.w_shape))
    return lambda: conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def _calls_in_a_window(target: Device, call: Callable[[], object]) -> int:
    """After a warm-up."""
    samples: list[float] = []
    end = time.perf_counter() + WARM_S
    while len(samples) < WARM or time.perf_counter() < end:
        samples.append(target.time_block(call, 1))
    return max(1, round(WINDOW_S / min(samples)))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(sys.argv[1])))
