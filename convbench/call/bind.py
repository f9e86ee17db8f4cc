"""How is a backend called on the operands of a case, and what becomes of an exception that it raises?"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from convbench.backend import Backend
from convbench.call.tensors import arithmetic, settle_layout
from convbench.case import Case
from convbench.device import find_device
from convbench.errors import in_words
from convbench.outcome import Failed

# Whatever third-party code raises becomes its row and does not end the sweep; its sys.exit is not ours.
ANY_FAULT = (Exception, SystemExit)


def bind(backend: Backend, case: Case, operands: Mapping[str, Tensor]) -> tuple[Callable[[], Any], float | None]:
    """`call() -> out` in the case's layout, and the seconds of the prepare step; None without one.

    Args:
        operands: the tensors that the case's pass reads, by name in its order, as `Case.operands` has them.
    """
    given, prepare_s = prepare(backend, case, operands)
    return bound(backend, case, given), prepare_s


def prepare(backend: Backend, case: Case, operands: Mapping[str, Tensor]) -> tuple[list[Any], float | None]:
    """The arguments of a call, with the weight prepared if the backend does that, and the seconds of it, or None."""
    prepare_s = None
    given: list[Any] = list(operands.values())
    if backend.prepare is not None and case.pass_ == "fprop":
        start = time.perf_counter()
        given[1] = backend.prepare(operands["w"], backend.view(case.spec))
        synchronize(case.device)
        prepare_s = time.perf_counter() - start
    return given, prepare_s


def bound(backend: Backend, case: Case, given: Sequence[Any]) -> Callable[[], Any]:
    """`call() -> out` in the case's layout, on what `prepare` gave, perhaps with another first operand."""
    compute = backend.bind(case, given)

    def call() -> Any:
        out = compute()
        return settle_layout(out, case.layout) if isinstance(out, Tensor) and out.dim() == 4 else out

    return call


@contextmanager
def conditions(case: Case) -> Iterator[None]:
    """The context of every call of a case: its device, its arithmetic, and no gradients."""
    with case.target.selected(), arithmetic(case.precision), torch.no_grad():
        yield


def synchronize(device: str) -> None:
    """Wait until the device is idle, so faults surface here and clocks are right."""
    find_device(device).synchronize()


def alive(device: str) -> bool:
    """Whether the device still computes: an illegal address ends it for this process."""
    try:
        return bool(torch.ones(1, device=find_device(device).torch_name).item() == 1)
    except ANY_FAULT:
        return False


def failure(error: BaseException) -> Failed:
    """A backend's exception as one line."""
    lacked = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return Failed(in_words(error, kind="out of memory" if lacked else ""))
