"""How many bits does an implementation keep? Of its inputs, its products and its sums, by exact numbers.

A single product by 1 shows what became of an input; a product of two short numbers, what became of a
product; sums of positive whole numbers, up to which size they are still exact. A format with b
bits holds every whole number up to 2^b, and no partial sum is larger than the whole one.
"""

import torch
from torch import Tensor

from convbench.case import Case
from convbench.dtypes import DTYPE
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.oracle import count_terms

# Bits of a significand; the formats to which something may be rounded, the narrowest first.
BITS = {name: one.digits for name, one in DTYPE.items()}
FORMATS = {name: bits for bits, name in sorted((bits, name) for name, bits in BITS.items()) if bits < 53}
LEAST_TERMS = 4


def find_precision(subject: Subject) -> Cause | None:
    """What it rounds to fewer bits than the case promises; None where nothing shows."""
    case = subject.case
    promised = BITS[case.dtype]
    first, second = list(case.operands)[:2]
    if case.precision == "tf32" or subject.backend.family in ("winograd", "fft", "strassen"):
        return None  # the one may, the others have products of their own
    kept = {name: _input_bits(subject, place, promised) for place, name in enumerate((first, second))}
    if None in kept.values():
        return None  # what is wrong here is not rounding
    product = _product_bits(subject, promised)
    if product is not None:
        return Cause(kind=f"products {product}", words=f"it rounds what it computes to {product}")
    lost = {name: bits for name, bits in kept.items() if bits is not None and bits < promised}
    if lost:
        names, form = " and ".join(lost), _format(max(lost.values()))
        if form == "fp16" and all(_keeps_small(subject, list(kept).index(name)) for name in lost):
            form = "TF32"
        return Cause(kind=f"inputs {form}", words=f"it rounds {names} to {form}")
    if subject.backend.count_roundings(case):
        return None  # it says itself that it rounds sums
    sums = _sum_format(subject, promised)
    return None if sums is None else Cause(kind=f"sums {sums}", words=f"it rounds its sums to {sums}")


def _format(bits: int) -> str:
    """The narrowest format that holds so many bits."""
    return next((name for name, most in FORMATS.items() if bits <= most), "fp64")


def significant_bits(values: Tensor) -> int:
    """The most bits that a significand among the values needs, from its first to its last 1."""
    mantissa, _ = torch.frexp(values.double())
    whole = (mantissa.abs() * 2.0**53).long()
    lowest = torch.where(whole == 0, 53, _trailing_zeros(whole))
    return int((53 - lowest).max())


def _trailing_zeros(whole: Tensor) -> Tensor:
    return torch.log2((whole & -whole).clamp(min=1).double()).long()


def one_product(case: Case, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Zeroes all but what leaves one product at most in each output: a tap of one channel, or one dy."""
    spec = case.spec
    if case.pass_ == "wgrad":
        mask = torch.zeros_like(first)
        mask[0, :, spec.p // 2, spec.q // 2] = 1
        return first * mask, second
    mask = torch.zeros_like(second)
    step = spec.k_per_group if case.pass_ == "dgrad" else 1  # dgrad sums over the group's output channels
    mask[::step, 0, spec.r // 2, spec.s // 2] = 1
    return first, second * mask


def _ask(subject: Subject, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """What comes of two operands without bias: (got, exact), where the exact one is not 0."""
    shapes = list(subject.case.operands.values())
    bias = [torch.zeros(shape, dtype=torch.float64, device=first.device) for shape in shapes[2:]]
    exam = subject.exam(first, second, *bias)
    out = subject.run(exam).double()
    due = exam.truth.y != 0
    return out[due], exam.truth.y[due]


def _numbers(subject: Subject, shape: tuple[int, ...], bits: int, seed: int) -> Tensor:
    """From 1 to 2, each with a significand of exactly so many bits."""
    odd = 2 * subject.draw(shape, 2 ** (bits - 2), 2 ** (bits - 1) - 1, seed=seed) + 1
    return odd / 2.0 ** (bits - 1)


def _input_bits(subject: Subject, place: int, promised: int) -> int | None:
    """Bits that are left of one operand, the other being 1; None if more is wrong than its last bits."""
    case = subject.case
    shapes = list(case.operands.values())
    operands = [torch.ones(shape, dtype=torch.float64, device=case.target.torch_name) for shape in shapes[:2]]
    operands[place] = _numbers(subject, shapes[place], promised, seed=7 + place)
    got, exact = _ask(subject, *one_product(case, *operands))
    if not got.numel() or not bool(((got - exact).abs() <= 2.0**-7 * exact).all()):
        return None
    return promised if torch.equal(got, exact) else significant_bits(got)


def _keeps_small(subject: Subject, place: int) -> bool:
    """Whether 11 bits are left of a number as small as 2^-20: in TF32 they are, in fp16 it is subnormal."""
    case = subject.case
    shapes = list(case.operands.values())
    operands = [torch.ones(shape, dtype=torch.float64, device=case.target.torch_name) for shape in shapes[:2]]
    operands[place] = _numbers(subject, shapes[place], 11, seed=13) * 2.0**-20
    return torch.equal(*_ask(subject, *one_product(case, *operands)))


def _product_bits(subject: Subject, promised: int) -> str | None:
    """The format of a product whose factors have 8 bits each, if it is narrower than the result's."""
    shapes = list(subject.case.operands.values())
    if promised < 24:
        return None  # the result itself is that narrow
    bits = 20 if promised == 53 else 8
    first, second = (_numbers(subject, shape, bits, seed=17 + place) for place, shape in enumerate(shapes[:2]))
    got, exact = _ask(subject, *one_product(subject.case, first, second))
    return None if torch.equal(got, exact) else _format(significant_bits(got))


def _sum_format(subject: Subject, promised: int) -> str | None:
    """The widest format in which every small sum is exact while larger ones are not."""
    target = 53 if promised == 53 else 24
    exact_so_far = False
    for name, bits in FORMATS.items():
        if bits >= target:
            break
        if exact_so_far is False and not _sums_exact(subject, 2**bits):
            return None  # wrong in another way
        exact_so_far = True
        if not _sums_exact(subject, 2 ** (bits + 3)):
            return name
    return None


def _sums_exact(subject: Subject, most: int) -> bool:
    """Whether sums of positive whole numbers that are no larger than this come out right, several times."""
    case = subject.case
    terms = int(count_terms(case.spec, case.pass_).max()) + (case.epilogue != "none")
    if terms < LEAST_TERMS or terms > most:
        return True
    largest = max(1, int((most // terms) ** 0.5))
    largest = min(largest, 2 ** min(BITS[case.dtype], 12))
    shapes = list(case.operands.values())
    for seed in range(3):
        first, second = (
            subject.draw(shape, (largest + 1) // 2, largest, seed=31 + 2 * seed + place)
            for place, shape in enumerate(shapes[:2])
        )
        bias = [torch.zeros(shape, dtype=torch.float64, device=case.target.torch_name) for shape in shapes[2:]]
        exam = subject.exam(first, second, *bias)
        out, y = subject.run(exam), exam.truth.y
        if not torch.equal(out, y.to(out.dtype)):
            return False
    return True
