"""Which terms of the sum are missing, doubled or out of place? One tap, channel or image at a time, on whole numbers.

A convolution is linear: with w zero but for one tap, the output is the image as that tap reads
it. Products and sums of small whole numbers are exact in every dtype, so whatever differs is no rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnosis import describe_place

MOST_SENTENCES = 2
# Parts that are asked alone before a family is searched: where all of them are wrong it tells nothing apart.
SPREAD = 8
MOST_TAPS = 64  # beyond which whole rows and columns of a kernel are asked first
WRONG = "is wrong"  # in no way that has a name
ASTRAY = "adds something where it reads padding alone"
PLURAL = {
    "is missing": "are missing",
    "is added twice": "are added twice",
    "is subtracted": "are subtracted",
    "gives NaN": "give NaN",
    WRONG: "are wrong",
    ASTRAY: "add something where they read padding alone",
}

Index = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of the terms: one operand keeps these coordinates of the axes from `axis` on, and is zero elsewhere."""

    operand: int
    axis: int
    indices: tuple[Index, ...]

    def keep(self, operands: list[Tensor]) -> None:
        """Zero all others, in place."""
        mask = torch.zeros_like(operands[self.operand])
        for index in self.indices:
            mask[(slice(None),) * self.axis + index] = 1
        operands[self.operand] = operands[self.operand] * mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Terms that differ in one respect: the noun, the letters of its index, and where they stand in an operand.

    Attributes:
        terms: of each output in one part, at most.
    """

    noun: str
    letters: str
    operand: int
    axis: int
    indices: tuple[Index, ...]
    terms: int

    def part(self, *indices: Index) -> Part:
        """Some of it as one."""
        return Part(operand=self.operand, axis=self.axis, indices=indices)

    def name(self, indices: Sequence[Index]) -> str:
        """Some parts, as in "tap (0,2)", "the taps of kernel column s=2", "channels c=12..15"."""
        if len(self.letters) == 1:
            found = [index[0] for index in indices]
            if len(found) == 1:
                end = "last " if found[0] == len(self.indices) - 1 else "first " if found[0] == 0 else ""
                return (
                    f"the {end}{self.noun} ({self.letters}={found[0]})"
                    if end
                    else f"{self.noun} {self.letters}={found[0]}"
                )
            return f"{self.noun}s {self.letters}={_run(found)}"
        lines = self._whole_lines(indices)
        if lines:
            return f"the taps of kernel {' and '.join(lines)}"
        rows, columns = (sorted({index[axis] for index in indices}) for axis in (0, 1))
        if min(len(rows), len(columns)) > 1 and len(rows) * len(columns) == len(indices):
            return f"the taps r={_run(rows)}, s={_run(columns)}"
        told = [f"({','.join(map(str, index))})" for index in indices[:4]]
        return f"tap{'s' if len(indices) > 1 else ''} {', '.join(told)}" + (
            f" and {len(indices) - 4} more" if len(indices) > 4 else ""
        )

    def _whole_lines(self, indices: Sequence[Index]) -> list[str]:
        """The rows and columns of the kernel that they fill, as "rows r=8..13"; none if they are no such lines."""
        left, found = set(indices), []
        for axis, letter in enumerate(self.letters):
            sizes = [len({index[other] for index in self.indices}) for other in (0, 1)]
            whole = [
                line
                for line in range(sizes[axis])
                if sizes[1 - axis] > 1 and sum(index[axis] == line for index in indices) == sizes[1 - axis]
            ]
            if whole and len(whole) < sizes[axis]:
                line = "row" if letter == "r" else "column"
                found.append(f"{line}{'s' * (len(whole) > 1)} {letter}={_run(whole)}")
                left -= {index for index in indices if index[axis] in whole}
        return found if found and not left else []


def _run(found: Sequence[int]) -> str:
    """Sorted numbers as "12..15" or "0,2,5"."""
    if len(found) > 1 and list(found) == list(range(found[0], found[-1] + 1)):
        return f"{found[0]}..{found[-1]}"
    return ",".join(map(str, found[:6])) + ",..." * (len(found) > 6)


def families(case: Case) -> Iterator[Family]:
    """The ways to take the sum of this pass apart, those that say most first."""
    spec, pass_ = case.spec, case.pass_

    def lines(noun: str, letter: str, operand: int, axis: int, size: int, terms: int) -> Family:
        indices = tuple((one,) for one in range(size))
        return Family(noun=noun, letters=letter, operand=operand, axis=axis, indices=indices, terms=terms // size)

    if pass_ == "wgrad":  # dw sums over the images and the outputs, and dy is the first operand
        terms = spec.n * spec.p * spec.q
        for noun, letter, axis, size in (
            ("image", "n", 0, spec.n),
            ("output row", "p", 2, spec.p),
            ("output column", "q", 3, spec.q),
        ):
            if size > 1:
                yield lines(noun, letter, 0, axis, size, terms)
        return
    summed = spec.c_per_group if pass_ == "fprop" else spec.k_per_group
    terms = summed * spec.r * spec.s
    if spec.r * spec.s > 1:
        taps = tuple((r, s) for r in range(spec.r) for s in range(spec.s))
        yield Family(noun="tap", letters="rs", operand=1, axis=2, indices=taps, terms=summed)
    if pass_ == "fprop" and spec.c_per_group > 1:
        noun = "channel" if spec.groups == 1 else "weight channel"
        yield lines(noun, "c", 1, 1, spec.c_per_group, terms)
    if pass_ == "dgrad" and spec.k > 1:
        indices = tuple((k,) for k in range(spec.k))
        yield Family(
            noun="output channel", letters="k", operand=1, axis=0, indices=indices, terms=max(1, terms // spec.k)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What became of a part.

    Attributes:
        words: as a verb.
        wrong: the outputs that are not right.
        due: the outputs that it has a share in.
        operands, out: what was asked, and answered.
    """

    words: str
    wrong: Tensor
    due: Tensor
    operands: list[Tensor]
    out: Tensor


def find_terms(subject: Subject) -> Cause | None:
    """The parts of the sum that are missing, doubled or misread, and for which outputs; None when none stands out."""
    for family in families(subject.case):
        effects = find_effects(subject, family)
        if effects and len(effects) < len(family.indices):
            return _tell(subject, family, effects)
    return None


def find_effects(subject: Subject, family: Family, *within: Part) -> dict[Index, Effect]:
    """The parts of a family that are wrong, by halving what is wrong together; all where all of a few are.

    Args:
        within: of these terms alone.
    """
    indices, effects = family.indices, dict[Index, Effect]()
    large = len(family.letters) == 2 and len(indices) > MOST_TAPS
    if large and (lines := _find_lines(subject, family, *within)) is not None:
        return lines
    if len(indices) > 2 * SPREAD:
        few = [indices[place * (len(indices) - 1) // (SPREAD - 1)] for place in range(SPREAD)]
        for index in few:
            if (effect := isolate(subject, family.part(index), *within)) is None:
                break
            effects[index] = effect
        else:
            return dict.fromkeys(indices, effects[few[0]])
        effects.clear()
    # So many terms at once that one of them still shows in the sum of all.
    together = max(1, _most_terms(subject) // max(1, family.terms))
    waiting = [indices[start : start + together] for start in range(0, len(indices), together)][::-1]
    while waiting:
        some = waiting.pop()
        effect = isolate(subject, family.part(*some), *within)
        if effect is None:
            continue
        if len(some) == 1:
            effects[some[0]] = effect
            continue
        middle = len(some) // 2
        waiting += [some[middle:], some[:middle]]
    return effects


def _most_terms(subject: Subject) -> int:
    """Of whole numbers in a sum where one that is missing shows in the result."""
    kind = DTYPE[subject.case.dtype]
    if not subject.transforms:
        return int(2 ** (kind.digits - 2))
    return 1 if kind.narrow else 2**9  # the bound of a transform is some 2^-12 of the sum in fp32


def _find_lines(subject: Subject, family: Family, *within: Part) -> dict[Index, Effect] | None:
    """The taps of a large kernel that are missing, where they are whole rows and columns of it; None where not."""
    ends = [sorted({index[axis] for index in family.indices}) for axis in (0, 1)]
    rows = [row for row in ends[0] if isolate(subject, family.part((row, ends[1][0])), *within)]
    columns = [column for column in ends[1] if isolate(subject, family.part((ends[0][0], column)), *within)]
    missing = tuple(index for index in family.indices if index[0] in rows or index[1] in columns)
    left = tuple(index for index in family.indices if index not in missing)
    if not missing or not left or isolate(subject, family.part(*left), *within) is not None:
        return None
    effect = isolate(subject, family.part(*missing), *within)
    return dict.fromkeys(missing, effect) if effect is not None and effect.words == "is missing" else None


def isolate(subject: Subject, *parts: Part) -> Effect | None:
    """What comes of these terms alone; None when it is right."""
    ones = subject.ones()
    operands = [subject.draw(tuple(one.shape), 1, 3, seed=seed) for seed, one in enumerate(ones[:2])]
    for part in parts:
        part.keep(operands)
    operands += ones[2:]
    exam = subject.exam(*operands, exact=True)
    out, y = subject.run(exam), exam.truth.y
    wrong = subject.shares(out, exam) > 1
    if not wrong.any():
        return None
    due = y != 0
    if subject.transforms:  # of one part, an output is there or not
        wrong = wrong | (due & ((out.double() - y).abs() > 0.5 * y.abs()))
    got, expected = out[wrong].double(), y[wrong]
    size = float(expected.abs().max())
    if got.isnan().any():
        words = "gives NaN"
    elif not bool((wrong & due).any()):
        words = ASTRAY
    elif float(got.abs().max()) <= 1e-3 * size:
        words = "is missing"
    elif float((got - 2 * expected).abs().max()) <= 1e-2 * size:
        words = "is added twice"
    elif float((got + expected).abs().max()) <= 1e-2 * size:
        words = "is subtracted"
    else:
        words = WRONG
    return Effect(words=words, wrong=wrong, due=due, operands=operands, out=out)


def _misread(subject: Subject, tap: Index, effect: Effect) -> Effect:
    """The effect with the tap whose pixels this one reads instead of its own, where there is one."""
    x, w, *bias = effect.operands
    for r in range(subject.case.spec.r):
        for s in range(subject.case.spec.s):
            subject.pay(calls=0)
            moved = torch.zeros_like(w)
            moved[:, :, r, s] = w[:, :, tap[0], tap[1]]
            fits = subject.shares(effect.out, subject.exam(x, moved, *bias, exact=True)) <= 1
            if bool(fits[effect.wrong].all()):
                wrong = effect.due if bool(fits.all()) else effect.wrong
                return replace(effect, words=f"reads the pixels of tap ({r},{s})", wrong=wrong)
    return effect


def _tell(subject: Subject, family: Family, effects: dict[Index, Effect]) -> Cause | None:
    """Parts of one effect at one place in one sentence."""
    told: dict[tuple[str, str], list[Index]] = {}
    for index, effect in effects.items():
        told.setdefault(_describe(subject, family, index, effect, few=len(effects) <= SPREAD), []).append(index)
    if len(told) > MOST_SENTENCES:
        return None
    sentences = []
    for (words, place), indices in told.items():
        verb = words if len(indices) == 1 else _plural(words)
        if family.noun != "tap":
            verb = verb.replace("missing", "ignored")
        sentences.append(f"{family.name(indices)} {verb}{place}")
    kinds = " and ".join(sorted({words for words, _ in told}))
    return Cause(kind=f"{family.noun}: {kinds}", words="; ".join(sentences))


def _plural(words: str) -> str:
    """The same verb of several parts."""
    for one, several in PLURAL.items():
        if words.endswith(one):
            return words.removesuffix(one) + several
    return words.replace("reads ", "read ", 1)


def _describe(subject: Subject, family: Family, index: Index, effect: Effect, *, few: bool) -> tuple[str, str]:
    """What became of a part, and where; of a few taps that are merely wrong, more if more can be found."""
    if effect.words == WRONG and family.noun == "tap" and few:
        effect = _misread(subject, index, effect)
        if effect.words == WRONG and (finer := _within_tap(subject, family, index)) is not None:
            return finer
    return effect.words, _where(effect, subject.case.out_name)


def _within_tap(subject: Subject, family: Family, tap: Index) -> tuple[str, str] | None:
    """A tap that is neither there nor missing: the channels of it that are, with the place."""
    found: dict[tuple[str, str], list[Index]] = {}
    channels = next((one for one in families(subject.case) if one.letters in ("c", "k")), None)
    if channels is None:
        return None
    for index, effect in find_effects(subject, channels, family.part(tap)).items():
        found.setdefault((effect.words, _where(effect, subject.case.out_name)), []).append(index)
    if len(found) != 1:
        return None
    ((words, place), indices) = next(iter(found.items()))
    return f"of {channels.name(indices)} {words}", place


def _where(effect: Effect, name: str) -> str:
    """The place with a space before it; nothing where every output that has such a term is concerned."""
    if effect.words == ASTRAY:
        return ""
    if torch.equal(effect.wrong & effect.due, effect.due):
        return "" if torch.equal(effect.wrong, effect.due) else f" and {ASTRAY}"
    if int(effect.wrong.sum()) == 1:
        index = ",".join(str(int(i)) for i in effect.wrong.nonzero()[0])
        return f" in {name}[{index}]"
    place = describe_place(effect.wrong, name, effect.due)
    return f" in {int(effect.wrong.sum()):,} outputs" if place.startswith("scattered") else f" {place}"
