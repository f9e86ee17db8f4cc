"""Results as tables, and sentences about what went wrong or was skipped."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import floor, inf, log10
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from convbench.backend import BASELINE
from convbench.bench.decision import Standing, sizes_apart, standings
from convbench.bench.statistics import modes
from convbench.case import RowKey
from convbench.ceilings.roofline import IMPOSSIBLE, TRANSFORM
from convbench.errors import plural
from convbench.outcome import Check, Failed, PairedRatio, Result, Skipped, Timed, Verified, Wrong
from convbench.show.units import amount, gflops, rate, seconds, share
from convbench.spec import ConvSpec

LIKELY_CAUSE = (
    "; likely causes: the ceiling was measured while the machine was busy (convbench ceilings --refresh), TF32, "
    "Winograd in a library, or more threads than given"
)
ABOVE_PEAK = "above 110 % of peak: probably Winograd or FFT, which do fewer operations, or a lower precision"
TOO_FEW = "~ too few clean samples, so disturbed ones were used: a time not to be trusted"
DOUBTFUL = "?"
_OPERANDS = {"hot": "operands in cache", "cold": "operands not in cache"}
VERDICT_STYLE = {
    "faster": "green",
    "slower": "yellow",
    "tie": "cyan",
    "baseline": "bold",
    "undecided": "dim",
}
# An exception as a message: `TypeError: fp32 only`.
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit)\b")
# A call on newly mapped memory is reported above this: it is timed in five blocks, not in pairs.
DEARER, MOST_DEARER = 1.1, 3
UNSURE = "run convbench doctor to see what disturbs this machine, raise --budget, or use --wait-until-quiet"


def plain_table(title: str | None = None) -> Table:
    """The style of every table."""
    return Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        collapse_padding=True,
    )


def bench_table(title: str, results: Sequence[Result], *, width: int, percentiles: bool = False) -> Group:
    """One suite: a heading for each problem, and a line for each backend that ran; `percentiles` beside the median."""
    blocks: dict[RowKey, list[Result]] = defaultdict(list)
    for result in results:
        blocks[result.key().block].append(result)
    apart = threads_apart(results)
    several = apart or len({key.case.axes for key in blocks}) > 1
    cells = {
        key: [_bench_cells(one, _baseline_s(block)) for one in block if not isinstance(one.outcome, Skipped)]
        for key, block in blocks.items()
    }
    disagree = any(row[_VERDICT].plain.endswith(DISAGREES) for rows in cells.values() for row in rows)
    widths = _bench_widths([row for rows in cells.values() for row in rows], width, percentiles=percentiles)
    if blocks and not several and (kind := results[0].case.kind):
        title = f"{title}  {kind}"
    parts: list[RenderableType] = [Text(title, "bold"), _bench_lines([_BENCH_HEADINGS], widths)]
    for key in blocks:
        spec = "  " + key.case.spec if key.case.spec != key.name else ""
        heading = Text.assemble((key.name, "bold"), (spec, "dim"))
        heading.append("  " + (key.axes if apart else " ".join(key.case.axes)) if several else "", "cyan")
        parts += [heading, _bench_lines(cells[key], widths) if cells[key] else Text("  nothing ran", "dim")]
    if legend := _legend(results, peak=_PEAK in widths):
        parts.append(Text(legend, "dim"))
    if disagree:
        parts.append(Text(DISAGREEMENT, "dim"))
    if any(isinstance(one.outcome, Timed) and one.outcome.noise.noisy for one in results):
        parts.append(Text(TOO_FEW, "dim"))
    parts += [Text(line, "dim") for line in doubt_lines(results)]
    return Group(*parts, *(Text(line, "dim") for line in flag_lines(results)))


def _legend(results: Iterable[Result], *, peak: bool) -> str:
    """What the headings mean, in one line."""
    timed = [one.outcome for one in results if isinstance(one.outcome, Timed)]
    regimes = dict.fromkeys(f"{one.timing}, {_OPERANDS[one.cache]}" for one in timed)
    parts = [f"time: median ({' or '.join(regimes)})"] if timed else []
    if any(one.comparison for one in timed):
        parts.append("speed: ratio over the rounds in which both ran")
    if peak and any(one.roofline for one in timed):
        parts.append("% of peak: limited by c(ompute), m(emory) or l(aunch)")
    return "; ".join(parts)


def threads_apart(results: Iterable[Result]) -> bool:
    """Whether there are several thread counts: then each is summarised separately."""
    return len({one.threads for one in results if one.threads and one.case.target.on_host}) > 1


_BENCH_HEADINGS = [
    Text(name, "dim")
    for name in (
        *("", "time", "speed vs torch", "GFLOP/s", "% of peak", "err/bound"),
        *("verdict", "first call", "memory", "images/s", "p95", "p99", "max"),
    )
]
_LEFT = (0, 6)
_TAIL = (10, 11, 12)
_ORDER = (0, 1, *_TAIL, 9, 2, 3, 4, 5, 6, 7, 8)
# The first four are always there, and percentiles that were asked for; the others as far as there is room for whole
# names and numbers.
_PRIORITY = (0, 1, 2, 6, 3, 4, 5, 7, 8, 9)
_ALWAYS, _PEAK, _VERDICT, _GAP = 4, 4, 6, 1


def _bench_widths(rows: Sequence[Sequence[Text]], room: int, *, percentiles: bool) -> dict[int, int]:
    """How wide each column that is shown must be for its widest cell, one width for all blocks of a suite."""
    widest = [max(len(row[number]) for row in (_BENCH_HEADINGS, *rows)) for number in range(len(_BENCH_HEADINGS))]
    widest[0] = max(LEAST_NAME, widest[0])
    chosen: list[int] = [*_TAIL] if percentiles else []
    for place, number in enumerate(_PRIORITY):
        if place >= _ALWAYS and sum(widest[one] + _GAP for one in (*chosen, number)) > room:
            break
        chosen.append(number)
    widths = {number: widest[number] for number in _ORDER if number in chosen}
    # Only a name is cut, and only if not even four columns fit.
    widths[0] = max(LEAST_NAME, widths[0] - max(0, sum(width + _GAP for width in widths.values()) - room))
    return widths


def _bench_lines(rows: Sequence[Sequence[Text]], widths: Mapping[int, int]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, _GAP, 0, 0))
    for number, width in widths.items():
        justify: Literal["left", "right"] = "left" if number in _LEFT else "right"
        table.add_column(width=width, justify=justify, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(row[number] for number in widths))
    return table


def _baseline_s(block: Iterable[Result]) -> float | None:
    """The baseline's median in a block of rows."""
    return next(
        (one.outcome.median_s for one in block if one.backend == BASELINE and isinstance(one.outcome, Timed)), None
    )


def _bench_cells(result: Result, baseline_s: float | None) -> list[Text]:
    name = Text(f"  {result.backend} ({result.chosen})" if result.chosen else f"  {result.backend}")
    match result.outcome:
        case Timed(check=check, bill=bill) as timed:
            compared = timed.comparison
            alone = "baseline" if result.backend == BASELINE else ""
            verdict = compared.verdict if compared else alone
            verdict = (
                "launches" if timed.timing == "eager" and bill.launch_bound and not compared and not alone else verdict
            )
            against = baseline_s is not None and {"faster": 1, "slower": -1}.get(verdict, 0) * (
                timed.median_s - baseline_s
            )
            mark = DISAGREES if against and against > 0 else ""
            return [
                name,
                Text(f"{'~' * timed.noise.noisy}{DOUBTFUL * bool(timed.noise.doubt)}{seconds(timed.median_s)}"),
                Text(ratio_words(compared) if compared else "1x" if alone else ""),
                Text(gflops(result.case.spec.flops, timed.median_s)),
                of_peak(result, timed),
                Text(share(check.worst_of_bound)),
                Text(verdict + mark, VERDICT_STYLE.get(verdict, "")),
                Text(seconds(bill.first_call_s)),
                Text("" if bill.peak_nbytes is None else amount(bill.peak_nbytes, "B")),
                Text(rate(result.case.spec.n / timed.median_s)),
                *map(Text, map(seconds, timed.tail_s)),
            ]
        case Wrong(check):
            return [
                name,
                *[Text("")] * 4,
                Text(share(check.worst_of_bound), "red"),
                Text("WRONG", "bold red"),
                *[Text("")] * 6,
            ]
    return [name, *[Text("")] * 5, Text("FAILED", "bold red"), *[Text("")] * 6]


def of_peak(result: Result, timed: Timed) -> Text:
    """`63 % c`: the share of the peak, and the initial of what limits it; `!` for an impossible one."""
    roof = timed.roofline
    if roof is None:
        return Text("")
    if roof.bound == "launch" and roof.launch_s is None and result.case.target.on_host:
        return Text("l")  # of an older file, which does not say how long the launch takes
    percent = roof.percent(timed.median_s)
    number = "<1" if 0 < percent < 1 else f"{percent:.0f}"
    flagged = timed.flag == IMPOSSIBLE
    return Text(f"{number} % {'!' if flagged else roof.bound[0]}", "bold red" if flagged else "")


def flag_lines(results: Iterable[Result]) -> list[str]:
    """Why a row may be above 100 % of the peak."""
    timed = [(one, one.outcome) for one in results if isinstance(one.outcome, Timed) and one.outcome.roofline]
    lines = []
    for flag, mark, words in ((IMPOSSIBLE, "! ", f"{IMPOSSIBLE}{LIKELY_CAUSE}"), (TRANSFORM, "", ABOVE_PEAK)):
        found = [one for one, outcome in timed if outcome.flag == flag]
        if found:
            more = "" if len(found) == 1 else f" and {plural(len(found) - 1, 'more row')}"
            lines.append(f"{mark}{found[0].backend} on {found[0].case.problem.name}{more}: {words}")
    return lines


def standing_table(results: Sequence[Result]) -> Group | None:
    """A suite as a whole, for each set of axes, and the answer in a sentence; None if there is no choice to make."""
    table = plain_table()
    table.add_column(layers_title(results), no_wrap=True, min_width=17)
    for name in ("total", "regret", "geomean"):
        table.add_column(name, justify="right", min_width=len(name))
    groups: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    sizes, threads = sizes_apart(result.case.problem for result in results), threads_apart(results)
    for result in results:
        size = (result.case.problem.size or "as they are",) if sizes else ()
        groups[(*size, *((result.key().axes,) if threads else result.case.key.axes))].append(result)
    answers, partly = [], ""
    for axes, group in groups.items():
        if not (said := answer(group)):
            continue
        heading = " ".join(axes) if len(groups) > 1 else ""
        answers.append(Text(f"{heading}: {said}" if heading else said))
        if heading:
            table.add_row(Text(heading, "cyan"))
        for one in standings(group).found:
            partly = partly or (geomean_words(one) if one.done < one.cases else "")
            table.add_row(
                Text(one.backend),
                seconds(one.total_s),
                "" if one.regret is None else _regret(one),
                geomean_words(one),
            )
    if not answers:
        return None
    answers.append(Text(LEGEND + f"; '{partly}': timed on {partly} cases, so not ranked" * bool(partly), "dim"))
    timed = [one.outcome for one in results if isinstance(one.outcome, Timed)]
    if noisy := sum(one.noise.noisy for one in timed):
        words = f"{noisy} of these {plural(len(timed), 'row')} had too few clean samples, but count in the totals"
        answers.append(Text(words, "magenta"))
    return Group(table, *answers)


def answer(results: Sequence[Result]) -> str:
    """Which backend needs the least for all layers, and how sure it is; empty if there is no choice to make."""
    whole = standings(results)
    found = whole.found
    if len(found) < 2 or found[0].cases < 2:
        return ""
    if not whole.ranked:
        return f"no ranking: {whole.unsure} of the {whole.compared} rows compared with torch are undecided; {UNSURE}"
    if sum(one.total_s is not None for one in found) < 2:
        return "no two backends ran all of these layers"
    if whole.winner is None or whole.second is None:
        return f"no ranking: it needs {BASELINE}, and a ratio to it, for all of these layers"
    return _ranking(whole.winner, whole.second, results, level=whole.level)


def geomean_words(one: Standing) -> str:
    """The mean, or in how many of the cases there is something to take it of."""
    if one.done < one.cases:
        return f"{one.done} of {one.cases}"
    return "" if one.geomean is None else times(one.geomean)


def _ranking(first: Standing, second: Standing, results: Sequence[Result], *, level: bool) -> str:
    """Three sentences: the fastest overall, what the best per layer would save, and what to do."""
    rival = first if first.backend != BASELINE else second
    verdicts = Counter(
        one.outcome.comparison.verdict
        for one in results
        if one.backend == rival.backend and isinstance(one.outcome, Timed) and one.outcome.comparison
    )
    words = {
        "faster": "beats torch on {}",
        "slower": "loses on {}",
        "tie": "ties on {}",
        "undecided": "is undecided on {}",
    }
    decided = [text.format(verdicts[word]) for word, text in words.items() if verdicts[word]]
    against = f" {rival.backend} {join_words(decided)} of {rival.cases} cases." if decided else ""
    layers = layers_title(results)
    totals = f"totals {seconds(first.total_s)} and {seconds(second.total_s)} for {layers}"
    if level:
        order = f"a tie of {first.backend} ({_regret(first)}) and {second.backend} ({_regret(second)})"
    else:
        order = f"{first.backend} ({_regret(first)}), then {second.backend} ({_regret(second)})"
    overall = f"Fastest overall, by regret: {order}; {totals}."
    saved = (first.regret or 0.0) / (1 + (first.regret or 0.0))
    choice = f"The best backend for each layer would take {round(100 * saved)} % less time than {first.backend}."
    if saved < WORTH:
        choice = f"Use {'either' if level else first.backend} everywhere: choosing per layer gains nothing."
    return f"{overall}{against} {choice}"


def _regret(one: Standing) -> str:
    return f"{one.regret or 0.0:.1%}".replace("%", " %")


def join_words(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def times(ratio: float, digits: int = 2) -> str:
    """`1.05`, `23.5`, `1,852`, `0.0006`: a ratio that keeps its digits, and is never shown as 0."""
    if ratio >= 10:
        return rate(ratio)
    if 0 < ratio < 10**-digits:
        return f"{ratio:.{-floor(log10(ratio))}f}"
    return f"{ratio:.{digits}f}"


def ratio_words(compared: PairedRatio, digits: int = 2) -> str:
    """`1.01x (0.98-1.03)`; `1.01x (1.004-1.02)` where an end would else be shown as the 1 that the interval excludes.

    Without the interval if there are too few samples for one.
    """

    def text(value: float) -> str:
        enough = digits
        while (compared.low > 1 or compared.high < 1) and value != 1 == float(f"{value:.{enough}f}"):
            enough += 1
        return times(value, enough)

    known = compared.low > 0 and compared.high < inf
    return f"{text(compared.ratio)}x" + (f" ({text(compared.low)}-{text(compared.high)})" if known else "")


LEGEND = (
    "total: the sum of the medians, each layer as often as its model has it; regret: how much slower, by the ratios "
    "of the rounds, than the best backend per layer; geomean: mean speed vs torch"
)
WORTH = 0.005  # what choosing per layer must save to be mentioned
NOT_DIAGNOSED = (
    "not diagnosed, because this backend's faults on this problem and on this dtype, layout and pass were diagnosed "
    "already, or too many were; the command below diagnoses it"
)
# A verdict that the medians of the two rows contradict, and why that can be.
DISAGREES = "*"
DISAGREEMENT = f"{DISAGREES} the medians say otherwise; the verdict comes from the rounds in which both ran"
BOUND = "err/bound: the worst error of the verified cases as a share of its bound; up to 100 % passes"
TYPED = "shape"  # the suite of problems that were typed
LEAST_NAME = 8  # columns for a backend


def suite_title(results: Iterable[Result]) -> str:
    """The suite, or its one problem: a problem that was named is not the suite that it is from."""
    first, *others = dict.fromkeys(result.case.problem for result in results)
    return first.suite if others else first.name


def table_title(results: Iterable[Result]) -> str:
    """`suite quick`, `from suite quick` for one problem of it, or `given shapes` for problems that were typed."""
    problems = dict.fromkeys(result.case.problem for result in results)
    suite = next(iter(problems)).suite
    if suite == TYPED:
        return "given shape" + "s" * (len(problems) > 1)
    return f"{'suite' if len(problems) > 1 else 'from suite'} {suite}"


def layers_title(results: Sequence[Result]) -> str:
    """`all layers of quick`, or `4 of 23 layers` of a suite of which not all is there."""
    suites = {result.case.problem.suite for result in results}
    (suite,) = suites if len(suites) == 1 else ("",)
    from convbench.suites import load_suite, suite_names  # here: compare needs no suites

    whole = {one.layer for one in load_suite(suite)} if suite in suite_names() else set()
    here = {result.case.problem.layer for result in results if isinstance(result.outcome, Timed)}
    if len({result.case.problem for result in results}) == 1:
        return "this layer"
    if whole - here:
        return f"{len(here)} of {len(whole)} layers of {suite}"
    return "all given shapes" if suite == TYPED else f"all layers of {suite}" if suite else "all layers"


def verify_table(results: Sequence[Result], *, width: int) -> Group:
    """How many cases of each backend and kind had which outcome, and how near the bound they came.

    Where that was is shown as far as there is room for whole names.
    """
    table = plain_table()
    table.add_column("backend", no_wrap=True, min_width=13)
    apart = threads_apart(results)
    longest = max((len(_sort(result, apart)) for result in results), default=0)
    table.add_column("kind of case", no_wrap=True, min_width=max(12, longest))
    for name in ("verified", "wrong", "failed", "skipped", "err/bound"):
        table.add_column(name, justify="right", min_width=len(name))
    rows: list[tuple[str | Text, ...]] = []
    places: list[str] = []
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.backend, _sort(result, apart)].append(result)
    for (backend, dtype), group in groups.items():
        if all(isinstance(one.outcome, Skipped) for one in group):
            continue  # the reasons are below the table
        right = [(one.outcome.check.worst_of_bound, one) for one in group if isinstance(one.outcome, Verified)]
        wrong = sum(isinstance(one.outcome, Wrong) for one in group)
        failed = sum(isinstance(one.outcome, Failed) for one in group)
        skipped = sum(isinstance(one.outcome, Skipped) for one in group)
        worst, where = max(right, key=lambda pair: pair[0], default=(None, None))
        place = "" if where is None else f"{where.case.problem.name} {where.case.layout}"
        places.append(place)
        rows.append(
            (
                backend,
                dtype,
                Text(str(len(right)), "green" if right else "dim"),
                Text(str(wrong), "bold red" if wrong else "dim"),
                Text(str(failed), "bold red" if failed else "dim"),
                Text(str(skipped), "dim"),
                "" if worst is None else share(worst),
                Text(place, "dim"),
            )
        )
    taken = sum(
        2 + max([column.min_width or 0, *(len(row[n]) for row in rows)]) for n, column in enumerate(table.columns)
    )
    if fits := taken + max(map(len, (*places, "worst case"))) + 2 <= width:
        table.add_column("worst case", no_wrap=True)
    for row in rows:
        table.add_row(*row if fits else row[:-1])
    return Group(table, Text(BOUND, "dim"))


def _sort(result: Result, threads: bool) -> str:
    """Device and dtype, and the pass or the epilogue where it is not the usual: "cpu fp32 dgrad"."""
    count = plural(result.threads, "thread") if threads else ""
    case = result.case
    return " ".join(filter(None, (case.device, count, case.dtype, case.kind)))


def skip_lines(results: Iterable[Result]) -> list[str]:
    """Why backends were skipped: one line per backend and kind of reason, with an example.

    A reason shared by all backends is one line.
    """
    reasons: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if isinstance(result.outcome, Skipped):
            who = "every backend" if result.case.why_not is not None else result.backend
            words = " ".join(word for word in result.outcome.reason.split() if not word[:1].isdigit())
            reasons[who, words].append(result)
    lines = []
    for (who, _), group in reasons.items():
        first = group[0]
        assert isinstance(first.outcome, Skipped)
        count = len({one.key().block for one in group})
        cases = "1 case" if count == 1 else f"{count} cases, e.g. {first.case.problem.name}"
        lines.append(f"{who} skipped {cases}: {first.outcome.reason}")
    return lines


def defect_lines(results: Iterable[Result]) -> list[str]:
    """Which known library defects were hit: one line per backend and defect, with an example."""
    met: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if isinstance(result.outcome, Verified | Timed) and result.outcome.check.defect:
            met[result.backend, result.outcome.check.defect].append(result)
    return [
        f"KNOWN DEFECT {backend}, {plural(len(group), 'case')}, e.g. {_where(group[0])}: {words}"
        for (backend, words), group in met.items()
    ]


def _where(result: Result) -> str:
    case = result.case
    return f"{case.problem.name} ({case.spec}; {' '.join(case.key.axes)})"


def noise_line(results: Iterable[Result]) -> str:
    """What disturbed the timing, and what it cost, or ""."""
    timed = [one.outcome for one in results if isinstance(one.outcome, Timed)]
    aside = sum(len(one.noise.set_aside) for one in timed)
    taken = sum(len(one.samples_s) for one in timed) + aside
    noisy = sum(one.noise.noisy for one in timed)
    told = [f"{aside:,} of {taken:,} samples were disturbed and excluded"] if aside else []
    if noisy:
        told.append(
            f"{noisy} of {plural(len(timed), 'timed row')} had too few clean samples, so disturbed ones were used (run "
            f"convbench doctor to see why)"
        )
    return "; ".join(told)


def doubt_lines(results: Iterable[Result]) -> list[str]:
    """Which rows are marked because their machine or GPU was not theirs alone, and how they may be read."""
    counts = Counter(
        (noise.doubt, noise.suspect)
        for one in results
        if isinstance(one.outcome, Timed) and (noise := one.outcome.noise).doubt
    )
    return [
        f"{DOUBTFUL} {plural(count, 'row')} timed {doubt}{f' ({why})' if why else ''}: trust ratios, not times"
        for (doubt, why), count in counts.items()
    ]


def mode_lines(results: Iterable[Result]) -> list[str]:
    """Backends whose samples form two clusters: no sample is at the median between them."""
    return [
        f"bimodal timings: {one.backend} on {one.case.problem.name}, {seconds(low.centre)} ({share(low.share)} of the "
        f"samples) and {seconds(high.centre)} ({share(high.share)})"
        for one in results
        if isinstance(one.outcome, Timed) and (found := modes(one.outcome.samples_s))
        for low, high in [found]
    ]


def memory_line(results: Iterable[Result]) -> str:
    """Backends that take longer if the memory of an output is mapped anew for each call, or ""."""
    dearer = {
        (one.backend, one.case.problem.name): one.outcome.bill.mapped_s / one.outcome.median_s
        for one in results
        if isinstance(one.outcome, Timed) and one.outcome.bill.mapped_s
    }
    worst = sorted((key for key, factor in dearer.items() if factor > DEARER), key=lambda key: -dearer[key])
    if not worst:
        return ""
    rows = f"{plural(len(worst), 'row')} {'takes' if len(worst) == 1 else 'take'} more than {DEARER}x as long"
    rows += "; the worst are" if len(worst) > MOST_DEARER else ":"
    told = (f"{backend} on {name} {dearer[backend, name]:.2f}x" for backend, name in worst[:MOST_DEARER])
    return f"timings reuse buffers; with freshly allocated ones {rows} {', '.join(told)}"


def launch_line(results: Iterable[Result]) -> str:
    """Backends that wait for their launches if called eagerly on a GPU, or ""."""
    found = [(one, one.outcome) for one in results if isinstance(one.outcome, Timed) and one.outcome.bill.launch_bound]
    told = [
        f"{one.backend} on {one.case.problem.name} {seconds(timed.bill.wall_s)} "
        f"({timed.timing} {seconds(timed.median_s)})"
        for one, timed in found[:MOST_DEARER]
    ]
    more = f" and {len(found) - len(told)} more" if len(found) > len(told) else ""
    return f"launch-bound, an eager call takes: {', '.join(told)}{more}" if told else ""


def fault_lines(result: Result, repro: str, smallest: str = "") -> list[str]:
    """A wrong or failed result: what, why, how, and the commands that reproduce it, also on the smallest problem."""
    found = ""
    match result.outcome:
        case Wrong(check):
            kind, words = "WRONG", [check.cause or cause_cut_words(check), check.evidence or ""]
            found = smallest_words(check)
        case Failed(message):
            kind, words = "FAILED", [message]
        case _:
            return []
    return [
        f"{kind} {result.backend} on {_where(result)}",
        *(f"  {line}" for line in words if line),
        f"  {repro}",
        *([f"  {found}: {smallest}" if smallest else f"  {found}"] if found else []),
    ]


def dtype_lines(results: Iterable[Result]) -> list[str]:
    """What to do where a backend raises in each case of a data type, and in no case of another."""
    raised: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in results:
        if not isinstance(one.outcome, Skipped):
            message = one.outcome.message if isinstance(one.outcome, Failed) else ""
            raised[one.backend, one.case.dtype].append(message if _RAISED.match(message) else "")
    lines = []
    for name in dict.fromkeys(name for name, _ in raised):
        own = {dtype: messages for (one, dtype), messages in raised.items() if one == name}
        bad = [dtype for dtype, messages in own.items() if all(messages)]
        good = [dtype for dtype, messages in own.items() if not any(messages)]
        if bad and good:
            lines.append(
                f"{name} raises in every case of {' and '.join(bad)}. If it has no such data type, let it raise "
                f"convbench.backend.Unsupported, or declare @backend(dtypes={{{', '.join(map(repr, good))}}}), or "
                f"choose --dtype {','.join(good)} (dtypes= in Python): those cases are then skipped."
            )
    return lines


def cause_cut_words(check: Check) -> str:
    """Why no cause is named: the search was cut, did not begin, or found none; "" if there is a cause."""
    if check.cause:
        return ""
    if check.cause_cut is not None:
        cut = f"no cause found (search cut after {check.cause_cut:,} experiments)"
        return cut if check.cause_cut else NOT_DIAGNOSED
    searched = check.smallest or check.smallest_cut is not None
    explains_itself = (check.evidence or "").startswith("returned ")  # something that is no output at all
    return "no cause found" if searched and not explains_itself else ""


def smallest_words(check: Check) -> str:
    """The text before the command for the smallest problem, or instead of it, or ""."""
    if check.smallest_cut is None:
        return "smallest" if check.smallest else ""
    found = "smallest so far" if check.smallest else "no smaller problem so far"
    return f"{found} (search cut after {check.smallest_cut} tries)"


def shrunk(result: Result) -> Result | None:
    """A wrong result on the smallest problem that was found to show it; None if there is none."""
    if not isinstance(result.outcome, Wrong) or not result.outcome.check.smallest:
        return None
    problem = replace(result.case.problem, spec=ConvSpec.parse(result.outcome.check.smallest))
    return replace(result, case=replace(result.case, problem=problem))
