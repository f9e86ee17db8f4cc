"""Which convolutions did torch call, by a dump of its operators' arguments or by a profiler's trace?

A dump has lines `Operator: aten.convolution.default` and `cnt: 2, ((T([1, 3, 8, 8], f16), T([4, 3, 3, 3], f16), None,
[1, 1], [0, 0], [1, 1], False, [0, 0], 1), {})`, as torchbench's and tritonbench's operator inputs. A trace is what
torch.profiler exports for Chrome; with record_shapes=True each event has its sizes and arguments.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from convbench.errors import ConvbenchError
from convbench.suites.descriptors import DTYPES, TURNED
from convbench.suites.found import IGNORED, OTHER_DTYPES, THREE_D, FoundProblem, NotTaken, spec_of_call

MOST_CHARACTERS = 10_000  # of a call; one with all its arguments has 300
_OPERATOR = re.compile(r"\baten(?:\.|::)(\w+)")
_COUNT = re.compile(r"\b(?:cnt|count)\"?\s*:\s*([0-9]{1,9})\b")
_CALL = re.compile(r"\(\((?:T\(|\[|\)).*")
_TRACED = re.compile(r'"name"\s*:\s*"aten::(convolution|convolution_backward)"')
_TRACE = re.compile(r'"traceEvents"\s*:')
_ON_A_GPU = re.compile(r'"cat"\s*:\s*"kernel"')
# torch's C++ names of the types, as a trace has them; a dump has oneDNN's.
_TRACED_DTYPES = {"float": "f32", "double": "f64", "c10::Half": "f16", "c10::BFloat16": "bf16"}
_TABLE_ROW = re.compile(r"\baten::(?:conv|_conv|\w+_conv)\w*\s.*\[\[[0-9, ]+\], \[[0-9, ]+\]")


@dataclass(frozen=True, slots=True)
class _Tensor:
    sizes: tuple[int, ...]
    dtype: str


@dataclass(slots=True)
class Dump:
    """Reads a dump line by line: the operator of the calls below it, and how often the next one occurs."""

    _operator: str = ""
    _count: int = field(default=1)

    def takes(self, line: str) -> bool:
        """Whether a line belongs to a dump."""
        return bool(_CALL.search(line) and (self._operator or _OPERATOR.search(line))) or (
            line.lstrip().startswith(("Operator:", "cnt:", '"count"')) or bool(re.match(r'\s*"[\w.:]*aten[.:]', line))
        )

    def read(self, line: str) -> Iterator[FoundProblem | NotTaken]:
        """The problems of a line.

        Raises:
            ConvbenchError: a convolution that cannot be read.
        """
        call = _CALL.search(line)
        if operator := _OPERATOR.search(line[: call.start()] if call else line):
            self._operator = operator[1]
        elif line.lstrip().startswith("Operator:"):
            self._operator = "another"
        if count := _COUNT.search(line):
            self._count = int(count[1])
        if call is None:
            return
        count_, self._count = self._count, 1
        if "conv" not in self._operator:
            yield NotTaken(kind="operators that are not a convolution", detail=line.strip(), verb=IGNORED)
            return
        yield from _call(self._operator, _arguments(call[0]), count_, None)


def is_profile_row(line: str) -> bool:
    """Whether a line is a convolution in a table of key_averages(group_by_input_shape=True)."""
    return bool(_TABLE_ROW.search(line))


PROFILE_ROW = (
    "rows of a profiler's table, which has no stride and padding: read the file of prof.export_chrome_trace instead"
)


def is_trace(text: str) -> bool:
    """Whether a text is a trace of torch.profiler, or a part of one."""
    return bool(_TRACE.search(text) or _TRACED.search(text))


def read_trace(text: str) -> Iterator[tuple[int, FoundProblem | NotTaken | ConvbenchError]]:
    """What each event is that calls a convolution, with its line; conv2d and the like call it too."""
    timed = not _ON_A_GPU.search(text)  # the event of a GPU's convolution ends when it is launched
    decoder = json.JSONDecoder()
    line, seen = 1, 0
    for match in _TRACED.finditer(text):
        start = max(0, text.rfind("{", 0, match.start()))
        line += text.count("\n", seen, start)
        seen = start
        try:
            event, _ = decoder.raw_decode(text, start)
            for found in _event(match[1], event, timed=timed):
                yield line, found
        except (ValueError, RecursionError):
            yield line, ConvbenchError("an event that is cut off or damaged")
        except ConvbenchError as error:
            yield line, error


def _event(operator: str, event: Any, *, timed: bool) -> Iterator[FoundProblem | NotTaken]:
    arguments = event.get("args") if isinstance(event, dict) else None
    arguments = arguments if isinstance(arguments, dict) else {}
    sizes, values, types = (arguments.get(name) for name in ("Input Dims", "Concrete Inputs", "Input type"))
    if not (isinstance(sizes, list) and isinstance(values, list) and isinstance(types, list)):
        yield NotTaken(kind="events without sizes; profile with record_shapes=True", detail=f"aten::{operator}")
        return
    if not len(sizes) == len(values) == len(types):
        raise ConvbenchError("the sizes, types and values of an event are not equally many")
    given: list[Any] = []
    for size, value, kind in zip(sizes, values, types, strict=True):
        if isinstance(size, list) and size and all(type(one) is int for one in size):
            given.append(_Tensor(tuple(size), _TRACED_DTYPES.get(str(kind), str(kind))))
        else:
            given.append(_literal(str(value)) if value not in ("", None) else None)
    duration = event.get("dur")
    fits = timed and isinstance(duration, int | float) and 0 <= duration < 1e15
    yield from _call(operator, given, 1, duration * 1e-6 if fits else None)


def _literal(text: str) -> Any:
    """A number, a truth value or a list of them, as torch writes them."""
    if not re.fullmatch(r"[-\w\[\], ]{1,200}", text, re.ASCII):
        raise ConvbenchError(f"an argument of an event is {text[:40]!r}")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ConvbenchError(f"an argument of an event is {text[:40]!r}") from None


def _arguments(text: str) -> list[Any]:
    """The positional arguments of `((T([1, 3], f16), None, [1, 1]), {})`; of other things None."""
    if len(text) > MOST_CHARACTERS:
        raise ConvbenchError(f"a call of more than {MOST_CHARACTERS:,} characters")
    text = re.sub(r'[",}\s]*$', "", text) if text.rstrip()[-1:] != ")" else text.rstrip()  # within JSON
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text, mode="eval").body
        if not (isinstance(tree, ast.Tuple) and tree.elts and isinstance(tree.elts[0], ast.Tuple)):
            raise ConvbenchError(f"{text[:60]!r} is not a call's arguments")
        return [_value(one) for one in tree.elts[0].elts]
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):  # T(5, f16) has no sizes
        raise ConvbenchError(f"{text[:60]!r} is not a call's arguments") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id="T"), args=[sizes, ast.Name(id=dtype), *_]):
            return _Tensor(tuple(_value(sizes)), dtype)
        case ast.Call(func=ast.Name(id="T"), args=[sizes, ast.Constant(value=str(dtype)), *_]):
            return _Tensor(tuple(_value(sizes)), dtype)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value(one) for one in elements]
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return -value
    return None


def _call(operator: str, given: Sequence[Any], count: int, seconds: float | None) -> Iterator[FoundProblem | NotTaken]:
    """The problems of one call of an operator, by its schema in torch's native_functions.yaml."""
    match operator, given:
        case "convolution" | "_convolution", [x, w, bias, stride, padding, dilation, transposed, rest, groups, *_]:
            passes = ["fprop"]
        case (
            "convolution_backward",
            [_, x, w, _, stride, padding, dilation, transposed, rest, groups, [*wanted]],
        ) if len(wanted) == 3:
            passes = [pass_ for pass_, wants in zip(("dgrad", "wgrad"), wanted, strict=False) if wants is True]
            bias = None
            if wanted[2] is True:
                yield NotTaken(kind="gradients of a bias", detail=f"aten.{operator}")
        case "conv1d" | "conv2d" | "conv3d", [x, w, *others]:
            bias, stride, padding, dilation, groups = [*others, *(None, 1, 0, 1, 1)[len(others) :]][:5]
            passes, transposed, rest = ["fprop"], False, 0
        case _:
            yield NotTaken(kind="operators of another convolution", detail=f"aten.{operator} of {len(given)} arguments")
            return
    if not (isinstance(x, _Tensor) and isinstance(w, _Tensor)):
        raise ConvbenchError(f"aten.{operator} without an input and a weight")
    lists = [one if isinstance(one, list) else [one] for one in (stride, padding, dilation, rest)]
    numbers = [*x.sizes, *w.sizes, *(number for one in lists for number in one), groups]
    if not all(type(number) is int and 0 <= number < 10**9 for number in numbers):
        raise ConvbenchError(f"the arguments of aten.{operator} are not integers of at most 9 digits")
    dtypes = dict.fromkeys((x.dtype, w.dtype))
    dtype = DTYPES.get(x.dtype) if len(dtypes) == 1 else None
    if dtype is None:
        yield NotTaken(kind=OTHER_DTYPES, detail=f"{', '.join(dtypes)} for aten.{operator}")
        return
    turned = transposed is True
    spec = spec_of_call(
        x.sizes,
        w.sizes,
        stride=lists[0],
        padding=lists[1],
        dilation=lists[2],
        output_padding=lists[3],
        transposed=turned,
        groups=groups,
    )
    if spec is None:
        yield NotTaken(kind=THREE_D, detail=f"aten.{operator} of {list(x.sizes)}")
        return
    biased = isinstance(bias, _Tensor)
    if biased and turned:
        yield NotTaken(kind="biases of transposed convolutions", detail=f"aten.{operator} of {list(x.sizes)}")
    for one in passes:
        pass_ = TURNED[one] if turned else one
        yield FoundProblem(
            spec=spec,
            count=count,
            dtype=dtype,
            pass_=None if pass_ == "fprop" else pass_,
            epilogue="bias" if biased and not turned else None,
            # Both gradients are one call.
            seconds=seconds if len(passes) == 1 else None,
        )
