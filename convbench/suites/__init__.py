"""Which convolution problems are shipped, how are others read from files, and how is one named?

A suite is a CSV file: name, the sizes, and the source of the numbers. `name*3` says that
the layer occurs three times in its model; dilation is 1 for a dense kernel. A user's suite
may omit columns with defaults, or be a file of another tool. A row may also set
the only dtype, layout and pass it runs in, whether they are its own or drawn, and the recipe of its operands;
`macs`, if given, is checked.
"""

import csv
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from convbench.case import DTYPES, EPILOGUES, LAYOUTS, PASSES, Problem
from convbench.dtypes import short_dtype
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ConvSpec
from convbench.suites.edge import known_operands
from convbench.suites.foreign import ForeignProblems, LeftOut, is_foreign, read_foreign, read_text
from convbench.suites.sizes import EXAMPLE, looks_like_sizes
from convbench.suites.verbose import is_verbose

SIZES = ("n", "c", "h", "w", "k", "r", "s")
PAIRS = (("stride_h", "stride_w"), ("pad_h", "pad_w"), ("dil_h", "dil_w"))
ENDS = ("pad_b", "pad_r")  # of the padding at the bottom and on the right; empty if it is as on the other side
SHIPPED = Path(__file__).parent
COLUMNS = ("name", *SIZES, *(column for pair in PAIRS for column in pair), "groups", "source")
# What a cell means that is empty or whose column is not there; the sizes have no default.
DEFAULTS = {
    "name": "",
    **{column: "0" if column.startswith("pad") else "1" for pair in PAIRS for column in pair},
    **dict.fromkeys(ENDS, ""),
    "groups": "1",
    "source": "",
    "count": "1",
    "macs": "",
    "dtype": "",
    "layout": "",
    "pass": "",
    "epilogue": "",
    "axes": "",
    "operands": "",
    "skip": "",
    "logged_s": "",
}
DRAWN = "drawn"  # in the column axes
# What `convbench model --csv` says of a convolution besides; a suite may have it, and does not use it.
MODEL_COLUMNS = tuple(
    "spec kind macs_total macs_share intensity field_low field_high field_exact blow_up ran time_share time_s "
    "low_s high_s undisturbed percent_of_ceiling bound dgrads wgrads bias functional".split()
)


def suite_names() -> list[str]:
    """The shipped suites, by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.csv"))


def load_suite(suite: str) -> tuple[Problem, ...]:
    """The problems of a shipped suite, or of a file; see `read_suite`."""
    return read_suite(suite).problems


def read_suite(suite: str) -> ForeignProblems:
    """The problems of a shipped suite, of a CSV file, or of a file that another tool wrote.

    Raises:
        ConvbenchError: no such suite or file, a missing column, or a bad row or line.
    """
    if suite in suite_names():
        path = SHIPPED / f"{suite}.csv"
    else:
        path = Path(suite)
        if path.suffix != ".csv" and not os.path.exists(path):  # Path.exists raises where the name is too long
            if _is_problem(suite):
                raise ConvbenchError(f"{suite} is a problem, not a suite: write --shape {suite}")
            raise unknown(
                "suite",
                suite,
                suite_names(),
                more=" (convbench list suites), a FILE.csv, or a file of another tool (docs/selection.md)",
            )
    text = read_text(path, f"the suite {suite}", log=path.suffix != ".csv")
    if path.suffix == ".csv" and not is_verbose(text.partition("\n")[0]):  # a oneDNN log has commas too
        rows = list(_problems(path.stem, text, origin=suite))
        problems = tuple(one for one in rows if isinstance(one, Problem))
        return ForeignProblems(problems=problems, left_out=tuple(one for one in rows if isinstance(one, LeftOut)))
    return read_foreign(text, suite=path.stem, origin=suite)


def _is_problem(text: str) -> bool:
    try:
        return bool(find_problem(text))
    except ConvbenchError:
        return False


def read_shape(text: str) -> ForeignProblems:
    """The problems that one --shape names; benchdnn options may make several of a descriptor, or none."""
    if is_foreign(text):
        return read_foreign(text, suite="shape", origin="--shape", numbered=False)
    spec, at, operands = text.partition("@")
    if not at or ":" in spec:  # a path may have an @ of its own
        return ForeignProblems(problems=(find_problem(text),))
    problem = Problem(
        suite="shape", name=text.strip().lower(), spec=ConvSpec.parse(spec), operands=known_operands(operands.strip())
    )
    return ForeignProblems(problems=(problem,))


def find_problem(text: str) -> Problem:
    """A problem from its text form, a benchdnn or MIOpenDriver line, `SUITE:ROW`, or `note`, the worked example.

    A row is named whole (`resnet50:layer1.0.conv2`) or by its last part where only one row
    ends so (`benchdnn_resnet_50:res2a_branch2a`).
    """
    if is_foreign(text):
        return _only(text, read_shape(text))
    suite, colon, row = text.partition(":")
    if suite in suite_names() and not row:
        first = load_suite(suite)[0]
        model = f"; the whole model: convbench model {suite}" if first.source.startswith("torchvision ") else ""
        raise ConvbenchError(
            f"{suite} is a whole suite: name a row, such as {suite}:{first.name} (convbench list suites {suite}){model}"
        )
    if looks_like_sizes(text):
        raise ConvbenchError(f"{text} is the size of a tensor, not a problem; write {EXAMPLE}")
    if text == "note":
        return find_problem("quick:note")
    if not colon:
        if near := get_close_matches(text, ["note", *suite_names()], n=1, cutoff=0.7):
            raise ConvbenchError(f"{text!r} is not a valid shape; did you mean {near[0]!r}?")
        return Problem(suite="shape", name=text.strip().lower(), spec=ConvSpec.parse(text))
    problems = load_suite(suite)
    matches = [problem for problem in problems if problem.name == row]
    matches = matches or [problem for problem in problems if problem.name.endswith(f":{row}")]
    if len(matches) > 1:
        names = ", ".join(f"{suite}:{problem.name}" for problem in matches)
        raise ConvbenchError(f"{text} matches {len(matches)} rows: {names}; give the full name of one")
    if not matches:
        raise unknown(
            f"row of suite {suite}", row, [problem.name for problem in problems], f" (convbench list suites {suite})"
        )
    return matches[0]


def _only(text: str, reading: ForeignProblems) -> Problem:
    if len(reading.problems) > 1:
        raise ConvbenchError(
            f"{text!r} gives {len(reading.problems)} problems, but only one is allowed; select one of them"
        )
    if not reading.problems:
        left_out = "; ".join(f"{one.kind} are not supported ({one.detail})" for one in reading.left_out)
        raise ConvbenchError(f"{text!r} has no 2-D forward convolution: {left_out}")
    return reading.problems[0]


def _problems(suite: str, text: str, *, origin: str) -> Iterator[Problem | LeftOut]:
    rows = csv.DictReader(text.splitlines())
    try:
        yield from _rows(suite, rows, origin)
    except csv.Error as error:  # a cell of more than 131,072 characters
        raise ConvbenchError(f"suite {origin}, line {rows.line_num + 1}: {error}") from None


def _rows(suite: str, rows: "csv.DictReader[str]", origin: str) -> Iterator[Problem | LeftOut]:
    columns = list(rows.fieldnames or ())
    if {"backend", "outcome", "samples_s"} <= set(columns):
        raise ConvbenchError(f"suite {origin} is a results file; show it with convbench report {origin}")
    if (lower := [column.lower() for column in columns]) != columns and set(SIZES) <= set(lower):
        raise ConvbenchError(f"suite {origin}: its columns are {', '.join(columns[:7])}; write them in lower case")
    missing = [column for column in SIZES if column not in columns]
    if missing:
        raise ConvbenchError(
            f"suite {origin} lacks the columns {', '.join(missing)}; it needs {', '.join(SIZES)}, separated by commas, "
            f"and may have {', '.join(DEFAULTS)}"
        )
    for column in columns:
        if columns.count(column) > 1:
            raise ConvbenchError(f"suite {origin}: the column {column!r} occurs twice; delete one of them")
        if column not in (*SIZES, *DEFAULTS, *MODEL_COLUMNS):
            raise ConvbenchError(f"suite {origin}: {unknown('column', column, [*SIZES, *DEFAULTS])}")
    for row in rows:
        try:
            if row.get("skip") and not any(row[column] for column in SIZES):  # of a model: no 2-D convolution
                detail = f"{row.get('name') or ''} {row.get('spec') or ''}".strip()
                yield LeftOut(place=f"{origin}, line {rows.line_num}", kind=row["skip"], detail=detail)
                continue
            yield _problem(suite, row)
        except ConvbenchError as error:
            raise ConvbenchError(f"suite {origin}, line {rows.line_num}: {error}") from None


def _problem(suite: str, row: dict[str, str]) -> Problem:
    if None in row:
        raise ConvbenchError("it has more cells than columns")
    cells = {column: (row.get(column) or default).strip() for column, default in DEFAULTS.items()}
    cells |= {column: (row[column] or "").strip() for column in SIZES}
    name, _, times = cells["name"].partition("*")
    if times and "count" in row:
        raise ConvbenchError(f"{cells['name']} has *{times} as well as a count column; use only one of them")
    spec = _spec(cells)
    if cells["macs"] and cells["macs"] != str(spec.macs):
        raise ConvbenchError(
            f"macs is {cells['macs'][:40]!r}, but {spec} has {spec.macs}; correct it, or leave it empty"
        )
    return Problem(
        suite=suite,
        name=name or str(spec),
        count=_number("count", times or cells["count"]),
        source=cells["source"],
        spec=spec,
        dtype=_one_of("dtype", short_dtype(cells["dtype"]), DTYPES),
        layout=_one_of("layout", cells["layout"], LAYOUTS),
        pass_=_one_of("pass", cells["pass"], PASSES),
        epilogue=_one_of("epilogue", cells["epilogue"], EPILOGUES),
        drawn=_one_of("axes", cells["axes"], (DRAWN,)) is not None,
        operands=known_operands(cells["operands"]),
        skip=cells["skip"],
        logged_s=_seconds(cells["logged_s"]),
    )


def _one_of(column: str, cell: str, allowed: Sequence[str]) -> str | None:
    if cell and cell not in allowed:
        raise unknown(column, cell, allowed)
    return cell or None


def _spec(cells: dict[str, str]) -> ConvSpec:
    sizes = {column: _number(column, cells[column]) for column in (*SIZES, *(one for pair in PAIRS for one in pair))}
    stride, padding, dilation = ((sizes[height], sizes[width]) for height, width in PAIRS)
    end = [
        _number(column, cells[column]) if cells[column] else side for column, side in zip(ENDS, padding, strict=True)
    ]
    return ConvSpec(
        **{size: sizes[size] for size in SIZES},
        stride=stride,
        padding=padding,
        padding_end=end,
        dilation=dilation,
        groups=_number("groups", cells["groups"]),
    )


def _seconds(cell: str) -> float | None:
    if not cell:
        return None
    if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,2})?", cell, re.ASCII):
        raise ConvbenchError(f"logged_s is {cell[:40]!r}; it takes seconds, such as 0.0012")
    return float(cell)


def _number(column: str, cell: str) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 9):
        raise ConvbenchError(f"{column} is {cell!r}; sizes are integers of at most 9 digits")
    return int(cell)
