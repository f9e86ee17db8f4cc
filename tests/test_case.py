"""The axes that multiply a problem into cases."""

import pytest

from convbench import ConvSpec
from convbench.case import Problem, cases
from convbench.suites import find_problem, load_suite
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
    assert "wgrad has none" in (make_case("n1c1h4w4k1r2s2", pass_="wgrad", epilogue="bias").why_not or "")


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
