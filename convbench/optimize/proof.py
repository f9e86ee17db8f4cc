"""Is a candidate's output right? Against float64 of the same model, on several inputs, by an accuracy class."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from convbench.errors import ConvbenchError, in_words
from convbench.models.accuracy import allowed, distance
from convbench.models.inputs import Inputs
from convbench.optimize.subject import ModelCall, tensors_of

MAGNITUDES = (1.0, 1e-3, 1e3)  # of random inputs, each of which is tried
REPEATS = 1e-9  # what two calls in float64 may differ by: other threads add in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactOutput:
    """One input, and what float64 says of it.

    Attributes:
        name: of the input, in words.
        out: each tensor of the output, in float64.
        eager: torch eager's own error.
        allowed: a candidate's error at most.
    """

    name: str
    inputs: Inputs
    out: tuple[Tensor, ...]
    eager: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The largest error of a candidate.

    Attributes:
        error: relative L2, over all inputs.
        wrong: what is wrong, in words; "" if nothing is.
    """

    error: float
    wrong: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """The inputs that every candidate answers, with their truths; `left_out` says which had none."""

    accuracy: str
    truths: tuple[ExactOutput, ...]
    left_out: tuple[str, ...] = ()

    @property
    def eager_error(self) -> float:
        return max(one.eager for one in self.truths)

    def judged_by(self, accuracy: str) -> "Proof":
        """The same truths, judged by another accuracy class."""
        truths = tuple(replace(one, allowed=allowed(accuracy, one.eager)) for one in self.truths)
        return replace(self, accuracy=accuracy, truths=truths)

    def judge(self, answers: Sequence[Sequence[Tensor]]) -> Judgement:
        """Whether these outputs, one for each input, are within the accuracy class."""
        worst, wrong = 0.0, ""
        for truth, answer in zip(self.truths, answers, strict=True):
            if [tuple(one.shape) for one in answer] != [tuple(one.shape) for one in truth.out]:
                return Judgement(error=inf, wrong="its output has another shape than the model's")
            error = distance(answer, truth.out)
            worst = max(worst, error)
            if not error <= truth.allowed and not wrong:
                wrong = f"error {error:.1e} on {truth.name}, and {self.accuracy} allows {truth.allowed:.1e}"
        return Judgement(error=worst, wrong=wrong)


def prove(subject: ModelCall, accuracy: str, *, seed: int = 0, magnitudes: Sequence[float] = MAGNITUDES) -> Proof:
    """The truths of the model's own input and of random ones of these magnitudes.

    Raises:
        ConvbenchError: the model does not run in float64, or its output differs from call to call.
    """
    try:
        exact = copy.deepcopy(subject.model).double()
    except Exception as error:  # whatever a copy raises
        raise ConvbenchError(f"{subject.name} cannot be copied, so nothing can be proved: {in_words(error)}") from None
    truths, left_out = [], []
    for number, (name, inputs) in enumerate(_trials(subject.inputs, seed, magnitudes)):
        out = _exact(subject, exact, inputs)
        with torch.no_grad():
            eager = tensors_of(inputs.call(subject.model))
        own = distance(eager, out)
        if not number and all(bool(one.isfinite().all()) for one in (*eager, *out)):
            _require_repeatable(subject, exact, inputs, out)
        if not isfinite(own):
            if not number:
                raise ConvbenchError(f"{subject.name} returns NaN or infinity on this input, so nothing can be proved")
            left_out.append(f"{name}: torch's own output is not finite")
            continue
        truths.append(ExactOutput(name=name, inputs=inputs, out=tuple(out), eager=own, allowed=allowed(accuracy, own)))
    return Proof(accuracy=accuracy, truths=tuple(truths), left_out=tuple(left_out))


def _trials(inputs: Inputs, seed: int, magnitudes: Sequence[float]) -> list[tuple[str, Inputs]]:
    """The inputs themselves, then random ones of their shapes; whole numbers stay as they are."""
    found = [("its own input", inputs)]
    for number, magnitude in enumerate(magnitudes):
        generator = torch.Generator().manual_seed(seed + number + 1)

        def draw(one: Any, generator: torch.Generator = generator, magnitude: float = magnitude) -> Any:
            if not isinstance(one, Tensor) or not one.is_floating_point():
                return one
            return torch.randn(one.shape, generator=generator) * magnitude

        mapped: Mapping[str, Any] = tree_map(draw, dict(inputs.kwargs))
        found.append((f"random input times {magnitude:g}", Inputs(args=tree_map(draw, inputs.args), kwargs=mapped)))
    return found


def _exact(subject: ModelCall, exact: Any, inputs: Inputs) -> list[Tensor]:
    """The output in float64.

    Raises:
        ConvbenchError: the model does not run so.
    """

    def widen(one: Any) -> Any:
        return one.double() if isinstance(one, Tensor) and one.is_floating_point() else one

    wide = Inputs(args=tree_map(widen, inputs.args), kwargs=tree_map(widen, dict(inputs.kwargs)))
    try:
        with torch.no_grad():
            return [one.double().clone() for one in tensors_of(wide.call(exact))]
    except Exception as error:  # whatever the model raises
        raise ConvbenchError(
            f"{subject.name} does not run in float64, so no output can be proved: {in_words(error)}"
        ) from None


def _require_repeatable(subject: ModelCall, exact: Any, inputs: Inputs, first: Sequence[Tensor]) -> None:
    again = _exact(subject, exact, inputs)
    shapes = [one.shape for one in first] == [one.shape for one in again]
    if not shapes or not distance(again, first) <= REPEATS:
        raise ConvbenchError(
            f"{subject.name} gives another output when called again on the same input, so no candidate can be proved; "
            f"remove its randomness or its state"
        )
