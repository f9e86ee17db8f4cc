"""Which values of which factors may break a kernel, and which pairs of them are possible?

A covering array is a set of problems in which every pair of values of different factors occurs at least once. A
fault that needs two circumstances at once (a tail of the filters and a tail of the columns, bf16 and a group) is
triggered by it, at a thousandth of the cost of all combinations (Kuhn, Wallace, Gallo 2004: most faults need no more).
The problems themselves are rows of suites/awkward.csv, made by scripts/cover.py; `--fuzz` draws from the same values.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product

from convbench.case import DTYPES, EPILOGUES, LAYOUTS, PASSES, Problem
from convbench.spec import same_sides

# Vectors, registers, tiles: where a kernel's blocks end, and one below and one above.
BLOCKS = (4, 8, 14, 16, 28, 32, 64, 128, 256)
SIZES = tuple(map(str, sorted({1, 2, *(block + beside for block in BLOCKS for beside in (-1, 0, 1))})))
BATCHES, ABOVE = (1, 2, 3, 8), "above 16"
KERNELS = ("1x1", "2x2", "3x3", "4x4", "5x5", "7x7", "1x7")
LONG = "9 and more"
UNEVEN, PATCHES, BEYOND, SIDES = "uneven", "the kernel, above 8", "beyond the kernel", "four sides"
ROWS, COLUMNS, BOTH = "more rows", "more columns", "as many of both"
FEW, FEW_WIDE, DEPTHWISE, MULTIPLIER = "few", "few, C/G from 8", "depthwise", "depthwise with a multiplier"
MOST_GROUPS = 4  # that are few

Value = tuple[str, str]  # of a factor, by the names of both
Pair = tuple[Value, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverFactor:
    """One property in which problems differ.

    Attributes:
        values: by name, those of which each is met with every value of every other factor.
        met: `met(problem)`, the values that it has, by name; others than `values` count for nothing.
    """

    values: tuple[str, ...]
    met: Callable[[Problem], Iterable[str]]


def _count_filters(problem: Problem) -> Iterator[str]:
    """Those of a group; of all together too, where each has one channel and a kernel goes over the groups."""
    spec = problem.spec
    yield str(spec.k_per_group)
    if spec.c_per_group == 1:
        yield str(spec.k)


def _batch(problem: Problem) -> Iterator[str]:
    yield str(problem.spec.n) if problem.spec.n <= BATCHES[-1] else ABOVE if problem.spec.n > 16 else ""


def _kernel(problem: Problem) -> Iterator[str]:
    kernel = sorted((problem.spec.r, problem.spec.s))  # 7x1 is a 1x7
    yield LONG if kernel[1] >= 9 else "x".join(map(str, kernel))


def _stride(problem: Problem) -> Iterator[str]:
    (down, across), kernel = problem.spec.stride, (problem.spec.r, problem.spec.s)
    yield str(down) if down == across else UNEVEN
    if (down, across) == kernel and min(kernel) > 8:
        yield PATCHES
    if down > kernel[0] and across > kernel[1]:
        yield BEYOND


def _rest(problem: Problem) -> Iterator[str]:
    """What the last stride leaves over at the bottom and at the right: no output begins there."""
    spec = problem.spec
    (h, w), extent = spec.padded, spec.kernel_extent
    rows, columns = (h - extent[0]) % spec.stride[0], (w - extent[1]) % spec.stride[1]
    if rows != columns:
        yield ROWS if rows > columns else COLUMNS
    else:
        yield BOTH if rows else "none"


def _dilation(problem: Problem) -> Iterator[str]:
    down, across = problem.spec.dilation
    yield str(down) if down == across else UNEVEN


def _padding(problem: Problem) -> Iterator[str]:
    spec = problem.spec
    top, bottom, left, right = spec.sides
    if not any(spec.sides):
        yield "0"
    elif spec.sides == same_sides((spec.r, spec.s), spec.dilation):
        yield "same"
    if top != bottom and left != right:
        yield SIDES
    if max(top, bottom) >= spec.kernel_extent[0] or max(left, right) >= spec.kernel_extent[1]:
        yield BEYOND


def _groups(problem: Problem) -> Iterator[str]:
    spec = problem.spec
    if spec.groups == 1:
        yield "1"
    elif spec.c_per_group == 1:
        yield DEPTHWISE if spec.k == spec.c else MULTIPLIER
    elif spec.groups <= MOST_GROUPS:
        yield FEW if spec.c_per_group < 8 else FEW_WIDE


FACTORS: Mapping[str, CoverFactor] = {
    "C/G": CoverFactor(values=SIZES, met=lambda problem: (str(problem.spec.c_per_group),)),
    "K": CoverFactor(values=SIZES, met=_count_filters),
    "Q": CoverFactor(values=SIZES, met=lambda problem: (str(problem.spec.q),)),
    "P*Q": CoverFactor(values=SIZES, met=lambda problem: (str(problem.spec.p * problem.spec.q),)),
    "N": CoverFactor(values=(*map(str, BATCHES), ABOVE), met=_batch),
    "W": CoverFactor(values=("even", "odd"), met=lambda problem: (("even", "odd")[problem.spec.w % 2],)),
    "kernel": CoverFactor(values=(*KERNELS, LONG), met=_kernel),
    "stride": CoverFactor(values=("1", "2", "3", UNEVEN, PATCHES, BEYOND), met=_stride),
    "rest": CoverFactor(values=("none", ROWS, COLUMNS, BOTH), met=_rest),
    "dilation": CoverFactor(values=("1", "2", "3", UNEVEN), met=_dilation),
    "padding": CoverFactor(values=("0", "same", SIDES, BEYOND), met=_padding),
    "groups": CoverFactor(values=("1", FEW, FEW_WIDE, DEPTHWISE, MULTIPLIER), met=_groups),
    "dtype": CoverFactor(values=DTYPES, met=lambda problem: (problem.dtype or "",)),
    "layout": CoverFactor(values=LAYOUTS, met=lambda problem: (problem.layout or "",)),
    "pass": CoverFactor(values=PASSES, met=lambda problem: (problem.pass_ or "",)),
    "epilogue": CoverFactor(values=EPILOGUES, met=lambda problem: (problem.epilogue or "",)),
}
# Of what a backend may lack: the pairs of all others are met in an fprop without an epilogue, which every backend has.
BROUGHT = ("pass", "epilogue")
# Gradients and fused epilogues are kernels of their own: the pairs of these factors are met within each of them, too.
WITHIN = ("N", "kernel", "stride", "rest", "dilation", "padding", "groups", "dtype", "layout")
KINDS = (*PASSES[1:], *EPILOGUES[1:])


def kind_of(pass_: str | None, epilogue: str | None) -> str:
    """Which kernel of a backend a problem is for: a pass, an epilogue, or "" for the plain fprop."""
    return pass_ if pass_ in PASSES[1:] else epilogue if epilogue in EPILOGUES[1:] else ""


def within(kind: str, factor: str) -> str:
    """The name of a factor within a kind."""
    return f"{kind}: {factor}"


def plain_name(factor: str) -> str:
    """The name of a factor, whatever it is within."""
    return factor.rpartition(": ")[2]


def values_of(problem: Problem) -> list[Value]:
    """The values that a problem has; of one factor it may have none, or two (a stride of 2 is beyond a 1x1)."""
    return [(name, value) for name, one in FACTORS.items() for value in one.met(problem) if value in one.values]


def pairs_of(problem: Problem) -> Iterator[Pair]:
    """The pairs that it meets; another pass or an epilogue counts for its own pairs alone.

    Operands that hide an error (NaN, numbers that cancel) and sums of nothing meet none.
    """
    if problem.operands or not problem.spec.inner_macs:
        return
    kind = kind_of(problem.pass_, problem.epilogue)
    for one, other in combinations(values_of(problem), 2):
        if one[0] == other[0]:
            continue
        if not kind or other[0] in BROUGHT:
            yield one, other
        elif one[0] in WITHIN and other[0] in WITHIN:
            yield (within(kind, one[0]), one[1]), (within(kind, other[0]), other[1])


def all_pairs() -> Iterator[Pair]:
    """Every pair of values of different factors, possible or not."""
    for first, second in combinations(FACTORS, 2):
        for one, other in product(FACTORS[first].values, FACTORS[second].values):
            yield (first, one), (second, other)
            if first in WITHIN and second in WITHIN:
                for kind in KINDS:
                    yield (within(kind, first), one), (within(kind, second), other)


def why_impossible(pair: Pair) -> str | None:
    """Why no problem meets both values; None if one does."""
    plain = {plain_name(name): value for name, value in pair}
    return next((why for rule in _RULES if (why := rule(plain)) is not None), None)


def _of_columns(pair: Mapping[str, str]) -> str | None:
    q, pq = pair.get("Q"), pair.get("P*Q")
    if q is not None and pq is not None and int(pq) % int(q):
        return f"P*Q = {pq} is not a multiple of Q = {q}"
    return None


def _of_groups(pair: Mapping[str, str]) -> str | None:
    groups, channels, filters = (pair.get(factor) for factor in ("groups", "C/G", "K"))
    if groups == MULTIPLIER and filters == "1":
        return "a multiplier of 1 is not a multiplier"
    if groups is None or channels is None:
        return None
    c = int(channels)
    if groups in (DEPTHWISE, MULTIPLIER) and c != 1:
        return f"a depthwise has C/G = 1, not {c}"
    if groups == FEW and not 1 < c < 8:
        return f"few groups with C/G = {c} are {'a depthwise' if c == 1 else 'a value of their own'}"
    return f"C/G = {c} is below 8" if groups == FEW_WIDE and c < 8 else None


def _of_kernels(pair: Mapping[str, str]) -> str | None:
    kernel, stride, padding = (pair.get(factor) for factor in ("kernel", "stride", "padding"))
    if kernel in KERNELS and stride == PATCHES:
        return f"a kernel of {kernel} is not above 8"
    return "padding that keeps the size of a 1x1 is no padding" if kernel == "1x1" and padding == "same" else None


def _of_rests(pair: Mapping[str, str]) -> str | None:
    if pair.get("stride") == "1" and pair.get("rest", "none") != "none":
        return "a stride of 1 leaves nothing over"
    return None


def _of_passes(pair: Mapping[str, str]) -> str | None:
    pass_, epilogue = pair.get("pass"), pair.get("epilogue")
    return (
        f"an epilogue only applies to fprop, not to {pass_}"
        if pass_ in PASSES[1:] and epilogue in EPILOGUES[1:]
        else None
    )


_RULES = (_of_columns, _of_groups, _of_kernels, _of_rests, _of_passes)
