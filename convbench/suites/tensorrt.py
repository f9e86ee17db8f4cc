"""Which convolutions has a TensorRT engine, by the list of its layers?

The list is what trtexec writes with --exportLayerInfo, or prints with --dumpLayerInfo, for an engine built with
--profilingVerbosity=detailed: JSON, or the same on a line without quotes. A layer has `ParameterType` Convolution,
`Inputs` and `Outputs` with `Dimensions`, and `Kernel`, `Stride`, `PrePadding`, `PostPadding`, `OutMaps` and `Groups`.
"""

import re
from collections.abc import Iterator

from convbench.errors import ConvbenchError
from convbench.spec import ConvSpec
from convbench.suites.found import IGNORED, OTHER_DTYPES, THREE_D, FoundProblem, NotTaken, spec_of_call

_LAYER = re.compile(r'"?LayerType"?\s*:\s*"?(\w+)')
_NAME = re.compile(r'"?Name"?\s*:\s*"?([^"\n]{1,2000}?)"?\s*,\s*$')
_LIST = re.compile(r'"?(Layers)"?\s*:')
_DTYPES = {"float": "fp32", "fp32": "fp32", "half": "fp16", "fp16": "fp16", "bfloat16": "bf16", "bf16": "bf16"}
MOST_CHARACTERS = 20_000  # of a layer


def is_layer_list(text: str) -> bool:
    """Whether a text is such a list, or a part of one."""
    return bool(_LAYER.search(text)) or bool(_LIST.search(text[:10_000]) and re.search(r'"?Bindings"?\s*:', text))


def read_layers(text: str) -> Iterator[tuple[int, FoundProblem | NotTaken | ConvbenchError]]:
    """What each layer is, with its line."""
    found = [*_LAYER.finditer(text)]
    if not found:
        yield (
            1,
            NotTaken(
                kind="TensorRT layers without sizes; build the engine with --profilingVerbosity=detailed",
                detail=" ".join(text[:100].split()),
            ),
        )
    line, seen = 1, 0
    for place, match in enumerate(found):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        name = _NAME.search(text, max(0, match.start() - 2100), match.start())
        end = found[place + 1].start() if place + 1 < len(found) else len(text)
        layer = text[match.start() : min(end, match.start() + MOST_CHARACTERS)]
        if not re.search(r'"?ParameterType"?\s*:\s*"?(?:De)?[Cc]onvolution', layer):
            yield line, NotTaken(kind="TensorRT layers that are not a convolution", detail=match[1], verb=IGNORED)
            continue
        try:
            for found_ in _layer(match[1], name[1].strip() if name else "", layer):
                yield line, found_
        except ConvbenchError as error:
            yield line, error


def _layer(kind: str, name: str, text: str) -> Iterator[FoundProblem | NotTaken]:
    head, _, tail = text.partition("ParameterType")
    inputs, _, outputs = head.partition("Outputs")
    x, y = (re.search(r'"?Dimensions"?\s*:\s*\[([-0-9,\s]*)\]', part) for part in (inputs, outputs))
    if x is None:
        raise ConvbenchError(f"{name[:60]!r} has no dimensions of an input")
    sizes = _numbers(x[1])
    kernel = _list(tail, "Kernel")
    if kernel is not None and len(kernel) == 3:
        yield NotTaken(kind=THREE_D, detail=name)
        return
    maps = re.search(r'"?OutMaps"?\s*:\s*([0-9]{1,9})\b', tail)
    groups = re.search(r'"?Groups"?\s*:\s*([0-9]{1,9})\b', tail)
    if kernel is None or maps is None or len(kernel) != 2 or len(sizes) != 4:
        raise ConvbenchError(f"{name[:60]!r} has no kernel, filters or image of two dimensions")
    if min(sizes) < 0:
        yield NotTaken(kind="TensorRT layers whose sizes are chosen in each run", detail=name)
        return
    before, after = _list(tail, "PrePadding") or (0, 0), _list(tail, "PostPadding") or (0, 0)
    if min(*before, *after) < 0:
        yield NotTaken(kind="problems with inconsistent sizes", detail=f"padding is negative in {name}")
        return
    weights = re.search(r'"?Weights"?\s*:\s*\{\s*"?Type"?\s*:\s*"?(\w+)', tail)
    dtype = _DTYPES.get(weights[1].lower()) if weights else None
    if weights and dtype is None:
        yield NotTaken(kind=OTHER_DTYPES, detail=f"{weights[1]} for {name}")
        return
    many, parts = int(maps[1]), int(groups[1]) if groups else 1
    transposed = bool(re.search(r'^"?\s*:\s*"?Deconvolution', tail, re.IGNORECASE))
    spec = _spec(
        sizes,
        many,
        kernel,
        before,
        after,
        stride=_list(tail, "Stride") or (1, 1),
        dilation=_list(tail, "Dilation") or (1, 1),
        groups=parts,
        transposed=transposed,
    )
    made = _numbers(y[1]) if y else ()
    ours = spec.x_shape if transposed else spec.y_shape
    # The output of a layer with a pooling is that of the pooling.
    if made and "Pool" not in kind and min(made) >= 0 and tuple(made) != ours:
        yield NotTaken(kind="problems with inconsistent sizes", detail=f"{list(made)} is not {list(ours)} in {name}")
        return
    bias = re.search(r'"?Bias"?\s*:\s*\{[^}]*"?Count"?\s*:\s*[1-9]', tail) is not None
    after_it = re.search(r'"?Activation"?\s*:\s*"?(\w+)', tail)
    activation = after_it[1].upper() if after_it else "NONE"
    relu = bias and activation == "RELU" and not transposed
    if activation != "NONE" and not relu:
        yield NotTaken(kind="fused operations", detail=f"{activation} in {name}")
    if bias and transposed:
        yield NotTaken(kind="biases of transposed convolutions", detail=name)
    yield FoundProblem(
        spec=spec,
        name=name,
        dtype=dtype,
        pass_="dgrad" if transposed else None,
        epilogue=None if transposed or not bias else "bias_relu" if relu else "bias",
    )


def _spec(
    x: tuple[int, ...],
    many: int,
    kernel: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...],
    *,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
    transposed: bool,
) -> ConvSpec:
    if groups < 1 or min(len(one) for one in (before, after, stride, dilation)) < 2:
        raise ConvbenchError("a layer whose stride, padding or dilation is not a pair, or with no group")
    if not transposed:
        return ConvSpec(
            n=x[0],
            c=x[1],
            h=x[2],
            w=x[3],
            k=many,
            r=kernel[0],
            s=kernel[1],
            stride=stride,
            padding=(before[0], after[0], before[1], after[1]),
            dilation=dilation,
            groups=groups,
        )
    if before != after:
        raise ConvbenchError("a transposed convolution with unequal padding")
    spec = spec_of_call(
        x,
        (x[1], many // groups, *kernel),
        stride=stride,
        padding=before,
        dilation=dilation,
        groups=groups,
        transposed=True,
    )
    assert spec is not None  # four sizes
    return spec


def _list(text: str, key: str) -> tuple[int, ...] | None:
    match = re.search(rf'"?\b{key}"?\s*:\s*\[([-0-9,\s]*)\]', text)
    return _numbers(match[1]) if match else None


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(one) for one in re.findall(r"-?[0-9]{1,9}", text))
    if re.search(r"[0-9]{10}", text):
        raise ConvbenchError("a size has more than 9 digits")
    return numbers
