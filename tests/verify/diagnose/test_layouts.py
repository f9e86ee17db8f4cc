"""Operands and outputs whose order in memory is mistaken."""

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from tests.conftest import make_case
from tests.verify.diagnose.planting import BF16, LONG, Planted, S, beginnings, correct, told

PLANTED: list[Planted] = [
    (
        S,
        {},
        lambda x, w, spec: correct(x, w, spec).permute(0, 2, 3, 1).reshape(spec.y_shape),
        "y is written in the order n p q k where it lies in the order n k p q",
    ),
    (
        LONG,
        {},
        lambda x, w, spec: correct(x, w.reshape(16, 3, 3, 64).permute(0, 3, 1, 2), spec),
        "w in the order k c r s is read as if it lay in the order k r s c",
    ),
    (
        LONG,
        BF16,
        lambda x, w, spec: correct(x, w.permute(0, 2, 3, 1).reshape(w.shape), spec),
        "w in the order k r s c is read as if it lay in the order k c r s",
    ),
    (
        LONG,
        {"layout": "nhwc"},
        lambda x, w, spec: correct(x, w.as_strided(w.shape, (576, 9, 3, 1)), spec),
        "w lies in memory in the order k r s c and is read in the order k c r s",
    ),
]


@pytest.mark.parametrize(("shape", "axes", "bug", "words"), PLANTED, ids=beginnings(PLANTED))
def test_a_planted_bug_is_named(shape: str, axes: dict[str, Any], bug: Callable[..., Tensor], words: str) -> None:
    check = told(bug, make_case(shape, **axes))
    assert words in check.cause
    assert not check.passed
