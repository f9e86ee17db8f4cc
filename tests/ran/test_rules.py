"""Does the rule, as convbench knows it, say what torch chooses?"""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import torch

from convbench import ConvbenchError, ConvSpec
from convbench.call.tensors import TORCH_DTYPE
from convbench.ran.rules import DispatchRule, Setting, apply_rule
from convbench.ran.witness import read_setting, select


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def onednn(*, on: bool) -> Iterator[None]:
    """As torch.backends.mkldnn.flags, which warns in this release."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(on)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def selected(spec: ConvSpec, dtype: str = "fp32", layout: str = "nchw") -> str | None:
    """torch's own choice; nothing is computed, and the memory is not even touched."""
    order = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    x, w = (
        torch.empty(shape, dtype=TORCH_DTYPE[dtype]).to(memory_format=order) for shape in (spec.x_shape, spec.w_shape)
    )
    return select(x, w, spec)[0]


def predicted(
    text: str, dtype: str = "fp32", device: str = "cpu", layout: str = "nchw", **setting: Any
) -> DispatchRule:
    known = replace(read_setting("cpu"), **setting)
    return apply_rule(ConvSpec.parse(text), dtype=dtype, layout=layout, device=device, setting=known)


def random_spec(source: random.Random) -> ConvSpec:
    """Small and large ones, so that every clause of the rule decides some: about half of them on either side."""
    while True:
        groups = source.choice([1, 1, 1, 1, 2, 3])
        r, s = source.choice([(1, 1), (1, 1), (3, 3), (2, 2), (4, 4), (5, 5), (1, 7), (3, 5), (17, 17), (16, 4)])
        channels, size = groups * source.choice([1, 3, 5, 8]), source.choice([4, 9, 20, 63, 64, 65, 143, 144])
        with suppress(ConvbenchError):  # the kernel outgrew the image
            return ConvSpec(
                n=source.choice([1, 1, 1, 2, 15, 16, 17]),
                c=channels,
                h=size,
                w=source.choice([size, size + 1]),
                k=groups * source.choice([1, 2, 4]),
                r=r,
                s=s,
                stride=source.choice([(1, 1), (1, 1), (2, 1)]),
                padding=source.choice([(0, 0), (1, 1), (r // 2, s // 2)]),
                dilation=source.choice([(1, 1), (1, 1), (1, 2)]),
                groups=groups,
            )


def test_the_rule_agrees_with_torch_on_200_random_problems_in_every_dtype_and_setting() -> None:
    source = random.Random(20261122)
    met: set[str | None] = set()
    for _ in range(200):
        spec, dtype = random_spec(source), source.choice(["fp32", "fp32", "fp32", "fp64", "bf16", "fp16"])
        layout, on = source.choice(["nchw", "nhwc"]), source.random() < 0.8
        with threads(source.choice([1, 2])), onednn(on=on):
            rule = apply_rule(spec, dtype=dtype, layout=layout, device="cpu", setting=read_setting("cpu"))
            chosen = selected(spec, dtype, layout)
        assert rule.backend == chosen, f"{spec} in {dtype}, oneDNN {on}: {rule}"
        met.add(chosen)
    assert met == {"Mkldnn", "Slow2d", "SlowDilated2d", "NnpackSpatial"}


@pytest.mark.parametrize(
    ("slow", "onednn", "words"),
    [
        ("n1c1h143w143k1r2s2", "n1c1h144w144k1r2s2", "the input has 20,736 elements (more than 20,480)"),
        ("n1c5h64w64k1r2s2", "n1c5h64w65k1r2s2", "the input has 20,800 elements (more than 20,480)"),
        ("n1c1h8w8k1r3s5", "n1c1h8w8k1r4s4", "both sides of the 4x4 kernel are larger than 3"),
        ("n1c1h4w4k1r2s2", "n2c1h4w4k1r2s2", "there is more than 1 image (2)"),
        ("n1c2h4w4k2r2s2", "n1c2h4w4k2r2s2_g2", "there is more than 1 group (2)"),
    ],
)
def test_either_side_of_a_boundary_is_told_by_the_number_that_decides(slow: str, onednn: str, words: str) -> None:
    assert selected(ConvSpec.parse(slow)) == predicted(slow).backend == "Slow2d"
    assert selected(ConvSpec.parse(onednn)) == predicted(onednn).backend == "Mkldnn"
    assert predicted(onednn).why == f"{words}, so torch uses oneDNN"
    why = predicted(slow).why  # with every condition, as one that does not hold would do
    assert why.startswith("there is only 1 image, of ")
    assert "(at most 20,480), and 1 group, and " in why
    assert why.endswith("so torch does not use oneDNN")


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("r2s2", "both sides of the 2x2 kernel are"),
        ("r2s5", "one side of the 2x5 kernel is"),
        ("r5s1", "one side of the 5x1 kernel is"),
    ],
)
def test_only_sides_that_are_small_are_called_small(kernel: str, words: str) -> None:
    rule = predicted(f"n1c1h8w8k1{kernel}")
    assert rule.backend == selected(ConvSpec.parse(f"n1c1h8w8k1{kernel}")) == "Slow2d"
    assert rule.why.endswith(f"{words} at most 3, so torch does not use oneDNN")


@pytest.mark.parametrize(("images", "count", "backend"), [(15, 1, "Slow2d"), (16, 1, "Mkldnn"), (15, 2, "Mkldnn")])
def test_a_1x1_kernel_on_one_thread_needs_sixteen_images(images: int, count: int, backend: str) -> None:
    text = f"n{images}c8h9w9k4r1s1"
    with threads(count):
        rule = predicted(text)
        assert selected(ConvSpec.parse(text)) == rule.backend == backend
    assert (rule.why.startswith("there is only 1 thread for a plain 1x1 kernel on 15 images (fewer than 16)")) == (
        backend == "Slow2d"
    )


def test_a_strided_1x1_kernel_is_not_plain() -> None:
    with threads(1):
        assert selected(ConvSpec.parse("n2c8h9w9k4r1s1_st2")) == predicted("n2c8h9w9k4r1s1_st2").backend == "Mkldnn"


@pytest.mark.parametrize(
    ("text", "dtype", "setting", "backend", "words"),
    [
        ("n1c1h8w8k1r2s2_dl2", "fp64", {}, "SlowDilated2d", "its own code for dilation 2x2"),
        ("n2c4h9w9k4r3s3", "fp64", {}, "Slow2d", "oneDNN has no fp64 convolution"),
        ("n2c4h9w9k4r3s3", "fp32", {"onednn": False}, "Slow2d", "oneDNN is off"),
        ("n16c4h9w9k4r3s3", "fp32", {"onednn": False, "nnpack": True}, "NnpackSpatial", "at least 16"),
        ("n16c4h19w19k4r17s17", "fp32", {"onednn": False, "nnpack": True}, "Slow2d", "oneDNN is off"),
        ("n16c4h9w9k4r3s1_pd1", "fp32", {"onednn": False, "nnpack": True}, "Slow2d", "oneDNN is off"),
        ("n1c1h4w4k1r2s2", "bf16", {"onednn_bf16": True}, "Mkldnn", "oneDNN supports bf16 on this CPU"),
        ("n2c4h9w9k4r3s3", "bf16", {"onednn_bf16": False}, "Slow2d", "oneDNN does not support bf16 on this CPU"),
        ("n0c4h9w9k4r3s3", "fp32", {}, "Empty", "the batch is empty"),
    ],
)
def test_the_sentence_names_the_clause_that_decided(
    text: str, dtype: str, setting: dict[str, Any], backend: str, words: str
) -> None:
    rule = predicted(text, dtype, **setting)
    assert rule.backend == backend
    assert words in rule.why


@pytest.mark.parametrize(
    ("text", "dtype", "layout", "cudnn", "backend"),
    [
        ("n1c64h56w56k64r3s3_pd1", "fp32", "nchw", True, "Cudnn"),
        ("n1c64h56w56k64r3s3_pd1", "fp32", "nchw", False, "Slow2d"),
        ("n1c64h56w56k64r3s3_pd1_dl2", "fp32", "nchw", False, "SlowDilated2d"),
        ("n1c64h56w56k64r3s3_pd1_g64", "fp32", "nchw", True, "CudaDepthwise2d"),
        ("n1c64h56w56k64r3s3_pd1_g64", "fp32", "nhwc", True, "Cudnn"),
        ("n1c64h56w56k64r3s3_pd1_g64", "fp16", "nchw", True, "Cudnn"),
        ("n1c16h56w56k16r3s3_pd1_g16", "fp16", "nchw", True, "CudaDepthwise2d"),
        ("n8c64h56w56k64r3s3_pd1_st2_g64", "fp16", "nchw", True, "CudaDepthwise2d"),
        ("n8c512h56w56k512r3s3_pd1_st2_g512", "fp16", "nchw", True, "Cudnn"),
        ("n1c64h56w56k64r7s7_pd3_g64", "fp16", "nchw", True, "CudaDepthwise2d"),
    ],
)
def test_on_cuda_depthwise_and_cudnns_switch_decide(
    text: str, dtype: str, layout: str, cudnn: bool, backend: str
) -> None:
    assert predicted(text, dtype, "cuda", layout, cudnn=cudnn).backend == backend


@pytest.mark.gpu
def test_on_a_gpu_the_rule_agrees_with_torch_or_convbench_says_that_it_is_unknown() -> None:
    for text in ("n1c64h56w56k64r3s3_pd1", "n1c64h56w56k64r3s3_pd1_dl2", "n1c64h56w56k64r3s3_pd1_g64"):
        spec = ConvSpec.parse(text)
        x, w = (torch.empty(shape, device="cuda") for shape in (spec.x_shape, spec.w_shape))
        rule = apply_rule(spec, dtype="fp32", layout="nchw", device="cuda", setting=read_setting("cuda"))
        assert rule.backend == select(x, w, spec)[0]


def test_what_torch_is_asked_without_its_private_name_is_answered_by_why(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2")
    x, w = torch.empty(spec.x_shape), torch.empty(spec.w_shape)
    monkeypatch.delattr(torch._C, "_select_conv_backend")
    name, why = select(x, w, spec)
    assert name is None
    assert "AttributeError" in why


def test_a_choice_without_a_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nameless:
        name = "???"

        def __str__(self) -> str:
            return "_ConvBackend.???"

    spec = ConvSpec.parse("n1c1h4w4k1r2s2")
    x, w = torch.empty(spec.x_shape), torch.empty(spec.w_shape)
    monkeypatch.setattr(torch._C, "_select_conv_backend", lambda *_: Nameless())
    assert select(x, w, spec) == (None, "a value without a name, _ConvBackend.???")


def test_a_setting_knows_this_process() -> None:
    with onednn(on=False):
        assert not read_setting("cpu").onednn
    known = read_setting("cpu")
    assert (known.torch, known.threads) == (str(torch.__version__), torch.get_num_threads())
    assert isinstance(known, Setting)
