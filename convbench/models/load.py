"""Which model does a name refer to? Built with random weights; nothing is downloaded."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import warnings
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from convbench.discovery import import_file
from convbench.errors import ConvbenchError, in_words
from convbench.models.hugging import find_transformer
from convbench.models.inputs import Inputs
from convbench.models.saved import find_saved
from convbench.models.source import ModelSource, is_program

LIBRARIES = ("torchvision", "timm")
NEAR = 3
FORMS = "package.module:factory, FILE.py:Model, or a file: .onnx, .pt2, or .pt of TorchScript"
USAGE = (
    "write package.module:factory or FILE.py:factory, where factory is a class or function without required arguments"
)
SAVED = (".pt", ".pth", ".pt2", ".ts", ".jit", ".torchscript")


def find_model(name: str) -> ModelSource:
    """A model of torchvision or timm by name (`timm:NAME` says which), or of a module, a file, or transformers.

    Raises:
        ConvbenchError: there is none of that name, or its module cannot be imported.
    """
    library, _, rest = name.partition(":")
    if Path(name).suffix.lower() in SAVED:
        return find_saved(name)
    if library == "transformers" or (Path(name) / "config.json").is_file():
        return find_transformer(name, rest if library == "transformers" else name)
    before, colon, after = name.rpartition(":")
    if name.endswith(".py") or before.endswith(".py"):
        return _from_file(name, *((before, after) if before.endswith(".py") else (name, "")))
    if ":" in name and library not in LIBRARIES:
        return _from_factory(name, library, rest)
    return _by_name(name, library, rest) if colon else _by_name(name, "", name)


def _by_name(name: str, library: str, wanted: str) -> ModelSource:
    known: dict[str, list[str]] = {}
    for one in [library] if library else list(LIBRARIES):
        if importlib.util.find_spec(one) is None:
            if library:
                raise ConvbenchError(f"{name}: {one} is not installed; try 'pip install {one}'")
            continue
        names = _names(one)
        if wanted in names:
            return _from_library(one, wanted)
        known[one] = names
    near = get_close_matches(wanted, {one for names in known.values() for one in names}, n=NEAR)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    counts = " or ".join(f"one of the {len(names):,} names of {one}" for one, names in known.items())
    raise ConvbenchError(f"unknown model {name!r}: give {counts}, {FORMS}{hint}")


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
    if not path or not all(part.isidentifier() for part in module_name.split(".")):
        raise ConvbenchError(f"{name!r}: {module_name!r} is not a module, or the name is not in it; {USAGE}")
    try:
        if importlib.util.find_spec(module_name.partition(".")[0]) is None:
            _also_import_from(Path.cwd())
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit(0) in a module would look like success
        raise ConvbenchError(f"{name}: {in_words(error)}; {USAGE}") from None
    return _from_module(name, module_name, module, path)


def _from_file(name: str, file: str, path: str) -> ModelSource:
    """Of a Python file."""
    where = Path(file)
    if not where.is_file():
        raise ConvbenchError(f"no model at {file}: there is no such file; give a FILE.py:Model")
    try:
        module = import_file(where)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ConvbenchError(f"{file} cannot be imported: {in_words(error)}") from None
    return _from_module(name, where.name, module, path or _only_model(file, module))


def _only_model(file: str, module: ModuleType) -> str:
    """The name of the model of a file that was given without one."""
    own = [name for name, one in vars(module).items() if _is_model(one) and not name.startswith("_")]
    own = [name for name in own if getattr(getattr(module, name), "__module__", "") == module.__name__] or own
    if "Model" in own and hasattr(module, "get_inputs"):  # as KernelBench has them
        return "Model"
    if len(own) == 1:
        return own[0]
    has = f"defines {', '.join(own)}" if own else "defines no torch.nn.Module"
    raise ConvbenchError(f"{file} {has}: name a class or a function without arguments, {file}:NAME")


def _is_model(one: object) -> bool:
    return isinstance(one, nn.Module) or (isinstance(one, type) and issubclass(one, nn.Module) and one is not nn.Module)


def _from_module(name: str, origin: str, module: ModuleType, path: str) -> ModelSource:
    found: Any = module
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except AttributeError:
        own = [key for key, one in vars(module).items() if not key.startswith("_") and _is_model(one)]
        near = f"; did you mean {' or '.join(map(repr, own[:NEAR]))}?" if own else ""
        raise ConvbenchError(f"{origin} has no {path}; {USAGE}{near}") from None
    get_inputs: Any = getattr(module, "get_inputs", None)
    own_inputs = (lambda _: Inputs(args=tuple(get_inputs()))) if callable(get_inputs) else (lambda _: None)
    get_init_inputs: Any = getattr(module, "get_init_inputs", None)
    if isinstance(found, nn.Module) or is_program(found):
        return ModelSource(name=name, origin=origin, make=lambda: found, own_inputs=own_inputs)
    if not callable(found):
        raise ConvbenchError(f"{name} is a {type(found).__name__}, not a model; {USAGE}")
    arguments = get_init_inputs if isinstance(found, type) and callable(get_init_inputs) else tuple
    return ModelSource(name=name, origin=origin, make=lambda: found(*arguments()), own_inputs=own_inputs)


def _also_import_from(folder: Path) -> None:
    """At the end, where it shadows nothing."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
