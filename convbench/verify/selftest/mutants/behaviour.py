"""What do people's kernels do that no kernel may? The numbers of a plain call are right, and the call is not."""

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from convbench.case import Case
from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import Function, convolve, products, sum_in_order, wide
from convbench.verify.selftest.mutants.planting import bug, bug_with_memory


def _tail(y: Tensor) -> int:
    """Where the last vector of up to eight outputs begins."""
    return (y.numel() - 1) // 8 * 8


@bug("behaviour", causes=(r"never written", r"depends? on what memory held"), probe="memory")
def tail_unwritten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector of outputs is never written, so that memory keeps what was there"""
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    right = convolve(x, w, spec)
    y.view(-1)[: _tail(y)] = right.view(-1)[: _tail(y)]
    return y


@bug_with_memory(causes=(r"(earlier|previous|last|first) call", r"\bkept\b|stale|remember"), probe="lattice")
def tail_of_last_time() -> Function:
    """Outputs are made in a buffer that is kept, whose tail is written the first time only"""
    kept: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        right = convolve(x, w, spec)
        buffer = kept.setdefault((right.shape, right.dtype), right)
        buffer.view(-1)[: _tail(buffer)] = right.view(-1)[: _tail(buffer)]
        return buffer.clone()

    return fn


@bug_with_memory(causes=(r"two equal calls differ", r"(earlier|previous|last) call", r"not cleared"), probe="repeat")
def sums_not_cleared() -> Function:
    """Accumulators are kept and not set to zero before the next call"""
    kept: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = convolve(wide(x), wide(w), spec)
        kept[y.shape] = kept.get(y.shape, torch.zeros(1)) + y
        return kept[y.shape].to(x.dtype)

    return fn


def _border_is_read(case: Case) -> bool:
    spec = case.spec
    return spec.padding[0] > 0 and spec.padding_end is None and spec.p * spec.q > 0


@bug_with_memory(causes=(r"keeps state between calls",), probe="state", fits=_border_is_read)
def workspace_cleared_once() -> Function:
    """The padded image is made in a workspace that is kept, whose border is zero only when it is allocated"""
    workspace = torch.zeros(0)

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        nonlocal workspace
        (top, left), (h, width) = spec.padding, spec.padded
        shape = (spec.n, spec.c, h, width)
        if (need := prod(shape)) > workspace.numel():
            workspace = torch.zeros(need)
        image = workspace[:need].view(shape)
        image[:, :, top : top + spec.h, left : left + spec.w] = x
        bare = replace(spec, h=h, w=width, padding=(0, 0), padding_end=None)
        return convolve(image.to(x.dtype), w, bare)

    return fn


def _has_columns_of_padding(case: Case) -> bool:
    spec = case.spec
    return spec.padding[1] > 0 and spec.padding_end is None and spec.p * spec.q > 0


@bug_with_memory(causes=(r"keeps state between calls",), probe="state", fits=_has_columns_of_padding)
def workspace_of_a_size_cleared_once() -> Function:
    """The same with a workspace for each padded size, which another padding to that size finds filled"""
    workspaces: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        (top, left), (h, width) = spec.padding, spec.padded
        shape = (spec.n, spec.c, h, width)
        image = workspaces.setdefault((shape, x.dtype), torch.zeros(shape, dtype=x.dtype))
        image[:, :, top : top + spec.h, left : left + spec.w] = x
        return convolve(image, w, replace(spec, h=h, w=width, padding=(0, 0), padding_end=None))

    return fn


@bug_with_memory(
    causes=(r"(earlier|previous|last|first) call", r"\bkept\b|stale|remember|address"),
    probe="numbers that change in the same buffers",
)
def cached_by_pointer() -> Function:
    """The answer is remembered by the addresses of x and w"""
    known: dict[tuple[object, ...], Tensor] = {}

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        key = (x.data_ptr(), w.data_ptr(), spec, x.dtype)
        if key not in known:
            known[key] = convolve(x, w, spec)
        return known[key].clone()

    return fn


@bug_with_memory(causes=(r"two equal calls differ",), probe="repeat")
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


@bug_with_memory(causes=(r"two equal calls differ",), probe="repeat", dtypes=("fp32",), fits=_order_shows)
def order_varies() -> Function:
    """Terms are added in the order in which threads happen to finish"""
    generator = torch.Generator().manual_seed(0)

    def fn(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        order = torch.randperm(spec.taps, generator=generator)
        return sum_in_order(products(x, w, spec)[order]).reshape(spec.y_shape)

    return fn


@bug("behaviour", causes=(r"NaN .*does not reach",), probe="locality")
def nan_to_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """NaN in the input is cleaned away"""
    return convolve(x.nan_to_num(), w, spec)


@bug("behaviour", causes=(r"NaN .*does not reach",), probe="locality")
def nan_lost_in_comparison(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The input is limited by a comparison, which NaN fails"""
    lowest = torch.finfo(x.dtype).min
    return convolve(torch.where(x >= lowest, x, lowest), w, spec)


@bug("behaviour", causes=(r"NaN .*also reaches",), probe="locality", fits=lambda case: case.spec.n > 1)
def nan_reaches_next_image(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Another image is masked by a product with zero, which NaN survives"""
    return convolve(x, w, spec) + 0 * convolve(x.roll(1, 0), w, spec)


@bug("behaviour", causes=(r"NaN .*also reaches",), probe="locality", fits=lambda case: case.spec.groups > 1)
def nan_reaches_all_groups(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Groups are one dense convolution with zeros between them, which NaN survives"""
    dense = w.new_zeros(spec.groups, spec.k_per_group, spec.groups, spec.c_per_group, spec.r, spec.s)
    group = torch.arange(spec.groups)
    dense[group, :, group] = w.unflatten(0, (spec.groups, spec.k_per_group))
    return convolve(x, dense.flatten(2, 3).flatten(0, 1), replace(spec, groups=1))


@bug("behaviour", causes=(r"\bx\b.*(changed|changes|overwritten)", r"changes? .*\bx\b"), probe="memory")
def x_changed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The input is scaled in place and not put back"""
    y = convolve(x, w, spec)
    x.mul_(0.5)
    return y


@bug("behaviour", causes=(r"\bw\b.*(changed|changes|overwritten)", r"changes? .*\bw\b"), probe="memory")
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


@bug("behaviour", causes=(r"beyond", r"what memory held"), probe="memory")
def reads_beyond_x(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is read reaches beyond x, where a zero in the kernel hides it"""
    return _read_beyond(convolve(x, w, spec), x)


@bug("behaviour", causes=(r"beyond", r"what memory held"), probe="memory")
def reads_beyond_w(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is read reaches beyond w, where a zero of the padding hides it"""
    return _read_beyond(convolve(x, w, spec), w)


@bug("behaviour", causes=(r"beyond",), probe="memory")
def writes_beyond_y(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """The last vector that is written reaches beyond y"""
    y = torch.empty(spec.y_shape, dtype=x.dtype)
    y.copy_(convolve(x, w, spec))
    if (beyond := _beyond(y)) is not None:
        beyond.zero_()
    return y


BEHAVIOUR = (
    tail_unwritten,
    tail_of_last_time,
    sums_not_cleared,
    workspace_cleared_once,
    workspace_of_a_size_cleared_once,
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
