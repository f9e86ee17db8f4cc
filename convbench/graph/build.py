"""From the user's model to a graph that runs it, and back to the model where the graph does not apply."""

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isnan
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.case import ACCURACIES
from convbench.errors import ConvbenchError, plural
from convbench.graph.capture import capture
from convbench.graph.errors import UnsupportedModel
from convbench.graph.graph import double
from convbench.graph.program import BY_TORCH, Program, Times, relative_error
from convbench.graph.simplify import simplify
from convbench.graph.translate import translate
from convbench.graph.tune import FEWEST, Tuning, measure, seconds_of, share_of_torch, tune

__all__ = ["Layer", "OwnGraph", "UnsupportedModel", "build"]

SAME = 1e-4  # relative L2 of the graph's output and the model's: more is no rounding
STANDARD = 5e-6  # relative L2 against float64 that accuracy "standard" allows
STRICT = 2  # times torch's own error that "strict" does


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

    Weights are copied: what is loaded into the model later does not change the graph.

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
    if accuracy not in ACCURACIES:
        raise ConvbenchError(f"accuracy={accuracy!r}: give one of {', '.join(ACCURACIES)}")
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
        if isinstance(their, Tensor):
            off = relative_error(our, their) if our.shape == their.shape and our.dtype == their.dtype else inf
            same = isnan(off) or off < SAME
        else:
            same = our == their
        if not same:
            raise UnsupportedModel(
                "the captured graph gives another output than the model: it does something that calls no operator of "
                "torch, or its calls depend on each other"
            )


def _hold_accuracy(
    program: Program, inputs: list[Tensor], theirs: Any, accuracy: str, tell: Callable[[str], None]
) -> dict[str, float]:
    """The error of each kernel; where the whole is outside its class, Winograd gives way to direct sums."""
    truth = program.graph.run(double(inputs))

    def worst(outputs: Any) -> float:
        pairs = zip(tree_leaves(outputs), tree_leaves(truth), strict=True)
        return max(
            (relative_error(a, b) for a, b in pairs if isinstance(a, Tensor) and a.is_floating_point()), default=0
        )

    error = worst(program.run(inputs))
    allowed = STRICT * worst(theirs) if accuracy == "strict" else STANDARD
    if error > allowed:
        direct = {
            name: next((plan.name for plan in one.plans if plan.name.startswith("direct")), program.choices[name])
            for name, one in program.lowered.items()
        }
        program.load(direct)
        better = worst(program.run(inputs))
        tell(
            f"the error was {error:.1e}, above {allowed:.1e} of {accuracy}: {better:.1e} with direct convolutions alone"
        )
    return program.errors(inputs)


class OwnGraph:
    """Runs like the model that it was built of.

    Inputs of another shape or dtype, and calls that ask for gradients, run by the model itself; `tell` says so once.
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
        self._parameters = list(model.parameters())
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
        return ""

    def __reduce__(self) -> NoReturn:
        raise ConvbenchError(
            "a graph holds machine code and cannot be pickled or copied; save its choices, and build it again with "
            "build(model, inputs, threads=..., choices=saved)"
        )
