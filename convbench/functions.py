"""How does a plain function become a backend? It is fn(x, w, spec), or has the arguments of F.conv2d.

Nothing is declared, so it counts as a direct convolution for every device and data type. It has a fused bias if it has
an argument of that name, and refuses problems for whose stride, padding, dilation or groups it has none.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from convbench.backend import Backend, adopt
from convbench.case import Case
from convbench.errors import ConvbenchError, one_line
from convbench.spec import ConvSpec

# After the input and the weight, in the order of F.conv2d.
ARGUMENTS = ("bias", "stride", "padding", "dilation", "groups")
_EITHER = f"a function is fn(x, w, spec), or has the arguments of F.conv2d: {', '.join(('x', 'w', *ARGUMENTS))}"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def function_backend(function: Callable[..., Any], name: str, origin: str) -> Backend:
    """A function as a backend of that name, with hyphens for underscores.

    Args:
        function: `fn(x, w, spec) -> y`, or one with the arguments of F.conv2d or some of them. Code in C does not
            tell its arguments: it gets all of F.conv2d's, by position.
        name: its name in its module.
        origin: the file or module it came from.

    Raises:
        ConvbenchError: it has other arguments.
    """
    taken = _arguments(function, f"{origin}: {name}")
    doc = one_line((inspect.getdoc(function) or "").partition("\n")[0])
    named = partial(Backend, name=name.replace("_", "-"), doc=doc, origin=origin, family="direct", source=origin)
    if taken is None:
        return adopt(named(fn=function), origin)
    traits: dict[str, Any] = {"refuse": partial(_refuse, name, taken)}
    if "bias" in taken:
        traits["fused"] = partial(_call_with_bias, function, taken)
    return adopt(named(fn=partial(_call, function, taken), **traits), origin)


def as_backend(function: Callable[..., Any]) -> Backend:
    """A function of this process as a backend, named after it.

    Raises:
        ConvbenchError: as `function_backend`; or it is a module of torch.
    """
    if callable(getattr(function, "named_parameters", None)):  # an nn.Module
        kind = type(function).__name__
        raise ConvbenchError(
            f"{kind} is a module with weights of its own, and a backend is given x and w; give a function, such as "
            f"torch.nn.functional.conv2d, or list a module's convolutions with convbench.model"
        )
    module = getattr(function, "__module__", None)
    return function_backend(function, python_name(function), module if module in sys.modules else "__main__")


def python_name(function: object) -> str:
    """What a function is called in Python; a callable object has the name of its class."""
    inner = getattr(function, "func", function)  # of functools.partial
    return str(getattr(inner, "__name__", type(function).__name__))


def _arguments(function: Callable[..., Any], what: str) -> Mapping[str, bool] | None:
    """Which arguments of F.conv2d it takes, and whether by name; None for fn(x, w, spec).

    Raises:
        ConvbenchError: it takes others.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # code in C
        return dict.fromkeys(ARGUMENTS, False)
    kinds = {one.kind for one in parameters}
    own = [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    rest = own[2:]
    needed = [one for one in rest if one.default is one.empty]
    if _is_problem(rest, needed):
        return None
    if inspect.Parameter.VAR_KEYWORD in kinds:
        found = dict.fromkeys(ARGUMENTS, True)
    elif not rest and inspect.Parameter.VAR_POSITIONAL in kinds:  # fn(*args)
        return None
    else:
        found = {one.name: True for one in rest if one.name in ARGUMENTS and one.kind in _BY_NAME}
    if len(own) < 2 and not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise ConvbenchError(f"{what} takes {len(own)} arguments; {_EITHER}")
    if others := [one.name for one in needed if one.name not in found]:
        raise ConvbenchError(f"{what} needs the argument {others[-1]!r}; {_EITHER}")
    return found


def _is_problem(rest: Sequence[inspect.Parameter], needed: Sequence[inspect.Parameter]) -> bool:
    """Whether the argument after x and w is the problem, and no other is needed."""
    if not rest or rest[0].kind is rest[0].KEYWORD_ONLY or any(one.name in ARGUMENTS for one in rest):
        return False
    return all(one is rest[0] for one in needed) and (rest[0] in needed or rest[0].name == "spec")


def _given(taken: Mapping[str, bool], spec: ConvSpec, bias: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments after the weight: by position, by name."""
    values = {name: bias if name == "bias" else getattr(spec, name) for name in taken}
    by_name = {name: value for name, value in values.items() if taken[name]}
    return [value for name, value in values.items() if not taken[name]], by_name


def _call(function: Callable[..., Any], taken: Mapping[str, bool], x: Any, w: Any, spec: ConvSpec) -> Any:
    positional, named = _given(taken, spec, None)
    return function(x, w, *positional, **named)


def _call_with_bias(
    function: Callable[..., Any], taken: Mapping[str, bool], x: Any, w: Any, spec: ConvSpec, bias: Any, relu: bool
) -> Any:
    positional, named = _given(taken, spec, bias)
    y = function(x, w, *positional, **named)
    return y.relu() if relu and hasattr(y, "relu") else y  # the check will say what is wrong with something else


def _refuse(name: str, taken: Mapping[str, bool], case: Case) -> str | None:
    """Why its arguments cannot express a problem, or None."""
    spec = case.spec.evened  # it gets an x that is padded already where the sides differ
    usual = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    for argument, value in usual.items():
        if argument not in taken and getattr(spec, argument) != value:
            return f"{name} has no argument {argument}"
    return None
