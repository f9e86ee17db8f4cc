"""XLA through jax.jit: lax.conv_general_dilated on the CPU, compiled once per case."""

import os
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax as jx
import torch
from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.case import Case
from convbench.spec import ConvSpec

# Without this it would take most of a GPU's memory for itself as soon as it looked for devices.
jx.config.update("jax_platforms", "cpu")


@cache
def threads_of_xla() -> int:
    """How many threads XLA computes with: as many as torch had when this was first asked, for good."""
    threads = torch.get_num_threads()
    names = ("PJRT_NPROC", "NPROC")  # read once, when the client starts; there is no option
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, str(threads))
    try:
        jx.devices()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return threads


def refuse(case: Case) -> str | None:  # noqa: ARG001  # a matter of the process, not of the case
    if (threads := threads_of_xla()) != torch.get_num_threads():
        return (
            f"XLA creates its threads once per process: it has {threads}, torch now has {torch.get_num_threads()}; "
            f"--isolate gives each case its own process"
        )
    return None


def defects(case: Case, probe: str) -> str | None:
    """What goes wrong in XLA's kernels, in words, where a probe met it."""
    spec = case.spec
    if case.problem.operands == "subnormal_second" and case.dtype != "fp16":
        return "XLA treats subnormal numbers as zero (docs/found-defects.md)"
    if probe == "locality" and case.dtype == "fp64" and spec.groups > 1 and spec.c_per_group == 1:
        return "XLA spreads a NaN to the other channels of a depthwise fp64 convolution (docs/found-defects.md)"
    return None


@dataclass(frozen=True, slots=True)
class Compiled:
    """The weight as XLA sees it, and the code made for each layout that x came in."""

    w: Any
    code: dict[str, Any] = field(default_factory=dict)


def share(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Compiled:  # noqa: ARG001  # the code is made by the first call
    """The weight in XLA's hands, without a copy."""
    with jx.enable_x64(True):  # or a float64 tensor would become float32 in passing
        return Compiled(jx.dlpack.from_dlpack(w.contiguous()))


@backend(
    devices={"cpu"},
    dtypes={"fp32", "fp16", "bf16", "fp64"},
    family="vendor",
    source="XLA through jax.lax.conv_general_dilated",
    prepare=share,
    refuse=refuse,
    defects=defects,
    any_padding=True,
)
def jax(x: Float[Tensor, "n c h w"], compiled: Compiled, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        layout, x = "NCHW", x.contiguous()
    else:
        layout, x = "NHWC", x.permute(0, 2, 3, 1)
    with jx.enable_x64(True):
        operand = jx.dlpack.from_dlpack(x)
        if layout not in compiled.code:
            compiled.code[layout] = compile_for(layout, operand, compiled.w, spec)
        # torch does not know when XLA has finished, so this must wait.
        y: Tensor = torch.utils.dlpack.from_dlpack(compiled.code[layout](operand).block_until_ready())
    return y if layout == "NCHW" else y.permute(0, 3, 1, 2)


def compile_for(layout: str, x: Any, w: Any, spec: ConvSpec) -> Any:
    """The code for x of this shape; the weight is a constant, which XLA may turn round beforehand."""
    (top, bottom, left, right), dtype = spec.sides, x.dtype

    def convolve(x: Any) -> Any:
        y = jx.lax.conv_general_dilated(
            x,
            w,
            window_strides=spec.stride,
            padding=[(top, bottom), (left, right)],
            rhs_dilation=spec.dilation,
            dimension_numbers=(layout, "OIHW", layout),
            feature_group_count=spec.groups,
            precision=jx.lax.Precision.HIGHEST,
            # Sums in fp32 for the 16-bit types, as every other backend makes them.
            preferred_element_type=jx.numpy.promote_types(dtype, jx.numpy.float32),
        )
        return y.astype(dtype)

    return jx.jit(convolve).lower(x).compile()
