"""What is found in the files of other tools: problems, and what is not taken over?"""

from collections.abc import Sequence
from dataclasses import dataclass

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProblem:
    """A problem of a line.

    Attributes:
        spec: of a transposed convolution the forward problem that it is the dgrad of.
        name: its name there; its text if empty.
        count: how often it ran.
        dtype, pass_, epilogue: the only ones, if the line names them.
        seconds: what all its calls together took by the log, if it has times.
    """

    spec: ConvSpec
    name: str = ""
    count: int = 1
    dtype: str | None = None
    pass_: str | None = None
    epilogue: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """What a line holds that convbench does not take over.

    Attributes:
        kind: text shared by all of the kind.
        detail: the text of this one.
        verb: what was done with it.
    """

    kind: str
    detail: str
    verb: str = "not supported"


LEFT_OUT, IGNORED, NOTED = "left out", "ignored", "note"
THREE_D = "3-D problems"
OTHER_DTYPES = "data types that convbench does not support"


def spec_of_call(
    x: Sequence[int],
    w: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    transposed: bool = False,
    output_padding: Sequence[int] = (0,),
) -> ConvSpec | None:
    """The problem of a convolution by the sizes of its tensors, in torch's order; None for a 3-D one.

    A 1-D one is a single row. Of a transposed one it is the forward problem whose dgrad it is.

    Raises:
        ConvbenchError: the sizes are not those of a convolution.
    """
    if len(x) == 5 or len(w) == 5:
        return None
    if len(w) not in (3, 4) or len(x) not in (len(w) - 1, len(w)) or groups < 1:
        raise ConvbenchError(f"{_text(x)} and {_text(w)} are not the sizes of an input and a weight")
    if len(x) < len(w):  # one image without a batch
        x = (1, *x)
    (u, v), (ph, pw), (dh, dw), (oh, ow) = (
        _pair(given, flat=len(w) == 3, default=default)
        for given, default in ((stride, 1), (padding, 0), (dilation, 1), (output_padding, 0))
    )
    if len(w) == 3:
        x, w = (*x[:2], 1, x[2]), (*w[:2], 1, w[2])
    n, c, height, width = x
    k, c_per_group, r, s = w
    if c != (k if transposed else c_per_group * groups):
        raise ConvbenchError(f"{c} channels of {_text(x)} do not fit {_text(w)} with {groups} groups")
    if transposed:  # the forward problem has what it makes for its input
        height = (height - 1) * u - 2 * ph + dh * (r - 1) + 1 + oh
        width = (width - 1) * v - 2 * pw + dw * (s - 1) + 1 + ow
        c = c_per_group * groups
    return ConvSpec(
        n=n, c=c, h=height, w=width, k=k, r=r, s=s, stride=(u, v), padding=(ph, pw), dilation=(dh, dw), groups=groups
    )


def _pair(given: Sequence[int], *, flat: bool, default: int) -> tuple[int, int]:
    if flat and len(given) == 1:
        return default, given[0]
    if len(given) not in (1, 2):
        raise ConvbenchError(f"{_text(given)} is not a number or a pair")
    return given[0], given[-1]


def _text(sizes: Sequence[int]) -> str:
    return f"[{', '.join(map(str, sizes))}]"
