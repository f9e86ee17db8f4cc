"""The axes that multiply a problem into cases, and the key by which cases are told apart."""

import os
import pickle
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import example, given, settings

from convbench import Case, ConvbenchError, ConvSpec
from convbench.case import KEY_COLUMNS, Problem, cases
from convbench.suites import find_problem, load_suite
from tests import strategies
from tests.conftest import make_case


def test_axes_multiply_but_tf32_says_something_of_fp32_alone() -> None:
    problem = find_problem("n1c1h4w4k1r2s2")
    found = list(
        cases(
            [problem],
            dtypes=("fp32", "bf16"),
            layouts=("nchw", "nhwc"),
            precisions=("ieee", "tf32"),
            devices=("cuda",),
        )
    )
    assert len(found) == 2 * (2 + 1)
    assert all(case.precision == "ieee" for case in found if case.dtype == "bf16")


def test_a_case_names_itself_in_options() -> None:
    assert make_case("n1c2h4w4k2r2s2_g2", dtype="bf16", layout="nhwc", seed=7).flags() == (
        "--shape n1c2h4w4k2r2s2_g2 --dtype bf16 --layout nhwc --precision ieee --device cpu --seed 7"
    )


def test_tf32_on_a_cpu_is_refused_for_every_backend() -> None:
    assert "CUDA" in (make_case("n1c1h4w4k1r2s2", precision="tf32").why_not or "")
    assert make_case("n1c1h4w4k1r2s2").why_not is None


def test_quick_spans_the_families() -> None:
    specs = {problem.name: problem.spec for problem in load_suite("quick")}
    assert 10 <= len(specs) <= 12
    assert specs["note"].x_shape == (1, 1, 4, 4)
    assert any(spec.groups == spec.c > 1 and spec.r == 7 for spec in specs.values())
    assert any(1 < spec.groups < spec.c for spec in specs.values())
    assert any(spec.dilation != (1, 1) for spec in specs.values())
    assert any(spec.r != spec.s for spec in specs.values())
    assert any(spec.c == 1 and spec.n > 1 for spec in specs.values())


def test_each_pass_reads_two_tensors_and_writes_the_third() -> None:
    shapes = {"x": (2, 4, 9, 8), "w": (6, 4, 3, 3), "y": (2, 6, 9, 8)}
    for kind, reads, writes in (("fprop", ("x", "w"), "y"), ("dgrad", ("y", "w"), "x"), ("wgrad", ("y", "x"), "w")):
        case = make_case("n2c4h9w8k6r3s3_pd1", pass_=kind)
        assert tuple(case.operands.values()) == tuple(shapes[name] for name in reads)
        assert case.out_shape == shapes[writes]
        assert case.nbytes == case.spec.nbytes("fp32")
    assert tuple(make_case("n2c4h9w8k6r3s3_pd1", pass_="wgrad").operands) == ("dy", "x")
    bias = make_case("n2c4h9w8k6r3s3_pd1", epilogue="bias", dtype="fp16")
    assert bias.operands["bias"] == (6,)
    assert bias.nbytes == bias.spec.nbytes("fp16") + 6 * 2


def test_an_epilogue_follows_fprop_alone() -> None:
    problem = find_problem("n1c1h4w4k1r2s2")
    found = list(cases([problem], passes=("fprop", "wgrad"), epilogues=("none", "bias_relu")))
    assert [case.kind for case in found] == ["", "bias_relu", "wgrad"]
    assert "only applies to fprop, not to wgrad" in (
        make_case("n1c1h4w4k1r2s2", pass_="wgrad", epilogue="bias").why_not or ""
    )


def test_a_case_names_its_pass_and_epilogue_where_they_are_not_the_usual() -> None:
    assert make_case("n1c1h4w4k1r2s2", pass_="dgrad").flags().endswith("--seed 0 --pass dgrad")
    assert make_case("n1c1h4w4k1r2s2", epilogue="bias").flags().endswith("--seed 0 --epilogue bias")


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("layer1.0.conv2 n=8", "layer1.0.conv2", "n=8"),
        ("conv1 hw=8 stride=2x1", "conv1", "hw=8 stride=2x1"),
        ("a layer", "a layer", ""),
        ("n1c1h4w4k1r2s2", "n1c1h4w4k1r2s2", ""),
    ],
)
def test_a_size_that_an_axis_gave_stands_after_the_layer(name: str, layer: str, size: str) -> None:
    problem = Problem(suite="mine", name=name, spec=ConvSpec.parse("n1c1h4w4k1r2s2"))
    assert (problem.layer, problem.size) == (layer, size)


def decides(case: Case) -> tuple[Any, ...]:
    """What decides the numbers of a case: all of its fields, and of its problem the sizes and the operands."""
    axes = (getattr(case, one.name) for one in fields(case) if one.name != "problem")
    return (case.problem.spec, case.problem.operands, *axes)


@settings(max_examples=400)
@given(strategies.cases(), strategies.cases())
@example(make_case("n1c1h4w4k1r2s2"), make_case("n1c1h4w4k1r2s2"))
def test_cases_are_equal_where_their_numbers_are_and_so_are_their_keys(one: Case, other: Case) -> None:
    alike = decides(one) == decides(other)
    assert (one == other) == (one.key == other.key) == (one.key.text == other.key.text) == alike
    assert (one.key.sha256 == other.key.sha256) == alike
    assert len({one, other}) == 2 - alike


@given(strategies.cases())
def test_what_people_call_a_problem_makes_no_other_case(case: Case) -> None:
    named = replace(case.problem, suite="another", name="other", count=7, source="elsewhere", skip="too odd")
    assert replace(case, problem=named) == case


def test_every_axis_makes_another_case() -> None:
    case = make_case("n1c2h4w4k2r2s2")
    axes = {"dtype": "bf16", "layout": "nhwc", "precision": "tf32", "device": "cuda", "seed": 1}
    axes |= {"pass_": "wgrad", "epilogue": "bias", "accuracy": "strict"}
    others = [make_case("n1c2h4w4k2r2s2", **{name: value}) for name, value in axes.items()]
    others.append(make_case("n1c2h4w4k2r2s2_g2"))
    others.append(replace(case, problem=replace(case.problem, operands="huge")))
    assert len({one.key for one in [case, *others]}) == len(KEY_COLUMNS) + 1


def test_a_key_is_plain_text_that_no_release_changes() -> None:
    key = make_case("N1c2h4w4k2r2s2_st1_g2", dtype="bf16", pass_="dgrad", seed=3).key
    assert key.text == (
        '{"device":"cpu","dtype":"bf16","epilogue":"none","layout":"nchw","operands":"","pass":"dgrad",'
        '"precision":"ieee","seed":3,"spec":"n1c2h4w4k2r2s2_g2"}'
    )
    assert key.sha256 == "2b7abddd904973426819ce630e2f639ca45267b0c53655e4dfd8a03a2e225c22"
    assert key.axes == ("cpu", "bf16", "nchw", "ieee", "dgrad")
    assert key.unseeded == make_case("n1c2h4w4k2r2s2_g2", dtype="bf16", pass_="dgrad").key


@settings(max_examples=3)
@given(strategies.cases(), strategies.cases())
def test_a_key_is_the_same_in_another_process(one: Case, other: Case) -> None:
    code = (
        "import pickle, sys\nfor case in pickle.load(sys.stdin.buffer):\n"
        "    print(case.key.sha256, case.key.text, 'torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps([one, other]),
        env=os.environ | {"PYTHONHASHSEED": str(1 + one.seed % 1000)},
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert found.splitlines() == [f"{case.key.sha256} {case.key.text} False" for case in (one, other)]


def test_a_case_that_was_asked_for_its_key_is_pickled_and_copied_like_any_other() -> None:
    case = make_case("n1c1h4w4k1r2s2")
    key = case.key
    assert pickle.loads(pickle.dumps(case)).key == key
    assert replace(case, seed=1).key != key


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({"dtype": "fp23"}, "unknown dtype 'fp23': choose from bf16, fp16, fp32, fp64; did you mean 'fp32'?"),
        ({"dtype": None}, "unknown dtype 'None'"),
        ({"dtype": ["fp32"]}, "unknown dtype"),
        (
            {"layout": "ncwh"},
            "unknown layout 'ncwh': choose from chunk, nchw, nhwc, strided, unaligned; did you mean 'nchw'?",
        ),
        ({"precision": "tf23"}, "unknown precision 'tf23': choose from ieee, tf32; did you mean 'tf32'?"),
        ({"pass_": "frop"}, "unknown pass 'frop': choose from dgrad, fprop, wgrad; did you mean 'fprop'?"),
        ({"epilogue": "relu"}, "unknown epilogue 'relu': choose from bias, bias_relu, none"),
        ({"seed": 0.5}, "seed=0.5: a seed is an integer"),
        ({"seed": True}, "seed=True"),
    ],
)
def test_a_case_of_no_such_axis_is_refused_in_one_line(axis: dict[str, object], words: str) -> None:
    with pytest.raises(ConvbenchError) as refusal:
        make_case("n1c1h4w4k1r2s2", **axis)
    assert str(refusal.value).startswith(words)
    assert "\n" not in str(refusal.value)
