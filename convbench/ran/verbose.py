"""What did oneDNN run? Its own log (ONEDNN_VERBOSE=1), read line by line.

The log's fields have moved between releases: dnnl_verbose,exec,... of 1.x, onednn_verbose,exec,... of 2.x,
onednn_verbose,v1,primitive,exec,... of 3.x, with or without a time stamp. What follows `exec` has stayed: engine,
primitive, implementation, kind of propagation, memory, attributes, extras, sizes, milliseconds.
Source: oneDNN developer guide, "Verbose mode".
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

PREFIXES = ("onednn_verbose,", "dnnl_verbose,")
FIELDS_AFTER_EXEC = 9
_VERSION = re.compile(r"info,oneDNN v(\d[\w.]*)")
_TAG = re.compile(r"([A-Za-z]+)((?:\d+[a-z])*)")
_NBYTES = {"f64": 8, "f32": 4, "s32": 4, "f16": 2, "bf16": 2, "s8": 1, "u8": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One operand of a primitive.

    Attributes:
        name: src, wei, bia or dst.
        dtype: f32, bf16 and so on; undef where the operand is not there.
        tag: the order of its dimensions, as abcd, acdb or aBcd16b; the kind of format where it is no blocked one.
    """

    name: str
    dtype: str
    tag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Primitive:
    """One primitive that oneDNN executed.

    Attributes:
        kind: convolution, reorder, ...
        implementation: as jit:avx512_core or x64:gemm:jit.
        algorithm: of a convolution, as direct or winograd; empty if the line names none.
        memories: its operands, in the line's order.
        sizes: as oneDNN writes them, mb1_ic64oc64_... or 1x64x56x56.
        own_scratch: whether oneDNN got its scratch memory from torch, so torch's allocator has counted it.
        line: the whole line.
    """

    kind: str
    implementation: str
    algorithm: str
    memories: tuple[Memory, ...]
    sizes: str
    own_scratch: bool
    line: str

    def memory(self, name: str) -> Memory | None:
        return next((one for one in self.memories if one.name == name), None)


def read_primitives(text: str) -> tuple[Primitive, ...]:
    """The primitives that were executed, in their order; other lines are passed over."""
    return tuple(one for line in text.splitlines() if (one := read_line(line.strip())) is not None)


def read_version(text: str) -> str:
    """oneDNN's version by its own word, or nothing."""
    found = _VERSION.search(text)
    return found[1] if found else ""


def read_line(line: str) -> Primitive | None:
    """The primitive that one line reports; None if it reports something else, or in an unknown format."""
    fields = line.split(",")
    if not line.startswith(PREFIXES) or "exec" not in fields or "graph" in fields[: fields.index("exec")]:
        return None
    rest = fields[fields.index("exec") + 1 :]
    if len(rest) < FIELDS_AFTER_EXEC:
        return None
    _, kind, implementation, _, memories, attributes, extras, *_ = rest
    algorithm = re.search(r"alg:(?:convolution_)?(\w+)", extras)
    return Primitive(
        kind=kind,
        implementation=implementation,
        algorithm=algorithm[1] if algorithm else "",
        memories=tuple(memory for word in memories.split() if (memory := _read_memory(word)) is not None),
        sizes=rest[-2],
        own_scratch="scratchpad:user" in attributes,
        line=line,
    )


def _read_memory(word: str) -> Memory | None:
    """`src:f32:a:blocked:aBcd16b::f0` of 3.x, `src_f32:a:blocked:aBcd16b:f0` before."""
    parts = word.split(":")
    name, underscore, dtype = parts[0].partition("_")
    if not underscore:
        dtype = parts[1] if len(parts) > 1 else ""
    if not name or not dtype:
        return None
    if "blocked" in parts[:-1]:
        tag = parts[parts.index("blocked") + 1]
    else:
        tag = next((part for part in parts[2:] if len(part) > 1), "") or "undef"
    return Memory(name=name, dtype=dtype, tag=tag)


def name_layout(memory: Memory) -> str:
    """A tag in words: `plain`, `channels last`, `channels in blocks of 16`; any other one is its own name."""
    letters = _TAG.fullmatch(memory.tag)
    if letters is None:
        return memory.tag
    order, blocks = letters[1], letters[2]
    if not blocks:
        plain = "".join(sorted(order))
        return "plain" if order == plain else "channels last" if order in ("acdb", "acdeb") else memory.tag
    sizes: dict[str, int] = {}
    for size, letter in re.findall(r"(\d+)([a-z])", blocks):
        sizes[letter] = sizes.get(letter, 1) * int(size)
    return "channels in blocks of " + " and ".join(str(size) for size in sizes.values())


def nbytes(memory: Memory, sizes: Sequence[int]) -> int | None:
    """Bytes of a tensor of those sizes in that layout, whose blocks are padded; None for a layout that is unknown."""
    letters = _TAG.fullmatch(memory.tag)
    item = _NBYTES.get(memory.dtype)
    if letters is None or item is None or len(letters[1]) != len(sizes):
        return None
    blocks = [1] * len(sizes)
    for size, letter in re.findall(r"(\d+)([a-z])", letters[2]):
        axis = ord(letter) - ord("a")
        if axis >= len(sizes):
            return None
        blocks[axis] *= int(size)
    return prod(-(-size // block) * block for size, block in zip(sizes, blocks, strict=True)) * item


def reorder_nbytes(reorder: Primitive, *, after: bool) -> int | None:
    """Bytes of oneDNN's own side of a reorder: what it writes before the convolution, what it reads after it."""
    memory = reorder.memory("src" if after else "dst")
    try:
        sizes = [int(size) for size in reorder.sizes.split("x")]
    except ValueError:
        return None
    return None if memory is None else nbytes(memory, sizes)
