"""How is a bug planted? A function, in words what a person did wrong, and what a true cause says of it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import DTYPES, Function, Kernel, convolve, everywhere, name_and_words
from convbench.verify.selftest.passes import dgrad, wgrad
from convbench.verify.selftest.right import ALL

Gradient = Callable[[Tensor, Tensor, ConvSpec], Tensor]
Fused = Callable[[Tensor, Tensor, ConvSpec, Tensor, bool], Tensor]


def bug(
    kind: str,
    *,
    causes: tuple[str, ...],
    probe: str = "",
    dtypes: tuple[str, ...] = DTYPES,
    fits: Callable[[Case], bool] = everywhere,
    family: str = "direct",
    any_padding: bool = False,
) -> Callable[[Function], Kernel]:
    """Turn a function into a bug; its docstring says what a person did wrong, `causes` what is true of it."""

    def wrap(fn: Function) -> Kernel:
        more = {"causes": causes, "probe": probe, "dtypes": dtypes, "fits": fits, "family": family}
        return _planted(fn, lambda: fn, kind=kind, brings={"any_padding": any_padding}, **more)

    return wrap


def bug_with_memory(
    *,
    causes: tuple[str, ...],
    probe: str,
    dtypes: tuple[str, ...] = DTYPES,
    fits: Callable[[Case], bool] = everywhere,
) -> Callable[[Callable[[], Function]], Kernel]:
    """The same for what makes such a function, one that remembers its calls."""

    def wrap(make: Callable[[], Function]) -> Kernel:
        return _planted(make, make, kind="behaviour", causes=causes, probe=probe, dtypes=dtypes, fits=fits)

    return wrap


def bug_of_gradient(*, causes: tuple[str, ...], dtypes: tuple[str, ...] = ALL) -> Callable[[Gradient], Kernel]:
    """A gradient with a bug next to an fprop that is right: `dgrad_...(dy, w, spec)` or `wgrad_...(dy, x, spec)`."""

    def wrap(fn: Gradient) -> Kernel:
        brings = {"dgrad": dgrad, "wgrad": wgrad} | {fn.__name__.partition("_")[0]: fn}
        return _planted(fn, lambda: convolve, kind="gradient", causes=causes, dtypes=dtypes, brings=brings)

    return wrap


def bug_of_epilogue(*, causes: tuple[str, ...], dtypes: tuple[str, ...] = ALL) -> Callable[[Fused], Kernel]:
    """A fused bias and relu with a bug, next to an fprop that is right."""

    def wrap(fn: Fused) -> Kernel:
        return _planted(fn, lambda: convolve, kind="epilogue", causes=causes, dtypes=dtypes, brings={"fused": fn})

    return wrap


def _planted(described: Callable[..., object], make: Callable[[], Function], **more: Any) -> Kernel:
    name, words = name_and_words(described)
    return Kernel(name=name, words=words, make=make, **more)
