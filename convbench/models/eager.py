"""How is torch kept from importing its compiler if nothing is compiled?

Its dispatch modes and its Python code for the meta device hide themselves from torch.compile at their first call. That
call imports torch._dynamo, which takes seconds of CPU time.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
HIDDEN = "__dynamo_disable"  # where torch._disable_dynamo keeps what it was given


class _StandIn(ModuleType):
    """A torch._dynamo that hides nothing, and is replaced by the real one as soon as anything else is used."""

    def __init__(self) -> None:
        super().__init__(COMPILER)
        self.hidden: list[Callable[..., Any]] = []

    def disable(self, fn: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        self.hidden.append(fn)
        return fn

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # a look at all modules, as inspect takes
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(COMPILER), name)

    def leave(self) -> None:
        """Restore torch."""
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        while self.hidden:
            vars(self.hidden.pop()).pop(HIDDEN, None)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within this context torch runs eagerly; code that needs the compiler still gets it."""
    if COMPILER in sys.modules:
        yield
        return
    stand_in = sys.modules[COMPILER] = _StandIn()
    try:
        yield
    finally:
        stand_in.leave()
