"""OpenVINO's CPU plug-in: a graph of one Convolution, on torch's memory."""

import numpy as np
import openvino as ov
import torch
from jaxtyping import Float
from openvino import opset8
from torch import Tensor

from convbench.backend import backend
from convbench.case import Case
from convbench.spec import ConvSpec


def compiled(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> ov.InferRequest:
    """A request of the model, compiled for one stream of as many threads as torch has."""
    x = opset8.parameter(spec.x_shape, np.float32)
    top, bottom, left, right = spec.sides
    begin, end = (top, left), (bottom, right)
    if spec.groups == 1:
        y = opset8.convolution(x, w.contiguous().numpy(), spec.stride, begin, end, spec.dilation)
    else:
        blocks = w.reshape(spec.groups, spec.k_per_group, spec.c_per_group, spec.r, spec.s).contiguous()
        y = opset8.group_convolution(x, blocks.numpy(), spec.stride, begin, end, spec.dilation)
    model = ov.Model([y], [x], "convolution")
    return compile_model(model, torch.get_num_threads()).create_infer_request()


def compile_model(model: ov.Model | str, threads: int) -> ov.CompiledModel:
    """A model or its file, compiled in fp32 for one stream of so many threads."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "EXECUTION_MODE_HINT": "ACCURACY",
        "INFERENCE_PRECISION_HINT": "f32",  # it takes bf16 of its own accord where the CPU has it
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # pinned threads would meet torch's on the same cores
    }
    return ov.Core().compile_model(model, "CPU", settings)


def defects(case: Case, _probe: str) -> str | None:
    """What goes wrong in its kernels, in words."""
    if case.problem.operands == "subnormal_second":
        return "OpenVINO treats subnormal numbers as zero (docs/found-defects.md)"
    return None


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="vendor",
    source="OpenVINO, CPU plug-in",
    prepare=compiled,
    defects=defects,
    any_padding=True,
)
def openvino(x: Float[Tensor, "n c h w"], request: ov.InferRequest, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    x = x.contiguous()  # the model's own layout
    y = torch.empty(spec.y_shape)
    request.set_input_tensor(ov.Tensor(x.numpy(), shared_memory=True))
    request.set_output_tensor(ov.Tensor(y.numpy(), shared_memory=True))
    request.infer()
    return y
