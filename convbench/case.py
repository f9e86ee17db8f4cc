"""What is a case: a problem with its pass, epilogue, dtype, layout, precision, accuracy and device?"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from math import prod
from typing import Self

from convbench.device import KINDS, Device, find_device
from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ITEM_NBYTES, ConvSpec

DTYPES = tuple(DTYPE)
# strided, chunk: views with gaps and an offset, so code may assume nothing about their memory; those of chunk are a
# slice of the channels and a crop, whose last stride is 1. unaligned: contiguous, one number past an aligned address.
LAYOUTS = ("nchw", "nhwc", "strided", "chunk", "unaligned")
PRECISIONS = ("ieee", "tf32")
# Which algorithms may be used. standard: also Winograd, FFT and Strassen, whose bounds are wider; strict: only sums of
# the products themselves, in any order.
ACCURACIES = ("standard", "strict")
DEVICES = tuple(KINDS)
# fprop: y from x and w; dgrad: dx from dy and w; wgrad: dw from dy and x.
PASSES = ("fprop", "dgrad", "wgrad")
# What is done to y before it is returned: y + bias[k], and max(0, y + bias[k]).
EPILOGUES = ("none", "bias", "bias_relu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A named convolution of a suite.

    Attributes:
        suite: the suite it comes from, or "shape" if it was typed.
        name: its name there.
        count: how often the layer occurs in its model.
        source: where the numbers were published.
        dtype: the only data type it runs in, if its source names one; otherwise None.
        layout, pass_, epilogue: likewise, for a problem with a memory layout, a gradient or a fused bias.
        drawn: whether these four were drawn for it, as in a covering array: requested ones replace them,
            and so does a plain fprop if a backend has no such pass or epilogue.
        operands: the name of a recipe for its operands; N(0, 1) if empty.
        skip: why convbench cannot express it.
        logged_s: seconds that a call took by the log it comes from, on average; it decides nothing.

    Example:
        >>> import convbench as cb
        >>> cb.Problem(suite="mine", name="stem", spec=cb.ConvSpec.parse("n1c3h8w8k4r3s3"), count=2).text
        'n1c3h8w8k4r3s3'
    """

    suite: str
    name: str
    spec: ConvSpec
    count: int = 1
    source: str = ""
    dtype: str | None = None
    layout: str | None = None
    pass_: str | None = None
    epilogue: str | None = None
    drawn: bool = False
    operands: str = ""
    skip: str = ""
    logged_s: float | None = field(default=None, compare=False)

    @property
    def size(self) -> str:
        """`n=8` if an axis changed the size of a layer; empty for a problem as in its suite."""
        words = self.name.split(" ")
        while words and "=" in words[-1]:
            words.pop()
        return self.name[len(" ".join(words)) :].strip()

    @property
    def layer(self) -> str:
        """Its name without that."""
        return self.name.removesuffix(self.size).rstrip()

    @property
    def text(self) -> str:
        """Its text in any command: its sizes, and the recipe of its operands after @."""
        return f"{self.spec}@{self.operands}" if self.operands else str(self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseKey:
    """Everything that decides the numbers of a case, in plain values: the identity of a case.

    The name of its problem, its count in a model and its source are not part of it: equal
    problems of two suites are equal cases. `text` and `sha256` are the same in every process and release.
    """

    spec: str
    operands: str
    pass_: str
    dtype: str
    layout: str
    precision: str
    epilogue: str
    device: str
    seed: int
    accuracy: str = "standard"

    @property
    def cells(self) -> dict[str, str | int]:
        """The values by the names of their columns in a CSV file, without the usual accuracy: older keys have none."""
        values = {name.rstrip("_"): value for name, value in asdict(self).items()}
        if self.accuracy == ACCURACIES[0]:
            del values["accuracy"]
        return values

    @property
    def text(self) -> str:
        """Canonical JSON: sorted names, no spaces, only integers and ASCII text."""
        return json.dumps(self.cells, sort_keys=True, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """A short name of it for files and shards, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def axes(self) -> tuple[str, ...]:
        """The case without its problem, as words; a plain fprop is not mentioned."""
        kind = (word for word in (self.accuracy, self.pass_, self.epilogue) if word not in _UNSAID)
        return (self.device, self.dtype, self.layout, self.precision, *kind)

    @property
    def unseeded(self) -> Self:
        """The same for any random numbers: how long a case takes does not depend on which were drawn."""
        return replace(self, seed=0)


KEY_COLUMNS = tuple(one.name.rstrip("_") for one in fields(CaseKey))
_UNSAID = ("fprop", "none", "standard")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """The key of a row in a report: the name of the problem, the case, the backend and its threads.

    `threads` is text as in a CSV file, empty if unknown or irrelevant.
    """

    suite: str
    name: str
    case: CaseKey
    threads: str = ""
    backend: str = ""

    @property
    def axes(self) -> str:
        """The case without its problem, and the threads, as words: "cpu 2 threads fp32 nchw ieee"."""
        device, *others = self.case.axes
        return " ".join(
            (device, *([f"{self.threads} thread{'' if self.threads == '1' else 's'}"] if self.threads else []), *others)
        )

    @property
    def block(self) -> Self:
        """The key shared by all backends of this case."""
        return replace(self, backend="")

    @property
    def cells(self) -> dict[str, str | int]:
        """The values by the names of their columns in a CSV file."""
        ends = {"threads": self.threads, "backend": self.backend}
        return {"suite": self.suite, "name": self.name, **self.case.cells, **ends}


ROW_KEY_COLUMNS = ("suite", "name", *KEY_COLUMNS, "threads", "backend")


class _Keyed:
    """Caches the key of a case, which is made on first use: most cases are never looked up."""

    __slots__ = ("_key",)
    _key: CaseKey


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case(_Keyed):
    """One problem with everything that decides its numbers. Cases with equal keys are equal.

    `precision` is one policy for convolutions and matrix products alike: "ieee" means no
    TF32 anywhere, "tf32" allows it in both. It only applies to fp32. `accuracy` is which algorithms may be used:
    "standard" means any, "strict" only sums of the products themselves, whose bound is the narrowest.

    Raises:
        ConvbenchError: the seed is not an integer, or another value is unknown.

    Example:
        >>> import convbench as cb
        >>> problem = cb.Problem(suite="mine", name="stem", spec=cb.ConvSpec.parse("n1c3h8w8k4r3s3"))
        >>> case = cb.Case(problem=problem, dtype="bf16", pass_="wgrad")
        >>> case.operands, case.out_name, case.nbytes
        ({'dy': (1, 4, 6, 6), 'x': (1, 3, 8, 8)}, 'dw', 888)
    """

    problem: Problem
    dtype: str = "fp32"
    layout: str = "nchw"
    precision: str = "ieee"
    device: str = "cpu"
    seed: int = 0
    pass_: str = "fprop"
    epilogue: str = "none"
    accuracy: str = "standard"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:  # one of several, such as cuda:1, or not a device
            object.__setattr__(self, "device", find_device(str(self.device)).name)
        if (
            self.dtype in DTYPES
            and self.layout in LAYOUTS
            and self.precision in PRECISIONS
            and self.pass_ in PASSES
            and self.epilogue in EPILOGUES
            and self.accuracy in ACCURACIES
            and type(self.seed) is int
        ):
            return
        for what, given, allowed in (
            ("dtype", self.dtype, DTYPES),
            ("layout", self.layout, LAYOUTS),
            ("precision", self.precision, PRECISIONS),
            ("pass", self.pass_, PASSES),
            ("epilogue", self.epilogue, EPILOGUES),
            ("accuracy", self.accuracy, ACCURACIES),
        ):
            if given not in allowed:
                raise unknown(what, str(given), allowed)
        raise ConvbenchError(f"seed={self.seed!r}: a seed is an integer, such as seed=0")

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Case) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> CaseKey:
        """What decides its numbers."""
        try:
            return self._key
        except AttributeError:
            key = CaseKey(
                spec=str(self.spec),
                operands=self.problem.operands,
                pass_=self.pass_,
                dtype=self.dtype,
                layout=self.layout,
                precision=self.precision,
                epilogue=self.epilogue,
                device=self.device,
                seed=self.seed,
                accuracy=self.accuracy,
            )
            object.__setattr__(self, "_key", key)
            return key

    @property
    def spec(self) -> ConvSpec:
        return self.problem.spec

    @property
    def target(self) -> Device:
        """The device that it runs on."""
        return find_device(self.device)

    @property
    def operands(self) -> dict[str, tuple[int, ...]]:
        """The tensors that the pass reads, by name with their shapes, in the order in which a backend gets them."""
        spec = self.spec
        match self.pass_:
            case "dgrad":
                return {"dy": spec.y_shape, "w": spec.w_shape}
            case "wgrad":
                return {"dy": spec.y_shape, "x": spec.x_shape}
        bias = {} if self.epilogue == "none" else {"bias": (spec.k,)}
        return {"x": spec.x_shape, "w": spec.w_shape, **bias}

    @property
    def out_name(self) -> str:
        """What the pass makes: y, dx or dw."""
        return {"fprop": "y", "dgrad": "dx", "wgrad": "dw"}[self.pass_]

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        return {"fprop": self.spec.y_shape, "dgrad": self.spec.x_shape, "wgrad": self.spec.w_shape}[self.pass_]

    @property
    def nbytes(self) -> int:
        """Bytes that the pass reads and writes, each once."""
        elements = sum(map(prod, self.operands.values())) + prod(self.out_shape)
        return elements * ITEM_NBYTES[self.dtype]

    @property
    def relu(self) -> bool:
        return self.epilogue == "bias_relu"

    @property
    def kind(self) -> str:
        """The pass and the epilogue for a heading, unless they are fprop and none: "dgrad", "bias_relu", ""."""
        return " ".join(word for word in (self.pass_, self.epilogue) if word not in ("fprop", "none"))

    @property
    def why_not(self) -> str | None:
        """The reason why no backend can do this case, or None."""
        if self.problem.skip:
            return self.problem.skip
        if self.precision == "tf32" and not self.target.tensor_cores:
            return "TF32 only exists on CUDA tensor cores; on the CPU use --precision ieee"
        if self.pass_ != "fprop" and self.epilogue != "none":
            return f"the epilogue {self.epilogue} only applies to fprop, not to {self.pass_}"
        return None

    def flags(self) -> str:
        """The options that name this case on any command line."""
        return (
            f"--shape {self.problem.text} --dtype {self.dtype} --layout {self.layout} "
            f"--precision {self.precision} --device {self.device} --seed {self.seed}"
            + (f" --pass {self.pass_}" if self.pass_ != "fprop" else "")
            + (f" --epilogue {self.epilogue}" if self.epilogue != "none" else "")
            + (f" --accuracy {self.accuracy}" if self.accuracy != "standard" else "")
        )


def cases(
    problems: Iterable[Problem],
    *,
    dtypes: Sequence[str] = ("fp32",),
    layouts: Sequence[str] = ("nchw",),
    precisions: Sequence[str] = ("ieee",),
    devices: Sequence[str] = ("cpu",),
    passes: Sequence[str] = ("fprop",),
    epilogues: Sequence[str] = ("none",),
    accuracies: Sequence[str] = ("standard",),
    seed: int = 0,
) -> Iterator[Case]:
    """Every problem along every axis. A dtype without TF32 and a pass without epilogues are not repeated for these.

    Values that a problem sets itself (dtype, layout, pass, epilogue) replace the whole axis.
    """

    def own(named: str | None, axis: Sequence[str]) -> Sequence[str]:
        return axis if named is None else (named,)

    for problem, device in product(problems, devices):
        after_fprop = own(problem.epilogue, epilogues)
        kinds = [
            (one, after)
            for one in own(problem.pass_, passes)
            for after in (after_fprop if one == "fprop" else ("none",))
        ]
        for dtype, layout in product(own(problem.dtype, dtypes), own(problem.layout, layouts)):
            possible = precisions if dtype == "fp32" else ("ieee",)
            for precision, (pass_, epilogue), accuracy in product(possible, kinds, accuracies):
                yield Case(
                    problem=problem,
                    dtype=dtype,
                    layout=layout,
                    precision=precision,
                    device=device,
                    seed=seed,
                    pass_=pass_,
                    epilogue=epilogue,
                    accuracy=accuracy,
                )
