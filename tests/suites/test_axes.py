"""Axes over sizes multiply problems; what is no convolution is counted; filters choose."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench import ConvbenchError, ConvSpec
from convbench.case import Problem
from convbench.suites import load_suite
from convbench.suites.axes import FIELDS, MOST_PROBLEMS, Expansion, Filter, ProblemAxis, expand
from tests.strategies import specs


def problem(text: str = "n1c4h8w8k8r3s3_pd1", *, name: str = "layer", count: int = 1) -> Problem:
    return Problem(suite="net", name=name, spec=ConvSpec.parse(text), count=count)


def expanded(*axes: str, of: Problem | None = None) -> Expansion:
    return expand([of or problem()], [ProblemAxis.parse(one) for one in axes], Filter())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("n=1,8,32", [1, 8, 32]),
        ("n=8", [8]),
        ("n=0", [0]),
        ("n=64:512:64", [64, 128, 192, 256, 320, 384, 448, 512]),
        ("n=64:500:64", [64, 128, 192, 256, 320, 384, 448]),
        ("n=1:4", [1, 2, 3, 4]),
        ("n=5:5:9", [5]),
        ("n=64:512:*2", [64, 128, 256, 512]),
        ("n=3:80:*3", [3, 9, 27]),
        ("n=1,2,8:32:*2,2", [1, 2, 8, 16, 32]),  # a value given twice is one
        (" N = 1, 8 ", [1, 8]),
    ],
)
def test_values_are_a_list_a_range_or_powers(text: str, values: list[int]) -> None:
    assert [value[0] for value in ProblemAxis.parse(text).values if value] == values


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 50), st.integers(2, 5))
def test_a_range_ends_within_its_last_value(first: int, more: int, step: int, factor: int) -> None:
    last = first + more
    steps = [value[0] for value in ProblemAxis.parse(f"c={first}:{last}:{step}").values if value]
    powers = [value[0] for value in ProblemAxis.parse(f"c={first}:{last}:*{factor}").values if value]
    for values, beyond in ((steps, steps[-1] + step), (powers, powers[-1] * factor)):
        assert values[0] == first
        assert values[-1] <= last < beyond
    assert {b - a for a, b in pairwise(steps)} <= {step}
    assert all(b == a * factor for a, b in pairwise(powers))


@pytest.mark.parametrize(
    ("axis", "spec"),
    [
        ("n=5", "n5c4h8w8k8r3s3_pd1"),
        ("c=6", "n1c6h8w8k8r3s3_pd1"),
        ("h=9", "n1c4h9w8k8r3s3_pd1"),
        ("w=9", "n1c4h8w9k8r3s3_pd1"),
        ("k=9", "n1c4h8w8k9r3s3_pd1"),
        ("r=5", "n1c4h8w8k8r5s3_pd1"),
        ("s=5", "n1c4h8w8k8r3s5_pd1"),
        ("hw=9", "n1c4h9w9k8r3s3_pd1"),
        ("hw=9x7", "n1c4h9w7k8r3s3_pd1"),
        ("rs=5", "n1c4h8w8k8r5s5_pd1"),
        ("ck=16", "n1c16h8w8k16r3s3_pd1"),
        ("stride=2", "n1c4h8w8k8r3s3_st2_pd1"),
        ("stride=2x1", "n1c4h8w8k8r3s3_st2x1_pd1"),
        ("padding=0", "n1c4h8w8k8r3s3"),
        ("dilation=2", "n1c4h8w8k8r3s3_pd1_dl2"),
        ("groups=4", "n1c4h8w8k8r3s3_pd1_g4"),
    ],
)
def test_every_axis_sets_what_it_is_called_after(axis: str, spec: str) -> None:
    (one,) = expanded(axis).problems
    assert one.spec == ConvSpec.parse(spec)
    assert one.name == f"layer {axis}"


def test_the_axes_tested_are_all_there_are() -> None:
    assert set(FIELDS) == {*"nchwkrs", "hw", "rs", "ck", "stride", "padding", "dilation", "groups"}


def test_several_axes_are_multiplied_and_the_name_says_them_all() -> None:
    found = expanded("n=1,8", "hw=8,16", of=problem(count=3)).problems
    assert [one.name for one in found] == [f"layer n={n} hw={h}" for n, h in product((1, 8), (8, 16))]
    assert {one.count for one in found} == {3}


def test_a_problem_called_by_its_own_text_is_called_by_its_new_one() -> None:
    (one,) = expanded("n=8", of=problem(name="n1c4h8w8k8r3s3_PD1_st1")).problems
    assert one.name == str(one.spec) == "n8c4h8w8k8r3s3_pd1"


@given(specs(least_batch=1))
def test_padding_same_keeps_the_size_at_stride_1(spec: ConvSpec) -> None:
    axes = [ProblemAxis.parse("padding=same"), ProblemAxis.parse("stride=1")]
    found = expand([Problem(suite="net", name="layer", spec=spec)], axes, Filter())
    (one,) = found.problems
    assert (one.spec.p, one.spec.q) == (spec.h, spec.w)
    top, bottom, left, right = one.spec.sides
    assert (bottom - top, right - left) == tuple((extent - 1) % 2 for extent in spec.kernel_extent)


def test_padding_same_follows_the_kernel_and_the_dilation_of_other_axes() -> None:
    found = expanded("padding=same", "rs=1,3,5", "dilation=1,2").problems
    assert [one.spec.padding[0] for one in found] == [0, 0, 1, 2, 2, 4]
    assert found[0].name == "layer padding=same rs=1 dilation=1"


def test_what_is_no_convolution_is_counted_with_the_first_reason() -> None:
    found = expanded("groups=1,2,3,4", "rs=3,11")
    assert len(found.problems) == 3
    assert found.illegal == 5
    assert found.first_illegal.startswith("layer groups=1 rs=11: no output")


@given(specs(), st.sets(st.integers(1, 9), min_size=1), st.sets(st.integers(1, 6), min_size=1))
def test_every_combination_is_a_problem_or_is_counted(spec: ConvSpec, sizes: set[int], groups: set[int]) -> None:
    axes = [
        ProblemAxis.parse(f"ck={','.join(map(str, sizes))}"),
        ProblemAxis.parse(f"groups={','.join(map(str, groups))}"),
    ]
    found = expand([Problem(suite="net", name="layer", spec=spec)], axes, Filter())
    assert len(found.problems) + found.illegal == len(sizes) * len(groups)
    assert len({one.spec for one in found.problems}) == len(found.problems)
    assert found.illegal == sum(c % g != 0 for c in sizes for g in groups)


def test_problems_that_an_axis_makes_alike_are_one_that_counts_for_all() -> None:
    given_problems = [problem("n1c4h8w8k8r3s3_pd1", count=3), problem("n4c4h8w8k8r3s3_pd1", name="other", count=2)]
    found = expand(given_problems, [ProblemAxis.parse("n=8")], Filter())
    assert [(one.name, one.count) for one in found.problems] == [("layer n=8", 5)]
    assert found.repeated == 1
    deepbench = load_suite("deepbench_training")
    alike = expand(deepbench, [ProblemAxis.parse("n=8")], Filter())
    assert len(alike.problems) + alike.repeated == len(deepbench)
    assert sum(one.count for one in alike.problems) == sum(one.count for one in deepbench)


def test_a_problem_named_twice_is_there_once_and_counts_once() -> None:
    found = expand([problem(count=3), problem(count=3)], [], Filter())
    assert [one.count for one in found.problems] == [3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n", "write it like --axis n=1,8,32"),
        ("n=", "has no values"),
        ("m=1", "unknown axis 'm': choose from c, ck, dilation"),
        ("n=a", "--axis n=a: it takes numbers"),
        ("n=1,,2", "--axis n=: it takes numbers"),
        ("n=-1", "it takes numbers"),
        ("n=1x2", "it takes numbers"),
        ("stride=1x", "a pair 2x1"),
        ("stride=same", "a pair 2x1"),
        ("padding=some", "or same"),
        ("n=1234567890", "at most 9 digits"),
        ("n=1:2:3:4", "FIRST:LAST:STEP or FIRST:LAST:*FACTOR"),
        ("n=1:", "FIRST:LAST:STEP"),
        ("n=1:8:x2", "FIRST:LAST:*FACTOR"),
        ("n=8:1", "try 1:8:1"),
        ("n=1:8:0", "STEP of at least 1"),
        ("n=1:8:*1", "FACTOR of at least 2"),
        ("n=0:8:*2", "FIRST at least 1"),
        ("n=1:999999999", "999,999,999 values; the limit is 100,000; try a larger step"),
        ("n=1:99999,200000:300000:2", "150,000 values; the limit is 100,000"),
    ],
)
def test_a_bad_axis_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(ConvbenchError) as refusal:
        ProblemAxis.parse(text)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("axes", "words"), [(["h=1", "hw=2"], "h and hw"), (["n=1", "n=2"], "n occurs twice")])
def test_two_axes_over_one_size_are_refused(axes: list[str], words: str) -> None:
    with pytest.raises(ConvbenchError, match=words):
        expanded(*axes)


def test_too_many_combinations_are_refused_before_any_is_made() -> None:
    axes = [ProblemAxis.parse("c=1:1000"), ProblemAxis.parse("k=1:1000")]
    with pytest.raises(ConvbenchError, match="1 problem x 1000 of c x 1000 of k are 1,000,000 problems"):
        expand([problem()], axes, Filter())
    assert MOST_PROBLEMS == 100_000


@pytest.mark.parametrize(
    ("match", "exclude", "left"),
    [
        ([], [], {"a", "b"}),
        (["^net:a$"], [], {"a"}),
        (["net:"], ["r3s3"], {"b"}),
        (["r1s1", "^net:a"], [], {"a", "b"}),
        ([], ["a$", "^n1c4"], set()),
        (["^n1c4h8w8k8r1s1$"], [], {"b"}),
        (["A"], [], set()),
        (["(?i)A"], [], {"a"}),
    ],
)
def test_a_filter_searches_the_name_and_the_text(match: list[str], exclude: list[str], left: set[str]) -> None:
    given_problems = [problem("n1c4h8w8k8r3s3", name="a"), problem("n1c4h8w8k8r1s1", name="b")]
    found = expand(given_problems, [], Filter.parse(match, exclude)).problems
    assert {one.name for one in found} == left


def test_a_filter_sees_the_problem_that_would_run_and_counts_no_other() -> None:
    axes = [ProblemAxis.parse("n=1,8"), ProblemAxis.parse("groups=1,3")]
    found = expand([problem(name="a"), problem(name="b")], axes, Filter.parse(["^net:a.* n=8"], []))
    assert [one.name for one in found.problems] == ["a n=8 groups=1"]
    assert found.illegal == 1


def test_a_filter_finds_the_end_of_a_name_with_axes_and_without() -> None:
    axes = [ProblemAxis.parse("n=1,8")]
    for match, left in (("conv2$", 2), ("conv2 n=8$", 1), ("^n8c", 1), ("conv$", 0)):
        assert len(expand([problem(name="a.conv2")], axes, Filter.parse([match], [])).problems) == left


def test_a_bad_expression_is_refused_with_its_position() -> None:
    with pytest.raises(ConvbenchError, match=r"--exclude 'r3\(' is not a regular expression at position 2"):
        Filter.parse([], ["r3("])
