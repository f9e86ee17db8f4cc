"""Can a model be run another way than by its own forward? What can be seen without running it."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from convbench.models.inputs import name_dtype

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def has_modes(model: nn.Module) -> bool:
    """Whether it can be in training mode: a program of torch.export cannot."""
    return "eval" not in vars(model)


def trains(modules: Iterable[nn.Module]) -> bool:
    """Whether one of them is in training mode."""
    return any(map(attrgetter("training"), modules))


def why_unfit(model: nn.Module, inputs: Sequence[Tensor]) -> str:
    """What keeps other code from computing the same, with what to do; "" if nothing does."""
    if has_modes(model):
        for name, one in model.named_modules():
            if one.training:
                where = f" in its module {name}" if name else ""
                return f"the model is in training mode{where}: call model.eval() first"
    if hooks := list(_hooked(model)):
        more = f" and {len(hooks) - 1} more" * (len(hooks) > 1)
        return (
            f"the model has hooks, in {hooks[0] or 'itself'}{more}: an exported or compiled model would not call "
            f"them; remove them (handle.remove(), or remove_weight_norm)"
        )
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:  # noqa: SLF001  # no public name
        return "torch has global module hooks, which an exported or compiled model would not call; remove them"
    state = [*model.named_parameters(), *model.named_buffers()]
    for name, one in [*state, *(("its input", one) for one in inputs)]:
        if one.device.type != torch.device("cpu").type:
            return f"{name} is on {one.device}: only the CPU is supported; move model and input there"
        if one.is_complex() or one.layout != torch.strided or one.is_quantized:
            return f"{name} is complex, sparse or quantized; give dense fp32 tensors"
        if one.is_floating_point() and one.dtype != torch.float32:
            return f"{name} is {name_dtype(one.dtype)}, and only fp32 is supported; use model.float() and x.float()"
    return ""


def _hooked(model: nn.Module) -> Iterator[str]:
    for name, module in model.named_modules():
        if any(getattr(module, hooks, None) for hooks in _HOOKS):
            yield name
