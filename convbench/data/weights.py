"""Which 4-D tensor of a weights file fits these channels? No code in the file is ever run."""

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from convbench.data.filters import Filters
from convbench.errors import ConvbenchError, unknown
from convbench.files import check
from convbench.machine import free_nbytes

MOST_LEVELS = 8  # of dictionaries and lists within each other


def load_filters(path: Path, channels: int, name: str | None = None) -> Filters:
    """The tensor `name` of a safetensors or torch file, or its first 4-D one that fits C channels.

    Raises:
        ConvbenchError: no such file, broken, pickled code, no 4-D tensor, or none that fits: C must be a multiple of
            its C/G, and K of the groups that follow.
    """
    try:
        check(path, free_nbytes("cpu"))  # no tensor is larger than its file, which the readers hold them to
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConvbenchError(
            f"no weights file at {path}: {why}; give --weights a FILE.safetensors, or a FILE from torch.save"
        ) from None
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    found, w, shapes = read(path, channels, name)
    k, c_per_group, *_ = w.shape
    if 0 in w.shape:
        raise ConvbenchError(
            f"{found} in {path} is {tuple(w.shape)}: it is empty; give another one with --weights-name"
        )
    if not _fits(w.shape, channels):
        raise ConvbenchError(
            f"{found} in {path} is (K, C/G, R, S) = {tuple(w.shape)}, the data has C={channels}: C must be a multiple "
            f"of C/G, and K of C over C/G; try other --data, or --weights-name with another tensor"
        )
    if not w.is_floating_point() or w.layout != torch.strided:
        raise ConvbenchError(f"{found} in {path} is {w.dtype}, {w.layout}; it must be floating-point and dense")
    if w.is_meta or w.numel() * w.element_size() > w.untyped_storage().nbytes():
        raise ConvbenchError(f"{found} in {path} claims {tuple(w.shape)} but has fewer numbers; save it again")
    return Filters(
        w=w,
        names=tuple(f"{found.removesuffix('.weight')}[{i}]" for i in range(k)),
        origin=f"{found} of {path.name}",
        groups=channels // c_per_group,
        remarks=_others(path, found, shapes, channels) if name is None else (),
    )


def _fits(shape: Sequence[int], channels: int) -> bool:
    """Whether a weight (K, C/G, R, S) fits that many channels."""
    k, c_per_group, *_ = shape
    return 0 not in shape and channels % c_per_group == 0 and k % (channels // c_per_group) == 0


def _others(path: Path, found: str, shapes: Mapping[str, Sequence[int]], channels: int) -> tuple[str, ...]:
    """Which other weights of the file would fit."""
    others = [key for key, shape in shapes.items() if key != found and len(shape) == 4 and _fits(shape, channels)]
    if not others:
        return ()
    more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
    return (f"{path}: took {found}; --weights-name takes {', '.join(others[:3])}{more}",)


_Read = tuple[str, Tensor, Mapping[str, Sequence[int]]]


def _read_safetensors(path: Path, channels: int, name: str | None) -> _Read:
    """The name of the tensor, itself, and the shapes of all."""
    try:
        with safe_open(path, framework="pt") as file:  # reads the header only
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118  # no mapping
            found = _choose(path, shapes, channels, name)
            return found, file.get_tensor(found), shapes
    except (SafetensorError, OSError) as error:
        raise ConvbenchError(f"{path} is not a readable safetensors file: {error}; save it again") from None


def _read_torch(path: Path, channels: int, name: str | None) -> _Read:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                # torch.save stores plainly; a compressed entry could unpack to any size.
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise ConvbenchError(f"{path} is a compressed archive, which torch.save does not write")
        with warnings.catch_warnings(action="ignore"):  # what it warns of is refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ConvbenchError:
        raise
    except pickle.UnpicklingError:
        raise ConvbenchError(
            f"{path} is damaged, or contains pickled code besides tensors, which is never run; "
            f"save model.state_dict() with torch.save or safetensors"
        ) from None
    except Exception as error:  # a broken file makes the reader raise whatever it likes
        first = str(error).partition("\n")[0]
        raise ConvbenchError(
            f"{path} is not a readable torch file: {type(error).__name__}: {first}; "
            f"save model.state_dict() with torch.save or safetensors"
        ) from None
    tensors = dict(_tensors(content, "", MOST_LEVELS))
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    found = _choose(path, shapes, channels, name)
    return found, tensors[found].detach(), shapes


def _tensors(content: Any, name: str, levels: int) -> Iterator[tuple[str, Tensor]]:
    """Tensors by name: one alone, or those of dictionaries and lists within each other, as checkpoints keep them."""
    if isinstance(content, Tensor):
        yield name or "tensor", content
    elif levels and isinstance(content, Mapping | list | tuple):
        parts = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in parts:
            yield from _tensors(value, f"{name}.{key}" if name else str(key), levels - 1)


def _choose(path: Path, shapes: Mapping[str, Sequence[int]], channels: int, name: str | None) -> str:
    """The one that was named, else the first that fits; the first of all where none does."""
    four = [key for key, shape in shapes.items() if len(shape) == 4]
    if not four:
        raise ConvbenchError(
            f"{path} has {len(shapes)} tensors, none of them 4-D; a convolution's weight is (K, C/G, R, S)"
        )
    if name is None:
        return next((key for key in four if _fits(shapes[key], channels)), four[0])
    if name not in four:
        raise unknown(f"4-D tensor of {path}", name, four)
    return name
