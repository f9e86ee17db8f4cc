"""Why do two right answers differ?"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

from dataclasses import replace
from math import gcd, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backends.unfold_matmul import unfold_matmul
from convbench.call.bind import conditions
from convbench.case import Case, Problem
from convbench.errors import ConvbenchError, first_line
from convbench.explain.sheet import Sheet
from convbench.ran.by_torch import convolve, even, shape_of_y
from convbench.spec import ConvSpec
from convbench.verify.bounds import gamma
from convbench.verify.exam import make_exam
from convbench.verify.oracle import conv2d_float64
from convbench.verify.verdict import check

U32, U64 = 2.0**-24, 2.0**-53
FP32_INTEGERS = 2**24  # from 0 to here fp32 has every integer; the next is missing


def not_equal(sheet: Sheet) -> str:
    """Two right answers in fp32, how far apart they are, and how far from float64."""
    ours = sheet.spec
    found = _race(ours, sheet.seed)
    if torch.equal(*found[2:]):
        for other in _longer(ours):
            longer = _race(other, sheet.seed)
            if not torch.equal(*longer[2:]):
                found, sheet.spec = longer, other
                sheet.stand_in = (
                    f"on {ours} the two are bitwise equal: torch sums in the same order, or has little to sum"
                )
                break
    x, w, conv, unfolded = found
    spec = sheet.spec
    case = Case(problem=Problem(suite="shape", name=str(spec), spec=spec), seed=sheet.seed)
    exam = make_exam(case, x, w, drawn=True)
    y = exam.truth.y
    again_y = convolve(x.double(), w.double(), spec)
    magnitude = convolve(x.double().abs(), w.double().abs(), spec)
    taps = float(len(w[0].flatten()))
    slack = float((2 * gamma(taps + 2, U64) * magnitude).max())  # both truths are sums in float64
    sheet.check("float64", y, again_y, "F.conv2d in float64", within=slack)
    difference = conv.double() - unfolded.double()
    sheet.number(
        "apart", float(difference.abs().max()), torch.dist(conv.double(), unfolded.double(), p=torch.inf), "torch.dist"
    )
    sheet.number("differ", int((conv != unfolded).sum()), int(difference.count_nonzero()), "their difference")
    sheet.number("outputs", conv.numel(), prod(shape_of_y(spec)), "F.conv2d's shape")
    close = torch.allclose(unfolded, conv)
    beyond = (unfolded - conv).abs() > 1e-8 + 1e-5 * conv.abs()
    sheet.check("allclose", close, not bool(beyond.any()), "|a − b| <= 1e-8 + 1e-5·|b| by hand")
    sheet.number("beyond", int(beyond.sum()), int((~torch.isclose(unfolded, conv)).sum()), "torch.isclose")
    # The hard bound, by hand: gamma_{n+2} times the sum of the absolute products, and fp32's own rounding of y.
    one = spec.plane
    ones = (torch.ones(shape, dtype=torch.float64) for shape in (one.x_shape, one.w_shape))
    taps_in = spec.c_per_group * convolve(next(ones), next(ones), one)
    steps = taps_in.round() + 2
    allowed = torch.where(taps_in > 0, gamma(steps, U32) * magnitude + steps * torch.finfo(torch.float32).tiny, 0.0)
    low, high = (again_y - allowed).float().double(), (again_y + allowed).float().double()
    rows = []
    again = []
    for label, out in (("F.conv2d", conv), ("unfold + matmul", unfolded)):
        checked = check(exam, out, "vendor" if out is conv else "im2col")
        side = torch.where(out.double() >= again_y, high - again_y, again_y - low)
        by_hand = ((out.double() - again_y).abs() / side).nan_to_num(nan=0.0).max()
        name = "conv" if out is conv else "unfold"
        error = float((out.double() - y).abs().max())
        error_again = float((out.double() - again_y).abs().max())
        sheet.number(name, error, error_again, "float64 by F.conv2d", within=slack)
        sheet.number(f"{name}_share", checked.worst_of_bound, float(by_hand), "the bound by hand", within=1e-6)
        sheet.check(f"{name} in its bound", checked.passed, True, "the bound of convbench verify")
        rows.append((label, (error, checked.worst_of_bound)))
        again.append((error_again, float(by_hand)))
    sheet.check(
        "triangle",
        sheet.numbers["apart"] <= sheet.numbers["conv"] + sheet.numbers["unfold"] + slack,
        True,
        "both errors",
    )
    verdict = "True" if close else "False"
    exceeds = "s" if sheet.numbers["beyond"] == 1 else ""
    told = f"{{differ:,}} of {sheet.count('outputs', 'output')} {_differ(sheet, 'differ')}, by at most {{apart:.2g}}"
    if not sheet.numbers["differ"]:
        told = f"none of {sheet.count('outputs', 'output')} differs"
    sheet.say(
        f"Random normal x and w in fp32: {told}. torch.allclose with its defaults returns {verdict}"
        + (f": {sheet.count('beyond', 'output')} exceed{exceeds} its tolerance." if not close else ".")
    )
    sheet.table(
        ("from float64", "of the bound"), rows, again, "float64 by F.conv2d, the bound by hand", within=max(slack, 1e-6)
    )
    sheet.say(
        "Both are right: the bound is the error that any order of summation may have (gamma_{{n+2}}·Σ|x·w|), and "
        "they use "
        "{conv_share:.2g} and {unfold_share:.2g} of it."
    )
    doubled = _by_unfold(x.double(), w.double(), spec)
    sheet.number("apart64", float((doubled - y).abs().max()), torch.dist(doubled, y, p=torch.inf), "torch.dist")
    # Not F.conv2d: in float64 it may itself be the product of patches, in the same order.
    apart64 = "are identical" if sheet.numbers["apart64"] == 0 else "are {apart64:.2g} apart"
    sheet.say(
        f"In float64 unfold and a sum of shifted views of x, two different orders, {apart64}: the difference is "
        "rounding, and shrinks with it."
    )
    whole = sheet.operands if sheet.spec == ours else (x.mul(8).round().double(), w.mul(8).round().double())
    exact = convolve(*whole, spec)
    sheet.check("integers", conv2d_float64(*whole, spec), exact, "shifted views of x, summed")
    _integers(sheet, "whole", *whole)
    sheet.number("limit", FP32_INTEGERS, int(2 / torch.finfo(torch.float32).eps), "torch.finfo")
    limit = "On integers fp32 is exact in any order, as long as the sums stay below {limit:,}"
    if sheet.numbers["whole_differ"]:
        sheet.say(
            f"{limit}. Here they reach {{whole_top:,}}: {sheet.count('whole_differ', 'output')} "
            f"{_differ(sheet, 'whole_differ')}, by at most {{whole:g}}."
        )
    else:
        sheet.say(f"{limit}: here they reach {{whole_top:,}}, and no output differs.")
    counting = (torch.arange(prod(spec.x_shape)).double().reshape(spec.x_shape), torch.ones_like(whole[1]))
    _integers(sheet, "counting", *counting)
    if sheet.numbers["counting_top"] >= FP32_INTEGERS:
        sheet.say(
            "Beyond that fp32 skips integers: an x that counts up from zero and a w of ones have sums up to "
            + (
                f"{{counting_top:,}}, and {sheet.count('counting_differ', 'output')} "
                f"{_differ(sheet, 'counting_differ')}, by at most {{counting:g}}."
                if sheet.numbers["counting_differ"]
                else "{counting_top:,}; here both still round alike."
            )
        )
    try:
        F.unfold(torch.ones((1, 1, 2, 2), dtype=torch.int64), 1)
    except (RuntimeError, NotImplementedError) as refusal:
        sheet.word("int64", first_line(refusal))
        sheet.say("(F.unfold needs floating point; for int64 it says: {int64}.)")
    sheet.note(
        "torch.allclose has one tolerance for sums of any length. Compare with float64 instead, or with a bound that "
        "depends on the sum, as convbench verify does."
    )
    if not sheet.numbers["apart"]:
        return (
            "Here it is: both sum in the same order, or have only one product. Longer sums differ in their last bits."
        )
    return (
        "Because sums round, and the two add in different orders. Here they differ by up to {apart:.2g} from each "
        "other, and by up to {conv:.2g} and {unfold:.2g} from float64: neither is wrong."
    )


def _differ(sheet: Sheet, name: str) -> str:
    return "differs" if sheet.numbers[name] == 1 else "differ"


def _integers(sheet: Sheet, name: str, x: Tensor, w: Tensor) -> None:
    """How far apart the two are in fp32 on integers, in how many outputs, and the largest sum of absolute products."""
    spec = sheet.spec
    top = convolve(x.abs(), w.abs(), spec).max()
    again = conv2d_float64(x.abs(), w.abs(), spec).max()
    sheet.number(f"{name}_top", int(top), int(again), "shifted views of x, summed")
    with conditions(Case(problem=Problem(suite="shape", name=str(spec), spec=spec))):
        one, other = convolve(x.float(), w.float(), spec), _by_unfold(x.float(), w.float(), spec)
    difference = one.double() - other.double()
    sheet.number(f"{name}_differ", int((one != other).sum()), int(difference.count_nonzero()), "their difference")
    apart = torch.dist(one.double(), other.double(), p=torch.inf)
    sheet.number(name, float(difference.abs().max()), float(apart), "torch.dist")


def _race(spec: ConvSpec, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x and w, random normal in fp32, and y by F.conv2d and by unfold and matmul."""
    generator = torch.Generator().manual_seed(seed)
    x, w = (torch.randn(shape, generator=generator) for shape in (spec.x_shape, spec.w_shape))
    with conditions(Case(problem=Problem(suite="shape", name=str(spec), spec=spec))):
        return x, w, convolve(x, w, spec), _by_unfold(x, w, spec)


def _by_unfold(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """y by unfold and matmul."""
    y: Tensor = unfold_matmul.fn(even(x, spec), w, spec.evened)
    return y


def _longer(spec: ConvSpec) -> list[ConvSpec]:
    """Problems with more to sum: more channels, then what torch gives to a library with an order of its own."""
    found = []
    for c, size, n in ((16, 1, 1), (16, 1, 2), (32, 16, 2)):
        wider = c // gcd(c, spec.groups) * spec.groups
        try:
            one = replace(spec, n=n, c=max(spec.c, wider), h=max(spec.h, size), w=max(spec.w, size))
        except ConvbenchError:
            continue
        if one.macs < 10**8:
            found.append(one)
    return [*found, ConvSpec(n=2, c=32, h=16, w=16, k=8, r=3, s=3)]
