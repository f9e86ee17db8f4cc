"""ONNX Runtime's CPU provider: a graph of one Conv, bound to torch's memory."""

from dataclasses import dataclass

import onnx
import onnxruntime as ort
import torch
from jaxtyping import Float
from onnx import helper
from torch import Tensor

from convbench.backend import backend
from convbench.case import Case
from convbench.spec import ConvSpec


@dataclass(frozen=True, slots=True)
class Loaded:
    """A session with its binding; the weight is a constant of the graph, packed when it was loaded."""

    session: ort.InferenceSession
    binding: ort.IOBinding


def load(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> Loaded:
    """The graph, optimised for as many threads as torch has."""
    session = session_of(graph(w, spec), torch.get_num_threads())
    return Loaded(session, session.io_binding())


def session_of(model: bytes | str, threads: int) -> ort.InferenceSession:
    """A model's bytes or file, loaded for so many threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Its threads may spin during a call but not after it: they would take time from the next backend.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def graph(w: Float[Tensor, "k cg r s"], spec: ConvSpec) -> bytes:
    (top, bottom, left, right), single = spec.sides, onnx.TensorProto.FLOAT
    conv = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        kernel_shape=[spec.r, spec.s],
        strides=spec.stride,
        pads=[top, left, bottom, right],
        dilations=spec.dilation,
        group=spec.groups,
    )
    body = helper.make_graph(
        [conv],
        "convolution",
        [helper.make_tensor_value_info("x", single, spec.x_shape)],
        [helper.make_tensor_value_info("y", single, spec.y_shape)],
        [helper.make_tensor("w", single, spec.w_shape, w.contiguous().numpy().tobytes(), raw=True)],
    )
    # The oldest opset and format that say all of this, so any release reads it.
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def refuse(case: Case) -> str | None:
    return "ONNX Runtime cannot bind empty memory, so it does not support an empty batch" if case.spec.n == 0 else None


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="vendor",
    source="ONNX Runtime, CPUExecutionProvider",
    prepare=load,
    any_padding=True,
    refuse=refuse,
)
def onnxruntime(x: Float[Tensor, "n c h w"], loaded: Loaded, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    x = x.contiguous()  # it knows no other layout
    y = torch.empty(spec.y_shape)
    loaded.binding.bind_input("x", "cpu", 0, onnx.TensorProto.FLOAT, spec.x_shape, x.data_ptr())
    loaded.binding.bind_output("y", "cpu", 0, onnx.TensorProto.FLOAT, spec.y_shape, y.data_ptr())
    loaded.session.run_with_iobinding(loaded.binding)
    return y
