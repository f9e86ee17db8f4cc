"""How does a plain function become a backend? By its signature: `fn(x, w, spec)`, or that of `F.conv2d`."""

import sys
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import Any

from convbench.backend import Backend, backend
from convbench.case import Case
from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, pair_text

USUAL = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
CONV2D = ("bias", *USUAL)
USAGE = "(x, w, spec), or as F.conv2d (x, w, bias=None, stride=1, padding=0, dilation=1, groups=1)"


def as_backend(fn: Callable[..., Any]) -> Backend:
    """The function as a direct convolution, named after it, with hyphens for underscores.

    One with F.conv2d's signature gets pairs (h, w) for stride, padding and dilation. It may lack some of these: then
    cases that need them are refused. If it takes a bias, it has the epilogues bias and bias_relu.

    Raises:
        ConvbenchError: it has neither signature.
    """
    takes = _takes(fn)
    if takes is None:

        def given_spec(x: Any, w: Any, spec: ConvSpec) -> Any:
            return fn(x, w, spec)

        return backend(family="direct", source="")(_named(given_spec, fn))

    def call(x: Any, w: Any, spec: ConvSpec, bias: Any = None) -> Any:
        whole = {"bias": bias, **{name: getattr(spec, name) for name in USUAL}}
        return fn(x, w, **{name: whole[name] for name in takes})

    def fused(x: Any, w: Any, spec: ConvSpec, bias: Any, relu: bool) -> Any:
        y = call(x, w, spec, bias)
        return y.relu() if relu and hasattr(y, "relu") else y  # the check will say what is wrong with anything else

    def refuse(case: Case) -> str | None:
        spec = case.spec.evened  # as the function gets it
        for name, usual in USUAL.items():
            value = getattr(spec, name)
            if name not in takes and value != usual:
                text = str(value) if isinstance(value, int) else pair_text(value)
                return f"the function has no parameter {name}, and this case has {name} {text}"
        return None

    traits = backend(family="direct", source="", fused=fused if "bias" in takes else None, refuse=refuse)
    return traits(_named(call, fn))


def python_name(fn: object) -> str:
    """What a function is called in Python; a callable object has the name of its class."""
    inner = getattr(fn, "func", fn)  # of functools.partial
    return str(getattr(inner, "__name__", type(fn).__name__))


def _named(call: Callable[..., Any], fn: Callable[..., Any]) -> Callable[..., Any]:
    """With the name, the first words and the module of the function: those of this file would be convbench's own."""
    module = getattr(fn, "__module__", None)
    call.__name__ = python_name(fn)
    call.__doc__ = getattr(fn, "__doc__", None) or "a function"
    call.__module__ = module if module in sys.modules else "__main__"
    return call


def _takes(fn: Callable[..., Any]) -> Sequence[str] | None:
    """Which parameters of F.conv2d it takes besides x and w; None if it takes a spec."""
    try:
        known = signature(fn)
    except (TypeError, ValueError):  # written in C, such as F.conv2d itself
        return CONV2D
    kinds = {one.kind for one in known.parameters.values()}
    names = {name for name, one in known.parameters.items() if one.kind is not Parameter.POSITIONAL_ONLY}
    if "spec" not in names and Parameter.VAR_KEYWORD in kinds and Parameter.VAR_POSITIONAL not in kinds:
        return CONV2D
    takes = tuple(name for name in CONV2D if name in names)
    forms: list[tuple[int, Sequence[str]]] = [*([(2, takes)] if takes else []), (3, ()), (2, ())]
    for count, words in forms:
        try:
            known.bind(*range(count), **dict.fromkeys(words))
        except TypeError:
            continue
        return None if count == 3 else words
    raise ConvbenchError(f"{python_name(fn)}{known}: a function takes {USAGE}")
