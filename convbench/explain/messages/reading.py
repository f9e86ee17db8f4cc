"""A message of torch as it is read: its numbers, what they mean, and calls that are tried before they are offered."""

# ruff: noqa: RUF001  # the minus and times signs are meant: this is mathematics as text

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
import torch.nn.functional as F

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec

MAX_NUMBERS = 2**22  # up to here a call is really computed; a larger one is checked by its shapes alone
MAX_MACS = 10**9
MAX_SIZE = 10**6
INT = r"(-?\d{1,9})"
_OF_LISTS = ("cat", "stack")
_OF_TORCH = (*_OF_LISTS, "reshape")
LIST = r"\[*(?:torch\.Size\()?[\[(]+([-\d, x]*)[\])]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleCall:
    """A call of torch.nn.functional on random operands, or of torch for what is only there.

    Attributes:
        operands: their shapes; cat and stack take a list of them.
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
        operands = [f"[{', '.join(operands)}]"] if self.function in _OF_LISTS else operands
        module = "torch" if self.function in _OF_TORCH else "F"
        return f"{module}.{self.function}({', '.join(operands + options)})"

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
            call = getattr(torch if self.function in _OF_TORCH else F, self.function)
            result = call(operands, **self.options) if self.function in _OF_LISTS else call(*operands, **self.options)
        return tuple(result.shape), computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change that works: in words, as a call, and the shape that the call has given."""

    words: str
    call: ExampleCall
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
class MessageReading:
    """What a reader makes of a match, its fixes yet to be tried."""

    function: str
    meanings: tuple[tuple[str, str], ...]
    fault: str
    fixes: tuple[tuple[str, ExampleCall], ...]


def try_out(fixes: tuple[tuple[str, ExampleCall], ...]) -> Iterator[Fix]:
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
        if re.match("[a-z]{2,}[ ,]", bare):  # a word, and no code such as x[None] or stride=1
            bare = bare[0].upper() + bare[1:]
        yield Fix(words=bare if first else words, call=call, shape=shape, computed=computed)
        first = False


def sizes(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in re.findall(r"-?\d{1,9}", text))


def show(sizes: tuple[int, ...]) -> str:
    return f"[{', '.join(str(size) for size in sizes)}]"


def by(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes)


def name_x(x: tuple[int, ...]) -> str:
    if len(x) < 3:
        return "x"
    n, c, *rest = x
    return f"x: {n} image{'s' * (n != 1)}, {c} channel{'s' * (c != 1)}, {by(tuple(rest))} pixels (N, C, H, W)"


def name_w(w: tuple[int, ...]) -> str:
    if len(w) < 3:
        return "w"
    k, c, *rest = w
    return (
        f"w: {k} filter{'s' * (k != 1)}, each with {c} slice{'s' * (c != 1)} of {by(tuple(rest))} weights "
        "(C_out, C_in/G, kH, kW)"
    )


def convolution(w: tuple[int, ...]) -> str:
    return f"conv{len(w) - 2}d" if len(w) in (3, 4, 5) else "conv2d"


def fitted(x: tuple[int, ...], w: tuple[int, ...], **options: Any) -> ExampleCall:
    """A convolution of x with w, with padding where the kernel would not fit otherwise."""
    padding = tuple(max(0, -(-(taps - size) // 2)) for size, taps in zip(x[2:], w[2:], strict=False))
    if any(padding):
        options = {"padding": padding} | options
    return ExampleCall(function=convolution(w), operands=(x, w), options=options)


SOME_X, SOME_W = (1, 3, 8, 8), (4, 3, 3, 3)  # where a message names no sizes
