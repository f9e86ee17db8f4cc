"""Write the rows of suites/awkward.csv that no person chose: layers of every dtype and layout, and a covering array.

    python scripts/cover.py [--check]

The rows that a person wrote stay as they are, above them. The same factors (convbench/suites/cover.py) give the same
rows. Each row of the array is built around a pair that no row meets yet: value after value that meets the most new
pairs, as long as there is such a problem within the limit of multiply-adds; of a few rows so built the best is taken
(the greedy algorithm of AETG: Cohen, Dalal, Fredman, Patton 1997). --check writes nothing, and fails if a row differs.
"""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import product
from random import Random
from typing import TypeVar

from convbench.case import DTYPES, EPILOGUES, LAYOUTS, PASSES, Problem
from convbench.spec import ConvSpec, same_sides
from convbench.suites import SHIPPED, cover, load_suite
from convbench.suites.cover import BEYOND, BROUGHT, FACTORS, UNEVEN, WITHIN, Value, all_pairs, pairs_of, why_impossible

FILE = SHIPPED / "awkward.csv"
MADE = ("layer_", "cover_")  # how the names of these rows begin
KINDS = [("fprop", "none"), *((one, "none") for one in PASSES[1:]), *(("fprop", one) for one in EPILOGUES[1:])]
CANDIDATES = 4
# Multiply-adds of a row; the second only where no problem within the first meets a pair.
LIMITS = (60_000, 250_000, 2_000_000)

# The layers that networks are made of, whose own paths through a kernel take all that they are at once: sizes with a
# rest of every block. Each is run in every dtype, each time in nchw, in nhwc and by turns in one of the other layouts.
LAYERS = {
    "3x3": "n2c16h9w11k33r3s3_pd1",
    "3x3_stride_2": "n2c17h14w15k32r3s3_st2_pd1",
    "1x1": "n3c32h7w9k33r1s1",
    "1x1_stride_2": "n2c16h9w8k34r1s1_st2",
    "7x7_stride_2": "n2c3h17w19k16r7s7_st2_pd3",
    "4x4_stride_2": "n2c8h10w12k16r4s4_st2_pd1",
    "patches_of_9": "n2c3h27w18k17r9s9_st9",
    "5x5": "n1c9h8w9k16r5s5_pd2",
    "1x7": "n2c16h5w17k9r1s7_pd0x3",
    "3x3_dilated": "n1c16h12w13k33r3s3_pd2_dl2",
    "3x3_in_groups": "n2c32h9w7k36r3s3_pd1_g4",
    "depthwise_3x3": "n2c33h9w11k33r3s3_pd1_g33",
    "depthwise_3x3_stride_2": "n2c16h11w13k16r3s3_st2_pd1_g16",
    "depthwise_5x5": "n2c17h9w10k17r5s5_pd2_g17",
}

# What realises a value, tried in a drawn order; what none is chosen of is the first, or whatever goes with the others.
LONG_KERNELS = ((9, 9), (1, 9), (9, 1), (11, 11), (1, 17), (10, 12), (16, 16))
STRIDES = ((1, 2), (2, 1), (2, 3), (3, 1))
DILATIONS = ((1, 2), (2, 1), (3, 2), (1, 3))
SIDES = ((0, 1, 0, 1), (1, 0, 1, 0), (0, 1, 1, 0), (1, 2, 0, 3), (2, 0, 3, 1), (0, 2, 1, 2))

T = TypeVar("T")


class Uncovered:
    """The pairs that are still to be met, as bits: of each value those that it has not met."""

    def __init__(self, pairs: Iterable[cover.Pair]) -> None:
        self._bit = {value: 1 << place for place, value in enumerate(_values())}
        self._left = dict.fromkeys(self._bit, 0)
        self._order: dict[cover.Pair, None] = {}
        for one, other in pairs:
            self._order[one, other] = None
            self._left[one] |= self._bit[other]
            self._left[other] |= self._bit[one]

    def mask(self, values: Iterable[Value]) -> int:
        return sum(self._bit[value] for value in values)

    def gain(self, value: Value, mask: int) -> int:
        """How many new pairs a value makes with those of the mask."""
        return (self._left[value] & mask).bit_count()

    def count(self, problem: Problem) -> int:
        return len(set(pairs_of(problem)) & self._order.keys())

    def meet(self, problem: Problem) -> None:
        for one, other in set(pairs_of(problem)) & self._order.keys():
            del self._order[one, other]
            self._left[one] &= ~self._bit[other]
            self._left[other] &= ~self._bit[one]

    def next(self, dice: Random) -> cover.Pair | None:
        """A pair of the value that has the most left."""
        if not self._order:
            return None
        most = max(self._left, key=lambda value: self._left[value].bit_count())
        return dice.choice([pair for pair in self._order if most in pair])


def _values() -> list[Value]:
    own = [(name, value) for name, one in FACTORS.items() for value in one.values]
    inner = [(cover.within(kind, name), value) for kind in cover.KINDS for name, value in own if name in WITHIN]
    return own + inner


def make_rows(by_hand: Sequence[Problem]) -> Iterator[Problem]:
    """The rows beside those that a person wrote; what those meet is met already.

    Raises:
        AssertionError: no problem meets a pair that is not known to be impossible.
    """
    uncovered = Uncovered(pair for pair in all_pairs() if why_impossible(pair) is None)
    for problem in by_hand:
        uncovered.meet(problem)
    for problem in _layers():
        uncovered.meet(problem)
        yield problem
    dice, number = Random(0), 0
    while (pair := uncovered.next(dice)) is not None:
        number += 1
        problem = _best(pair, uncovered, dice, name=f"cover_{number:03}")
        uncovered.meet(problem)
        yield problem


def _layers() -> Iterator[Problem]:
    for turn, (name, text) in enumerate(LAYERS.items()):
        for i, dtype in enumerate(DTYPES):
            for j, layout in enumerate((*LAYOUTS[:2], LAYOUTS[2 + (turn + i) % 3])):
                pass_, epilogue = KINDS[(turn + 3 * i + j) % len(KINDS)]
                yield Problem(
                    suite="awkward", name=f"layer_{name}_{dtype}_{layout}", spec=ConvSpec.parse(text), dtype=dtype,
                    layout=layout, pass_=pass_, epilogue=epilogue, source="the layers of networks: scripts/cover.py",
                )  # fmt: skip


def _best(pair: cover.Pair, uncovered: Uncovered, dice: Random, *, name: str) -> Problem:
    for limit in LIMITS:
        rows = [row for _ in range(CANDIDATES) if (row := _build(pair, uncovered, dice, name, limit)) is not None]
        if rows:
            best = max(rows, key=lambda row: (uncovered.count(row), -row.spec.macs))
            assert pair in set(pairs_of(best)), (pair, best)
            return best
    raise AssertionError(f"no problem meets {pair}; if none can, suites/cover.py must say why")


def _build(pair: cover.Pair, uncovered: Uncovered, dice: Random, name: str, limit: int) -> Problem | None:
    """A row around a pair; None where there is none within the limit."""
    inner = pair[0][0].rpartition(": ")[0]
    levels = {
        "pass": "fprop",
        "epilogue": "none",
        **_of_kind(inner),
        **{cover.plain_name(one): value for one, value in pair},
    }
    if levels["pass"] != "fprop":
        levels["epilogue"] = "none"
    kind = cover.kind_of(levels["pass"], levels["epilogue"])
    spec = _realise(levels, dice, limit)
    if spec is None:
        return None

    def meeting(one: str, value: str) -> list[Value]:
        """What a value is counted as: of a gradient or an epilogue that with it, and that within it."""
        if not kind or one in BROUGHT:
            return [(one, value)]
        return [(one, value), (cover.within(kind, one), value)] if one in WITHIN else [(one, value)]

    def gain(one: str, value: str) -> int:
        return sum(uncovered.gain(counted, mask) for counted in meeting(one, value))

    # Within a kind a plain value meets the pass and the epilogue alone.
    counted = [own for one, value in levels.items() for own in meeting(one, value)]
    mask = uncovered.mask(own for own in counted if not kind or own[0] not in FACTORS or own[0] in BROUGHT)
    # Those of many values first: the pairs of two of them are most of all, and a row meets few.
    for factor in sorted(dice.sample(list(FACTORS), len(FACTORS)), key=lambda name: -len(FACTORS[name].values)):
        if factor in levels:
            continue
        values = dice.sample(FACTORS[factor].values, len(FACTORS[factor].values))
        values.sort(key=lambda value: -gain(factor, value))
        for value in values:
            chosen = [own for own in meeting(factor, value) if not kind or own[0] not in FACTORS]
            if factor in ("dtype", "layout"):  # they go with every problem
                levels[factor] = value
                mask |= uncovered.mask(chosen)
                break
            if not gain(factor, value):
                break  # whatever is smallest
            if (found := _realise(levels | {factor: value}, dice, limit)) is not None:
                spec, levels[factor] = found, value
                mask |= uncovered.mask(chosen)
                break
    return Problem(
        suite="awkward", name=name, spec=spec, dtype=levels["dtype"], layout=levels["layout"], pass_=levels["pass"],
        epilogue=levels["epilogue"], source="pairs of values that no other row meets: scripts/cover.py",
    )  # fmt: skip


def _of_kind(kind: str) -> dict[str, str]:
    return {"pass": kind} if kind in PASSES else {"epilogue": kind} if kind else {}


def _realise(levels: Mapping[str, str], dice: Random, limit: int) -> ConvSpec | None:
    """A problem with these values, of all other factors whatever is small; None where none is found."""
    channels = _channels(levels, dice)
    if channels is None:
        return None
    c, k, groups = channels
    n = dice.choice((17, 19, 33)) if levels.get("N") == cover.ABOVE else int(levels.get("N", "1"))
    for kernel in _mixed(_kernels(levels), dice):
        for stride in _mixed(_strides(levels, kernel), dice):
            for dilation in _mixed(_pairs(levels.get("dilation", "1"), DILATIONS), dice):
                extent = [apart * (taps - 1) + 1 for taps, apart in zip(kernel, dilation, strict=True)]
                for sides in _mixed(_sides(levels.get("padding", "0"), kernel, dilation, extent), dice):
                    for p, q in _outputs(levels, dice):
                        if n * k * p * q * (c // groups) * kernel[0] * kernel[1] > limit:
                            continue
                        rows = _sizes(p, stride[0], extent[0], sides[:2])
                        columns = _sizes(q, stride[1], extent[1], sides[2:])
                        rests = [rest for rest in product(rows, columns) if _suits(levels, *rest)]
                        if not rests:
                            continue
                        (h, _), (w, _) = dice.choice(rests)
                        spec = ConvSpec(
                            n=n, c=c, h=h, w=w, k=k, r=kernel[0], s=kernel[1], stride=stride, dilation=dilation,
                            padding=sides, groups=groups,
                        )  # fmt: skip
                        if spec.inner_macs:
                            return spec
    return None


def _mixed(options: Sequence[T], dice: Random) -> list[T]:
    return dice.sample(options, len(options))


def _channels(levels: Mapping[str, str], dice: Random) -> tuple[int, int, int] | None:
    """C, K and groups; None if the values are inconsistent."""
    groups = levels.get("groups", "1")
    k = int(levels.get("K", "4" if groups == cover.MULTIPLIER else "1"))
    c = int(levels.get("C/G", {cover.FEW: "2", cover.FEW_WIDE: "8"}.get(groups, "1")))
    match groups:
        case "1":
            return c, k, 1
        case cover.FEW | cover.FEW_WIDE:
            if not (c >= 8 if groups == cover.FEW_WIDE else 1 < c < 8):
                return None
            several = dice.choice(range(2, cover.MOST_GROUPS + 1))
            return several * c, several * k, several
        case cover.DEPTHWISE:
            several = k if k > 1 else dice.choice((6, 10, 12))
            return (several, several, several) if c == 1 else None
    if c != 1 or k == 1:
        return None
    whole = [(k // each, k, k // each) for each in (2, 3) if k % each == 0 and k > each]
    return dice.choice([*whole, (2, 2 * k, 2)])


def _kernels(levels: Mapping[str, str]) -> Sequence[tuple[int, int]]:
    patches = levels.get("stride") == cover.PATCHES
    kernel = levels.get("kernel")
    if kernel == cover.LONG or (kernel is None and patches):
        return [sizes for sizes in LONG_KERNELS if min(sizes) > 8 or not patches]
    r, s = map(int, (kernel or ("3x3" if levels.get("padding") == "same" else "1x1")).split("x"))
    if patches:
        return ()
    return ((r, s),) if r == s else ((r, s), (s, r))


def _strides(levels: Mapping[str, str], kernel: tuple[int, int]) -> Sequence[tuple[int, int]]:
    beyond = [(kernel[0] + more, kernel[1] + other) for more, other in ((1, 1), (2, 1), (1, 2))]
    match levels.get("stride"):
        case cover.PATCHES:
            return (kernel,)
        case cover.BEYOND:
            return beyond
        case None if levels.get("rest", "none") != "none":
            return ((2, 2), (3, 3), (2, 3), (3, 2))
        case None:  # few outputs see padding alone but by great strides
            return ((1, 1), beyond[0]) if levels.get("padding") == BEYOND else ((1, 1),)
        case stride:
            return _pairs(stride, STRIDES)


def _pairs(value: str, uneven: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    return uneven if value == UNEVEN else ((int(value), int(value)),)


def _sides(
    value: str, kernel: tuple[int, int], dilation: tuple[int, int], extent: Sequence[int]
) -> Sequence[tuple[int, int, int, int]]:
    match value:
        case "same":
            sides = same_sides(kernel, dilation)
            return (sides,) if any(sides) else ()
        case cover.SIDES:
            return SIDES
        case cover.BEYOND:
            high, wide = extent
            return ((high, high, wide, wide), (high, high, 0, 0), (0, 0, wide, wide), (0, 0, wide + 1, wide + 1))
    return ((0, 0, 0, 0),)


def _outputs(levels: Mapping[str, str], dice: Random) -> list[tuple[int, int]]:
    """P and Q, small ones where nothing is said."""
    q, pq = (None if (value := levels.get(factor)) is None else int(value) for factor in ("Q", "P*Q"))
    if pq is None:
        columns = (1, 2, 3, 5, 12, 20) if q is None else (q,)
        rows = sorted((2, 3, 4, 5, 6), key=lambda _: dice.random())
        return [*product(rows, columns), *product((1, 12, 20), columns)]  # one row of outputs is the special case
    if q is None:
        return _mixed([(pq // divisor, divisor) for divisor in range(1, pq + 1) if pq % divisor == 0], dice)
    return [] if pq % q else [(pq // q, q)]


def _sizes(out: int, stride: int, extent: int, padding: Sequence[int]) -> list[tuple[int, int]]:
    """The heights or widths with so many outputs, each with what the stride leaves over."""
    least = (out - 1) * stride + extent - sum(padding)
    return [(least + rest, rest) for rest in range(stride) if least + rest >= 1]


def _suits(levels: Mapping[str, str], rows: tuple[int, int], columns: tuple[int, int]) -> bool:
    """Whether a height and a width, each with its rest, have the values that are asked for."""
    (_, below), (w, beside) = rows, columns
    if levels.get("W") not in (None, ("even", "odd")[w % 2]):
        return False
    match levels.get("rest"):
        case None:
            return True
        case cover.ROWS:
            return below > beside
        case cover.COLUMNS:
            return beside > below
        case cover.BOTH:
            return below == beside > 0
    return below == beside == 0


COLUMNS = tuple(
    "name n c h w k r s stride_h stride_w pad_h pad_w dil_h dil_w groups source pad_b pad_r dtype layout pass epilogue "
    "operands axes".split()
)


def cells(problem: Problem) -> list[object]:
    """A row of the file."""
    spec = problem.spec
    end = ("", "") if spec.padding_end is None else spec.padding_end
    return [
        problem.name, *(getattr(spec, size) for size in "nchwkrs"), *spec.stride, *spec.padding, *spec.dilation,
        spec.groups, problem.source, *end, problem.dtype, problem.layout, problem.pass_, problem.epilogue,
        problem.operands, "drawn",
    ]  # fmt: skip


def main() -> int:
    by_hand = [problem for problem in load_suite("awkward") if not problem.name.startswith(MADE)]
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cells, (*by_hand, *make_rows(by_hand))))
    if "--check" in sys.argv[1:]:
        return int(text.getvalue() != FILE.read_text(encoding="utf-8"))
    FILE.write_text(text.getvalue(), encoding="utf-8", newline="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
