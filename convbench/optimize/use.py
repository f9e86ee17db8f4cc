"""From a model, or the name of one, to a fast model: by a race, or by the plan of an earlier one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from convbench.errors import ConvbenchError, in_words
from convbench.models.costs import build
from convbench.models.inputs import GivenInput, Inputs
from convbench.models.load import find_model
from convbench.optimize.candidates import BASELINE, CANDIDATES
from convbench.optimize.fast import FastModel
from convbench.optimize.host import CandidateLost, Here
from convbench.optimize.plans import find
from convbench.optimize.proof import Proof, prove
from convbench.optimize.scratch import scratch_folder
from convbench.optimize.subject import ModelCall, Tell, identity, output_of, require_fit
from convbench.optimize.ways import Made, Order
from convbench.tuned import TunedPlan


def subject_of(
    model: nn.Module | str, x: Inputs | Sequence[GivenInput] | None, tell: Tell = lambda _: None
) -> ModelCall:
    """The model and its inputs; `x` may be their sizes for a model by name, or None for its own.

    Raises:
        ConvbenchError: there is no such model, or it cannot be built.
    """
    if not isinstance(model, str):
        if not isinstance(x, Inputs):
            raise ConvbenchError("give x, the input that the model is made faster for")
        return ModelCall(name=type(model).__name__, model=model, inputs=x)
    if model.lower().endswith(".onnx"):
        raise ConvbenchError(f"{model} is read, not run, by convbench; give the PyTorch model, such as FILE.py:Model")
    source = find_model(model)
    if source.risk:
        tell(source.risk)
    try:
        made, inputs = build(source, None if isinstance(x, Inputs) else x, "cpu")
    except (KeyboardInterrupt, ConvbenchError):
        raise
    except BaseException as error:  # whatever the model's code raises
        raise ConvbenchError(f"the model {model} cannot be built: {in_words(error)}; {source.usage}") from None
    return ModelCall(name=model, model=made, inputs=x if isinstance(x, Inputs) else inputs, rebuilt=model)


class Keeper:
    """Takes the winner of a race before its files are removed, and makes it in this process."""

    def __init__(self, say: Tell) -> None:
        self._say = say
        self.call: Callable[..., Any] | None = None

    def __call__(self, winner: str, order: Order, proof: Proof, made: Made | None) -> None:
        if winner == BASELINE:
            return
        self._say(f"building {winner} in this process")
        if made is None:
            made = _proved(winner, replace(order, cached=True, tell=self._say), proof)
        self.call = made.call


def fast_by_plan(
    subject: ModelCall, plan: TunedPlan, path: str | Path, say: Tell
) -> tuple[FastModel, Mapping[str, Any]]:
    """The model as a plan runs it, and the plan's entry; nothing is raced, but its output is proved.

    Raises:
        ConvbenchError: the plan does not have the model, or its winner is missing, fails, or is not right.
    """
    require_fit(subject)
    entry = find(plan, identity(subject.model, subject.inputs))
    if entry is None:
        has = ", ".join(f"{one.get('name')} on {one.get('input')}" for one in plan.models) or "no model"
        raise ConvbenchError(
            f"the plan {path} has no {subject.name} on {subject.shapes}, only {has}; --retune (retune=True) races it"
        )
    winner = str(entry["winner"])
    if missing := CANDIDATES[winner].missing():
        raise ConvbenchError(f"the plan {path} runs {subject.name} by {winner}, which needs {' and '.join(missing)}")
    call: Callable[..., Any] = subject.model
    if winner != BASELINE:
        structure = output_of(subject)
        proof = prove(subject, plan.accuracy)
        with scratch_folder() as folder:
            order = Order(
                subject=subject,
                structure=structure,
                threads=plan.threads,
                accuracy=plan.accuracy,
                folder=folder,
                choices=entry.get("choices"),
                cached=True,
                tell=say,
            )
            call = _proved(winner, order, proof).call
    return FastModel(subject.model, subject.inputs, winner, call), entry


def _proved(name: str, order: Order, proof: Proof) -> Made:
    """A candidate in this process, whose output is right.

    Raises:
        ConvbenchError: it cannot be made here, or is wrong.
    """
    host = Here(name, order, [one.inputs for one in proof.truths])
    try:
        host.make()
        wrong = proof.judge(host.answers()).wrong
    except CandidateLost as lost:
        wrong = str(lost)
    if wrong:
        raise ConvbenchError(
            f"{name} does not work in this process, as it did in its own: {wrong}; leave it out with only="
        )
    assert host.made is not None
    return host.made
