"""Padding that differs at opposite sides: the truth by two other ways, every backend, faults in it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from convbench import Backend, Case, ConvSpec, Problem, Skipped, Verified, Wrong, backend, discover
from convbench.backends._aten import dgrad
from convbench.case import PASSES
from convbench.suites import load_suite
from convbench.verify.oracle import answer, by_loops
from convbench.verify.selftest.selftest import measure
from convbench.verify.sweep import verify
from tests.conftest import make_case
from tests.strategies import specs

ON_CPU = [one for one in discover()[0] if "cpu" in one.devices]


def whole_numbers(case: Case) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(-5, 6, shape, generator=generator).double() for shape in case.operands.values()]


def by_onnx(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    top, bottom, left, right = spec.sides
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        kernel_shape=[spec.r, spec.s],
        strides=spec.stride,
        pads=[top, left, bottom, right],
        dilations=spec.dilation,
        group=spec.groups,
    )
    values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in "xwy"]
    graph = helper.make_graph([node], "convolution", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])
    (y,) = ReferenceEvaluator(model).run(None, {"x": x.numpy(), "w": w.numpy()})
    return torch.from_numpy(np.ascontiguousarray(y))


@settings(max_examples=60)
@given(spec=specs(largest=6, least_batch=1, any_padding=True))
def test_the_oracle_equals_the_reference_implementation_of_onnx(spec: ConvSpec) -> None:
    x, w = whole_numbers(case := make_case(str(spec), dtype="fp64"))
    assert torch.equal(answer(case, x, w), by_onnx(x, w, spec))


@settings(max_examples=100)
@given(spec=specs(largest=6, least_batch=1, any_padding=True), pass_=st.sampled_from(PASSES), data=st.data())
def test_the_oracle_equals_loops_over_whole_numbers(spec: ConvSpec, pass_: str, data: st.DataObject) -> None:
    case = make_case(str(spec), dtype="fp64", pass_=pass_)
    operands = whole_numbers(case)
    y = answer(case, *operands)
    for _ in range(10):
        place = [data.draw(st.integers(0, size - 1)) for size in case.out_shape]
        assert y[tuple(place)] == by_loops(case, operands, place)


@pytest.mark.long
@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("one", ON_CPU, ids=lambda one: one.name)
def test_every_backend_is_right_on_the_published_cases_or_says_why_not(one: Backend, pass_: str) -> None:
    most = 500_000 if one.name == "naive-loops" else 2_000_000
    small = [problem for problem in load_suite("asymmetric") if problem.spec.macs < most]
    assert len(small) >= 6
    for result in verify([Case(problem=problem, pass_=pass_) for problem in small], [one]):
        match result.outcome:
            case Verified():
                pass
            case Skipped(reason):
                assert one.why_not(result.case) == reason
            case other:
                pytest.fail(f"{result.case.flags()}: {other}")


def test_a_backend_that_knows_equal_padding_alone_gets_an_image_padded_beforehand() -> None:
    seen: list[ConvSpec] = []

    @backend(family="direct", source="a test")
    def equal(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        seen.append(spec)
        return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

    case = make_case("n2c4h9w8k6r3s3_st2_pd0x1x3x1_g2")
    (result,) = verify([case], [equal])
    assert isinstance(result.outcome, Verified)
    assert str(case.spec.evened) == "n2c4h10w10k6r3s3_st2_pd0x1_g2"
    alone, larger = "n1c4h10w10k6r3s3_st2_pd0x1_g2", "n2c6h12w14k9r3s3_st2_g3"  # what probes call it with
    filled = "n2c4h10w12k6r3s3_st2_g2"
    assert {str(spec) for spec in seen} == {str(case.spec.evened), alone, larger, filled}


@pytest.mark.parametrize(("extra", "outcome"), [(0, Verified), (1, Wrong)])
def test_a_gradient_of_another_size_is_not_cropped_into_a_right_one(extra: int, outcome: type) -> None:
    def with_extra_columns(dy: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return F.pad(dgrad(dy, w, spec), (0, extra))

    def right(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)

    equal = backend(family="direct", source="a test", dgrad=with_extra_columns)(right)
    (result,) = verify([make_case("n2c4h9w8k6r3s3_pd0x2x1x0", pass_="dgrad")], [equal])
    assert isinstance(result.outcome, outcome)


def ends_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    top, bottom, left, right = spec.sides
    return F.conv2d(F.pad(x, (right, left, bottom, top)), w, None, spec.stride, 0, spec.dilation, spec.groups)


def end_forgotten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    top, bottom, left, right = spec.sides
    padded = F.pad(x, (left, right, top, bottom))
    padded[..., -1, :] += 1
    return F.conv2d(padded, w, None, spec.stride, 0, spec.dilation, spec.groups)


@pytest.mark.parametrize(("fault", "cause"), [(ends_swapped, "with its two sides swapped"), (end_forgotten, "")])
def test_a_fault_in_it_is_found(fault: Callable[..., Tensor], cause: str) -> None:
    faulty = backend(family="direct", source="a test", any_padding=True)(fault)
    (result,) = verify([make_case("n2c4h9w8k6r3s3_pd0x2x1x0")], [faulty])
    assert isinstance(result.outcome, Wrong)
    assert cause in result.outcome.check.cause


def test_a_key_of_equal_padding_is_what_it_was() -> None:
    case = Case(problem=Problem(suite="s", name="n", spec=ConvSpec.parse("n1c1h4w4k1r2s2_pd1x2")))
    assert case.key.text == (
        '{"device":"cpu","dtype":"fp32","epilogue":"none","layout":"nchw","operands":"","pass":"fprop",'
        '"precision":"ieee","seed":0,"spec":"n1c1h4w4k1r2s2_pd1x2"}'
    )


def test_the_kernels_of_the_self_test_get_padding_that_they_know() -> None:
    judged = [one for found in measure([make_case("n1c2h6w5k2r3s3_pd0x1x2x0")]) for one in found]
    assert judged
    assert not [one.kernel for one in judged if one.kind == "correct" and one.rejected]
    assert any(one.rejected for one in judged)
