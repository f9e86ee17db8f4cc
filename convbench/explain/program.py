"""Which lines of torch compute each step of the walk, as a program that runs and asserts, and as a notebook?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from textwrap import wrap
from typing import Any

from convbench.explain import STEPS
from convbench.explain.steps import Walk, name_formula
from convbench.spec import ConvSpec, Pair

INDENT = "    "
COLUMNS = 80  # of a terminal: no line of code is longer, unless it holds a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a step is in torch.

    Attributes:
        line: what does it: one line, or one for each axis or operand.
        before, after: what the whole program has around it.
    """

    line: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(part for line in (*self.before, *self.line.splitlines(), *self.after) for part in _fitted(line))


def step_code(walk: Walk, operands: tuple[str, ...]) -> Mapping[str, Code]:
    """The code of each step by its name; `operands` are the lines that make x and w."""
    spec, cell = walk.spec, walk.cell
    sizes = _window(spec)
    even = "padded" if any(spec.surplus) else "x"
    pads = spec.surplus
    pad = (f"padded = F.pad(x, ({pads[2]}, {pads[3]}, {pads[0]}, {pads[1]}))",) if even == "padded" else ()
    split = f".unflatten(1, ({spec.groups}, -1))" if spec.groups > 1 else ""
    flat = "w.shape[0], -1" if spec.groups == 1 else f"{spec.groups}, {spec.k_per_group}, -1"
    options = _options(spec)
    return {
        "operands": Code(
            line="\n".join(operands),
            after=(f"assert x.shape == {spec.x_shape}", f"assert w.shape == {spec.w_shape}"),
        ),
        "loops": Code(
            line=f"total = ({_patch(walk)} * w[{cell.k}]).sum().item()",
            after=(*_loops(walk), _same("total", "sum(terms)"), _same("total", repr(walk.total))),
        ),
        "positions": Code(
            line="\n".join(f"{name} = {_formula(spec, axis)}" for axis, name in enumerate(("H_out", "W_out"))),
            after=(f"assert (H_out, W_out) == {(spec.p, spec.q)}",),
        ),
        "unfold": Code(
            line=f"patches = F.unfold({even}, {sizes}){split}",
            before=pad,
            after=(f"assert patches.shape == {_patch_shape(spec)}",),
        ),
        "flatten": Code(
            line=f"w_flat = w.reshape({flat})", after=(f"assert w_flat.shape == {tuple(walk.w_flat.shape)}",)
        ),
        "multiply": Code(
            line=f"y_flat = torch.einsum('{name_formula(spec)}', patches, w_flat)",
            after=(f"assert y_flat.shape == {tuple(walk.y_flat.shape)}",),
        ),
        "reshape": Code(
            line=f"y = y_flat.reshape({spec.n}, {spec.k}, H_out, W_out)",
            after=(_same(f"y[{cell.n}, {cell.k}, {cell.p}, {cell.q}].item()", "total"),),
        ),
        "pytorch": Code(
            line=f"y_torch = F.conv2d({even}, w{options})",
            after=(_same("y", "y_torch"),),
        ),
    }


def program(walk: Walk, operands: tuple[str, ...]) -> str:
    """All steps as one program; it raises AssertionError where a step gives anything else."""
    spec = walk.spec
    about = wrap(f'"""{spec}: x {spec.x_shape} convolved with w {spec.w_shape}, step by step."""', COLUMNS)
    parts = [*about, "import torch", "import torch.nn.functional as F"]
    for number, (step, code) in enumerate(step_code(walk, operands).items(), start=1):
        parts += ["", f"# {number} {step}", *code.lines]
    return "\n".join([*parts, 'print("every step holds")', ""])


def notebook(walk: Walk, operands: tuple[str, ...], texts: Mapping[str, str]) -> str:
    """The same as a Jupyter notebook (nbformat 4.5): for each step its text, and its code in a cell of its own."""
    cells = [_cell("title", "markdown", f"# {walk.spec}, step by step")]
    cells.append(_cell("imports", "code", "import torch\nimport torch.nn.functional as F"))
    code = step_code(walk, operands)
    for step in STEPS:
        cells.append(_cell(f"{step}-text", "markdown", f"```text\n{texts[step]}```"))
        cells.append(_cell(f"{step}-code", "code", "\n".join(code[step].lines)))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def counted_operands(spec: ConvSpec, seed: int) -> tuple[str, ...]:
    """The lines that make the numbers of `small_integers`."""
    lines = []
    if seed or prod(spec.w_shape) > 9:
        lines.append(f"generator = torch.Generator().manual_seed({seed})")
    if seed:
        lines.append(f"x = torch.randint(1, 98, {spec.x_shape}, generator=generator).double()")
    else:
        lines.append(f"x = (torch.arange({prod(spec.x_shape)}) % 97 + 1).reshape{spec.x_shape}.double()")
    if seed or prod(spec.w_shape) > 9:
        lines.append("numbers = torch.tensor([-3, -2, -1, 1, 2, 3])")
        lines.append(f"chosen = torch.randint(6, {spec.w_shape}, generator=generator)")
        lines.append("w = numbers[chosen].double()")
    else:
        lines.append(f"w = (torch.arange({prod(spec.w_shape)}) + 1).reshape{spec.w_shape}.double()")
    return tuple(lines)


def _cell(name: str, kind: str, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": source.splitlines(keepends=True)}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def _fitted(line: str) -> list[str]:
    """A long line broken inside its brackets, where all its spaces are."""
    if len(line) <= COLUMNS or "'" in line:
        return [line]
    deeper = line[: len(line) - len(line.lstrip())] + INDENT
    return wrap(line, COLUMNS, subsequent_indent=deeper, break_long_words=False, break_on_hyphens=False)


def _window(spec: ConvSpec) -> str:
    """The arguments of F.unfold after x."""
    words = [f"({spec.r}, {spec.s})"]
    for name, pair, usual in (
        ("dilation", spec.dilation, (1, 1)),
        ("padding", spec.evened.padding, (0, 0)),
        ("stride", spec.stride, (1, 1)),
    ):
        words += [f"{name}={_pair(pair)}"] if pair != usual else []
    return ", ".join(words)


def _options(spec: ConvSpec) -> str:
    """The arguments of F.conv2d after w."""
    words = []
    for name, pair, usual in (
        ("stride", spec.stride, (1, 1)),
        ("padding", spec.evened.padding, (0, 0)),
        ("dilation", spec.dilation, (1, 1)),
    ):
        words += [f"{name}={_pair(pair)}"] if pair != usual else []
    words += [f"groups={spec.groups}"] if spec.groups > 1 else []
    return "".join(f", {word}" for word in words)


def _formula(spec: ConvSpec, axis: int) -> str:
    """The output size in Python: the note's formula with its numbers."""
    size, taps = ((spec.h, spec.r), (spec.w, spec.s))[axis]
    before, after = spec.sides[2 * axis : 2 * axis + 2]
    padding = f"2 * {before}" if before == after else f"{before} + {after}"
    return f"({size} + {padding} - {spec.dilation[axis]} * ({taps} - 1) - 1) // {spec.stride[axis]} + 1"


def _patch(walk: Walk) -> str:
    """The numbers of x under the kernel, as a slice of x with its padding."""
    spec, cell, (top, bottom, left, right) = walk.spec, walk.cell, walk.spec.sides
    padded = f"F.pad(x, {(left, right, top, bottom)})" if any(spec.sides) else "x"
    first = walk.terms[0].channel
    places = [
        f"{start}:{start + extent}{f':{step}' if step > 1 else ''}"
        for start, extent, step in (
            (first, spec.c_per_group, 1),
            (cell.p * spec.stride[0], spec.kernel_extent[0], spec.dilation[0]),
            (cell.q * spec.stride[1], spec.kernel_extent[1], spec.dilation[1]),
        )
    ]
    return f"{padded}[{cell.n}, {', '.join(places)}]"


def _loops(walk: Walk) -> tuple[str, ...]:
    """The same sum one product at a time."""
    spec, cell, (top, _, left, _) = walk.spec, walk.cell, walk.spec.sides
    first = walk.terms[0].channel
    channel = f"{first} + c" if first else "c"
    row = f"{cell.p} * {spec.stride[0]} - {top} + kh * {spec.dilation[0]}"
    column = f"{cell.q} * {spec.stride[1]} - {left} + kw * {spec.dilation[1]}"
    return (
        "",
        "",
        "def pixel(c, row, column):  # outside the image lies the padding, zeros",
        f"{INDENT}inside = 0 <= row < {spec.h} and 0 <= column < {spec.w}",
        f"{INDENT}return x[{cell.n}, c, row, column].item() if inside else 0.0",
        "",
        "",
        "terms = []",
        f"for c in range({spec.c_per_group}):",
        f"{INDENT}for kh in range({spec.r}):",
        f"{INDENT * 2}for kw in range({spec.s}):",
        f"{INDENT * 3}row, column = {row}, {column}",
        f"{INDENT * 3}weight = w[{cell.k}, c, kh, kw].item()",
        f"{INDENT * 3}terms.append(pixel({channel}, row, column) * weight)",
    )


def _same(got: str, want: str) -> str:
    """In float64 it is equal, or differs in the last digits where the sums are rounded."""
    return f"torch.testing.assert_close({got}, {want})"


def _patch_shape(spec: ConvSpec) -> tuple[int, ...]:
    groups = (spec.groups,) if spec.groups > 1 else ()
    return (spec.n, *groups, spec.c_per_group * spec.r * spec.s, spec.p * spec.q)


def _pair(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else str(pair)
