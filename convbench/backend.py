"""What is a backend? One way to compute a convolution, with its declarations."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from convbench.case import DEVICES, DTYPES, EPILOGUES, PASSES, Case
from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError, one_line, unknown
from convbench.spec import ConvSpec

BASELINE = "torch"
TRANSFORMS = ("winograd", "fft", "strassen")  # families that do not sum the products themselves
FAMILIES = ("direct", "im2col", "implicit_gemm", "winograd", "fft", "strassen", "vendor")
OWN = "convbench"
MOST_NAME = 100  # characters
# Limits for Winograd's points: as many as the widest tile in use, F(6x6, 5x5), and no farther out or closer together
# than any in use, because the bound grows with both.
MOST_POINTS, LARGEST_POINT, LEAST_APART = 9, 4.0, 0.25
# Declarations that excuse a backend. They only count for convbench's own backends, which were reviewed.
EXCUSES = ("roundings", "actual_flops", "defects", "choose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What the author of a backend declares.

    Attributes:
        family: how it sums, which determines its error bound.
        points: where a backend of family "winograd" evaluates its polynomials, without infinity: their number sets
            the tile. Its bound is computed for these points; without them, for the widest usual tile.
        source: the paper or library it follows.
        devices, dtypes: the kinds of device and the data types that it supports.
        dgrad: `dgrad(dy, w, spec) -> dx` (N, C, H, W), or None.
        wgrad: `wgrad(dy, x, spec) -> dw` (K, C/G, R, S), or None.
        fused: `fused(x, w, spec, bias, relu) -> y`, with bias (K) added and then relu if requested; without
            it torch does both after `fn`. `prepare` applies to it too.
        prepare: `prepare(w, spec)`, the work done once per weight of fprop; timed separately.
        refuse: `refuse(case)`, a reason or None.
        max_macs, macs_per_s: the multiply-adds above which it refuses unless forced,
            and roughly how many it does per second.
        must_run: the operator that a profile of a pass must contain, by pass; otherwise the backend did not run what it
            claims. A single name applies to fprop, "fprop bias_relu" to that epilogue.
        roundings: `roundings(case)`, how often partial sums of a 16-bit case are stored in 16 bits
            on the way; each widens the bound. None means never.
        actual_flops: `actual_flops(spec)`, the operations that it really does, two per multiply-add, if
            they differ from the direct algorithm.
        any_padding: it supports padding that differs on opposite sides (`spec.sides`). For others x is padded
            first, in every timed call, and `spec` is that of the padded x.
        slow_start: its first call may take a minute: it compiles, or tries alternatives.
        on_request: it only runs if named, because it would hold up the other backends.
        nondeterministic: `nondeterministic(case)`, whether two equal calls may differ in their last bits;
            None means never.
        autograd: torch can differentiate `fn`: it accepts tensors that require gradients, and its output has
            them. verify compares them with finite differences; no other backend is called in this way.
        defects: `defects(case, probe)`, a known defect of the library underneath that a probe of verify hits
            (numeric, sharp, memory, repeat, state, lattice, locality, batch, gradient), as text, or None; it is
            shown and does not fail the run.
        choose: `choose(case)`, the backend that does a case in its place, or None if none can: see `Backend.for_case`.

    Declarations of third-party backends select among convbench's bounds and never widen them: see EXCUSES.
    """

    family: str
    source: str
    devices: Iterable[str] = frozenset(DEVICES)
    dtypes: Iterable[str] = frozenset(DTYPES)
    dgrad: Callable[[Any, Any, ConvSpec], Any] | None = None
    wgrad: Callable[[Any, Any, ConvSpec], Any] | None = None
    fused: Callable[[Any, Any, ConvSpec, Any, bool], Any] | None = None
    prepare: Callable[[Any, ConvSpec], Any] | None = None
    refuse: Callable[[Case], str | None] | None = None
    max_macs: int | None = None
    macs_per_s: float = 1.0
    must_run: str | Mapping[str, str] | None = None
    roundings: Callable[[Case], int] | None = None
    actual_flops: Callable[[ConvSpec], int] | None = None
    any_padding: bool = False
    slow_start: bool = False
    on_request: bool = False
    nondeterministic: Callable[[Case], bool] | None = None
    autograd: bool = False
    points: tuple[float, ...] = ()
    defects: Callable[[Case, str], str | None] | None = None
    choose: Callable[[Case], "Backend | None"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend(Traits):
    """One way to compute y (N, K, P, Q) from x (N, C, H, W) and w (K, C/G, R, S), and its gradients if it can.

    Attributes:
        name: as in `--backend`.
        fn: `fn(x, w, spec) -> y`, in x's dtype, on x's device, x and w untouched. With
            `prepare`, `fn` gets its result instead of w.
        doc: one line.
        origin: the file or package it came from.
        broken: why every case of it fails, if its import ended a process or never returned.
        ignored: which of EXCUSES a third-party backend declared; they are removed.
        chosen: the backend that does the case, if `for_case` put it in this one's place.

    Example:
        >>> import convbench as cb
        >>> [torch], missing = cb.discover(names=["torch"])
        >>> torch.name, torch.family, torch.passes, torch.epilogues
        ('torch', 'vendor', ('fprop', 'dgrad', 'wgrad'), ('none', 'bias', 'bias_relu'))
    """

    name: str
    fn: Callable[[Any, Any, ConvSpec], Any]
    doc: str = ""
    origin: str = ""
    devices: frozenset[str] = frozenset(DEVICES)
    dtypes: frozenset[str] = frozenset(DTYPES)
    must_run: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    ignored: tuple[str, ...] = ()
    chosen: str = ""

    def for_case(self, case: Case) -> "Backend":
        """The backend that does a case: itself, or the one that it chooses, in everything but the name.

        So its functions, its error bound and its other declarations are those of the code that runs.
        """
        found = None if self.choose is None else self.choose(case)
        return self if found is None else replace(found, name=self.name, chosen=found.name)

    @property
    def is_here(self) -> bool:
        """Whether its functions are loaded in this process."""
        return self.fn is not elsewhere

    @property
    def built_in(self) -> bool:
        """Whether it ships with convbench."""
        return self.origin == OWN or self.origin.startswith(f"{OWN}.")

    def promised(self, case: Case) -> str | None:
        """The operator that a profile of a case must contain, or None."""
        return self.must_run.get(f"{case.pass_} {case.epilogue}", self.must_run.get(case.pass_))

    def view(self, spec: ConvSpec) -> ConvSpec:
        """The problem as the backend gets it."""
        return spec if self.any_padding else spec.evened

    def bind(self, case: Case, operands: Sequence[Any]) -> Callable[[], Any]:
        """`call() -> out` of the case's pass and epilogue, on its operands in their order."""
        if (spec := self.view(case.spec)) == case.spec:
            return self._bound(case, operands)
        evened = replace(case, problem=replace(case.problem, spec=spec))
        image = {"fprop": 0, "dgrad": None, "wgrad": 1}[case.pass_]

        def call() -> Any:
            given = [pad_surplus(one, case.spec) if number == image else one for number, one in enumerate(operands)]
            out = self._bound(evened, given)()
            return crop_surplus(out, case.spec) if image is None else out

        return call

    def _bound(self, case: Case, operands: Sequence[Any]) -> Callable[[], Any]:
        if case.pass_ != "fprop" or case.epilogue == "none":
            first, second = operands
            return partial(self._functions[case.pass_], first, second, case.spec)
        x, w, bias = operands
        if self.fused is not None:
            return partial(self.fused, x, w, case.spec, bias, case.relu)
        return partial(_then_epilogue, self.fn, x, w, case.spec, bias, case.relu)

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes that it implements."""
        return tuple(self._functions)

    @property
    def epilogues(self) -> tuple[str, ...]:
        """The epilogues that it fuses; empty if torch adds the bias after it."""
        return ("none",) if self.fused is None else EPILOGUES

    @property
    def _functions(self) -> dict[str, Callable[[Any, Any, ConvSpec], Any]]:
        """What it can do, by pass."""
        found = {"fprop": self.fn, "dgrad": self.dgrad, "wgrad": self.wgrad}
        return {name: fn for name, fn in found.items() if fn is not None}

    @property
    def undeclared(self) -> bool:
        """Whether it is a plain function (`function_backend`): nobody said how it sums."""
        return self.source == self.origin

    def count_roundings(self, case: Case) -> int:
        """How often a partial sum is rounded to the case's 16 bits before the result is."""
        if not DTYPE[case.dtype].narrow:
            return 0  # the bound is for sums in the dtype of the result
        separate = case.epilogue != "none" and self.fused is None  # y is stored before the bias is added
        return separate + (0 if self.roundings is None else self.roundings(case))

    def why_not(self, case: Case, *, force: bool = False) -> str | None:
        """Why this backend cannot do this case, or None."""
        if case.why_not is not None:
            return case.why_not
        if case.target.kind not in self.devices:
            return f"{self.name} runs on {' and '.join(sorted(self.devices))}, not on {case.device}"
        if case.dtype not in self.dtypes:
            return f"{self.name} has no {case.dtype}, only {', '.join(sorted(self.dtypes))}"
        if case.pass_ not in self._functions:
            return f"{self.name} has no {case.pass_}"
        if self.refuse is not None and (reason := self.refuse(case)) is not None:
            return reason
        if case.accuracy == "strict" and self.family in TRANSFORMS:
            return (
                f"{self.name} is of family {self.family}, whose error is not that of a direct sum (--accuracy strict)"
            )
        if self.max_macs is not None and case.spec.macs > self.max_macs and not force:
            takes_s = case.spec.macs / self.macs_per_s
            return (
                f"{case.spec.macs:,} multiply-adds would take about "
                f"{takes_s:,.{0 if takes_s >= 10 else 1}f} s per call (limit {self.max_macs:,} multiply-adds); use "
                f"--force to run it anyway"
            )
        return None


class Unsupported(Exception):  # noqa: N818  # it says what happened
    """Raised by a call if the library underneath cannot do a case: the row is a skip with this message."""


def adopt(found: Backend, origin: str) -> Backend:
    """A third-party backend with its origin, and without declarations that would excuse it.

    Raises:
        ConvbenchError: its declarations are invalid.
    """
    name, macs_per_s = found.name, found.macs_per_s
    if not isinstance(name, str) or not name or one_line(name, MOST_NAME) != name:
        raise ConvbenchError(
            f"{origin} names a backend {str(name)[:MOST_NAME]!r}; a name has 1 to {MOST_NAME} printable characters"
        )
    if not 0 < macs_per_s < inf or not (found.max_macs is None or found.max_macs >= 0):
        raise ConvbenchError(
            f"{name} of {origin}: macs_per_s={macs_per_s} max_macs={found.max_macs}; the first must be finite and "
            f"above 0, "
            f"the second at least 0, or None"
        )
    given = {one.name: getattr(found, one.name) for one in fields(Traits)}
    checked = backend(**given | dict.fromkeys(EXCUSES))
    traits = {one: getattr(checked, one) for one in given}
    ignored = [one for one in EXCUSES if given[one] is not None or one in found.ignored]
    return Backend(
        **traits | {"must_run": checked.promises},
        name=name,
        fn=found.fn,
        doc=one_line(str(found.doc)),
        origin=origin,
        ignored=tuple(ignored),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """A backend that exists but cannot be loaded on this machine.

    Attributes:
        broken: not a missing dependency: its import ended the process or never returned.

    Example:
        >>> import convbench as cb
        >>> gone = cb.Unavailable(name="fast", reason="No module named 'fast'", origin="package fast-conv 1.0")
        >>> gone.as_backend().name
        'fast'
    """

    name: str
    reason: str
    origin: str
    broken: bool = False

    def as_backend(self) -> Backend:
        """A backend that refuses or fails every case with the reason, so a report has its rows."""
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
            broken=f"unavailable: {self.reason}" if self.broken else "",
        )


def _never(*_: Any) -> Any:
    raise AssertionError("an unavailable backend refuses every case")


def elsewhere(*_: Any) -> Any:
    """Stands in for the functions of a backend that is loaded in another process."""
    raise AssertionError("the code of this backend is not loaded in this process")


def pad_surplus(x: Any, spec: ConvSpec) -> Any:
    """x with the padding by which its sides exceed the opposite ones, so the rest is equal."""
    import torch

    top, bottom, left, right = spec.surplus
    return torch.nn.functional.pad(x, (left, right, top, bottom))


def name_surplus(spec: ConvSpec) -> str:
    """The torch call that does it: `F.pad(x, (0, 1, 0, 1))`."""
    top, bottom, left, right = spec.surplus
    return f"F.pad(x, {(left, right, top, bottom)})"


def crop_surplus(dx: Any, spec: ConvSpec) -> Any:
    """The gradient of x from that of the padded x."""
    if tuple(getattr(dx, "shape", ()))[-2:] != (spec.evened.h, spec.evened.w):
        return dx  # the check will say what is wrong with it
    top, _, left, _ = spec.surplus
    return dx[..., top : top + spec.h, left : left + spec.w]


def _then_epilogue(
    fn: Callable[[Any, Any, ConvSpec], Any], x: Any, w: Any, spec: ConvSpec, bias: Any, relu: bool
) -> Any:
    """The epilogue by torch, for a backend that does not fuse it."""
    y = fn(x, w, spec)
    if getattr(y, "ndim", None) != 4:
        return y  # the check will say what is wrong with it
    y = y + bias.reshape(1, -1, 1, 1)  # not in place: y may be a buffer that the backend keeps
    return y.relu_() if relu else y


def _checked_points(points: Iterable[float], family: str) -> tuple[float, ...]:
    """Points of Winograd's polynomials as numbers.

    Raises:
        ConvbenchError: the family has none, or they are out of range.
    """
    found = tuple(map(float, points))
    if not found:
        return found
    if family != "winograd":
        raise ConvbenchError(f"points={found} with family {family!r}; only backends of family 'winograd' have points")
    near = min((abs(one - two) for number, one in enumerate(found) for two in found[:number]), default=inf)
    if not 2 <= len(found) <= MOST_POINTS or not max(map(abs, found)) <= LARGEST_POINT or not near >= LEAST_APART:
        raise ConvbenchError(
            f"points={found}: give 2 to {MOST_POINTS} points without infinity, none above {LARGEST_POINT:g} and "
            f"no two closer than {LEAST_APART:g}, such as (0, 1, -1, 2, -2) for F(4x4, 3x3)"
        )
    return found


def _refuse_other_arguments(fn: Callable[..., Any]) -> None:
    """Raise for the arguments of F.conv2d, which would get the problem as their bias."""
    with suppress(TypeError, ValueError):  # code in C does not tell its arguments
        third = next(islice(inspect.signature(fn).parameters, 2, None), "")
        if third in ("bias", "stride", "padding"):
            raise ConvbenchError(
                f"@backend: the third argument of {fn.__name__} is {third}, as of F.conv2d, and a backend is "
                f"fn(x, w, spec); leave the decorator out and give FILE.py::{fn.__name__}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class backend(Traits):  # noqa: N801  # it reads as the decorator that it is
    """Turn a function `fn(x, w, spec) -> y` into a Backend named after it; nothing is registered.

    x is (N, C, H, W), w (K, C/G, R, S), y (N, K, P, Q); docs/backends.md describes what can be declared.

    Raises:
        ConvbenchError: an unknown family, device, dtype or pass.

    Example:
        >>> import convbench as cb
        >>> @cb.backend(family="direct", source="a lecture", dtypes={"fp32"})
        ... def my_conv(x, w, spec):
        ...     import torch
        ...     return torch.nn.functional.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
        >>> my_conv.name, cb.verify(my_conv, on="n1c1h4w4k1r2s2", layouts="nchw", dtypes="fp32").faults[:]
        ('my-conv', no results)
    """

    def __call__(self, fn: Callable[[Any, Any, ConvSpec], Any]) -> Backend:
        """The function as a backend."""
        _refuse_other_arguments(fn)
        doc = fn.__doc__ or sys.modules[fn.__module__].__doc__ or ""
        traits = {one.name: getattr(self, one.name) for one in fields(Traits)}
        traits["must_run"] = self.promises
        return Backend(
            **traits,
            name=fn.__name__.replace("_", "-"),
            fn=fn,
            doc=doc.strip().partition("\n")[0],
            origin=fn.__module__,
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _checked_points(self.points, self.family))
        for axis in ("devices", "dtypes"):
            object.__setattr__(self, axis, frozenset(getattr(self, axis)))
        for what, given, allowed in (
            ("family", {self.family}, FAMILIES),
            ("device", self.devices, DEVICES),
            ("dtype", self.dtypes, DTYPES),
            ("pass", self.promises, (*PASSES, *(f"fprop {one}" for one in EPILOGUES))),
        ):
            for value in given:
                if value not in allowed:
                    raise unknown(what, value, allowed)

    @property
    def promises(self) -> dict[str, str]:
        """The operators that must run, by pass."""
        return {"fprop": self.must_run} if isinstance(self.must_run, str) else dict(self.must_run or {})
