"""Our own kernels are right: between forbidden pages, with vectors of other widths, by several threads."""

import ctypes
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor

from convbench import Case, ConvSpec, Problem, Verified, discover
from convbench.jit.target import Target, host
from convbench.jit.team import KernelStep, run
from convbench.kernels.epilogue import floor_word
from convbench.kernels.gemm import Gemm
from convbench.kernels.scratch import KEPT
from convbench.kernels.strips import Strips
from convbench.kernels.through_blocks import Make as Inner
from convbench.kernels.through_blocks import ThroughBlocks, by_winograd, channelwise, direct_pays, directly
from convbench.kernels.transforms import FOUR, TWO
from convbench.kernels.winograd import Winograd
from convbench.suites import load_suite
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import examine
from tests.kernels.guarded import all_guarded

Plan = Any
Make = Callable[[ConvSpec, Target, int], Plan]


def four(spec: ConvSpec, target: Target, threads: int) -> Winograd:
    return Winograd(spec, FOUR, target, threads)


def two(spec: ConvSpec, target: Target, threads: int) -> Winograd:
    return Winograd(spec, TWO, target, threads)


def blocks(inner: Inner, together: int = 2) -> Make:
    """At most so many images at once, so that a call has several turns."""

    def make(spec: ConvSpec, target: Target, threads: int) -> ThroughBlocks:
        plan = ThroughBlocks(spec, inner, target, threads)
        plan.__dict__["together"] = min(together, spec.n)
        return plan

    return make


PLANS: dict[str, tuple[Make, str]] = {
    "winograd F4": (four, "n2c5h9w13k7r3s3_pd1"),
    "winograd F4, long rows": (four, "n1c2h5w290k3r3s3_pd0x2x1x0"),
    "winograd F2": (two, "n1c66h7w7k13r3s3_pd1"),
    "winograd 5x5": (four, "n1c3h11w6k4r5s5_pd2"),
    "direct": (Strips, "n2c3h9w21k8r3s2_pd2x1x0x3"),
    "direct, stride 2": (Strips, "n1c4h15w37k13r3s5_st2_pd1"),
    "direct, stride 3 and dilation": (Strips, "n1c2h19w23k3r3s3_st1x3_pd4_dl2x3"),
    "direct, stride 4": (Strips, "n1c3h23w35k6r5s5_st4_pd2"),
    "grouped": (Strips, "n2c12h7w9k20r3s3_pd1_g4"),
    "depthwise": (Strips, "n1c3h10w19k3r5s3_pd2x1_g3"),
    "depthwise, stride 2": (Strips, "n1c2h11w18k4r3s3_st2_pd1_g2"),
    "1x1": (Gemm, "n2c5h5w7k13r1s1"),
    "1x1, long sums": (Gemm, "n1c515h3w7k9r1s1"),
    "patches": (Gemm, "n2c3h9w21k8r3s2_pd2x1x0x3"),
    "patches, stride 2": (Gemm, "n1c40h15w37k13r3s5_st2_pd1"),
    "patches, stride 3, rows of one": (Gemm, "n1c2h39w3k7r3s3_st1x3_pd1_dl2x1"),
    "patches, short rows": (Gemm, "n1c3h30w5k7r3s3_st4_pd3"),
    "blocks, F4": (blocks(by_winograd(FOUR)), "n3c21h9w13k18r3s3_pd1"),
    "blocks, F2": (blocks(by_winograd(TWO)), "n1c66h7w7k13r3s3_pd2x1x0x1"),
    "blocks, direct": (blocks(directly), "n5c19h9w21k35r3s2_pd2x1x0x3"),
    "blocks, stride 3 and dilation": (blocks(directly), "n1c2h19w23k3r3s3_st1x3_pd4_dl2x3"),
    "blocks, 1x1": (blocks(directly), "n2c40h16w36k13r1s1"),
    "blocks, grouped": (blocks(directly), "n2c64h7w9k32r3s3_pd1_g2"),
    "blocks, depthwise": (blocks(channelwise), "n3c37h10w7k37r7s5_st2x1_pd3x2_g37"),
}  # fmt: skip


def work(
    plan: Plan,
    spec: ConvSpec,
    *,
    at_end: bool,
    relu: bool = False,
    nhwc: bool = False,
    start: Callable[[Sequence[KernelStep], int], None] = run,
) -> tuple[Tensor, Tensor]:
    """y of a plan, every operand and its scratch between forbidden pages; and y by torch in float64."""
    generator = torch.Generator().manual_seed(0)
    x, w, bias = (torch.randn(shape, generator=generator) for shape in (spec.x_shape, spec.w_shape, (spec.k,)))
    n, k, p, q = spec.y_shape
    blank, given = torch.full((n, p, q, k) if nhwc else spec.y_shape, torch.nan), x
    if nhwc:
        plan, given = plan.in_nhwc, x.permute(0, 2, 3, 1).contiguous()
    scratch = torch.full((plan.scratch,), torch.nan)
    with all_guarded(given, plan.pack(w), bias, blank, scratch, at_end=at_end) as [gx, gw, gbias, y, room]:
        addresses = [one.data_ptr() for one in (gx, gw, y, gbias)]
        call = array("q", [*addresses, floor_word(relu), room.data_ptr()])
        start(plan.steps(call), plan.threads)
        assert torch.equal(gx, given)
        out = y.permute(0, 3, 1, 2).clone() if nhwc else y.clone()
    top, bottom, left, right = spec.sides
    padded = torch.nn.functional.pad(x.double(), (left, right, top, bottom))
    truth = torch.nn.functional.conv2d(padded, w.double(), bias.double(), spec.stride, 0, spec.dilation, spec.groups)
    return out, truth.relu() if relu else truth


def close(y: Tensor, truth: Tensor) -> bool:
    return bool((y.double() - truth).abs().max() <= 2e-6 * truth.abs().max().clamp(min=1))


@pytest.mark.parametrize("name", PLANS)
def test_no_byte_beyond_an_operand_is_touched(name: str) -> None:
    make, shape = PLANS[name]
    spec = ConvSpec.parse(shape)
    for threads, at_end in ((1, True), (1, False), (2, True)):
        y, truth = work(make(spec, host(), threads), spec, at_end=at_end, relu=threads == 2)
        assert close(y, truth), name


@pytest.mark.parametrize("name", [name for name in PLANS if name.startswith("blocks")])
def test_nhwc_is_read_and_written_as_it_lies(name: str) -> None:
    make, shape = PLANS[name]
    spec = ConvSpec.parse(shape)
    for threads, at_end in ((1, True), (1, False), (2, True)):
        y, truth = work(make(spec, host(), threads), spec, at_end=at_end, relu=threads == 2, nhwc=True)
        assert close(y, truth), name


@pytest.mark.parametrize(("lanes", "rows"), [(4, 3), pytest.param(16, 14, marks=pytest.mark.program)])
@pytest.mark.parametrize("name", ["winograd F4", "direct, stride 2", "depthwise", "1x1"])
def test_vectors_of_another_width_give_the_same(name: str, lanes: int, rows: int) -> None:
    """The code of NEON and AVX-512, with their numbers of lanes, by instructions that this CPU has."""
    make, shape = PLANS[name]
    spec = ConvSpec.parse(shape)
    plan = make(spec, replace(host(), lanes=lanes, rows=rows), 1)
    assert close(*work(plan, spec, at_end=True))


def test_sizes_are_no_part_of_the_code() -> None:
    """A kernel is compiled for the form of a problem: its rows of filters, its stride; other sizes cost nothing."""
    from convbench.jit.compile import _compiled

    before: dict[str, int] = {}
    for shape in ("n1c4h9w9k{}r3s3", "n3c7h14w11k{}r5s3_pd2", "n1c1h30w40k{}r1s7"):
        spec = ConvSpec.parse(shape.format(host().rows * (1 + len(before))))
        assert close(*work(Strips(spec, host(), 1), spec, at_end=True))
        before[shape] = _compiled.cache_info().misses
    assert len(set(before.values())) == 1


@pytest.mark.parametrize("name", PLANS)
def test_pieces_may_run_in_any_order(name: str) -> None:
    """Backwards, and each twice: none writes what is another's, as two threads would now and then."""
    make, shape = PLANS[name]
    spec = ConvSpec.parse(shape)
    plan = make(spec, host(), 2)
    results = [work(plan, spec, at_end=True, start=start)[0] for start in (run, backwards)]
    assert torch.equal(*results)


def backwards(steps: Sequence[KernelStep], threads: int) -> None:
    task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    for step in steps:
        for piece in sorted([*range(step.pieces)] * 2, reverse=True):
            task(step.task)(step.block.buffer_info()[0], piece, piece % threads)


@pytest.mark.parametrize("name", ["winograd", "direct", "depthwise", "grouped", "gemm-1x1"])
@pytest.mark.parametrize("suite", ["resnet50", "vgg16", "mobilenet_v2", "resnext50_32x4d", "convnext_tiny", "quick"])
def test_the_scratch_memory_of_a_network_stays_below_64_mib(name: str, suite: str) -> None:
    [backend], _ = discover(names=[name])
    plan = sys.modules[f"convbench.backends.{name.replace('-', '_')}"].OWN.plan
    for problem in load_suite(suite):
        case, y_nbytes = Case(problem=problem), 4 * prod(problem.spec.y_shape)
        for threads in (1, 2, 16):
            if backend.why_not(case) is None:
                assert 4 * plan(problem.spec)(problem.spec, threads).scratch <= max(KEPT, y_nbytes), problem.name


AWKWARD = {
    "winograd": ["n3c17h8w9k5r3s3_pd1", "n1c1h1w1k1r3s3_pd1", "n0c4h8w8k4r3s3", "n2c3h12w5k2r5s5_pd2"],
    "direct": ["n2c3h17w11k5r7s7_st2_pd3", "n1c1h1w300k1r1s9", "n0c4h8w8k4r3s3"],
    "depthwise": ["n2c5h16w16k5r3s3_pd1_g5", "n1c3h33w33k6r31s31_pd15_g3"],
    "grouped": ["n1c8h9w9k16r3s3_st2_pd1_g4"],
    "gemm-1x1": ["n3c9h7w7k70r1s1", "n1c3h1w1k1r1s1"],
}


THROUGH_BLOCKS = {
    "winograd": ["n3c92h9w7k77r3s3_pd1", "n1c64h11w5k80r3s3_pd2x0x1x1"],
    "direct": ["n5c63h13w9k80r3s3_st2_pd1x0x2x1", "n2c96h9w9k80r3s3_pd2_dl2", "n1c320h5w5k640r1s1"],
    "depthwise": ["n2c37h9w7k37r7s7_pd3_g37", "n1c20h15w30k20r7s7_st2_pd3_g20"],
    "grouped": ["n2c64h9w7k64r3s3_pd1_g2"],
}


@pytest.mark.parametrize("name", THROUGH_BLOCKS)
def test_what_goes_through_blocks_does_in_every_layout(name: str) -> None:
    check_backend(name, THROUGH_BLOCKS[name])
    plan = sys.modules[f"convbench.backends.{name}"].OWN.plan
    for shape in THROUGH_BLOCKS[name]:
        spec = ConvSpec.parse(shape)
        assert isinstance(plan(spec)(spec, 2), ThroughBlocks), shape


def test_padding_far_larger_than_an_image_stays_out_of_blocks() -> None:
    """Its halo would be memory without end."""
    assert not direct_pays(ConvSpec.parse("n1c512h7w7k512r3s3_pd150_dl150"), host())


@pytest.mark.parametrize("name", AWKWARD)
def test_each_backend_is_within_its_bound(name: str) -> None:
    check_backend(name, AWKWARD[name])


def check_backend(name: str, shapes: list[str]) -> None:
    [backend], missing = discover(names=[name])
    assert not missing
    kinds = [("fprop", "none", "nchw"), ("fprop", "bias_relu", "nhwc"), ("fprop", "bias", "nchw")]
    kinds += [("dgrad", "none", "strided"), ("dgrad", "none", "nhwc")]
    for shape in shapes:
        for pass_, epilogue, layout in kinds:
            problem = Problem(suite="test", name=shape, spec=ConvSpec.parse(shape))
            case = Case(problem=problem, pass_=pass_, epilogue=epilogue, layout=layout)
            if backend.why_not(case) is None:
                outcome = examine(backend, prepare_exam(case))
                assert isinstance(outcome, Verified), (shape, pass_, outcome)
