"""Which convolutions does a model really run, and which part of the input does each one see?

One forward pass under a TorchDispatchMode, so functional calls, scripted parts and what a module decomposes into
are found as well as modules are. On the meta device it takes no memory and next to no time.
"""

# ruff: noqa: SLF001  # torch has no public name for the schema of an operator, nor for which storage a tensor has

import warnings
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from convbench.models.calls import ConvCall, Ends, Shape, add_ends
from convbench.models.eager import without_compiler
from convbench.models.inputs import Inputs, name_dtype
from convbench.models.operators import WHOLE, Operator, follow, plain_name
from convbench.models.reach import Reach

aten = torch.ops.aten
USUAL = ("stride", "padding", "dilation", "transposed", "output_padding", "groups")
# The operators that are a convolution, with what follows x, w and the bias of each. torch.jit.trace writes the second.
CONVOLUTIONS: Mapping[Any, Sequence[str]] = {
    aten.convolution: USUAL,
    aten._convolution: USUAL,
    aten.convolution_overrideable: USUAL,
    aten.mkldnn_convolution: ("padding", "stride", "dilation", "groups"),
}
CONVOLUTION_BACKWARD = aten.convolution_backward


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Every convolution of one forward pass, in order.

    Attributes:
        calls: those that were counted.
        uncounted: (operator, module) of what has "conv" in its name and is none of torch's convolutions.
        other_macs: multiply-adds of other operators that torch's FlopCounterMode knows (linear layers, attention), by
            operator.
        torch_macs, torch_gradient_macs: what FlopCounterMode counts for the convolutions, and for their gradients.
        complex_calls: convolutions of complex numbers; `calls` has the real ones that torch makes of each.
        unfollowed: operators behind which the receptive field is only bounded by the whole input, and how often.
        device: where the pass ran, meta or cpu.
        why_not_meta: why it did not run on the meta device.
    """

    calls: tuple[ConvCall, ...]
    uncounted: tuple[tuple[str, str], ...] = ()
    other_macs: tuple[tuple[str, int], ...] = ()
    torch_macs: int | None = None
    torch_gradient_macs: int = 0
    complex_calls: int = 0
    unfollowed: tuple[tuple[str, int], ...] = ()
    device: str = "meta"
    why_not_meta: str = ""

    @property
    def macs(self) -> int:
        """Of the forward pass."""
        return sum(call.shape.macs for call in self.calls)


@without_compiler()
def census(model: nn.Module, inputs: Inputs, *, training: bool = False) -> Census:
    """One forward pass of the model on the inputs' device; the field is followed from the first image of them.

    Args:
        training: with the gradients of a training step, of all parameters that want one.

    Raises:
        Exception: whatever the model raises.
    """
    flops, mode, whole = FlopCounterMode(display=False), _Recorder(model), _ComplexCalls()
    with as_evaluated(model, training=training), mode.names(), flops, mode, whole:
        mode.start(inputs.first)
        outputs = inputs.call(model)
        mode.following = False  # gradients see what they see
        if training:
            take_gradients(model, outputs)
    counted = {str(op): int(count) for op, count in flops.get_flop_counts().get("Global", {}).items()}
    convolutions = [op for op in counted if "conv" in op]
    return Census(
        calls=tuple(mode.calls),
        uncounted=(*mode.uncounted, *_scripted_away(model)),
        other_macs=tuple((op, count // 2) for op, count in counted.items() if op not in convolutions),
        torch_macs=sum(counted[op] for op in convolutions if "backward" not in op) // 2,
        torch_gradient_macs=sum(counted[op] for op in convolutions if "backward" in op) // 2,
        complex_calls=whole.count,
        unfollowed=tuple(mode.unfollowed.items()),
        device=next((one.device.type for one in inputs.tensors), "cpu"),
    )


def step(model: nn.Module, inputs: Inputs, *, training: bool) -> None:
    """A forward pass, or a training step."""
    outputs = inputs.call(model)
    if training:
        take_gradients(model, outputs)


def take_gradients(model: nn.Module, outputs: object) -> None:
    """Of all parameters that want one, those of the outputs being ones."""
    wanted = [one for one in model.parameters() if one.requires_grad]
    ends = [one for one in tree_leaves(outputs) if isinstance(one, Tensor) and one.requires_grad]
    if wanted and ends:
        torch.autograd.grad(ends, wanted, [torch.ones_like(one) for one in ends], allow_unused=True)


@contextmanager
def as_evaluated(model: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Evaluation without warnings, and without gradients but in training; attention by operators that can be counted.

    A training step in evaluation mode has the same convolutions, and runs on one image too.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # a model's own warnings do not concern its convolutions
        torch.backends.mha.set_fastpath_enabled(False)
        # A frozen module of TorchScript has no such mode, and a program of torch.export keeps its own.
        with suppress(AttributeError, NotImplementedError):
            before = model.training
            model.eval()
            stack.callback(model.train, before)
        stack.enter_context(torch.set_grad_enabled(training))
        yield


def _scripted_away(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Convolutions that TorchScript calls past torch's dispatcher, as optimize_for_inference makes them."""
    if isinstance(model, torch.jit.ScriptModule):
        for kind in _node_kinds(model.inlined_graph):
            if kind.startswith("prim::") and "conv" in kind:
                yield kind, ""


def _node_kinds(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield node.kind()
        for inner in node.blocks():
            yield from _node_kinds(inner)


class _ComplexCalls(TorchFunctionMode):
    """Counts convolutions of complex numbers before torch takes them apart."""

    count = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if "conv" in getattr(func, "__name__", ""):
            self.count += any(isinstance(one, Tensor) and one.is_complex() for one in tree_leaves((args, kwargs)))
        return func(*args, **kwargs or {})


class _Recorder(TorchDispatchMode):
    """Notes each convolution, and carries the reach of each tensor through every operator."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves its modes untyped
        self.calls: list[ConvCall] = []
        self.uncounted: list[tuple[str, str]] = []
        self.unfollowed: Counter[str] = Counter()
        self._model = model
        self._stack: list[tuple[str, nn.Module]] = [("", model)]
        self._owners = {id(one): name for name, one in model.named_parameters(remove_duplicate=True)}
        self._reach: dict[int, tuple[weakref.ref[Tensor], Reach]] = {}
        self._written: dict[int, Reach] = {}  # storages that were written to in part: of them no more is known
        self._padded: dict[int, tuple[weakref.ref[Tensor], Ends]] = {}  # by its storage
        self._seen: Counter[str] = Counter()
        self.following = True
        self._raw: list[Operands] = []  # of each call, as it came

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

    def start(self, x: Tensor | None) -> None:
        if x is not None:
            self._remember(x, Reach.of_input(x.shape))

    def __torch_dispatch__(
        self,
        func: Any,  # an OpOverload
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs, packet = kwargs or {}, func.overloadpacket
        name = plain_name(packet.__name__)
        if func.namespace != "prim" and name not in WHOLE:
            with self:  # in inference mode composite operators come here whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        if self.following:
            self._follow(func, name, args, kwargs, out)
        if func._schema.is_mutable and self._padded:
            for one in tree_leaves((args, kwargs)):
                if isinstance(one, Tensor):
                    self._padded.pop(one.untyped_storage()._cdata, None)
        if packet is torch.ops.aten.constant_pad_nd:
            self._pad(*args, **kwargs, out=out)
        elif packet in CONVOLUTIONS:
            self._note(packet, *args, y=out)
        elif packet is CONVOLUTION_BACKWARD:
            self._note_gradients(args[1], args[2], args[-1])
        elif "conv" in packet.__name__ and not packet.__name__.startswith("convert"):
            self.uncounted.append((packet.__name__, self._stack[-1][0]))
        return out

    def _pad(self, x: Tensor, pad: Sequence[int], value: float = 0, *, out: Tensor) -> None:
        """Remember which image was padded with zeros alone, at the ends of its last axes."""
        rank = x.dim() - 2
        if value or rank < 1 or len(pad) > 2 * rank or min(pad, default=0) < 0:
            return
        sides = (*pad, *[0] * (2 * rank - len(pad)))  # the last axis first
        zeros, inner = (sides[::2][::-1], sides[1::2][::-1]), self._zeros(x)
        whole = zeros if inner is None else add_ends(inner, zeros)
        self._padded[out.untyped_storage()._cdata] = weakref.ref(out), whole

    def _zeros(self, x: Tensor) -> Ends | None:
        """How many zeros the model itself put around an image."""
        found = self._padded.get(x.untyped_storage()._cdata)
        return found[1] if found and found[0]() is x else None

    def _note(self, packet: Any, x: Tensor, w: Tensor, bias: Tensor | None, *more: Any, y: Tensor) -> None:
        rank = x.dim() - 2
        options = dict(zip(CONVOLUTIONS[packet], more, strict=False))
        stride, padding, dilation = (
            tuple(sizes) if len(sizes) == rank else tuple(sizes) * rank
            for sizes in (options["stride"], options["padding"], options["dilation"])
        )
        shape = Shape(
            x=tuple(x.shape),
            w=tuple(w.shape),
            y=tuple(y.shape),
            stride=stride,
            padding=padding,
            padding_after=padding,
            dilation=dilation,
            groups=options["groups"],
            transposed=options.get("transposed", False),
            integers=not (x.is_floating_point() or x.is_complex()),
            dtype=name_dtype(x.dtype),
            layout="nhwc" if in_channels_last(x) or in_channels_last(w) else "nchw",
        )
        zeros = None if shape.transposed else self._zeros(x)
        if zeros is not None:
            shape = shape.unpadded(zeros)
        where, module = self._stack[-1]
        functional = not isinstance(module, nn.modules.conv._ConvNd)
        owner = self._owners.get(id(w))
        name = (owner.removesuffix("weight").rstrip(".") if owner else where) or shape.kind
        self._seen[name] += 1
        if self._seen[name] > 1:
            name = f"{name}#{self._seen[name]}"
        seen = None if self._of(x) is None else self._of(y)
        self.calls.append(
            ConvCall(
                name=name,
                shape=shape,
                bias=bias is not None,
                functional=functional,
                padded=zeros is not None,
                field=None if seen is None else seen.extents,
            )
        )
        self._raw.append(operands(x, w))

    def _note_gradients(self, x: Tensor, w: Tensor, mask: Sequence[bool]) -> None:
        """Of the last call with these operands that has none yet: gradients come in the reversed order."""
        for place in self._places_of(operands(x, w)):
            self.calls[place] = replace(self.calls[place], dgrad=mask[0], wgrad=mask[1])
            return
        self.uncounted.append(("convolution_backward", ""))

    def _places_of(self, wanted: "Operands") -> Iterator[int]:
        for place in reversed(range(len(self.calls))):
            if self._raw[place] == wanted and not (self.calls[place].dgrad or self.calls[place].wgrad):
                yield place

    def _follow(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
        tensors, results = (
            [one for one in tree_leaves(given) if isinstance(one, Tensor)] for given in ((args, kwargs), out)
        )
        operands = [self._of(one) for one in tensors]
        # What new_zeros and zeros_like are given says how large or of which type, not which numbers.
        if not any(operands) or name.startswith("new_") or name.endswith("_like"):
            return
        schema = func._schema
        usual = {one.name: one.default_value for one in schema.arguments if one.has_default_value()}
        given = dict(zip((one.name for one in schema.arguments), args, strict=False)) | kwargs
        operator = Operator(
            name="pointwise" if _is_pointwise(func) else name,
            operands=operands,
            options=usual | {key: tuple(one.shape) if isinstance(one, Tensor) else one for key, one in given.items()},
            shapes=[tuple(one.shape) for one in results],
        )
        reaches, known = follow(operator)
        if not known:
            self.unfollowed[func.overloadpacket.__name__] += 1
        for one, reach in zip(results, reaches, strict=True):
            self._remember(one, reach)
        if schema.is_mutable and reaches != operands[:1]:
            written = tensors[0]
            part = written.numel() * written.element_size() < written.untyped_storage().nbytes()
            if part or written._is_view():
                self._written[written.untyped_storage()._cdata] = operator.anything

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


Operands = tuple[tuple[int, ...], tuple[int, ...]]


def operands(x: Tensor, w: Tensor) -> Operands:
    """What a call and its gradients have in common."""
    return tuple(x.shape), tuple(w.shape)


def in_channels_last(one: Tensor) -> bool:
    """Whether torch takes a tensor for one in channels_last: a 1x1 kernel is none because its strides would fit both.

    c10's is_channels_last_strides_2d, which Python has no name for.
    """
    if one.dim() != 4:
        return False
    least, (sizes, strides) = 0, (one.shape, one.stride())
    if strides[1] == 0:
        return False
    for dim in (1, 3, 2, 0):
        if sizes[dim] == 0 or strides[dim] < least or (dim == 0 and least == strides[1]):
            return False
        least = strides[dim] * max(1, sizes[dim])
    return True


def _is_pointwise(func: Any) -> bool:
    """Whether torch marks an operator so, or the one that it is the in-place form of: torch 2.11 forgot some."""
    base = getattr(torch.ops.aten, func.overloadpacket.__name__.rstrip("_"), None)
    same = [] if base is None else [getattr(base, overload) for overload in base.overloads()]
    return any(torch.Tag.pointwise in one.tags for one in (func, *same))
