"""Which bugs must a verifier find? Small faults that people have made, each planted in a kernel that is right.

Bugs of structure compute another sum; run on float64 operands they say what they mean to compute. Bugs of
precision compute the right sum with one loss planted in float64 arithmetic, so that nothing but the loss is
wrong. Bugs of behaviour return right numbers from a call that does what it must not do.
"""

from collections.abc import Callable
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import (
    DTYPES,
    Function,
    Kernel,
    by_group,
    convolve,
    everywhere,
    name_and_words,
    patches,
    places,
    products,
    round_once,
    sum_in_order,
    wide,
)

# A sum longer than this is rounded only so often by an accumulator of 16 bits, after equal parts of it.
STEPS = 32


def bug(
    kind: str, *, probe: str = "", dtypes: tuple[str, ...] = DTYPES, fits: Callable[[Case], bool] = everywhere
) -> Callable[[Function], Kernel]:
    """Turn a function into a bug; its docstring says what a person did wrong."""

    def wrap(fn: Function) -> Kernel:
        name, words = name_and_words(fn)
        return Kernel(name=name, words=words, make=lambda: fn, kind=kind, probe=probe, dtypes=dtypes, fits=fits)

    return wrap


def bug_with_memory(
    *, probe: str, dtypes: tuple[str, ...] = DTYPES, fits: Callable[[Case], bool] = everywhere
) -> Callable[[Callable[[], Function]], Kernel]:
    """The same for what makes such a function, one that remembers its calls."""

    def wrap(make: Callable[[], Function]) -> Kernel:
        name, words = name_and_words(make)
        return Kernel(name=name, words=words, make=make, kind="behaviour", probe=probe, dtypes=dtypes, fits=fits)

    return wrap


# --- structure -------------------------------------------------------------------------------------------------


@bug("structure")
def tap_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the kernel ends one tap too early"""
    w = w.clone()
    w[:, :, -1, -1] = 0
    return convolve(x, w, spec)


@bug("structure")
def weight_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """One weight of one channel is left out"""
    w = w.clone()
    w[0, 0, spec.r // 2, spec.s // 2] = 0
    return convolve(x, w, spec)


@bug("structure")
def last_column_lacks_weight(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """One weight of one channel is left out, in the last column of the output alone"""
    y, cut = convolve(x, w, spec), w.clone()
    cut[0, 0, spec.r // 2, spec.s // 2] = 0
    y[..., -1] = convolve(x, cut, spec)[..., -1]
    return y


@bug("structure")
def padding_one_less(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The image is read one row and one column too far to the lower right"""
    return convolve(x, w, spec, rows=places(spec, 0) + 1, columns=places(spec, 1) + 1)


@bug("structure")
def padding_one_more(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The image is read one row and one column too far to the upper left"""
    return convolve(x, w, spec, rows=places(spec, 0) - 1, columns=places(spec, 1) - 1)


@bug("structure")
def padding_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The padding of the height is taken for the width, and the other way round"""
    shift = spec.padding[0] - spec.padding[1]
    return convolve(x, w, spec, rows=places(spec, 0) + shift, columns=places(spec, 1) - shift)


def _read(spec: ConvSpec, axis: int, stride: int, dilation: int) -> Tensor:
    """`places` with another stride or dilation."""
    outs, taps = ((spec.p, spec.r), (spec.q, spec.s))[axis]
    return torch.arange(outs)[:, None] * stride - spec.padding[axis] + torch.arange(taps) * dilation


@bug("structure")
def stride_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The strides of height and width change places"""
    down, right = spec.stride
    return convolve(
        x, w, spec, rows=_read(spec, 0, right, spec.dilation[0]), columns=_read(spec, 1, down, spec.dilation[1])
    )


@bug("structure")
def dilation_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The dilations of height and width change places"""
    down, right = spec.dilation
    return convolve(
        x, w, spec, rows=_read(spec, 0, spec.stride[0], right), columns=_read(spec, 1, spec.stride[1], down)
    )


@bug("structure")
def dilation_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The taps lie side by side whatever the dilation"""
    return convolve(x, w, spec, rows=_read(spec, 0, spec.stride[0], 1), columns=_read(spec, 1, spec.stride[1], 1))


@bug("structure")
def kernel_flipped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """A convolution as mathematics writes it, the kernel turned around"""
    return convolve(x, w.flip(2, 3), spec)


@bug("structure")
def kernel_transposed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The weights are read as if the kernel's columns came first"""
    return convolve(x, w.reshape(spec.k, spec.c_per_group, spec.s, spec.r).mT, spec)


@bug("structure")
def groups_shifted(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Each group is given the weights of its neighbour"""
    return convolve(x, w.roll(spec.k_per_group, 0), spec)


@bug("structure")
def first_group_for_all(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Every group reads the input channels of the first"""
    return convolve(x[:, : spec.c_per_group].repeat(1, spec.groups, 1, 1), w, spec)


@bug("structure")
def groups_interleaved(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Output channels go round the groups in turn, in place of one group after another"""
    y = convolve(x, w, spec).reshape(spec.n, spec.groups, spec.k_per_group, spec.p, spec.q)
    return y.transpose(1, 2).reshape(spec.y_shape)


@bug("structure")
def last_channel_missing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the input channels ends one too early"""
    w = w.clone()
    w[:, -1] = 0
    return convolve(x, w, spec)


def _without_channel_tail(x: Tensor, w: Tensor, spec: ConvSpec, width: int) -> Tensor:
    w = w.clone()
    w[:, spec.c_per_group // width * width :] = 0
    return convolve(x, w, spec)


@bug("structure")
def channel_tail_of_8(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Input channels are taken eight at a time, and the rest is forgotten"""
    return _without_channel_tail(x, w, spec, 8)


@bug("structure")
def channel_tail_of_16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Input channels are taken sixteen at a time, and the rest is forgotten"""
    return _without_channel_tail(x, w, spec, 16)


@bug("structure")
def output_channels_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last output channel comes first"""
    return convolve(x, w, spec).roll(1, 1)


@bug("structure")
def output_channel_tail_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Output channels beyond a multiple of eight are left at zero"""
    y = convolve(x, w, spec)
    y[:, spec.k // 8 * 8 :] = 0
    return y


@bug("structure")
def tail_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Outputs are made sixteen at a time, and the rest is left at zero"""
    y = convolve(x, w, spec)
    y.view(-1)[y.numel() // 16 * 16 :] = 0
    return y


@bug("structure")
def last_row_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The loop over the output rows ends one too early"""
    y = convolve(x, w, spec)
    y[:, :, -1] = 0
    return y


@bug("structure")
def border_reads_next_row(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Beyond the right border lies what is stored there: the next row"""
    return convolve(x, w, spec, border="next")


@bug("structure")
def border_repeated(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Beyond the border the edge goes on, in place of zeros"""
    return convolve(x, w, spec, border="edge")


@bug("structure")
def first_image_for_all(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The offset of the image is forgotten, and the first is read again"""
    return convolve(x[:1].expand_as(x), w, spec)


@bug("structure")
def square_input_transposed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Rows and columns change places where both are as many"""
    return convolve(x.mT if spec.h == spec.w else x, w, spec)


def _as_contiguous(tensor: Tensor) -> Tensor:
    strides = [prod(tensor.shape[axis + 1 :]) for axis in range(tensor.dim())]
    return tensor.as_strided(tensor.shape, strides, tensor.storage_offset())


@bug("structure")
def layout_of_x_assumed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """x is read as if it were contiguous"""
    return convolve(_as_contiguous(x), w, spec)


@bug("structure")
def layout_of_w_assumed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """w is read as if it were contiguous"""
    return convolve(x, _as_contiguous(w), spec)


@bug("structure")
def tiny_values_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Outputs below 0.01 are taken for noise and set to zero"""
    y = convolve(x, w, spec)
    return torch.where(y.abs() < 0.01, 0.0, y)


@bug("structure")
def starts_at_one(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators start at one, as if there were a bias"""
    return (wide(convolve(wide(x), wide(w), spec)) + 1).to(x.dtype)


# --- precision -------------------------------------------------------------------------------------------------


def _exact(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return convolve(x.double(), w.double(), spec)


def _sums_kept_in(x: Tensor, w: Tensor, spec: ConvSpec, kept: torch.dtype) -> Tensor:
    size = -(-spec.taps // STEPS)
    parts = zip(
        by_group(w.double(), spec).split(size, dim=2), patches(x.double(), spec).split(size, dim=2), strict=True
    )
    total = torch.zeros(1, dtype=torch.float64)
    for kernel, read in parts:
        total = round_once(total + kernel @ read, kept).double()
    return round_once(total.reshape(spec.y_shape), x.dtype)


@bug("precision")
def sums_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators have bf16's eight bits"""
    return _sums_kept_in(x, w, spec, torch.bfloat16)


@bug("precision", dtypes=("fp32", "fp16"))
def sums_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The accumulators have fp16's eleven bits"""
    return _sums_kept_in(x, w, spec, torch.float16)


@bug("precision", dtypes=("bf16", "fp16"))
def parts_in_16_bits(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The sum in four parts, each stored in 16 bits before they are added"""
    parts = zip(by_group(w.double(), spec).chunk(4, dim=2), patches(x.double(), spec).chunk(4, dim=2), strict=True)
    total = torch.zeros(1, dtype=torch.float64)
    for kernel, read in parts:
        total = total + round_once(kernel @ read, x.dtype).double()
    return round_once(total.reshape(spec.y_shape), x.dtype)


def _tf32(tensor: Tensor, *, nearest: bool) -> Tensor:
    """float32 cut to TF32's ten bits of fraction, or rounded to them, ties to even."""
    bits = tensor.contiguous().view(torch.int32)
    if nearest:
        bits = bits + 0xFFF + ((bits >> 13) & 1)
    return (bits >> 13 << 13).view(torch.float32)


@bug("precision", dtypes=("fp32",))
def inputs_in_tf32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are rounded to TF32, as tensor cores and some defaults have it"""
    return _exact(_tf32(x, nearest=True), _tf32(w, nearest=True), spec).float()


@bug("precision", dtypes=("fp32",))
def inputs_cut_to_tf32(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are cut to TF32 without rounding"""
    return _exact(_tf32(x, nearest=False), _tf32(w, nearest=False), spec).float()


@bug("precision", dtypes=("fp32",))
def inputs_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Inputs are rounded to bf16, as a fast mode of CPUs has it"""
    return _exact(x.bfloat16(), w.bfloat16(), spec).float()


@bug("precision", dtypes=("fp32",))
def weights_in_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Weights are packed in fp16"""
    return _exact(x, w.half(), spec).float()


@bug("precision", dtypes=("fp32", "bf16"))
def stored_through_fp16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The output goes through a buffer of fp16"""
    return round_once(_exact(x, w, spec), torch.float16).to(x.dtype)


@bug("precision", dtypes=("fp32", "fp16"))
def stored_through_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The output goes through a buffer of bf16"""
    return round_once(_exact(x, w, spec), torch.bfloat16).to(x.dtype)


@bug("precision", dtypes=("bf16", "fp16"))
def rounds_toward_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last bits of the output are cut off in place of rounded"""
    y = _exact(x, w, spec)
    near = round_once(y, x.dtype)
    return torch.where(near.double().abs() > y.abs(), torch.nextafter(near, torch.zeros_like(near)), near)


@bug("precision")
def last_output_scaled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last output is a thousandth too large"""
    y = _exact(x, w, spec)
    y[-1, -1, -1, -1] *= 1.001
    return round_once(y, x.dtype)


# --- behaviour -------------------------------------------------------------------------------------------------


def _tail(y: Tensor) -> int:
    """Where the last vector of up to eight outputs begins."""
    return (y.numel() - 1) // 8 * 8


@bug("behaviour", probe="memory")
def tail_unwritten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector of outputs is never written, so that memory keeps what was there"""
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    right = convolve(x, w, spec)
    y.view(-1)[: _tail(y)] = right.view(-1)[: _tail(y)]
    return y


@bug_with_memory(probe="lattice")
def tail_of_last_time() -> Function:
    """Outputs are made in a buffer that is kept, whose tail is written the first time only"""
    kept: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        right = convolve(x, w, spec)
        buffer = kept.setdefault((right.shape, right.dtype), right)
        buffer.view(-1)[: _tail(buffer)] = right.view(-1)[: _tail(buffer)]
        return buffer.clone()

    return fn


@bug_with_memory(probe="repeat")
def sums_not_cleared() -> Function:
    """Accumulators are kept and not set to zero before the next call"""
    kept: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = convolve(wide(x), wide(w), spec)
        kept[y.shape] = kept.get(y.shape, torch.zeros(1)) + y
        return kept[y.shape].to(x.dtype)

    return fn


@bug_with_memory(probe="numbers that change in the same buffers")
def cached_by_pointer() -> Function:
    """The answer is remembered by the addresses of x and w"""
    known: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        key = (x.data_ptr(), w.data_ptr(), spec, x.dtype)
        if key not in known:
            known[key] = convolve(x, w, spec)
        return known[key].clone()

    return fn


@bug_with_memory(probe="repeat")
def last_bit_varies() -> Function:
    """One output differs in its last bits from call to call"""
    calls = 0

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        nonlocal calls
        y = convolve(x, w, spec)
        last = y[-1, -1, -1, -1]
        for _ in range(calls):
            last.copy_(torch.nextafter(last, torch.full_like(last, torch.inf)))
        calls += 1
        return y

    return fn


def _order_shows(case: Case) -> bool:
    """Whether another order surely shows: 16 bits hide it, as few terms or few outputs may."""
    spec = case.spec
    return spec.taps >= 64 and spec.n * spec.k * spec.p * spec.q >= 16


@bug_with_memory(probe="repeat", dtypes=("fp32",), fits=_order_shows)
def order_varies() -> Function:
    """Terms are added in the order in which threads happen to finish"""
    generator = torch.Generator().manual_seed(0)

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        order = torch.randperm(spec.taps, generator=generator)
        return sum_in_order(products(x, w, spec)[order]).reshape(spec.y_shape)

    return fn


@bug("behaviour", probe="locality")
def nan_to_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """NaN in the input is cleaned away"""
    return convolve(x.nan_to_num(), w, spec)


@bug("behaviour", probe="locality")
def nan_lost_in_comparison(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The input is limited by a comparison, which NaN fails"""
    lowest = torch.finfo(x.dtype).min
    return convolve(torch.where(x >= lowest, x, lowest), w, spec)


@bug("behaviour", probe="locality", fits=lambda case: case.spec.n > 1)
def nan_reaches_next_image(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Another image is masked by a product with zero, which NaN survives"""
    return convolve(x, w, spec) + 0 * convolve(x.roll(1, 0), w, spec)


@bug("behaviour", probe="locality", fits=lambda case: case.spec.groups > 1)
def nan_reaches_all_groups(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Groups are one dense convolution with zeros between them, which NaN survives"""
    dense = w.new_zeros(spec.groups, spec.k_per_group, spec.groups, spec.c_per_group, spec.r, spec.s)
    group = torch.arange(spec.groups)
    dense[group, :, group] = w.unflatten(0, (spec.groups, spec.k_per_group))
    return convolve(x, dense.flatten(2, 3).flatten(0, 1), replace(spec, groups=1))


@bug("behaviour", probe="memory")
def x_changed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The input is scaled in place and not put back"""
    y = convolve(x, w, spec)
    x.mul_(0.5)
    return y


@bug("behaviour", probe="memory")
def w_changed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The weights are negated in place and not put back"""
    y = convolve(x, w, spec)
    w.neg_()
    return y


def _beyond(tensor: Tensor) -> Tensor | None:
    """The element that lies behind the last one of a tensor, where its storage has one: touching no other memory."""
    last = tensor.storage_offset() + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )
    if (last + 2) * tensor.element_size() > tensor.untyped_storage().nbytes():
        return None
    return tensor.as_strided((1,), (1,), last + 1)


def _read_beyond(y: Tensor, operand: Tensor) -> Tensor:
    beyond = _beyond(operand)
    if beyond is not None:
        y[-1, -1, -1, -1] += 0 * beyond[0]
    return y


@bug("behaviour", probe="memory")
def reads_beyond_x(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is read reaches beyond x, where a zero in the kernel hides it"""
    return _read_beyond(convolve(x, w, spec), x)


@bug("behaviour", probe="memory")
def reads_beyond_w(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is read reaches beyond w, where a zero of the padding hides it"""
    return _read_beyond(convolve(x, w, spec), w)


@bug("behaviour", probe="memory")
def writes_beyond_y(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is written reaches beyond y"""
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    y.copy_(convolve(x, w, spec))
    if (beyond := _beyond(y)) is not None:
        beyond.zero_()
    return y


BUGS = (
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
    sums_in_bf16,
    sums_in_fp16,
    parts_in_16_bits,
    inputs_in_tf32,
    inputs_cut_to_tf32,
    inputs_in_bf16,
    weights_in_fp16,
    stored_through_fp16,
    stored_through_bf16,
    rounds_toward_zero,
    last_output_scaled,
    tail_unwritten,
    tail_of_last_time,
    sums_not_cleared,
    cached_by_pointer,
    last_bit_varies,
    order_varies,
    nan_to_zero,
    nan_lost_in_comparison,
    nan_reaches_next_image,
    nan_reaches_all_groups,
    x_changed,
    w_changed,
    reads_beyond_x,
    reads_beyond_w,
    writes_beyond_y,
)
