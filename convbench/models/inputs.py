"""Which tensors is a model run on? `1x3x224x224`, `input_ids=1x16:int64`, `batch.image=1x3x32x32:fp16`."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from convbench.dtypes import DTYPE, short_dtype
from convbench.errors import ConvbenchError, unknown

MAX_NUMBERS = 2**31  # of one input
EXAMPLE = "write it like 1x3x224x224, 1x3x224x224:fp16, or input_ids=1x16:int64"
TORCH_DTYPE: Mapping[str, torch.dtype] = {one.name: getattr(torch, one.torch) for one in DTYPE.values()} | {
    name: getattr(torch, name) for name in ("int64", "int32", "int16", "int8", "uint8", "bool")
}
_INPUT = re.compile(
    r"(?:(?P<name>[a-z_]\w*(?:\.\w+)*)=)?(?P<sizes>[0-9]{1,9}(?:x[0-9]{1,9})*)(?::(?P<dtype>[a-z][\w.]*))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenInput:
    """One input tensor of a model.

    Attributes:
        name: of the argument, or `batch.image` for the entry `image` of a dict that it takes; "" for the next one.
        dtype: "" for the model's own.
    """

    shape: tuple[int, ...]
    name: str = ""
    dtype: str = ""

    def __str__(self) -> str:
        name, dtype = f"{self.name}=" if self.name else "", f":{self.dtype}" if self.dtype else ""
        return f"{name}{'x'.join(map(str, self.shape))}{dtype}"


def parse_inputs(text: str) -> tuple[GivenInput, ...]:
    """`1x3x224x224`, or several with commas between, each with a name and a dtype where it needs one."""
    found: list[GivenInput] = []
    for word in text.split(","):
        if not (match := _INPUT.fullmatch(word.strip())):
            raise ConvbenchError(f"--input {text!r}: {word!r} is not a shape; {EXAMPLE}")
        shape = tuple(map(int, match["sizes"].lower().split("x")))
        if not 0 < prod(shape) <= MAX_NUMBERS:
            raise ConvbenchError(f"--input {text!r} has {prod(shape):,} numbers; 1 to {MAX_NUMBERS:,} are allowed")
        dtype = short_dtype(match["dtype"] or "")
        if dtype and dtype not in TORCH_DTYPE:
            raise unknown("dtype", match["dtype"], TORCH_DTYPE)
        found.append(GivenInput(shape=shape, name=match["name"] or "", dtype=dtype))
    names = [one.name for one in found]
    if any(a and not b for a, b in pairwise(names)):
        raise ConvbenchError(f"--input {text!r}: inputs without a name come first")
    named = [one for one in names if one]
    if twice := [one for one in named if named.count(one) > 1 or any(two.startswith(f"{one}.") for two in named)]:
        raise ConvbenchError(f"--input {text!r}: {twice[0]} is given twice")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a model is called with."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Tensor]:
        return [one for one in tree_leaves((self.args, dict(self.kwargs))) if isinstance(one, Tensor)]

    @property
    def first(self) -> Tensor | None:
        """The image: the first tensor of at least three dimensions."""
        return next((one for one in self.tensors if one.dim() >= 3 and one.numel()), None)

    def on(self, device: str) -> "Inputs":
        def move(one: Any) -> Any:
            return one.to(device) if isinstance(one, Tensor) else one

        return Inputs(args=tree_map(move, self.args), kwargs=tree_map(move, dict(self.kwargs)))

    def in_dtype_of(self, model: nn.Module) -> "Inputs":
        """They in the model's own dtype, where it has one and they are fp32, as random numbers are."""
        own = {one.dtype for one in model.parameters() if one.is_floating_point()}
        if len(own) != 1:
            return self
        [dtype] = own

        def cast(one: Any) -> Any:
            return one.to(dtype) if isinstance(one, Tensor) and one.dtype == torch.float32 else one

        return Inputs(args=tree_map(cast, self.args), kwargs=tree_map(cast, dict(self.kwargs)))

    def call(self, model: Callable[..., Any]) -> Any:
        return model(*self.args, **self.kwargs)

    def given(self, dtype: torch.dtype) -> tuple[GivenInput, ...]:
        """They as text; `dtype` is the one that goes without saying."""
        named = [("", one) for one in self.args] + list(self.kwargs.items())
        return tuple(_given(name, one, dtype) for name, whole in named for name, one in _tensors(name, whole))


def _tensors(name: str, whole: Any) -> Iterable[tuple[str, Tensor]]:
    if isinstance(whole, Tensor):
        yield name, whole
    elif isinstance(whole, Mapping):
        for key, one in whole.items():
            yield from _tensors(f"{name}.{key}".lstrip("."), one)
    elif isinstance(whole, Sequence) and not isinstance(whole, str):
        for one in whole:
            yield from _tensors(name, one)


def _given(name: str, one: Tensor, dtype: torch.dtype) -> GivenInput:
    text = "" if one.dtype == dtype else name_dtype(one.dtype)
    return GivenInput(shape=tuple(one.shape), name=name, dtype=text)


def name_dtype(dtype: torch.dtype) -> str:
    """`fp16`, or torch's own name where convbench has none."""
    return short_dtype(str(dtype))


def own_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of the model's floating-point numbers, by the first of them."""
    return next(
        (one.dtype for one in (*model.parameters(), *model.buffers()) if one.is_floating_point()), torch.float32
    )


def make_inputs(given: Sequence[GivenInput], device: str, dtype: torch.dtype) -> Inputs:
    """Random numbers of these shapes; ones where they are integers, which any embedding has."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for one in given:
        tensor = _numbers(one.shape, device, TORCH_DTYPE[one.dtype] if one.dtype else dtype)
        if not one.name:
            args.append(tensor)
            continue
        *path, last = one.name.split(".")
        inner = kwargs
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = tensor
    return Inputs(args=tuple(args), kwargs=kwargs)


def _numbers(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> Tensor:
    if device == "meta":
        return torch.empty(shape, device=device, dtype=dtype)
    if not dtype.is_floating_point:
        return torch.ones(shape, dtype=dtype)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
