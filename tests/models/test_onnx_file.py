"""Is every convolution of an ONNX file read, with the numbers that torch would give it?"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convbench import ConvbenchError
from convbench.models import onnx_file
from convbench.models.inputs import parse_inputs
from convbench.models.onnx_file import measure_onnx
from convbench.show.models import remarks

onnx = pytest.importorskip("onnx")


def value(name: str, sizes: list[int | str] | None) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)


def weight(name: str, *dims: int) -> Any:
    return onnx.numpy_helper.from_array(np.full(dims, 0.5, np.float32), name)


def save(path: Path, nodes: list[Any], weights: list[Any], x: list[int | str], **options: Any) -> Path:
    graph = onnx.helper.make_graph(nodes, "net", [value("x", x)], [value(nodes[-1].output[0], None)], weights)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], **options), path)
    return path


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs.split(), [output], name=f"/{output}/{op}", **attributes)


def test_the_convolutions_of_a_file_are_those_of_the_same_network_in_torch(tmp_path: Path) -> None:
    import torch
    import torch.nn.functional as F

    from convbench.models.forward import census
    from convbench.models.inputs import Inputs

    nodes = [
        node("Conv", "x w b", "a", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "a", "a2"),
        node("MaxPool", "a2", "p", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "p v", "c", pads=[1, 0, 1, 0], dilations=[1, 2], group=2),
        node("GlobalAveragePool", "c", "g"),
        node("Conv", "g u", "e"),
        node("Mul", "c e", "m"),
        node("Concat", "m c", "cat", axis=1),
        node("ConvTranspose", "cat t", "y", strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[4, 4]),
    ]
    weights = [weight("w", 4, 3, 3, 3), weight("b", 4), weight("v", 8, 2, 3, 3), weight("u", 8, 8, 1, 1)]
    path = save(tmp_path / "net.onnx", nodes, [*weights, weight("t", 16, 2, 4, 4)], ["N", 3, 33, 40])

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def ones(*sizes: int) -> torch.Tensor:
                return torch.ones(sizes, device=x.device)

            x = F.max_pool2d(F.conv2d(x, ones(4, 3, 3, 3), ones(4), 2, 1).relu(), 3, 2, 1)
            c = F.conv2d(x, ones(8, 2, 3, 3), None, 1, (1, 0), (1, 2), 2)
            e = F.conv2d(c.mean((2, 3), keepdim=True), ones(8, 8, 1, 1))
            return F.conv_transpose2d(torch.cat([c * e, c], 1), ones(16, 2, 4, 4), None, 2, 1)

    found = measure_onnx(path, None)
    wanted = census(Net(), Inputs(args=(torch.zeros(1, 3, 33, 40),)))
    assert [call.shape for call in found.census.calls] == [call.shape for call in wanted.calls]
    assert [call.field for call in found.census.calls] == [call.field for call in wanted.calls]
    assert [call.bias for call in found.census.calls] == [True, False, False, False]
    assert [row.name for row in found.rows] == ["a.Conv", "c.Conv", "e.Conv", "y.ConvTranspose"]
    assert found.macs == wanted.torch_macs
    assert found.others == {}
    assert found.rows[-1].shape.pass_ == "dgrad"
    assert [one.shape for one in found.inputs] == [(1, 3, 33, 40)]


def test_what_a_classifier_is_made_of_is_followed_to_its_end(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a c c c c", "b"),
        node("AveragePool", "b", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", "p _ _ s", "r", mode="linear"),
        node("Transpose", "r", "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "t c", "n", axis=-1),
        node("MatMul", "n m", "u"),
        node("ReduceMean", "u", "d", axes=[1, 2], keepdims=0),
        node("Gemm", "d m c", "g"),
        node("Softmax", "g", "y", axis=-1),
    ]
    for one in nodes:
        one.input[:] = ["" if name == "_" else name for name in one.input]
    sizes = onnx.numpy_helper.from_array(np.array([1, 4, 8, 10], np.int64), "s")
    weights = [weight("w", 4, 3, 3, 3), weight("c", 4), weight("m", 4, 4), sizes]
    found = measure_onnx(save(tmp_path / "classifier.onnx", nodes, weights, [1, 3, 8, 10]), None).census
    assert [call.field is not None for call in found.calls] == [True]
    assert found.unfollowed == ()


def test_padding_by_a_word_is_worked_out_and_uneven_padding_is_told(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Conv", "a v", "y", auto_pad="SAME_LOWER"),
    ]
    path = save(tmp_path / "same.onnx", nodes, [weight("w", 4, 3, 3, 3), weight("v", 4, 4, 3, 3)], [1, 3, 8, 9])
    found = measure_onnx(path, None)
    first, second = (call.shape for call in found.census.calls)
    assert (first.y, first.padding, first.padding_after) == ((1, 4, 4, 5), (0, 1), (1, 1))
    assert str(first) == "n1c3h8w9k4r3s3_st2_pd0x1x1x1"
    assert str(second) == "n1c4h4w5k4r3s3_pd1"
    assert found.macs == 4 * 4 * 5 * 27 + 4 * 4 * 5 * 36
    ran = replace(found, rows=tuple(replace(row, ran="Slow2d") for row in found.rows))
    beforehand = [any("x is padded first with F.pad" in line for line in remarks(one)) for one in (found, ran)]
    assert beforehand == [False, True]  # said where a column tells what ran


def test_an_image_padded_with_zeros_is_told_with_its_padding(tmp_path: Path) -> None:
    nodes = [
        node("Pad", "x ends", "p"),  # N, C, H and W before, and after
        node("Conv", "p w", "a", strides=[2, 2]),
        node("Pad", "a more zero axes", "q"),
        node("Pad", "q ends", "r"),
        node("Conv", "r v", "b", pads=[0, 1, 0, 0]),
        node("Pad", "b ends one", "s"),  # not with zeros
        node("Conv", "s v", "c"),
        node("Pad", "c ends", "t", mode="reflect"),
        node("Conv", "t v", "y"),
    ]
    numbers = {"ends": [0, 0, 0, 1, 0, 0, 1, 2], "more": [3, 0], "axes": [-1]}
    known = [onnx.numpy_helper.from_array(np.array(one, np.int64), name) for name, one in numbers.items()]
    known += [onnx.numpy_helper.from_array(np.float32(one), name) for name, one in {"zero": 0, "one": 1}.items()]
    weights = [weight("w", 4, 3, 3, 3), weight("v", 4, 4, 3, 3), *known]
    graph = onnx.helper.make_graph(nodes, "net", [value("x", [1, 3, 8, 9])], [value("y", None)], weights)
    path = tmp_path / "padded.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), path)
    found = measure_onnx(path, None).census
    assert [(str(call.shape), call.padded) for call in found.calls] == [
        ("n1c3h8w9k4r3s3_st2_pd0x1x1x2", True),
        ("n1c4h4w5k4r3s3_pd0x1x5x2", True),
        ("n1c4h4w13k4r3s3", False),
        ("n1c4h3w14k4r3s3", False),
    ]
    assert found.unfollowed == ()


def test_a_convolution_of_integers_is_counted_and_no_problem(tmp_path: Path) -> None:
    def bytes_of(name: str, *dims: int) -> Any:
        return onnx.numpy_helper.from_array(np.ones(dims, np.uint8), name)

    nodes = [
        node("QuantizeLinear", "x scale zero", "u"),
        node("QLinearConv", "u scale zero w scale zero scale zero b", "q", pads=[1, 1, 1, 1]),
        node("ConvInteger", "q v", "i"),
        node("Cast", "i", "y", to=onnx.TensorProto.FLOAT),
    ]
    weights = [bytes_of("w", 4, 3, 3, 3), bytes_of("v", 4, 4, 3, 3), bytes_of("zero")]
    weights += [weight("scale"), onnx.numpy_helper.from_array(np.ones(4, np.int32), "b")]
    graph = onnx.helper.make_graph(nodes, "net", [value("x", [1, 3, 8, 9])], [value("y", None)], weights)
    path = tmp_path / "integers.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
    found = measure_onnx(path, None)
    assert [(call.shape.y, call.bias) for call in found.census.calls] == [((1, 4, 8, 9), True), ((1, 4, 6, 7), False)]
    assert all(call.field is not None for call in found.census.calls)
    assert found.macs == 4 * 8 * 9 * 27 + 4 * 6 * 7 * 36
    assert found.others == {"conv2d of integers": 2}
    assert found.census.uncounted == ()


def test_open_sizes_are_asked_for_and_taken_from_the_input(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "y")]
    path = save(tmp_path / "open.onnx", nodes, [weight("w", 4, 3, 3, 3)], ["batch", 3, "height", "width"])
    with pytest.raises(ConvbenchError, match="is batchx3xheightxwidth: give its sizes, such as --input"):
        measure_onnx(path, None)
    assert str(measure_onnx(path, parse_inputs("2x3x8x9")).rows[0].shape) == "n2c3h8w9k4r3s3"
    with pytest.raises(ConvbenchError, match="--input 2x5x8x9 does not fit x"):
        measure_onnx(path, parse_inputs("2x5x8x9"))
    with pytest.raises(ConvbenchError, match=r"has 2 shapes, .* 1 inputs: x"):
        measure_onnx(path, parse_inputs("2x3x8x9,1"))


def test_a_convolution_whose_sizes_the_file_does_not_say_is_told(tmp_path: Path) -> None:
    nodes = [
        node("NonZero", "x", "z"),  # how many there are hangs on the numbers
        node("Cast", "z", "f", to=onnx.TensorProto.FLOAT),
        node("Unsqueeze", "f zero", "u"),
        node("Conv", "u w", "y"),
    ]
    zero = onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0])
    path = save(tmp_path / "unknown.onnx", nodes, [weight("w", 4, 4, 3), zero], [1, 3, 8, 9])
    found = measure_onnx(path, None).census
    assert found.calls == ()
    assert found.uncounted == (("Conv of unknown sizes", "y.Conv"),)


def test_convolutions_in_branches_and_of_integers_are_told(tmp_path: Path) -> None:
    inner = onnx.helper.make_graph([node("Conv", "x w", "then")], "then", [], [value("then", None)])
    other = onnx.helper.make_graph([node("Identity", "x", "else")], "else", [], [value("else", None)])
    nodes = [node("If", "condition", "y", then_branch=inner, else_branch=other)]
    condition = onnx.helper.make_tensor("condition", onnx.TensorProto.BOOL, [], [True])
    path = save(tmp_path / "if.onnx", nodes, [weight("w", 4, 3, 3, 3), condition], [1, 3, 8, 9])
    assert measure_onnx(path, None).census.uncounted == (("Conv within If", "y.If"),)


def test_numbers_outside_the_file_are_not_opened(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "y")]
    path = save(tmp_path / "external.onnx", nodes, [weight("w", 64, 3, 7, 7)], [1, 3, 32, 32])
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="numbers.bin", size_threshold=0)
    (tmp_path / "numbers.bin").unlink()
    assert measure_onnx(path, None).macs == 26 * 26 * 64 * 147


@pytest.mark.parametrize("content", [b"", b"no model at all", b"\x08\x07" + b"\xff" * 40])
def test_what_is_no_model_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ConvbenchError, match=r"broken\.onnx") as refused:
        measure_onnx(path, None)
    assert "\n" not in str(refused.value)


def test_a_missing_a_large_and_an_endless_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path / "none.onnx", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConvbenchError, match="no model at"):
            measure_onnx(path, None)
    path = save(tmp_path / "large.onnx", [node("Conv", "x w", "y")], [weight("w", 4, 3, 3, 3)], [1, 3, 8, 8])
    monkeypatch.setattr(onnx_file, "MAX_NBYTES", 100)
    with pytest.raises(ConvbenchError, match="no model at"):
        measure_onnx(path, None)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConvbenchError, match="pip install onnx"):
        measure_onnx(tmp_path / "any.onnx", None)
