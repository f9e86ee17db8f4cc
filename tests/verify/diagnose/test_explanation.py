"""The explanation of a fault as a whole: its words, its picture, and when it is looked for."""

import pickle
from dataclasses import replace

from torch import Tensor

from convbench import ConvSpec, Wrong
from convbench.call.watch import Watch
from convbench.show.tables import fault_lines
from convbench.verify.diagnose.experiment import Subject
from convbench.verify.diagnose.fault import (
    MOST_COLUMNS,
    MOST_ROWS,
    Effort,
    draw_errors,
    explain_fault,
)
from convbench.verify.diagnosis import tell_apart
from convbench.verify.exam import prepare_exam
from convbench.verify.sweep import MOST_EXPLAINED, verify
from convbench.verify.trial import examine
from tests.conftest import make_case
from tests.verify.diagnose.planting import S, correct, in_last_column, planted, told


def test_two_numbers_are_told_in_so_many_digits_that_they_differ() -> None:
    assert tell_apart(6.0, 5.5) == ("6", "5.5")
    assert tell_apart(6.0, 6.0000001) == ("6", "6.0000001")


def test_the_explanation_survives_pickling_and_bends_nothing_else() -> None:
    check = told(in_last_column, make_case(S), Effort())
    assert pickle.loads(pickle.dumps(check)) == check
    assert check.picture is not None
    plain = replace(check, cause="", smallest="", picture=None)
    case = make_case(S)
    outcome = examine(planted(in_last_column, case), prepare_exam(case))
    assert isinstance(outcome, Wrong)
    assert outcome.check == plain


def test_an_experiment_that_the_backend_cannot_bear_costs_only_itself() -> None:
    tired = False

    def tires(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        if tired:
            raise RuntimeError("enough")
        return correct(x, w, spec) + 1

    case = make_case(S)
    one, exam = planted(tires, case), prepare_exam(case)
    outcome = examine(one, exam)
    assert isinstance(outcome, Wrong)
    tired = True
    assert explain_fault(one, exam, outcome.check) == outcome.check


def test_verify_explains_a_fault_of_each_problem_and_of_each_axis_once() -> None:
    def wrong(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w.flip(3), spec)

    shapes = ("n1c1h4w4k1r2s2", "n1c1h4w5k1r2s2")
    cases = [make_case(shape, dtype=dtype) for shape in shapes for dtype in ("fp32", "bf16")]
    watch = Watch()
    found = list(verify(cases, [planted(wrong, cases[0])], watch=watch))
    causes = [one.outcome.check.cause for one in found if isinstance(one.outcome, Wrong)]
    assert [bool(cause) for cause in causes] == [True, True, True, False]
    cuts = [one.outcome.check.cause_cut for one in found if isinstance(one.outcome, Wrong)]
    assert cuts == [None, None, None, 0]
    assert fault_lines(found[-1], "again")[1].startswith("  not diagnosed, because this backend's faults on this")
    assert len(watch.faults) == 4
    full = Watch(faults={("planted", str(number)) for number in range(MOST_EXPLAINED)})
    (last,) = verify(cases[:1], [planted(wrong, cases[0])], watch=full)
    assert isinstance(last.outcome, Wrong)
    assert (last.outcome.check.cause, last.outcome.check.cause_cut) == ("", 0)


def test_the_picture_shows_the_worst_channel_in_few_enough_cells() -> None:
    case = make_case("n2c1h100w150k3r3s3_pd1")

    def corner(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        y = correct(x, w, spec)
        y[1, 2, -1, -1] += 100
        return y

    exam = prepare_exam(case)
    picture = draw_errors(Subject(backend=planted(corner, case), case=case), exam)
    assert picture is not None
    assert (picture.name, picture.axes, picture.rows, picture.columns) == ("y[1,2]", ("p", "q"), 100, 150)
    assert len(picture.shares) <= MOST_ROWS
    assert len(picture.shares[0]) <= MOST_COLUMNS
    wrong = [(p, q) for p, row in enumerate(picture.shares) for q, one in enumerate(row) if one > 1]
    assert wrong == [(len(picture.shares) - 1, len(picture.shares[0]) - 1)]
    assert draw_errors(Subject(backend=planted(correct, case), case=case), exam) is None


def test_a_problem_that_is_right_in_its_batch_is_asked_alone() -> None:
    def of_one_image(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
        return correct(x, w if spec.n > 1 else w.flip(3), spec)

    check = told(of_one_image, make_case(S))
    assert check.probe == "batch"
    assert check.cause == "the kernel is flipped along s (seen on n1c4h9w8k6r3s3_pd1)"
