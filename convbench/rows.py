"""How does a result become a row of a CSV file, and a row a result again?"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import inf, isclose, isfinite, nan
from typing import TypeVar

from convbench.backend import BASELINE
from convbench.case import ACCURACIES, Case, Problem
from convbench.errors import one_line, printable
from convbench.machine import Machine
from convbench.outcome import (
    CACHES,
    TIMINGS,
    Bill,
    Check,
    Failed,
    Noise,
    Outcome,
    PairedRatio,
    Result,
    Roofline,
    Skipped,
    Timed,
    Verified,
    Wrong,
)
from convbench.schema import COLUMNS, SCHEMA
from convbench.shards import environment_of
from convbench.spec import ConvSpec, pair_text

KEY_DIGITS = 16  # of the hash of a case's key
VERDICTS = ("faster", "slower", "tie", "undecided")

Cell = str | int | float | None
Row = dict[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all rows of one run share; `threads` is for results without their own."""

    machine: Machine
    threads: int
    command: str


def to_row(result: Result, context: Context) -> Row:
    """One result as plain numbers in SI units; None if not applicable."""
    case, spec, problem = result.case, result.case.spec, result.case.problem
    return {
        **dict.fromkeys(COLUMNS),
        "suite": problem.suite,
        "name": problem.name,
        "count": problem.count,
        **case.key.cells,
        **_sizes(spec),
        "threads": result.threads or context.threads,
        "backend": result.backend,
        "family": result.family,
        "chosen": result.chosen,
        "patch_matrix_nbytes": spec.patch_matrix_nbytes(case.dtype),
        **_outcome_cells(result),
        **context.machine.columns(),
        "command": context.command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "schema": SCHEMA,
        "key": case.key.sha256[:KEY_DIGITS],
        "environment": environment_of(context.machine.columns()),
    }


def _sizes(spec: ConvSpec) -> Row:
    """The columns that say again what `spec` says."""
    return {
        **{letter: getattr(spec, letter) for letter in "nchwkrs"},
        **{name: pair_text(getattr(spec, name)) for name in ("stride", "dilation")},
        "padding": spec.padding_text,
        "groups": spec.groups,
    }


def _outcome_cells(result: Result) -> Row:
    match result.outcome:
        case Skipped(reason):
            return {"outcome": "skipped", "reason": reason}
        case Failed(message):
            return {"outcome": "failed", "reason": message}
        case Wrong(check):
            cells: Row = {"outcome": "wrong", "reason": check.evidence}
        case Verified(check):
            cells = {"outcome": "verified"}
        case Timed(check=check) as timed:
            compared = timed.comparison
            cells = {
                "outcome": "timed",
                **_of_samples(timed, result.case),
                "ratio_to_torch": compared.ratio if compared else 1.0 if result.backend == BASELINE else None,
                "ratio_low": compared.low if compared else None,
                "ratio_high": compared.high if compared else None,
                "verdict": compared.verdict if compared else "baseline" if result.backend == BASELINE else None,
                **asdict(timed.bill),
                **asdict(timed.noise),
                "set_aside": len(timed.noise.set_aside),
                "set_aside_rounds": " ".join(map(str, timed.noise.set_aside)),
                "samples_s": " ".join(f"{sample:.4g}" for sample in timed.samples_s),
                "rounds": ranges(timed.rounds),
                "timing": timed.timing,
                "cache": timed.cache,
                "launch_bound": None if timed.bill.launch_bound is None else int(timed.bill.launch_bound),
                "actual_flops": timed.actual_flops,
                **_roofline_cells(timed),
            }
    return cells | {name: getattr(check, name) for name in _CHECK}


def _of_samples(timed: Timed, case: Case) -> Row:
    """The columns that are computed from the samples."""
    low, high = timed.quartiles_s
    p95_s, p99_s, max_s = timed.tail_s
    return {
        "median_s": timed.median_s,
        "q25_s": low,
        "q75_s": high,
        "min_s": min(timed.samples_s),
        "samples": len(timed.samples_s),
        "gflops": case.spec.flops / timed.median_s * 1e-9,
        "gbytes_per_s": case.nbytes / timed.median_s * 1e-9,
        "images_per_s": case.spec.n / timed.median_s,
        "p95_s": p95_s,
        "p99_s": p99_s,
        "max_s": max_s,
    }


_CHECK = tuple("worst_of_bound relative_l2 probe omega arithmetic defect cause smallest cause_cut smallest_cut".split())


def _roofline_cells(timed: Timed) -> Row:
    roof = timed.roofline
    if roof is None:
        return {}
    return {
        "percent_of_ceiling": roof.percent(timed.median_s),
        "roofline_s": roof.time_s,
        "bound": roof.bound,
        "peak_flops_per_s": roof.flops_per_s,
        "peak_bytes_per_s": roof.bytes_per_s,
        "ceiling_probe": roof.probe,
        "flag": timed.flag,
    }


def from_row(row: Mapping[str, str]) -> Result:
    """The result that `to_row` made into this row.

    Raises:
        ValueError, ConvbenchError: a cell that cannot be, or that another one contradicts; with its column.
    """
    problem = Problem(
        suite=row["suite"],
        name=row["name"],
        count=_given("count", _whole(row, "count")),
        spec=ConvSpec.parse(row["spec"]),
        operands=row["operands"],
    )
    case = Case(
        problem=problem,
        seed=_given("seed", _whole(row, "seed")),
        pass_=row["pass"],
        accuracy=_word(row, "accuracy", ACCURACIES),
        **{name: row[name] for name in ("dtype", "layout", "precision", "epilogue", "device")},
    )
    result = Result(
        case=case,
        backend=row["backend"],
        family=row["family"],
        outcome=_outcome(row),
        threads=_whole(row, "threads") or 0,
        chosen=row["chosen"],
    )
    for name, own in _sizes(case.spec).items():
        if row[name] and row[name] != cell_text(own):
            raise ValueError(f"{name} is {one_line(row[name], 40)!r}, but spec {row['spec']} has {cell_text(own)}")
    if isinstance(result.outcome, Timed):
        for name, own in _of_samples(result.outcome, case).items():
            number = _number(row, name)
            if number is not None and not isclose(number, float(own or 0), rel_tol=2e-3):
                raise ValueError(f"{name} is {row[name]}, but the samples give {cell_text(own)}")
    return result


def _outcome(row: Mapping[str, str]) -> Outcome:
    match row["outcome"]:
        case "skipped":
            return Skipped(row["reason"])
        case "failed":
            return Failed(row["reason"])
    check = Check(
        worst_of_bound=_given("worst_of_bound", _number(row, "worst_of_bound")),
        relative_l2=_given("relative_l2", _number(row, "relative_l2")),
        evidence=row["reason"] or None,
        omega=_number(row, "omega"),
        smallest=str(ConvSpec.parse(row["smallest"])) if row["smallest"] else "",
        probe=row["probe"],
        arithmetic=row["arithmetic"],
        defect=row["defect"],
        cause=row["cause"],
        cause_cut=_whole(row, "cause_cut"),
        smallest_cut=_whole(row, "smallest_cut"),
    )
    match row["outcome"]:
        case "wrong":
            return Wrong(check)
        case "verified":
            return Verified(check)
        case "timed":
            bill = Bill(
                first_call_s=_given("first_call_s", _number(row, "first_call_s")),
                peak_nbytes=_whole(row, "peak_nbytes"),
                ran=row["ran"],
                **{name: _number(row, name) for name in _BILL_S},
            )
            noise = Noise(
                set_aside=tuple(map(int, row["set_aside_rounds"].split())),
                noisy=bool(_whole(row, "noisy")),
                switches=_whole(row, "switches"),
                throttle=row["throttle"],
                contended=_whole(row, "contended"),
                suspect=row["suspect"],
                **{name: _number(row, name) for name in _NOISE_NUMBERS},
            )
            comparison = None
            if row["ratio_low"]:
                if row["verdict"] not in VERDICTS:
                    raise ValueError(f"unknown verdict {row['verdict']!r}")
                comparison = PairedRatio(
                    ratio=_given("ratio_to_torch", _number(row, "ratio_to_torch")),
                    low=_given("ratio_low", _number(row, "ratio_low")),
                    high=_given("ratio_high", _number(row, "ratio_high")),
                    verdict=row["verdict"],
                )
                if not comparison.low <= comparison.ratio <= comparison.high:
                    raise ValueError(
                        f"ratio_to_torch is {row['ratio_to_torch']}, outside its interval from {row['ratio_low']} to "
                        f"{row['ratio_high']}"
                    )
            samples = _samples(row["samples_s"])
            used = _rounds(row["rounds"], len(samples))
            rounds = len(samples) + len(noise.set_aside)
            if sum(used != () or one in range(rounds) for one in {*noise.set_aside}) < len(noise.set_aside):
                raise ValueError(f"it has {rounds} rounds, but others were set aside")
            if {*used} & {*noise.set_aside}:
                raise ValueError("it has samples from rounds that were set aside")
            roofline = None
            if row["roofline_s"]:
                roofline = Roofline(
                    time_s=_given("roofline_s", _number(row, "roofline_s")),
                    bound=row["bound"],
                    flops_per_s=_given("peak_flops_per_s", _number(row, "peak_flops_per_s")),
                    bytes_per_s=_given("peak_bytes_per_s", _number(row, "peak_bytes_per_s")),
                    probe=row["ceiling_probe"],
                    launch_s=_launch_s(row, samples),
                )
            return Timed(
                check=check,
                samples_s=samples,
                bill=bill,
                comparison=comparison,
                noise=noise,
                roofline=roofline,
                actual_flops=_whole(row, "actual_flops"),
                flag=row["flag"],
                rounds=used,
                timing=_word(row, "timing", TIMINGS),
                cache=_word(row, "cache", CACHES),
            )
    raise ValueError(f"unknown outcome {row['outcome']!r}")


def _launch_s(row: Mapping[str, str], samples: Sequence[float]) -> float | None:
    """The launch that limits a row of a CPU, from its percent; None where that is a share of `roofline_s`.

    So it is for every other limit, and was for this one in files of older versions.
    """
    from statistics import median  # here, as in Timed

    percent, roofline_s = _number(row, "percent_of_ceiling"), _number(row, "roofline_s")
    if row["bound"] != "launch" or percent is None or roofline_s is None:
        return None
    launch_s = percent / 100 * median(samples)
    return launch_s if launch_s > 1.01 * roofline_s else None  # samples_s keeps four digits


_BILL_S = ("prepare_s", "cold_s", "wall_s", "host_s", "graph_s", "layout_s", "mapped_s")
_NOISE_NUMBERS = ("steal", "foreign", "clock_hz", "power_w", "temperature_c", "handover_s")
_Number = TypeVar("_Number", int, float)


def _samples(text: str) -> tuple[float, ...]:
    """The numbers of `samples_s`: thousands in a file, so they are looked at one by one only where one cannot be."""
    words = text.split()
    try:
        samples = tuple(map(float, words))
    except ValueError:
        samples = (nan,)
    if not samples:
        raise ValueError("it is timed but has no samples")
    if not (isfinite(sum(samples)) and min(samples) > 0):
        for word in words:
            _number({"samples_s": word}, "samples_s")
        raise ValueError("samples_s holds 0, which cannot be")
    return samples


def ranges(numbers: Sequence[int], between: str = " ") -> str:
    """`0-2 5` for 0, 1, 2, 5: numbers in order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return between.join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def _rounds(text: str, samples: int) -> tuple[int, ...]:
    """The numbers of `ranges`, one for each sample; none in an empty cell."""
    ends = [(int(first), int(last or first)) for first, _, last in (part.partition("-") for part in text.split())]
    before = [-1, *(last for _, last in ends)]
    rising = all(last < first <= end for last, (first, end) in zip(before, ends, strict=False))
    if text and (not rising or sum(last - first + 1 for first, last in ends) != samples):
        raise ValueError(f"it has {samples} samples, but a different number of rounds")
    return tuple(number for first, last in ends for number in range(first, last + 1))


# Errors of what overflows are Inf or NaN, and few samples bound a ratio by Inf.
_ANY_NUMBER = (*_CHECK, "ratio_low", "ratio_high", "temperature_c")


def _number(row: Mapping[str, str], column: str) -> float | None:
    """The number in a cell; None in an empty one.

    Raises:
        ValueError: it is no number, or one that this column cannot hold.
    """
    text = row[column]
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{column} is {one_line(text, 40)!r}, which is no number") from None
    if column not in _ANY_NUMBER and not 0 <= number < inf:
        raise ValueError(f"{column} is {text}, which cannot be")
    return number


def _whole(row: Mapping[str, str], column: str) -> int | None:
    """As `_number`, of a whole one."""
    number = _number(row, column)
    if number is None:
        return None
    try:
        return int(row[column])  # beyond 2**53 a float would lose digits
    except ValueError:
        raise ValueError(f"{column} is {row[column]}, which is no whole number") from None


def _given(column: str, number: _Number | None) -> _Number:
    """A number whose cell may not be empty."""
    if number is None:
        raise ValueError(f"{column} is empty")
    return number


def _word(row: Mapping[str, str], column: str, known: Sequence[str]) -> str:
    """The word in a cell; an empty cell means the first known one, as in files older than the column."""
    word = row[column] or known[0]
    if word not in known:
        raise ValueError(f"unknown {column} {word!r}")
    return word


def text_row(row: Mapping[str, Cell]) -> dict[str, str]:
    """The cells as in a file, by column."""
    return {column: cell_text(row.get(column)) for column in COLUMNS}


def csv_line(row: Mapping[str, Cell]) -> str:
    """The row's cells in the order of COLUMNS, as one line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(text_row(row).values())
    return line.getvalue()


def cell_text(value: Cell) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case int():
            return str(int(value))  # true is 1
    return guard(printable(value))


# A spreadsheet runs a cell that begins with one of these (CWE-1236; ASVS 1.2.10), quoted or not.
_RUN = ("=", "+", "-", "@", "\t", "\r", "\0")
_GUARDED = tuple("'" + one for one in (*_RUN, "'"))


def guard(text: str) -> str:
    """A text cell that no spreadsheet runs; `unguard` restores the text."""
    return "'" + text if text.startswith((*_RUN, "'")) else text


def unguard(cell: str) -> str:
    """The text of a cell before `guard`."""
    return cell[1:] if cell.startswith(_GUARDED) else cell
