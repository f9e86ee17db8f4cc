"""A NaN that strays, and one that is lost."""

from torch import Tensor

from convbench import ConvSpec
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Subject
from convbench.verify.exam import make_exam, prepare_exam
from tests.conftest import make_case
from tests.verify.diagnose.planting import S, correct, planted


def test_a_zero_that_hides_nan_is_named() -> None:
    case = make_case(S)

    def skips(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x.nan_to_num(), w, spec)
        return y.where(correct(x.isnan().float(), (w != 0).float(), spec) == 0, float("nan"))

    x, w = prepare_exam(case).operands.values()
    x[0, 0, 4, 4], w[:, :, 1, 1] = float("nan"), 0
    cause = find_cause(Subject(backend=planted(skips, case), case=case), make_exam(case, x, w))
    assert cause is not None
    assert cause.words == "NaN at x[1,2,4,4] does not reach y[1,0,3,3] and 53 other outputs where w is 0"


def test_a_nan_that_strays_is_followed() -> None:
    case = make_case(S)

    def spreading(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w, spec) + 0 * x[1, 2, 4, 4]

    cause = find_cause(Subject(backend=planted(spreading, case), case=case), prepare_exam(case))
    assert cause is not None
    assert cause.words == "NaN at x[1,2,4,4] also reaches y[0,0,0,0] and 809 other outputs"

    def hiding(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x.nan_to_num(), w, spec)

    cause = find_cause(Subject(backend=planted(hiding, case), case=case), prepare_exam(case))
    assert cause is not None
    assert cause.words == "NaN at x[1,2,4,4] does not reach y[1,0,3,3] and 53 other outputs"
