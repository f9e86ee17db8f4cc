"""From the user's model to a graph that runs it, and back to the model where the graph does not apply."""

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.case import ACCURACIES
from convbench.errors import ConvbenchError, check_words, plural
from convbench.graph.capture import capture
from convbench.graph.errors import UnsupportedModel
from convbench.graph.program import BY_TORCH, Program, Times
from convbench.graph.simplify import simplify
from convbench.graph.translate import translate
from convbench.graph.tune import FEWEST, Tuning, measure, seconds_of, share_of_torch, tune
from convbench.models.accuracy import allowed, distance, relative_error
from convbench.models.fitness import has_modes, trains
from convbench.models.weights import Weights

__all__ = ["Layer", "OwnGraph", "UnsupportedModel", "build"]

SAME = 1e-4  # relative L2 of the graph's output and the model's: more is no rounding


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation of the graph.

    Attributes:
        name: the module whose weights it has, or the operator's name.
        operation: in words.
        default, chosen: names of its plans; "torch" where torch runs it.
        default_s, chosen_s: seconds of each within the whole model; nan if it was not tuned.
        error: relative L2 of its output against float64 on the same operands; None if it was not computed.
    """

    name: str
    operation: str
    default: str
    chosen: str
    default_s: float
    chosen_s: float
    error: float | None


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=3)


def build(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    threads: int,
    accuracy: str = "standard",
    choices: Mapping[str, str] | None = None,
    tune_s: float | None = None,
    tell: Callable[[str], None] = _warn,
) -> "OwnGraph":
    """A model in evaluation mode as one program for inputs of these shapes.

    Weights are copied: after a change the graph leaves its calls to the model, and has to be built again.

    Args:
        inputs: of the model's forward, by position; their numbers are used for tuning alone.
        accuracy: strict leaves out plans whose error is not near that of torch.
        choices: of an earlier tuning, by the names of nodes; None tunes.
        tune_s: seconds for it; None: as many as every candidate needs.
        tell: takes lines about what runs by torch, and why.

    Raises:
        UnsupportedModel: in words, why the model has no graph.
        ConvbenchError: an argument is not allowed.
    """
    [accuracy] = check_words("accuracy", [accuracy], ACCURACIES)
    if threads < 1:
        raise ConvbenchError(f"threads={threads}: give 1 or more")
    graph = simplify(translate(capture(model, inputs)))
    given = [one.detach() for one in inputs]
    program = Program(graph, threads, accuracy)
    own = OwnGraph(model, program, inputs, tell)
    with torch.no_grad():
        if choices is None:
            with program.keeping_weights():
                tuning = tune(program, given, tune_s, tell)
                chosen = tuning.with_groups(program, tuning.choices(program))
            program.load(chosen)
        else:
            _tell_of_strangers(program, choices, tell)
            tuning = Tuning()
            program.load(choices)
        for _ in range(2):  # by the second call, what a model counts in Python has changed
            theirs = model(*inputs)
        _compare(program.run(given), theirs)
        errors = {} if choices is not None else _hold_accuracy(program, given, theirs, accuracy, tell)
        own.describe(tuning, measure(program, given, FEWEST), errors)
        program.release()
    if own.torch_calls:
        most = ", ".join(f"{name} ({count})" for name, count in own.torch_calls.most_common(5))
        tell(f"{own.torch_share:.0%} of the time is spent in operators that torch runs within the graph: {most}")
    return own


def _tell_of_strangers(program: Program, choices: Mapping[str, str], tell: Callable[[str], None]) -> None:
    problems = {**program.lowered, **{name: one.lowered for name, one in program.groups.items()}}
    known = {name: {plan.name for plan in one.plans} for name, one in problems.items()}
    strange = [f"{name}: {plan}" for name, plan in choices.items() if plan not in known.get(name, {BY_TORCH})]
    if strange:
        tell(f"{plural(len(strange), 'choice')} cannot be made here, such as {strange[0]!r}; the defaults are taken")


def _compare(ours: Any, theirs: Any) -> None:
    """What a model does besides calling torch's operators is seen in its output."""
    for our, their in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        if not (_alike(our, their) if isinstance(their, Tensor) else our == their):
            raise UnsupportedModel(
                "the captured graph gives another output than the model: it does something that calls no operator of "
                "torch, or its calls depend on each other"
            )


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Whether the two are one tensor but for rounding; NaN and infinity are equal to each other."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    if ours.is_complex():
        ours, theirs = torch.view_as_real(ours), torch.view_as_real(theirs)
    finite = theirs.isfinite()
    return torch.equal(ours.isfinite(), finite) and relative_error(ours[finite], theirs[finite]) < SAME


def _hold_accuracy(
    program: Program, inputs: list[Tensor], theirs: Any, accuracy: str, tell: Callable[[str], None]
) -> dict[str, float]:
    """The error of each kernel; where the whole is outside its class, Winograd gives way to direct sums."""
    truth = _numbers(program.graph.run(inputs, exact=True))
    most = allowed(accuracy, distance(_numbers(theirs), truth))
    error = distance(_numbers(program.run(inputs)), truth)
    if error > most:
        direct = {
            name: next((plan.name for plan in one.plans if plan.name.startswith("direct")), program.choices[name])
            for name, one in program.lowered.items()
        }
        program.load(direct)
        better = distance(_numbers(program.run(inputs)), truth)
        tell(f"the error was {error:.1e}, above {most:.1e} of {accuracy}: {better:.1e} with direct convolutions alone")
    return program.errors(inputs)


def _numbers(out: Any) -> list[Tensor]:
    """What of an output rounding can change."""
    return [one for one in tree_leaves(out) if isinstance(one, Tensor) and one.is_floating_point()]


class OwnGraph:
    """Runs like the model that it was built of.

    Inputs of another shape or dtype, calls that ask for gradients, and all calls in training mode or once the weights
    have changed, run by the model itself; `tell` says each once.
    Threads may call at once; one runs after the other. The returned tensors are new and belong to the caller.

    Attributes:
        choices: the plan of each node.
        layers: a line for each node.
        torch_share: of the time, spent in nodes that torch runs and at their borders.
        torch_calls: what those nodes are.
        workspace: bytes of activations, weights and scratch.
    """

    def __init__(
        self, model: nn.Module, program: Program, inputs: tuple[Tensor, ...], tell: Callable[[str], None]
    ) -> None:
        self.choices: dict[str, str] = {}
        self.layers: list[Layer] = []
        self.torch_share = 0.0
        self.torch_calls: Counter[str] = Counter()
        self.workspace = 0
        self._model, self._program, self._tell = model, program, tell
        self._expected = [(one.shape, one.dtype) for one in inputs]
        self._parameters, self._weights = list(model.parameters()), Weights(model)
        self._modules = list(model.modules()) if has_modes(model) else []
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def describe(self, tuning: Tuning, times: Times, errors: Mapping[str, float]) -> None:
        """Take over what was measured."""
        program, nodes = self._program, self._program.loaded()
        self.choices, self.workspace = dict(program.choices), program.workspace
        self.torch_share = share_of_torch(program, times)
        own = {*program.lowered, *program.groups}
        self.torch_calls = Counter(one.operation.words for one in nodes if one.name not in own)
        self.layers = []
        for node in nodes:
            default, default_s, chosen_s = seconds_of(tuning, program, node.name)
            chosen, error = self.choices[node.name], errors.get(node.name)
            self.layers.append(Layer(node.name, node.operation.words, default, chosen, default_s, chosen_s, error))

    def __call__(self, *inputs: Tensor) -> Any:
        """What the model returns for them."""
        why = self._why_not(inputs)
        if why:
            with self._lock:
                first, self._told = why not in self._told, self._told | {why}
            if first:
                self._tell(f"{why}: such calls run by the model itself")
            return self._model(*inputs)
        with self._lock, torch.no_grad():
            return self._program.run(list(inputs))

    def _why_not(self, inputs: tuple[Tensor, ...]) -> str:
        """Why the model itself must run this call, or ""."""
        if trains(self._modules):
            return "the model is in training mode, and the graph is of evaluation"
        if [(one.shape, one.dtype) if isinstance(one, Tensor) else None for one in inputs] != self._expected:
            wanted = ", ".join("x".join(map(str, shape)) for shape, _ in self._expected)
            return f"the graph was built for inputs of {wanted} and got others"
        if torch.is_grad_enabled() and (
            any(one.requires_grad for one in inputs) or any(one.requires_grad for one in self._parameters)
        ):
            return (
                "gradients were asked for, which the graph does not compute; call it within torch.inference_mode(), or "
                "set requires_grad_(False) on the model"
            )
        if not all(one.is_cpu for one in inputs):
            return "the graph runs on the CPU and got inputs of another device"
        if torch.is_autocast_enabled("cpu"):
            return "autocast asks for another precision than the graph's fp32"
        if self._weights.changed():
            return "the weights have changed since the graph was built; build it again"
        return ""

    def __reduce__(self) -> NoReturn:
        raise ConvbenchError(
            "a graph holds machine code and cannot be pickled or copied; save its choices, and build it again with "
            "build(model, inputs, threads=..., choices=saved)"
        )
