"""Why does a model not run on an input, and what should the user try? By what was raised."""

import inspect
import re
from contextlib import suppress

from torch import Tensor, nn

from convbench.errors import first_line
from convbench.models.inputs import Inputs, name_dtype

OF_DTYPE = re.compile(
    r"same dtype|scalar type|scalar_type|should be the same|mixed dtype|not implemented for '|to have the same type|"
    r"dtype mismatch|dtypes? (?:must|should)",
    re.IGNORECASE,
)
OF_INDICES = re.compile(r"'indices'|scalar types: Long|used as ind(?:ex|ices) must be", re.IGNORECASE)
OF_TOKENS = re.compile(r"ids$|token|label|index|position", re.IGNORECASE)
OF_ENTRIES = (IndexError, KeyError, AttributeError)
OF_ARGUMENTS = re.compile(
    r"required positional argument|missing .* argument|unexpected keyword|but .* (?:was|were) given"
)
OF_SIZE = re.compile(
    r"size|shape|dimension|channel|expected \d+D|stack|broadcast|mat1 and mat2|must match|guard|out of range|too small",
    re.IGNORECASE,
)


def what_to_try(error: BaseException, model: nn.Module, inputs: Inputs) -> str:
    """The end of the line that says that it does not run; "" if the error does not say."""
    words = str(error) if "TorchScript interpreter" in first_line(error) else first_line(error)
    if OF_ARGUMENTS.search(words):
        return f"it takes {_arguments(model)}: name them, such as --input {_example(model)}"
    if OF_INDICES.search(words):
        return "an input of whole numbers, such as tokens, is written --input input_ids=1x16:int64"
    if OF_DTYPE.search(words):
        given = sorted({name_dtype(one.dtype) for one in inputs.tensors})
        own = sorted({name_dtype(one.dtype) for one in model.parameters()})
        example = next((f"{'x'.join(map(str, one.shape))}:{(own or ['fp16'])[0]}" for one in inputs.tensors), "")
        of = f", its weights are {' and '.join(own)}" if own else ""
        return f"two dtypes meet, the sizes fit: the input is {' and '.join(given)}{of}; try --input {example}"
    if isinstance(error, OF_ENTRIES) and any(isinstance(one, Tensor) for one in inputs.args):
        name = next(iter(_names(model)), "batch")
        return f"if it takes a dict, name its entries, such as --input {name}.image=1x3x224x224"
    if OF_SIZE.search(words):
        return "try the input size that the model is built for"
    return ""


def _arguments(model: nn.Module) -> str:
    return ", ".join(_names(model)) or "other arguments"


def _example(model: nn.Module) -> str:
    sizes = {name: "1x16:int64" if OF_TOKENS.search(name) else "1x3x224x224" for name in _names(model)}
    return ",".join(f"{name}={size}" for name, size in sizes.items()) or "x=1x3x224x224"


def _names(model: nn.Module) -> list[str]:
    """Of what forward() must be given."""
    with suppress(TypeError, ValueError):
        return [
            name
            for name, one in inspect.signature(model.forward).parameters.items()
            if one.default is inspect.Parameter.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
    return []
