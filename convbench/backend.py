"""What is a backend, and where are backends found?

A backend is one way to compute a convolution: one file in `backends/`, one entry point of
the group `convbench.backends`, or a function in a file or module named by `--plugin`.
"""

import ast
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from convbench.case import DEVICES, DTYPES, PASSES, Case
from convbench.errors import ConvbenchError, first_line, in_words, one_line, unknown
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BASELINE = "torch"
FAMILIES = ("direct", "im2col", "implicit_gemm", "winograd", "fft", "vendor")
GROUP = "convbench.backends"
OWN = "convbench"
BUILT_IN = Path(__file__).parent / "backends"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to compute y (N, K, P, Q) from x (N, C, H, W) and w (K, C/G, R, S), and its gradients if it can.

    Attributes:
        name: how it is asked for.
        fn: `fn(x, w, spec) -> y`, in x's dtype, on x's device, x and w untouched. With
            `prepare`, `fn` gets what `prepare` returned in the place of w.
        dgrad: `dgrad(dy, w, spec) -> dx` (N, C, H, W), or None where it has none.
        wgrad: `wgrad(dy, x, spec) -> dw` (K, C/G, R, S), or None where it has none.
        fused: `fused(x, w, spec, bias, relu) -> y`, with bias (K) added and then relu if asked; without
            it torch does both after `fn`. `prepare` holds for it too.
        family: how it sums, which decides its error bound.
        source: the paper or library it follows.
        devices, dtypes: what it can do.
        doc: one line.
        origin: the file or package it came from.
        prepare: `prepare(w, spec)`, what is done once for each weight of fprop; timed apart.
        refuse: `refuse(case)`, a reason in words or None.
        max_macs, macs_per_s: multiply-adds above which it refuses for its cost unless forced,
            and about how many it does a second.
        actual_flops: `actual_flops(spec)`, the operations that it does, two for a multiply-add, where
            they are not those of the direct algorithm.
        on_request: it runs only when it is named, for it would hold up everybody else.
        nondeterministic: `nondeterministic(case)`, whether two equal calls may differ in their last bits;
            None is never.
        defects: `defects(case, probe)`, a known defect of the library underneath that a probe of verify meets
            (numeric, sharp, memory, repeat, lattice, locality, gradient), in words, or None; it is
            shown and fails nobody.
        must_run: the operator a profile of a pass must show, or the backend did not run what it claims.
        roundings: `roundings(case)`, how often a 16-bit case's partial sums are stored in 16 bits
            on their way; each widens the bound. None is never.
    """

    name: str
    fn: Callable[[Any, Any, ConvSpec], Any]
    family: str
    source: str
    devices: frozenset[str]
    dtypes: frozenset[str]
    doc: str = ""
    origin: str = ""
    dgrad: Callable[[Any, Any, ConvSpec], Any] | None = None
    wgrad: Callable[[Any, Any, ConvSpec], Any] | None = None
    fused: Callable[[Any, Any, ConvSpec, Any, bool], Any] | None = None
    prepare: Callable[[Any, ConvSpec], Any] | None = None
    refuse: Callable[[Case], str | None] | None = None
    max_macs: int | None = None
    macs_per_s: float = 1.0
    must_run: Mapping[str, str] = field(default_factory=dict)
    roundings: Callable[[Case], int] | None = None
    actual_flops: Callable[[ConvSpec], int] | None = None
    on_request: bool = False
    nondeterministic: Callable[[Case], bool] | None = None
    defects: Callable[[Case, str], str | None] | None = None

    @property
    def built_in(self) -> bool:
        """Whether it is convbench's own, and no code of others."""
        return self.origin.startswith(f"{OWN}.")

    def bind(self, case: Case, operands: Sequence[Any]) -> Callable[[], Any]:
        """`call() -> out` of the case's pass and epilogue, on its operands in their order."""
        if case.pass_ != "fprop" or case.epilogue == "none":
            first, second = operands
            return partial(self._functions[case.pass_], first, second, case.spec)
        x, w, bias = operands
        if self.fused is not None:
            return partial(self.fused, x, w, case.spec, bias, case.relu)
        return partial(_then_epilogue, self.fn, x, w, case.spec, bias, case.relu)

    @property
    def _functions(self) -> dict[str, Callable[[Any, Any, ConvSpec], Any]]:
        """What it can do, by pass."""
        found = {"fprop": self.fn, "dgrad": self.dgrad, "wgrad": self.wgrad}
        return {name: fn for name, fn in found.items() if fn is not None}

    def count_roundings(self, case: Case) -> int:
        """How often a partial sum is rounded to the case's 16 bits before the result is."""
        if case.dtype not in ("fp16", "bf16"):
            return 0  # a sum in the dtype of the result is what the bound is for
        separate = case.epilogue != "none" and self.fused is None  # y is stored before the bias is added
        return separate + (0 if self.roundings is None else self.roundings(case))

    def why_not(self, case: Case, *, force: bool = False) -> str | None:
        """The reason in words why this case is not for this backend, or None."""
        if case.why_not is not None:
            return case.why_not
        if case.device not in self.devices:
            return f"{self.name} runs on {' and '.join(sorted(self.devices))}, not on {case.device}"
        if case.dtype not in self.dtypes:
            return f"{self.name} has no {case.dtype}, only {', '.join(sorted(self.dtypes))}"
        if case.pass_ not in self._functions:
            return f"{self.name} has no {case.pass_}"
        if self.refuse is not None and (reason := self.refuse(case)) is not None:
            return reason
        if self.max_macs is not None and case.spec.macs > self.max_macs and not force:
            return (
                f"{case.spec.macs:,} multiply-adds would take about "
                f"{case.spec.macs / self.macs_per_s:,.0f} s a call (limit {self.max_macs:,}); --force runs it"
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A backend that is there but cannot be loaded on this machine."""

    name: str
    reason: str
    origin: str

    def as_backend(self) -> Backend:
        """A backend that refuses every case with the reason, so that a report has its rows."""
        return Backend(
            name=self.name,
            fn=_never,
            dgrad=_never,
            wgrad=_never,
            family="",
            source="",
            devices=frozenset(DEVICES),
            dtypes=frozenset(DTYPES),
            origin=self.origin,
            refuse=lambda _: f"unavailable: {self.reason}",
        )


def _never(*_: Any) -> Any:
    raise AssertionError("a backend that is unavailable refuses every case")


def _then_epilogue(
    fn: Callable[[Any, Any, ConvSpec], Any], x: Any, w: Any, spec: ConvSpec, bias: Any, relu: bool
) -> Any:
    """The epilogue of a backend that has none of its own, by torch."""
    y = fn(x, w, spec)
    if getattr(y, "ndim", None) != 4:
        return y  # for the check to say what is wrong with it
    y = y + bias.reshape(1, -1, 1, 1)  # not in place: y may be a buffer that the backend keeps
    return y.relu_() if relu else y


def backend(
    *,
    family: str,
    source: str,
    devices: Iterable[str] = DEVICES,
    dtypes: Iterable[str] = DTYPES,
    dgrad: Callable[[Any, Any, ConvSpec], Any] | None = None,
    wgrad: Callable[[Any, Any, ConvSpec], Any] | None = None,
    fused: Callable[[Any, Any, ConvSpec, Any, bool], Any] | None = None,
    prepare: Callable[[Any, ConvSpec], Any] | None = None,
    refuse: Callable[[Case], str | None] | None = None,
    max_macs: int | None = None,
    macs_per_s: float = 1.0,
    must_run: str | Mapping[str, str] | None = None,
    roundings: Callable[[Case], int] | None = None,
    actual_flops: Callable[[ConvSpec], int] | None = None,
    on_request: bool = False,
    nondeterministic: Callable[[Case], bool] | None = None,
    defects: Callable[[Case, str], str | None] | None = None,
) -> Callable[[Callable[[Any, Any, ConvSpec], Any]], Backend]:
    """Turn a function `fn(x, w, spec) -> y` into a Backend named after it; nothing is registered.

    `must_run` names an operator for each pass; a single name speaks of fprop.
    """
    must_run = {"fprop": must_run} if isinstance(must_run, str) else dict(must_run or {})
    can_devices, can_dtypes = frozenset(devices), frozenset(dtypes)
    for what, given, allowed in (
        ("family", {family}, FAMILIES),
        ("device", can_devices, DEVICES),
        ("dtype", can_dtypes, DTYPES),
        ("pass", must_run, PASSES),
    ):
        for value in given:
            if value not in allowed:
                raise unknown(what, value, allowed)

    def wrap(fn: Callable[[Any, Any, ConvSpec], Any]) -> Backend:
        doc = fn.__doc__ or sys.modules[fn.__module__].__doc__ or ""
        return Backend(
            name=fn.__name__.replace("_", "-"),
            fn=fn,
            family=family,
            source=source,
            devices=can_devices,
            dtypes=can_dtypes,
            doc=doc.strip().partition("\n")[0],
            origin=fn.__module__,
            dgrad=dgrad,
            wgrad=wgrad,
            fused=fused,
            prepare=prepare,
            refuse=refuse,
            max_macs=max_macs,
            macs_per_s=macs_per_s,
            must_run=must_run,
            actual_flops=actual_flops,
            on_request=on_request,
            roundings=roundings,
            nondeterministic=nondeterministic,
            defects=defects,
        )

    return wrap


def discover(
    plugins: Sequence[str] = (), names: Sequence[str] | None = None
) -> tuple[list[Backend], list[Unavailable]]:
    """Load the built-in backends, the installed ones, and the plug-ins, in this order.

    Args:
        plugins: files (`FILE.py`) or importable modules that hold @backend functions.
        names: load and return only these, in this order; all that join unasked when None.
            `/REGEX/` stands for every name in which the regular expression is found.

    Raises:
        ConvbenchError: a plug-in does not load or holds no backend, two backends share a
            name, or a name is unknown.
    """
    loaded, unavailable, known = [], [], []
    for source in sources():
        known.append(source.name)
        if not source.joins_unasked if names is None else _place(source.name, names) is None:
            continue
        try:
            loaded.append(source.load())
        except (Exception, SystemExit) as error:  # an optional dependency may fail in any way when imported
            reason = f"{type(error).__name__}: {first_line(error)}".removeprefix("ModuleNotFoundError: ").removeprefix(
                "ConvbenchError: "
            )
            unavailable.append(Unavailable(name=source.name, reason=reason, origin=source.origin))
    for plugin in plugins:
        loaded += load_plugin(plugin)
    known += [backend.name for backend in loaded]
    for name in names or ():
        if name not in known and not is_pattern(name):
            raise unknown("backend", name, known)
    _refuse_twins([(backend.name, backend.origin) for backend in loaded])
    if names is not None:
        places = [(place, one) for one in loaded if (place := _place(one.name, names)) is not None]
        loaded = [one for _, one in sorted(places, key=lambda pair: pair[0])]
    return loaded, unavailable


def is_pattern(name: str) -> bool:
    """Whether a word that asks for backends is `/REGEX/` and not a name."""
    return len(name) > 2 and name[0] == name[-1] == "/"


def _place(name: str, names: Sequence[str]) -> int | None:
    """Where a backend is first asked for, or None."""
    matches = (place for place, one in enumerate(names) if one == name or _matches(one, name))
    return next(matches, None)


def _matches(pattern: str, name: str) -> bool:
    return is_pattern(pattern) and re.search(pattern[1:-1], name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A backend that could be loaded, as far as it is known without importing it."""

    name: str
    origin: str
    doc: str
    devices: tuple[str, ...]
    family: str
    missing: tuple[str, ...]
    load: Callable[[], Backend]
    on_request: bool = False

    @property
    def joins_unasked(self) -> bool:
        """Whether it runs where no backend was named: an optional package that is not installed is no news there."""
        return not self.on_request and not (self.origin == OWN and self.missing)


def sources() -> Iterator[Source]:
    """The built-in files, the baseline first, then the entry points; none is imported."""
    from importlib.metadata import entry_points

    stems = (path.stem for path in BUILT_IN.glob("*.py") if not path.name.startswith("_"))
    for stem in sorted(stems, key=lambda stem: (stem != BASELINE, stem)):
        yield _read_card(stem)
    for point in entry_points(group=GROUP):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        yield Source(
            name=point.name,
            origin=origin,
            doc=f"{point.value} of {origin}",
            devices=(),
            family="",
            missing=_missing([point.module.partition(".")[0]]),
            load=lambda point=point: _from_entry_point(point),  # type: ignore[misc]
        )


def load_plugin(plugin: str) -> list[Backend]:
    """The backends that a file or a module defines itself; those it merely imports are not its own.

    What lies beside a FILE.py, or a module in the working directory, is found last: it takes nobody else's place.
    """
    try:
        with _no_end_in_success():
            if plugin.endswith(".py"):
                module = _import_file(Path(plugin))
            else:
                if importlib.util.find_spec(plugin.partition(".")[0]) is None:
                    _look_last_in(Path.cwd())
                module = importlib.import_module(plugin)
    except (ConvbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit(0) in a plug-in would pass for "all right"
        raise ConvbenchError(
            f"plug-in {plugin} could not be loaded: {in_words(error)}; --plugin takes a FILE.py or an importable module"
        ) from None
    own = [value for value in vars(module).values() if isinstance(value, Backend) and value.origin == module.__name__]
    if not own:
        raise ConvbenchError(f"plug-in {plugin} holds no backend; decorate a function fn(x, w, spec) with @backend")
    for one in own:
        if one_line(one.name, 100) != one.name or not one.name:
            raise ConvbenchError(
                f"plug-in {plugin} names a backend {one.name[:100]!r}; a name is one to 100 printable characters"
            )
    return own


@contextmanager
def _no_end_in_success() -> Iterator[None]:
    """os._exit(0) at the top of a plug-in would pass for "all right"; from C it still does."""
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


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConvbenchError(f"plug-in {path} is not a file; --plugin takes a FILE.py or an importable module")
    _look_last_in(path.parent)
    name = f"convbench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the path ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that @backend can read the module's docstring
    spec.loader.exec_module(module)
    return module


def _from_entry_point(point: "EntryPoint") -> Backend:
    value = point.load()
    if not isinstance(value, Backend) or value.name != point.name:
        raise ConvbenchError(
            f"the entry point {point.name} = {point.value} is not a backend of that name; "
            f"point it at a function decorated with @backend"
        )
    return value


def _read_card(stem: str) -> Source:
    """What a built-in file says of itself, read from its text: importing it would import torch."""
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

    def load() -> Backend:
        found = getattr(importlib.import_module(f"convbench.backends.{stem}"), stem)
        assert isinstance(found, Backend)
        return found

    return Source(
        name=stem.replace("_", "-"),
        origin=OWN,
        doc=(ast.get_docstring(tree) or "").partition("\n")[0],
        devices=tuple(sorted(literals.get("devices", DEVICES))),
        family=literals["family"],
        missing=_missing({name.partition(".")[0] for name in imports}),
        load=load,
        on_request=literals.get("on_request", False),
    )


def _missing(packages: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in sorted(packages) if importlib.util.find_spec(name) is None)


def _refuse_twins(found: Iterable[tuple[str, str]]) -> None:
    origins: dict[str, str] = {}
    for name, origin in found:
        if name in origins:
            raise ConvbenchError(
                f"two backends are called {name!r}: one from {origins[name]}, one from {origin}; rename one function"
            )
        origins[name] = origin
