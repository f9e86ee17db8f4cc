"""What did a call really run, and how much memory did it take besides its inputs?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from convbench.device import find_device
from convbench.environment import quieten_profiler

quieten_profiler()

# Operators that move no data, or only dispatch to another one.
_HOUSEKEEPING = frozenset(
    """_convolution _local_scalar_dense _nnpack_available _reshape_alias _unsafe_view alias as_strided as_strided_
    contiguous conv2d convolution detach detach_ einsum empty empty_like empty_strided expand expand_as flatten
    item lift_fresh mT matmul movedim narrow new_empty pad permute reshape reshape_as resize_ resolve_conj
    resolve_neg select slice split squeeze t thnn_conv2d to to_ transpose transpose_ unbind unflatten
    unfold unsqueeze view view_as""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One profiled call.

    Attributes:
        operators: aten operators in the order of their first call, wrappers and views left out.
        kernels: names of the GPU kernels.
        peak_nbytes: most bytes that torch's allocator held at a time beyond what it held before.
        out: what the call returned.
    """

    operators: tuple[str, ...]
    kernels: tuple[str, ...]
    peak_nbytes: int
    out: Any

    @property
    def ran(self) -> str:
        """Kernels if there are any, operators otherwise."""
        return "; ".join(self.kernels or self.operators)


def profile(call: Callable[[], Any], device: str) -> Profile:
    """Run `call` once under torch's profiler."""
    # torch.profiler.profile imports for seconds what this lower interface does without.
    where = find_device(device)
    with torch.autograd.profiler.profile(
        profile_memory=True, use_kineto=True, use_device=None if where.on_host else where.kind
    ) as session:
        out = call()
        where.synchronize()
    results = session.kineto_results
    assert results is not None  # set when the context ends
    operators: dict[str, None] = {}
    kernels: dict[str, None] = {}
    held = peak = 0
    for event in results.events():
        name = event.name()
        on_device = event.device_type().name == where.profiled_as
        if name == "[memory]":
            if on_device:
                held += event.nbytes()
                peak = max(peak, held)
        elif name.startswith("aten::"):
            if name.removeprefix("aten::") not in _HOUSEKEEPING:
                operators[name] = None
        elif not where.on_host and on_device and not name.startswith(("Memcpy", "Memset")):
            kernels[name] = None
    return Profile(operators=tuple(operators), kernels=tuple(kernels), peak_nbytes=peak, out=out)
