"""Which other sum do people compute by mistake? Run on float64 operands each says what it means to compute.

What is wrong for certain sizes alone is in `places`.
"""

from math import prod

import torch
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import convolve, places, wide
from convbench.verify.selftest.mutants.planting import bug


@bug("structure", causes=(r"\btaps? .*(missing|ignored)", r"\b(is|are) 0$"))
def tap_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the kernel ends one tap too early"""
    w = w.clone()
    w[:, :, -1, -1] = 0
    return convolve(x, w, spec)


@bug("structure", causes=(r"\b(tap|channel)s? .*(missing|ignored)", r"\b(is|are) 0$"))
def weight_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """One weight of one channel is left out"""
    w = w.clone()
    w[0, 0, spec.r // 2, spec.s // 2] = 0
    return convolve(x, w, spec)


@bug("structure", causes=(r"\b(tap|channel)s? .*(missing|ignored)", r"\b(is|are) 0$"))
def last_column_lacks_weight(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """One weight of one channel is left out, in the last column of the output alone"""
    y, cut = convolve(x, w, spec), w.clone()
    cut[0, 0, spec.r // 2, spec.s // 2] = 0
    y[..., -1] = convolve(x, cut, spec)[..., -1]
    return y


@bug("structure", causes=(r"padding .*(off by one|ignored)", r"reads the pixels of tap", r"holds? the answer of"))
def padding_one_less(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The image is read one row and one column too far to the lower right"""
    return convolve(x, w, spec, rows=places(spec, 0) + 1, columns=places(spec, 1) + 1)


@bug("structure", causes=(r"padding .*off by one", r"reads the pixels of tap", r"holds? the answer of"))
def padding_one_more(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The image is read one row and one column too far to the upper left"""
    return convolve(x, w, spec, rows=places(spec, 0) - 1, columns=places(spec, 1) - 1)


@bug("structure", causes=(r"padding .*(swapped|ignored|off by one|taken along)",))
def padding_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The padding of the height is taken for the width, and the other way round"""
    shift = spec.padding[0] - spec.padding[1]
    return convolve(x, w, spec, rows=places(spec, 0) + shift, columns=places(spec, 1) - shift)


def _read(spec: ConvSpec, axis: int, stride: int, dilation: int) -> Tensor:
    """`places` with another stride or dilation."""
    outs, taps = ((spec.p, spec.r), (spec.q, spec.s))[axis]
    return torch.arange(outs)[:, None] * stride - spec.padding[axis] + torch.arange(taps) * dilation


@bug("structure", causes=(r"stride .*(swapped|ignored|taken along)",))
def stride_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The strides of height and width change places"""
    down, right = spec.stride
    return convolve(
        x, w, spec, rows=_read(spec, 0, right, spec.dilation[0]), columns=_read(spec, 1, down, spec.dilation[1])
    )


@bug("structure", causes=(r"dilation .*(swapped|ignored|taken along)",))
def dilation_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The dilations of height and width change places"""
    down, right = spec.dilation
    return convolve(
        x, w, spec, rows=_read(spec, 0, spec.stride[0], right), columns=_read(spec, 1, spec.stride[1], down)
    )


@bug("structure", causes=(r"dilation .*(ignored|taken along)",))
def dilation_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The taps lie side by side whatever the dilation"""
    return convolve(x, w, spec, rows=_read(spec, 0, spec.stride[0], 1), columns=_read(spec, 1, spec.stride[1], 1))


@bug("structure", causes=(r"kernel is flipped", r"reads? the pixels of tap"))
def kernel_flipped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A convolution as mathematics writes it, the kernel turned around"""
    return convolve(x, w.flip(2, 3), spec)


@bug("structure", causes=(r"r and s of the kernel are swapped", r"reads? the pixels of tap", r"\bw\b.* order"))
def kernel_transposed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The weights are read as if the kernel's columns came first"""
    return convolve(x, w.reshape(spec.k, spec.c_per_group, spec.s, spec.r).mT, spec)


@bug("structure", causes=(r"weights? of .*group", r"group .*weights"))
def groups_shifted(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Each group is given the weights of its neighbour"""
    return convolve(x, w.roll(spec.k_per_group, 0), spec)


@bug("structure", causes=(r"reads? the channels of group 0",))
def first_group_for_all(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every group reads the input channels of the first"""
    return convolve(x[:, : spec.c_per_group].repeat(1, spec.groups, 1, 1), w, spec)


@bug("structure", causes=(r"output channels? .*(mixed up|swapped|interleaved|holds? the answer)",))
def groups_interleaved(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Output channels go round the groups in turn, in place of one group after another"""
    y = convolve(x, w, spec).reshape(spec.n, spec.groups, spec.k_per_group, spec.p, spec.q)
    return y.transpose(1, 2).reshape(spec.y_shape)


@bug("structure", causes=(r"channel.*(ignored|missing)", r"\b(is|are) 0$"))
def last_channel_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the input channels ends one too early"""
    w = w.clone()
    w[:, -1] = 0
    return convolve(x, w, spec)


def _without_channel_tail(x: Tensor, w: Tensor, spec: ConvSpec, width: int) -> Tensor:
    w = w.clone()
    w[:, spec.c_per_group // width * width :] = 0
    return convolve(x, w, spec)


@bug("structure", causes=(r"channel.*(ignored|missing)", r"\b(is|are) 0$"))
def channel_tail_of_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Input channels are taken eight at a time, and the rest is forgotten"""
    return _without_channel_tail(x, w, spec, 8)


@bug("structure", causes=(r"channel.*(ignored|missing)", r"\b(is|are) 0$"))
def channel_tail_of_16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Input channels are taken sixteen at a time, and the rest is forgotten"""
    return _without_channel_tail(x, w, spec, 16)


@bug("structure", causes=(r"output channels? .*(mixed up|swapped|holds? the answer)",))
def output_channels_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last output channel comes first"""
    return convolve(x, w, spec).roll(1, 1)


@bug("structure", causes=(r"\b(is|are) 0$",))
def output_channel_tail_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Output channels beyond a multiple of eight are left at zero"""
    y = convolve(x, w, spec)
    y[:, spec.k // 8 * 8 :] = 0
    return y


@bug("structure", causes=(r"\b(is|are) 0$",))
def tail_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Outputs are made sixteen at a time, and the rest is left at zero"""
    y = convolve(x, w, spec)
    y.view(-1)[y.numel() // 16 * 16 :] = 0
    return y


@bug("structure", causes=(r"\b(is|are) 0$",))
def last_row_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the output rows ends one too early"""
    y = convolve(x, w, spec)
    y[:, :, -1] = 0
    return y


@bug(
    "structure",
    causes=(
        r"reads on in memory",
        r"added where \w+ do\w* not belong in .*last output column",
        r"add something where they read padding",
    ),
)
def border_reads_next_row(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Beyond the right border lies what is stored there: the next row"""
    return convolve(x, w, spec, border="next")


@bug("structure", causes=(r"pixels of the border are repeated",))
def border_repeated(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Beyond the border the edge goes on, in place of zeros"""
    return convolve(x, w, spec, border="edge")


@bug("structure", causes=(r"images? n=.*n=0",))
def first_image_for_all(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The offset of the image is forgotten, and the first is read again"""
    return convolve(x[:1].expand_as(x), w, spec)


@bug("structure", causes=(r"x is read with h and w swapped",))
def square_input_transposed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Rows and columns change places where both are as many"""
    return convolve(x.mT if spec.h == spec.w else x, w, spec)


def _as_contiguous(tensor: Tensor) -> Tensor:
    strides = [prod(tensor.shape[axis + 1 :]) for axis in range(tensor.dim())]
    return tensor.as_strided(tensor.shape, strides, tensor.storage_offset())


@bug(
    "structure",
    causes=(
        r"x lies in memory in the order n h w c and is read in the order n c h w",
        r"\b(is|are) NaN$",
        r"gaps|strides",
    ),
)
def layout_of_x_assumed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """x is read as if it were contiguous"""
    return convolve(_as_contiguous(x), w, spec)


@bug("structure", causes=(r"\bw\b .*(lies|lay|read) .*order", r"w lies in memory", r"\b(is|are) NaN$", r"gaps|strides"))
def layout_of_w_assumed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """w is read as if it were contiguous"""
    return convolve(x, _as_contiguous(w), spec)


@bug("structure", causes=(r"\b(is|are) 0$",))
def tiny_values_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Outputs below 0.01 are taken for noise and set to zero"""
    y = convolve(x, w, spec)
    return torch.where(y.abs() < 0.01, 0.0, y)


@bug(
    "structure",
    causes=(r"\b1 too large", r"too large by 1\b", r"\b1 is added", r"plus 1\b", r"every sum begins at 1 instead of 0"),
)
def starts_at_one(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators start at one, as if there were a bias"""
    return (wide(convolve(wide(x), wide(w), spec)) + 1).to(x.dtype)


STRUCTURE = (
    tap_missing,
    weight_missing,
    last_column_lacks_weight,
    padding_one_less,
    padding_one_more,
    padding_swapped,
    stride_swapped,
    dilation_swapped,
    dilation_ignored,
    kernel_flipped,
    kernel_transposed,
    groups_shifted,
    first_group_for_all,
    groups_interleaved,
    last_channel_missing,
    channel_tail_of_8,
    channel_tail_of_16,
    output_channels_swapped,
    output_channel_tail_zero,
    tail_zero,
    last_row_zero,
    border_reads_next_row,
    border_repeated,
    first_image_for_all,
    square_input_transposed,
    layout_of_x_assumed,
    layout_of_w_assumed,
    tiny_values_zero,
    starts_at_one,
)
