"""Which published convolution problems are shipped, and how is a suite or a problem named?

A suite is a CSV file: name, the sizes, and the source of the numbers. `name*3` says that
the layer occurs three times in its model; dilation is 1 for a dense kernel.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from convbench.case import Problem
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ConvSpec

SIZES = ("n", "c", "h", "w", "k", "r", "s")
PAIRS = (("stride_h", "stride_w"), ("pad_h", "pad_w"), ("dil_h", "dil_w"))
SHIPPED = Path(__file__).parent
COLUMNS = ("name", *SIZES, *(column for pair in PAIRS for column in pair), "groups", "source")


def suite_names() -> list[str]:
    """The shipped suites, by name."""
    return sorted(path.stem for path in SHIPPED.glob("*.csv"))


def load_suite(suite: str) -> tuple[Problem, ...]:
    """The problems of a shipped suite, or of a CSV file with the same columns.

    Raises:
        ConvbenchError: no such suite or file, a missing column, or a bad row.
    """
    own = suite.endswith(".csv")
    if not own and suite not in suite_names():
        raise ConvbenchError(
            f"{unknown('suite', suite, suite_names())}; see 'convbench list suites', or name a FILE.csv"
        )
    path = Path(suite) if own else SHIPPED / f"{suite}.csv"
    try:
        text = path.read_text(encoding="utf-8-sig")  # a spreadsheet may put a mark in front
    except (OSError, UnicodeDecodeError) as error:
        raise ConvbenchError(f"cannot read the suite {suite}: {error}; --suite takes a name or a CSV file") from None
    return tuple(_problems(path.stem, text, origin=suite))


def find_problem(text: str) -> Problem:
    """A problem from its text form, or from `SUITE:ROW`.

    A row is named whole (`resnet50:layer1.0.conv2`) or by its last part where only one row
    ends so (`benchdnn_resnet_50:res2a_branch2a`).
    """
    suite, colon, row = text.partition(":")
    if suite in suite_names() and not row:
        first = load_suite(suite)[0].name
        raise ConvbenchError(f"{text} is a whole suite; name a row of it, such as {suite}:{first}")
    if not colon:
        return Problem(suite="shape", name=text.strip().lower(), spec=ConvSpec.parse(text))
    problems = load_suite(suite)
    matches = [problem for problem in problems if problem.name == row]
    matches = matches or [problem for problem in problems if problem.name.endswith(f":{row}")]
    if len(matches) > 1:
        names = ", ".join(f"{suite}:{problem.name}" for problem in matches)
        raise ConvbenchError(f"{text} may be {len(matches)} rows: {names}; name one of them whole")
    if not matches:
        raise unknown(f"row of suite {suite}", row, [problem.name for problem in problems])
    return matches[0]


def _problems(suite: str, text: str, *, origin: str) -> Iterator[Problem]:
    rows = csv.DictReader(text.splitlines())
    missing = set(COLUMNS) - set(rows.fieldnames or ())
    if missing:
        raise ConvbenchError(
            f"suite {origin} lacks the columns {', '.join(sorted(missing))}; it needs {', '.join(COLUMNS)}"
        )
    for row in rows:
        try:
            name, _, count = row["name"].partition("*")
            yield Problem(
                suite=suite,
                name=name,
                count=int(count or 1),
                source=row["source"] or "",
                spec=_spec(row),
            )
        except (TypeError, AttributeError, ValueError, ConvbenchError) as error:
            raise ConvbenchError(f"suite {origin}, line {rows.line_num}: {error}; sizes are whole numbers") from None


def _spec(row: dict[str, str]) -> ConvSpec:
    n, c, h, w, k, r, s = (int(row[size]) for size in SIZES)
    stride, padding, dilation = ((int(row[height]), int(row[width])) for height, width in PAIRS)
    return ConvSpec(
        n=n,
        c=c,
        h=h,
        w=w,
        k=k,
        r=r,
        s=s,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(row["groups"]),
    )
