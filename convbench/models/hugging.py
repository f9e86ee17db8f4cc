"""Which model does transformers make of a configuration? From the name of its class, or a folder on this machine."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

from convbench.errors import ConvbenchError, in_words
from convbench.models.inputs import Inputs
from convbench.models.source import ModelSource

TOKENS = 16  # of a sentence
USUAL_SIDE, USUAL_CHANNELS = 224, 3


def find_transformer(name: str, wanted: str) -> ModelSource:
    """`ResNetConfig`, `ResNetForImageClassification`, or a folder with a config.json; nothing is downloaded.

    Raises:
        ConvbenchError: transformers is not installed, or has nothing of that name.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ConvbenchError(f"{name}: transformers is not installed; try 'pip install transformers'")
    transformers: Any = importlib.import_module("transformers")
    folder = Path(wanted)
    try:
        if (folder / "config.json").is_file():
            config = transformers.AutoConfig.from_pretrained(wanted, local_files_only=True, trust_remote_code=False)
            maker = getattr(transformers, next(iter(getattr(config, "architectures", None) or ()), ""), None)
        else:
            found = getattr(transformers, wanted)
            config_class = getattr(found, "config_class", None)  # of a model
            config, maker = (config_class or found)(), found if config_class else None
    except Exception as error:  # of third-party code
        raise ConvbenchError(
            f"{name}: {in_words(error)}; give a class as transformers:ResNetConfig, or a folder with a config.json"
        ) from None
    make = (lambda: maker(config)) if maker is not None else (lambda: transformers.AutoModel.from_config(config))
    return ModelSource(
        name=name,
        origin=f"transformers {getattr(transformers, '__version__', '')}".strip(),
        make=make,
        own_inputs=lambda model: _usual_inputs(model, config),
    )


def _usual_inputs(model: Any, config: Any) -> Inputs | None:
    """An image or a sentence, by the name of the model's main input."""
    name = getattr(model, "main_input_name", "")
    if name == "pixel_values":
        side = getattr(config, "image_size", None) or USUAL_SIDE
        sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
        channels = getattr(config, "num_channels", None) or USUAL_CHANNELS
        return Inputs(kwargs={name: torch.zeros(1, channels, *sides)})
    if name == "input_ids":
        return Inputs(kwargs={name: torch.ones(1, TOKENS, dtype=torch.int64)})
    return None
