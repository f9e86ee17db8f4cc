"""Some outputs are judged as the whole would be: the same truth, the same bounds, the same verdict."""

from dataclasses import replace
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvSpec
from convbench.case import PASSES, Case
from convbench.verify.exam import Exam, make_exam, prepare_exam
from convbench.verify.fingerprint import tf32_nearest
from convbench.verify.sample import MOST_PRODUCTS, OutputSample, draw_places, draw_readers, sample_size
from convbench.verify.transforms import transform_bound
from convbench.verify.verdict import check
from tests.conftest import make_case
from tests.strategies import specs

DENSE = "n2c6h13w11k4r3s3_pd1_g2"


def every_place(case: Case) -> torch.Tensor:
    return torch.cartesian_prod(*(torch.arange(size) for size in case.out_shape)).reshape(-1, 4)


def sampled(exam: Exam, places: torch.Tensor) -> OutputSample:
    return OutputSample(case=exam.case, operands=exam.operands, drawn=exam.drawn, places=places)


@given(
    specs(least_batch=1), st.sampled_from([("fprop", "none"), ("fprop", "bias"), ("dgrad", "none"), ("wgrad", "none")])
)
def test_the_truth_of_a_sample_is_the_oracles(spec: ConvSpec, kind: tuple[str, str]) -> None:
    case = make_case(str(spec), pass_=kind[0], epilogue=kind[1])
    exam = prepare_exam(case)
    places = every_place(case)
    one, whole = sampled(exam, places).truth, exam.truth
    at = tuple(places.unbind(dim=1))
    assert torch.allclose(one.y, whole.y[at], rtol=1e-12, atol=1e-13)
    assert torch.allclose(one.magnitude, whole.magnitude[at], rtol=1e-12)
    assert torch.equal(one.terms, whole.terms.expand(case.out_shape)[at])
    twice = [2 * operand for operand in exam.operands.values()]
    if case.epilogue == "none":
        assert torch.allclose(sampled(exam, places).answer(twice), 4 * one.y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("device", "family"), [("cpu", "winograd"), ("cpu", "fft"), ("cpu", "strassen"), ("cuda", "vendor")]
)
@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize(
    ("pass_", "shape"), [("fprop", DENSE), ("dgrad", DENSE), ("dgrad", "n1c4h9w12k6r3s3_pd0x3"), ("wgrad", DENSE)]
)
def test_the_bound_of_a_transform_is_that_of_the_whole(
    device: str, family: str, pass_: str, shape: str, *, sharp: bool
) -> None:
    if pass_ == "wgrad" and family == "winograd":
        return  # it has none
    here = make_case(shape, pass_=pass_)
    operands = list(prepare_exam(here).operands.values())
    case, places = replace(here, device=device), every_place(here)
    whole = transform_bound(case, *operands, family=family, sharp=sharp).expand(case.out_shape)
    some = transform_bound(case, *operands, family=family, sharp=sharp, places=places)
    assert torch.allclose(some, whole[tuple(places.unbind(dim=1))], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize(
    ("pass_", "epilogue"), [("fprop", "none"), ("fprop", "bias_relu"), ("dgrad", "none"), ("wgrad", "none")]
)
def test_a_right_output_passes_and_one_that_is_off_by_its_bound_does_not(dtype: str, pass_: str, epilogue: str) -> None:
    case = make_case("n2c8h9w10k6r3s3_pd1", dtype=dtype, pass_=pass_, epilogue=epilogue)
    exam = prepare_exam(case)
    y = (exam.truth.y.clamp(min=0) if case.relu else exam.truth.y).to(exam.first.dtype)
    places = draw_places(case, 40, Random(0))
    at = tuple(places.unbind(dim=1))
    one = sampled(exam, places)
    assert check(one, y[at], "direct").passed
    assert check(one, y[at], "direct").arithmetic == check(exam, y, "direct").arithmetic
    wrong = y.clone()
    wrong[tuple(places[7])] += 1
    found = check(sampled(exam, places), wrong[at], "direct")
    assert found.evidence is not None
    place = ",".join(map(str, places[7].tolist()))
    assert f"of 40 sampled outputs wrong; worst {case.out_name}[{place}]: got" in found.evidence


def test_numbers_that_were_rounded_first_are_named_as_in_the_whole() -> None:
    case = make_case("n1c512h5w5k8r3s3_pd1")
    exam = prepare_exam(case)
    coarse = exam.answer([tf32_nearest(exam.x), tf32_nearest(exam.w)]).float()
    places = draw_places(case, sample_size(case), Random(1))
    found = check(sampled(exam, places), coarse[tuple(places.unbind(dim=1))], "direct")
    assert (found.probe, found.arithmetic) == ("sharp", "TF32 inputs")


@given(specs(least_batch=1), st.sampled_from(PASSES), st.integers(0, 9))
def test_a_reader_depends_on_what_it_was_drawn_for(spec: ConvSpec, pass_: str, seed: int) -> None:
    case, rng = make_case(str(spec), pass_=pass_), Random(seed)
    exam = prepare_exam(case)
    reads = [tuple(rng.randrange(size) for size in exam.first.shape) for _ in range(5)]
    before, places = exam.truth.y.clone(), [draw_readers(case, [element], rng) for element in reads]
    for element, place in zip(reads, places, strict=True):
        first = exam.first.clone()
        first[element] += 1
        others = list(exam.operands.values())[1:]
        after = make_exam(case, first, *others).truth.y
        assert all(after[tuple(one)] != before[tuple(one)] for one in place)
    if spec.stride == (1, 1) and spec.padding == (0, 0) and spec.r == spec.s == 1:
        assert all(len(place) == 1 for place in places)


def test_a_longer_sum_makes_a_smaller_sample() -> None:
    sizes = [sample_size(make_case(f"n1c{c}h7w7k8r3s3_pd1")) for c in (1, 64, 512)]
    assert sizes == [64, MOST_PRODUCTS // 576, 8]
    assert sample_size(make_case("n8c4h56w56k8r3s3_pd1", pass_="wgrad")) == 8


def test_places_are_drawn_from_all_outputs() -> None:
    case = make_case("n2c1h3w2k3r1s1")
    drawn = draw_places(case, 2000, Random(0))
    assert {tuple(one) for one in drawn.tolist()} == {tuple(one) for one in every_place(case).tolist()}
