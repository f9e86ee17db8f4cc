"""From the user's model to a graph that runs it, and back to the model where the graph does not apply."""

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.errors import ConvbenchError
from convbench.graph.capture import capture
from convbench.graph.errors import Unsupported
from convbench.graph.graph import Graph, simplify
from convbench.graph.program import Program
from convbench.graph.translate import translate

__all__ = ["Layer", "OwnGraph", "Unsupported", "build"]

SAME = 1e-4  # relative L2 of the graph's output and the model's: more is no rounding
ACCURACIES = ("strict", "standard")


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
        Unsupported: in words, why the model has no graph.
        ConvbenchError: an argument is not allowed.
    """
    if accuracy not in ACCURACIES:
        raise ConvbenchError(f"accuracy={accuracy!r}: give one of {', '.join(ACCURACIES)}")
    if threads < 1:
        raise ConvbenchError(f"threads={threads}: give 1 or more")
    graph = simplify(translate(capture(model, inputs)))
    own = OwnGraph(model, graph, inputs, threads, tell)
    _compare(model, own, inputs)
    return own


@torch.no_grad()
def _compare(model: nn.Module, own: "OwnGraph", inputs: tuple[Tensor, ...]) -> None:
    """What a model does besides calling torch's operators is seen in its output."""
    given = tuple(one.detach() for one in inputs)
    for ours, theirs in zip(tree_leaves(own(*given)), tree_leaves(model(*given)), strict=True):
        if not isinstance(theirs, Tensor):
            same = ours == theirs
        else:
            off = (ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-30)
            same = ours.shape == theirs.shape and bool(off.isnan() or off < SAME)
        if not same:
            raise Unsupported(
                "the captured graph gives another output than the model: it does something that calls no operator of "
                "torch, or its calls depend on each other"
            )


class OwnGraph:
    """Runs like the model that it was built of.

    Inputs of another shape or dtype, and calls that ask for gradients, run by the model itself; `tell` says so once.
    Threads may call at once; one runs after the other. The returned tensors are new and belong to the caller.

    Attributes:
        choices: the plan of each node.
        layers: a line for each node.
        torch_share: of the time, spent in nodes that torch runs.
        workspace: bytes of activations, weights and scratch.
    """

    def __init__(
        self, model: nn.Module, graph: Graph, inputs: tuple[Tensor, ...], threads: int, tell: Callable[[str], None]
    ) -> None:
        self.choices: dict[str, str] = {}
        self.layers: list[Layer] = [
            Layer(one.name, one.operation.words, "torch", "torch", float("nan"), float("nan"), None)
            for one in graph.nodes
        ]
        self.torch_share = 1.0
        self.workspace = 0
        self._model, self._graph, self._tell = model, graph, tell
        self._expected = [(one.shape, one.dtype) for one in inputs]
        self._asks = [one for one in model.parameters()]
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self._program = Program(graph, threads)
        self._program.load({})
        self.choices = self._program.choices
        self.workspace = self._program.workspace

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
            any(one.requires_grad for one in inputs) or any(one.requires_grad for one in self._asks)
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
