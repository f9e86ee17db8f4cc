"""How does benchdnn write a problem, and which one does it mean?

A descriptor is `mb1ic64ih56oc64oh56kh3ph1n"name"`; oneDNN's verbose log has the same. Letters and defaults are those of
oneDNN's tests/benchdnn/conv/conv_aux.cpp. A transposed convolution is the dgrad of a problem.
"""

import re
from collections.abc import Mapping

from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, Pair

MOST_DIGITS = 9
# What the passes of a transposed convolution are of the forward problem that it is the dgrad of.
TURNED = {"fprop": "dgrad", "dgrad": "fprop", "wgrad": "wgrad"}
DTYPES = {one.benchdnn: name for name, one in DTYPE.items() if one.benchdnn}
EXAMPLE = 'mb1ic64ih56oc64oh56kh3ph1n"name"'

_SIZES = "g mb ic id ih iw oc od oh ow kd kh kw sd sh sw pd ph pw dd dh dw".split()
_SIZE = re.compile(rf"({'|'.join(_SIZES)})([0-9]{{1,9}})")
_NAME = r'n(?:"[^"]*"|[^",\s]*)(?:\*[0-9]+)?'
DESCRIPTOR = re.compile(rf"(?=\S*ic[0-9])(?:_|(?:{'|'.join(_SIZES)})[0-9]+)+(?:{_NAME})?", re.ASCII)


def take_apart(token: str) -> tuple[dict[str, int], str, int]:
    """Sizes by their keys, the name, and how often it occurs (`n"name*3"` or `n"name"*3`)."""
    sizes: dict[str, int] = {}
    place = 0
    while place < len(token) and token[place] != "n":
        if token[place] == "_":
            place += 1
            continue
        match = _SIZE.match(token, place)
        if match is None:
            raise ConvbenchError(f"a size in {token!r} has more than 9 digits; write it like {EXAMPLE}")
        if match[1] in sizes:
            raise ConvbenchError(f"{match[1]} occurs twice in {token!r}; write it like {EXAMPLE}")
        sizes[match[1]] = int(match[2])
        place = match.end()
    name, star, count = token[place + 1 :].replace('"', "").rpartition("*")
    if not star or not count.isdecimal() or len(count) > MOST_DIGITS:
        return sizes, token[place + 1 :].replace('"', ""), 1
    return sizes, name, int(count)


def given(sizes: Mapping[str, int], axis: str) -> bool:
    """Whether a descriptor sets anything for an axis; `sw1` and `pw0` alone do not."""
    return any(sizes.get(letter + axis, 0) for letter in "iokdp") or sizes.get("s" + axis, 1) != 1


def descriptor_spec(sizes: dict[str, int], *, transposed: bool = False) -> ConvSpec | str:
    """The problem, or what its output sizes say against any; of a transposed one the problem whose dgrad it is."""
    if given(sizes, "w") and not given(sizes, "h"):  # 1-D: a single row
        sizes = sizes | dict.fromkeys(("ih", "oh", "kh", "sh"), 1) | dict.fromkeys(("ph", "dh"), 0)
    if not given(sizes, "w"):  # square: benchdnn takes either all of w or none
        sizes = sizes | {letter + "w": sizes[letter + "h"] for letter in "iokspd" if letter + "h" in sizes}
    for needed in ("mb", "ic", "oc", "ih", "kh", "iw", "kw"):
        if needed not in sizes or (needed != "mb" and not sizes[needed]):
            hint = " (give all keys for w, or none for a square)" if needed.endswith("w") else ""
            raise ConvbenchError(f"{needed} is missing{hint}; write it like {EXAMPLE}")
    if transposed:
        sizes = sizes | {"ic": sizes["oc"], "oc": sizes["ic"]}
        for axis in "hw":
            image = (sizes[f"i{axis}"] - 1) * sizes.get(f"s{axis}", 1) + _extent(sizes, axis)
            made = sizes.get(f"o{axis}", image - 2 * sizes.get(f"p{axis}", 0))
            sizes = sizes | {f"i{axis}": made, f"o{axis}": sizes[f"i{axis}"]}
    (top, bottom), (left, right) = (_padding(sizes, axis) for axis in "hw")
    if min(top, bottom, left, right) < 0:
        return "an output that leaves rows or columns of the input unread"
    return ConvSpec(
        n=sizes["mb"],
        c=sizes["ic"],
        h=sizes["ih"],
        w=sizes["iw"],
        k=sizes["oc"],
        r=sizes["kh"],
        s=sizes["kw"],
        stride=(sizes.get("sh", 1), sizes.get("sw", 1)),
        padding=(top, bottom, left, right),
        dilation=(sizes.get("dh", 0) + 1, sizes.get("dw", 0) + 1),  # its dense kernel has dilation 0
        groups=sizes.get("g", 1),
    )


def _padding(sizes: Mapping[str, int], axis: str) -> Pair:
    """In front as it is given, else half of what the output size asks for, else none; at the end what it leaves over.

    Equal where that gives the output size too, for a stride may leave columns unread.
    """
    extent = _extent(sizes, axis)
    size, stride, out = sizes[f"i{axis}"], sizes.get(f"s{axis}", 1), sizes.get(f"o{axis}", 0)
    both = (out - 1) * stride - size + extent
    front = sizes.get(f"p{axis}", int(both / 2) if out else 0)  # towards zero, as benchdnn
    if not out or (size + 2 * front - extent) // max(1, stride) + 1 == out:
        return (front, front)
    return (front, both - front)


def _extent(sizes: Mapping[str, int], axis: str) -> int:
    """Rows or columns that the dilated kernel spans."""
    return (sizes[f"k{axis}"] - 1) * (sizes.get(f"d{axis}", 0) + 1) + 1


def one_dtype(config: str) -> str:
    """One name where source, weights and destination have one type; else the text as it is."""
    parts = config.lower().removesuffix("_wino").split(":")
    parts = re.findall("bf16", parts[0]) if re.fullmatch("(bf16){3}", parts[0]) else parts
    return parts[0] if len(set(parts)) == 1 else config
