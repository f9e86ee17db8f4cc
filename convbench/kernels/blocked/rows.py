"""Kernels without weights: a piece is some rows of one block of one image."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from convbench.jit.compile import Kernel, compiled
from convbench.jit.emit import Arguments, Fields, Function, Int, Pointer
from convbench.jit.target import Target
from convbench.jit.team import KernelStep
from convbench.kernels.blocked.geometry import Geometry
from convbench.kernels.blocked.plan import Places

# The words that each of these kernels has; their own ones follow.
ROWS = "x y second blocks row_groups rows_of_group rows"
PIECE_SIZE = 8192  # floats of y: long enough that taking it costs nothing, short enough to share the work


@dataclass(frozen=True)
class RowsPlan:
    """The plan of a problem without weights."""

    name: str
    kernel: Kernel
    form: tuple[object, ...]
    fields: Fields
    words: Mapping[str, int]
    pieces: int
    target: Target
    table: Sequence[int] = ()

    @property
    def scratch(self) -> int:
        return 0

    def pack(self, w: Tensor, bias: Tensor | None) -> Tensor:
        raise TypeError(f"{self.name} has no weights, but was given {w.shape} and {bias}")

    def steps(self, places: Places) -> list[KernelStep]:
        words = {**self.words, "x": places.x, "y": places.y, "second": places.second}
        if "weights" in self.fields.names:
            words["weights"] = places.weights
        block: array[int] = self.fields.block(words)
        block.extend(self.table)
        entry = self.kernel.__name__
        address = compiled(self.kernel, self.target, (entry,), *self.form).addresses[entry]
        return [KernelStep(self.pieces, address, block)]


def rows_plan(
    name: str,
    kernel: Kernel,
    form: tuple[object, ...],
    fields: Fields,
    shape: Geometry,
    target: Target,
    threads: int,
    words: Mapping[str, int],
    table: Sequence[int] = (),
) -> RowsPlan:
    """Pieces are rows of the shape."""
    rows = max(1, min(shape.h, PIECE_SIZE // max(1, shape.row), shape.n * shape.blocks * shape.h // (4 * threads)))
    groups = -(-shape.h // rows)
    own = {"blocks": shape.blocks, "row_groups": groups, "rows_of_group": rows, "rows": shape.h}
    pieces = shape.n * shape.blocks * groups
    return RowsPlan(name, kernel, form, fields, {**own, **words}, pieces, target, table)


def for_rows(f: Function, args: Arguments, piece: Int, do: Callable[[Int, Int, Int], None]) -> None:
    """`do(image, block, row)` for the rows of a piece."""
    groups, blocks, count = (args.number(one) for one in ("row_groups", "blocks", "rows_of_group"))
    first, plane = piece % groups * count, piece // groups
    last = f.least(first + count, args.number("rows"))
    image, block = plane // blocks, plane % blocks
    f.loop(first, last, lambda row: do(image, block, row))


def place_of(args: Arguments, name: str, image: Int, block: Int, row: Int) -> Pointer:
    """Where a row of an operand begins: by its words NAME_image, NAME_plane, NAME_row and NAME_start."""
    at = image * args.number(f"{name}_image") + block * args.number(f"{name}_plane") + row * args.number(f"{name}_row")
    return args.address(name) + at + args.number(f"{name}_start")


def words_of(name: str, shape: Geometry) -> dict[str, int]:
    """Those of `place_of`."""
    sizes = {"image": shape.image, "plane": shape.plane, "row": shape.row, "start": shape.at(0, 0)}
    return {f"{name}_{one}": size for one, size in sizes.items()}


def names_of(name: str) -> str:
    return " ".join(f"{name}_{one}" for one in ("image", "plane", "row", "start"))
