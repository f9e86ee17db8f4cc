"""Where do a whole model's multiply-adds go, and its convolutions' time?"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from statistics import median

import torch

from convbench.bench.noise import Meter
from convbench.errors import ConvbenchError, in_words
from convbench.machine import free_nbytes
from convbench.models.calls import ConvCall, Shape, item_nbytes
from convbench.models.forward import Census, Operands, census
from convbench.models.inputs import GivenInput, Inputs, make_inputs, own_dtype
from convbench.models.reach import Extent
from convbench.models.source import ModelSource
from convbench.models.timing import ENOUGH, CallTime, Pass, call_times, time_passes
from convbench.models.trouble import what_to_try

USUAL_INPUT = GivenInput(shape=(1, 3, 224, 224))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Convolutions of a model with the same numbers, as one row.

    Attributes:
        calls: in the order they ran; the first gives the name.
        ran: the algorithm that torch uses; "" if unknown.
        times: of each call, in a training step with that of its gradients; empty if they were not measured.
        time_share: of the time of all the model's convolutions; None if it was not measured.
        roof_s: the least that this machine would need for all its calls; None if its ceilings are not known.
        bound: what binds there, compute or memory.
    """

    calls: tuple[ConvCall, ...]
    ran: str = ""
    times: tuple[CallTime, ...] = ()
    time_share: float | None = None
    roof_s: float | None = None
    bound: str = ""

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
    def time_s(self) -> float | None:
        """Of all its calls."""
        return sum(one.time_s for one in self.times) if self.times else None

    @property
    def ends_s(self) -> tuple[float, float] | None:
        """The least and the most that all its calls took, undisturbed."""
        if not self.times:
            return None
        return sum(one.low_s for one in self.times), sum(one.high_s for one in self.times)

    @property
    def clean(self) -> int:
        """Undisturbed samples of the call that has the fewest."""
        return min((one.clean for one in self.times), default=0)

    @property
    def noisy(self) -> bool:
        """Whether its time is not to be trusted."""
        return bool(self.times) and self.clean < ENOUGH

    @property
    def percent(self) -> float | None:
        """Of what this machine can do at most; None for a time that is not to be trusted."""
        return 100 * self.roof_s / self.time_s if self.roof_s and self.time_s and not self.noisy else None

    @property
    def gain_s(self) -> float:
        """What can be gained at most: its time beyond that of the roofline; all of it where that is unknown."""
        return (self.time_s or 0.0) * max(0.0, 1 - (self.percent or 0.0) / 100)

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
        inputs: what it was run on.
        census: the pass that found the convolutions.
        rows: the distinct ones, in the order they first ran.
        training: a training step, with gradients.
        conv_time_share: convolutions' share of the time of all operators; None if it was not measured.
        others_s: seconds of the other operators by name, the slowest first.
        passes: timed ones.
        threads: of torch while it ran; 0 if it did not.
        unmeasured: why there is no time, if it was requested.
    """

    model: str
    origin: str
    inputs: tuple[GivenInput, ...]
    census: Census
    rows: tuple[Row, ...]
    training: bool = False
    conv_time_share: float | None = None
    others_s: tuple[tuple[str, float], ...] = ()
    passes: int = 0
    threads: int = 0
    unmeasured: str = ""

    @property
    def macs(self) -> int:
        return self.census.macs

    @property
    def macs_by_pass(self) -> dict[str, int]:
        """Of a training step: the gradient of x and that of w each take as many as the forward pass."""
        calls = self.census.calls
        return {
            "fprop": self.macs,
            "dgrad": sum(call.shape.macs for call in calls if call.dgrad),
            "wgrad": sum(call.shape.macs for call in calls if call.wgrad),
        }

    @property
    def torch_agrees(self) -> bool:
        """Whether FlopCounterMode counts the same; for the wgrad of groups it takes a dense one (torch 2.15)."""
        calls = self.census.calls
        dense = sum(call.wgrad * call.shape.macs * (call.shape.groups - 1) for call in calls)
        gradients = sum(self.macs_by_pass.values()) - self.macs
        of_gradients = self.census.torch_gradient_macs in (gradients, gradients + dense)
        return self.census.torch_macs == self.macs and (of_gradients or not self.training)

    @property
    def other_macs(self) -> int:
        """Of linear layers and attention, as torch's FlopCounterMode knows them."""
        return sum(macs for _, macs in self.census.other_macs)

    @property
    def conv_share(self) -> float | None:
        """Convolutions' share of all multiply-adds that were counted; None if there are none."""
        own = sum(self.macs_by_pass.values()) if self.training else self.macs
        total = own + self.other_macs
        return own / total if total else None

    @property
    def time_s(self) -> float | None:
        """Of all convolutions; None if it was not measured."""
        times = [row.time_s for row in self.rows]
        return sum(one for one in times if one is not None) if times and None not in times else None

    @property
    def by_time(self) -> tuple[Row, ...]:
        """The rows, the slowest first."""
        return tuple(sorted(self.rows, key=lambda row: -(row.time_s or 0.0)))

    @property
    def disturbed(self) -> float:
        """The share of the samples that were disturbed."""
        times = [one for row in self.rows for one in row.times]
        total = sum(one.samples for one in times)
        return sum(one.samples - one.clean for one in times) / total if total else 0.0

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


def measure(
    source: ModelSource,
    given: Sequence[GivenInput] | None = None,
    *,
    training: bool = False,
    timed: bool = True,
    may_run: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    about_to_time: Callable[[], None] = lambda: None,
    about_to_pass: Callable[[int], None] = lambda _: None,
) -> ModelCosts:
    """Find every convolution of the model in one pass, and time them in several more on the CPU.

    The pass is on the meta device, which computes nothing; where the model needs numbers, on the CPU.

    Args:
        given: the inputs; None for the model's own, or one image.
        training: a training step: the gradients as well.
        may_run: whether it may run on the CPU to be followed, if the meta device does not do.
        about_to_time: called once the model has run, before it is timed.
        about_to_pass: called before each timed pass with its number, from 0.

    Raises:
        ConvbenchError: the model cannot be built, or not run on this input.
    """
    found, inputs = _take_census(source, given, training=training, may_run=may_run)
    costs = ModelCosts(
        model=source.name,
        origin=source.origin,
        inputs=inputs,
        census=found,
        rows=gather(found.calls),
        training=training,
        threads=torch.get_num_threads(),
    )
    if not (timed and found.calls):
        return costs
    about_to_time()
    return _timed(costs, source, given, clock, about_to_pass)


def gather(calls: Sequence[ConvCall]) -> tuple[Row, ...]:
    """Equal ones together, in the order of the first of them."""
    groups: dict[Shape, list[ConvCall]] = {}
    for call in calls:
        groups.setdefault(call.shape, []).append(call)
    return tuple(Row(calls=tuple(group)) for group in groups.values())


def build(source: ModelSource, given: Sequence[GivenInput] | None, device: str) -> tuple[torch.nn.Module, Inputs]:
    """The model, and what it is called with there."""
    model, own = source.build_with_inputs(device)
    if given is None and own is not None:
        return model, own.in_dtype_of(model)
    usual = GivenInput(shape=(1, *source.input_shape)) if source.input_shape else USUAL_INPUT
    return model, make_inputs(given or [usual], device, own_dtype(model))


def _take_census(
    source: ModelSource, given: Sequence[GivenInput] | None, *, training: bool, may_run: bool
) -> tuple[Census, tuple[GivenInput, ...]]:
    try:
        model, inputs = build(source, given, "meta")
        return census(model, inputs, training=training), inputs.given(torch.float32)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of third-party code, including sys.exit()
        not_meta = error
    try:
        model, inputs = build(source, given, "cpu")
    except (KeyboardInterrupt, ConvbenchError):
        raise
    except BaseException as error:
        raise ConvbenchError(f"the model {source.name} cannot be built: {in_words(error)}; {source.usage}") from None
    shown = inputs.given(torch.float32)
    on = f"on --input {','.join(map(str, shown))}"
    if not may_run:
        if hint := what_to_try(not_meta, model, inputs):
            raise ConvbenchError(f"the model {source.name} does not run {on}: {in_words(not_meta)}; {hint}")
        raise ConvbenchError(
            f"the model {source.name} cannot be followed without running it: {in_words(not_meta)}; leave out "
            f"--no-time, and it runs on the CPU"
        )
    try:
        return replace(census(model, inputs, training=training), why_not_meta=in_words(not_meta)), shown
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        hint = what_to_try(error, model, inputs) or "the model itself raised this"
        raise ConvbenchError(f"the model {source.name} does not run {on}: {in_words(error)}; {hint}") from None


def _timed(
    costs: ModelCosts,
    source: ModelSource,
    given: Sequence[GivenInput] | None,
    clock: Callable[[], float],
    about_to_pass: Callable[[int], None],
) -> ModelCosts:
    """With times, or with the reason why there are none."""
    free = free_nbytes("cpu")
    largest = max(call.shape.nbytes for call in costs.census.calls)
    weights = sum(prod(call.shape.w) * item_nbytes(call.shape.dtype) for call in costs.census.calls)
    if free is not None and 2 * largest + weights > free:
        return replace(costs, unmeasured=f"it may need {2 * largest + weights:,} bytes, and {free:,} are free")
    try:
        model, inputs = build(source, given, "cpu")
        with Meter(None, torch.get_num_threads()) as meter:
            passes = time_passes(
                model, inputs, training=costs.training, clock=clock, watcher=meter, about_to_pass=about_to_pass
            )
        costs = replace(costs, threads=torch.get_num_threads())  # a model may set them
        return _with_times(costs, passes)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return replace(costs, unmeasured=str(error) if isinstance(error, PassesDifferError) else in_words(error))


class PassesDifferError(Exception):
    """What ran is not what was counted."""


def _with_times(costs: ModelCosts, passes: Sequence[Pass]) -> ModelCosts:
    calls = costs.census.calls
    try:
        forward, gradients = call_times(passes), call_times(passes, backward=True)
    except ValueError as error:
        raise PassesDifferError(str(error)) from None
    ran = [one.of for one in passes[0].samples if not one.backward]
    if [w for _, w in ran] != [call.shape.w for call in calls]:
        raise PassesDifferError("its convolutions differ from one pass to the next")
    times = _joined(ran, forward, [one.of for one in passes[0].samples if one.backward], gradients)
    total_s = sum(one.time_s for one in times)
    by_shape: dict[Shape, list[CallTime]] = {}
    for call, own in zip(calls, times, strict=True):
        by_shape.setdefault(call.shape, []).append(own)
    rows = tuple(_row_with_times(row, by_shape[row.shape], total_s) for row in costs.rows)
    share = median(sum(sample.seconds for sample in one.samples) / one.operators_s for one in passes)
    names = {name for one in passes for name in one.others}
    others = sorted(((name, median(one.others[name] for one in passes)) for name in names), key=lambda pair: -pair[1])
    return replace(costs, rows=rows, conv_time_share=share, others_s=tuple(others), passes=len(passes))


def _row_with_times(row: Row, times: Sequence[CallTime], total_s: float) -> Row:
    return replace(row, times=tuple(times), time_share=sum(one.time_s for one in times) / total_s)


def _joined(
    ran: Sequence[Operands],
    forward: Sequence[CallTime],
    of_gradients: Sequence[Operands],
    gradients: Sequence[CallTime],
) -> list[CallTime]:
    """The time of each call with that of its gradients, which come in the reversed order."""
    whole, left = list(forward), list(range(len(ran)))
    for of, own in zip(of_gradients, gradients, strict=True):
        place = next((place for place in reversed(left) if ran[place] == of), None)
        if place is None:
            raise PassesDifferError("its gradients are of other convolutions")
        left.remove(place)
        one = whole[place]
        whole[place] = CallTime(
            time_s=one.time_s + own.time_s,
            low_s=one.low_s + own.low_s,
            high_s=one.high_s + own.high_s,
            clean=min(one.clean, own.clean),
            samples=one.samples,
        )
    return whole
