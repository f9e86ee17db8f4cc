"""Which model does a name refer to? Built with random weights; nothing is downloaded."""

import copy
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convbench.errors import ConvbenchError, in_words

LIBRARIES = ("torchvision", "timm")
NEAR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that can be built, again and again.

    Attributes:
        name: as given.
        origin: the library and its version, or the module.
        input_shape: the input size that the model declares, without the batch, or None.
    """

    name: str
    origin: str
    make: Callable[[], Any]
    input_shape: tuple[int, ...] | None = None

    def build(self, device: str) -> nn.Module:
        """The model in evaluation mode, its parameters on a device ("meta" costs no memory).

        Raises:
            ConvbenchError: it returns something that is not a torch.nn.Module.
            Exception: whatever the model raises.
        """
        with warnings.catch_warnings(), torch.device(device):
            warnings.simplefilter("ignore")  # on weights that are not initialised as in the paper
            model = self.make()
        if not isinstance(model, nn.Module):
            raise ConvbenchError(f"{self.name} returns a {type(model).__name__}, not a torch.nn.Module")
        if any(one.device.type != device for one in (*model.parameters(), *model.buffers())):
            model = copy.deepcopy(model).to(device)  # a factory may return the same model again
        return model.eval()


def find_model(name: str) -> ModelSource:
    """A model of torchvision or timm by name (`timm:NAME` says which), or an importable `package.module:factory`.

    Raises:
        ConvbenchError: there is none of that name, or its module cannot be imported.
    """
    library, colon, rest = name.partition(":")
    if colon and library not in LIBRARIES:
        return _from_factory(name, library, rest)
    asked = [library] if colon else list(LIBRARIES)
    wanted = rest if colon else name
    known: dict[str, list[str]] = {}
    for one in asked:
        if importlib.util.find_spec(one) is None:
            if colon:
                raise ConvbenchError(f"{name}: {one} is not installed; try 'pip install {one}'")
            continue
        names = _names(one)
        if wanted in names:
            return _from_library(one, wanted)
        known[one] = names
    near = get_close_matches(wanted, {one for names in known.values() for one in names}, n=NEAR)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    counts = " or ".join(f"one of the {len(names):,} names of {one}" for one, names in known.items())
    raise ConvbenchError(f"unknown model {name!r}: give {counts}, package.module:factory, or FILE.onnx{hint}")


def _names(library: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "torchvision":
            from torchvision import models

            return list(models.list_models())
        timm: Any = importlib.import_module("timm")
        return list(timm.list_models())


def _from_library(library: str, name: str) -> ModelSource:
    origin = f"{library} {importlib.metadata.version(library)}"
    if library == "torchvision":
        from torchvision import models

        builder = models.get_model_builder(name)
        # Their own default for the backbone of a segmentation model is to download it.
        none = {one: None for one in inspect.signature(builder).parameters if one in ("weights", "weights_backbone")}
        return ModelSource(name=name, origin=origin, make=lambda: builder(**none))
    timm: Any = importlib.import_module("timm")
    wanted = getattr(timm.get_pretrained_cfg(name, allow_unregistered=True), "input_size", None)
    return ModelSource(
        name=name, origin=origin, make=lambda: timm.create_model(name, pretrained=False), input_shape=wanted
    )


def _from_factory(name: str, module_name: str, path: str) -> ModelSource:
    """Third-party code: whatever it raises becomes one line."""
    usage = "write package.module:factory, where factory is a class or function without required arguments"
    if not path or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConvbenchError(f"{name!r}: {module_name!r} is not a module, or the name is not in it; {usage}")
    try:
        if importlib.util.find_spec(module_name.partition(".")[0]) is None:
            place = str(Path.cwd())  # at the end, where it shadows nothing
            if place not in sys.path:
                sys.path.append(place)
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit(0) in a module would look like success
        raise ConvbenchError(f"{name}: {in_words(error)}; {usage}") from None
    if isinstance(found, nn.Module):
        model = found
        return ModelSource(name=name, origin=module_name, make=lambda: model)
    if not callable(found):
        raise ConvbenchError(f"{name} is a {type(found).__name__}; {usage}")
    return ModelSource(name=name, origin=module_name, make=found)
