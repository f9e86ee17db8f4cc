"""Kernels with a bug each, and what is told of them: what the tests of this folder share."""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from convbench import Backend, ConvSpec, Wrong, backend
from convbench.case import Case
from convbench.outcome import Check
from convbench.verify.diagnose.fault import (
    Effort,
    explain_fault,
)
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import examine

S = "n2c4h9w8k6r3s3_pd1"
GROUPED = "n2c8h9w8k6r3s3_pd1_g2"
LONG = "n1c64h8w8k16r3s3_pd1"  # 576 terms, as in an ordinary layer
BF16, FP16 = {"dtype": "bf16"}, {"dtype": "fp16"}

# A shape, the axes of a case, a kernel with a bug, and what must be told of it.
Planted = tuple[str, dict[str, Any], Callable[[Tensor, Tensor, ConvSpec], Tensor], str]


def correct(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def elsewhere(x: Tensor, w: Tensor, spec: ConvSpec, **changed: tuple[int, int]) -> Tensor:
    """The spec's outputs, read with another stride, padding or dilation."""
    one = {"stride": spec.stride, "padding": spec.padding, "dilation": spec.dilation} | changed
    top, left = one["padding"]
    room = F.pad(x, (left, 40, top, 40))
    y = F.conv2d(room, w, None, one["stride"], 0, one["dilation"], spec.groups)
    return y[:, :, : spec.p, : spec.q].contiguous()


def without(w: Tensor, *place: Any) -> Tensor:
    w = w.clone()
    w[place] = 0
    return w


def in_last_column(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = correct(x, w, spec)
    y[..., -1] = correct(x, without(w, ..., 0, 0), spec)[..., -1]
    return y


def first_group_for_all(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    x = x.clone()
    x[:, spec.c_per_group :] = x[:, : spec.c_per_group]
    return correct(x, w, spec)


def planted(fn: Callable[..., Any], case: Case) -> Backend:
    """A correct backend with `fn` for the case's pass or epilogue."""
    parts = {case.pass_: fn} if case.pass_ != "fprop" else {"fused": fn} if case.epilogue != "none" else {}
    main = correct if parts else fn
    main.__name__ = "planted"
    return backend(family="direct", source="a test", **parts)(main)  # type: ignore[arg-type]  # a pass or fused


def told(fn: Callable[..., Any], case: Case, effort: Effort | None = None) -> Check:
    one = planted(fn, case)
    exam = prepare_exam(case)
    outcome = examine(one, exam)
    assert isinstance(outcome, Wrong)
    return explain_fault(one, exam, outcome.check, effort or Effort(tries=0))


def spec(text: str) -> ConvSpec:
    return ConvSpec.parse(text)


def beginnings(bugs: Sequence[Planted]) -> list[str]:
    """How the tests of these bugs are called."""
    return [words[:40] for *_, words in bugs]
