"""convbench shows how a convolution is computed, runs it, checks it, and times it.

The public names; docs/python.md describes each. Importing this package imports almost nothing: a name is imported on
first use, and torch when something runs.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    # `python -m convbench` searches the working directory first: a torch.py or typing.py in it would run.
    # Another program run with -m finds its own modules there. Its name precedes its arguments: `-m name`, or `-mname`.
    _program = sys.orig_argv[-len(sys.argv)]
    if (_program.partition("m")[2] if _program.startswith("-") else _program).partition(".")[0] == "convbench":
        del sys.path[0]

from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convbench.api import assert_convolution, bench, compare, explain, model, optimize, verify
    from convbench.backend import Backend, Unavailable, backend
    from convbench.case import Case, Problem
    from convbench.discovery import discover
    from convbench.errors import ConvbenchError
    from convbench.outcome import Failed, Result, Skipped, Timed, Verified, Wrong
    from convbench.results import Results
    from convbench.spec import ConvSpec

    __version__: str

__all__ = [
    "Backend",
    "Case",
    "ConvSpec",
    "ConvbenchError",
    "Failed",
    "Problem",
    "Result",
    "Results",
    "Skipped",
    "Timed",
    "Unavailable",
    "Verified",
    "Wrong",
    "__version__",
    "assert_convolution",
    "backend",
    "bench",
    "compare",
    "discover",
    "explain",
    "model",
    "optimize",
    "verify",
]

_NAMES = {
    "api": ("assert_convolution", "bench", "compare", "explain", "model", "optimize", "verify"),
    "backend": ("Backend", "Unavailable", "backend"),
    "case": ("Case", "Problem"),
    "discovery": ("discover",),
    "errors": ("ConvbenchError",),
    "outcome": ("Failed", "Result", "Skipped", "Timed", "Verified", "Wrong"),
    "results": ("Results",),
    "spec": ("ConvSpec",),
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}


class _Package(ModuleType):
    """Where a name is both a public function and a module of the package (bench, verify, ...), it is the function.

    The import system puts each module into its package. There the module's names become attributes of the function, so
    `convbench.bench.sweep` is still that module.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOME or not isinstance(value, ModuleType):
            super().__setattr__(name, value)
        elif isinstance(function := vars(self).get(name), FunctionType):
            function.__dict__ = vars(value)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *__all__})


sys.modules[__name__].__class__ = _Package


if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        if name == "__version__":  # read on demand: importlib.metadata would slow down --help
            from convbench.version import installed_version

            return installed_version()
        if name not in _HOME:
            raise AttributeError(f"module 'convbench' has no attribute {name!r}")
        value = getattr(import_module(f"convbench.{_HOME[name]}"), name)
        setattr(sys.modules[__name__], name, value)
        if (module := sys.modules.get(f"convbench.{name}")) is not None:
            setattr(sys.modules[__name__], name, module)  # imported before the function was asked for
        return value
