"""Where are backends found, and how are they loaded?

One file in `backends/`, one entry point of the group `convbench.backends`, or a function in a file or
module named by `--plugin`; `FILE.py::NAME` is one function of it, which needs no @backend. The last two are
third-party code, which `workers.probe` inspects in a separate process.
"""

import ast
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from convbench.backend import BASELINE, MOST_NAME, OWN, Backend, Unavailable, adopt
from convbench.case import DEVICES
from convbench.errors import ConvbenchError, first_line, in_words, one_line, unknown
from convbench.expressions import Expression
from convbench.functions import function_backend
from convbench.printing import prints_to_stderr

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "convbench.backends"
BUILT_IN = Path(__file__).parent / "backends"

Found = tuple[list[Backend], list[Unavailable]]
Others = Callable[[Sequence["BackendSource"], Sequence[str]], Callable[[], Found]]


def discover(
    plugins: Sequence[str] = (),
    names: Sequence[str] | None = None,
    *,
    alone: bool = False,
    others: Others | None = None,
) -> Found:
    """Load the built-in backends, the installed ones, and the plug-ins, in this order.

    An installed backend whose name is a built-in's is left out.

    Args:
        plugins: files (`FILE.py`) or importable modules with @backend functions, or `FILE.py::NAME` for one function.
        names: load and return only these, in this order; None means all that do not need to be requested.
            `/REGEX/` means every name that matches the regular expression.
        alone: load only the plug-ins.
        others: starts to load entry points and plug-ins; its result finishes it. None means `load_here`.

    Raises:
        ConvbenchError: a plug-in does not load or has no backend, two backends share a
            name, or a name is unknown.

    Example:
        >>> import convbench as cb
        >>> loaded, missing = cb.discover(names=["unfold-matmul", "naive-loops"])
        >>> [one.name for one in loaded]
        ['unfold-matmul', 'naive-loops']
    """
    known = list(sources())
    asked = [
        one
        for one in known
        if not (alone or one.shadowed) and (one.joins_unasked if names is None else _place(one.name, names) is not None)
    ]
    refuse_twins((one.name, one.origin) for one in asked)
    finish = (others or partial(partial, load_here))([one for one in asked if one.origin != OWN], plugins)
    loaded, unavailable = load_here([one for one in asked if one.origin == OWN], ())
    of_others = finish()
    loaded, unavailable = loaded + of_others[0], unavailable + of_others[1]
    names_taken = [(one.name, one.origin) for one in known if alone and not one.shadowed]  # of those left out
    names_taken += [(one.name, one.origin) for one in loaded]
    refuse_twins([*names_taken, *((one.name, one.origin) for one in unavailable)])
    names_known = [*(one.name for one in known), *(one.name for one in loaded)]
    for name in names or ():
        if name not in names_known and not is_pattern(name):
            raise unknown("backend", name, names_known)
    if names is not None:
        places = [(place, one) for one in loaded if (place := _place(one.name, names)) is not None]
        loaded = [one for _, one in sorted(places, key=lambda pair: pair[0])]
    return loaded, unavailable


def load_here(points: Sequence["BackendSource"], plugins: Sequence[str]) -> Found:
    """Import into this process; an entry point that cannot be loaded is unavailable.

    Raises:
        ConvbenchError: a plug-in does not load or has no backend.
    """
    loaded, unavailable = [], []
    for source in points:
        try:
            with _no_end_in_success(), prints_to_stderr():
                loaded.append(source.load())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an optional dependency may fail in any way when imported
            reason = f"{type(error).__name__}: {first_line(error)}".removeprefix("ModuleNotFoundError: ").removeprefix(
                "ConvbenchError: "
            )
            broken = not isinstance(error, Exception)  # sys.exit(0) would have ended convbench
            unavailable.append(Unavailable(name=source.name, reason=reason, origin=source.origin, broken=broken))
    for plugin in plugins:
        loaded += load_plugin(plugin)
    return loaded, unavailable


def is_pattern(name: str) -> bool:
    """Whether a word of --backend is `/REGEX/` and not a name."""
    return len(name) > 2 and name[0] == name[-1] == "/"


def _place(name: str, names: Sequence[str]) -> int | None:
    """The first position at which a backend is requested, or None."""
    matches = (place for place, one in enumerate(names) if one == name or _matches(one, name))
    return next(matches, None)


def _matches(pattern: str, name: str) -> bool:
    return is_pattern(pattern) and Expression("--backend", pattern[1:-1]).found_in(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendSource:
    """A backend that could be loaded: what is known without importing it."""

    name: str
    origin: str
    doc: str
    devices: tuple[str, ...]
    family: str
    missing: tuple[str, ...]
    load: Callable[[], Backend]
    on_request: bool = False
    shadowed: bool = False

    @property
    def joins_unasked(self) -> bool:
        """Whether it runs if no backend is named: then a missing optional package is not reported."""
        return not self.on_request and not (self.origin == OWN and self.missing)


def sources() -> Iterator[BackendSource]:
    """The built-in files, the baseline first, then the entry points; none is imported."""
    from importlib.metadata import entry_points

    stems = [path.stem for path in BUILT_IN.glob("*.py") if not path.name.startswith("_")]
    for stem in sorted(stems, key=lambda stem: (stem != BASELINE, stem)):
        yield _read_card(stem)
    taken = {_name_of(stem) for stem in stems}
    for point in entry_points(group=GROUP):
        origin = one_line(f"{point.dist.name} {point.dist.version}" if point.dist else f"entry point {point.value}")
        top = point.value.partition(":")[0].partition(".")[0].strip()
        yield BackendSource(
            name=one_line(point.name, MOST_NAME),
            origin=origin,
            doc=one_line(f"{point.value} of {origin}"),
            devices=(),
            family="",
            missing=_missing([top] if top.isidentifier() else []),
            load=partial(_from_entry_point, point, f"package {origin}"),
            shadowed=point.name in taken,
        )


def load_plugin(plugin: str) -> list[Backend]:
    """The backends that a file or a module defines itself, without those it merely imports; or the one named after ::.

    Modules next to a FILE.py, or in the working directory, are found last, so they replace nothing else.
    """
    file, separator, name = plugin.partition("::")
    try:
        with _no_end_in_success(), prints_to_stderr():
            if separator:  # a test file finds its helpers from there
                _look_last_in(Path.cwd())
            if file.endswith(".py"):
                refuse_missing(Path(file))
                module = import_file(Path(file))
            else:
                if importlib.util.find_spec(file.partition(".")[0]) is None:
                    _look_last_in(Path.cwd())
                module = importlib.import_module(file)
    except (ConvbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit(0) in a plug-in would look like success
        raise refuse_plugin(plugin, in_words(error)) from None
    if separator:
        return [_named(module, name, file)]
    own = [value for value in vars(module).values() if isinstance(value, Backend) and value.origin == module.__name__]
    if not own:
        functions = _own_functions(module)
        one = f"give one of its functions, {plugin}::{functions[0]}, or " if functions else ""
        raise ConvbenchError(f"plug-in {plugin} has no backend; {one}decorate a function fn(x, w, spec) with @backend")
    return [adopt(one, f"plug-in {plugin}") for one in own]


def _named(module: ModuleType, name: str, file: str) -> Backend:
    """The backend, or the function as a backend, of this name in a module.

    Raises:
        ConvbenchError: there is none, or it is no function that a backend can be made of.
    """
    values = vars(module)
    found = values.get(name)
    if isinstance(found, Backend):
        return adopt(found, f"plug-in {file}")
    if callable(found) and not isinstance(found, type):
        return function_backend(found, name, f"plug-in {file}")
    functions = _own_functions(module)
    if name in values:
        raise ConvbenchError(f"--plugin {file}::{name}: {name} is not a function; choose from {', '.join(functions)}")
    raise unknown(f"function of plug-in {file}", name, functions)


def _own_functions(module: ModuleType) -> list[str]:
    """The public functions and backends that it defines, also those that a decorator made something else of."""
    return [
        name
        for name, one in vars(module).items()
        if name[0] != "_"
        and (isinstance(one, Backend) or (callable(one) and not isinstance(one, type)))
        and getattr(one, "origin", getattr(one, "__module__", "")) == module.__name__
    ]


def refuse_plugin(plugin: str, why: str) -> ConvbenchError:
    """The error for a plug-in whose import failed."""
    return ConvbenchError(
        f"plug-in {plugin} could not be loaded: {why}; --plugin takes a FILE.py or an importable module"
    )


@contextmanager
def _no_end_in_success() -> Iterator[None]:
    """os._exit(0) at the top of a plug-in would look like success; from C it still does."""
    real = os._exit

    def leave(status: int) -> NoReturn:
        if status == 0:
            raise SystemExit("os._exit(0)")
        real(status)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = real


def _look_last_in(folder: Path) -> None:
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)


def refuse_missing(path: Path) -> None:
    """Raise if a plug-in does not exist, before anything tries to load it."""
    if not path.is_file():
        raise ConvbenchError(f"plug-in {path} is not a file; --plugin takes a FILE.py or an importable module")


def import_file(path: Path) -> ModuleType:
    """Run a FILE.py anew as a module; modules next to it are found last, so they replace nothing else.

    It is called as `import` from its folder would call it, unless something else has that name: numba writes the name
    into its cache beside the file, and would not find another one when the user's own program reads the cache.
    """
    _look_last_in(path.parent)
    name = path.stem if _is_free(path) else f"convbench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the path ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that @backend can read the module's docstring
    _files.add(name)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_files: set[str] = set()  # the names of modules that `import_file` made


def _is_free(path: Path) -> bool:
    """Whether the file's own name would import this file, and nobody has done that."""
    if not path.stem.isidentifier() or (path.stem in sys.modules and path.stem not in _files):
        return False
    before = sys.modules.pop(path.stem, None)
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    found = importlib.util.find_spec(path.stem)
    free = found is not None and found.origin is not None and Path(found.origin).resolve() == path.resolve()
    if before is not None and not free:
        sys.modules[path.stem] = before
    return free


def _from_entry_point(point: "EntryPoint", origin: str) -> Backend:
    with prints_to_stderr():
        value = point.load()
    if not isinstance(value, Backend) or value.name != point.name:
        raise ConvbenchError(
            f"the entry point {point.name} = {point.value} is not a backend of that name; "
            f"point it at a function decorated with @backend"
        )
    return adopt(value, origin)


def _read_card(stem: str) -> BackendSource:
    """The declarations of a built-in file, read from its text: importing it would import torch."""
    card = _declared(stem)

    def load() -> Backend:
        with prints_to_stderr():
            found = getattr(importlib.import_module(f"convbench.backends.{stem}"), stem)
        assert isinstance(found, Backend)
        return found

    return BackendSource(
        name=_name_of(stem),
        origin=OWN,
        doc=card.doc,
        devices=tuple(sorted(card.literals.get("devices", DEVICES))),
        family=card.literals["family"],
        missing=_missing(card.packages),
        load=load,
        on_request=card.literals.get("on_request", False),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """Of a built-in file: its first sentence, the arguments of @backend that say what it is, and what it imports."""

    doc: str
    literals: dict[str, Any]
    packages: frozenset[str]


@cache
def _declared(stem: str) -> _Declared:
    tree = ast.parse((BUILT_IN / f"{stem}.py").read_text(encoding="utf-8"))
    function = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == stem and node.decorator_list
    )
    decorator = function.decorator_list[0]
    assert isinstance(decorator, ast.Call)
    literals = {
        keyword.arg: ast.literal_eval(keyword.value)
        for keyword in decorator.keywords
        if keyword.arg in ("devices", "family", "on_request")
    }
    imports = [
        name
        for node in tree.body
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return _Declared(
        doc=(ast.get_docstring(tree) or "").partition("\n")[0],
        literals=literals,
        packages=frozenset(name.partition(".")[0] for name in imports),
    )


def _name_of(stem: str) -> str:
    return stem.replace("_", "-")


def _missing(packages: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in sorted(packages) if importlib.util.find_spec(name) is None)


def refuse_twins(found: Iterable[tuple[str, str]]) -> None:
    origins: dict[str, str] = {}
    for name, origin in found:
        if name in origins:
            raise ConvbenchError(
                f"two backends are named {name!r}: one from {origins[name]}, one from {origin}; rename one of them"
            )
        origins[name] = origin
