"""Which 4-D tensor of a weights file fits these channels? No code in the file is ever run."""

import pickle
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from convbench.data.filters import Filters
from convbench.errors import ConvbenchError, unknown
from convbench.files import check
from convbench.machine import free_nbytes


def load_filters(path: Path, channels: int, name: str | None = None) -> Filters:
    """The tensor `name` of a safetensors or torch file, or its first 4-D one, for C channels.

    Raises:
        ConvbenchError: no such file, broken, pickled code, no 4-D tensor, or one that does not
            fit: C must be a multiple of its C/G, and K of the groups that follow.
    """
    try:
        check(path, free_nbytes("cpu"))  # no tensor is larger than its file, which the readers hold them to
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConvbenchError(
            f"no weights file at {path}: {why}; give --weights a FILE.safetensors, or a FILE from torch.save"
        ) from None
    found, w = _read_safetensors(path, name) if path.suffix == ".safetensors" else _read_torch(path, name)
    k, c_per_group, *_ = w.shape
    if 0 in w.shape:
        raise ConvbenchError(
            f"{found} in {path} is {tuple(w.shape)}: it is empty; give another one with --weights-name"
        )
    if channels % c_per_group or k % (channels // c_per_group):
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
    )


def _read_safetensors(path: Path, name: str | None) -> tuple[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:  # reads the header only
            ranks = {key: len(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
            found = _choose(path, ranks, name)
            return found, file.get_tensor(found)
    except (SafetensorError, OSError) as error:
        raise ConvbenchError(f"{path} is not a readable safetensors file: {error}; save it again") from None


def _read_torch(path: Path, name: str | None) -> tuple[str, Tensor]:
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
    tensors = dict(_tensors(content))
    found = _choose(path, {key: tensor.dim() for key, tensor in tensors.items()}, name)
    return found, tensors[found].detach()


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors by name: a tensor alone, a state dict, or one a level down, as checkpoints keep it."""
    if isinstance(content, Tensor):
        yield "tensor", content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            if isinstance(value, Tensor):
                yield str(key), value
            elif isinstance(value, Mapping):
                yield from ((f"{key}.{inner}", one) for inner, one in value.items() if isinstance(one, Tensor))


def _choose(path: Path, ranks: Mapping[str, int], name: str | None) -> str:
    four = [key for key, rank in ranks.items() if rank == 4]
    if not four:
        raise ConvbenchError(
            f"{path} has {len(ranks)} tensors, none of them 4-D; a convolution's weight is (K, C/G, R, S)"
        )
    if name is None:
        return four[0]
    if name not in four:
        raise unknown(f"4-D tensor of {path}", name, four)
    return name
