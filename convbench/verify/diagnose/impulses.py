"""Which terms of the sum are missing, doubled or out of place? One tap, channel or image at a time, on whole numbers.

A convolution is linear: with w zero but for one tap, the output is the image as that tap reads
it. Products and sums of small whole numbers are exact in every dtype, so whatever differs is no rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convbench.case import Case
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnosis import describe_place

MOST_RUNS = 64  # of one family of terms
MOST_SENTENCES = 2
WRONG = "is wrong"  # in no way that has a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some of the terms: `keep` zeroes all others in the case's first two operands."""

    index: tuple[int, ...]
    keep: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Terms that differ in one respect: the noun, the letters of its index, and its parts."""

    noun: str
    letters: str
    parts: tuple[Part, ...]

    def name(self, indices: Sequence[tuple[int, ...]]) -> str:
        """Some parts, as in "tap (0,2)", "the taps s=2", "channels c=12..15"."""
        if len(self.letters) == 1:
            found = [index[0] for index in indices]
            if len(found) == 1:
                end = "last " if found[0] == len(self.parts) - 1 else "first " if found[0] == 0 else ""
                return (
                    f"the {end}{self.noun} ({self.letters}={found[0]})"
                    if end
                    else f"{self.noun} {self.letters}={found[0]}"
                )
            run = found == list(range(found[0], found[-1] + 1))
            listed = f"{found[0]}..{found[-1]}" if run else ",".join(map(str, found[:6])) + ",..." * (len(found) > 6)
            return f"{self.noun}s {self.letters}={listed}"
        everything = [part.index for part in self.parts]
        for axis, letter in enumerate(self.letters):
            lines = sorted({index[axis] for index in indices})
            whole = [index for index in everything if index[axis] in lines]
            if len(lines) < len({index[axis] for index in everything}) and whole == list(indices) and len(whole) > 1:
                return f"the taps {letter}={','.join(map(str, lines))}"
        told = [f"({','.join(map(str, index))})" for index in indices[:4]]
        return f"tap{'s' if len(indices) > 1 else ''} {', '.join(told)}" + (
            f" and {len(indices) - 4} more" if len(indices) > 4 else ""
        )


def families(case: Case) -> Iterator[Family]:
    """The ways to take the sum of this pass apart."""
    spec, pass_ = case.spec, case.pass_

    def only(operand: int, axis: int, *wanted: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Keep the coordinates `wanted` of the axes that begin at `axis`."""

        def keep(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
            both = [first, second]
            mask = torch.zeros_like(both[operand])
            mask[(slice(None),) * axis + wanted] = 1
            both[operand] = both[operand] * mask
            return both[0], both[1]

        return keep

    if pass_ == "wgrad":  # dw sums over the images and the outputs, and dy is the first operand
        if spec.n > 1:
            yield Family(
                noun="image", letters="n", parts=tuple(Part(index=(n,), keep=only(0, 0, n)) for n in range(spec.n))
            )
        for noun, letter, axis, size in (("output row", "p", 2, spec.p), ("output column", "q", 3, spec.q)):
            if size > 1:
                parts = tuple(Part(index=(i,), keep=only(0, axis, i)) for i in range(size))
                yield Family(noun=noun, letters=letter, parts=parts)
        return
    taps = [(r, s) for r in range(spec.r) for s in range(spec.s)]
    if len(taps) > 1 and len(taps) <= MOST_RUNS:
        yield Family(noun="tap", letters="rs", parts=tuple(Part(index=tap, keep=only(1, 2, *tap)) for tap in taps))
    elif len(taps) > 1:
        for noun, letter, axis, size in (("kernel row", "r", 2, spec.r), ("kernel column", "s", 3, spec.s)):
            if size > 1:
                parts = tuple(Part(index=(i,), keep=only(1, axis, i)) for i in range(size))
                yield Family(noun=noun, letters=letter, parts=parts)
    if pass_ == "fprop" and spec.c_per_group > 1:
        noun = "channel" if spec.groups == 1 else "channel of the group"
        parts = tuple(Part(index=(c,), keep=only(1, 1, c)) for c in range(spec.c_per_group))
        yield Family(noun=noun, letters="c", parts=parts)
    if pass_ == "dgrad" and spec.k > 1:
        yield Family(
            noun="output channel", letters="k", parts=tuple(Part(index=(k,), keep=only(1, 0, k)) for k in range(spec.k))
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
    case = subject.case
    for family in families(case):
        if len(family.parts) > MOST_RUNS:
            continue
        effects: dict[tuple[int, ...], Effect] = {}
        for part in family.parts:
            if (effect := isolate(subject, part)) is not None:
                effects[part.index] = effect
        if effects and len(effects) < len(family.parts):
            return _tell(subject, family, effects)
    return None


def isolate(subject: Subject, *parts: Part) -> Effect | None:
    """What comes of these terms alone; None when it is right."""
    case = subject.case
    shapes = list(case.operands.values())
    first, second = (subject.draw(shape, 1, 3, seed=seed) for seed, shape in enumerate(shapes[:2]))
    for part in parts:
        first, second = part.keep(first, second)
    bias = [torch.zeros(shape, dtype=torch.float64, device=case.target.torch_name) for shape in shapes[2:]]
    operands = [first, second, *bias]
    exam = subject.exam(*operands)
    out, y = subject.run(exam), exam.truth.y
    wrong = subject.shares(out, exam.truth) > 1
    if not wrong.any():
        return None
    due = y != 0
    got, expected = out[wrong].double(), y[wrong]
    size = float(expected.abs().max())
    if got.isnan().any():
        words = "gives NaN"
    elif not bool((wrong & due).any()):
        words = "is added where it does not belong"
    elif float(got.abs().max()) <= 1e-3 * size:
        words = "is missing"
    elif float((got - 2 * expected).abs().max()) <= 1e-2 * size:
        words = "is added twice"
    elif float((got + expected).abs().max()) <= 1e-2 * size:
        words = "is subtracted"
    else:
        words = WRONG
    return Effect(words=words, wrong=wrong, due=due, operands=operands, out=out)


def _misread(subject: Subject, tap: tuple[int, ...], effect: Effect) -> Effect:
    """The effect with the tap whose pixels this one reads instead of its own, where there is one."""
    x, w, *bias = effect.operands
    for r in range(subject.case.spec.r):
        for s in range(subject.case.spec.s):
            subject.pay(calls=0)
            moved = torch.zeros_like(w)
            moved[:, :, r, s] = w[:, :, tap[0], tap[1]]
            fits = subject.shares(effect.out, subject.exam(x, moved, *bias).truth) <= 1
            if bool(fits[effect.wrong].all()):
                wrong = effect.due if bool(fits.all()) else effect.wrong
                return replace(effect, words=f"reads the pixels of tap ({r},{s})", wrong=wrong)
    return effect


def _tell(subject: Subject, family: Family, effects: dict[tuple[int, ...], Effect]) -> Cause | None:
    """Parts of one effect at one place in one sentence."""
    told: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    for index, effect in effects.items():
        told.setdefault(_describe(subject, family, index, effect), []).append(index)
    if len(told) > MOST_SENTENCES:
        return None
    sentences = []
    for (words, place), indices in told.items():
        verb = words if len(indices) == 1 else words.replace("is ", "are ", 1).replace("s ", " ", 1)
        if family.noun != "tap":
            verb = verb.replace("missing", "ignored")
        sentences.append(f"{family.name(indices)} {verb}{place}")
    kinds = " and ".join(sorted({words for words, _ in told}))
    return Cause(kind=f"{family.noun}: {kinds}", words="; ".join(sentences))


def _describe(subject: Subject, family: Family, index: tuple[int, ...], effect: Effect) -> tuple[str, str]:
    """What became of a part, and where; of a tap that is merely wrong, more if more can be found."""
    if effect.words == WRONG and family.noun == "tap":
        effect = _misread(subject, index, effect)
        if effect.words == WRONG and (finer := _within_tap(subject, family, index)) is not None:
            return finer
    return effect.words, _where(effect, subject.case.out_name)


def _within_tap(subject: Subject, family: Family, tap: tuple[int, ...]) -> tuple[str, str] | None:
    """A tap that is neither there nor missing: the channels of it that are, with the place."""
    (own,) = (part for part in family.parts if part.index == tap)
    found: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    channels = next((one for one in families(subject.case) if one.letters in ("c", "k")), None)
    if channels is None or len(channels.parts) > MOST_RUNS:
        return None
    for part in channels.parts:
        if (effect := isolate(subject, own, part)) is not None:
            found.setdefault((effect.words, _where(effect, subject.case.out_name)), []).append(part.index)
    if len(found) != 1:
        return None
    ((words, place), indices) = next(iter(found.items()))
    return f"of {channels.name(indices)} {words}", place


def _where(effect: Effect, name: str) -> str:
    """The place with a space before it; nothing where every output that has such a term is concerned."""
    if torch.equal(effect.wrong & effect.due, effect.due):
        return "" if torch.equal(effect.wrong, effect.due) else " and is added where it does not belong"
    if int(effect.wrong.sum()) == 1:
        index = ",".join(str(int(i)) for i in effect.wrong.nonzero()[0])
        return f" in {name}[{index}]"
    place = describe_place(effect.wrong, name, effect.due)
    return f" in {int(effect.wrong.sum()):,} outputs" if place.startswith("scattered") else f" {place}"
