"""Which model is in a file that torch.export.save, torch.jit.save or torch.save wrote?

What kind of file it is shows in the names within its archive; nothing of it runs before the model is built.
"""

import logging
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convbench.errors import ConvbenchError, first_line
from convbench.models.source import ModelSource

RISK = "opening {} can run code that is in it; open only files that you trust"


def find_saved(name: str) -> ModelSource:
    """The model of a file.

    Raises:
        ConvbenchError: there is no such file, or no model in it.
    """
    path = Path(name)
    if not path.is_file():
        raise ConvbenchError(f"no model at {name}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):  # a damaged name is a UnicodeDecodeError
        inside = []
        if not _is_pickle(path):
            raise ConvbenchError(
                f"{name} is not a file of PyTorch: give one that torch.export.save, torch.jit.save or torch.save wrote"
            ) from None
    risk = RISK.format(name)
    if any("/code/" in one for one in inside) and any(one.endswith("constants.pkl") for one in inside):
        return ModelSource(name=name, origin="TorchScript", make=lambda: _script(path), risk=risk)
    if any(one.endswith((".so", ".wrapper.cpp")) or "/aotinductor/" in one for one in inside):
        raise ConvbenchError(f"{name} is machine code of AOTInductor, without the operators; give the exported program")
    if any("/models/" in one or one.endswith("serialized_exported_program.json") for one in inside):
        return ModelSource(name=name, origin="torch.export", make=lambda: _program(path), risk=risk)
    weights = _weights(path, name)
    if weights is not None:
        raise ConvbenchError(
            f"{name} holds weights ({weights}), not a model: name the class that takes them, FILE.py:Model"
        )
    usage = "the code of its class must be importable: run convbench in the folder of that code, or use FILE.py:Model"
    return ModelSource(name=name, origin="torch.save", make=lambda: _pickled(path), risk=risk, usage=usage)


def _is_pickle(path: Path) -> bool:
    """Of the second protocol or a later one, as torch.save wrote before it wrote archives."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _script(path: Path) -> Any:
    try:
        return torch.jit.load(path, map_location=torch.get_default_device())
    except NotImplementedError:  # frozen: constants are compared, and meta tensors cannot be
        return torch.jit.load(path, map_location="cpu")


def _program(path: Path) -> Any:
    """It is read on the CPU alone; what torch logs of a damaged one comes again as its error."""
    logger = logging.getLogger("torch.export")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with torch.device("cpu"):
            return torch.export.load(path)
    finally:
        logger.setLevel(before)


def _weights(path: Path, name: str) -> str | None:
    """What is in a file of nothing but tensors; None where it is more, and only unpickling it says what.

    Raises:
        ConvbenchError: torch.save did not write it.
    """
    try:
        found = torch.load(path, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            return None
        raise ConvbenchError(f"{name} is not a file of PyTorch: {first_line(error)}") from None
    except Exception as error:  # of a damaged archive
        raise ConvbenchError(f"{name} is not a file of PyTorch that can be read: {first_line(error)}") from None
    return f"{len(found)} entries" if isinstance(found, dict) else f"a {type(found).__name__}"


def _pickled(path: Path) -> Any:
    """A whole module, or the one within a dict, as checkpoints have it; its class is imported from here too."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    with torch.device("cpu"):
        found = torch.load(path, map_location="cpu", weights_only=False)
    if isinstance(found, dict):
        return next((one for one in found.values() if isinstance(one, nn.Module)), found)
    return found
