"""What a backend returned, as a plain tensor with exclusive memory.

A subclass of Tensor may answer every question as it likes: its shape, `==`, `double()`. So what
is judged is the memory under it, copied: neither its methods nor a thread that goes on
writing can affect it.
"""

from typing import Any

import torch
from torch import Tensor


def taken(out: Any) -> Any:
    """A copy of an output as a plain tensor, with its strides; what is no tensor as it is, for the check to name.

    Raises:
        TypeError: a subclass without memory of its own, which would compute its values when it is asked for them.
    """
    own = plain(out)
    return own.detach().clone() if own is not None else out


def changed(out: Any, own: Any) -> bool:
    """Whether an output is no longer what was taken of it."""
    now = plain(out)
    if now is None:
        return False
    if now.shape != own.shape or now.dtype != own.dtype:
        return True
    with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001  # it has no public name
        return not torch.equal(_bits(now), _bits(own))


def plain(out: Any) -> Tensor | None:
    """The tensor under an output, on the same memory; None if it is none. No code of the output's class runs."""
    if not issubclass(type(out), Tensor):  # isinstance would ask out.__class__
        return None
    if type(out) is Tensor:
        return out
    if torch._C._dispatch_keys(out).has(torch._C.DispatchKey.Python):  # noqa: SLF001  # it has no public name
        raise TypeError(f"returned a {type(out).__name__}, a tensor without its own memory")
    with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001  # it has no public name
        return torch._C.TensorBase.as_subclass(out, Tensor)  # noqa: SLF001  # Tensor's own may have been replaced


def _bits(tensor: Tensor) -> Tensor:
    """NaN is equal to itself."""
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.int64}[tensor.element_size()]
    dense = tensor.detach().contiguous().resolve_neg().resolve_conj()
    return dense.view(whole) if dense.dim() else dense
