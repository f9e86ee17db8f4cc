"""Is what torch ran found out, and is nothing said that was not?"""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from convbench import ConvSpec
from convbench.ran import watch as ran_module
from convbench.ran.chrome_trace import CallTrace, MemoryBlock
from convbench.ran.claims import in_plain_words, list_claims, sentence
from convbench.ran.patches import account, find_patches, scratch_nbytes
from convbench.ran.rules import Setting
from convbench.ran.seen import Ran
from convbench.ran.threshold import Threshold, Unchanged, ask_torch, find_threshold
from convbench.ran.verbose import read_primitives
from convbench.ran.watch import glance, watch, what_ran
from convbench.ran.witness import observe
from convbench.show.ran import ran_page
from tests.ran.test_rules import threads
from tests.snapshots import assert_golden

NOTE = "n1c1h4w4k1r2s2"
PLAIN = {
    "note": NOTE,
    "below": "n1c1h143w143k1r2s2",
    "above": "n1c1h144w144k1r2s2",
    "batch of two": "n2c1h4w4k1r2s2",
    "vgg": "n1c64h56w56k64r3s3_pd1",
    "1x1": "n1c64h28w28k64r1s1",
    "1x1 small": "n1c3h8w8k4r1s1",
    "depthwise": "n1c64h28w28k64r3s3_pd1_g64",
    "dilated": "n1c64h28w28k64r3s3_pd2_dl2",
    "dilated small": "n1c1h8w8k1r2s2_dl2",
    "large kernel": "n1c64h28w28k64r15s15_pd7",
    "empty": "n0c1h4w4k1r2s2",
}
DOUBLE = {
    "note": NOTE,
    "dilated": "n3c2h9w9k4r3s3_dl2",
    "groups": "n2c4h7w9k6r3s2_g2",
    "dilated groups": "n2c4h7w9k6r3s2_dl2x1_pd1_g2",
}


SIZES = range(4, 54)
BLANK = Ran(spec=ConvSpec.parse(NOTE), dtype="fp32", layout="nchw", precision="ieee", device="cpu")


@pytest.fixture(scope="module")
def watched() -> dict[str, Ran]:
    """All calls of this module, seen by one child."""
    calls = {f"fp32 {name}": replace(BLANK, spec=ConvSpec.parse(text)) for name, text in PLAIN.items()}
    calls |= {f"fp64 {name}": replace(BLANK, spec=ConvSpec.parse(text), dtype="fp64") for name, text in DOUBLE.items()}
    calls |= {"bf16": replace(BLANK, dtype="bf16")}
    calls |= {layout: replace(BLANK, layout=layout) for layout in ("strided", "nhwc")}
    calls |= {f"size {size}": replace(BLANK, spec=ConvSpec.parse(f"n1c3h{size}w{size}k4r3s3")) for size in SIZES}
    children = []
    with pytest.MonkeyPatch.context() as patch:
        real = ran_module._ask_child

        def ask(*args: Any, **options: Any) -> tuple[str, str]:
            children.append(args)
            return real(*args, **options)

        patch.setattr(ran_module, "_ask_child", ask)
        found = dict(zip(calls, watch(list(calls.values()), threads=2), strict=True))
    assert len(children) == 1
    return found


@pytest.fixture
def fp32(watched: dict[str, Ran]) -> dict[str, Ran]:
    return {name: watched[f"fp32 {name}"] for name in PLAIN}


@pytest.fixture
def fp64(watched: dict[str, Ran]) -> dict[str, Ran]:
    return {name: watched[f"fp64 {name}"] for name in DOUBLE}


@pytest.mark.program
def test_fifty_problems_in_one_child_keep_their_order(watched: dict[str, Ran]) -> None:
    for size in SIZES:
        one = watched[f"size {size}"]
        assert one.spec.h == size
        assert (one.backend, one.rule and one.rule.backend) == ("Slow2d", "Slow2d")
        assert find_patches(one).nbytes == 3 * 9 * (size - 2) ** 2 * 4


@pytest.mark.program
def test_the_notes_own_example_forms_its_patch_matrix(fp32: dict[str, Ran]) -> None:
    note = fp32["note"]
    assert sentence(note) == (
        "Slow2d: there is only 1 image, of 16 elements (at most 20,480), and 1 group, and both sides of the 2x2 kernel "
        "are at most 3, so torch does not use oneDNN; it built the patch matrix (144 B = 36 floats)"
    )
    assert {(use.what, use.nbytes, use.count) for use in account(note) or ()} == {("y", 36, 1), ("patches", 144, 1)}
    assert in_plain_words(note, find_threshold(note, ask_torch)) == (
        "PyTorch really built this patch matrix: 144 B of scratch = 36 numbers in fp32 (its Slow2d path).",
        (
            "Why: there is only 1 image, of 16 elements (at most 20,480), and 1 group, and both sides of the 2x2 "
            "kernel are at most 3, so torch does not use oneDNN."
        ),
        "The size of the image decides: up to 143x143 it is Slow2d, from 144x144 on oneDNN.",
    )


@pytest.mark.program
@pytest.mark.parametrize("name", PLAIN)
def test_a_glance_says_what_a_watch_says_or_where_to_look(name: str, fp32: dict[str, Ran]) -> None:
    seen = fp32[name]
    with threads(2):  # as many as the child has
        here = glance(ConvSpec.parse(PLAIN[name]))
    assert here.backend == seen.backend
    if find_patches(here).kind == "unknown":
        assert f"was not looked up here; `convbench ran {PLAIN[name]}` reads oneDNN's log for it" in sentence(here)
    else:
        assert find_patches(here) == find_patches(seen)
    assert "not looked up" not in sentence(seen)
    for claim in list_claims(here):
        assert "its log has none" not in claim.words  # it was not read


@pytest.mark.program
@pytest.mark.parametrize(
    ("name", "backend", "patches"),
    [
        ("note", "Slow2d", "whole"),
        ("below", "Slow2d", "whole"),
        ("above", "Mkldnn", "none"),
        ("batch of two", "Mkldnn", None),
        ("vgg", "Mkldnn", "none"),
        ("1x1", "Mkldnn", "x"),
        ("1x1 small", "Slow2d", "x"),
        ("depthwise", "Mkldnn", "none"),
        ("dilated", "Mkldnn", "none"),
        ("dilated small", "SlowDilated2d", "whole"),
        ("large kernel", "Mkldnn", None),
        ("empty", "Empty", "empty"),
    ],
)
def test_backend_rule_and_patch_matrix_of_fp32(
    name: str, backend: str, patches: str | None, fp32: dict[str, Ran]
) -> None:
    one = fp32[name]
    assert one.backend == one.selected == backend
    assert one.rule is not None, one.predicted
    assert one.rule.why in sentence(one)
    assert patches is None or find_patches(one).kind == patches, find_patches(one)
    assert (one.primitive is not None) == (backend == "Mkldnn")
    # Memory: the blocks that are told are all the blocks there were.
    uses = account(one)
    assert uses is not None
    assert one.trace is not None
    assert sum(use.nbytes * use.count for use in uses) == sum(block.nbytes for block in one.trace.blocks)


@pytest.mark.program
def test_onednns_blocked_layouts_are_told_from_scratch(fp32: dict[str, Ran]) -> None:
    one = fp32["vgg"]
    assert one.primitive is not None
    assert one.primitive.algorithm == "direct"
    copies = [use for use in account(one) or () if use.what.split()[0] in ("x", "w", "y") and " as " in use.what]
    assert len(copies) == len(one.reorders)
    assert scratch_nbytes(one) == 0
    assert find_patches(one).certain
    assert one.setting is not None
    assert one.setting.library.startswith("oneDNN ")
    assert "7,225,344 B" in find_patches(one).words


@pytest.mark.program
def test_a_gemm_of_onednn_has_room_for_patches_and_that_is_an_inference(fp32: dict[str, Ran]) -> None:
    one = fp32["large kernel"]
    assert one.primitive is not None
    if "gemm" not in one.primitive.implementation:
        pytest.skip(f"here oneDNN takes {one.primitive.implementation}")
    assert find_patches(one).kind in ("tiles", "room")
    assert next(claim.kind for claim in list_claims(one) if claim.about == "patch matrix") == "inference"


@pytest.mark.parametrize(
    ("name", "backend", "patches", "nbytes", "count"),
    [
        ("note", "Slow2d", "whole", 288, 1),
        ("dilated", "SlowDilated2d", "pieces", 2 * 9 * 25 * 8, 1),  # one image's, used for three
        ("groups", "Slow2d", "pieces", 2 * 2 * 6 * 40 * 8, 2),
        ("dilated groups", "SlowDilated2d", "pieces", 2 * 6 * 50 * 8, 2),
    ],
)
def test_in_float64_torchs_own_code_forms_patches_whole_or_in_pieces(
    name: str, backend: str, patches: str, nbytes: int, count: int, fp64: dict[str, Ran]
) -> None:
    one = fp64[name]
    assert (one.backend, one.rule and one.rule.backend) == (backend, backend)
    assert "oneDNN has no fp64 convolution" in sentence(one)
    formed = find_patches(one)
    assert (formed.kind, formed.nbytes, formed.count) == (patches, nbytes, count)
    assert scratch_nbytes(one) == 0


@pytest.mark.program
def test_without_onednn_its_problems_are_lowered_by_torch() -> None:
    one, many = what_ran([ConvSpec.parse("n2c4h9w9k4r3s3"), ConvSpec.parse("n16c4h9w9k4r3s3")], onednn=False)
    assert one.backend == "Slow2d"
    assert find_patches(one).kind == "whole"
    assert "oneDNN is off" in sentence(one)
    assert many.rule is not None
    if many.backend == "NnpackSpatial":  # NNPACK allocates for itself
        assert find_patches(many).kind == "unknown"


@pytest.mark.program
def test_dtypes_and_layouts_share_one_process(watched: dict[str, Ran]) -> None:
    half, strided, last = watched["bf16"], watched["strided"], watched["nhwc"]
    assert half.rule is not None
    assert half.backend == ("Mkldnn" if half.setting and half.setting.onednn_bf16 else "Slow2d")
    assert "bf16" in sentence(half)
    assert {use.what for use in account(strided) or ()} == {"copy of an operand", "patches", "y"}
    assert find_patches(last).kind == "whole"


def without_spaces(text: str) -> str:
    return "".join(text.split())


@pytest.mark.program
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_page_fits_every_width_whatever_ran(width: int, watched: dict[str, Ran]) -> None:
    for one in [*watched.values(), replace(BLANK, trouble="no answer within 3 s"), ON_CUDA]:
        lines = [line.plain for line in ran_page(one, width)]
        assert max(map(len, lines)) <= width
        text = without_spaces("".join(lines))
        assert without_spaces(sentence(one)) in text
        assert all(without_spaces(claim.words) in text for claim in list_claims(one))


@pytest.mark.program
def test_every_claim_has_evidence_and_facts_come_from_what_was_seen(fp32: dict[str, Ran]) -> None:
    for one in fp32.values():
        assert {claim.kind for claim in list_claims(one)} <= {"fact", "inference", "unknown"}
        for claim in list_claims(one):
            assert claim.evidence
            assert all(evidence.asked and evidence.answered for evidence in claim.evidence), claim
    kinds = {claim.about: claim.kind for claim in list_claims(fp32["note"])}
    # A block's size is seen, and not what stands in it; that there was none large enough is seen.
    assert kinds == {"backend": "fact", "rule": "inference", "memory": "fact", "patch matrix": "inference"}
    assert list_claims(fp32["vgg"])[-1].kind == "fact"


# What happens when something is missing.


def seen(text: str = NOTE, **changes: object) -> Ran:
    spec = ConvSpec.parse(text)
    blank = Ran(spec=spec, dtype="fp32", layout="nchw", precision="ieee", device="cpu")
    answer = json.loads(json.dumps(observe(spec)))
    return ran_module._read_answer(blank, (answer | changes, ""))


def test_uneven_padding_is_done_beforehand_and_said_to_be_left_out() -> None:
    one = glance(ConvSpec.parse("n1c1h4w4k1r2s2_pd0x1x0x1"))
    assert (str(one.spec), str(one.asked)) == ("n1c1h5w5k1r2s2", "n1c1h4w4k1r2s2_pd0x1x0x1")
    words = in_plain_words(one, None)
    assert words[0] == "First x was padded by F.pad(x, (0, 1, 0, 1)), since torch pads opposite sides alike."
    assert words[1].startswith("PyTorch really built this patch matrix: 256 B of scratch = 64 numbers in fp32")
    page = " ".join(" ".join(line.plain for line in ran_page(one, 80)).split())
    assert "F.conv2d · n1c1h5w5k1r2s2 " in page
    assert "is padded first with F.pad(x, (0, 1, 0, 1)); that copy, 100 B, and the kernel that makes it" in page
    assert glance(ConvSpec.parse(NOTE)).beforehand == ""


def test_on_a_cpu_nothing_is_said_of_a_gpu_s_memory() -> None:
    one = seen()
    assert one.cuda_peak_nbytes is None
    assert "cuda" not in str(list_claims(one))


def test_without_torchs_private_name_the_profilers_operators_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_select_conv_backend")
    one = seen()
    assert one.selected is None
    assert one.backend == "Slow2d"
    assert one.rule is not None
    backend = list_claims(one)[0]
    assert backend.kind == "fact"
    assert "AttributeError" in backend.evidence[0].answered


def test_without_both_the_backend_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_select_conv_backend")
    one = seen(trace=None, trace_why="the profiler wrote no trace")
    assert one.backend is None
    assert sentence(one) == "unknown: the profiler wrote no trace"
    assert {claim.kind for claim in list_claims(one)} == {"unknown"}
    assert in_plain_words(one, None) == ()


def test_without_a_profile_the_choice_is_no_fact_and_the_memory_unknown() -> None:
    one = seen(trace=None, trace_why="the profiler wrote no trace")
    assert one.backend == "Slow2d"
    kinds = {claim.about: claim.kind for claim in list_claims(one)}
    assert kinds == {"backend": "inference", "rule": "inference", "memory": "unknown", "patch matrix": "unknown"}


def test_a_rule_that_says_otherwise_is_unknown() -> None:
    one = seen(selected="Xnnpack2d")
    assert one.trace is not None
    other = replace(one, trace=replace(one.trace, operators=("aten::conv2d",)))
    assert other.backend == "Xnnpack2d"
    assert other.rule is None
    assert "the rule that chose it is unknown" in sentence(other)
    claim = next(claim for claim in list_claims(other) if claim.about == "rule")
    assert claim.kind == "unknown"
    assert claim.evidence[0].answered.startswith("Slow2d: there is only 1 image, of 16 elements")


def test_where_choice_and_profile_differ_the_profile_is_right() -> None:
    one = seen(selected="Mkldnn")
    assert one.backend == "Slow2d"
    assert list_claims(one)[0].words == "torch ran Slow2d, although it reports Mkldnn"


def test_without_onednns_log_nothing_is_said_of_its_patch_matrix() -> None:
    one = glance(ConvSpec.parse("n2c4h9w9k4r3s3"))
    assert one.backend == "Mkldnn"
    assert find_patches(one).kind == "unknown"
    assert in_plain_words(one, None)[0].startswith(
        "PyTorch did not build this patch matrix itself: it handed the call to oneDNN. `convbench ran n2c4h9w9k4r3s3`"
    )
    assert next(claim for claim in list_claims(one) if claim.about == "primitive").kind == "unknown"


@pytest.mark.program
def test_scratch_of_onednns_own_leaves_the_patch_matrix_unknown(fp32: dict[str, Ran]) -> None:
    one = fp32["vgg"]
    hidden = tuple(replace(primitive, own_scratch=False) for primitive in one.primitives)
    assert find_patches(replace(one, primitives=hidden)).kind == "unknown"


@pytest.mark.program
def test_scratch_as_large_as_the_patch_matrix_rules_nothing_out(fp32: dict[str, Ran]) -> None:
    one = fp32["vgg"]
    assert one.trace is not None
    more = replace(one.trace, blocks=(*one.trace.blocks, MemoryBlock(nbytes=8_000_000)))
    assert scratch_nbytes(replace(one, trace=more)) == 8_000_000
    assert find_patches(replace(one, trace=more)).kind == "unknown"


@pytest.mark.program
def test_a_child_that_dies_is_one_unknown_and_the_next_are_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fall = (
        "import convbench.ran.witness as w, os, sys\n"
        "real = w.observe\n"
        "def observe(spec, **options):\n"
        "    return os.abort() if spec.r == 5 else real(spec, **options)\n"
        "w.observe = observe\nw.main()\n"
    )
    monkeypatch.setattr(ran_module, "_RUN", fall)
    texts = [NOTE, "n1c1h8w8k1r5s5", "n1c1h6w6k1r2s2"]
    first, fallen, last = what_ran([ConvSpec.parse(text) for text in texts])
    assert (first.backend, last.backend) == ("Slow2d", "Slow2d")
    assert fallen.backend is None
    assert sentence(fallen) == f"unknown: {fallen.trouble}"
    assert "was killed by signal 6" in fallen.trouble
    assert [claim.kind for claim in list_claims(fallen)] == ["unknown"]


def test_a_child_that_raises_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ran_module, "_RUN", "raise RuntimeError('no luck')")
    [one] = what_ran([ConvSpec.parse(NOTE)])
    assert one.trouble == "the process that runs it ended with code 1: RuntimeError: no luck"


def test_a_child_that_hangs_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ran_module, "_RUN", "import time; time.sleep(600)")
    found = what_ran([ConvSpec.parse(NOTE)] * 3, timeout_s=0.5)
    assert [one.trouble for one in found] == ["no answer within 0.5 s"] * 3


def test_no_problem_asks_no_child() -> None:
    assert what_ran([]) == []


# CUDA, as a profile of it looks.

ON_CUDA = Ran(
    spec=ConvSpec.parse("n1c64h56w56k64r3s3_pd1"),
    dtype="fp32",
    layout="nchw",
    precision="tf32",
    device="cuda",
    setting=Setting(torch="2.11", library="cuDNN 91900", cudnn=True, machine="NVIDIA H100"),
    selected="Cudnn",
    trace=CallTrace(
        operators=("aten::conv2d", "aten::convolution", "aten::cudnn_convolution", "aten::empty"),
        blocks=(MemoryBlock(nbytes=802_816, kept=True), MemoryBlock(nbytes=1_605_632)),
        peak_nbytes=2_408_448,
        kernels=(
            "void cudnn::engines_precompiled::nchwToNhwcKernel<float, float, float, false, true>(int)",
            "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize128x64x16",
        ),
    ),
    cuda_peak_nbytes=2_408_448,
)


def test_on_cuda_kernels_and_workspace_are_told() -> None:
    claims = {claim.about: claim for claim in list_claims(ON_CUDA)}
    assert ON_CUDA.backend == "Cudnn"
    assert ON_CUDA.rule is not None
    assert scratch_nbytes(ON_CUDA) == 1_605_632
    assert find_patches(ON_CUDA).kind == "none"
    assert claims["kernels"].kind == "fact"
    assert "nchwToNhwcKernel (layout change), then sm80_xmma_fprop" in claims["kernels"].words
    assert claims["algorithm"].words == "by their names: implicit GEMM in TF32"
    assert claims["algorithm"].kind == "inference"
    assert claims["memory"].evidence[-1].answered == "2,408,448 B"


def test_on_cuda_torchs_own_code_forms_one_images_patches() -> None:
    one = replace(
        ON_CUDA,
        spec=ConvSpec.parse("n2c3h9w9k4r3s3"),
        setting=Setting(cudnn=False),
        selected="Slow2d",
        trace=CallTrace(
            operators=("aten::_slow_conv2d_forward",),
            # The caching allocator gives out multiples of 512 bytes.
            blocks=(MemoryBlock(nbytes=2_048, kept=True), MemoryBlock(nbytes=5_632)),
            peak_nbytes=7_680,
            kernels=("void at::native::im2col_kernel<float>(long)", "ampere_sgemm_32x32_sliced1x4_nn"),
        ),
    )
    assert one.rule is not None
    assert (find_patches(one).kind, find_patches(one).nbytes) == ("pieces", 5_632)
    assert "one image at a time" in find_patches(one).words


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "precision"), [("fp32", "ieee"), ("fp32", "tf32"), ("fp16", "ieee")])
def test_a_gpu_names_its_kernels(dtype: str, precision: str) -> None:
    spec = ConvSpec.parse("n8c64h56w56k64r3s3_pd1")
    [one] = what_ran([spec], dtype, precision=precision, device="cuda")
    assert one.backend == one.selected == "Cudnn"
    assert one.rule is not None
    assert any(kernel.role == "convolution" for kernel in one.kernels), one.kernels
    assert any(use.what == "y" for use in account(one) or ())
    assert one.cuda_peak_nbytes is not None
    assert one.cuda_peak_nbytes >= one.y_nbytes


# A log of the past, and pages of calls that were recorded.

LOG_OF_2 = (
    "onednn_verbose,exec,cpu,reorder,jit:uni,undef,src_f32::blocked:abcd:f0 dst_f32::blocked:aBcd16b:f0,,,"
    "1x64x56x56,0.07\n"
    "onednn_verbose,exec,cpu,convolution,jit:avx512_core,forward_training,src_f32::blocked:aBcd16b:f0 "
    "wei_f32::blocked:abcd:f0 bia_undef::undef::f0 dst_f32::blocked:aBcd16b:f0,attr-scratchpad:user ,"
    "alg:convolution_direct,mb1_ic64oc64_ih56oh56kh3sh1dh0ph1_iw56ow56kw3sw1dw0pw1,1.05\n"
    "onednn_verbose,exec,cpu,reorder,jit:uni,undef,src_f32::blocked:aBcd16b:f0 dst_f32::blocked:abcd:f0,,,"
    "1x64x56x56,0.03\n"
)

ON_CPU = Ran(
    spec=ConvSpec.parse("n1c64h56w56k64r3s3_pd1"),
    dtype="fp32",
    layout="nchw",
    precision="ieee",
    device="cpu",
    setting=Setting(torch="2.11", library="oneDNN 2.7", threads=2, machine="AVX512"),
    selected="Mkldnn",
    trace=CallTrace(
        operators=("aten::conv2d", "aten::mkldnn_convolution"),
        blocks=(MemoryBlock(nbytes=802_816), MemoryBlock(nbytes=802_816), MemoryBlock(nbytes=802_816, kept=True)),
        peak_nbytes=1_605_632,
    ),
    primitives=read_primitives(LOG_OF_2),
)


def test_a_log_of_onednn_2_is_read_for_layouts_and_copies() -> None:
    one = ON_CPU
    assert [(use.what, use.count) for use in account(one) or ()] == [("y", 1), ("y as aBcd16b", 1), ("x as aBcd16b", 1)]
    layouts = next(claim for claim in list_claims(one) if claim.about == "layouts")
    assert layouts.words.startswith("x channels in blocks of 16 (aBcd16b), w plain (abcd)")
    assert layouts.evidence[0].answered.startswith("abcd to aBcd16b of 1x64x56x56 by jit:uni")


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_recorded_call_reads_well(name: str, width: int) -> None:
    one = {"cpu": ON_CPU, "cuda": ON_CUDA}[name]
    page = "\n".join(line.plain.rstrip() for line in ran_page(one, width))
    assert_golden(f"ran_{name}_{width}", f"{page}\n")


@pytest.mark.parametrize(
    ("implementation", "scratch", "kind"),
    [
        ("x64:gemm:jit", 1_000, "tiles"),
        ("x64:gemm:jit", 8_000_000, "room"),
        ("gemm:ref", 1_000, "tiles"),
        ("x64:gemm:jit", 0, "none"),
        ("brgemm:avx512_core", 1_000, "none"),
        ("brgemm:avx512_core", 8_000_000, "unknown"),
    ],
)
def test_scratch_is_patches_only_where_onednn_lowers_to_a_matrix_product(
    implementation: str, scratch: int, kind: str
) -> None:
    assert ON_CPU.trace is not None
    blocks = (*ON_CPU.trace.blocks, *([MemoryBlock(nbytes=scratch)] if scratch else []))
    one = replace(
        ON_CPU,
        trace=replace(ON_CPU.trace, blocks=blocks),
        primitives=tuple(
            replace(each, implementation=implementation) if each.kind == "convolution" else each
            for each in ON_CPU.primitives
        ),
    )
    assert scratch_nbytes(one) == scratch
    assert (find_patches(one).kind, find_patches(one).certain) == (kind, kind == "none")


@pytest.mark.parametrize(
    ("text", "below", "above", "small", "large"),
    [
        (NOTE, 143, 144, "Slow2d", "Mkldnn"),
        ("n1c64h56w56k64r3s3_pd1", 17, 18, "Slow2d", "Mkldnn"),  # from above: it shrinks
        ("n1c5h9w7k2r3s2_dl2", 64, 65, "SlowDilated2d", "Mkldnn"),
    ],
)
def test_the_size_at_which_torch_chooses_otherwise_is_found(
    text: str, below: int, above: int, small: str, large: str
) -> None:
    one = glance(ConvSpec.parse(text))
    found = find_threshold(one, ask_torch)
    assert isinstance(found, Threshold)
    assert (found.below.h, found.above.h, found.small, found.large) == (below, above, small, large)
    for spec, name in ((found.below, small), (found.above, large)):
        assert glance(spec).backend == name


def test_no_size_is_named_where_none_changes_anything() -> None:
    one = glance(ConvSpec.parse("n2c4h9w9k4r3s3"))  # two images are oneDNN's at any size
    found = find_threshold(one, ask_torch)
    assert found == Unchanged(least=3, most=1024)
    assert in_plain_words(one, found)[-1] == (
        "The size of the image does not decide: it is the same for 3x3 and 1024x1024."
    )
    assert find_threshold(one, lambda spec: None) is None  # torch does not say
    assert not any("size" in words for words in in_plain_words(one, None))
