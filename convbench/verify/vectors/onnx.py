"""The node tests of ONNX: Conv, ConvInteger in integers, and ConvTranspose, which is a dgrad."""

import warnings
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec, Pair
from convbench.verify.vectors import Corpus, Vector

OPERATORS = ("Conv", "ConvInteger", "ConvTranspose")
_KIN = ("DeformConv", "QLinearConv")


def load() -> Corpus:
    """Every model of one convolution, as far as convbench can express it; in memory, no file is read."""
    import onnx
    from onnx.backend.test.case import node

    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        # A module makes its cases when it is imported, from a seed of its own; those of all operators take seconds.
        for module in iter_modules(node.__path__, node.__name__ + "."):
            if "conv" in module.name.rpartition(".")[2]:
                import_module(module.name)
        tests = list(node._NodeTestCases)  # noqa: SLF001  # onnx's own loader, which imports all, returns this list
    vectors: list[Vector] = []
    left_out: list[tuple[str, str]] = []
    for test in tests:
        nodes = test.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in (*OPERATORS, *_KIN):
            continue
        kind = nodes[0].op_type
        if kind in _KIN:
            left_out.append((test.name, f"{kind} is another operation"))
            continue
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in nodes[0].attribute}
        (inputs, (expected,)), *_ = test.data_sets
        tensors = [torch.from_numpy(np.array(one)) for one in inputs]
        if tensors[0].dim() != 4:
            left_out.append((test.name, f"it has {tensors[0].dim() - 2} dimensions"))
            continue
        try:
            vectors.append(_read(test.name, kind, attributes, tensors, torch.from_numpy(np.array(expected))))
        except ConvbenchError as error:
            left_out.append((test.name, str(error)))
    return Corpus(name="onnx", version=f"onnx {onnx.__version__}", vectors=tuple(vectors), left_out=tuple(left_out))


def _read(name: str, kind: str, attributes: dict[str, Any], inputs: list[Tensor], expected: Tensor) -> Vector:
    x, w, *rest = inputs
    if kind == "ConvInteger":  # integers of at most 9 bits, exact in fp32
        zeros = [one.float() for one in rest] + [torch.zeros(())] * (2 - len(rest))
        x, w, rest = x.float() - zeros[0], w.float() - zeros[1].reshape(-1, 1, 1, 1), []
    stride, dilation = _pair(attributes, "strides"), _pair(attributes, "dilations")
    groups = int(attributes.get("group", 1))
    sides = _pads(attributes, x, w, stride, dilation, expected if kind == "ConvTranspose" else None)
    pass_ = "dgrad" if kind == "ConvTranspose" else "fprop"
    if pass_ == "dgrad":
        if rest:
            raise ConvbenchError("a gradient has no bias")
        image, k, c = (expected.shape[2], expected.shape[3]), x.shape[1], w.shape[1] * groups
    else:
        image, k, c = (x.shape[2], x.shape[3]), w.shape[0], x.shape[1]
    spec = ConvSpec(
        n=x.shape[0],
        c=c,
        h=image[0],
        w=image[1],
        k=k,
        r=w.shape[2],
        s=w.shape[3],
        stride=stride,
        padding=sides,
        dilation=dilation,
        groups=groups,
    )
    if pass_ == "dgrad" and spec.y_shape != tuple(x.shape):
        raise ConvbenchError(f"it is not a gradient of {spec}, whose output is {spec.p}x{spec.q}")
    return Vector(name=name, spec=spec, operands=(x, w, *rest), expected=expected.float(), pass_=pass_)


def _pair(attributes: dict[str, Any], name: str) -> Pair:
    height, width = attributes.get(name, (1, 1))
    return (int(height), int(width))


def _pads(
    attributes: dict[str, Any], x: Tensor, w: Tensor, stride: Pair, dilation: Pair, transposed: Tensor | None
) -> tuple[int, int, int, int]:
    """Padding at the top, bottom, left and right, by `pads`, or by `auto_pad` and `output_shape` (ONNX, Conv-22)."""
    auto = bytes(attributes.get("auto_pad", b"NOTSET")).decode()
    if auto in ("NOTSET", "VALID") and "output_shape" not in attributes:
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        return (int(top), int(bottom), int(left), int(right))
    before, after = [], []
    for axis in (2, 3):
        extent = dilation[axis - 2] * (w.shape[axis] - 1) + 1
        size, step = x.shape[axis], stride[axis - 2]
        if transposed is None:
            total = max(0, (-(-size // step) - 1) * step + extent - size)
        else:
            more = int(attributes.get("output_padding", (0, 0))[axis - 2])
            total = max(0, step * (size - 1) + more + extent - transposed.shape[axis])
        small, large = total // 2, total - total // 2
        first, last = (large, small) if auto == "SAME_LOWER" else (small, large)
        before.append(first)
        after.append(last)
    return (before[0], after[0], before[1], after[1])
