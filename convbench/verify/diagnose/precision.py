"""How many bits does an implementation keep? Of its inputs, its products, its sums and its results, by exact numbers.

A single product by 1 shows what became of an input. Sums of a few ones, in which every format is exact,
show whether the right terms are added at all; only then is anything called rounding. Sums of larger whole
numbers show up to which size they are exact: a format with b bits holds every whole number up to 2^b, and no
partial sum is larger than the whole one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from convbench.call.tensors import TORCH_DTYPE
from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.bounds import gamma
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.reading import live_output, live_tap
from convbench.verify.exam import Exam, make_exam
from convbench.verify.oracle import longest_sum

# Bits of a significand; the formats to which something may be rounded, the narrowest first.
BITS = {name: one.digits for name, one in DTYPE.items()}
FORMATS = {name: bits for bits, name in sorted((bits, name) for name, bits in BITS.items()) if bits < 53}
MODES = {"even": "ties to even", "away": "ties away from zero", "cut": "toward zero"}
SMALLEST_NORMAL = {"fp16": 2.0**-14}  # other formats go further down than anything that is asked
# In sums of a few terms: whole numbers up to 2^8 are exact in bf16, and every term is asked within some part, as long
# as there are no more parts than that.
FEW_BITS, MOST_PARTS = 8, 64
TERMS, SOME = 64, 8  # of a larger sum, and of one in which each product is known
ENOUGH = 16  # outputs that must agree before anything is concluded from them
DIFFERENT, MOST_SENT = 64, 24  # numbers that tell formats and roundings apart, and calls that may be made for them


def find_precision(subject: Subject, exam: Exam, out: Tensor) -> Cause | None:
    """What it rounds to fewer bits than the case promises; None where nothing shows.

    Args:
        exam, out: where it was wrong, and what it answered.
    """
    case = subject.case
    if case.precision == "tf32" or subject.backend.family in ("winograd", "fft", "strassen"):
        return None  # the one may, the others have products of their own
    changes = find_changes(subject)
    if changes is None:
        return _find_range(subject, exam, out)  # a range looks like a change of inputs that has no name
    if (cause := _tell_inputs(subject, changes, exam, out)) is not None:
        return cause
    if not adds_the_right_terms(subject) or subject.backend.count_roundings(case):
        return None  # what is wrong there is no rounding; or it says itself that it rounds sums
    found = _find_sums(subject, exam, out)
    if changes:  # not the whole answer: of single products a rounding of sums looks the same
        forms = {one.kind for one in changes.values()}
        if found is None:
            return _find_products(subject, forms.pop()) if len(forms) == 1 else None
        return found if forms == {found.kind.split()[-1]} else None
    return found or _find_rounding_before_bias(subject)


# ----------------------------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of an input before it is multiplied.

    Attributes:
        words: a verb, with "{}" for the operand.
        apply: the same to float64 numbers.
    """

    kind: str
    words: str
    apply: Callable[[Tensor], Tensor]


def find_changes(subject: Subject) -> dict[str, Change] | None:
    """What it makes of its first two operands, by name; None where that is no change of single numbers."""
    possible: dict[str, list[Change]] = {}
    for place, name in enumerate(list(subject.case.operands)[:2]):
        sent, got = _send_through(subject, place)
        if sent.numel() >= ENOUGH and not torch.equal(sent, got):
            possible[name] = list(_possible_changes(subject.case, sent, got))
    if not all(possible.values()):
        return None
    # A few numbers may not tell two formats apart; one for both operands is likelier than two.
    shared = [{one.words for one in some} for some in possible.values()]
    common = set.intersection(*shared) if shared else set()
    return {name: next((one for one in some if one.words in common), some[0]) for name, some in possible.items()}


def _tell_inputs(subject: Subject, changes: dict[str, Change], exam: Exam, out: Tensor) -> Cause | None:
    """The changes in words, where the right convolution of inputs so changed is the whole answer."""
    if not changes:
        return None
    operands = [
        changes[name].apply(one.double()).to(one.dtype) if name in changes else one
        for name, one in exam.operands.items()
    ]
    if not bool((subject.shares(out, exam, subject.exam(*operands).truth) <= 1).all()):
        return None
    names: dict[str, list[str]] = {}
    for name, change in changes.items():
        names.setdefault(change.words, []).append(name)
    words = " and ".join(verb.replace("{}", " and ".join(some)) for verb, some in names.items())
    return Cause(kind=f"inputs {' '.join(one.kind for one in changes.values())}", words=f"it {words}")


def _send_through(subject: Subject, place: int) -> tuple[Tensor, Tensor]:
    """Numbers of one operand, and what is left of each after a product by 1: as many as tell two formats apart."""
    numbers = subject.ones()[place]
    sent, got = numbers.new_zeros(0), numbers.new_zeros(0)
    for again in range(MOST_SENT):
        operands, seed = subject.ones(), 1000 * again + place
        shape = tuple(operands[place].shape)
        numbers = _numbers(subject, shape, BITS[subject.case.dtype], seed=7 + seed)
        operands[place] = numbers * (2 * subject.draw(shape, 0, 1, seed=11 + seed) - 1)
        operands[:2] = one_product(subject.case, *operands[:2])
        exam = subject.exam(*operands)
        out, y = subject.run(exam).double(), exam.truth.y
        due = y > 0 if subject.case.relu else y != 0
        sent, got = torch.cat([sent, y[due]]), torch.cat([got, out[due]])
        if len(sent.unique()) >= DIFFERENT:
            break
    return sent, got


def _numbers(subject: Subject, shape: tuple[int, ...], bits: int, seed: int) -> Tensor:
    """Of all sizes from 2^-24 to 2^12 and all significands of so many bits; some lie halfway between two of fewer."""
    odd = 2 * subject.draw(shape, 2 ** (bits - 2), 2 ** (bits - 1) - 1, seed=seed) + 1
    numbers = odd / 2.0 ** (bits - 1)
    short = subject.draw(shape, 0, 5, seed=seed + 100)
    for share, digits in enumerate((9, 12, 25)):
        if digits < bits:
            tied = (numbers * 2.0 ** (digits - 2)).floor() / 2.0 ** (digits - 2) + 2.0 ** (1 - digits)
            numbers = torch.where(short == share, tied, numbers)
    size = torch.where(
        subject.draw(shape, 0, 1, seed=seed + 200) > 0,
        subject.draw(shape, -3, 3, seed=seed + 300),
        subject.draw(shape, -24, 12, seed=seed + 400),
    )
    return numbers * 2.0**size


def _possible_changes(case: Case, sent: Tensor, got: Tensor) -> Iterator[Change]:
    """Whatever turns all numbers that were sent into those that came."""
    least, most = float(got.min()), float(got.max())
    kept = int(((least < got) & (got < most)).sum())
    if kept >= len(got) // 4 and torch.equal(got, sent.clamp(least, most)):
        if case.relu:
            least = -most  # no negative number was seen
        yield Change(
            kind="limited",
            words=f"limits {{}} to the range from {least:.6g} to {most:.6g}",
            apply=lambda one: one.clamp(least, most),
        )
    lost = got == 0
    if lost.any() and not lost.all():
        largest = float(sent[lost].abs().max())
        if largest < float(sent[~lost].abs().min()) and torch.equal(got[~lost], sent[~lost]):
            yield Change(
                kind="small lost",
                words=f"takes small numbers of {{}} for 0, {largest:.2g} among them",
                apply=lambda one: torch.where(one.abs() <= largest, 0.0, one),
            )
    for form, bits in FORMATS.items():
        if bits >= BITS[case.dtype]:
            continue
        for mode, told in MODES.items():
            for kind in (form, "TF32") if form == "fp16" else (form,):
                apply = partial(_round_to, bits=bits, mode=mode, least=SMALLEST_NORMAL.get(kind, 0.0))
                if torch.equal(apply(sent), got):
                    yield Change(kind=kind, words=f"rounds {{}} to {kind}, {told}", apply=apply)


def _round_to(numbers: Tensor, *, bits: int, mode: str, least: float) -> Tensor:
    """Float64 numbers rounded to so many bits, and to the subnormals of the smallest normal number `least`."""
    step = _step(numbers, bits, least)
    scaled = numbers / step
    if mode == "even":
        return scaled.round() * step
    return torch.trunc(scaled + 0.5 * scaled.sign() if mode == "away" else scaled) * step


def _step(numbers: Tensor, bits: int, least: float) -> Tensor:
    """From each number to the next in a format of so many bits, whose smallest normal number is `least`."""
    _, exponent = torch.frexp(numbers)
    if least:
        exponent = exponent.clamp(min=int(torch.frexp(torch.tensor(least))[1]))
    step: Tensor = 2.0 ** (exponent - bits).double()
    return step


def one_product(case: Case, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Zeroes all but what leaves one product at most in each output: a tap of one channel, or one dy."""
    spec = case.spec
    if case.pass_ == "wgrad":
        mask, (p, q) = torch.zeros_like(first), live_output(spec) or (0, 0)
        mask[0, :, p, q] = 1
        return first * mask, second
    mask, (r, s) = torch.zeros_like(second), live_tap(spec) or (0, 0)
    step = spec.k_per_group if case.pass_ == "dgrad" else 1  # dgrad sums over the group's output channels
    mask[::step, 0, r, s] = 1
    return first, second * mask


def significant_bits(values: Tensor) -> int:
    """The most bits that a significand among the values needs, from its first to its last 1."""
    mantissa, _ = torch.frexp(values.double())
    whole = (mantissa.abs() * 2.0**53).long()
    lowest = torch.where(whole == 0, 53, _trailing_zeros(whole))
    return int((53 - lowest).max())


def _trailing_zeros(whole: Tensor) -> Tensor:
    return torch.log2((whole & -whole).clamp(min=1).double()).long()


# ------------------------------------------------------------------------------------- sums


def adds_the_right_terms(subject: Subject) -> bool:
    """Whether sums of a few small whole numbers are right, every term in one of them: no format rounds those."""
    most = 2 ** min(FEW_BITS, BITS[subject.case.dtype])
    operand, number = _parts(subject, most // 3)
    for part in range(int(number.max()) + 1)[:MOST_PARTS]:
        operands = subject.ones()
        other = 1 - operand
        operands[other] = subject.draw(tuple(operands[other].shape), 1, 3, seed=29 + part)
        operands[operand] = (number == part).double()
        exam = subject.exam(*operands, exact=True)
        if bool((subject.shares(subject.run(exam), exam) > 1).any()):
            return False
    return True


def _parts(subject: Subject, terms: int) -> tuple[int, Tensor]:
    """The operand to keep parts of, and the number of the part in which each of its numbers is, at random.

    In each part an output has `terms` terms at the most.
    """
    spec, pass_ = subject.case.spec, subject.case.pass_
    operand = 0 if pass_ == "wgrad" else 1
    shape = tuple(subject.case.operands.values())[operand]
    generator = subject.generator(23)

    def order(rows: int, columns: int) -> Tensor:
        """A permutation in each row."""
        return torch.rand((rows, columns), generator=generator).argsort(dim=1)

    if pass_ == "fprop":  # over c, r and s of each k
        places = order(spec.k, spec.taps).reshape(shape)
    elif pass_ == "dgrad":  # over the k of the group, r and s of each c
        places = order(spec.groups * spec.c_per_group, spec.k_per_group * spec.r * spec.s)
        places = places.reshape(spec.groups, spec.c_per_group, spec.k_per_group, spec.r, spec.s)
        places = places.transpose(1, 2).reshape(shape)
    else:  # over n, p and q of each k
        places = order(spec.k, spec.n * spec.p * spec.q).reshape(spec.k, spec.n, spec.p, spec.q).transpose(0, 1)
    return operand, places.div(max(1, terms), rounding_mode="floor").to(subject.case.target.torch_name)


def _find_sums(subject: Subject, exam: Exam, out: Tensor) -> Cause | None:
    """The narrowest format in which sums that are too large for it are not exact, and what of them it rounds."""
    target = BITS[DTYPE[subject.case.dtype].sums]
    for name, bits in FORMATS.items():
        if bits >= target:
            break
        for seed in range(3):
            asked = _larger_sums(subject, bits, seed=31 + 2 * seed)
            got = subject.run(asked)
            if bool((subject.shares(got, asked) > 1).any()):
                return _tell_sums(subject, name, asked, got.double(), exam, out)
    return None


def _larger_sums(subject: Subject, bits: int, *, seed: int) -> Exam:
    """Sums of whole numbers between 2^bits and 2^(bits + 3), of a few terms each where there are many."""
    operand, number = _parts(subject, TERMS)
    kept = (number == seed % (int(number.max()) + 1)).double()
    most, exact = 2 ** (bits + 3), 2 ** min(DTYPE[subject.case.dtype].digits, bits, 20)
    terms = max(1, int(kept.sum() / kept.numel() * longest_sum(subject.case)) + 1)

    def ask(largest: int) -> Exam:
        operands = subject.ones()
        for place in range(2):
            operands[place] = subject.draw(
                tuple(operands[place].shape), (largest + 1) // 2, largest, seed=seed + 1000 * place
            )
        operands[operand] = operands[operand] * kept
        return subject.exam(*operands, exact=True)

    largest = min(max(2, int((most // min(terms, TERMS)) ** 0.5)), exact)
    asked = ask(largest)
    # Where most of the terms are padding, the sums are still exact in the format that they are to be too large for.
    room = most / max(1.0, float(asked.truth.y.abs().max()))
    larger = min(int((largest + 1) // 2 * room**0.5), exact)
    return ask(larger) if larger > largest else asked


def _tell_sums(subject: Subject, name: str, asked: Exam, got: Tensor, exam: Exam, out: Tensor) -> Cause | None:
    """Whether it is the products, the sums or the results that are rounded to this format."""
    case, kind = subject.case, TORCH_DTYPE[name]
    y, stored = asked.truth.y, TORCH_DTYPE[case.dtype]
    if torch.equal(got, y.to(kind).to(stored).double()):  # one rounding at the end
        if case.epilogue != "none" and (cause := _find_rounding_before_bias(subject)) is not None:
            return cause
        low, high = subject.allowed(torch.float64, exam, exam.truth)
        if case.relu:
            low, high = low.clamp(min=0), high.clamp(min=0)
        if bool(((low.to(kind).to(stored) <= out) & (out <= high.to(kind).to(stored))).all()):
            what = "its sums or its results" if longest_sum(case) == 1 else "its results"
            alike = " (the same on this case)" if longest_sum(case) == 1 else ""
            return Cause(kind=f"results {name}", words=f"it rounds {what} to {name}{alike}")
        return None
    rounded = gamma(asked.truth.terms + 2, 2.0 ** (1 - BITS[name])) * asked.truth.magnitude
    if not bool(((got - y).abs() <= torch.minimum(rounded, 0.25 * y.abs().max())).all()):
        return None  # what is wrong is larger than a rounding
    if (cause := _find_cut(subject, name, asked, got, exam, out)) is not None:
        return cause
    if BITS[case.dtype] > BITS[name] and significant_bits(got) > BITS[name]:
        return _find_products(subject, name)
    period = _find_period(subject, BITS[name])
    return Cause(kind=f"sums {name}", words=f"it rounds its sums to {name}{period}")


# Numbers to a neighbour of fewer bits, none of them the nearest.
CUTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "cuts its results off, toward zero,": torch.trunc,
    "rounds its results down": torch.floor,
    "rounds its results up": torch.ceil,
}


def _find_cut(subject: Subject, name: str, asked: Exam, got: Tensor, exam: Exam, out: Tensor) -> Cause | None:
    """Results that go to the neighbour on one side in place of the nearest number of a format.

    Whole sums of either sign show to which side. Sums that are cut off on their way would lose more than the last
    step, so that they equal this nowhere but by chance.
    """
    relu, least = asked.case.relu, SMALLEST_NORMAL.get(name, 0.0)
    answers = [(asked.truth.y, got)]
    low, high = subject.allowed(torch.float64, exam, exam.truth)
    if relu:
        low, high = low.clamp(min=0), high.clamp(min=0)
    else:
        first, second, *bias = asked.operands.values()
        turned = make_exam(asked.case, first, -second, *bias, exact=True)
        answers.append((turned.truth.y, subject.run(turned).double()))
    for words, side in CUTS.items():
        cut = partial(_to_grid, bits=BITS[name], side=side, least=least)
        same = all(torch.equal(cut(y), answer) for y, answer in answers)
        if same and bool(((cut(low) <= out.double()) & (out.double() <= cut(high))).all()):
            told = f"it {words} instead of rounding them to the nearest number of {name}"
            return Cause(kind=f"{words} {name}", words=told)
    return None


def _to_grid(numbers: Tensor, *, bits: int, side: Callable[[Tensor], Tensor], least: float) -> Tensor:
    """Float64 numbers to one side on the grid of a format of so many bits."""
    step = _step(numbers, bits, least)
    return side(numbers / step) * step


def _find_range(subject: Subject, exam: Exam, out: Tensor) -> Cause | None:
    """Results that go through a format of as many bits and more, but of a smaller range: small products show it."""
    case = subject.case
    stored = TORCH_DTYPE[case.dtype]
    for name, least in SMALLEST_NORMAL.items():
        if BITS[name] < BITS[case.dtype] or name == case.dtype:
            continue
        kind = TORCH_DTYPE[name]
        first, second, *bias = subject.ones()
        first = _short_numbers(subject, tuple(first.shape), BITS[case.dtype], seed=61) * least**0.5
        size = 2.0 ** -subject.draw(tuple(second.shape), 1, BITS[name] - 3, seed=62)
        asked = subject.exam(*one_product(case, first, second * size * least**0.5), *bias)
        got, y = subject.run(asked), asked.truth.y
        through = y.to(kind).to(stored)
        if torch.equal(through, y.to(stored)) or not torch.equal(got, through):
            return None
        low, high = subject.allowed(torch.float64, exam, exam.truth)
        if case.relu:
            low, high = low.clamp(min=0), high.clamp(min=0)
        if bool(((low.to(kind).to(stored) <= out) & (out <= high.to(kind).to(stored))).all()):
            return Cause(kind=f"results {name}", words=f"it rounds its results to {name} on their way to {case.dtype}")
    return None


def _find_products(subject: Subject, name: str) -> Cause | None:
    """Products rounded to a format before they are added."""
    if name not in FORMATS:
        return None
    operand, number = _parts(subject, 1)
    numbers = subject.ones()
    for place in range(2):
        numbers[place] = _short_numbers(subject, tuple(numbers[place].shape), BITS[name], seed=17 + place)

    def ask(kept: Tensor) -> Exam:
        """Some terms alone."""
        operands = [*numbers]
        operands[operand] = numbers[operand] * kept
        return subject.exam(*operands)

    together = ask(number < SOME)
    got, y = subject.run(together).double(), together.truth.y
    one_by_one = sum(ask(number == term).truth.y.to(TORCH_DTYPE[name]).double() for term in range(SOME))
    assert isinstance(one_by_one, Tensor)
    if subject.case.relu:
        got = got.where(y > 0, one_by_one)
    if torch.equal(got, y):
        return None
    if torch.equal(got, one_by_one):
        return Cause(kind=f"products {name}", words=f"it rounds its products to {name}")
    alone = ask(number == 0)
    if torch.equal(subject.run(alone).double(), alone.truth.y.to(TORCH_DTYPE[name]).double()):
        return Cause(kind=f"sums {name}", words=f"it rounds parts of its sums to {name}")
    return None


def _short_numbers(subject: Subject, shape: tuple[int, ...], bits: int, *, seed: int) -> Tensor:
    """From 1 to 2, each with a significand of exactly so many bits."""
    return (2 * subject.draw(shape, 2 ** (bits - 2), 2 ** (bits - 1) - 1, seed=seed) + 1) / 2.0 ** (bits - 1)


def _find_period(subject: Subject, bits: int) -> str:
    """What the sentence ends with where sums are exact within so many channels; "" where that does not show.

    2^bits, 1 and -2^bits are 1 together, and 0 where the first two are rounded before the last is added.
    """
    case, spec = subject.case, subject.case.spec
    if case.pass_ != "fprop" or spec.c_per_group < 4:
        return ""
    lasts = torch.arange(2, spec.c_per_group)
    kept: list[bool] = []
    for start in range(0, len(lasts), spec.k_per_group):
        some = lasts[start : start + spec.k_per_group]
        operands = subject.ones()
        w = torch.zeros_like(operands[1])
        middle = (spec.r // 2, spec.s // 2)
        filters = torch.arange(len(some))
        w[filters, 0, *middle], w[filters, 1, *middle] = 2.0**bits, 1.0
        w[filters, some, *middle] = -(2.0**bits)
        operands[1] = w
        exam = subject.exam(*operands, exact=True)
        got, y = subject.run(exam).double(), exam.truth.y
        for k in range(len(some)):
            read = y[:, k] != 0
            kept.append(bool((got[:, k][read] == 1).all()) and bool(read.any()))
    length = kept.index(False) + 2 if False in kept else 0
    if length < 3 or any(kept[length - 2 :]):
        return ""
    return f" after every {length} channels"


def _find_rounding_before_bias(subject: Subject) -> Cause | None:
    """The sum rounded before the bias is added: what the bias should leave of it is lost."""
    case = subject.case
    if case.epilogue == "none":
        return None
    for name, kind in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        if BITS[name] > BITS[case.dtype]:
            continue
        x, w, bias = subject.ones()
        by = _short_numbers(subject, tuple(bias.shape), BITS[name], seed=41)
        x = x * (1 + 2.0 ** (1 - BITS[name]))
        x, w = one_product(case, x, w * by.reshape(-1, 1, 1, 1))
        product = by * (1 + 2.0 ** (1 - BITS[name]))
        exam = subject.exam(x, w, -product.to(kind).double())
        exact = exam.truth.y
        read = (exact > 0) & (exact < 2.0 ** (1 - BITS[name]))
        if int(read.sum()) < ENOUGH:
            continue
        if bool((subject.run(exam).double()[read] == 0).all()):
            return Cause(kind=f"before the bias {name}", words=f"it rounds y to {name} before the bias is added")
    return None
