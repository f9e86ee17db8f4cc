"""Where do right kernels break? For certain sizes and layouts alone, in a branch that nobody had tried.

Whole lines of reports by other people are of this kind: a fast path for one kernel size, a tile's rest, an index that
wraps. Each is right wherever its condition does not hold.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import convolve, places, wide
from convbench.verify.selftest.mutants.planting import bug
from convbench.verify.selftest.right import ALL, winograd, winograd_fits

GONE = r"\b(tap|channel|kernel row|kernel column)s? .*(missing|ignored)"
ZERO = r"\b(is|are) 0$"


def _without(w: Tensor, *where: slice | int) -> Tensor:
    cut = w.clone()
    cut[where] = 0
    return cut


@bug("place", causes=(r"\b(tap|kernel row|kernel column)s? .*(missing|ignored)", ZERO), dtypes=ALL)
def patch_in_eights(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A kernel as large as its stride is cut into eights, and the rest of it is forgotten"""
    if (spec.r, spec.s) == spec.stride and spec.r > 8:
        w = w.clone()
        w[:, :, spec.r // 8 * 8 :] = 0
        w[..., spec.s // 8 * 8 :] = 0
    return convolve(x, w, spec)


@bug("place", causes=(GONE, ZERO), dtypes=ALL)
def kernel_beyond_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """There is room for eight rows and eight columns of the kernel, and more are dropped"""
    w = w.clone()
    w[:, :, 8:] = 0
    w[..., 8:] = 0
    return convolve(x, w, spec)


@bug(
    "place",
    causes=(
        r"reads on in memory",
        r"next row|neighbouring row",
        r"taps of kernel column s=2 add something where they read padding",
    ),
    dtypes=ALL,
)
def one_column_copied_wide(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The fast copy for 3x3 with stride and padding 1 takes two columns where the image has one"""
    plain = (spec.r, spec.s, spec.stride, spec.padding, spec.dilation) == (3, 3, (1, 1), (1, 1), (1, 1))
    return convolve(x, w, spec, border="next" if plain and spec.w == 1 else "zero")


@bug("place", causes=(r"output columns? q=.*holds? the answer of q=", r"last output column .*holds?"), dtypes=ALL)
def odd_width_of_16_channels(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Columns are written in pairs where channels come in sixteens, and an odd last one repeats its neighbour"""
    y = convolve(x, w, spec)
    if spec.w % 2 and spec.c % 16 == 0 and spec.q > 1:
        y[..., -1] = y[..., -2]
    return y


@bug("place", causes=(r"stride .*ignored",), dtypes=ALL)
def pointwise_stride_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A 1x1 without padding is one matrix product, and its stride is forgotten"""
    if (spec.r, spec.s, spec.padding, spec.padding_end) != (1, 1, (0, 0), None):
        return convolve(x, w, spec)
    rows, columns = (torch.arange(out)[:, None] for out in (spec.p, spec.q))
    return convolve(x, w, spec, rows=rows, columns=columns)


@bug("place", causes=(r"\b(tap|channel).*(missing|ignored)",), dtypes=ALL)
def last_tile_lacks_a_term(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """In tiles of 64 outputs by 32 channels the last tile, where both have a rest, leaves the last term out"""
    y, outputs = convolve(x, w, spec), spec.n * spec.p * spec.q
    if outputs > 64 and outputs % 64 and spec.k > 32 and spec.k % 32:
        less = convolve(x, _without(w, slice(None), -1, -1, -1), spec)
        tile = torch.zeros(outputs, spec.k, dtype=torch.bool)
        tile[outputs // 64 * 64 :, spec.k // 32 * 32 :] = True
        y = torch.where(tile.reshape(spec.n, spec.p, spec.q, spec.k).movedim(3, 1), less, y)
    return y


@bug("place", causes=(GONE,), dtypes=ALL)
def channels_beyond_64(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A group's channels are kept in a buffer of 64, and more are left out"""
    return convolve(x, _without(w, slice(None), slice(64, None)), spec)


@bug("place", causes=(ZERO,), dtypes=ALL)
def output_channels_beyond_64(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """From 64 output channels on they are made 64 at a time, and the rest is left at zero"""
    y = convolve(x, w, spec)
    if spec.k > 64:
        y[:, spec.k // 64 * 64 :] = 0
    return y


@bug("place", causes=(r"holds? the answer of", r"mixed up", ZERO), dtypes=ALL)
def outputs_beyond_256(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """An image's outputs are counted in eight bits, so that the 257th is the first again"""
    y = convolve(x, w, spec)
    if spec.p * spec.q > 256:
        flat = y.flatten(2)
        flat[:, :, 256:] = flat[:, :, torch.arange(256, flat.shape[2]) % 256]
    return y


@bug("place", causes=(GONE, r"reads? the pixels of", r"65,?536"), dtypes=ALL)
def image_beyond_65536(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Elements of an image are counted in sixteen bits, and those beyond 65,536 are read from its start"""
    if spec.c * spec.h * spec.w > 65_536:
        flat = x.flatten(1)
        x = flat[:, torch.arange(flat.shape[1]) % 65_536].reshape(x.shape)
    return convolve(x, w, spec)


@bug("place", causes=(r"images? n=.*(n=0|holds? the answer)", ZERO), dtypes=ALL)
def images_beyond_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Images are taken eight at a time, and those of a rest are the first again"""
    if spec.n > 8:
        x = torch.cat([x[: spec.n // 8 * 8], x[: spec.n % 8]])
    return convolve(x, w, spec)


@bug("place", causes=(r"padding .*(off by one|ignored)", r"reads the pixels of tap"), dtypes=ALL)
def downsampling_starts_inside(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """3x3 with stride 2 and padding 1 begins at the first pixel, as another framework's "same" does"""
    if (spec.r, spec.s, spec.stride, spec.padding) != (3, 3, (2, 2), (1, 1)) or spec.dilation != (1, 1):
        return convolve(x, w, spec)
    return convolve(x, w, spec, rows=places(spec, 0) + 1, columns=places(spec, 1) + 1)


@bug("place", causes=(GONE,), dtypes=ALL)
def stem_lacks_its_last_row(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A 7x7 with stride 2 is done as three pairs of rows, and the seventh is lost"""
    stem = (spec.r, spec.s, spec.stride) == (7, 7, (2, 2))
    return convolve(x, _without(w, slice(None), slice(None), 6) if stem else w, spec)


@bug("place", causes=(r"r and s of the kernel are swapped", r"reads? the pixels of tap", ZERO), dtypes=ALL)
def depthwise_stride_transposed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The depthwise kernel for strides above 1 runs over columns first"""
    if spec.groups == spec.c > 1 and spec.stride != (1, 1):
        w = w.reshape(spec.k, 1, spec.s, spec.r).mT
    return convolve(x, w, spec)


@bug("place", causes=(GONE, ZERO), dtypes=ALL)
def depthwise_in_threes(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The depthwise kernel holds three rows and three columns, and a larger one is cut"""
    if spec.groups == spec.c > 1:
        w = w.clone()
        w[:, :, 3:] = 0
        w[..., 3:] = 0
    return convolve(x, w, spec)


@bug("place", causes=(r"dilation .*(swapped|taken along|ignored)", r"reads? the pixels of tap"), dtypes=ALL)
def uneven_dilation_of_32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """With 32 output channels or more the dilation of the height serves the width too"""
    if spec.k < 32 or spec.dilation[0] == spec.dilation[1]:
        return convolve(x, w, spec)
    first = torch.arange(spec.q)[:, None] * spec.stride[1] - spec.padding[1]
    return convolve(x, w, spec, columns=first + torch.arange(spec.s) * spec.dilation[0])


@bug("place", causes=(r"channels? .*(group|holds?|read|missing|ignored)", GONE), dtypes=ALL)
def grouped_blocks_of_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """In groups the second block of eight channels is read from where the first one was"""
    if spec.groups > 1 and spec.c_per_group > 8:
        blocks = torch.arange(spec.c_per_group)
        blocks = torch.where(blocks < 16, blocks % 8, blocks)
        x = x.unflatten(1, (spec.groups, spec.c_per_group))[:, :, blocks].flatten(1, 2)
    return convolve(x, w, spec)


@bug("place", causes=(GONE, ZERO), dtypes=ALL)
def grouped_sum_beyond_256(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """In groups a sum has room for 256 terms, and the rest is not added"""
    if spec.groups > 1 and spec.taps > 256:
        w = w.clone()
        w.view(spec.k, -1)[:, 256:] = 0
    return convolve(x, w, spec)


@bug("place", causes=(ZERO,), dtypes=ALL)
def narrower_than_its_kernel(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """An image that is narrower than the kernel is taken for one without outputs"""
    y = convolve(x, w, spec)
    return y.zero_() if spec.w < spec.s else y


@bug("place", causes=(r"output columns? q=.*holds? the answer of q", ZERO), dtypes=ALL)
def columns_in_sixteens(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Rows of 14, 28 or 56 outputs are made sixteen at a time, and the rest repeats the columns before"""
    y = convolve(x, w, spec)
    if spec.q in (14, 28, 56):
        rest = spec.q % 16 if spec.q > 16 else spec.q - 8
        y[..., -rest:] = y[..., -2 * rest : -rest] if 2 * rest <= spec.q else y[..., :1]
    return y


@bug("place", causes=(r"its two sides swapped", r"padding .*(off by one|ignored)"), dtypes=ALL, any_padding=True)
def padding_ends_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Where the padding differs at two opposite sides, that of the end is taken for the start"""
    if spec.padding_end is None:
        return convolve(x, w, spec)
    down, right = (start - end for start, end in zip(spec.padding, spec.padding_end, strict=True))
    return convolve(x, w, spec, rows=places(spec, 0) + down, columns=places(spec, 1) + right)


@bug("place", causes=(r"transform|tile", GONE), dtypes=ALL, fits=winograd_fits(3), family="winograd")
def winograd_last_tile(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Winograd F(4x4): in the last row of tiles, where it is cut, the last channel is left out"""
    y = winograd(x, w, spec, 4)
    if spec.p % 4 and spec.p > 4 and spec.c_per_group > 1:
        less = winograd(x, _without(w, slice(None), -1), spec, 4)
        y[:, :, spec.p // 4 * 4 :] = less[:, :, spec.p // 4 * 4 :]
    return y


@bug("place", causes=(r"\bw\b .*(lies|lay|read) .*", r"\b(is|are) NaN$"), dtypes=ALL)
def channels_last_weight_assumed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Only a weight that lies channels last is read as if it were contiguous"""
    if w.is_contiguous(memory_format=torch.channels_last) and not w.is_contiguous():
        w = w.permute(0, 2, 3, 1).reshape(spec.w_shape)
    return convolve(x, w, spec)


@bug("place", causes=(r"\bw\b .*k r s c",), dtypes=ALL)
def weight_read_as_krsc(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The weight is taken for one whose channels come last, whatever its strides say"""
    return convolve(x, w.reshape(spec.k, spec.r, spec.s, spec.c_per_group).permute(0, 3, 1, 2), spec)


@bug("place", causes=(r"y is written as nhwc", r"y is written in the order n p q k"), dtypes=ALL)
def output_written_channels_last(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The output is written channels last into memory that is not"""
    return convolve(x, w, spec).permute(0, 2, 3, 1).reshape(spec.y_shape)


@bug("place", causes=(r"\b(is|are) NaN$", r"offset|gaps|start of"), dtypes=ALL)
def offset_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """x is read from the start of its storage, where a view begins later"""
    return convolve(x.as_strided(x.shape, x.stride(), 0), w, spec)


@bug("place", causes=(r"largest|saturat|overflow|infin", r"\b(is|are) inf$"), dtypes=("fp32",))
def values_beyond_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Products are kept in fp16 where they are large: beyond 65,504 they are infinite"""
    y = convolve(x, w, spec)
    return torch.where(y.abs() > 65_504, y.sign() * torch.inf, y)


@bug("place", causes=(r"relu is done that was not asked for",), dtypes=ALL)
def relu_for_large_kernels(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The kernel for 5x5 and larger comes from a fused one, and its relu is still there"""
    y = convolve(x, w, spec)
    return F.relu(y) if min(spec.r, spec.s) >= 5 else y


@bug("place", causes=(r"images? n=.*(n=0|holds? the answer|mixed up)",), dtypes=ALL)
def images_of_strided_batch(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """With a stride of 2x2 the step from image to image is that of the output, and the first is read again"""
    if spec.stride == (2, 2) and spec.n > 1:
        x = x[:1].expand_as(x)
    return convolve(x, w, spec)


@bug("place", causes=(r"output channels? .*(holds? the answer|mixed up)", r"weights? of"), dtypes=ALL)
def depthwise_multiplier_halved(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Of several outputs a channel the second half takes the weights of the first"""
    if spec.groups == spec.c > 1 and spec.k_per_group > 1:
        half = torch.arange(spec.k_per_group) % (spec.k_per_group // 2)
        w = w.unflatten(0, (spec.groups, spec.k_per_group))[:, half].flatten(0, 1)
    return convolve(x, w, spec)


@bug("place", causes=(r"never written", r"depends? on what memory held", ZERO), dtypes=ALL)
def rows_beyond_32_unwritten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """More than 32 output rows are made in two halves, and of an odd number the last row is never written"""
    y, right = torch.empty(spec.y_shape, dtype=x.dtype), convolve(x, w, spec)
    written = spec.p - 1 if spec.p > 32 and spec.p % 2 else spec.p
    y[:, :, :written] = right[:, :, :written]
    return y


@bug("place", causes=(r"(sums|computes) .*(bf16|16 bits)", r"partial"), dtypes=("fp32", "bf16"))
def partial_sums_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every 32 channels of a group the sum so far is stored in bf16"""
    total = torch.zeros(1)
    for first in range(0, spec.c_per_group, 32):
        part = torch.zeros_like(w)
        part[:, first : first + 32] = w[:, first : first + 32]
        total = total + convolve(wide(x), wide(part), spec)
        total = total.bfloat16().float() if spec.c_per_group > 32 else total
    return total.to(x.dtype)


PLACES = (
    patch_in_eights,
    kernel_beyond_8,
    one_column_copied_wide,
    odd_width_of_16_channels,
    pointwise_stride_ignored,
    last_tile_lacks_a_term,
    channels_beyond_64,
    output_channels_beyond_64,
    outputs_beyond_256,
    image_beyond_65536,
    images_beyond_8,
    downsampling_starts_inside,
    stem_lacks_its_last_row,
    depthwise_stride_transposed,
    depthwise_in_threes,
    uneven_dilation_of_32,
    grouped_blocks_of_8,
    grouped_sum_beyond_256,
    narrower_than_its_kernel,
    columns_in_sixteens,
    padding_ends_swapped,
    winograd_last_tile,
    channels_last_weight_assumed,
    weight_read_as_krsc,
    output_written_channels_last,
    offset_ignored,
    values_beyond_fp16,
    relu_for_large_kernels,
    images_of_strided_batch,
    depthwise_multiplier_halved,
    rows_beyond_32_unwritten,
    partial_sums_in_bf16,
)
