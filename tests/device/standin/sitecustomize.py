"""A stand-in for a GPU: what is asked of torch.cuda is done on the CPU. For control flow; its times mean nothing.

With its folder on PYTHONPATH every process has it. What a real device would hold against the caller is kept: a context
does not outlive a fork, nothing is asked of the device during a capture, and a graph computes anew on the memory that
it was captured with. Contexts, captures and replays are noted in the file that STANDIN_LOG names.
"""

import contextlib
import os
import threading
import time
import types
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

LOG = os.environ.get("STANDIN_LOG")
NAME, L2_NBYTES = "Stand-in", int(os.environ.get("STANDIN_L2", "1048576"))
MOST_ZEROS = (
    2**18
)  # what is larger is there to empty a cache, and there is none here: writing it takes most of the time
context: list[int] = []  # the process that has one
capturing: list["Tape"] = []


def note(*words: object) -> None:
    if LOG:
        with open(LOG, "a") as file:
            print(os.getpid(), *words, file=file)


def begin() -> None:
    """Have a context, as whatever touches the device does."""
    if not context:
        context.append(os.getpid())
        note("context")
    elif context != [os.getpid()]:
        note("forked")
        raise RuntimeError("Cannot re-initialize CUDA in forked subprocess")


def mapped(value: Any) -> Any:
    """The CPU in the place of the device."""
    if isinstance(value, str | torch.device) and str(value).split(":")[0] == "cuda":
        begin()
        return torch.device("cpu") if isinstance(value, torch.device) else "cpu"
    return value


class Devices(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.zeros and len(args) == 1 and isinstance(args[0], int) and kwargs and "device" in kwargs:
            args = (min(args[0], MOST_ZEROS),)
        return func(*map(mapped, args), **{name: mapped(value) for name, value in (kwargs or {}).items()})


class Tape(TorchDispatchMode):
    """What ran during a capture, with the memory that it ran on."""

    def __init__(self, steps: list[tuple[Any, Any, Any, Any]] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own has no types
        self.steps = [] if steps is None else steps
        self.thread = threading.get_ident()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.steps.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        for func, args, kwargs, out in self.steps:
            if "empty" in func.name():
                continue
            fresh = func(*args, **kwargs)
            given = {place(one) for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)}
            for old, new in zip(
                *(one if isinstance(one, tuple | list) else [one] for one in (out, fresh)), strict=True
            ):
                if isinstance(old, torch.Tensor) and place(old) not in given:
                    old.copy_(new)


def place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class Stream:
    def __init__(self, *_: Any, **__: Any) -> None:
        begin()

    def wait_stream(self, other: "Stream") -> None: ...

    def synchronize(self) -> None:
        synchronize()


class Event:
    def __init__(self, *_: Any, **__: Any) -> None:
        begin()
        self.at = 0.0

    def record(self, *_: Any) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, later: "Event") -> float:
        return (later.at - self.at) * 1e3

    def synchronize(self) -> None:
        synchronize()


class CUDAGraph:
    def __init__(self) -> None:
        begin()
        self.tape = Tape()

    def replay(self) -> None:
        note("replay")
        self.tape.replay()

    def pool(self) -> tuple[int, int]:
        return (0, 1)


@contextlib.contextmanager
def graph(made: CUDAGraph, **_: Any) -> Any:
    note("capture")
    capturing.append(made.tape)
    try:
        with made.tape:
            yield
    finally:
        capturing.remove(made.tape)
    note("captured", len(made.tape.steps))


@contextlib.contextmanager
def stream(_: Stream) -> Any:
    """A capture is of a stream, whichever thread calls on it; what records here is of one thread."""
    if capturing and capturing[-1].thread != threading.get_ident():
        with Tape(capturing[-1].steps):
            yield
    else:
        yield


def synchronize(*_: Any) -> None:
    begin()
    if capturing:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


def cudnn_convolution(x: Any, w: Any, padding: Any, stride: Any, dilation: Any, groups: int, *_: Any) -> Any:
    with torch.autograd.profiler.record_function("aten::cudnn_convolution"):
        return F.conv2d(x, w, None, stride, padding, dilation, groups)


def cudnn_convolution_transpose(
    dy: Any, w: Any, padding: Any, rest: Any, stride: Any, dilation: Any, groups: int, *_: Any
) -> Any:
    with torch.autograd.profiler.record_function("aten::cudnn_convolution_transpose"):
        return F.conv_transpose2d(dy, w, None, stride, padding, rest, groups, dilation)


def cudnn_convolution_relu(x: Any, w: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    with torch.autograd.profiler.record_function("aten::cudnn_convolution_relu"):
        if groups == 3:
            raise RuntimeError("GET was unable to find an engine to execute this computation")
        return F.conv2d(x, w, bias, stride, padding, dilation, groups).relu()


def answering(value: Any) -> Any:
    def answer(*_: Any, **__: Any) -> Any:
        begin()
        return value

    return answer


class Profile(torch.autograd.profiler.profile):
    """Of the CPU alone: there are no kernels to be seen."""

    def __init__(self, *words: Any, use_device: str | None = None, **others: Any) -> None:
        super().__init__(*words, **others)


PROPERTIES = types.SimpleNamespace(
    name=NAME,
    L2_cache_size=L2_NBYTES,
    multi_processor_count=2,
    total_memory=8 << 30,
    major=9,
    minor=0,
    pci_domain_id=0,
    pci_bus_id=1,
    pci_device_id=0,
)
for name, value in {
    "is_available": lambda: True,
    "device_count": lambda: 1,
    "is_initialized": lambda: context == [os.getpid()],
    "is_current_stream_capturing": lambda: bool(capturing),
    "device": lambda *_: contextlib.nullcontext(),
    "stream": stream,
    "set_stream": lambda *_: None,
    "current_stream": Stream,
    "synchronize": synchronize,
    "Stream": Stream,
    "Event": Event,
    "CUDAGraph": CUDAGraph,
    "graph": graph,
    "mem_get_info": answering((4 << 30, 8 << 30)),
    **dict.fromkeys(("memory_reserved", "memory_allocated", "max_memory_allocated"), answering(0)),
    **dict.fromkeys(("reset_peak_memory_stats", "empty_cache"), answering(None)),
    "get_device_name": answering(NAME),
    "get_device_capability": answering((9, 0)),
    "get_device_properties": answering(PROPERTIES),
}.items():
    setattr(torch.cuda, name, value)
setattr(torch.autograd.profiler, "profile", Profile)  # noqa: B010  # no type may be assigned to
torch.backends.cudnn.is_available = lambda: True
for function in (cudnn_convolution, cudnn_convolution_transpose, cudnn_convolution_relu):
    setattr(torch, function.__name__, function)
contextlib.ExitStack().enter_context(Devices())
