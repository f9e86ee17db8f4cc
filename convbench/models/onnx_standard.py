"""Which standard operators do onnxruntime's own ones stand for? An optimised or quantised file is full of them.

Only sizes and receptive fields are kept: an activation that was fused in, a scale, a zero point is dropped. Images in
NHWC are transposed before and after, so that all the rest reads NCHW.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

OWN, NHWC_DOMAIN = "com.microsoft", "com.ms.internal.nhwc"


@dataclass(frozen=True, slots=True)
class Standard:
    """The operator that another one stands for, and which of its inputs that one takes.

    Attributes:
        inputs: their places; one that is missing is left out.
        nhwc: its image is always in NHWC; otherwise where the attribute channels_last says so.
        added: the place of an input that is added to the result.
    """

    name: str
    inputs: tuple[int, ...] = (0,)
    nhwc: bool = False
    added: int | None = None


STANDARD = {
    "FusedConv": Standard("Conv", (0, 1, 2), added=3),
    "NhwcConv": Standard("Conv", (0, 1, 2), nhwc=True),
    "NhwcFusedConv": Standard("Conv", (0, 1, 2), nhwc=True, added=3),
    "QLinearConv": Standard("QLinearConv", (0, 1, 2, 3, 4, 5, 6, 7, 8)),
    "NhwcMaxPool": Standard("MaxPool", nhwc=True),
    "QLinearAdd": Standard("Add", (0, 3)),
    "QLinearMul": Standard("Mul", (0, 3)),
    "QLinearSigmoid": Standard("Sigmoid"),
    "QLinearLeakyRelu": Standard("LeakyRelu"),
    "QLinearSoftmax": Standard("Softmax"),
    "QLinearAveragePool": Standard("AveragePool"),
    "QLinearGlobalAveragePool": Standard("GlobalAveragePool"),
    "QLinearReduceMean": Standard("ReduceMean"),
    "FusedGemm": Standard("Gemm", (0, 1, 2)),
    "BiasGelu": Standard("Add", (0, 1)),
    "Gelu": Standard("Sigmoid"),
    "FastGelu": Standard("Sigmoid"),
    "QuickGelu": Standard("Sigmoid"),
    "QuantizeLinear": Standard("QuantizeLinear", (0, 1, 2)),
    "DequantizeLinear": Standard("DequantizeLinear", (0, 1, 2)),
}


def in_standard(model: Any) -> set[str]:
    """Write standard operators in place of onnxruntime's; return the outputs of convolutions that were in NHWC."""
    if not any(node.domain in (OWN, NHWC_DOMAIN) for node in model.graph.node):
        return set()
    dims = {one.name: tuple(one.dims) for one in model.graph.initializer}
    nodes, nhwc = [], set()
    for node in model.graph.node:
        found = list(_rewritten(node, dims))
        nhwc |= {one.output[0] for one in found if one.output[0].endswith(_IN_NCHW) and "Conv" in one.op_type}
        nodes += found
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return nhwc


_IN_NCHW = " in NCHW"  # a blank is in no name that a framework writes


def _rewritten(node: Any, dims: dict[str, tuple[int, ...]]) -> Iterator[Any]:
    import onnx

    options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if node.domain == OWN and node.op_type == "QLinearConcat":  # the scale and the zero point of y, then of each x
        yield _node("Concat", node.input[2::3], node.output, node.name, {"axis": options.get("axis", 1)})
        return
    standard = STANDARD.get(node.op_type) if node.domain == OWN else None
    if node.domain == NHWC_DOMAIN:
        standard = Standard(node.op_type, tuple(range(len(node.input))), nhwc=True)
    if standard is None:
        yield node
        return
    inputs = [node.input[place] for place in standard.inputs if place < len(node.input)]
    (y, *_), before = node.output, ""
    kept = {name: one for name, one in options.items() if not name.startswith("activation")}
    last = kept.pop("channels_last", 0) or standard.nhwc
    if last and inputs:
        yield _node("Transpose", inputs[:1], [inputs[0] + _IN_NCHW], "", {"perm": [0, 3, 1, 2]})
        inputs[0] += _IN_NCHW
        if (w := _last_of_weight(standard.name, inputs, kept, dims)) is not None:
            yield _node("Transpose", [w], [w + _IN_NCHW], "", {"perm": [0, 3, 1, 2]})
            inputs = [one + _IN_NCHW if one == w else one for one in inputs]
        before, y = y, y + _IN_NCHW
    plus = standard.added
    if plus is not None and plus < len(node.input) and node.input[plus]:
        whole = before or y
        yield _node(standard.name, inputs, [f"{whole} alone{_IN_NCHW if before else ''}"], node.name, kept)
        alone = f"{whole} alone"
        if before:
            yield _node("Transpose", [alone + _IN_NCHW], [alone], "", {"perm": [0, 2, 3, 1]})
        yield _node("Add", [alone, node.input[plus]], [whole], "", {})
        return
    yield _node(standard.name, inputs, [y], node.name, kept)
    if before:
        yield _node("Transpose", [y], [before], "", {"perm": [0, 2, 3, 1]})


def _last_of_weight(
    name: str, inputs: list[str], options: dict[str, Any], dims: dict[str, tuple[int, ...]]
) -> str | None:
    """A weight whose channels are last as well, by the kernel's size: onnxruntime has it both ways."""
    if name != "Conv" or len(inputs) < 2:
        return None
    sizes, kernel = dims.get(inputs[1], ()), tuple(options.get("kernel_shape") or ())
    return inputs[1] if len(sizes) == 4 and kernel and sizes[2:] != kernel and sizes[1:3] == kernel else None


def _node(kind: str, inputs: Any, outputs: Any, name: str, options: dict[str, Any]) -> Any:
    import onnx

    return onnx.helper.make_node(kind, list(inputs), list(outputs), name=name, **options)
