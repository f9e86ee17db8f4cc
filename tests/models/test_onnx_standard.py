"""Are onnxruntime's own operators counted as the convolutions that they are? It runs the same files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbench.models.onnx_file import measure_onnx
from convbench.ran.of_model import watch_what_ran

onnx = pytest.importorskip("onnx")
FLOAT, HALF, BYTE = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8


def tensor(name: str, *sizes: int, kind: int = FLOAT) -> Any:
    value = np.ones(sizes, onnx.helper.tensor_dtype_to_np_dtype(kind))
    return onnx.numpy_helper.from_array(value, name)


def save(path: Path, nodes: Sequence[Any], weights: Sequence[Any], sizes: Sequence[int], kind: int = FLOAT) -> Path:
    x = onnx.helper.make_tensor_value_info("x", kind, sizes)
    y = onnx.helper.make_tensor_value_info("y", kind, None)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], list(weights))
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def own(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    names = ["" if one == "-" else one for one in inputs.split()]
    return onnx.helper.make_node(op, names, [output], name=output, domain="com.microsoft", **attributes)


def run_onnxruntime(path: Path, sizes: Sequence[int], dtype: type = np.float32) -> tuple[int, ...]:
    """The sizes of y."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.zeros(sizes, dtype)})
    return tuple(y.shape)


@pytest.mark.needs("onnxruntime")
def test_a_fused_convolution_is_a_convolution_and_what_is_added_to_it_is_followed(tmp_path: Path) -> None:
    nodes = [
        own("FusedConv", "x w b", "a", activation="Relu", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        own("FusedConv", "a v - a", "y", activation="Relu", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    path = save(
        tmp_path / "f.onnx", nodes, [tensor("w", 4, 3, 3, 3), tensor("b", 4), tensor("v", 4, 4, 3, 3)], [1, 3, 8, 9]
    )
    found = measure_onnx(path, None)
    assert found.census.uncounted == ()
    assert [(call.name, str(call.shape), call.bias) for call in found.census.calls] == [
        ("a", "n1c3h8w9k4r3s3_pd1", True),
        ("y", "n1c4h8w9k4r3s3_pd1", False),
    ]
    assert found.census.calls[-1].shape.y == run_onnxruntime(path, [1, 3, 8, 9])
    assert [[one.size for one in call.field or ()] for call in found.census.calls] == [[3, 3], [5, 5]]


@pytest.mark.needs("onnxruntime")
def test_a_quantised_network_is_counted_to_its_end(tmp_path: Path) -> None:
    scale = onnx.numpy_helper.from_array(np.array(0.1, np.float32), "s")
    zero = onnx.numpy_helper.from_array(np.array(0, np.uint8), "z")
    conv = "x s z w s z s z"
    nodes = [
        onnx.helper.make_node("QLinearConv", conv.split(), ["a"], name="a", pads=[1, 1, 1, 1]),
        own("QLinearAdd", "a s z a s z s z", "b"),
        own("QLinearLeakyRelu", "b s z s z", "c", alpha=0.1),
        own("QLinearConcat", "s z c s z a s z", "d", axis=1),
        onnx.helper.make_node("QLinearConv", "d s z v s z s z".split(), ["e"], name="e", strides=[2, 2]),
        own("QLinearGlobalAveragePool", "e s z s z", "y"),
    ]
    weights = [tensor("w", 4, 3, 3, 3, kind=BYTE), tensor("v", 5, 8, 2, 2, kind=BYTE)]
    path = save(tmp_path / "q.onnx", nodes, [*weights, scale, zero], [1, 3, 8, 8], BYTE)
    found = measure_onnx(path, None)
    assert run_onnxruntime(path, [1, 3, 8, 8], np.uint8) == (1, 5, 1, 1)
    assert [call.shape.macs for call in found.census.calls] == [64 * 4 * 27, 16 * 5 * 32]
    assert {call.shape.dtype for call in found.census.calls} == {"uint8"}
    assert found.others == {"conv2d of integers": 2}
    assert found.census.uncounted == ()
    assert found.census.unfollowed == ()


@pytest.mark.parametrize("weight", [(4, 3, 5, 3), (4, 5, 3, 3)], ids=["channels second", "channels last"])
def test_a_convolution_of_an_image_in_nhwc_is_that_of_its_channels(weight: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [
        own("NhwcConv", "x w", "a", kernel_shape=[5, 3], pads=[2, 1, 2, 1], strides=[2, 1]),
        own("NhwcMaxPool", "a", "y", kernel_shape=[2, 2]),
    ]
    found = measure_onnx(save(tmp_path / "n.onnx", nodes, [tensor("w", *weight)], [1, 8, 9, 3]), None)
    (call,) = found.census.calls
    assert str(call.shape) == "n1c3h8w9k4r5s3_st2x1_pd2x1"
    assert call.shape.layout == "nhwc"
    assert found.macs == 4 * 9 * 4 * 3 * 15


def test_an_operator_that_nothing_is_known_of_is_told(tmp_path: Path) -> None:
    nodes = [own("ConvTransposeWithDynamicPads", "x w", "y")]
    found = measure_onnx(save(tmp_path / "d.onnx", nodes, [tensor("w", 3, 4, 3, 3)], [1, 3, 8, 8]), None)
    assert found.census.uncounted == (("ConvTransposeWithDynamicPads", "y"),)


@pytest.mark.program
def test_each_convolution_gets_the_kernel_of_its_own_dtype(tmp_path: Path) -> None:
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["a"], name="a", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Cast", ["a"], ["b"], to=HALF),
        onnx.helper.make_node("Conv", ["b", "v"], ["c"], name="c", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Cast", ["c"], ["y"], to=FLOAT),
    ]
    weights = [tensor("w", 32, 32, 3, 3), tensor("v", 32, 32, 3, 3, kind=HALF)]
    costs = watch_what_ran(measure_onnx(save(tmp_path / "h.onnx", nodes, weights, [1, 32, 32, 32]), None))
    single, half = costs.rows
    assert (single.shape.dtype, half.shape.dtype) == ("fp32", "fp16")
    assert single.ran.startswith("oneDNN ")
    assert half.ran not in ("", "unknown", single.ran)
