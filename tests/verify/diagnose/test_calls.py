"""What is kept from one call to the next."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor

from convbench import ConvSpec
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Subject
from convbench.verify.diagnose.fault import Effort
from convbench.verify.exam import prepare_exam
from tests.conftest import make_case
from tests.verify.diagnose.planting import LONG, Planted, S, beginnings, correct, planted, told


def one_is_random(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[0, 3, 2, 5] += 1 + torch.rand(())
    return y


PLANTED: list[Planted] = [
    (S, {}, one_is_random, "two equal calls differ in y[0,3,2,5]"),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed


@pytest.mark.parametrize("key", ["shape", "address"])
def test_a_weight_that_was_packed_once_and_kept_is_told_as_that(key: str) -> None:
    packs: dict[Any, Tensor] = {}
    alive: list[Tensor] = []  # so that no address is given out twice, which chance would decide

    def packed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        alive.append(w)
        return correct(x, packs.setdefault(w.shape if key == "shape" else w.data_ptr(), w.clone()), spec)

    case = make_case(LONG)
    one = planted(packed, case)
    cause = find_cause(Subject(backend=one, case=case), prepare_exam(case))
    assert cause is not None
    assert cause.words.endswith("in all outputs: something is kept from an earlier call")
    assert ("of the same shape" if key == "shape" else "at the address") in cause.words


@pytest.mark.parametrize("seed", [0, 1])
def test_sums_that_are_rounded_coarsely_are_alike_by_chance_and_nothing_is_kept(seed: int) -> None:
    """One half of the channels takes back what the other adds: only multiples of a large power of two are left."""

    def partial_sums_in_bf16(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.zeros(spec.y_shape)
        for start in range(0, spec.c, 32):
            part = torch.zeros_like(w)
            part[:, start : start + 32] = w[:, start : start + 32]
            y = (y + correct(x, part, spec).bfloat16().float()).bfloat16().float()
        return y

    plain = make_case("n1c64h5w6k9r3s3_pd1", seed=seed)
    case = replace(plain, problem=replace(plain.problem, operands="overflow_between"))
    check = told(partial_sums_in_bf16, case)
    assert not check.passed
    assert "kept" not in check.cause
    assert "bf16" in check.cause


def test_a_tail_that_is_kept_from_the_first_call_is_named_and_a_constant_one_is_not() -> None:
    for dtype in ("fp32", "bf16"):
        buffers: dict[tuple[int, ...], Tensor] = {}

        def keeps_its_tail(
            x: Tensor, w: Tensor, spec: ConvSpec, buffers: dict[tuple[int, ...], Tensor] = buffers
        ) -> Tensor:
            right = correct(x, w, spec)
            buffer = buffers.setdefault(tuple(right.shape), right.clone())
            buffer.view(-1)[:-3] = right.view(-1)[:-3]
            return buffer.clone()

        words = "still hold the answer of the first call"
        assert told(keeps_its_tail, make_case(S, dtype=dtype)).cause.endswith(words)

    def constant_tail(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        y.view(-1)[-3:] = 0.25
        return y

    assert told(constant_tail, make_case(S)).cause.endswith("are 0.25")


def test_a_workspace_that_is_not_cleared_is_named_and_shrinks_to_a_problem_that_shows_it_alone() -> None:
    room = [torch.zeros(0)]

    def keeps_its_workspace(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        (top, left), shape = spec.padding, (spec.n, spec.c, *spec.padded)
        if (need := prod(shape)) > room[0].numel():
            room[0] = torch.zeros(need)
        image = room[0][:need].view(shape)
        image[:, :, top : top + spec.h, left : left + spec.w] = x
        return correct(image, w, replace(spec, h=shape[2], w=shape[3], padding=(0, 0)))

    words = "wrong only after an earlier call, of n2c5h12w11k7r3s3: it keeps state between calls"
    check = told(keeps_its_workspace, make_case(S))
    assert (check.probe, check.cause) == ("state", words)
    room[0] = torch.ones(10_000)  # what a sweep's earlier cases leave: the plain call is wrong now
    check = told(keeps_its_workspace, make_case(S), Effort())
    assert (check.probe, check.cause) == ("numeric", words)
    room[0] = torch.zeros(0)  # as in the process of its command
    assert check.smallest
    alone = make_case(check.smallest)
    assert told(keeps_its_workspace, alone).probe == "state"


def test_a_workspace_of_each_size_is_filled_to_its_border_by_another_padding() -> None:
    rooms: dict[tuple[int, ...], Tensor] = {}

    def keeps_one_for_each_size(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if spec.padding == (0, 0):
            return correct(x, w, spec)
        (top, left), size = spec.padding, (spec.n, spec.c, *spec.padded)
        image = rooms.setdefault(size, torch.zeros(size))
        image[:, :, top : top + spec.h, left : left + spec.w] = x
        return correct(image, w, replace(spec, h=size[2], w=size[3], padding=(0, 0)))

    words = "wrong only after an earlier call, of n2c4h11w8k6r3s3_pd0x1: it keeps state between calls"
    check = told(keeps_one_for_each_size, make_case(S))
    assert (check.probe, check.cause) == ("state", words)


def test_a_tail_that_is_one_call_late_is_named() -> None:
    late: list[Tensor] = []

    def lags(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        right = correct(x, w, spec)
        y, before = right.clone(), late[-1] if late else right
        y.view(-1)[-3:] = before.view(-1)[-3:]
        late.append(right)
        return y

    cause = told(lags, make_case(S)).cause
    assert "call" in cause
