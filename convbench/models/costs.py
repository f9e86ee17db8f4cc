"""Where do a whole model's multiply-adds go, and its convolutions' time?"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from convbench.errors import ConvbenchError, in_words
from convbench.machine import free_nbytes
from convbench.models.calls import ConvCall, Shape
from convbench.models.eager import without_compiler
from convbench.models.forward import CONVOLUTION, Census, census, forward_only
from convbench.models.load import ModelSource
from convbench.models.reach import Extent

PASSES = 7
MOST_S = 30.0  # of timing; what is then missing of the passes is missing
USUAL_INPUT = (1, 3, 224, 224)
MAX_NUMBERS = 2**31  # of one input


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Convolutions of a model with the same numbers, as one row.

    Attributes:
        calls: in the order they ran; the first gives the name.
        ran: the algorithm that torch uses; "" if unknown.
        time_share: of the time of all the model's convolutions; None if it was not measured.
    """

    calls: tuple[ConvCall, ...]
    ran: str = ""
    time_share: float | None = None

    @property
    def name(self) -> str:
        return self.calls[0].name

    @property
    def shape(self) -> Shape:
        return self.calls[0].shape

    @property
    def count(self) -> int:
        return len(self.calls)

    @property
    def macs(self) -> int:
        """Of all its calls."""
        return self.count * self.shape.macs

    @property
    def field(self) -> tuple[Extent, Extent] | None:
        """The smallest and the largest receptive field of its calls, each along its longest axis."""
        fields = [max(call.field, key=lambda one: (one.whole, one.size)) for call in self.calls if call.field]
        if len(fields) < self.count:
            return None
        ordered = sorted(fields, key=lambda one: (one.whole, one.size))
        return ordered[0], ordered[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCosts:
    """A whole model on one input.

    Attributes:
        model, origin: its name, and where it comes from.
        inputs: the shapes it was run on.
        census: the pass that found the convolutions.
        rows: the distinct ones, in the order they first ran.
        conv_time_share: convolutions' share of the time of all operators; None if it was not measured.
        passes: timed ones.
        unmeasured: why there is no time, if it was requested.
    """

    model: str
    origin: str
    inputs: tuple[tuple[int, ...], ...]
    census: Census
    rows: tuple[Row, ...]
    conv_time_share: float | None = None
    passes: int = 0
    unmeasured: str = ""

    @property
    def macs(self) -> int:
        return self.census.macs

    @property
    def other_macs(self) -> int:
        """Of linear layers and attention, as torch's FlopCounterMode knows them."""
        return sum(macs for _, macs in self.census.other_macs)

    @property
    def conv_share(self) -> float | None:
        """Convolutions' share of all multiply-adds that were counted; None if there are none."""
        total = self.macs + self.other_macs
        return self.macs / total if total else None

    @property
    def problems(self) -> tuple[Row, ...]:
        """The rows that `bench` and `verify` take: plain 2-D convolutions."""
        return tuple(row for row in self.rows if row.shape.why_no_spec is None)

    @property
    def others(self) -> Counter[str]:
        """Why the rest are not problems, and how many calls that affects."""
        reasons: Counter[str] = Counter()
        for row in self.rows:
            if (why := row.shape.why_no_spec) is not None:
                reasons[why] += row.count
        return reasons


def parse_inputs(text: str) -> tuple[tuple[int, ...], ...]:
    """`1x3x224x224`, or several of them with commas between for a model of several inputs."""
    shapes = []
    for word in text.split(","):
        if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9})*", word.strip().lower(), re.ASCII):
            raise ConvbenchError(f"--input {text!r}: {word!r} is not a shape; write it like 1x3x224x224")
        shape = tuple(map(int, word.lower().split("x")))
        if not 0 < prod(shape) <= MAX_NUMBERS:
            raise ConvbenchError(f"--input {text!r} has {prod(shape):,} numbers; 1 to {MAX_NUMBERS:,} are allowed")
        shapes.append(shape)
    return tuple(shapes)


def measure(
    source: ModelSource,
    shapes: Sequence[tuple[int, ...]] | None = None,
    *,
    timed: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    about_to_time: Callable[[], None] = lambda: None,
) -> ModelCosts:
    """Find every convolution of the model in one forward pass, and time them in several more on the CPU.

    The pass is on the meta device, which computes nothing; where the model needs numbers, on the CPU.

    Args:
        about_to_time: called once the model has run, before it is timed.

    Raises:
        ConvbenchError: the model cannot be built, or not run on this input.
    """
    shapes = tuple(shapes) if shapes else ((1, *source.input_shape) if source.input_shape else USUAL_INPUT,)
    found = _take_census(source, shapes)
    costs = ModelCosts(
        model=source.name,
        origin=source.origin,
        inputs=shapes,
        census=found,
        rows=gather(found.calls),
    )
    if not (timed and found.calls):
        return costs
    about_to_time()
    return _timed(costs, source, clock)


def gather(calls: Sequence[ConvCall]) -> tuple[Row, ...]:
    """Equal ones together, in the order of the first of them."""
    groups: dict[Shape, list[ConvCall]] = {}
    for call in calls:
        groups.setdefault(call.shape, []).append(call)
    return tuple(Row(calls=tuple(group)) for group in groups.values())


def _take_census(source: ModelSource, shapes: Sequence[tuple[int, ...]]) -> Census:
    try:
        return census(source.build("meta"), [_numbers(shape, "meta") for shape in shapes])
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of third-party code, including sys.exit()
        why_not_meta = in_words(error)
    try:
        model = source.build("cpu")
    except (KeyboardInterrupt, ConvbenchError):
        raise
    except BaseException as error:
        raise ConvbenchError(
            f"the model {source.name} cannot be built: {in_words(error)}; it is called without arguments"
        ) from None
    try:
        return replace(census(model, [_numbers(shape, "cpu") for shape in shapes]), why_not_meta=why_not_meta)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        given = ",".join("x".join(map(str, shape)) for shape in shapes)
        raise ConvbenchError(
            f"the model {source.name} does not run on --input {given}: {in_words(error)}; "
            f"try the input size that the model is built for"
        ) from None


def _numbers(shape: tuple[int, ...], device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.empty(shape, device=device) if device == "meta" else torch.randn(shape, generator=generator)


def _timed(costs: ModelCosts, source: ModelSource, clock: Callable[[], float]) -> ModelCosts:
    """With the share of time, or with the reason why there is none."""
    free = free_nbytes("cpu")
    largest = max(call.shape.nbytes("fp32") for call in costs.census.calls)
    weights = 4 * sum(prod(call.shape.w) for call in costs.census.calls)
    if free is not None and 2 * largest + weights > free:
        return replace(costs, unmeasured=f"it may need {2 * largest + weights:,} bytes, and {free:,} are free")
    try:
        model = source.build("cpu")
        inputs = [_numbers(shape, "cpu") for shape in costs.inputs]
        passes = time_passes(model, inputs, clock=clock)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return replace(costs, unmeasured=in_words(error))
    calls = costs.census.calls
    if any([shape for shape, _ in one.calls] != [call.shape.w for call in calls] for one in passes):
        return replace(costs, unmeasured="its convolutions differ from one pass to the next")
    call_s = [median(one.calls[place][1] for one in passes) for place in range(len(calls))]
    total_s = sum(call_s)
    seconds: dict[Shape, float] = {}
    for call, own_s in zip(calls, call_s, strict=True):
        seconds[call.shape] = seconds.get(call.shape, 0.0) + own_s
    rows = tuple(replace(row, time_share=seconds[row.shape] / total_s) for row in costs.rows)
    share = median(sum(own_s for _, own_s in one.calls) / one.operators_s for one in passes)
    return replace(costs, rows=rows, conv_time_share=share, passes=len(passes))


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: (shape of w, seconds) of each convolution, and the seconds of all operators."""

    calls: tuple[tuple[tuple[int, ...], float], ...]
    operators_s: float


@without_compiler()
def time_passes(
    model: nn.Module, inputs: Sequence[Tensor], *, passes: int = PASSES, clock: Callable[[], float] = time.perf_counter
) -> list[Pass]:
    """Forward passes on the CPU with a clock around each operator, after one that warms up.

    Each pass goes through all the convolutions, so a slow spell of the machine hits all of them and not one.
    """
    done: list[Pass] = []
    begin = clock()
    with forward_only(model):
        model(*inputs)
        while len(done) < passes and (not done or clock() - begin < MOST_S):
            with _Stopwatch(clock) as watch:
                model(*inputs)
            done.append(Pass(tuple(watch.calls), watch.operators_s))
    return done


class _Stopwatch(TorchDispatchMode):
    """Times each operator as it is called below autograd."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        self.calls: list[tuple[tuple[int, ...], float]] = []
        self.operators_s = 0.0
        self._clock = clock

    def __torch_dispatch__(
        self,
        func: Any,  # an OpOverload
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        if packet is not CONVOLUTION and "conv" in packet.__name__:
            with self:  # in inference mode conv2d() comes here whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        begin = self._clock()
        out = func(*args, **kwargs)
        own_s = self._clock() - begin
        self.operators_s += own_s
        if packet is CONVOLUTION:
            self.calls.append((tuple(args[1].shape), own_s))
        return out
