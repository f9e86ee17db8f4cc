"""convbench explain --x and --w: numbers of one's own, and the problem that they are."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A problem whose numbers were given, and the lines of Python that make them."""

    spec: ConvSpec
    x: "Tensor"
    w: "Tensor"
    code: tuple[str, ...]

    def alone(self, image: int) -> "Given":
        """One image of the batch."""
        cut = f"x = x[{image} : {image + 1}]"
        return replace(self, spec=replace(self.spec, n=1), x=self.x[image : image + 1], code=(*self.code, cut))


def read_operands(x: str | None, w: str | None, shape: str | None, sizes: options.Sizes, *, seed: int) -> Given:
    """The problem of --x and --w, with the stride, padding and dilation that stand beside them.

    Raises:
        ConvbenchError: one of the two is missing or unreadable, or they are no problem together.
    """
    if x is None or w is None:
        given, missing = ("--x", "--w") if w is None else ("--w", "--x")
        raise ConvbenchError(f"{given} needs {missing} too; try --x photo.png --w edges")
    if shape is not None or sizes.input is not None or sizes.weight is not None:
        raise ConvbenchError("--x and --w have sizes of their own; leave out SHAPE, --input and --weight")
    from convbench.explain.operands import read_w, read_x

    image = read_x(x)
    kernel = read_w(w, image.numbers.shape[1], seed)
    for remark in filter(None, (image.remark, kernel.remark)):
        tell(remark)
    own = {name: "x".join(map(str, one.numbers.shape)) for name, one in (("input", image), ("weight", kernel))}
    spec = replace(sizes, **own).problem(None).spec
    return Given(
        spec=spec,
        x=image.numbers,
        w=kernel.numbers,
        code=(*image.code.splitlines(), *kernel.code.splitlines()),
    )
