"""Was the patch matrix built? Each block that torch's allocator returned, by its purpose.

A block is y, a copy of something in another layout, as large as the patch matrix or a part of it, or scratch.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convbench.device import find_device
from convbench.ran.seen import LIBRARY, LOWERING, Ran
from convbench.ran.verbose import reorder_nbytes
from convbench.spec import ITEM_NBYTES

PATCH_SIZED = "patches"  # a block of exactly the bytes of the patch matrix, or of a group's or an image's part
_ORDER = ["y", PATCH_SIZED, "scratch", "copy", "x", "w"]  # by the first word of a use


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Blocks of one size that torch's allocator returned for one purpose: `y`, `patches`, `scratch`, ..."""

    what: str
    nbytes: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patches:
    """Whether and how the patch matrix was built.

    Attributes:
        kind: "whole" was built at once; "pieces" one after another, each `nbytes`; "tiles" smaller than an image's,
            in a library's scratch; "room" for all of it was in a library's scratch; "x" is the patch matrix itself;
            "none" had room anywhere; "empty": there is none; "unknown".
        nbytes: of the piece, or of the scratch.
        count: of the pieces.
        words: a sentence.
        certain: whether it was seen; otherwise it follows from how the library works.
    """

    kind: str
    words: str
    nbytes: int = 0
    count: int = 0
    certain: bool = True


def account(ran: Ran) -> tuple[Use, ...] | None:
    """Each block that torch's allocator returned, once, by its purpose, y first; None if not seen."""
    if ran.trace is None:
        return None
    spec, left, uses = ran.spec, list(ran.trace.blocks), list[tuple[str, int]]()

    def take(what: str, nbytes: int) -> bool:
        """Take the last block of that size out; the last, since y is what a call ends with."""
        multiple = find_device(ran.device).allocation_nbytes
        sizes = {nbytes, -(-nbytes // multiple) * multiple}
        for block in reversed(left):
            if block.nbytes in sizes:
                left.remove(block)
                uses.append((what, block.nbytes))
                return True
        return False

    for block in [one for one in left if {"aten::contiguous", "aten::clone"} & set(one.operators)]:
        left.remove(block)
        uses.append(("copy of an operand", block.nbytes))
    take("y", ran.y_nbytes)
    if ran.backend in (*LOWERING, "NnpackSpatial") and spec.groups > 1:
        for _ in range(spec.groups):
            take("y of a group", ran.y_nbytes // spec.groups)
    for what, nbytes in _onednn_copies(ran):
        take(what, nbytes)
    if ran.backend in LOWERING:
        for nbytes in _piece_sizes(ran):
            while take(PATCH_SIZED, nbytes):
                pass
    uses += [("scratch", block.nbytes) for block in left]
    return tuple(
        Use(what=what, nbytes=nbytes, count=count)
        for (what, nbytes), count in sorted(Counter(uses).items(), key=lambda one: _ORDER.index(one[0][0].split()[0]))
    )


def scratch_nbytes(ran: Ran) -> int | None:
    """All blocks that are neither y, nor a copy of an operand or of y, nor the patch matrix."""
    uses = account(ran)
    return None if uses is None else sum(use.nbytes * use.count for use in uses if use.what == "scratch")


def _piece_sizes(ran: Ran) -> list[int]:
    """Bytes of the patch matrix, of one group's, of one image's, of one group's of one image, each once."""
    spec, whole = ran.spec, ran.patches_nbytes
    return list(dict.fromkeys([whole, whole // spec.groups, whole // spec.n, whole // (spec.n * spec.groups)]))


def _onednn_copies(ran: Ran) -> Iterator[tuple[str, int]]:
    """What oneDNN's reorders wrote before the convolution and read after it, which is memory of its own."""
    after = False
    for one in ran.primitives:
        if one.kind == "convolution":
            after = True
        nbytes = reorder_nbytes(one, after=after) if one.kind == "reorder" else None
        memory = one.memory("src" if after else "dst")
        if nbytes is None or memory is None:
            continue
        sizes = one.sizes.split("x")
        is_w = not after and [int(size) for size in sizes] != list(ran.spec.x_shape)
        yield f"{'y' if after else 'w' if is_w else 'x'} as {memory.tag}", nbytes


def find_patches(ran: Ran) -> Patches:
    """Decide by comparing its size with the blocks: too little scratch proves that there was none."""
    spec, whole = ran.spec, ran.patches_nbytes
    uses = account(ran)
    if spec.n == 0:
        return Patches(kind="empty", words="there is no patch matrix")
    if uses is None or ran.backend is None:
        return Patches(kind="unknown", words="whether it built the patch matrix is unknown", certain=False)
    would = _size(whole, ran.dtype)
    formed = [use for use in uses if use.what == PATCH_SIZED]
    if formed:
        use = formed[0]
        if use.nbytes == whole:
            words = f"it built the patch matrix ({would})"
            return Patches(kind="whole", words=words, nbytes=whole, count=1, certain=False)
        each = "group" if use.count == spec.groups and use.nbytes * spec.groups == whole else "image"
        if spec.groups > 1 and use.nbytes * spec.groups * spec.n == whole and spec.n > 1:
            each = "group of an image"
        words = f"it built the patch matrix one {each} at a time, in {count_blocks(use)} (all of it: {would})"
        return Patches(kind="pieces", words=words, nbytes=use.nbytes, count=use.count, certain=False)
    if (spec.r, spec.s) == (1, 1) and spec.stride == (1, 1) and spec.padding == (0, 0):
        return Patches(kind="x", words="the patch matrix of a 1x1 kernel with stride 1 is x itself: nothing to build")
    scratch = scratch_nbytes(ran) or 0
    if not _counts_scratch(ran):
        library = LIBRARY.get(ran.backend, ran.backend)
        words = f"whether it built the patch matrix ({would}) is unknown: {library}'s own memory is not counted"
        if ran.unread:  # its log says where its scratch is from, and which of its algorithms ran
            words = (
                f"whether it built the patch matrix ({would}) was not looked up here; "
                f"`convbench ran {ran.asked or ran.spec}` reads {library}'s log for it"
            )
        return Patches(kind="unknown", words=words, certain=False)
    # x64:gemm:jit, gemm:ref; brgemm is another thing, direct on small blocks.
    lowers = ran.primitive is not None and "gemm" in ran.primitive.implementation.split(":")
    if scratch < whole and lowers and scratch:
        part = f"a scratch of {scratch:,} B, {100 * scratch / whole:.2g} % of it"
        words = f"it built the patch matrix ({would}) in tiles, within {part}"
        # That a gemm reads patches is known of oneDNN, and not seen.
        return Patches(kind="tiles", words=words, nbytes=scratch, certain=False)
    if scratch < whole:
        took = f"it allocated only {scratch:,} B of scratch" if scratch else "it allocated nothing"
        words = f"it built no patch matrix, which would take {would}; beyond {_beside(uses)} {took}"
        return Patches(kind="none", words=words, nbytes=scratch)
    if lowers:
        words = f"it built the patch matrix ({would}) in its scratch of {scratch:,} B, which has room for all of it"
        return Patches(kind="room", words=words, nbytes=scratch, certain=False)
    words = f"whether it built the patch matrix ({would}) is unknown: its scratch of {scratch:,} B has room for it"
    return Patches(kind="unknown", words=words, nbytes=scratch, certain=False)


def _counts_scratch(ran: Ran) -> bool:
    """Whether all the memory in which a patch matrix could stand comes from torch's allocator."""
    if ran.backend == "Mkldnn":
        return ran.primitive is not None and ran.primitive.own_scratch
    return ran.backend in (*LOWERING, "Cudnn", "CudaDepthwise2d")


def _beside(uses: Sequence[Use]) -> str:
    copies = any(use.what not in ("y", "scratch") for use in uses)
    return "y and reordered copies" if copies else "y"


def _size(nbytes: int, dtype: str) -> str:
    """`144 B = 36 floats`."""
    numbers = nbytes // ITEM_NBYTES[dtype]
    return f"{nbytes:,} B = {numbers:,} {'floats' if dtype == 'fp32' else f'numbers of {dtype}'}"


def count_blocks(use: Use) -> str:
    """`144 B`, `2 blocks of 7,680 B`."""
    return f"{use.nbytes:,} B" if use.count == 1 else f"{use.count:,} blocks of {use.nbytes:,} B"
