"""What is one run: a problem, and the axes (pass, epilogue, dtype, layout, precision, device) that make it a case?"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from math import prod
from typing import Self

from convbench.device import KINDS, Device, find_device
from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ITEM_NBYTES, ConvSpec

DTYPES = tuple(DTYPE)
# strided, chunk: views with gaps and an offset, so that nothing may be assumed of their memory; those of chunk are a
# slice of the channels and a crop, whose last stride is 1. unaligned: contiguous, one number past an aligned address.
LAYOUTS = ("nchw", "nhwc", "strided", "chunk", "unaligned")
PRECISIONS = ("ieee", "tf32")
DEVICES = tuple(KINDS)
# fprop: y from x and w; dgrad: dx from dy and w; wgrad: dw from dy and x.
PASSES = ("fprop", "dgrad", "wgrad")
# What is done to y before it is given back: y + bias[k], and max(0, y + bias[k]).
EPILOGUES = ("none", "bias", "bias_relu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A named convolution of a suite.

    Attributes:
        suite: the suite it comes from, or "shape" when it was typed.
        name: its name there.
        count: how often the layer occurs in its model.
        source: where the numbers were published.
        dtype: the data type that its source names, in which alone it runs; None where it names none.
        layout, pass_, epilogue: likewise, where the problem is one of a memory layout, a gradient, a fused bias.
        drawn: whether these four were drawn for it, as in a covering array: they give way to those that are asked for,
            and to a plain fprop where a backend has no such pass or epilogue.
        operands: what its operands are like, by the name of a recipe; N(0, 1) where it is empty.
        skip: why convbench cannot hold it at all, in words.
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

    @property
    def size(self) -> str:
        """`n=8` where an axis gave a layer another size; empty for a problem as its suite has it."""
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
        """What names it in any command: its sizes, and after @ what its operands are like."""
        return f"{self.spec}@{self.operands}" if self.operands else str(self.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseKey:
    """What decides the numbers of a case, in plain values: the one name by which cases are told apart.

    Not among them are what its problem is called, how often a model has it and where it was published: equal
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

    @property
    def cells(self) -> dict[str, str | int]:
        """The values by the names of their columns in a CSV file."""
        return {name.rstrip("_"): value for name, value in asdict(self).items()}

    @property
    def text(self) -> str:
        """Canonical JSON: sorted names, no spaces, whole numbers and ASCII text alone."""
        return json.dumps(self.cells, sort_keys=True, separators=(",", ":"))

    @property
    def sha256(self) -> str:
        """A short name of it for files and shards, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def axes(self) -> tuple[str, ...]:
        """What it is besides its problem, in words; fprop without an epilogue goes without saying."""
        kind = (word for word in (self.pass_, self.epilogue) if word not in _UNSAID)
        return (self.device, self.dtype, self.layout, self.precision, *kind)

    @property
    def unseeded(self) -> Self:
        """The same for any random numbers: how long a case takes does not depend on which were drawn."""
        return replace(self, seed=0)


KEY_COLUMNS = tuple(one.name.rstrip("_") for one in fields(CaseKey))
_UNSAID = ("fprop", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """Which row of a report it is: what people call the problem, the case, and who ran it on how many threads.

    `threads` is text as in a CSV file, empty where they are not known or make no difference.
    """

    suite: str
    name: str
    case: CaseKey
    threads: str = ""
    backend: str = ""

    @property
    def axes(self) -> str:
        """The case besides its problem, and the threads, in words: "cpu 2 threads fp32 nchw ieee"."""
        device, *others = self.case.axes
        return " ".join((device, *([f"{self.threads} threads"] if self.threads else []), *others))

    @property
    def block(self) -> Self:
        """The key of all backends that did the same."""
        return replace(self, backend="")

    @property
    def cells(self) -> dict[str, str | int]:
        """The values by the names of their columns in a CSV file."""
        ends = {"threads": self.threads, "backend": self.backend}
        return {"suite": self.suite, "name": self.name, **self.case.cells, **ends}


ROW_KEY_COLUMNS = ("suite", "name", *KEY_COLUMNS, "threads", "backend")


class _Keyed:
    """Room for the key of a case, which is made when it is first asked for: most cases are never looked up."""

    __slots__ = ("_key",)
    _key: CaseKey


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case(_Keyed):
    """One problem with everything that decides its numbers. Cases with equal keys are equal.

    `precision` is one policy for convolutions and matrix products alike: "ieee" means no
    TF32 anywhere, "tf32" allows it in both. It says something of fp32 alone.

    Raises:
        ConvbenchError: the seed is no whole number, or one of the others has no such name.
    """

    problem: Problem
    dtype: str = "fp32"
    layout: str = "nchw"
    precision: str = "ieee"
    device: str = "cpu"
    seed: int = 0
    pass_: str = "fprop"
    epilogue: str = "none"

    def __post_init__(self) -> None:
        if self.device not in DEVICES:  # one of several, as cuda:1, or no device at all
            object.__setattr__(self, "device", find_device(str(self.device)).name)
        if (
            self.dtype in DTYPES
            and self.layout in LAYOUTS
            and self.precision in PRECISIONS
            and self.pass_ in PASSES
            and self.epilogue in EPILOGUES
            and type(self.seed) is int
        ):
            return
        for what, given, allowed in (
            ("dtype", self.dtype, DTYPES),
            ("layout", self.layout, LAYOUTS),
            ("precision", self.precision, PRECISIONS),
            ("pass", self.pass_, PASSES),
            ("epilogue", self.epilogue, EPILOGUES),
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
        """Bytes of what the pass reads and writes, each once."""
        elements = sum(map(prod, self.operands.values())) + prod(self.out_shape)
        return elements * ITEM_NBYTES[self.dtype]

    @property
    def relu(self) -> bool:
        return self.epilogue == "bias_relu"

    @property
    def kind(self) -> str:
        """The pass and the epilogue where they are not fprop and none, for a heading: "dgrad", "bias_relu", ""."""
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
    seed: int = 0,
) -> Iterator[Case]:
    """Every problem along every axis; a dtype that has no TF32, a pass that has no epilogue are not repeated for it.

    What a problem names itself (dtype, layout, pass, epilogue) stands in the place of the whole axis.
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
            for precision, (pass_, epilogue) in product(precisions if dtype == "fp32" else ("ieee",), kinds):
                yield Case(
                    problem=problem,
                    dtype=dtype,
                    layout=layout,
                    precision=precision,
                    device=device,
                    seed=seed,
                    pass_=pass_,
                    epilogue=epilogue,
                )
