"""The verdict finds what is planted, says where, and leaves what is right alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench import Backend, ConvSpec, Failed, Skipped, Verified, Wrong, backend
from convbench.call.memory import Guard, poisoned
from convbench.call.tensors import arithmetic, lay_out
from convbench.verify.exam import prepare_exam
from convbench.verify.lineup import too_large
from convbench.verify.operands import make_operands
from convbench.verify.sweep import verify
from convbench.verify.trial import examine
from tests.conftest import make_case

CASE = make_case("n2c4h9w8k6r3s3_pd1")


def correct(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def planted(fn: Callable[[Tensor, Tensor, ConvSpec], Any]) -> Backend:
    return replace(backend(family="direct", source="a test")(fn), name="planted")


def last_tap_missing_in_last_column(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y, cut = correct(x, w, spec), w.clone()
    cut[:, :, -1, 0] = 0
    y[..., -1] = correct(x, cut, spec)[..., -1]
    return y


def first_row_not_written(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = torch.empty(spec.y_shape)
    y[:, :, 1:] = correct(x, w, spec)[:, :, 1:]
    return y


def channels_swapped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return correct(x, w, spec)[:, [0, 1, 3, 2, 4, 5]]


def reduced_inputs(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return correct(x.bfloat16().float(), w, spec)


def second_image_forgotten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[1] = 0
    return y


def nan_in_one_place(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[0, 3, 2, 5] = float("nan")
    return y


def flipped(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return correct(x, w.flip(2, 3), spec)


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        (last_tap_missing_in_last_column, "in the last output column (q=7)"),
        (first_row_not_written, "in the first output row (p=0)"),
        (channels_swapped, "in output channels k=2..3"),
        (reduced_inputs, "outputs wrong"),
        (second_image_forgotten, "in the last image (n=1)"),
        (
            nan_in_one_place,
            "1 of 864 outputs wrong, in output row p=2, output column q=5, output channel k=3, the first image",
        ),
        (flipped, "outputs wrong"),
        (lambda x, w, spec: correct(x, w, spec)[..., :-1], "returned shape (2, 6, 9, 7), expected (2, 6, 9, 8)"),
        (lambda x, w, spec: correct(x, w, spec).double(), "returned torch.float64"),
        (lambda x, w, spec: None, "returned NoneType"),
        (lambda x, w, spec: correct(x.mul_(2), w, spec) / 2, "it changed its input x"),
        (lambda x, w, spec: (w.neg_(), -correct(x, w, spec))[1], "it changed its input w"),
    ],
)
def test_a_planted_bug_is_wrong_and_its_place_is_named(bug: Callable[..., Any], words: str) -> None:
    outcome = examine(planted(bug), prepare_exam(CASE))
    assert isinstance(outcome, Wrong)
    assert words in (outcome.check.evidence or "")


def test_the_worst_output_is_shown_with_what_was_expected() -> None:
    outcome = examine(planted(nan_in_one_place), prepare_exam(CASE))
    assert isinstance(outcome, Wrong)
    assert "worst y[0,3,2,5]: got nan, expected" in (outcome.check.evidence or "")


def test_another_order_of_summation_is_right() -> None:
    def taps_backwards(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        channels = range(spec.c - 1, -1, -1)
        parts = [F.conv2d(x[:, c : c + 1], w[:, c : c + 1], padding=spec.padding) for c in channels]
        return torch.stack(parts).sum(0)

    assert isinstance(examine(planted(taps_backwards), prepare_exam(CASE)), Verified)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("shape mismatch\nlong trace"), "RuntimeError: shape mismatch"),
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("tried to allocate"), "out of memory: tried to allocate"),
    ],
)
def test_what_a_backend_raises_is_its_row(error: Exception, words: str) -> None:
    def raising(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        raise error

    outcome = examine(planted(raising), prepare_exam(CASE))
    assert outcome == Failed(f"{words} (test_check.py:{raising.__code__.co_firstlineno + 1})")


def test_a_backend_that_did_not_run_what_it_claims_has_failed() -> None:
    def pretender(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return (w.flatten(1) @ F.unfold(x, 3, padding=1)).reshape(spec.y_shape)

    claims = backend(family="vendor", source="a test", must_run="aten::mkldnn_convolution")(pretender)
    outcome = examine(claims, prepare_exam(CASE))
    assert isinstance(outcome, Failed)
    assert "aten::mkldnn_convolution did not run; seen: aten::im2col, aten::bmm" in outcome.message


def test_verify_gives_a_row_for_every_pair_and_goes_on_after_a_failure() -> None:
    def raising(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        raise ValueError("no")

    bad, good = planted(raising), backend(family="direct", source="a test", devices={"cpu"})(correct)
    cases = [CASE, make_case("n1c4h9w8k6r3s3_pd1", device="cpu"), make_case("n1c1h4w4k1r2s2", precision="tf32")]
    kinds = [type(result.outcome) for result in verify(cases, [bad, good])]
    assert kinds == [Failed, Verified, Failed, Verified, Skipped, Skipped]


def test_a_case_that_cannot_fit_is_refused_before_it_is_allocated() -> None:
    huge = make_case("n100000c1000h1000w1000k1000r3s3_pd1")
    reason = too_large(huge, planted(correct))
    assert reason is not None
    assert "GiB are free on cpu" in reason
    assert too_large(CASE, planted(correct)) is None


def test_python_destinations_start_as_nan_under_poison() -> None:
    like = torch.zeros(1)
    with poisoned((2, 2), like):
        made = [torch.empty(3), torch.empty_like(like), like.new_empty(2), torch.empty_strided((2,), (1,))]
        whole = torch.empty(2, dtype=torch.int64)
    assert all(tensor.isnan().all() for tensor in made)
    assert whole.dtype == torch.int64


def test_a_guard_sees_one_bit_and_a_swap_and_undoes_them() -> None:
    before = torch.arange(1.0, 9.0)
    sign, last_bit = before.clone(), before.clone()
    sign[0] = -1
    last_bit[7] = torch.nextafter(before[7], torch.tensor(9.0))
    for after in (before.flip(0), sign, last_bit):
        tensor = before.clone()
        guard = Guard(x=tensor, same=torch.ones(2))
        assert guard.restore() == []
        tensor.copy_(after)
        assert guard.restore() == ["x"]
        assert torch.equal(tensor, before)


def test_operands_are_the_same_numbers_in_every_layout() -> None:
    for dtype in ("fp32", "fp16", "bf16", "fp64"):
        plain = make_operands(make_case("n2c3h5w4k6r3s3", dtype=dtype))
        for layout in ("nhwc", "strided"):
            other = make_operands(make_case("n2c3h5w4k6r3s3", dtype=dtype, layout=layout))
            assert all(torch.equal(one, two) for one, two in zip(plain, other, strict=True))
    assert not torch.equal(make_operands(CASE)[0], make_operands(CASE, salt=1)[0])


def test_the_strided_layout_has_an_offset_and_gaps_of_nan() -> None:
    x = lay_out(torch.ones(1, 1, 2, 3), "strided")
    assert (x.storage_offset(), x.stride(-1), x.is_contiguous()) == (1, 2, False)
    assert x._base is not None
    assert int(x._base.isnan().sum()) == 2 * 4


def test_arithmetic_is_restored_even_after_an_error() -> None:
    def state() -> list[object]:
        backends: Any = torch.backends
        return [
            backends.cudnn.conv.fp32_precision,
            backends.cuda.matmul.fp32_precision,
            backends.mkldnn.conv.fp32_precision,
            backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        ]

    def fail() -> None:
        with arithmetic("tf32"):
            assert state()[:2] == ["tf32", "tf32"]
            raise KeyError

    before = state()
    with pytest.raises(KeyError):
        fail()
    assert state() == before
    with arithmetic("ieee"):
        assert state() == ["ieee", "ieee", "ieee", False]
    assert state() == before


def test_no_case_is_computed_by_trying_what_is_fastest_whatever_a_module_has_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with arithmetic("ieee"):
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark


def test_one_that_harms_its_inputs_harms_nobody_after_it() -> None:
    def harming(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        x.add_(1)
        w.zero_()
        return y

    good = backend(family="direct", source="a test")(correct)
    kinds = [type(result.outcome) for result in verify([CASE], [planted(harming), good])]
    assert kinds == [Wrong, Verified]


def test_code_that_runs_otherwise_under_the_poison_is_judged_as_a_user_runs_it() -> None:
    """What torch.compile made runs eagerly under a dispatch mode: the other call must count as well."""

    def compiled(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        watched = torch.utils._python_dispatch._get_current_dispatch_mode() is not None
        return correct(x, w, spec) * (1 if watched else 2)

    assert isinstance(examine(planted(compiled), prepare_exam(CASE)), Wrong)


def test_what_is_wrong_on_poisoned_memory_alone_says_so() -> None:
    def leaving_one_out(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = torch.empty(spec.y_shape)
        whole = correct(x, w, spec)
        if torch.utils._python_dispatch._get_current_dispatch_mode() is None:
            return whole  # stale memory held the right number
        y.view(-1)[:-1] = whole.view(-1)[:-1]
        return y

    outcome = examine(planted(leaving_one_out), prepare_exam(CASE))
    assert isinstance(outcome, Wrong)
    assert "right on fresh memory, wrong on memory that holds NaN: 1 of 864" in (outcome.check.evidence or "")


def test_leaving_the_program_is_a_fault_like_any_other() -> None:
    def leaving(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        raise SystemExit(0)

    line = leaving.__code__.co_firstlineno + 1
    assert examine(planted(leaving), prepare_exam(CASE)) == Failed(f"SystemExit: 0 (test_check.py:{line})")


def test_a_refusal_that_raises_is_a_row() -> None:
    def refuse(case: object) -> str:
        raise KeyError("dtype")

    odd = backend(family="direct", source="a test", refuse=refuse)(correct)
    (result,) = verify([CASE], [odd])
    assert result.outcome == Failed(f"KeyError: 'dtype' (test_check.py:{refuse.__code__.co_firstlineno + 1})")


def test_after_a_lost_device_the_culprit_is_named_and_nothing_more_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def illegal(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        monkeypatch.setattr("convbench.verify.lineup.alive", lambda device: False)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    good = backend(family="direct", source="a test")(correct)
    one, two, three, four = verify([CASE, CASE], [planted(illegal), good])
    assert isinstance(one.outcome, Failed)
    assert one.outcome.message.startswith("RuntimeError: CUDA error: an illegal memory access was encountered")
    for other in (two, three, four):
        assert isinstance(other.outcome, Failed)
        assert other.outcome.message.startswith("not run: the device was lost in planted on n2c4h9w8k6r3s3_pd1")


def test_older_switches_can_be_read_under_either_policy() -> None:
    for precision in ("ieee", "tf32"):
        with arithmetic(precision):
            backends: Any = torch.backends
            assert backends.cudnn.allow_tf32 is (precision == "tf32")
            assert backends.cuda.matmul.allow_tf32 is (precision == "tf32")
            with torch.backends.cudnn.flags(benchmark=True):
                assert backends.cudnn.benchmark
