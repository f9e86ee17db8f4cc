"""What would come out if one thing were different? The oracle with a stride swapped, a kernel flipped, groups mixed up.

Each suspect is bilinear in x and w, so its gradients follow from it as they do from the truth: one
list serves all three passes. It shares no code with the oracle.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from convbench.case import Case
from convbench.errors import plural
from convbench.spec import ConvSpec, Pair, pair_text
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.exam import Exam
from convbench.verify.oracle import Truth

Model = Callable[[Tensor, Tensor], Tensor]  # x (N, C, H, W), w (K, C/G, R, S) -> y (N, K, P, Q), all float64
MOST_ALIKE = 3
RELU = "a relu is done that was not asked for"
_STARTS, _ENDS = ("at the top", "on the left"), ("at the bottom", "on the right")
NEAR = 0.3  # relative L2 beyond which nobody asks element by element


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A changed convolution; `finish(y, bias)` is what it does instead of the case's epilogue."""

    cause: Cause
    model: Model
    finish: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Which pixels a kernel reads: of output p and tap r the row p * stride - padding + r * dilation.

    Beyond the border stand zeros, the nearest pixel ("edge"), the opposite side ("around"), or what
    lies there in memory ("memory": columns run on into the neighbouring row, "memory after": into the next one alone,
    "plane after": no further than the plane goes).
    """

    stride: Pair
    padding: Pair
    dilation: Pair
    border: str = "zeros"


def convolve(x: Tensor, w: Tensor, *, spec: ConvSpec, reading: Reading) -> Tensor:
    """y (N, K, P, Q) of the spec's sizes, whatever the reading is."""
    rows = _positions(spec.p, spec.r, 0, reading).to(x.device)
    columns = _positions(spec.q, spec.s, 1, reading).to(x.device)
    kernel = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s)
    # Hundreds of small problems are asked: all taps are read at once, for the number of calls is what they cost.
    pixels = _read(x, rows.flatten(), columns.flatten(), reading.border)
    pixels = pixels.reshape(spec.n, spec.groups, spec.c_per_group, spec.p, spec.r, spec.q, spec.s)
    return torch.einsum("ngcprqs,gkcrs->ngkpq", pixels, kernel).reshape(spec.y_shape)


def convolve_right(spec: ConvSpec) -> Model:
    """The convolution as it should be."""
    return partial(convolve, spec=spec, reading=_right(spec))


def _right(spec: ConvSpec) -> Reading:
    return Reading(stride=spec.stride, padding=spec.padding, dilation=spec.dilation)


def _positions(out: int, taps: int, axis: int, reading: Reading) -> Tensor:
    """(out, taps): coordinates in the image, negative and too large ones too."""
    start = torch.arange(out) * reading.stride[axis] - reading.padding[axis]
    return start[:, None] + torch.arange(taps) * reading.dilation[axis]


def _read(x: Tensor, rows: Tensor, columns: Tensor, border: str) -> Tensor:
    """(N, C, P, Q): the pixels at rows x columns."""
    h, w = x.shape[2:]
    if border == "around":
        return x[:, :, rows % h][..., columns % w]
    row_in, column_in = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
    if border in ("memory", "memory after", "plane after"):
        plane = torch.arange(x[..., 0, 0].numel(), device=x.device).reshape(*x.shape[:2], 1, 1) * (h * w)
        place = plane + rows[:, None] * w + columns
        inside = row_in[:, None] & (place >= 0) & (place < x.numel())
        if border != "memory":
            inside = inside & (columns >= 0)
        if border == "plane after":
            inside = inside & (rows[:, None] * w + columns < h * w)
        return x.reshape(-1)[place.clamp(0, x.numel() - 1)] * inside
    pixels = x[:, :, rows.clamp(0, h - 1)][..., columns.clamp(0, w - 1)]
    return pixels if border == "edge" else pixels * (row_in[:, None] & column_in)


def suspects(case: Case, group_map: tuple[int, ...] | None = None) -> Iterator[Suspect]:
    """Every changed convolution that this case can tell from the right one, the simplest first.

    Args:
        group_map: the group whose channels each group seems to read, where that is known.
    """
    spec = case.spec
    right, base = _right(spec), convolve_right(spec)
    seen = {right}
    for kind, words, reading in _readings(spec, right):
        if reading not in seen:
            seen.add(reading)
            yield Suspect(cause=Cause(kind=kind, words=words), model=partial(convolve, spec=spec, reading=reading))
    for words, model in (
        *_kernels(spec, base),
        *_edges(spec, base),
        *_groups(spec, base, group_map),
        *_layouts(spec, base),
        ("the sign of every output is wrong", lambda x, w: -base(x, w)),
    ):
        yield Suspect(cause=Cause(kind="".join(one for one in words if not one.isdigit()), words=words), model=model)
    if case.pass_ == "fprop":
        for words, finish in _epilogues(case):
            yield Suspect(cause=Cause(kind=words, words=words), model=base, finish=finish)


def _readings(spec: ConvSpec, right: Reading) -> Iterator[tuple[str, str, Reading]]:
    """Kind, words and reading."""
    for name, plain in (("stride", 1), ("dilation", 1), ("padding", 0)):
        given: Pair = getattr(spec, name)
        swapped, none = (given[1], given[0]), (plain, plain)
        told = f"({spec.padding_text if name == 'padding' else pair_text(given)})"
        yield (
            f"{name} swapped",
            f"the {name} is taken with h and w swapped {told}",
            _with(right, name, swapped),
        )
        words = f"the {name} {told} is ignored"
        if name == "padding":
            words += f", as if all of it were {_sides(spec, none, _ENDS)}"
        yield f"{name} ignored", words, _with(right, name, none)
        for axis, letter in enumerate("hw"):
            one = (plain, given[1]) if axis == 0 else (given[0], plain)
            words = f"the {name} along {letter} ({given[axis]}) is ignored"
            if name == "padding":
                words += f", as if all of it were {_sides(spec, one, _ENDS)}"
            yield f"{name} {letter} ignored", words, _with(right, name, one)
            other = (given[1 - axis],) * 2
            words = f"the {name} of {'wh'[axis]} ({given[1 - axis]}) is taken along {letter} too"
            yield f"{name} one for both", words, _with(right, name, other)
    if spec.padding_end is not None:
        words = f"the padding ({spec.padding_text}) is taken with its two sides swapped: it starts with that of the end"
        yield "padding ends swapped", words, replace(right, padding=spec.padding_end)
    yield from _shifted_paddings(spec, right)
    if any(spec.sides):
        words = "the padding is not zero: the pixels of the border are repeated"
        yield "border edge", words, replace(right, border="edge")
        words = "the padding is not zero: the image goes on at its other side"
        yield "border around", words, replace(right, border="around")
    for border, columns in (
        ("memory", "first and last column"),
        ("memory after", "last column"),
        ("plane after", "last column"),
    ):
        words = f"beyond the {columns} it reads on in memory, into the neighbouring row, instead of zeros"
        yield f"border {border}", words, replace(right, border=border)


def _shifted_paddings(spec: ConvSpec, right: Reading) -> Iterator[tuple[str, str, Reading]]:
    """Kind, words and reading: it starts one row or column from where it should, or holds that of both sides.

    Its size is right, so what is too much before the image is missing after it.
    """
    whole = (spec.padding[0] + spec.end[0], spec.padding[1] + spec.end[1])
    for along, axes in (("h and w", (0, 1)), ("h", (0,)), ("w", (1,))):
        first = _moved(spec, [whole[axis] - spec.padding[axis] if axis in axes else 0 for axis in (0, 1)])
        where = _sides(spec, first, _STARTS)
        for change in (-1, 1):
            padding = _moved(spec, [change if axis in axes else 0 for axis in (0, 1)])
            words = f"the padding is off by one: {_start(spec, padding)}"
            words += f", as if all of it were {where}" if padding == first else ""
            yield f"padding {along} {change}", words, replace(right, padding=padding)
        words = f"all of the padding is {where}: {_start(spec, first)}"
        yield f"padding {along} first", words, replace(right, padding=first)


def _moved(spec: ConvSpec, by: Sequence[int]) -> Pair:
    return (spec.padding[0] + by[0], spec.padding[1] + by[1])


def _sides(spec: ConvSpec, padding: Pair, names: tuple[str, str]) -> str:
    """The sides on which it differs from the spec's."""
    return " and ".join(names[axis] for axis in (0, 1) if padding[axis] != spec.padding[axis])


def _start(spec: ConvSpec, padding: Pair) -> str:
    """What lies before the image, as in "2 rows at the top instead of 1"; below zero the image itself is cut off."""
    parts = []
    for axis, (count, given) in enumerate(zip(padding, spec.padding, strict=True)):
        noun = ("row", "column")[axis]
        if count < 0:
            parts.append(f"the first {noun} of the image is cut off")
        elif count != given:
            parts.append(f"{plural(count, noun)} {_STARTS[axis]} instead of {given}")
    return ", ".join(parts)


def _with(reading: Reading, name: str, pair: Pair) -> Reading:
    return replace(reading, **{name: pair})  # type: ignore[arg-type]  # stride, padding or dilation


Named = tuple[str, Model]


def _kernels(spec: ConvSpec, base: Model) -> Iterator[Named]:
    k, c, r, s = spec.w_shape
    if r > 1 and s > 1:
        yield (
            "the kernel is flipped along r and s: a convolution, not the cross-correlation",
            lambda x, w: base(x, w.flip(2, 3)),
        )
        yield "r and s of the kernel are swapped", lambda x, w: base(x, w.reshape(k, c, s, r).mT)
    if r > 1:
        yield "the kernel is flipped along r", lambda x, w: base(x, w.flip(2))
    if s > 1:
        yield "the kernel is flipped along s", lambda x, w: base(x, w.flip(3))
    if k == c > 1:
        yield "k and c of w are swapped", lambda x, w: base(x, w.transpose(0, 1))
    if r * s > 1 and c > 1:
        yield (
            "w in the order k c r s is read as if it lay in the order k r s c",
            lambda x, w: base(x, w.reshape(k, r, s, c).movedim(3, 1)),
        )
        yield (
            "w in the order k r s c is read as if it lay in the order k c r s",
            lambda x, w: base(x, w.movedim(1, 3).reshape(k, c, r, s)),
        )
    if k > 1 and c * r * s > 1:
        yield (
            "w in the order k c r s is read as if it lay in the order r s c k",
            lambda x, w: base(x, w.reshape(r, s, c, k).permute(3, 2, 0, 1)),
        )
        yield (
            "w in the order r s c k is read as if it lay in the order k c r s",
            lambda x, w: base(x, w.permute(2, 3, 1, 0).reshape(k, c, r, s)),
        )


def _edges(spec: ConvSpec, base: Model) -> Iterator[Named]:
    for name, letter, out, axis in (("column", "w", "q", 3), ("row", "h", "p", 2)):
        size, outs, taps, stride = spec.x_shape[axis], spec.y_shape[axis], spec.w_shape[axis], spec.stride[axis - 2]
        for which, place in (("last", size - 1), ("first", 0)):
            if size > 1 and outs > 1:  # of one output it is a tap that is missing
                words = f"the {which} input {name} ({letter}={place}) is never read, as if it were padding"
                number, rest = divmod(place + spec.padding[axis - 2], stride)
                if taps == 1 and not rest and number < outs:  # the same as an output that is left out
                    words = f"the output {name} {out}={number} is ignored: input {name} {letter}={place} is never read"
                yield words, partial(_without, base, axis, place)


def _without(base: Model, axis: int, place: int, x: Tensor, w: Tensor) -> Tensor:
    kept = torch.ones(x.shape[axis], dtype=x.dtype, device=x.device)
    kept[place] = 0
    return base(x * kept.reshape([-1 if one == axis else 1 for one in range(4)]), w)


def _groups(spec: ConvSpec, base: Model, group_map: tuple[int, ...] | None) -> Iterator[Named]:
    g, each, outs = spec.groups, spec.c_per_group, spec.k_per_group
    if g == 1:
        return
    if each > 1:
        order = torch.arange(spec.c).reshape(each, g).T.flatten()
        yield (
            "the channels are interleaved over the groups: group g reads every G-th channel from c=g",
            lambda x, w: base(x[:, order.to(x.device)], w),
        )
    if outs > 1:
        turn = torch.arange(spec.k).reshape(outs, g).T.flatten()
        yield (
            "the output channels are interleaved over the groups: k belongs to group k % G",
            lambda x, w: base(x, w[turn.to(w.device)])[:, turn.argsort().to(x.device)],
        )
    if group_map is not None:
        picked = torch.cat([torch.arange(each) + source * each for source in group_map])
        yield _tell_groups(group_map), lambda x, w: base(x[:, picked.to(x.device)], w)


def _tell_groups(group_map: tuple[int, ...]) -> str:
    wrong = [group for group, source in enumerate(group_map) if group != source]
    sources = {group_map[group] for group in wrong}
    if len(sources) == 1:
        groups = f"group {wrong[0]} reads" if len(wrong) == 1 else f"groups {','.join(map(str, wrong))} read"
        return f"{groups} the channels of group {sources.pop()}"
    pairs = [f"group {group} those of group {group_map[group]}" for group in wrong[:4]]
    return "groups read each other's channels: " + ", ".join(pairs) + (", ..." if len(wrong) > 4 else "")


def _layouts(spec: ConvSpec, base: Model) -> Iterator[Named]:
    n, c, h, w_ = spec.x_shape
    _, k, p, q = spec.y_shape
    if h == w_ > 1:
        yield "x is read with h and w swapped", lambda x, w: base(x.mT, w)
    if p == q > 1:
        yield "y is written with p and q swapped", lambda x, w: base(x, w).mT
    if c > 1 and h * w_ > 1:
        yield (
            "x in the order n h w c is read as if it lay in the order n c h w",
            lambda x, w: base(x.movedim(1, 3).reshape(n, c, h, w_), w),
        )
        yield (
            "x in the order n c h w is read as if it lay in the order n h w c",
            lambda x, w: base(x.reshape(n, h, w_, c).movedim(3, 1), w),
        )
    if k > 1 and p * q > 1:
        yield (
            "y is written in the order n k p q where it lies in the order n p q k",
            lambda x, w: base(x, w).reshape(n, p, q, k).movedim(3, 1),
        )
        yield (
            "y is written in the order n p q k where it lies in the order n k p q",
            lambda x, w: base(x, w).movedim(1, 3).reshape(n, k, p, q),
        )


def _epilogues(case: Case) -> Iterator[tuple[str, Callable[[Tensor, Tensor], Tensor]]]:
    def ended(y: Tensor) -> Tensor:
        return y.clamp(min=0) if case.relu else y

    if case.epilogue == "none":
        yield RELU, lambda y, _: y.clamp(min=0)
        return
    yield "the bias is not added", lambda y, _: ended(y)
    yield "the bias is added twice", lambda y, b: ended(y + 2 * b)
    yield "the bias is subtracted", lambda y, b: ended(y - b)
    if case.relu:
        yield "the relu is not done", lambda y, b: y + b
        yield "the bias is added after the relu", lambda y, b: y.clamp(min=0) + b
    else:
        yield RELU, lambda y, b: (y + b).clamp(min=0)


def changed(case: Case, model: Model, operands: list[Tensor]) -> Tensor:
    """What a model gives for the case's pass: y itself, or its gradient with respect to x or w."""
    first, second = operands[0].double(), operands[1].double()
    if case.pass_ == "fprop":
        return model(first, second)
    shape = case.spec.x_shape if case.pass_ == "dgrad" else case.spec.w_shape
    with torch.enable_grad():
        asked = torch.zeros(shape, dtype=torch.float64, device=first.device, requires_grad=True)
        y = model(asked, second) if case.pass_ == "dgrad" else model(second, asked)
        (y * first).sum().backward()  # torch.autograd.grad imports sympy at its first use: seconds
    assert asked.grad is not None
    return asked.grad


def matches(subject: Subject, exam: Exam, out: Tensor, suspect: Suspect) -> bool:
    """Whether every output lies within its bound around the suspect's truth, and that is not the right one."""
    subject.pay(calls=0)
    case, operands = exam.case, list(exam.operands.values())
    y = changed(case, suspect.model, operands[:2])
    bias = operands[2].double().reshape(1, -1, 1, 1) if len(operands) == 3 else y.new_zeros(1)
    before = y + bias if suspect.finish is None else suspect.finish(y, bias)
    after = before.clamp(min=0) if case.relu and suspect.finish is None else before
    distance, size = float((out.double() - after).norm()), float(after.norm())
    if not distance <= NEAR * size:  # NaN is not near
        return False
    magnitude = changed(case, suspect.model, [one.abs() for one in operands[:2]]).abs() + 2 * bias.abs()
    terms = torch.full_like(exam.truth.terms, float(exam.truth.terms.max()) + 2)
    truth = Truth(y=before, magnitude=magnitude, terms=terms)
    share = subject.shares(out, exam, truth, relu=None if suspect.finish is None else False)
    # A stride of a single output row changes nothing; a bound of as many terms as the longest sum would hide that.
    return bool((share <= 1).all()) and bool((subject.shares(after.to(out.dtype), exam) > 1).any())


def together(found: Sequence[Cause]) -> Cause | None:
    """Causes that this case cannot tell apart, as one; None where there is none, or so many that they tell nothing."""
    words = list(dict.fromkeys(cause.words for cause in found))
    if not words or len(words) > MOST_ALIKE:
        return None
    return Cause(kind=found[0].kind, words=", or ".join(words) + (" (the same on this case)" if len(words) > 1 else ""))
