"""Which fused epilogues do people get wrong beside an fprop that is right?"""

import torch
from torch import Tensor

from convbench.spec import ConvSpec
from convbench.verify.selftest.kernels import convolve, wide
from convbench.verify.selftest.mutants.planting import bug_of_epilogue


def _sum(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return convolve(wide(x), wide(w), spec)


def _ended(y: Tensor, x: Tensor, relu: bool) -> Tensor:
    return (y.relu() if relu else y).to(x.dtype)


def _column(bias: Tensor) -> Tensor:
    return wide(bias).reshape(1, -1, 1, 1)


@bug_of_epilogue(
    causes=(
        r"(epilogue|before the bias|stored|stores|rounds what it computes|sums) .*(16|bf16|fp16)",
        r"rounds y to .* before the bias",
    )
)
def epilogue_in_16_bits(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """y is stored in 16 bits before the bias is added"""
    kept = torch.bfloat16 if x.dtype == torch.bfloat16 else torch.float16
    return _ended(_sum(x, w, spec).to(kept).to(wide(x).dtype) + _column(bias), x, relu)


@bug_of_epilogue(causes=(r"bias is not added",))
def bias_missing(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:  # noqa: ARG001  # the bug
    """The bias is forgotten"""
    return _ended(_sum(x, w, spec), x, relu)


@bug_of_epilogue(causes=(r"bias is added twice",))
def bias_twice(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The accumulators start with the bias, and the epilogue adds it again"""
    return _ended(_sum(x, w, spec) + 2 * _column(bias), x, relu)


@bug_of_epilogue(causes=(r"bias .*(another|other|next|neighbour|shifted|channel)",))
def bias_of_the_next_channel(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """Each output channel gets the bias of its neighbour"""
    return _ended(_sum(x, w, spec) + _column(bias.roll(1)), x, relu)


@bug_of_epilogue(causes=(r"bias is not added", r"bias .*k="))
def bias_in_eights(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The bias is loaded eight channels at a time, and a rest gets none"""
    bias = bias.clone()
    bias[spec.k // 8 * 8 :] = 0
    return _ended(_sum(x, w, spec) + _column(bias), x, relu)


@bug_of_epilogue(causes=(r"bias is added twice",))
def bias_in_overlapping_eights(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The last block of eight channels is moved back over the one before, and both add their bias"""
    bias, k = bias.clone(), spec.k_per_group
    if k > 8:
        bias.unflatten(0, (spec.groups, k))[:, k - 8 : k // 8 * 8] *= 2
    return _ended(_sum(x, w, spec) + _column(bias), x, relu)


@bug_of_epilogue(causes=(r"changes? its input bias",), dtypes=("fp32", "fp64"))
def bias_is_the_accumulator(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The sums start in a copy of the bias, which of a single output is the bias itself"""
    total = wide(bias).reshape(1, -1, 1, 1).expand(spec.y_shape).contiguous()
    total += _sum(x, w, spec)
    return _ended(total, x, relu)


@bug_of_epilogue(causes=(r"relu is not done",))
def relu_missing(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:  # noqa: ARG001  # the bug
    """The relu is forgotten"""
    return (_sum(x, w, spec) + _column(bias)).to(x.dtype)


@bug_of_epilogue(causes=(r"bias is added after the relu",))
def relu_before_bias(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The relu comes before the bias"""
    y = _sum(x, w, spec)
    return ((y.relu() if relu else y) + _column(bias)).to(x.dtype)


@bug_of_epilogue(causes=(r"relu6|limited to 6|\b6\b",))
def relu_of_six(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
    """The relu is that of mobile networks, which ends at 6"""
    y = _sum(x, w, spec) + _column(bias)
    return (y.clamp(0, 6) if relu else y).to(x.dtype)


@bug_of_epilogue(causes=(r"relu is done that was not asked for", r"\b(is|are) 0$"))
def relu_always(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:  # noqa: ARG001  # the bug
    """The relu is done whether it is asked for or not"""
    return (_sum(x, w, spec) + _column(bias)).relu().to(x.dtype)


EPILOGUES = (
    epilogue_in_16_bits,
    bias_missing,
    bias_twice,
    bias_of_the_next_channel,
    bias_in_eights,
    bias_in_overlapping_eights,
    bias_is_the_accumulator,
    relu_missing,
    relu_before_bias,
    relu_of_six,
    relu_always,
)
