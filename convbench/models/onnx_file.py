"""Which convolutions are in an ONNX file? Read from its graph and shape inference; nothing in it runs.

The sizes come from the declared inputs (or --input), the initialisers and onnx.shape_inference. External data is not
opened.
"""

import importlib.util
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from convbench.dtypes import short_dtype
from convbench.errors import ConvbenchError, first_line, unknown
from convbench.files import read_bytes
from convbench.models.calls import ConvCall, Ends, Shape, add_ends
from convbench.models.costs import ModelCosts, gather
from convbench.models.forward import Census
from convbench.models.inputs import GivenInput
from convbench.models.onnx_standard import in_standard
from convbench.models.operators import Operator, follow
from convbench.models.reach import Reach

MAX_NBYTES = 2**30  # in memory it takes twice that; protobuf itself ends at 2 GiB
MAX_STRIPPED = 1024  # numbers of an initialiser that shape inference may need (a shape, sizes of pads)
# Where x and w stand among the inputs of each.
CONVOLUTIONS = {"Conv": (0, 1), "ConvTranspose": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3)}
OF_INTEGERS = ("ConvInteger", "QLinearConv")
# Elementwise, or the same numbers for the receptive field.
POINTWISE = (
    "Relu LeakyRelu PRelu Sigmoid Tanh Clip Elu Selu Celu Gelu HardSigmoid HardSwish Mish Softplus Softsign Erf Sqrt "
    "Exp Log Neg Abs Reciprocal Add Sub Mul Div Pow Min Max Sum Mean Identity Cast Dropout BatchNormalization Where "
    "QuantizeLinear DequantizeLinear Floor Ceil Round Sign Swish ThresholdedRelu"
)
# What torch calls them; pools are alike for the receptive field, and so are reductions.
TORCH_NAMES = {
    onnx_name: torch_name
    for torch_name, onnx_names in {
        "pointwise": POINTWISE,
        "cat": "Concat",
        "permute": "Transpose",
        "view": "Reshape Flatten Squeeze Unsqueeze",
        "max_pool": "MaxPool AveragePool LpPool",
        "mean": "GlobalAveragePool GlobalMaxPool GlobalLpPool ReduceMean ReduceSum ReduceMax ReduceMin",
        "softmax": "Softmax LogSoftmax",
        "layer_norm": "LayerNormalization",
        "mm": "MatMul",
        "addmm": "Gemm",
        "convolution": "Conv ConvTranspose ConvInteger QLinearConv",
    }.items()
    for onnx_name in onnx_names.split()
}
TORCH_PADS = {"constant": "constant_pad_nd", "reflect": "reflection_pad", "edge": "replication_pad"}
RESIZED = {"nearest": "upsample_nearest", "linear": "upsample_linear", "cubic": "upsample_bicubic"}
SHAPES_ONLY = ("Shape", "Constant", "ConstantOfShape", "Size", "Range", "EyeLike")


def measure_onnx(path: Path, given: Sequence[GivenInput] | None) -> ModelCosts:
    """Every convolution of the file, as `models.costs.measure` has it of a torch model; no time, for none is run.

    Raises:
        ConvbenchError: no onnx package, no such file, a broken one, or an input whose size is open.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ConvbenchError(f"{path}: reading it needs the package onnx; try 'pip install onnx'")
    import onnx
    import onnx.inliner

    try:
        data = read_bytes(path, MAX_NBYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConvbenchError(f"no model at {path}: {why}; give a FILE.onnx") from None
    try:
        model = onnx.load_model_from_string(data)
        nodes = list(model.graph.node)
    except Exception as error:  # protobuf's own, and others by version
        raise ConvbenchError(f"{path} is not a readable ONNX file: {first_line(error)}; export it again") from None
    if not nodes:
        raise ConvbenchError(f"{path} has no graph; export it again")
    inputs = _set_inputs(model, given, path)
    _strip(model)
    try:
        if model.functions:  # what torch.export calls a function may hold convolutions
            model = onnx.inliner.inline_local_functions(model)
        nhwc = in_standard(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise ConvbenchError(f"the shapes in {path} contradict each other: {first_line(error)}") from None
    try:
        found = _Graph(model.graph, inputs[0][0], nhwc).census()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ConvbenchError(f"{path} has a malformed node: {type(error).__name__}: {first_line(error)}") from None
    return ModelCosts(
        model=path.name,
        origin=f"onnx opset {max((one.version for one in model.opset_import), default=0)}",
        inputs=tuple(GivenInput(shape=shape) for _, shape in inputs),
        census=found,
        rows=gather(found.calls),
        unmeasured="an ONNX file is read, not run",
    )


def _set_inputs(model: Any, given: Sequence[GivenInput] | None, path: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Write the sizes that were given into the graph's inputs, by name or in order; a batch that is left open is 1."""
    initial = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in initial and one.type.HasField("tensor_type")]
    if not inputs:
        raise ConvbenchError(f"{path} has no input that is a tensor")
    names = [one.name for one in inputs]
    shapes = None if given is None else [one.shape for one in _in_order(given, names)]
    if shapes is not None and len(shapes) != len(inputs):
        raise ConvbenchError(
            f"--input has {len(shapes)} shapes, but {path} has {len(inputs)} inputs: {', '.join(names)}"
        )
    done = []
    for place, one in enumerate(inputs):
        dims = one.type.tensor_type.shape.dim
        declared = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
        said = "x".join(str(size or dim.dim_param or "?") for size, dim in zip(declared, dims, strict=True))
        if shapes is None:
            sizes = [1 if size is None and axis == 0 else size for axis, size in enumerate(declared)]
        else:
            sizes = list(shapes[place])
            fits = len(sizes) == len(declared)
            if not fits or any(own not in (None, size) for own, size in zip(declared, sizes, strict=True)):
                raise ConvbenchError(f"--input {'x'.join(map(str, sizes))} does not fit {one.name} of {path}: {said}")
        if any(size is None for size in sizes):
            raise ConvbenchError(
                f"the input {one.name} of {path} is {said}: give its sizes, such as --input 1x3x224x224"
            )
        for dim, size in zip(dims, sizes, strict=True):
            dim.dim_value = size
        done.append((one.name, tuple(size for size in sizes if size is not None)))
    del model.graph.value_info[:]  # inferred for other sizes perhaps
    for one in model.graph.output:
        if one.type.HasField("tensor_type"):
            one.type.tensor_type.ClearField("shape")
    return done


def _in_order(given: Sequence[GivenInput], names: Sequence[str]) -> list[GivenInput]:
    """As the graph has them: those without a name first, then the others by name.

    Raises:
        ConvbenchError: the graph has no input of a name.
    """
    for one in given:
        if one.name and one.name not in names:
            raise unknown("input", one.name, names)
    first = [one for one in given if not one.name]
    named = {one.name: one for one in given if one.name}
    return first + [named[name] for name in names[len(first) :] if name in named]


def _strip(model: Any) -> None:
    """Drop the numbers of large initialisers, and the locations of external ones: only their sizes are needed."""
    for one in model.graph.initializer:
        numbers = 1
        for size in one.dims:
            numbers *= size
        if numbers > MAX_STRIPPED or one.external_data:
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                one.ClearField(field)
            one.ClearField("external_data")
            one.ClearField("data_location")


class _Graph:
    """One walk over the nodes, which an ONNX file holds in an order that can be run."""

    def __init__(self, graph: Any, first_input: str, nhwc: Container[str] = ()) -> None:
        self._graph, self._nhwc = graph, nhwc
        self._sizes: dict[str, tuple[int, ...] | None] = {one.name: tuple(one.dims) for one in graph.initializer}
        self._kinds = {one.name: one.data_type for one in graph.initializer}
        for one in (*graph.input, *graph.value_info, *graph.output):
            dims = [dim.dim_value for dim in one.type.tensor_type.shape.dim]
            known = one.type.tensor_type.HasField("shape") and all(size > 0 for size in dims)
            self._sizes[one.name] = tuple(dims) if known else None
            self._kinds[one.name] = one.type.tensor_type.elem_type
        self._reach: dict[str, Reach] = {}
        if (size := self._sizes[first_input]) is not None and len(size) >= 3:
            self._reach[first_input] = Reach.of_input(size)
        self._unfollowed: Counter[str] = Counter()
        self._numbers = {one.name: one for one in graph.initializer}
        self._padded: dict[str, Ends] = {}  # zeros that the graph itself puts around an image

    def census(self) -> Census:
        calls: list[ConvCall] = []
        uncounted: list[tuple[str, str]] = []
        for place, node in enumerate(self._graph.node):
            name = (node.name or f"{node.op_type}_{place}").strip("/").replace("/", ".")
            if node.op_type in CONVOLUTIONS:
                shape = self._shape(node)
                self._follow(node)
                if shape is None:
                    uncounted.append((f"{node.op_type} of unknown sizes", name))
                else:
                    calls.append(self._call(node, shape, name))
                continue
            if "Conv" in node.op_type or "conv" in node.op_type:
                uncounted.append((node.op_type, name))
            uncounted += [(f"{op} within {node.op_type}", name) for op in _inside(node)]
            if node.op_type == "Constant" and "value" in (options := _attributes(node)):
                self._numbers[node.output[0]] = options["value"]
            if node.op_type == "Pad":
                self._pad(node)
            self._follow(node)
        return Census(
            calls=tuple(calls), uncounted=tuple(uncounted), unfollowed=tuple(self._unfollowed.items()), device=""
        )

    def _pad(self, node: Any) -> None:
        """Remember which image was padded with zeros alone, at the ends of its last axes."""
        found, before = self._pads_of(node), self._padded.get(node.input[0])
        if found is None or found[0] != "constant" or found[1]:
            return
        sides = found[2]
        if len(sides) < 3 or any(sides[0] + sides[1]) or any(end < 0 for side in sides for end in side):
            return
        first, last = zip(*sides[2:], strict=True)
        self._padded[node.output[0]] = (first, last) if before is None else add_ends(before, (first, last))

    def _pads_of(self, node: Any) -> tuple[str, float, list[tuple[int, int]]] | None:
        """Mode, value, and for each axis how much is put before and after it; None if the file does not say."""
        options, rank = _attributes(node), len(self._sizes.get(node.input[0]) or ())
        pads, value, axes = (self._read(name) if name else [] for name in [*node.input, "", "", ""][1:4])
        if "pads" in options:  # before opset 11
            pads, value = options["pads"], [options.get("value", 0)]
        if pads is None or value is None or axes is None:
            return None
        sides, half = [(0, 0)] * rank, len(pads) // 2
        for axis, before, after in zip(axes or range(rank), pads[:half], pads[half:], strict=True):
            sides[axis % rank] = before, after
        return options.get("mode", b"constant").decode(), *(value or [0]), sides

    def _read(self, name: str) -> list[Any] | None:
        """The numbers of a small initialiser or constant."""
        import onnx

        one = self._numbers.get(name)
        if one is None:
            return None
        try:
            return list(onnx.numpy_helper.to_array(one).ravel().tolist())
        except (TypeError, ValueError):  # stripped, or kept elsewhere
            return None

    def _call(self, node: Any, shape: Shape, name: str) -> ConvCall:
        place = {"Conv": 2, "ConvTranspose": 2, "QLinearConv": 8}.get(node.op_type)
        bias = place is not None and len(node.input) > place and bool(node.input[place])
        field = self._reach[node.output[0]].extents if node.input[0] in self._reach else None
        zeros = self._padded.get(node.input[0]) if node.op_type == "Conv" else None
        if zeros is not None:
            shape = shape.unpadded(zeros)
        return ConvCall(name=name, shape=shape, bias=bias, field=field, padded=zeros is not None)

    def _shape(self, node: Any) -> Shape | None:
        places = CONVOLUTIONS[node.op_type]
        x, w = (self._sizes.get(node.input[place]) for place in places)
        y = self._sizes.get(node.output[0])
        if x is None or w is None or y is None or not len(x) == len(w) == len(y) >= 3:
            return None
        options = _attributes(node)
        rank = len(x) - 2
        stride, dilation = (tuple(options.get(name) or [1] * rank) for name in ("strides", "dilations"))
        before, after = _pads(
            options, x[2:], w[2:], stride, dilation, y[2:], transposed=node.op_type == "ConvTranspose"
        )
        return Shape(
            x=x,
            w=w,
            y=y,
            stride=stride,
            padding=before,
            padding_after=after,
            dilation=dilation,
            groups=options.get("group", 1),
            transposed=node.op_type == "ConvTranspose",
            integers=node.op_type in OF_INTEGERS,
            layout="nhwc" if node.output[0] in self._nhwc else "nchw",
            dtype=_name_kind(
                self._kinds.get(node.input[0]) or self._kinds.get(node.input[CONVOLUTIONS[node.op_type][1]])
            ),
        )

    def _follow(self, node: Any) -> None:
        operands = [self._reach.get(name) for name in node.input]
        if node.op_type == "Gemm":  # torch has what is added in front
            operands = [*operands[2:], *operands[:2]]
        if node.op_type in OF_INTEGERS:  # scales and zero points stand between
            operands = [operands[place] for place in CONVOLUTIONS[node.op_type]]
        if not any(operands) or node.op_type in SHAPES_ONLY:
            return
        sizes = {name: self._sizes.get(name) for name in node.output if name}
        shapes = {name: size for name, size in sizes.items() if size is not None}
        if len(shapes) < len(sizes):
            self._unfollowed[f"{node.op_type} of unknown sizes"] += len(sizes) - len(shapes)
        if not shapes:
            return
        try:
            name, options = self._in_torch(node, next(iter(shapes.values())))
        except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
            name, options = "", {}
        found, known = follow(Operator(name=name, operands=operands, options=options, shapes=list(shapes.values())))
        if not known:
            self._unfollowed[node.op_type] += 1
        self._reach |= zip(shapes, found, strict=True)

    def _in_torch(self, node: Any, y: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
        """What torch calls a node, and its attributes; "" if nothing is known of it."""
        options, name = _attributes(node), TORCH_NAMES.get(node.op_type, "")
        x = self._sizes.get(node.input[0]) or ()
        rank = len(x)
        match node.op_type:
            case "Conv" | "ConvTranspose" | "ConvInteger" | "QLinearConv" | "MaxPool" | "AveragePool" | "LpPool":
                w = node.input[CONVOLUTIONS[node.op_type][1]] if node.op_type in CONVOLUTIONS else ""
                kernel = options.get("kernel_shape") or (self._sizes[w] or ())[2:]
                stride, dilation = (options.get(one) or [1] * (rank - 2) for one in ("strides", "dilations"))
                transposed = node.op_type == "ConvTranspose"
                before, _ = _pads(options, x[2:], kernel, stride, dilation, y[2:], transposed=transposed)
                geometry = {"stride": stride, "padding": before, "dilation": dilation, "transposed": transposed}
                return name, {"kernel_size": kernel, "weight": (0, 0, *kernel)} | geometry
            case "Pad":
                mode, _, sides = self._pads_of(node) or ("", 0, [])
                pads = [end for side in reversed(sides) for end in side]
                return TORCH_PADS.get(mode, ""), {"pad": pads}
            case "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool":
                return name, {"dim": range(2, rank)}
            case "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin":
                if "axes" not in options and len(y) != rank:
                    return "", {}
                return name, {"dim": options.get("axes") or [dim for dim in range(rank) if y[dim] != x[dim]]}
            case "Concat" | "Softmax" | "LogSoftmax":
                return name, {"dim": options.get("axis", -1)}
            case "Transpose":
                return name, {"dims": options.get("perm") or range(rank)[::-1]}
            case "LayerNormalization":
                return name, {"normalized_shape": x[options.get("axis", -1) % rank :]}
            case "Resize" | "Upsample":
                dims = [dim for dim in range(rank) if y[dim] != x[dim]]
                return RESIZED[options.get("mode", b"nearest").decode()], {"dims": dims}
            case "Gemm" if options.get("transA") or (options.get("transB") and node.input[1] in self._reach):
                return "", {}
        return name, {}


def _pads(
    options: Mapping[str, Any],
    x: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    y: Sequence[int],
    *,
    transposed: bool = False,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding at the two ends; auto_pad says them by a word."""
    rank = len(x)
    word = options.get("auto_pad", b"NOTSET").decode()
    if word in ("SAME_UPPER", "SAME_LOWER"):
        totals = []
        for axis in range(rank):
            extent = dilation[axis] * (kernel[axis] - 1) + 1
            ends = ((x[axis] - 1) * stride[axis] + extent - y[axis]) if transposed else 0
            same = (ceil(x[axis] / stride[axis]) - 1) * stride[axis] + extent - x[axis]
            totals.append(max(0, ends if transposed else same))
        less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
        return (less, more) if word == "SAME_UPPER" else (more, less)
    pads = options.get("pads") or [0] * (2 * rank)
    return tuple(pads[:rank]), tuple(pads[rank:])


def _name_kind(kind: int | None) -> str:
    """`fp16` for onnx.TensorProto.FLOAT16; fp32 where the file does not say."""
    import onnx

    if not kind:
        return "fp32"
    name = str(onnx.TensorProto.DataType.Name(kind)).lower()
    return short_dtype({"float": "float32", "double": "float64"}.get(name, name))


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def _inside(node: Any) -> Iterator[str]:
    """Convolutions in the branches of an If or the body of a Loop, whose number of runs the file does not say."""
    for one in node.attribute:
        for graph in ([one.g] if one.HasField("g") else []) + list(one.graphs):
            for inner in graph.node:
                if "Conv" in inner.op_type:
                    yield inner.op_type
                yield from _inside(inner)
