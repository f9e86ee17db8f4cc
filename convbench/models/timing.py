"""How long does each convolution of a model take on this CPU, and which of the samples were disturbed?"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from convbench.bench.noise import NoiseReading
from convbench.models.eager import without_compiler
from convbench.models.forward import CONVOLUTION_BACKWARD, CONVOLUTIONS, Operands, as_evaluated, operands, step
from convbench.models.inputs import Inputs

CLEAN = 7  # undisturbed samples of each convolution: with 98 % confidence its median is between least and most of them
ENOUGH = 3  # below so many a time is not to be trusted
MOST_PASSES = 100
MOST_S = 6.0  # of timing; what is then missing of the passes is missing


class Watcher(Protocol):
    """What `bench.noise.Meter` does here."""

    def refresh(self) -> None: ...
    def read(self) -> NoiseReading: ...
    def dirt(self, before: NoiseReading, after: NoiseReading, seconds: float) -> str: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One call of a convolution, or of its gradients.

    Attributes:
        dirt: what disturbed it, in words; "" if nothing did.
    """

    of: Operands
    seconds: float
    backward: bool = False
    dirt: str = ""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: its convolutions in order, and the seconds of all other operators by name."""

    samples: tuple[Sample, ...]
    others: Counter[str] = field(default_factory=Counter)

    @property
    def operators_s(self) -> float:
        return sum(one.seconds for one in self.samples) + sum(self.others.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTime:
    """Of one convolution over all passes.

    Attributes:
        time_s: the median of the undisturbed samples; with none the least of all.
        low_s, high_s: the least and the most of them.
        clean, samples: how many were undisturbed, of how many.
    """

    time_s: float
    low_s: float
    high_s: float
    clean: int
    samples: int

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "CallTime":
        clean = [one.seconds for one in samples if not one.dirt]
        least = [min(one.seconds for one in samples)]
        kept = clean or least
        return cls(time_s=median(kept), low_s=min(kept), high_s=max(kept), clean=len(clean), samples=len(samples))


def call_times(passes: Sequence[Pass], *, backward: bool = False) -> list[CallTime]:
    """Of each convolution in the order of its calls, or of its gradients in theirs.

    Raises:
        ValueError: the passes differ.
    """
    rows = [[one for one in each.samples if one.backward == backward] for each in passes]
    if any([one.of for one in row] != [one.of for one in rows[0]] for row in rows):
        raise ValueError("its convolutions differ from one pass to the next")
    return [CallTime.of(samples) for samples in zip(*rows, strict=True)]


@without_compiler()
def time_passes(
    model: nn.Module,
    inputs: Inputs,
    *,
    training: bool = False,
    clean: int = CLEAN,
    most: int = MOST_PASSES,
    clock: Callable[[], float] = time.perf_counter,
    watcher: Watcher | None = None,
    about_to_pass: Callable[[int], None] = lambda _: None,
) -> list[Pass]:
    """Passes on the CPU with a clock around each operator, after one that warms up.

    Each pass goes through all the convolutions, so a slow spell of the machine hits all of them and not one. They go on
    until each convolution has so many undisturbed samples.

    Args:
        clean: undisturbed samples of each convolution, at least so many passes.
        most: passes at most.
        watcher: says which samples were disturbed; none is, without it.
        about_to_pass: called before each pass with its number, from 0, which warms up.
    """
    done: list[Pass] = []
    short: Counter[int] = Counter()
    begin = clock()
    with as_evaluated(model, training=training):
        about_to_pass(0)
        step(model, inputs, training=training)
        while len(done) < most and (not done or clock() - begin < MOST_S):
            about_to_pass(len(done) + 1)
            if watcher is not None:
                watcher.refresh()
            with _Stopwatch(clock, watcher) as watch:
                step(model, inputs, training=training)
            done.append(Pass(tuple(watch.samples), watch.others))
            short.update(place for place, one in enumerate(watch.samples) if not one.dirt)
            if len(done) >= clean and all(short[place] >= clean for place in range(len(watch.samples))):
                break
    return done


class _Stopwatch(TorchDispatchMode):
    """Times each operator as it is called below autograd."""

    def __init__(self, clock: Callable[[], float], watcher: Watcher | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        self.samples: list[Sample] = []
        self.others: Counter[str] = Counter()
        self._clock, self._watcher = clock, watcher

    def __torch_dispatch__(
        self,
        func: Any,  # an OpOverload
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        backward = packet is CONVOLUTION_BACKWARD
        counted = backward or packet in CONVOLUTIONS
        if not counted and "conv" in packet.__name__:
            with self:  # in inference mode conv2d() comes here whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        before = self._watcher.read() if counted and self._watcher else None
        begin = self._clock()
        out = func(*args, **kwargs)
        own_s = self._clock() - begin
        if not counted:
            self.others[packet.__name__] += own_s  # type: ignore[assignment]  # a Counter adds seconds as well
            return out
        dirt = self._watcher.dirt(before, self._watcher.read(), own_s) if self._watcher and before else ""
        x, w = args[1:3] if backward else args[:2]
        self.samples.append(Sample(operands(x, w), own_s, backward, dirt))
        return out
