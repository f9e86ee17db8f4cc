"""Elementwise operations on blocks: sums, products, activations, and one factor for each channel.

Compiled for: the operation and the code of the activation; a floor and a ceiling are arguments.
"""

from dataclasses import dataclass
from typing import Literal

from convbench.jit.emit import Fields, Int, Module, Pointer
from convbench.jit.target import Target
from convbench.kernels.blocked.activations import activate, clamp_words, code_of, keeps_zero
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Accuracy, Activation, BlockedPlan
from convbench.kernels.blocked.rows import ROWS, for_rows, names_of, place_of, rows_plan, words_of

Kind = Literal["add", "multiply", "scale", "activate"]


@dataclass(frozen=True, slots=True)
class Elementwise:
    """y = activation(x + second), activation(x * second), activation(x * second[n, c]) or activation(x).

    Attributes:
        second: none of "activate"; of "scale", with h = w = 1, and n or 1 images.
    """

    kind: Kind
    x: Blocked
    y: Blocked
    second: Blocked | None = None
    activation: Activation = "none"


TOGETHER = 4  # vectors of a turn

FIELDS = Fields.of(f"{ROWS} {names_of('x')} {names_of('second')} {names_of('y')} width channels floor ceiling")


def elementwise(module: Module, kind: Kind, code: Activation) -> None:
    """`elementwise(args, piece, thread)`: some rows of y."""
    f, block, piece, _ = module.task("elementwise")
    args = FIELDS.on(f, block)
    lanes = f.lanes

    def row(image: Int, channels: Int, r: Int) -> None:
        source, to = place_of(args, "x", image, channels, r), place_of(args, "y", image, channels, r)
        other = source if kind == "activate" else place_of(args, "second", image, channels, r)
        floor, ceiling = args.spread("floor"), args.spread("ceiling")
        factor = f.load(other) if kind == "scale" else f.zero()
        mask = None if keeps_zero(code) else f.lanes_of(0, args.number("channels") - channels * lanes)

        def one(x: Pointer, second: Pointer, y: Pointer, place: int) -> None:
            done = f.load(x, place * lanes)
            if kind == "scale":
                done = done * factor
            elif kind != "activate":
                beside = f.load(second, place * lanes)
                done = done + beside if kind == "add" else done * beside
            done = done.at_least(floor).at_most(ceiling) if code == "none" else activate(f, code, done)
            f.store(done if mask is None else done.where(mask), y, place * lanes)

        def some(count: int, _: Int, x: Pointer, second: Pointer, y: Pointer) -> list[Pointer]:
            for place in range(count):
                one(x, second, y, place)
            return [x + count * lanes, second + count * lanes, y + count * lanes]

        width, several = args.number("width"), TOGETHER if code == "none" else 1
        whole = width // several * several
        places = f.loop(0, whole, lambda i, *at: some(several, i, *at), [source, other, to], step=several)
        if several > 1:
            f.loop(whole, width, lambda i, *at: some(1, i, *at), places)

    for_rows(f, args, piece, row)


def candidates(
    problem: Elementwise, target: Target, threads: int, accuracy: Accuracy = "standard"
) -> list[BlockedPlan]:
    del accuracy
    kind, x, y, second = problem.kind, problem.x, problem.y, problem.second or problem.x
    pixelwise = [x, y] if kind == "scale" else [x, y, second]
    words = {**words_of("x", x), **words_of("y", y), **words_of("second", second)}
    if kind == "scale":
        words["second_row"] = 0
        words["second_image"] = 0 if second.n == 1 else second.image
    shape, width = y, y.w
    if all(one.flat for one in pixelwise):
        shape, width = Blocked(y.n, y.c, 1, y.h * y.w, y.lanes), y.h * y.w
    floor, ceiling = clamp_words(problem.activation)
    words.update(width=width, channels=y.c, floor=floor, ceiling=ceiling)
    form = (kind, code_of(problem.activation))
    return [rows_plan(kind, elementwise, form, FIELDS, shape, target, threads, words)]
