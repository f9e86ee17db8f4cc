"""What is one run: a problem, and the axes (pass, epilogue, dtype, layout, precision, device) that make it a case?"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from convbench.device import KINDS, Device, find_device
from convbench.spec import ITEM_NBYTES, ConvSpec

DTYPES = tuple(ITEM_NBYTES)
# strided: x and w are views with gaps and an offset, so that nothing may be assumed of their memory.
LAYOUTS = ("nchw", "nhwc", "strided")
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
        layout, pass_: likewise, where the problem is one of a memory layout or of a gradient.
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
class Case:
    """One problem with everything that decides its numbers.

    `precision` is one policy for convolutions and matrix products alike: "ieee" means no
    TF32 anywhere, "tf32" allows it in both. It says something of fp32 alone.
    """

    problem: Problem
    dtype: str = "fp32"
    layout: str = "nchw"
    precision: str = "ieee"
    device: str = "cpu"
    seed: int = 0
    pass_: str = "fprop"
    epilogue: str = "none"

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
            return "TF32 is arithmetic of CUDA tensor cores; on the CPU use --precision ieee"
        if self.pass_ != "fprop" and self.epilogue != "none":
            return f"the epilogue {self.epilogue} follows fprop; {self.pass_} has none"
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

    What a problem names itself (dtype, layout, pass) stands in the place of the whole axis.
    """

    def own(named: str | None, axis: Sequence[str]) -> Sequence[str]:
        return axis if named is None else (named,)

    for problem, device in product(problems, devices):
        kinds = [
            (one, after) for one in own(problem.pass_, passes) for after in (epilogues if one == "fprop" else ("none",))
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
