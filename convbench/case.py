"""What is one run: a problem, and the axes (dtype, layout, precision, device) that make it a case?"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from convbench.spec import ITEM_NBYTES, ConvSpec

DTYPES = tuple(ITEM_NBYTES)
# strided: x and w are views with gaps and an offset, so that nothing may be assumed of their memory.
LAYOUTS = ("nchw", "nhwc", "strided")
PRECISIONS = ("ieee", "tf32")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A named convolution of a suite.

    Attributes:
        suite: the suite it comes from, or "shape" when it was typed.
        name: its name there.
        count: how often the layer occurs in its model.
        source: where the numbers were published.
        dtype: the data type that its source names, in which alone it runs; None where it names none.
    """

    suite: str
    name: str
    spec: ConvSpec
    count: int = 1
    source: str = ""
    dtype: str | None = None


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
    # The other passes and epilogues join as axes; each name stands in every report from the start.
    pass_: str = "fprop"  # noqa: S105  # a pass over the data, not a password
    epilogue: str = "none"

    @property
    def spec(self) -> ConvSpec:
        return self.problem.spec

    @property
    def why_not(self) -> str | None:
        """The reason why no backend can do this case, or None."""
        if self.precision == "tf32" and self.device == "cpu":
            return "TF32 is arithmetic of CUDA tensor cores; on the CPU use --precision ieee"
        return None

    def flags(self) -> str:
        """The options that name this case on any command line."""
        return (
            f"--shape {self.spec} --dtype {self.dtype} --layout {self.layout} "
            f"--precision {self.precision} --device {self.device} --seed {self.seed}"
        )


def cases(
    problems: Iterable[Problem],
    *,
    dtypes: Sequence[str] = ("fp32",),
    layouts: Sequence[str] = ("nchw",),
    precisions: Sequence[str] = ("ieee",),
    devices: Sequence[str] = ("cpu",),
    seed: int = 0,
) -> Iterator[Case]:
    """Every problem along every axis; a dtype that has no TF32 is not repeated for it."""
    for problem, device, dtype, layout in product(problems, devices, dtypes, layouts):
        if problem.dtype is not None and dtype != dtypes[0]:
            continue  # once, in its own
        own = problem.dtype or dtype
        for precision in precisions if own == "fp32" else ("ieee",):
            yield Case(
                problem=problem,
                dtype=own,
                layout=layout,
                precision=precision,
                device=device,
                seed=seed,
            )
