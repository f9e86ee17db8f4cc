"""Which convolutions does a model really run, and what of the input does each one see?

One forward pass under a TorchDispatchMode, so that functional calls, scripted parts and what a module decomposes into
are found as well as modules are. On the meta device it takes no memory and next to no time.
"""

# ruff: noqa: SLF001  # many of torch's operators have names that begin with an underscore

import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from convbench.models.calls import Call, Shape
from convbench.models.reach import Reach

aten = torch.ops.aten

# Each of its inputs alone decides each of its outputs, at the same place; torch.Tag.pointwise marks most of the others.
SAME_PLACE = {
    aten.alias,
    aten.clone,
    aten.detach,
    aten.dropout,
    aten.lift_fresh,
    aten.native_dropout,
    aten._to_copy,
    aten.contiguous,
    aten.where,
    aten.masked_fill,
    aten.masked_fill_,
    aten.prelu,
    aten._prelu_kernel,
    aten.copy_,
}
# What they are given says how large or of which type, not which numbers.
FRESH = {
    aten.new_zeros,
    aten.new_ones,
    aten.new_empty,
    aten.new_empty_strided,
    aten.new_full,
    aten.zeros_like,
    aten.ones_like,
    aten.empty_like,
    aten.full_like,
    aten.rand_like,
    aten.randn_like,
}
# Same numbers, same order.
VIEWS = {aten.view, aten._unsafe_view, aten.reshape, aten.unsqueeze, aten.squeeze, aten.flatten, aten._reshape_alias}
MEANS = {aten.mean, aten.sum, aten.amax, aten.amin, aten.max, aten.min, aten.var, aten.std, aten.linalg_vector_norm}
BATCH_NORMS = {aten.native_batch_norm, aten.cudnn_batch_norm, aten.miopen_batch_norm}  # argument 5 says "training"
POOLS = {
    aten.max_pool2d_with_indices,
    aten.max_pool3d_with_indices,
    aten.avg_pool2d,
    aten.avg_pool3d,
    aten.max_pool1d,
    aten.max_pool2d,
    aten.max_pool3d,
    aten.mkldnn_max_pool2d,
}
ADAPTIVE = {
    aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool3d,
    aten.adaptive_max_pool2d,
    aten.adaptive_max_pool3d,
    aten.adaptive_avg_pool2d,
    aten.adaptive_avg_pool1d,
}
# Neighbours that an output is made from, along each axis.
UPSAMPLINGS = {
    aten.upsample_nearest1d: 1,
    aten.upsample_nearest2d: 1,
    aten.upsample_nearest3d: 1,
    aten._upsample_nearest_exact1d: 1,
    aten._upsample_nearest_exact2d: 1,
    aten.upsample_linear1d: 2,
    aten.upsample_bilinear2d: 2,
    aten.upsample_trilinear3d: 2,
    aten.upsample_bicubic2d: 4,
}
PADDINGS = {
    aten.constant_pad_nd,
    aten.reflection_pad1d,
    aten.reflection_pad2d,
    aten.reflection_pad3d,
    aten.replication_pad1d,
    aten.replication_pad2d,
    aten.replication_pad3d,
}
ATTENTIONS = {
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_cudnn_attention,
    aten._scaled_dot_product_attention_math,
    aten.scaled_dot_product_attention,
}
# Followed as a whole: torch's own ways to take them apart gather by computed indices, which are not.
WHOLE = POOLS | ADAPTIVE | UPSAMPLINGS.keys() | PADDINGS | ATTENTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Every convolution of one forward pass, in order.

    Attributes:
        calls: those that were counted.
        uncounted: (operator, module) of what has "conv" in its name and is none of torch's convolutions.
        other_macs: multiply-adds of other operators that torch's FlopCounterMode knows (linear layers, attention), by
            operator.
        torch_macs: what FlopCounterMode counts for the convolutions.
        unfollowed: operators behind which the receptive field is only bounded by the whole input, and how often.
        device: where the pass ran, meta or cpu.
        why_not_meta: why it did not run on the meta device.
    """

    calls: tuple[Call, ...]
    uncounted: tuple[tuple[str, str], ...] = ()
    other_macs: tuple[tuple[str, int], ...] = ()
    torch_macs: int | None = None
    unfollowed: tuple[tuple[str, int], ...] = ()
    device: str = "meta"
    why_not_meta: str = ""

    @property
    def macs(self) -> int:
        return sum(call.shape.macs for call in self.calls)


def census(model: nn.Module, inputs: Sequence[Tensor]) -> Census:
    """One forward pass of the model on the inputs' device; the field is followed from the first of them.

    Raises:
        Exception: whatever the model raises.
    """
    flops, mode = FlopCounterMode(display=False), _Recorder(model)
    with forward_only(model), mode.names(), flops, mode:
        mode.start(inputs[0])
        model(*inputs)
    counted = {str(op): int(count) for op, count in flops.get_flop_counts().get("Global", {}).items()}
    convolutions = [op for op in counted if "conv" in op]
    return Census(
        calls=tuple(mode.calls),
        uncounted=tuple(mode.uncounted),
        other_macs=tuple((op, count // 2) for op, count in counted.items() if op not in convolutions),
        torch_macs=sum(counted[op] for op in convolutions) // 2,
        unfollowed=tuple(mode.unfollowed.items()),
        device=inputs[0].device.type,
    )


@contextmanager
def forward_only(model: nn.Module) -> Iterator[None]:
    """Evaluation without gradients or warnings, and attention by operators that can be counted."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        stack.callback(model.train, model.training)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # a model's own warnings are no news of its convolutions
        torch.backends.mha.set_fastpath_enabled(False)
        model.eval()
        stack.enter_context(torch.no_grad())
        yield


class _Recorder(TorchDispatchMode):
    """Notes each convolution, and carries the reach of each tensor through every operator."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.uncounted: list[tuple[str, str]] = []
        self.unfollowed: Counter[str] = Counter()
        self._model = model
        self._stack: list[tuple[str, nn.Module]] = [("", model)]
        self._owners = {id(one): name for name, one in model.named_parameters(remove_duplicate=True)}
        self._reach: dict[int, tuple[weakref.ref[Tensor], Reach]] = {}
        self._written: dict[int, Reach] = {}  # storages that were written to in part: of them no more is known
        self._seen: Counter[str] = Counter()

    @contextmanager
    def names(self) -> Iterator[None]:
        """Know which module is running, by hooks."""
        with ExitStack() as stack:
            for name, module in self._model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # it takes no hooks

                def enter(_: nn.Module, __: object, at: tuple[str, nn.Module] = (name, module)) -> None:
                    self._stack.append(at)

                def leave(_: nn.Module, __: object, ___: object) -> None:
                    self._stack.pop()

                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave, always_call=True).remove)
            yield

    def start(self, x: Tensor) -> None:
        if x.dim() >= 3 and x.numel():
            self._remember(x, Reach.of_input(x.shape))

    def __torch_dispatch__(
        self,
        func: Any,  # an OpOverload
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        if func.namespace != "prim" and packet not in WHOLE:
            with self:  # in inference mode composite operators come here whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if packet is aten.convolution:
            self._note(args, out)
        elif "conv" in packet.__name__ and not packet.__name__.startswith("convert"):
            self.uncounted.append((packet.__name__, self._stack[-1][0]))
        self._follow(func, packet, args, kwargs, out)
        return out

    def _note(self, args: tuple[Any, ...], y: Tensor) -> None:
        x, w, bias, stride, padding, dilation, transposed, _, groups = args
        rank = x.dim() - 2
        stride, padding, dilation = (_each(sizes, rank) for sizes in (stride, padding, dilation))
        shape = Shape(
            x=tuple(x.shape),
            w=tuple(w.shape),
            y=tuple(y.shape),
            stride=stride,
            padding=padding,
            padding_after=padding,
            dilation=dilation,
            groups=groups,
            transposed=transposed,
        )
        where, module = self._stack[-1]
        functional = not isinstance(module, nn.modules.conv._ConvNd)
        owner = self._owners.get(id(w))
        name = (owner.removesuffix("weight").rstrip(".") if owner else where) or shape.kind
        self._seen[name] += 1
        if self._seen[name] > 1:
            name = f"{name}#{self._seen[name]}"
        seen = self._of(x)
        if seen is not None:
            seen = convolved(seen, shape) if self._of(w) is None else seen.lost(y.shape)
        self.calls.append(
            Call(
                name=name,
                shape=shape,
                bias=bias is not None,
                functional=functional,
                field=None if seen is None else seen.extents,
            )
        )

    def _follow(self, func: Any, packet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
        results = [one for one in tree_leaves(out) if isinstance(one, Tensor)]
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        known = [reach for one in tensors if (reach := self._of(one)) is not None]
        if not known or packet in FRESH:
            return
        before = self._of(tensors[0])
        try:
            followed = _rule(func, packet, args, kwargs, results, self._of)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            followed = None  # called in a way that the rule does not know
        if followed is None:
            self.unfollowed[packet.__name__] += 1
        anything = known[0].lost([1])
        for other in known[1:]:
            anything = anything.join(other.lost([1]), [1])
        for one, reach in zip(results, followed or [anything] * len(results), strict=True):
            self._remember(one, reach if reach.shape == tuple(one.shape) else anything.lost(one.shape))
        if func._schema.is_mutable and followed != [before]:
            written = tensors[0]
            part = written.numel() * written.element_size() < written.untyped_storage().nbytes()
            if part or written._is_view():
                self._written[written.untyped_storage()._cdata] = anything

    def _of(self, one: object) -> Reach | None:
        if not isinstance(one, Tensor):
            return None
        if self._written and (anything := self._written.get(one.untyped_storage()._cdata)) is not None:
            return anything.lost(one.shape)
        found = self._reach.get(id(one))
        return found[1] if found and found[0]() is one else None

    def _remember(self, one: Tensor, reach: Reach) -> None:
        if one.numel():
            self._reach[id(one)] = (weakref.ref(one), reach)


def convolved(reach: Reach, shape: Shape) -> Reach:
    """What y of a convolution sees, from what x does."""
    reach = reach.resize(1, shape.y[1])
    for axis in range(len(shape.x) - 2):
        extent = shape.dilation[axis] * (shape.w[axis + 2] - 1) + 1
        move: Callable[..., Reach] = reach.spread if shape.transposed else reach.window
        reach = move(axis + 2, extent, shape.stride[axis], shape.padding[axis], shape.y[axis + 2])
    return reach


def _rule(
    func: Any,
    packet: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    results: Sequence[Tensor],
    of: Callable[[object], Reach | None],
) -> list[Reach] | None:
    """The reach of each result; None where it is not known how the operator moves numbers."""
    y = results[0]
    shape = tuple(y.shape)
    if torch.Tag.pointwise in func.tags or packet in SAME_PLACE:
        known = [reach for one in tree_leaves((args, kwargs)) if (reach := of(one)) is not None]
        joined = known[0].expand(shape)
        for other in known[1:]:
            joined = joined.join(other, shape)
        return [joined] * len(results)
    if packet is aten.cat or packet is aten.stack:
        return [_concatenated(packet, args, shape, of)]
    x = of(args[0])
    if packet is aten.addmm or packet is aten.baddbmm:
        return None if of(args[1]) is None or of(args[0]) else [_product(of(args[1]), of(args[2]), shape)]
    if x is None:  # only a weight, an index or a mask hangs on the input
        return None
    rank = len(x.dims)
    match packet:
        case _ if packet in VIEWS or (packet in (aten.as_strided, aten.as_strided_) and shape == x.shape):
            return [x.regroup(shape)]
        case aten.expand:
            return [x.expand(shape)]
        case aten.permute:
            return [x.permute([dim % rank for dim in args[1]])]
        case aten.transpose | aten.t:
            first, second = (0, rank - 1) if packet is aten.t else (args[1] % rank, args[2] % rank)
            order = list(range(rank))
            order[first], order[second] = second, first
            return [x.permute(order)]
        case aten.slice:
            dim = (args[1] if len(args) > 1 else 0) % rank
            start = (args[2] if len(args) > 2 else None) or 0
            size = x.shape[dim]
            start = max(0, start + size) if start < 0 else min(start, size)
            step = args[4] if len(args) > 4 else 1
            return [x.part(dim, start, step, shape[dim])]
        case aten.select:
            dim = args[1] % rank
            return [x.select(dim, args[2] % x.shape[dim])]
        case aten.split | aten.unsafe_split | aten.split_with_sizes | aten.chunk:
            dim = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % rank
            parts, start = [], 0
            for one in results:
                parts.append(x.part(dim, start, 1, one.shape[dim]))
                start += one.shape[dim]
            return parts
        case aten.unbind:
            dim = (args[1] if len(args) > 1 else 0) % rank
            return [x.select(dim, place) for place in range(len(results))]
        case _ if packet in BATCH_NORMS:
            return None if args[5] else [x, *[x.reduce(range(rank)).lost(one.shape) for one in results[1:]]]
        case aten._native_batch_norm_legit_no_training:
            return [x, *[x.lost(one.shape) for one in results[1:]]]
        case aten.native_layer_norm:
            mixed = x.mix(range(rank - len(args[1]), rank))
            return [mixed, *[mixed.lost(one.shape) for one in results[1:]]]
        case aten.native_group_norm:
            mixed = x.mix(range(1, rank))
            return [mixed, *[mixed.lost(one.shape) for one in results[1:]]]
        case aten._softmax | aten._log_softmax | aten._safe_softmax | aten.softmax:
            return [x.mix([args[1] % rank])]
        case _ if packet in MEANS:
            dims = args[1] if len(args) > 1 and args[1] not in (None, []) else list(range(rank))
            dims = [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]
            return [x.reduce(dims, keep=len(shape) == rank)] * len(results)
        case _ if packet in POOLS:
            return [_pooled(x, args, packet, shape)] * len(results)
        case _ if packet in ADAPTIVE:
            for dim in range(rank - len(args[1]), rank):
                x = x.adapt(dim, shape[dim])
            return [x] * len(results)
        case _ if packet in UPSAMPLINGS:
            for dim in range(2, rank):
                x = x.resample(dim, shape[dim], UPSAMPLINGS[packet])
            return [x]
        case _ if packet in PADDINGS:
            for place in range(len(args[1]) // 2):
                dim = rank - 1 - place
                x = x.window(dim, 1, 1, args[1][2 * place], shape[dim])
            return [x]
        case aten.pixel_shuffle:
            x = x.resize(1, shape[1])
            for dim in (rank - 2, rank - 1):
                x = x.spread(dim, args[1], args[1], 0, shape[dim])
            return [x]
        case aten.channel_shuffle | aten.native_channel_shuffle:
            return [x.mix([1])]
        case aten.convolution:
            if of(args[1]) is not None:
                return None
            sizes = (_each(sizes, rank - 2) for sizes in args[3:6])
            stride, padding, dilation = sizes
            described = Shape(
                x=x.shape,
                w=tuple(args[1].shape),
                y=shape,
                stride=stride,
                padding=padding,
                padding_after=padding,
                dilation=dilation,
                transposed=args[6],
            )
            return [convolved(x, described)]
        case aten.mm | aten.bmm:
            return [_product(x, of(args[1]), shape)]
        case _ if packet in ATTENTIONS:
            mixed = x.mix([rank - 2])
            return [mixed, *[mixed.lost(one.shape) for one in results[1:]]]
    return None


def _product(left: Reach | None, right: Reach | None, shape: tuple[int, ...]) -> Reach:
    assert left is not None  # the callers look
    return left.matmul(right, shape)


def _concatenated(
    packet: Any,
    args: tuple[Any, ...],
    shape: tuple[int, ...],
    of: Callable[[object], Reach | None],
) -> Reach:
    dim = (args[1] if len(args) > 1 else 0) % len(shape)
    parts = [reach for one in args[0] if (reach := of(one)) is not None]
    if packet is aten.stack:
        parts = [one.regroup((*one.shape[:dim], 1, *one.shape[dim:])) for one in parts]
    # Along the dimension that grows, a position no longer says where.
    grown = [
        one.forget(*(f.axis for f in one.dims[dim] if f.axis is not None)).resize(dim, shape[dim]) for one in parts
    ]
    joined = grown[0]
    for other in grown[1:]:
        joined = joined.join(other, shape)
    return joined


def _pooled(x: Reach, args: tuple[Any, ...], packet: Any, shape: tuple[int, ...]) -> Reach:
    rank = len(args[1]) if len(args[1]) > 1 else len(x.dims) - 2
    kernel = _each(args[1], rank)
    stride = _each(args[2], rank) if len(args) > 2 and args[2] else kernel
    padding = _each(args[3] if len(args) > 3 else [0], rank)
    # avg_pool's next argument is ceil_mode
    dilation = _each(args[4], rank) if len(args) > 4 and "max" in packet.__name__ else (1,) * rank
    for axis in range(rank):
        dim = len(x.dims) - rank + axis
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        x = x.window(dim, extent, stride[axis], padding[axis], shape[dim])
    return x


def _each(sizes: Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(sizes) if len(sizes) == rank else tuple(sizes) * rank
