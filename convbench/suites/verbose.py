"""Which convolutions did oneDNN run, by its verbose log?

A line is `onednn_verbose,v1,primitive,exec,cpu,convolution,KERNEL,PASS,MEMORY,ATTRIBUTES,ALGORITHM,DESCRIPTOR,MS`;
before 3.1 without `v1` and `primitive`, before 1.0 (mkldnn_verbose) without the engine and the attributes, and with
a time stamp where one was asked for. The descriptor is benchdnn's.
"""

import re
from collections.abc import Iterator, Sequence

from convbench.errors import ConvbenchError
from convbench.suites.descriptors import DESCRIPTOR, DTYPES, TURNED, descriptor_spec, given, one_dtype, take_apart
from convbench.suites.found import IGNORED, OTHER_DTYPES, THREE_D, FoundProblem, NotTaken

_LINE = re.compile(r"\b(?:onednn|dnnl|mkldnn)_verbose,(.*)")
_OPERATIONS = ("convolution", "deconvolution")
_PASSES = {
    "forward_training": "fprop",
    "forward_inference": "fprop",
    "forward": "fprop",
    "backward_data": "dgrad",
    "backward_weights": "wgrad",
}
# `src:f32:a:blocked:abcd::f0`, `src_f32::blocked:abcd:f0` before 3.5, `fsrc:nchw` before 1.0, which names no data type.
_MEMORY = re.compile(r"\b(?:diff_)?(src|wei|bia|dst)[_:](\w+):")
_OLD_MEMORY = re.compile(r"\bf(src|wei|bia|dst):(\w+)")
_POST_OPS = re.compile(r"post[_-]ops:'?([^'\s]*)")
_RELU = re.compile(r"eltwise_relu(?::0(?:\.0*)?)?(?::[01](?:\.0*)?)*;?")
_TIME = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,20})?(?:e[-+]?[0-9]{1,2})?", re.ASCII)  # in milliseconds
_SCALED = re.compile(r"(?:attr-)?(oscale|scales|zero[_-]points):(\S+)")


def is_verbose(text: str) -> bool:
    """Whether a line, or a text of them, is of such a log."""
    return bool(_LINE.search(text))


def read_verbose(line: str) -> Iterator[FoundProblem | NotTaken]:
    """The problem of a line, with its time.

    Raises:
        ConvbenchError: it runs a convolution that cannot be read.
    """
    match = _LINE.search(line)
    fields = match[1].strip().split(",") if match else []
    if "exec" not in fields:
        yield NotTaken(kind="lines of a oneDNN log that run nothing", detail=line.strip(), verb=IGNORED)
        return
    words = fields[fields.index("exec") + 1 :]
    at = next((place for place, word in enumerate(words[:2]) if word in _OPERATIONS), None)
    if at is None:
        yield NotTaken(kind="oneDNN operations that are not a convolution", detail=line.strip(), verb=IGNORED)
        return
    operation, implementation, direction = [*words[at:], "", ""][:3]
    rest = words[at + 3 :]
    place = next((place for place, word in enumerate(rest) if DESCRIPTOR.fullmatch(word)), None)
    if place is None:
        raise ConvbenchError(f"no sizes, such as mb1ic64oc64_ih56oh56kh3, in {line.strip()!r}")
    if direction not in _PASSES:
        raise ConvbenchError(f"an unknown pass {direction!r}; known are {', '.join(_PASSES)}")
    sizes, _, _ = take_apart(rest[place])
    if given(sizes, "d"):
        yield NotTaken(kind=THREE_D, detail=rest[place])
        return
    transposed = operation == "deconvolution"
    spec = descriptor_spec(sizes, transposed=transposed)
    if isinstance(spec, str):
        yield NotTaken(kind="problems with inconsistent sizes", detail=f"{spec} in {rest[place]}")
        return
    memory = " ".join(rest[:place])
    dtype, bias = _memory(memory, implementation)
    if dtype is not None and dtype not in DTYPES:
        yield NotTaken(kind=OTHER_DTYPES, detail=f"{dtype} for {rest[place]}")
        return
    one = _PASSES[direction]
    pass_ = TURNED[one] if transposed else one
    epilogue = "bias" if bias and one == pass_ == "fprop" else None
    if bias and transposed and one == "fprop":
        yield NotTaken(kind="biases of transposed convolutions", detail=rest[place])
    if bias and one == "wgrad":
        yield NotTaken(kind="gradients of a bias", detail=rest[place])
    if (after := _POST_OPS.search(memory)) and after[1]:
        if epilogue and _RELU.fullmatch(after[1]):
            epilogue = "bias_relu"
        else:
            yield NotTaken(kind="fused operations", detail=after[1])
    for name, value in _SCALED.findall(memory):
        yield NotTaken(kind="scales and zero points", detail=f"{name}:{value}")
    yield FoundProblem(
        spec=spec,
        dtype=DTYPES.get(dtype or ""),
        pass_=None if pass_ == "fprop" else pass_,
        epilogue=epilogue,
        seconds=_seconds(rest[place + 1 :]),
    )


def _memory(text: str, implementation: str) -> tuple[str | None, bool]:
    """The data type of the operands, as text where they have several, and whether there is a bias."""
    if old := dict(_OLD_MEMORY.findall(text)):
        named = "int8" if "int8" in implementation else "bf16" if "bf16" in implementation else None
        return named, old.get("bia", "undef") != "undef"
    found = dict(_MEMORY.findall(text))
    types = [found[part] for part in ("src", "wei", "dst") if part in found]
    return one_dtype(":".join(types)) if types else None, found.get("bia", "undef") != "undef"


def _seconds(fields: Sequence[str]) -> float | None:
    """The time in milliseconds at the end of a line; some languages write 0,25, which is two fields."""
    text = ".".join(one.strip() for one in fields[:2] if one.strip())
    return float(text) / 1000 if _TIME.fullmatch(text) else None
