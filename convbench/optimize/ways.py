"""How is each candidate made from a model, and how is it called?

What is made is called like the model, with the shapes that it was made for. The bill has two parts: to export is to
write the model for another program, to build is to load it there or to compile it, with the first call.
"""

import copy
import json
import logging
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convbench.errors import ConvbenchError, one_line
from convbench.optimize.candidates import BASELINE, OWN
from convbench.optimize.subject import ModelCall, Structure, Tell, tensors_of

IMAGES = 4  # dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a candidate is made for.

    Attributes:
        folder: for the files of an export, which another candidate may read.
        choices: of our own graph, as an earlier run tuned them; None has it tuned for `tune_s` seconds at most.
        cached: whether compilers may take what they made before; not where their time is billed.
    """

    subject: ModelCall
    structure: Structure
    threads: int
    accuracy: str
    folder: Path
    choices: Mapping[str, Any] | None = None
    tune_s: float = 20.0
    cached: bool = False
    tell: Tell = field(default=lambda _: None)

    def told(self, tell: Tell) -> "Order":
        """The same, telling another."""
        return replace(self, tell=tell)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a candidate cost, and what our own graph says of itself; plain values."""

    export_s: float = 0.0
    build_s: float = 0.0
    choices: Mapping[str, Any] | None = None
    layers: tuple[Mapping[str, Any], ...] = ()
    torch_share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Facts):
    """A candidate that can be called like the model."""

    call: Callable[..., Any]


class NotPossible(ConvbenchError):  # noqa: N818  # it says what it is
    """A candidate cannot run this model, with the reason."""


def make(name: str, order: Order) -> Made:
    """A candidate, called once.

    Raises:
        NotPossible: it cannot run this model.
        Exception: whatever the library raises.
    """
    made = WAYS[name](order)
    begin = time.perf_counter()
    with torch.no_grad():
        order.subject.inputs.call(made.call)
    return replace(made, build_s=made.build_s + time.perf_counter() - begin)


def eager(order: Order) -> Made:
    return Made(call=order.subject.model)


def channels_last(order: Order) -> Made:
    with _stopwatch() as spent:
        model = copy.deepcopy(order.subject.model).to(memory_format=torch.channels_last)

    def call(*args: Any, **kwargs: Any) -> Any:
        return model(*map(_channels_last, args), **{name: _channels_last(one) for name, one in kwargs.items()})

    return Made(call=call, build_s=spent())


def _channels_last(one: Any) -> Any:
    if isinstance(one, Tensor) and one.dim() == IMAGES:
        return one.contiguous(memory_format=torch.channels_last)
    return one


def torch_compile(order: Order) -> Made:
    from convbench.backends.torch_compile import lacks_compiler

    if why := lacks_compiler():
        raise NotPossible(why)
    order.tell("compiling it with inductor")
    options: dict[str, str | int | bool | Callable[..., Any]] = {"freezing": True, "compile_threads": 1}
    if not order.cached:
        options["force_disable_caches"] = True
    model = copy.deepcopy(order.subject.model)  # freezing may take its weights away
    compiled: Callable[..., Any] = torch.compile(model, dynamic=False, options=options)
    return Made(call=compiled)  # the first call compiles


def onnxruntime(order: Order) -> Made:
    from convbench.backends.onnxruntime import session_of

    path, export_s, names = onnx_file(order)
    order.tell("loading it into ONNX Runtime")
    with _stopwatch() as spent:
        session = session_of(str(path), order.threads)
    outputs = [one.name for one in session.get_outputs()]

    def call(*args: Any, **kwargs: Any) -> Any:
        given = zip(names, order_tensors(order, args, kwargs), strict=True)
        feeds = {name: one.detach().contiguous().numpy() for name, one in given if name}
        return order.structure.build([torch.from_numpy(one) for one in session.run(outputs, feeds)])

    return Made(call=call, export_s=export_s, build_s=spent())


def openvino(order: Order) -> Made:
    from convbench.backends.openvino import compile_model

    path, export_s, names = onnx_file(order)
    order.tell("compiling it with OpenVINO")
    ov: Any = import_module("openvino")
    with _stopwatch() as spent:
        compiled = compile_model(str(path), order.threads)
    places = {one: place for place, port in enumerate(compiled.inputs) for one in port.get_names()}
    requests = threading.local()  # a request is of one thread

    def call(*args: Any, **kwargs: Any) -> Any:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        for name, one in zip(names, order_tensors(order, args, kwargs), strict=True):
            if name:
                tensor = ov.Tensor(one.detach().contiguous().numpy(), shared_memory=True)
                requests.own.set_input_tensor(places[name], tensor)
        requests.own.infer()
        # The next call writes its outputs into the same memory.
        outs = [torch.from_numpy(one.data.copy()) for one in requests.own.output_tensors]
        return order.structure.build(outs)

    return Made(call=call, export_s=export_s, build_s=spent())


def ncnn(order: Order) -> Made:
    from convbench.backends.ncnn import empty_net, run

    subject, structure = order.subject, order.structure
    images = _images(order)
    order.tell("exporting it with pnnx")
    with _stopwatch() as spent:
        _require_no_choice(subject, images[:1])
        param, weights = _pnnx(order, images[:1])
    export_s = spent()
    with _stopwatch() as spent:
        net = empty_net(order.threads)
        if net.load_param(str(param)) != 0 or net.load_model(str(weights)) != 0:
            raise NotPossible("ncnn cannot load what pnnx made of it; it lacks a layer")
    outputs = list(net.output_names())
    if len(net.input_names()) != 1 or len(outputs) != structure.tensors:
        raise NotPossible("ncnn's network has other inputs or outputs than the model")
    with torch.no_grad():
        shapes = [tuple(one.shape[1:]) for one in tensors_of(subject.model(images[:1]))]

    def call(x: Tensor) -> Any:
        rows = [run(net, image, "in0", outputs) for image in x.detach().contiguous()]
        columns = [[row[place].reshape(shape) for row in rows] for place, shape in enumerate(shapes)]
        return structure.build([torch.stack(one) for one in columns])

    return Made(call=call, export_s=export_s, build_s=spent())


def own_graph(order: Order) -> Made:
    from convbench.graph.build import build

    if order.subject.inputs.kwargs:
        raise NotPossible("our own graph takes inputs by position, and this model gets some by name")
    order.tell("tuning our own graph" if order.choices is None else "building our own graph as it was tuned")
    with _stopwatch() as spent:
        graph = build(
            order.subject.model,
            order.subject.inputs.args,
            threads=order.threads,
            accuracy=order.accuracy,
            choices=order.choices,
            tune_s=order.tune_s,
            tell=order.tell,
        )
    names = ("name", "operation", "default", "chosen", "default_s", "chosen_s", "error")
    layers = tuple({name: _known(getattr(layer, name, None)) for name in names} for layer in graph.layers)
    return Made(call=graph, build_s=spent(), choices=graph.choices, layers=layers, torch_share=graph.torch_share)


def _known(value: Any) -> Any:
    """A value as JSON has it: a number that is not known is none."""
    return None if isinstance(value, float) and not isfinite(value) else value


WAYS: Mapping[str, Callable[[Order], Made]] = {
    BASELINE: eager,
    "channels-last": channels_last,
    "torch-compile": torch_compile,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "ncnn": ncnn,
    OWN: own_graph,
}


def order_tensors(order: Order, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """The tensors of a call in the order of the model's inputs, whatever the order of its names."""
    own = order.subject.inputs.kwargs
    return tensors_of((args, {name: kwargs[name] for name in own}))


def onnx_file(order: Order) -> tuple[Path, float, list[str]]:
    """The model as an ONNX file, the seconds that it took, and the name of each input tensor; "" is not in the graph.

    It is written once for all candidates that read it, and on the bill of each.
    """
    path, facts = order.folder / "model.onnx", order.folder / "model.json"
    if facts.exists():
        known = json.loads(facts.read_text())
        return path, float(known["export_s"]), [str(one) for one in known["names"]]
    order.tell("exporting it to ONNX")
    inputs = order.subject.inputs
    with _stopwatch() as spent, _quiet():
        program = torch.export.export(_Tensors(order.subject.model), inputs.args, dict(inputs.kwargs), strict=False)
        given = [one.arg.name for one in program.graph_signature.input_specs if one.kind.name == "USER_INPUT"]
        found: Any = torch.onnx.export(program, dynamo=True, verbose=False)
        found.save(str(path), external_data=True)
    graph = [one.name for one in found.model.graph.inputs]
    tensors = [isinstance(one, Tensor) for one in tree_leaves((inputs.args, dict(inputs.kwargs)))]
    names = [name if name in graph else "" for name, tensor in zip(given, tensors, strict=True) if tensor]
    facts.write_text(json.dumps({"export_s": spent(), "names": names}))
    return path, spent(), names


class _Tensors(nn.Module):
    """The model with nothing but its output's tensors: a graph returns no text, and no number that is known."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.model(*args, **kwargs)))


def _images(order: Order) -> Tensor:
    """The only input.

    Raises:
        NotPossible: there are others, or it has no batch.
    """
    inputs = order.subject.inputs
    tensors = inputs.tensors
    if len(tensors) != 1 or len(inputs.args) != 1 or inputs.kwargs or inputs.args[0] is not tensors[0]:
        raise NotPossible("ncnn is tried with models of one input tensor")
    (x,) = tensors
    if not x.is_floating_point() or x.dim() != IMAGES:
        raise NotPossible("ncnn is tried with images (N, C, H, W) in fp32")
    if any(one.dim() < 2 or one.shape[0] != x.shape[0] for one in tensors_of(order.subject.call())):
        raise NotPossible("ncnn computes one image at a time, and this model's output has no batch")
    return x


def _require_no_choice(subject: ModelCall, image: Tensor) -> None:
    """Refuse a model whose Python code looks at values: a trace would keep the way that one input took.

    Raises:
        NotPossible: it does, or cannot be run without values.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
            subject.model(mode.from_tensor(image))
    except Exception as error:
        raise NotPossible(
            f"its code may look at values, which the trace for pnnx would freeze ({type(error).__name__})"
        ) from None


def _pnnx(order: Order, image: Tensor) -> tuple[Path, Path]:
    """The network and the weights that pnnx makes of a trace.

    Raises:
        NotPossible: it makes none.
    """
    program = Path(import_module("pnnx").EXEC_PATH)
    trace = order.folder / "ncnn.pt"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of its age
        torch.jit.trace(order.subject.model, (image,), check_trace=False).save(str(trace))
    size = ",".join(map(str, image.shape))
    try:
        done = subprocess.run(  # noqa: S603  # the program of an installed package
            [program, trace.name, f"inputshape=[{size}]f32", "fp16=0"],
            cwd=order.folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise NotPossible(f"pnnx cannot be started: {error.strerror}") from None
    found = order.folder / "ncnn.ncnn.param", order.folder / "ncnn.ncnn.bin"
    if done.returncode or not all(one.exists() for one in found):
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise NotPossible(f"pnnx made no network of it (exit {done.returncode}: {one_line(last, 100)})")
    return found


@contextmanager
def _stopwatch() -> Any:
    """Yields how many seconds its block took, or has taken so far."""
    begin = time.perf_counter()
    end: list[float] = []

    def spent() -> float:
        return (end[0] if end else time.perf_counter()) - begin

    try:
        yield spent
    finally:
        end.append(time.perf_counter())


@contextmanager
def _quiet() -> Any:
    """Exporters warn and log of what does not matter here: whether it is right is checked."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
