"""Which convolutions are in a table of shapes, in Markdown or in columns with blanks between them?

The first line names the columns, as a suite does (`n c h w k r s stride_h pad_h`) or in other usual words: batch,
in_channels, cout, kernel 3x3, input 1x3x224x224, weight 64x3x7x7. `k` is the kernel and `s` the stride where another
column has the filters, as in torch's letters.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convbench.case import DTYPES
from convbench.dtypes import short_dtype
from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec
from convbench.suites.found import FoundProblem

# What a column is called, without anything but letters; the first word is ours.
_WORDS = {
    "name": "name layer layername",
    "n": "n mb bs batch batchsize minibatch",
    "c": "c ic cin inc inch inchannel inchannels inputchannels",
    "h": "h ih hin inh inheight inputheight height",
    "w": "w iw win inw inwidth inputwidth width",
    "k": "oc cout outc outch outchannel outchannels outputchannels filters offilters numfilters numberoffilters",
    "r": "r kh kernelh kernelheight filterh filterheight",
    "s": "kw kernelw kernelwidth filterw filterwidth",
    "kernel": "kernel kernelsize ksize filtersize rs khkw khxkw",
    "image": "hw hxw imagesize spatial spatialsize resolution",
    "input": "input inputshape inputsize x xshape ifm",
    "weight": "weight weightshape weightsize wshape filter filtershape",
    "output": "output outputshape outputsize y yshape ofm",
    "p": "oh hout outh outheight outputheight",
    "q": "ow wout outw outwidth outputwidth",
    "stride": "stride strides",
    "stride_h": "strideh sh",
    "stride_w": "stridew sw",
    "padding": "padding pad pads",
    "pad_h": "padh ph",
    "pad_w": "padw pw",
    "pad_b": "padb",
    "pad_r": "padr",
    "dilation": "dilation dilations dil",
    "dil_h": "dilh dilationh",
    "dil_w": "dilw dilationw",
    "groups": "groups group g",
    "count": "count counts calls repeat repeats times",
    "dtype": "dtype datatype precision",
    "spec": "spec problem",
}
_COLUMN = {word: column for column, words in _WORDS.items() for word in words.split()}
_CELL = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\S+")
_NUMBERS = re.compile(r"(?:torch\.Size)?[(\[]*\s*([0-9]{1,9}(?:\s*[x×*,]\s*[0-9]{1,9})*)\s*[)\]]*", re.ASCII)  # noqa: RUF001  # a times sign is meant
_NAMED = re.compile(r"([A-Za-z])\s*=\s*([0-9]{1,9})\b")
_RULE = re.compile(r"[\s|:+=-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """The columns of a table.

    Attributes:
        names: by their places; "" is one that says nothing of a problem.
        markdown: bars are between them, not blanks.
        missing: of stride and padding those without a column.
    """

    names: tuple[str, ...]
    markdown: bool
    missing: tuple[str, ...]

    def row(self, line: str) -> FoundProblem | None:
        """The problem of a line; None for a rule between lines.

        Raises:
            ConvbenchError: it is no row of this table.
        """
        if _RULE.fullmatch(line):
            return None
        cells = _cells(line, markdown=self.markdown)
        if len(cells) != len(self.names):
            raise ConvbenchError(f"{len(cells)} cells under {len(self.names)} columns")
        return _problem({name: cell for name, cell in zip(self.names, cells, strict=True) if name})


def table_columns(line: str) -> TableColumns | None:
    """The columns that a line names; None where it is not the head of a table of convolutions.

    Raises:
        ConvbenchError: it is one, but sizes are missing.
    """
    markdown = line.lstrip().startswith("|") or line.count("|") >= 3
    cells = _cells(line, markdown=markdown)
    if not 2 <= len(cells) <= 100:
        return None
    words = [re.sub("[^a-z]", "", re.sub(r"\(.*?\)|\[.*?\]", "", cell.lower())) for cell in cells]
    names = _named(words)
    given = {name for name in names if name}
    if len(given) != sum(bool(name) for name in names):
        return None
    if not _holds_all(given):
        if len(given & {*"nchwkrspq", "kernel", "image", "stride", "padding"}) < 5 or len(given) * 2 < len(cells):
            return None
        raise ConvbenchError(
            f"a table with {' '.join(sorted(given))} does not say the whole problem; it needs n c h w k r s, or input "
            "and weight"
        )
    missing = []
    if not given & {"stride", "stride_h", "spec"}:
        missing.append("stride")
    if not given & {"padding", "pad_h", "spec"}:
        missing.append("padding")
    return TableColumns(names=tuple(names), markdown=markdown, missing=tuple(missing))


def _named(words: Sequence[str]) -> list[str]:
    """Ours for theirs; the letters k, s and p depend on the others."""
    names = [_COLUMN.get(word, "") for word in words]
    filters = "k" in names or "weight" in names
    for place, word in enumerate(words):
        if word == "k":
            names[place] = "kernel" if filters else "k"
    sized = "kernel" in names or "weight" in names or "r" in names
    for place, word in enumerate(words):
        if word == "s":
            names[place] = "s" if "r" in names and "s" not in names else "stride" if sized else ""
        elif word in ("p", "q"):
            names[place] = word if {"p", "q"} <= {*words} else "padding" if word == "p" else ""
    return names


def _holds_all(given: set[str]) -> bool:
    if "spec" in given:
        return True
    image = "input" in given or ({"n", "c"} <= given and ({"h", "w"} <= given or "image" in given))
    kernel = "weight" in given or ("k" in given and ({"r", "s"} <= given or "kernel" in given))
    return image and kernel


def _cells(line: str, *, markdown: bool) -> list[str]:
    if markdown:
        return [cell.strip().strip("`*").strip() for cell in line.strip().strip("|").split("|")]
    return _CELL.findall(line)


def _problem(cells: Mapping[str, str]) -> FoundProblem:
    if "spec" in cells:
        return FoundProblem(spec=ConvSpec.parse(cells["spec"]), name=cells.get("name", ""), count=_count(cells))
    sizes: dict[str, int] = {}
    for name in ("n", "c", "h", "w", "k", "r", "s"):
        if name in cells:
            (sizes[name],) = _some(name, cells[name], (1,))
    if "image" in cells:
        sizes |= zip("hw", _twice(_some("image", cells["image"], (1, 2))), strict=True)
    if "kernel" in cells:
        sizes |= zip("rs", _twice(_some("kernel", cells["kernel"], (1, 2), "RS")), strict=True)
    if "input" in cells:
        x = _some("input", cells["input"], (3, 4), "NCHW")
        sizes |= zip("nchw" if len(x) == 4 else "chw", x, strict=True)
    if "weight" in cells:
        w = _some("weight", cells["weight"], (2, 4), "RS" if "k" in cells else "KCRS")
        per_group = w[1] if len(w) == 4 else 0
        sizes |= zip("krs", (w[0], *w[2:]), strict=True) if len(w) == 4 else zip("rs", w, strict=True)
        if per_group and "groups" not in cells and "c" in sizes and sizes["c"] % per_group == 0:
            sizes["groups"] = sizes["c"] // per_group
    if missing := [name for name in "nchwkrs" if name not in sizes]:
        raise ConvbenchError(f"no {', '.join(missing)} in this row")
    pairs: dict[str, Any] = {}
    for pair, (one, other), default in (
        ("stride", ("stride_h", "stride_w"), 1),
        ("padding", ("pad_h", "pad_w"), 0),
        ("dilation", ("dil_h", "dil_w"), 1),
    ):
        if pair in cells:
            counts = (1, 2, 4) if pair == "padding" else (1, 2)
            given = _some(pair, cells[pair], counts, "HW")
            pairs[pair] = given if len(given) == 4 else _twice(given)
        elif one in cells:
            (first,) = _some(one, cells[one], (1,))
            pairs[pair] = (first, _some(other, cells[other], (1,))[0] if other in cells else first)
        else:
            pairs[pair] = (default, default)
    if "groups" in cells:
        (sizes["groups"],) = _some("groups", cells["groups"], (1,))
    if "pad_b" in cells and "pad_r" in cells and len(pairs["padding"]) == 2:
        (bottom,), (right,) = _some("pad_b", cells["pad_b"], (1,)), _some("pad_r", cells["pad_r"], (1,))
        pairs["padding"] = (pairs["padding"][0], bottom, pairs["padding"][1], right)
    spec = ConvSpec(**sizes, **pairs)
    _agree(cells, spec)
    dtype = short_dtype(cells.get("dtype", "").lower())
    return FoundProblem(
        spec=spec, name=cells.get("name", ""), count=_count(cells), dtype=dtype if dtype in DTYPES else None
    )


def _agree(cells: Mapping[str, str], spec: ConvSpec) -> None:
    """Where a row has the size of the output too, it is this one's."""
    for name, size in (("p", spec.p), ("q", spec.q)):
        if name in cells and _some(name, cells[name], (1,)) != (size,):
            raise ConvbenchError(f"an output of {cells[name]} for {spec}, whose {name.upper()} is {size}")
    if "output" in cells:
        made = _some("output", cells["output"], (2, 3, 4))
        if made != spec.y_shape[4 - len(made) :]:
            raise ConvbenchError(f"an output of {cells['output']} for {spec}, whose output is {spec.y_shape}")


def _count(cells: Mapping[str, str]) -> int:
    return _some("count", cells["count"], (1,))[0] if "count" in cells else 1


def _twice(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (numbers[0], numbers[-1])


def _some(name: str, cell: str, counts: Sequence[int], letters: str = "") -> tuple[int, ...]:
    """The numbers of a cell: `3`, `3x3`, `(3, 3)`, or by their letters, `W = 700, H = 161`."""
    if letters and "=" in cell:
        by_letter = {letter.upper(): int(number) for letter, number in _NAMED.findall(cell)}
        if {*by_letter} == {*letters}:
            return tuple(by_letter[letter] for letter in letters)
    match = _NUMBERS.fullmatch(cell.strip())
    numbers = tuple(int(one) for one in re.findall("[0-9]+", match[1])) if match else ()
    if len(numbers) not in counts:
        raise ConvbenchError(f"{name} is {cell[:40]!r}; it takes {' or '.join(map(str, counts))} integers")
    return numbers
