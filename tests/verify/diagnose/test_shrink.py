"""The search for the smallest problem that still fails."""

from collections.abc import Callable

import pytest
from torch import Tensor

from convbench import ConvSpec, Wrong
from convbench.outcome import Check
from convbench.verify.diagnose import fault
from convbench.verify.diagnose.budget import Budget, Spent
from convbench.verify.diagnose.causes import find_cause
from convbench.verify.diagnose.experiment import Cause, Subject
from convbench.verify.diagnose.fault import MOST_MACS, Effort, similar
from convbench.verify.diagnose.shrink import shrink
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import examine
from tests.conftest import make_case
from tests.verify.diagnose.planting import S, correct, in_last_column, planted, spec, told, without


def test_a_predicate_is_followed_to_its_least_problem() -> None:
    asked: list[ConvSpec] = []

    def fails(one: ConvSpec) -> bool:
        asked.append(one)
        return one.c >= 13 and one.s >= 2 and one.q >= 3

    found = shrink(spec("n8c64h56w56k64r3s3_st2_pd1_dl2"), fails, tries=200).spec
    assert fails(found)
    assert (found.n, found.c, found.k, found.h, found.r, found.s) == (1, 13, 1, 1, 1, 2)
    assert found.q == 3
    assert len(set(asked[:-1])) == len(asked[:-1])  # never the same question twice


def test_groups_shrink_with_their_channels() -> None:
    found = shrink(spec("n1c32h8w8k64r3s3_g8"), lambda one: one.groups >= 3, tries=200).spec
    assert (found.groups, found.c, found.k) == (3, 3, 3)


def test_a_square_stays_square_where_it_must() -> None:
    found = shrink(spec("n1c1h20w20k1r1s1"), lambda one: one.h == one.w >= 5, tries=200).spec
    assert (found.h, found.w) == (5, 5)


def test_it_ends_after_its_tries_and_says_so() -> None:
    asked: list[ConvSpec] = []

    def fails(one: ConvSpec) -> bool:
        asked.append(one)
        return one.c % 2 == 0

    found = shrink(spec("n8c64h56w56k64r3s3"), fails, tries=7)
    assert len(asked) == found.tries == 7
    assert found.cut
    whole = shrink(spec("n8c64h56w56k64r3s3"), fails, tries=200)
    assert 7 < whole.tries < 200
    assert not whole.cut
    assert whole.spec.macs < found.spec.macs


def test_what_cannot_be_paid_for_is_passed_over_for_what_can() -> None:
    def fails(one: ConvSpec) -> bool:
        if one.macs > 1000:
            raise Spent
        return one.c >= 4

    assert shrink(spec("n1c64h4w4k16r1s1"), fails, tries=200).cut  # no single size makes it small enough
    found = shrink(spec("n2c6h7w7k6r1s1"), fails, tries=200)
    assert found.cut
    assert str(found.spec) == "n1c4h1w1k1r1s1"


def test_what_fails_in_its_own_size_alone_stays() -> None:
    whole = spec("n8c64h56w56k64r3s3")
    found = shrink(whole, lambda _: False)
    assert found.spec == whole
    assert not found.cut


@pytest.mark.parametrize(
    ("shape", "bug", "most"),
    [
        (S, in_last_column, "n1c1h1w2k1r1s2"),
        ("n2c16h9w8k6r3s3_pd1", lambda x, w, spec: correct(x, without(w, slice(None), slice(12, None)), spec), None),
        ("n2c32h14w14k32r3s3_pd1", lambda x, w, spec: correct(x, without(w, slice(None), -1), spec), None),
    ],
)
def test_the_smallest_problem_is_wrong_in_the_same_way(
    shape: str, bug: Callable[..., Tensor], most: str | None
) -> None:
    case = make_case(shape)
    check = told(bug, case, Effort(tries=100))
    small = make_case(check.smallest)
    assert small.spec.macs < case.spec.macs / 50
    assert most is None or check.smallest == most
    outcome = examine(planted(bug, small), prepare_exam(small))
    assert isinstance(outcome, Wrong)
    assert not outcome.check.passed


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])  # in fp16 the smallest problem for this cause fits another, too
def test_of_the_smallest_problem_all_experiments_name_that_cause(dtype: str) -> None:
    case = make_case("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2", dtype=dtype)
    kinds = []
    for one in (case, make_case(told(in_last_column, case, Effort()).smallest, dtype=dtype)):
        subject = Subject(backend=planted(in_last_column, one), case=one)
        cause = find_cause(subject, prepare_exam(one), sure=False)
        kinds.append(cause and cause.kind)
    assert kinds == ["tap: is missing"] * 2


def test_what_is_found_and_cannot_be_proved_is_searched_again_and_called_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, quick: bool, **__: object) -> bool:
        if not quick:
            raise Spent
        return True

    monkeypatch.setattr(fault, "fails_alike", fails)
    case = make_case(S)
    cause, check = Cause(kind="a kind", words="words"), Check(worst_of_bound=9.0, relative_l2=1.0)
    one = planted(correct, case)
    found = fault.find_smallest(one, case, check, cause, case.spec, 100, Budget(left=1))
    assert (found.spec, found.cut) == (case.spec, True)
    assert fault.find_smallest(one, case, check, None, case.spec, 100, Budget(left=1)).spec != case.spec


def test_a_large_problem_is_asked_in_a_smaller_size() -> None:
    whole = spec("n8c70h57w57k72r3s3_st2_pd1")
    found = list(similar(whole))
    assert max(one.macs for one in found) <= MOST_MACS
    assert len(set(found)) == len(found) >= 6
    for one in found:  # what is left beyond a block of 8 is left
        assert (one.c % 8, one.k % 8, one.q % 8, (one.w + 1) % 2) == (6, 0, 5, 0) or one.c == 6
        assert (one.r, one.stride, one.padding) == (whole.r, whole.stride, whole.padding)
    check = told(lambda x, w, spec: correct(x, without(w, slice(None), 64), spec), make_case(str(whole)))
    assert check.cause.startswith("channel c=64 is ignored (seen on n2c70h")
