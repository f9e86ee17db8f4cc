"""Are oneDNN's lines understood, those of old releases too?"""

import pytest

from convbench.ran.verbose import (
    Memory,
    name_layout,
    nbytes,
    read_line,
    read_primitives,
    read_version,
    reorder_nbytes,
)

V3 = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx512_core,forward_training,"
    "src:f32:a:blocked:aBcd16b::f0 wei:f32:ap:blocked:ABcd16b16a::f0 bia:undef::undef::: dst:f32:a:blocked:aBcd16b::f0,"
    "attr-scratchpad:user,alg:convolution_direct,mb1_ic64oc64_ih56oh56kh3sh1dh0ph1_iw56ow56kw3sw1dw0pw1,1.05298"
)
V3_STAMPED = V3.replace("v1,primitive", "v1,1763848423012.75,primitive")
V3_EARLY = V3.replace("v1,", "")
V2 = (
    "onednn_verbose,exec,cpu,convolution,jit:avx512_core,forward_training,"
    "src_f32::blocked:aBcd16b:f0 wei_f32:p:blocked:ABcd16b16a:f0 bia_undef::undef::f0 dst_f32::blocked:aBcd16b:f0,"
    "attr-scratchpad:user ,alg:convolution_direct,mb1_ic64oc64_ih56oh56kh3sh1dh0ph1_iw56ow56kw3sw1dw0pw1,1.05298"
)
V1 = V2.replace("onednn_verbose", "dnnl_verbose")
REORDER = (
    "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,src:f32::blocked:abcd::f0 "
    "dst:f32:p:blocked:Acdb16a::f0,attr-scratchpad:user,,4x3x3x3,0.00415039"
)


@pytest.mark.parametrize("line", [V3, V3_STAMPED, V3_EARLY, V2, V1])
def test_a_convolution_is_read_from_the_lines_of_every_release(line: str) -> None:
    found = read_line(line)
    assert found is not None
    assert (found.kind, found.implementation, found.algorithm) == ("convolution", "jit:avx512_core", "direct")
    assert [(one.name, one.dtype, one.tag) for one in found.memories] == [
        ("src", "f32", "aBcd16b"),
        ("wei", "f32", "ABcd16b16a"),
        ("bia", "undef", "undef"),
        ("dst", "f32", "aBcd16b"),
    ]
    assert found.sizes.startswith("mb1_ic64oc64")
    assert found.own_scratch
    assert found.line == line


def test_scratch_of_onednns_own_is_told_from_torchs() -> None:
    found = read_line(V3.replace("attr-scratchpad:user", ""))
    assert found is not None
    assert not found.own_scratch


@pytest.mark.parametrize(
    "line",
    [
        "",
        "onednn_verbose,v1,info,oneDNN v3.13.3 (commit b38f97eb6f2173513112f15a0481750b8a66e901)",
        V3.replace("exec", "create:cache_miss"),
        V3.replace("v1,primitive", "v1,graph"),
        V3[:60],
        "exec,cpu,convolution,a,b,c,d,e,f,g",
        "onednn_verbose,v1,primitive,error,cpu,convolution,no implementation",
    ],
)
def test_other_lines_are_passed_over(line: str) -> None:
    assert read_line(line) is None


def test_a_winograd_and_a_gemm_are_told_apart_from_direct() -> None:
    winograd = read_line(V3.replace("convolution_direct", "convolution_winograd"))
    assert winograd is not None
    assert winograd.algorithm == "winograd"
    unnamed = read_line(V3.replace("alg:convolution_direct", ""))
    assert unnamed is not None
    assert unnamed.algorithm == ""


def test_a_log_is_read_in_its_order() -> None:
    log = f"onednn_verbose,v1,info,oneDNN v3.13.3 (commit b38)\nnoise\n{REORDER}\n{V3}\n"
    assert [one.kind for one in read_primitives(log)] == ["reorder", "convolution"]
    assert read_version(log) == "3.13.3"
    assert read_version("noise") == ""


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("abcd", "plain"),
        ("abcde", "plain"),
        ("acdb", "channels last"),
        ("aBcd16b", "channels in blocks of 16"),
        ("ABcd16b16a", "channels in blocks of 16 and 16"),
        ("ABcd8b16a2b", "channels in blocks of 16 and 16"),
        ("wino_wei", "wino_wei"),
        ("cdba", "cdba"),
    ],
)
def test_a_layout_has_words(tag: str, words: str) -> None:
    assert name_layout(Memory(name="src", dtype="f32", tag=tag)) == words


@pytest.mark.parametrize(
    ("tag", "dtype", "sizes", "bytes_"),
    [
        ("abcd", "f32", (1, 64, 56, 56), 802_816),
        ("aBcd16b", "f32", (2, 4, 7, 7), 6_272),
        ("Acdb16a", "f32", (4, 3, 3, 3), 1_728),
        ("AcdB16a2b", "bf16", (1, 1, 2, 2), 256),
        ("Abcde16a", "f32", (64, 1, 1, 3, 3), 2_304),
        ("abcd", "f32", (1, 2, 3), None),
        ("abcd", "f4_e2m1", (1, 2, 3, 4), None),
        ("wino:x", "f32", (1, 2, 3, 4), None),
    ],
)
def test_bytes_of_a_layout_hold_its_padding(tag: str, dtype: str, sizes: tuple[int, ...], bytes_: int | None) -> None:
    assert nbytes(Memory(name="wei", dtype=dtype, tag=tag), sizes) == bytes_


def test_a_reorder_has_onednns_side_before_and_after_the_convolution() -> None:
    one = read_line(REORDER)
    assert one is not None
    assert reorder_nbytes(one, after=False) == 1_728
    assert reorder_nbytes(one, after=True) == 432
