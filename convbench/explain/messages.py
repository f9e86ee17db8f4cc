"""What does torch mean by this message about shapes, which number is to be changed, and which call works?

Each message is read by its numbers, and each call that is offered has been run before it is shown.
"""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from convbench.errors import ConvbenchError, one_line
from convbench.spec import ConvSpec

MAX_NUMBERS = 2**22  # up to here a call is really computed; a larger one is checked by its shapes alone
MAX_MACS = 10**9
MAX_SIZE = 10**6
LONGEST = 20_000  # characters of what is read: a traceback, not a log

_INT = r"(-?\d{1,9})"
_LIST = r"\[*(?:torch\.Size\()?[\[(]+([-\d, x]*)[\])]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of torch.nn.functional on random operands.

    Attributes:
        operands: their shapes.
        options: by name, after the operands.
    """

    function: str
    operands: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As it is written in Python, with `import torch` and `import torch.nn.functional as F`."""
        operands = [f"torch.randn({', '.join(str(size) for size in shape)})" for shape in self.operands]
        options = [f"{name}={value!r}" for name, value in self.options.items()]
        return f"F.{self.function}({', '.join(operands + options)})"

    @property
    def spec(self) -> ConvSpec | None:
        """The problem, if it is one of convbench's."""
        if self.function != "conv2d" or any(len(shape) != 4 for shape in self.operands[:2]):
            return None
        (n, c, h, w), (k, _, r, s) = self.operands[:2]
        stride, padding, dilation = (
            (given, given) if isinstance(given, int) else given
            for given in (
                self.options.get(name, usual) for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1))
            )
        )
        if padding == "same":
            if r % 2 == 0 or s % 2 == 0:
                return None  # more on one side than on the other
            padding = (r // 2, s // 2)
        groups = self.options.get("groups", 1)
        try:
            return ConvSpec(
                n=n, c=c, h=h, w=w, k=k, r=r, s=s, stride=stride, padding=padding, dilation=dilation, groups=groups
            )
        except ConvbenchError:
            return None

    def run(self) -> tuple[tuple[int, ...], bool]:
        """The result's shape, and whether it was computed and not only derived.

        Raises:
            RuntimeError: torch refuses it too.
        """
        numbers = sum(prod(shape) for shape in self.operands)
        macs = prod(self.operands[0]) * prod(self.operands[1]) if len(self.operands) > 1 else numbers
        computed = numbers <= MAX_NUMBERS and macs <= MAX_MACS * self.operands[0][-1]
        device = "cpu" if computed else "meta"
        operands = [torch.zeros(shape, device=device) for shape in self.operands]
        with warnings.catch_warnings(action="ignore"), torch.no_grad():
            result = getattr(F, self.function)(*operands, **self.options)
        return tuple(result.shape), computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change that works: in words, as a call, and the shape that the call has given."""

    words: str
    call: Call
    shape: tuple[int, ...]
    computed: bool

    @property
    def spec(self) -> ConvSpec | None:
        return self.call.spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A message of torch, read.

    Attributes:
        name: of the kind of message.
        message: the part that was recognised.
        meanings: each number or name in it, and what it is.
        fault: which two things do not go together, or what is not allowed.
        fixes: what to change, each tried.
    """

    name: str
    title: str
    function: str
    message: str
    meanings: tuple[tuple[str, str], ...]
    fault: str
    fixes: tuple[Fix, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a reader makes of a match, its fixes yet to be tried."""

    function: str
    meanings: tuple[tuple[str, str], ...]
    fault: str
    fixes: tuple[tuple[str, Call], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One kind of message: how it is recognised, and how it is read."""

    name: str
    title: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Reading]


def decode(text: str) -> Decoded:
    """What a message, or a traceback that holds one, says.

    Raises:
        ConvbenchError: it is none that is known.
    """
    line = " ".join(text[-LONGEST:].split())
    for message in MESSAGES:
        if (match := message.pattern.search(line)) is None:
            continue
        try:
            reading = message.read(match)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            continue  # the words of torch, but numbers that it never says
        return Decoded(
            name=message.name,
            title=message.title,
            function=reading.function,
            message=match[0],
            meanings=reading.meanings,
            fault=reading.fault,
            fixes=tuple(_try(reading.fixes)),
        )
    raise ConvbenchError(
        f"not a message that is known: {one_line(line, 200)!r}; known are those of conv2d, unfold and fold about "
        f"shapes, types and options; give the whole last line of the traceback, or pipe the traceback to --error -"
    )


def _try(fixes: tuple[tuple[str, Call], ...]) -> Iterator[Fix]:
    """Those that torch takes, each call once."""
    seen, first = set(), True
    for words, call in fixes:
        if call.text in seen or any(not 0 <= size <= MAX_SIZE for shape in call.operands for size in shape):
            continue
        seen.add(call.text)
        try:
            shape, computed = call.run()
        except (RuntimeError, ValueError, TypeError, IndexError, MemoryError):
            continue
        bare = words.removeprefix("Or ")
        yield Fix(words=bare[0].upper() + bare[1:] if first else words, call=call, shape=shape, computed=computed)
        first = False


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"-?\d{1,9}", text))


def _show(sizes: tuple[int, ...]) -> str:
    return f"[{', '.join(str(size) for size in sizes)}]"


def _by(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes)


def _name_x(x: tuple[int, ...]) -> str:
    if len(x) < 3:
        return "x"
    n, c, *rest = x
    return f"x: {n} image{'s' * (n != 1)}, {c} channel{'s' * (c != 1)}, {_by(tuple(rest))} pixels (N, C, H, W)"


def _name_w(w: tuple[int, ...]) -> str:
    if len(w) < 3:
        return "w"
    k, c, *rest = w
    return (
        f"w: {k} filter{'s' * (k != 1)}, each with {c} slice{'s' * (c != 1)} of {_by(tuple(rest))} taps (K, C/G, R, S)"
    )


def _convolution(w: tuple[int, ...]) -> str:
    return f"conv{len(w) - 2}d" if len(w) in (3, 4, 5) else "conv2d"


def _fitted(x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> Call:
    """A convolution of x with w, with padding where the kernel would not fit otherwise."""
    padding = tuple(max(0, -(-(taps - size) // 2)) for size, taps in zip(x[2:], w[2:], strict=False))
    if any(padding):
        options = {"padding": padding} | options
    return Call(function=_convolution(w), operands=(x, w), options=options)


_X, _W = (1, 3, 8, 8), (4, 3, 3, 3)  # where a message names no sizes


# ----------------------------------------------------------------------------- channels, groups


def _channels(match: re.Match[str]) -> Reading:
    kind, groups, w, x = match[1], int(match[2]), _sizes(match[3]), _sizes(match[4])
    wanted, got = int(match[5]), int(match[6])
    if kind == "transposed":
        return _transposed_channels(w, x, wanted, got)
    c, k = (w[1] if len(w) > 1 else 0), w[0]
    meanings = (
        (f"groups={groups}", "G, as it was given (1 is the default)"),
        (_show(w), _name_w(w)),
        (_show(x), f"{_name_x(x)}; an image without a batch is shown with a 1 before it"),
        (f"{wanted} channels", f"what this w reads: groups · w.shape[1] = {groups}·{c}"),
        (f"{got} channels", "what x has: x.shape[1]"),
    )
    fixes: list[tuple[str, Call]] = []
    if x[-1] == wanted and x[-1] != got:
        moved = (x[0], x[-1], *x[1:-1])
        fixes.append(
            (
                f"x has its {wanted} channels last (NHWC): x.permute(0, 3, 1, 2) puts them second.",
                _fitted(moved, w, **_g(groups)),
            )
        )
    if groups > 0 and got % groups == 0:
        other = (k, got // groups, *w[2:])
        fixes.append(
            (
                f"Or change w: in_channels of the layer is {got}, not {wanted}; w.shape[1] becomes {got // groups}.",
                _fitted(x, other, **_g(groups)),
            )
        )
    if c and got % c == 0 and got // c != groups:
        g = got // c
        if k % g == 0:
            fixes.append(
                (
                    f"Or say groups={g}, if each filter shall read only {c} of the {got} channels.",
                    _fitted(x, w, groups=g),
                )
            )
        else:
            many = -(-k // g) * g
            fixes.append(
                (
                    (
                        f"Or say groups={g}, if each filter shall read only {c} of the {got} channels; filters "
                        "must then "
                        f"be a multiple of {g}, such as {many}."
                    ),
                    _fitted(x, (many, *w[1:]), groups=g),
                )
            )
    fixes.append(
        (f"Or change x: give it {wanted} channels, as w reads.", _fitted((x[0], wanted, *x[2:]), w, **_g(groups)))
    )
    return Reading(
        function=_convolution(w),
        meanings=meanings,
        fault=f"w reads {wanted} channels and x has {got}. x.shape[1] must be groups · w.shape[1].",
        fixes=tuple(fixes),
    )


def _g(groups: int) -> dict[str, Any]:
    return {"groups": groups} if groups > 1 else {}


def _transposed_channels(w: tuple[int, ...], x: tuple[int, ...], wanted: int, got: int) -> Reading:
    function = f"conv_transpose{len(w) - 2}d"
    return Reading(
        function=function,
        meanings=(
            ("transposed=1", "a transposed convolution: w's first size is then the channels of x, (C, K/G, R, S)"),
            (_show(w), f"w: {wanted} channels of x, {w[1]} filters for a group, {_by(w[2:])} taps"),
            (_show(x), _name_x(x)),
            (f"{wanted} channels", "what this w reads: w.shape[0]"),
            (f"{got} channels", "what x has: x.shape[1]"),
        ),
        fault=f"w reads {wanted} channels and x has {got}. In a transposed convolution x.shape[1] must be w.shape[0].",
        fixes=(
            (
                f"Change w: in_channels of the layer is {got}; w.shape[0] becomes {got}.",
                Call(function=function, operands=(x, (got, *w[1:]))),
            ),
            (f"Or change x: give it {wanted} channels.", Call(function=function, operands=((x[0], wanted, *x[2:]), w))),
        ),
    )


def _weight_groups(match: re.Match[str]) -> Reading:
    groups, what, least, w = int(match[1]), match[2], int(match[3]), _sizes(match[4])
    many = max(1, -(-w[0] // groups)) * groups
    x = (1, w[1] * groups, *(max(8, size) for size in w[2:]))
    rule = f"a multiple of groups={groups}" if what == "divisible by" else f"at least groups={groups}"
    return Reading(
        function=_convolution(w),
        meanings=(
            (f"groups={groups}", "G, as it was given"),
            (f"{least} at dimension 0", f"what the number of filters must be: {rule}, as each group has as many"),
            (_show(w), _name_w(w)),
        ),
        fault=f"{groups} groups cannot share {w[0]} filters: w.shape[0] (out_channels) must be a multiple of groups.",
        fixes=(
            (f"Change w: make out_channels {many}.", _fitted(x, (many, *w[1:]), groups=groups)),
            (
                "Or leave groups out, if each filter shall read every channel of x.",
                _fitted((1, w[1], *x[2:]), (max(1, w[0]), *w[1:])),
            ),
        ),
    )


def _indivisible(match: re.Match[str]) -> Reading:
    side = match[1]
    return Reading(
        function="Conv2d",
        meanings=((f"{side}_channels", "C of x" if side == "in" else "K, the filters"), ("groups", "G")),
        fault=f"{side}_channels must be a multiple of groups, as each group gets as many.",
        fixes=(
            (
                "Such as 4 channels, 6 filters and groups=2:",
                Call(function="conv2d", operands=((1, 4, 8, 8), (6, 2, 3, 3)), options={"groups": 2}),
            ),
        ),
    )


def _bias(match: re.Match[str]) -> Reading:
    w, wanted, bias = _sizes(match[1]), int(match[2]), _sizes(match[3])
    x = (1, w[1], *(max(8, size) for size in w[2:]))
    return Reading(
        function=_convolution(w),
        meanings=(
            (_show(w), _name_w(w)),
            (f"{wanted} elements", "w.shape[0]: each filter adds one number to all of its outputs"),
            (_show(bias), "the bias that was given"),
        ),
        fault=f"The bias must be a vector of {wanted} numbers, one for each filter; this one is {_by(bias)}.",
        fixes=((f"Change the bias: {wanted} numbers.", Call(function=_convolution(w), operands=(x, w, (wanted,)))),),
    )


# ----------------------------------------------------------------------------- sizes


def _kernel(match: re.Match[str]) -> Reading:
    size, extent = _sizes(match[1]), _sizes(match[2])
    w = (1, 1, *extent)
    function = _convolution(w)
    missing = tuple(max(0, taps - lines) for lines, taps in zip(size, extent, strict=True))
    padding = tuple(-(-lack // 2) for lack in missing)
    fixes = []
    if min(size) > 0:
        more = _by(padding) if len(set(padding)) > 1 else str(padding[0])
        fixes.append(
            (
                f"Pad more: {more} lines more on each side.",
                Call(function=function, operands=((1, 1, *size), w), options={"padding": padding}),
            )
        )
        smaller = tuple(min(lines, taps) for lines, taps in zip(size, extent, strict=True))
        fixes.append(
            (
                f"Or a smaller kernel, or less dilation: it may span {_by(smaller)} at most.",
                Call(function=function, operands=((1, 1, *size), (1, 1, *smaller))),
            )
        )
    larger = tuple(max(lines, taps, 1) for lines, taps in zip(size, extent, strict=True))
    fixes.append(
        (
            (
                f"Or a larger x: {_by(larger)} with its padding, at least. In a network: fewer strides and poolings "
                "before."
            ),
            Call(function=function, operands=((1, 1, *larger), w)),
        )
    )
    return Reading(
        function=function,
        meanings=(
            (_by(size), "x with its padding: H + 2·padding, and so on for each axis"),
            (_by(extent), "the kernel with its dilation: dilation·(R − 1) + 1, and so on"),
        ),
        fault="The kernel is larger than the padded x, so it has no position at all and y would be empty.",
        fixes=tuple(fixes),
    )


def _blocks(match: re.Match[str]) -> Reading:
    size, kernel, dilation, padding = (_sizes(match[i]) for i in (1, 2, 3, 4))
    blocks = _sizes(match[5])
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    more = tuple(max(p, -(-(e - s) // 2)) for s, e, p in zip(size, extent, padding, strict=True))
    options = {"kernel_size": kernel, "dilation": dilation}
    larger = tuple(max(s, e - 2 * p) for s, e, p in zip(size, extent, padding, strict=True))
    return Reading(
        function="unfold",
        meanings=(
            (_by(size), "x: H×W"),
            (_by(kernel), f"the kernel, R×S; with dilation {_by(dilation)} it spans {_by(extent)}"),
            (_by(padding), "padding in height and width"),
            (_by(blocks), "positions of the kernel, P×Q: none"),
        ),
        fault="The kernel is larger than the padded x, so there is no patch.",
        fixes=(
            (
                f"Pad more: padding={more}.",
                Call(function="unfold", operands=((1, 1, *size),), options=options | {"padding": more}),
            ),
            (
                f"Or a larger x: {_by(larger)}.",
                Call(function="unfold", operands=((1, 1, *larger),), options=options | {"padding": padding}),
            ),
        ),
    )


def _dimensions(match: re.Match[str]) -> Reading:
    x = _sizes(match[2])
    return Reading(
        function=match[1],
        meanings=((_show(x), f"x: {len(x)} sizes"), ("3D or 4D", "(C, H, W) for one image, (N, C, H, W) for a batch")),
        fault=f"x has {len(x)} dimension{'s' * (len(x) != 1)}, and a 2-D convolution wants four: images, channels, "
        "height, width.",
        fixes=tuple(_four(x, lambda shape: _fitted(shape, (1, shape[1], 3, 3)))),
    )


def _four(x: tuple[int, ...], call: Callable[[tuple[int, ...]], Call]) -> Iterator[tuple[str, Call]]:
    """Ways to four dimensions."""
    if len(x) == 2:
        yield "A grey image: x[None, None] puts N and C before H and W.", call((1, 1, *x))
    elif len(x) == 1:
        yield "A signal: x[None, None, None] makes it an image of one row.", call((1, 1, 1, *x))
    elif len(x) > 4:
        yield f"Take the leading sizes as one batch: x.flatten(0, {len(x) - 4}).", call((prod(x[:-3]), *x[-3:]))
    else:
        yield "Such as:", call(tuple(max(1, size) for size in (1, 1, 8, 8)[: 4 - len(x)] + x))


def _unfold_dimensions(match: re.Match[str]) -> Reading:
    x = _sizes(match[1])
    if len(x) in (3, 4) and 0 in x[-3:]:
        shape = tuple(size or 8 for size in x)
        fixes: tuple[tuple[str, Call], ...] = (("Give it pixels and channels:", _unfold(shape)),)
    else:
        fixes = tuple(_four(x, _unfold))
    return Reading(
        function="unfold",
        meanings=(
            (_show(x), "x"),
            ("3D or 4D", "(C, H, W) for one image, (N, C, H, W) for a batch; only N may be zero"),
        ),
        fault="F.unfold wants images with channels, height and width, none of them zero.",
        fixes=fixes,
    )


def _unfold(shape: tuple[int, ...]) -> Call:
    kernel = (min(2, shape[-2]), min(2, shape[-1]))
    return Call(function="unfold", operands=(shape,), options={"kernel_size": kernel})


def _pairs(match: re.Match[str]) -> Reading:
    name, wanted, given = match[1], int(match[2]), _sizes(match[3])
    if wanted != 2:
        dimensions = wanted + 2
        return Reading(
            function="conv2d",
            meanings=(
                (
                    f"{wanted} value{'s' * (wanted != 1)}",
                    f"torch takes it for a {wanted}-D convolution: w has {dimensions} dimensions",
                ),
                (f"{name}={list(given)}", "conv2d's own, a pair"),
            ),
            fault=f"It is w that is wrong: it has {dimensions} dimensions, and conv2d wants four, (K, C/G, R, S).",
            fixes=(("Give w four sizes, such as w[None] or w.reshape(K, C, R, S):", _fitted(_X, _W)),),
        )
    number = {"stride": 1, "dilation": 1}.get(name, 0)
    pair = tuple((*given, number, number)[:2])
    words = f"Give a pair (height, width): {name}={pair}."
    if name == "padding" and len(given) == 4:
        words += " For four different sides use F.pad(x, (left, right, top, bottom)) first."
    x = (1, 3, *(max(8, 3 * abs(one)) for one in pair))
    return Reading(
        function="conv2d",
        meanings=(
            (f"{wanted} values", "height and width"),
            (f"{name}={list(given)}", f"what was given: {len(given)} values"),
        ),
        fault=f"{name} has {len(given)} values; a 2-D convolution takes one number or two.",
        fixes=((words, Call(function="conv2d", operands=(x, _W), options={name: pair})),),
    )


def _flat_weight(_: re.Match[str]) -> Reading:
    return Reading(
        function="conv2d",
        meanings=(("three dimensions", "the least: (K, C/G, S) of a 1-D convolution; conv2d wants (K, C/G, R, S)"),),
        fault="w is a matrix or a vector; conv2d wants four sizes: filters, channels of a group, height, width.",
        fixes=(("A single R×S kernel for one channel: w[None, None].", _fitted((1, 1, 8, 8), (1, 1, 3, 3))),),
    )


def _addition(match: re.Match[str]) -> Reading:
    a, b, axis = (int(match[i]) for i in (1, 2, 3))
    large, small = max(a, b), min(a, b)
    names = {0: "N, the images", 1: "C, the channels", 2: "H, the height", 3: "W, the width"}
    fixes: list[tuple[str, Call]] = []
    if axis == 1:
        fixes.append(
            (
                f"Bring the {small} channels to {large} by a 1×1 convolution on that branch:",
                Call(function="conv2d", operands=((1, small, 8, 8), (large, small, 1, 1))),
            )
        )
    elif axis in (2, 3):
        lost = large - small
        shape = (1, 4, 1, large) if axis == 3 else (1, 4, large, 1)

        def kernel(taps: int) -> tuple[int, int, int, int]:
            return (4, 4, 1, taps) if axis == 3 else (4, 4, taps, 1)

        if lost % 2 == 0:
            pad = (0, lost // 2) if axis == 3 else (lost // 2, 0)
            fixes.append(
                (
                    f"A kernel of {lost + 1} without padding loses {lost}: with padding {lost // 2} it loses none.",
                    Call(function="conv2d", operands=(shape, kernel(lost + 1)), options={"padding": pad}),
                )
            )
        else:
            fixes.append(
                (
                    f"A kernel of {lost + 1} without padding loses {lost}: padding='same' loses none.",
                    Call(function="conv2d", operands=(shape, kernel(lost + 1)), options={"padding": "same"}),
                )
            )
        if small and -(-large // 2) == small:
            stride = (1, 2) if axis == 3 else (2, 1)
            fixes.append(
                (
                    (
                        f"Or one branch has stride 2 ({large} becomes {small}): give the other a 1×1 convolution of "
                        "stride 2."
                    ),
                    Call(function="conv2d", operands=(shape, kernel(1)), options={"stride": stride}),
                )
            )
    return Reading(
        function="a + b",
        meanings=(
            (str(a), f"the first tensor's size along dimension {axis}"),
            (str(b), "the second one's"),
            (f"dimension {axis}", f"of images (N, C, H, W): {names.get(axis, 'beyond W')}"),
        ),
        fault="Two tensors are joined number by number, as where a shortcut is added, and have different sizes there.",
        fixes=tuple(fixes),
    )


def _product(match: re.Match[str]) -> Reading:
    a, b, c, d = (int(match[i]) for i in (1, 2, 3, 4))
    return Reading(
        function="linear",
        meanings=(
            (f"{a}x{b}", f"{a} row{'s' * (a != 1)} of {b} features: after a convolution, flatten gives K·P·Q of them"),
            (f"{c}x{d}", f"the layer's weight, transposed: it takes {c} features and gives {d}"),
        ),
        fault=f"{b} features meet a layer for {c}: the convolution's output has another size than the layer was made "
        "for.",
        fixes=((f"Change the layer: in_features is {b}.", Call(function="linear", operands=((a, b), (d, b)))),),
    )


def _einsum(match: re.Match[str]) -> Reading:
    letter, got, seen = match[1], int(match[2]), int(match[3])
    reason = ""
    if got and seen % got == 0:
        reason = f" {seen} is {seen // got}·{got}: with groups={seen // got} each group has its own {got} rows."
    return Reading(
        function="einsum",
        meanings=(
            (letter, "the letter of the taps, C·R·S, in both operands"),
            (str(seen), "rows of the patch matrix: C·R·S over all channels"),
            (str(got), "numbers in a flattened filter: C/G·R·S"),
        ),
        fault=f"The flattened kernel has {got} taps and the patches have {seen}.{reason}",
        fixes=(
            (
                f"A kernel of {seen} taps goes with these patches:",
                Call(function="linear", operands=((9, seen), (4, seen))),
            ),
        ),
    )


# ----------------------------------------------------------------------------- options and types


def _positive(match: re.Match[str]) -> Reading:
    name = match[1]
    default = {"stride": 1, "groups": 1}[name]
    return Reading(
        function="conv2d",
        meanings=(
            (
                name,
                {
                    "stride": "how far the kernel moves from one output to the next",
                    "groups": "into how many parts the channels are divided",
                }[name],
            ),
        ),
        fault=f"{name} must be at least 1.",
        fixes=(
            (f"{name}={default} is the default:", Call(function="conv2d", operands=(_X, _W), options={name: default})),
        ),
    )


def _negative_padding(_: re.Match[str]) -> Reading:
    return Reading(
        function="conv2d",
        meanings=(("padding", "lines of zeros around x"),),
        fault="padding must not be negative. To leave pixels out, cut x: x[..., 1:-1, 1:-1].",
        fixes=(("padding=0 is the default:", Call(function="conv2d", operands=(_X, _W), options={"padding": 0})),),
    )


def _zero_dilation(match: re.Match[str]) -> Reading:
    return Reading(
        function="conv2d",
        meanings=((_show(_sizes(match[1])), "the dilation that was given: distance between two taps"),),
        fault="A dilation is at least 1, which is a kernel without gaps; 0 would lay all taps on one pixel.",
        fixes=(("dilation=1 is the default:", Call(function="conv2d", operands=(_X, _W), options={"dilation": 1})),),
    )


def _zero_option(match: re.Match[str]) -> Reading:
    name, height, width = match[1], int(match[2]), int(match[3])
    option = {"kernel size": "kernel_size"}.get(name, name)
    least = 0 if option == "padding" else 1
    pair = (max(least, height), max(least, width))
    options = {"kernel_size": (2, 2)} | {option: pair}
    return Reading(
        function="unfold",
        meanings=((str(height), f"{name} in height"), (str(width), f"{name} in width")),
        fault=f"{name} must be at least {least} in both.",
        fixes=(
            (
                f"{option}={pair}:",
                Call(function="unfold", operands=((1, 1, max(8, pair[0]), max(8, pair[1])),), options=options),
            ),
        ),
    )


def _same(_: re.Match[str]) -> Reading:
    return Reading(
        function="conv2d",
        meanings=(("padding='same'", "as much padding as keeps H×W"), ("strided", "a stride above 1")),
        fault="With a stride y cannot have x's size, and torch does not guess what is meant.",
        fixes=(
            (
                "A stride of 2 that gives half the size, rounded up: padding (R−1)/2 for an odd kernel.",
                Call(function="conv2d", operands=(_X, _W), options={"stride": (2, 2), "padding": (1, 1)}),
            ),
            ("Or stride 1:", Call(function="conv2d", operands=(_X, _W), options={"padding": "same"})),
        ),
    )


def _padding_word(match: re.Match[str]) -> Reading:
    return Reading(
        function="conv2d",
        meanings=((repr(match[1]), "the word given for padding"),),
        fault="padding is a number, a pair, 'valid' (none) or 'same'. 'full' of other libraries is padding = kernel − "
        "1.",
        fixes=(
            (
                "As 'full' would be, for a 3×3 kernel:",
                Call(function="conv2d", operands=(_X, _W), options={"padding": (2, 2)}),
            ),
            ("Or 'same':", Call(function="conv2d", operands=(_X, _W), options={"padding": "same"})),
        ),
    )


def _padding_mode(match: re.Match[str]) -> Reading:
    return Reading(
        function="Conv2d",
        meanings=((repr(match[1]), "the mode that was given"),),
        fault="padding_mode is zeros, reflect, replicate or circular; what others call mirror is reflect, and edge is "
        "replicate.",
        fixes=(
            (
                "The same by hand, before the convolution:",
                Call(function="pad", operands=(_X,), options={"pad": (1, 1, 1, 1), "mode": "reflect"}),
            ),
        ),
    )


def _mode_size(match: re.Match[str]) -> Reading:
    pads, axis, x = _sizes(match[1]), int(match[2]), _sizes(match[3])
    size = x[axis] if axis < len(x) else 1
    most = max(0, size - 1)
    pad = (most, most, 0, 0) if axis == len(x) - 1 else (0, 0, most, most)
    return Reading(
        function="pad",
        meanings=(
            (str(pads), "lines before and after"),
            (f"dimension {axis}", f"of x, which has {size} there"),
            (_show(x), _name_x(x)),
        ),
        fault=f"reflect mirrors without the border's own line, so it can add at most {most} lines to {size}.",
        fixes=(
            (f"At most {most}:", Call(function="pad", operands=(x,), options={"pad": pad, "mode": "reflect"})),
            (
                "Or replicate, which has no limit:",
                Call(
                    function="pad",
                    operands=(x,),
                    options={
                        "pad": (pads[0], pads[-1], 0, 0) if axis == len(x) - 1 else (0, 0, pads[0], pads[-1]),
                        "mode": "replicate",
                    },
                ),
            ),
        ),
    )


def _wrapping(_: re.Match[str]) -> Reading:
    return Reading(
        function="pad",
        meanings=(("wrapping around", "circular padding takes lines from the other end of x"),),
        fault="circular can add at most as many lines as x has.",
        fixes=(
            (
                "Such as 8 lines around 8:",
                Call(function="pad", operands=(_X,), options={"pad": (8, 8, 0, 0), "mode": "circular"}),
            ),
        ),
    )


def _scalar_type(match: re.Match[str]) -> Reading:
    first, second = match[1], match[2]
    return Reading(
        function="conv2d",
        meanings=((first, "the type of x"), (second, "the type of w")),
        fault=f"x and w must be of one type: they are {first} and {second}.",
        fixes=(("Convert one of them: x.to(w.dtype), or layer.to(x.dtype). With both in float32:", _fitted(_X, _W)),),
    )


def _operand_type(match: re.Match[str]) -> Reading:
    x, other, theirs = match[1], match[2], match[3]
    device = ("cuda" in x) != ("cuda" in theirs)
    how = "x.to(layer.weight.device)" if device else "x.to(layer.weight.dtype)"
    return Reading(
        function="conv2d",
        meanings=((x, "x: its type, and its device where it is not the CPU"), (theirs, f"the {other}")),
        fault=f"x and the {other} are {'on different devices' if device else 'of different types'}.",
        fixes=((f"Convert one of them: {how}. With both in float32 on the CPU:", _fitted(_X, _W)),),
    )


def _not_implemented(match: re.Match[str]) -> Reading:
    kernel, kind = match[1], match[2]
    unfolds = "im2col" in kernel
    call = _unfold((1, 1, 4, 4)) if unfolds else _fitted(_X, _W)
    if "col2im" in kernel:
        call = Call(function="fold", operands=((1, 4, 9),), options={"output_size": (4, 4), "kernel_size": (2, 2)})
    return Reading(
        function=call.function,
        meanings=((kernel, "torch's name of the inner function"), (kind, "the type of the numbers that were given")),
        fault=f"This function has no code for {kind}.",
        fixes=(("Convert first, with x.float():", call),),
    )


def _arguments(match: re.Match[str]) -> Reading:
    given = one_line(match[1], 200)
    return Reading(
        function="conv2d",
        meanings=((given, "the types of what was given, in its order"),),
        fault="x, w and bias must be tensors, stride, padding and dilation whole numbers or pairs, groups a whole "
        "number.",
        fixes=(
            ("Such as:", Call(function="conv2d", operands=(_X, _W), options={"stride": (2, 2), "padding": (1, 1)})),
        ),
    )


# ----------------------------------------------------------------------------- fold


def _fold_length(match: re.Match[str]) -> Reading:
    size, kernel, dilation, padding, stride = (_sizes(match[i]) for i in range(1, 6))
    high, wide, wanted, got = (int(match[i]) for i in (6, 7, 8, 9))
    taps = prod(kernel)
    options: dict[str, Any] = {
        "output_size": size,
        "kernel_size": kernel,
        "dilation": dilation,
        "padding": padding,
        "stride": stride,
    }
    fixes = []
    if wanted > 0:
        fixes.append(
            (
                f"Give it {wanted} columns, one for each position: (N, C·{taps}, {wanted}).",
                Call(function="fold", operands=((1, taps, wanted),), options=options),
            )
        )
    fixes += [
        (
            f"Or {got} columns make an output_size of {other}.",
            Call(function="fold", operands=((1, taps, got),), options=options | {"output_size": other}),
        )
        for other in _sizes_of(got, kernel, dilation, padding, stride)
    ]
    return Reading(
        function="fold",
        meanings=(
            (_by(size), "output_size: the image to put together, H×W"),
            (_by(kernel), f"the kernel, R×S; dilation {_by(dilation)}, padding {_by(padding)}, stride {_by(stride)}"),
            (f"{high} * {wide} = {wanted}", "positions of that kernel in that image: P·Q"),
            (str(got), "columns that were given: input.size(-1)"),
        ),
        fault=f"An image of {_by(size)} has {wanted} patches, and {got} were given. (Is it y that you want? That is a "
        "reshape to (K, P, Q).)",
        fixes=tuple(fixes),
    )


def _sizes_of(
    length: int, kernel: tuple[int, ...], dilation: tuple[int, ...], padding: tuple[int, ...], stride: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """The image nearest to a square that has so many patches."""
    for high in range(int(length**0.5), 0, -1):
        if length % high == 0:
            positions = (high, length // high)
            sizes = [
                (count - 1) * step + gap * (taps - 1) + 1 - 2 * pad
                for count, step, gap, taps, pad in zip(positions, stride, dilation, kernel, padding, strict=True)
            ]
            if min(sizes) > 0:
                yield tuple(sizes)
                return


def _fold_taps(match: re.Match[str]) -> Reading:
    got, kernel = int(match[1]), _sizes(match[2])
    taps = prod(kernel)
    many = max(1, -(-got // taps)) * taps
    extent = tuple(max(4, size) for size in kernel)
    length = prod(size - taps_ + 1 for size, taps_ in zip(extent, kernel, strict=True))
    fixes = [
        (
            f"Give it {many} rows: {many // taps} channel{'s' * (many != taps)} of {taps} taps.",
            Call(
                function="fold", operands=((1, many, length),), options={"output_size": extent, "kernel_size": kernel}
            ),
        )
    ]
    for r, s in product(range(1, 12), repeat=2):
        if r * s == got and abs(r - s) <= 1:
            height = (max(4, r), max(4, s))
            count = (height[0] - r + 1) * (height[1] - s + 1)
            fixes.append(
                (
                    f"Or a kernel of {r}×{s}, which has {got} taps.",
                    Call(
                        function="fold",
                        operands=((1, got, count),),
                        options={"output_size": height, "kernel_size": (r, s)},
                    ),
                )
            )
            break
    return Reading(
        function="fold",
        meanings=(
            (str(got), "rows that were given: input.size(1), C·R·S"),
            (_by(kernel), f"the kernel: {taps} taps a channel"),
        ),
        fault=f"{got} rows are no whole number of channels of {taps} taps.",
        fixes=tuple(fixes),
    )


def _fold_dimensions(match: re.Match[str]) -> Reading:
    x = _sizes(match[1])
    call = Call(function="fold", operands=((1, 4, 9),), options={"output_size": (4, 4), "kernel_size": (2, 2)})
    return Reading(
        function="fold",
        meanings=(
            (_show(x), f"what was given: {len(x)} sizes"),
            ("2D or 3D", "(C·R·S, L) for one image, (N, C·R·S, L) for a batch"),
        ),
        fault="F.fold wants the columns that F.unfold gives, not images.",
        fixes=(("As F.unfold of (1, 1, 4, 4) by a 2×2 kernel gives them:", call),),
    )


# ----------------------------------------------------------------------------- the catalogue


def _message(name: str, title: str, pattern: str, read: Callable[[re.Match[str]], Reading]) -> Message:
    return Message(name=name, title=title, pattern=re.compile(pattern), read=read)


_PAIR = r"[\[(]([-\d, ]+)[\])]"

MESSAGES = (
    _message(
        "channels",
        "x has other channels than w reads",
        rf"Given (groups|transposed)={_INT}, weight of size {_LIST}, expected input ?\[([\d, ]+)\] to have "
        rf"{_INT} channels, but got {_INT} channels",
        _channels,
    ),
    _message(
        "filters",
        "groups and filters do not go together",
        rf"Given groups={_INT}, expected weight to be (at least|divisible by) {_INT} at dimension 0, but got weight of "
        rf"size {_LIST}",
        _weight_groups,
    ),
    _message(
        "divisible",
        "groups do not divide the channels",
        r"\b(in|out)_channels must be divisible by groups",
        _indivisible,
    ),
    _message(
        "bias",
        "a bias of another length",
        rf"Given weight of size {_LIST}, expected bias to be 1-dimensional with {_INT} elements, but got bias of size "
        rf"{_LIST}",
        _bias,
    ),
    _message(
        "kernel",
        "the kernel is larger than x",
        r"padded input size per channel: \(([\d x]+)\)\. Kernel size: \(([\d x]+)\)\. Kernel size can't be greater "
        r"than",
        _kernel,
    ),
    _message(
        "blocks",
        "the kernel is larger than x",
        rf"Given (?:an )?input with spatial size {_PAIR}, kernel_size={_PAIR}, dilation={_PAIR}, padding={_PAIR}.*?"
        rf"sliding blocks (?:as|is) {_PAIR}",
        _blocks,
    ),
    _message(
        "dimensions",
        "x has another number of dimensions",
        rf"Expected 3D \(unbatched\) or 4D \(batched\) input to (conv2d), but got input of size: {_LIST}",
        _dimensions,
    ),
    _message(
        "unfold-dimensions",
        "x has another number of dimensions, or is empty",
        rf"Expected 3D or 4D \(batch mode\) tensor .*?but got: {_PAIR}",
        _unfold_dimensions,
    ),
    _message(
        "fold-dimensions",
        "F.fold wants columns",
        rf"Expected 2D or 3D \(batch mode\) tensor .*?but got: {_PAIR}",
        _fold_dimensions,
    ),
    _message(
        "fold-length",
        "another number of columns than positions",
        rf"Given output_size={_PAIR}, kernel_size={_PAIR}, dilation={_PAIR}, padding={_PAIR}, stride={_PAIR}, "
        rf"expected .*?sliding blocks {_INT} \* {_INT} = {_INT}, but got input\.size\(-?\d+\)={_INT}",
        _fold_length,
    ),
    _message(
        "fold-taps",
        "rows that are no whole number of channels",
        rf"divisible by the product of kernel_size, but got input\.(?:size|shape)[\[(]-?\d+[\])] ?= ?{_INT} and "
        rf"kernel_size={_PAIR}",
        _fold_taps,
    ),
    _message(
        "pairs",
        "one number or a pair",
        rf"expected (stride|padding|dilation|output_padding) to be a single integer value or a list of {_INT} "
        rf"values? to match the convolution dimensions, but got \w+={_LIST}",
        _pairs,
    ),
    _message("flat-weight", "w is flat", r"weight should have at least three dimensions", _flat_weight),
    _message("positive", "an option must be positive", r"non-positive (stride|groups) is not supported", _positive),
    _message("negative-padding", "negative padding", r"negative padding is not supported", _negative_padding),
    _message(
        "dilation", "a dilation of zero", rf"dilation should be greater than zero, but got {_PAIR}", _zero_dilation
    ),
    _message(
        "options",
        "an option is too small",
        rf"(stride|kernel size|dilation|padding) should be (?:greater than zero|non-negative), but got \w+_height: "
        rf"{_INT} \w+_width: {_INT}",
        _zero_option,
    ),
    _message("same", "padding='same' and a stride", r"padding='same' is not supported for strided convolutions", _same),
    _message("padding-word", "padding as a word", r"Invalid padding string:? '([^']*)'", _padding_word),
    _message(
        "padding-mode",
        "an unknown padding_mode",
        r"padding_mode must be one of .*?padding_mode='([^']*)'",
        _padding_mode,
    ),
    _message(
        "reflect",
        "more padding than reflect can give",
        rf"Padding size should be less than the corresponding input dimension, but got: padding \(([-\d, ]+)\) "
        rf"at dimension {_INT} of input {_LIST}",
        _mode_size,
    ),
    _message(
        "circular",
        "more padding than circular can give",
        r"Padding value causes wrapping around more than once",
        _wrapping,
    ),
    _message(
        "operand-type",
        "x and a weight or bias differ in type or device",
        r"Input type \(([\w.: ]+)\) and (weight|bias) type \(([\w.: ]+)\) should be the same",
        _operand_type,
    ),
    _message("scalar-type", "x and w differ in type", r"expected scalar type (\w+) but found (\w+)", _scalar_type),
    _message(
        "not-implemented",
        "no code for this type",
        r"\"(\w*(?:conv|im2col|col2im)\w*)\" not implemented for '(\w+)'",
        _not_implemented,
    ),
    _message(
        "addition",
        "two tensors of different sizes",
        rf"The size of tensor a \({_INT}\) must match the size of tensor b \({_INT}\) at non-singleton dimension "
        rf"{_INT}",
        _addition,
    ),
    _message(
        "product",
        "a linear layer made for another size",
        rf"mat1 and mat2 shapes cannot be multiplied \({_INT}x{_INT} and {_INT}x{_INT}\)",
        _product,
    ),
    _message(
        "einsum",
        "patches and kernel of different lengths",
        rf"subscript (\w) has size {_INT} for operand 1 which does not broadcast with previously seen size {_INT}",
        _einsum,
    ),
    _message(
        "arguments",
        "arguments of the wrong type",
        r"conv2d\(\) received an invalid combination of arguments - got \((.*?)\), but expected",
        _arguments,
    ),
)
