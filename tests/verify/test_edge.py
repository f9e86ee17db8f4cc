"""The edge suite: every recipe makes what it says, and a backend with the fault of the issue is found."""

import re
from collections.abc import Callable, Iterator
from math import inf, nan
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.backend import Backend, backend
from convbench.case import LAYOUTS, Case, Problem, cases
from convbench.discovery import discover
from convbench.errors import ConvbenchError
from convbench.outcome import Skipped, Verified, Wrong
from convbench.spec import ConvSpec
from convbench.suites import load_suite, read_shape
from convbench.suites.edge import RECIPES as NAMES
from convbench.verify.exam import make_exam, prepare_exam
from convbench.verify.lineup import refusal
from convbench.verify.nonfinite import expect
from convbench.verify.operands import make_operands
from convbench.verify.recipes import RECIPES, drawn_from_normal
from convbench.verify.trial import examine
from convbench.verify.verdict import check
from tests.cli.conftest import Cli, table
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.conftest import make_case

DOCS = Path(__file__).parents[2] / "docs"
EDGE = {problem.name: problem for problem in load_suite("edge")}
REFUSED = {"25", "26"}  # a kernel of no size, a dilation of 0: no ConvSpec can say them


def edge_case(name: str, **axes: object) -> Case:
    problem = EDGE[name]
    own = {"dtype": problem.dtype or "fp32", "layout": problem.layout or "nchw", "pass_": problem.pass_ or "fprop"}
    return Case(problem=problem, **(own | axes))  # type: ignore[arg-type]


def with_recipe(recipe: str, shape: str = "n2c4h6w7k6r3s3_pd1", **axes: object) -> Case:
    spec = ConvSpec.parse(shape)
    return Case(problem=Problem(suite="test", name=shape, spec=spec, operands=recipe), **axes)  # type: ignore[arg-type]


def conv(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def faulty(fn: Callable[[Tensor, Tensor, ConvSpec], Tensor], family: str = "direct") -> Backend:
    return backend(family=family, source="a test")(fn)


# ----------------------------------------------------------------------------- the suite


def test_every_number_is_a_row_or_refused_by_convbench_itself() -> None:
    numbers = {name[:2] for name in EDGE} | REFUSED
    assert numbers == {f"{number:02}" for number in range(1, 49)}


def test_every_row_names_the_issue_it_comes_from() -> None:
    assert all(re.match(r"[A-Za-z][\w./-]*#\d+", problem.source) for problem in EDGE.values())


def test_the_table_of_the_docs_holds_every_case() -> None:
    text = (DOCS / "edge-cases.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip() for line in text.splitlines() if re.match(r"\| +\d+ +\|", line)}
    assert rows == {str(number) for number in range(1, 49)}
    assert all(f"`{name}`" in text for name in EDGE)
    assert all(f"`{name}`" in text for name in NAMES)


def test_large_cases_are_the_same_rows_in_a_suite_of_their_own() -> None:
    for large in load_suite("edge_large"):
        assert (large.spec, large.source) == (EDGE[large.name].spec, EDGE[large.name].source)
        assert "edge_large" in EDGE[large.name].skip


def test_more_elements_than_32_bits_count_go_through_the_memory_check(monkeypatch: pytest.MonkeyPatch) -> None:
    (large,) = [one for one in load_suite("edge_large") if one.name.startswith("29")]
    assert large.spec.x_shape[2] * large.spec.x_shape[3] > 2**31
    monkeypatch.setattr("convbench.verify.lineup.free_nbytes", lambda _: 2**33)
    outcome = refusal(faulty(conv), next(cases([large])))
    assert isinstance(outcome, Skipped)
    assert "GiB with its oracle" in outcome.reason


@pytest.mark.parametrize("name", [name for name, one in EDGE.items() if one.skip])
def test_what_cannot_be_held_is_skipped_with_a_reason(name: str) -> None:
    outcome = refusal(faulty(conv), edge_case(name))
    assert outcome == Skipped(EDGE[name].skip)


@pytest.mark.parametrize(
    "shape", ["n1c1h4w4k1r0s3", "n1c1h4w4k1r3s0_pd1", "n1c1h4w4k1r2s2_dl0", "n1c1h4w4k1r2s2_dl1x0"]
)
def test_a_kernel_of_no_size_and_a_dilation_of_zero_are_one_line_and_exit_2(cli: Cli, shape: str) -> None:
    done = cli("verify", "--shape", shape)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "must be at least 1" in done.err


# The torch backend in fp32 is right on every case; what it does in bf16 stands in docs/found-defects.md.
@pytest.mark.parametrize("name", [name for name, one in EDGE.items() if not one.skip and one.dtype is None])
@pytest.mark.parametrize("who", ["torch", "naive-loops"])
def test_a_right_backend_passes_every_case(name: str, who: str) -> None:
    ((found,), _) = discover(names=[who])
    assert isinstance(examine(found, prepare_exam(edge_case(name))), Verified)


@pytest.mark.program
def test_a_row_is_reproduced_with_its_operands(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "zero.py"
    plugin.write_text(
        "import torch\nfrom convbench import backend\n\n"
        '@backend(family="direct", source="a test")\n'
        "def zero(x, w, spec):\n    return torch.zeros(spec.y_shape, dtype=x.dtype)\n"
    )
    words = ("--backend", "zero", "--dtype", "fp32", "--no-isolate", "--plugin", plugin)
    done = cli("verify", "--suite", "edge", "--match", "near_zero", *words)
    assert done.code == 1
    assert "--shape n1c3h8w8k4r3s3_pd1@tiny" in done.err
    again = cli("verify", "--shape", "n1c3h8w8k4r3s3_pd1@tiny", "--layout", "nchw", *words)
    (one,), (other,) = table(done.out), table(again.out)
    assert one["reason"] == other["reason"] != ""


def test_the_rows_of_a_file_keep_their_operands(cli: Cli, tmp_path: Path) -> None:
    from convbench.store import read_results

    path = tmp_path / "rows.csv"
    assert cli("verify", "--suite", "edge", "--match", "31_", "--backend", "torch", "--csv", path).code == 0
    assert {result.case.problem.operands for result in read_results(path)} == {"ones"}
    assert {result.case.dtype for result in read_results(path)} == {"bf16"}


# ----------------------------------------------------------------------------- the recipes


def test_every_recipe_that_may_be_named_exists() -> None:
    assert set(NAMES) == set(RECIPES)


@pytest.mark.parametrize("pass_", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_keeps_shapes_dtype_and_numbers_from_call_to_call(recipe: str, pass_: str) -> None:
    for dtype in ("fp32", "bf16"):
        case = with_recipe(recipe, dtype=dtype, pass_=pass_)
        made, again = make_operands(case), make_operands(case)
        assert [tuple(one.shape) for one in made] == list(case.operands.values())
        for one, other in zip(made, again, strict=True):
            assert one.dtype == other.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
            assert one.stride() == other.stride()
            assert torch.equal(one.nan_to_num(nan=7.5), other.nan_to_num(nan=7.5))


@pytest.mark.parametrize("recipe", [name for name, one in RECIPES.items() if one.places and name != "second_expanded"])
def test_a_recipe_of_places_changes_no_number(recipe: str) -> None:
    plain = make_operands(make_case("n2c1h6w7k6r3s3_pd1"))
    placed = make_operands(with_recipe(recipe, "n2c1h6w7k6r3s3_pd1"))
    assert all(torch.equal(one, other) for one, other in zip(plain, placed, strict=True))
    assert any(
        one.stride() != other.stride() or other.storage_offset() for one, other in zip(plain, placed, strict=True)
    )
    assert drawn_from_normal(with_recipe(recipe))


def test_each_place_is_the_one_that_the_issue_tells_of() -> None:
    def made(name: str) -> tuple[Tensor, Tensor]:
        x, w = make_operands(edge_case(name))
        return x, w

    assert made("01_weight_every_other_tap")[1].stride() == (144, 36, 12, 2)
    _, weight = made("02_weight_slice_of_5d")
    assert weight.stride()[1] == 3 * 9
    assert weight.storage_offset() == 9
    _, weight = made("03_weight_1x1_with_offset")
    assert weight.storage_offset() == 3
    assert weight.untyped_storage().nbytes() == 4 * (3 + weight.numel())
    assert made("04_weight_channels_last_one_channel")[1].stride() == (9, 1, 3, 1)
    x, weight = made("05_x_channels_last_weight_not")
    assert x.stride()[1] == 1
    assert weight.is_contiguous()
    x, _ = made("06_x_channel_slice")
    assert x.stride() == (9 * 8 * 9, 1, 8 * 9, 9)
    assert x.storage_offset() == 1
    x, weight = made("08_odd_strides_of_size_one")
    assert 12_347 in x.stride()
    assert 12_347 in weight.stride()
    assert made("09_filter_expanded")[1].stride()[0] == 0


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "fp64"])
def test_values_lie_where_their_recipe_says(dtype: str) -> None:
    def made(recipe: str) -> tuple[Tensor, Tensor, Tensor]:
        case = with_recipe(recipe, "n1c3h8w8k4r3s3_pd1", dtype=dtype)
        x, w = make_operands(case)
        return x.double(), w.double(), prepare_exam(case).truth.magnitude

    kind = torch.finfo(
        {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}[dtype]
    )
    for recipe in ("huge", "large_and_small"):
        x, _, magnitude = made(recipe)
        assert x.isfinite().all()
        assert x.abs().max() > kind.max * 2**-11
        assert magnitude.max() < kind.max
    _, w, magnitude = made("subnormal_second")
    assert w.abs().max() < kind.tiny
    assert (w != 0).any()
    assert magnitude.max() > kind.tiny * 2**5
    x, w, magnitude = made("tiny")
    assert x.abs().max() < 0.2
    assert magnitude.max() < 0.1
    assert min(made("positive")[0].min(), made("positive")[1].min()) >= 0
    assert made("byte_pairs")[0].unique().tolist() == [255]
    assert sorted(made("byte_pairs")[1].unique().tolist()) == [-127, 127]
    assert not drawn_from_normal(with_recipe("tiny"))
    assert drawn_from_normal(make_case("n1c1h3w3k1r2s2"))


@pytest.mark.parametrize(
    ("text", "words"), [("n1c1h3w3k1r2s2@one", "did you mean 'ones'"), ("n1c1h3w3@ones", "is not a valid shape")]
)
def test_an_unknown_recipe_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConvbenchError, match=words):
        read_shape(text)


# ----------------------------------------------------------------------------- faults of the kind that is told of


def strides_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    flat = torch.as_strided(w, (w.numel(),), (1,), w.storage_offset()) if w.untyped_storage().nbytes() else w
    return conv(x, flat.reshape(w.shape).contiguous(), spec)


def offset_ignored(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return conv(x, torch.as_strided(w, w.shape, w.stride(), 0), spec)


def channel_stride_guessed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    _, c, h, width = x.shape
    if x.stride(1) == 1:
        x = torch.as_strided(x, x.shape, (h * width * c, 1, width * c, c), x.storage_offset())
    return conv(x, w, spec)


def sixteen_bit_pairs(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    columns = F.unfold(x, (spec.r, spec.s))  # (N, taps, P*Q), no padding and no stride here
    products = w.flatten(1)[None, :, :, None] * columns[:, None]
    pairs = (products[:, :, ::2] + products[:, :, 1::2]).clamp(-(2**15), 2**15 - 1)
    return pairs.sum(dim=2).reshape(spec.y_shape)


def subnormals_flushed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return conv(x, w.where(w.abs() >= torch.finfo(w.dtype).tiny, 0.0), spec)


def zeros(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return x.new_zeros(spec.y_shape)


def not_a_number(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return x.new_full(spec.y_shape, nan)


def overflowing(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return conv(x * 4096, w, spec) / 4096


def nan_swallowed(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    return conv(x.nan_to_num(), w.nan_to_num(), spec)


def nan_in_its_row(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = conv(x, w, spec)
    return torch.where(y.isnan().any(dim=3, keepdim=True), nan, y)


def infinity_unsigned(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = conv(x, w, spec)
    return torch.where(y.isinf(), inf, y)


def padding_after_forgotten(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    x = x.clone()
    x[..., -1, :] = x[..., -2, :]
    return conv(x, w, spec)


def last_image_zero(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    y = conv(x, w, spec)
    y[65535:] = 0
    return y


FAULTS = [
    ("01_weight_every_other_tap", strides_ignored),
    ("02_weight_slice_of_5d", strides_ignored),
    ("03_weight_1x1_with_offset", offset_ignored),
    ("06_x_channel_slice", channel_stride_guessed),
    ("09_filter_expanded", lambda x, w, spec: conv(x, w * torch.tensor([1.0] * 5 + [0.5]).view(-1, 1, 1, 1), spec)),
    ("19_same_even_kernel", padding_after_forgotten),
    ("27_images_beyond_65535", last_image_zero),
    ("34_byte_pairs", sixteen_bit_pairs),
    ("35_nan_in_x", nan_swallowed),
    ("35_nan_in_x_padded", nan_in_its_row),
    ("36_nan_in_weight", nan_swallowed),
    ("37_inf_in_x", infinity_unsigned),
    ("38_huge", overflowing),
    ("41_subnormal_weight", subnormals_flushed),
    ("47_near_zero", zeros),
    ("48_nan_is_no_wildcard", not_a_number),
]


@pytest.mark.parametrize(("name", "fault"), FAULTS, ids=[f"{name}-{fault.__name__}" for name, fault in FAULTS])
def test_the_fault_of_a_case_is_found_by_it(name: str, fault: Callable[[Tensor, Tensor, ConvSpec], Tensor]) -> None:
    exam = prepare_exam(edge_case(name))
    assert isinstance(examine(faulty(conv), exam), Verified)
    assert isinstance(examine(faulty(fault), exam), Wrong)


# ----------------------------------------------------------------------------- NaN and infinity


def each_output_by_ieee(case: Case, first: Tensor, second: Tensor) -> Tensor:
    """The direct sum of the products inside the image, one multiply-add at a time, for fprop."""
    spec, out = case.spec, torch.zeros(case.out_shape, dtype=torch.float64)
    for n, k, p, q in torch.cartesian_prod(*map(torch.arange, spec.y_shape)).tolist():
        total, start = 0.0, k // spec.k_per_group * spec.c_per_group
        for c, r, s in torch.cartesian_prod(*map(torch.arange, spec.w_shape[1:])).tolist():
            row = p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
            column = q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
            if 0 <= row < spec.h and 0 <= column < spec.w:
                total += float(first[n, start + c, row, column]) * float(second[k, c, r, s])
        out[n, k, p, q] = total
    return out


def strewn(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Small whole numbers, zeros among them, with NaN and infinities here and there."""
    values = torch.randint(-2, 3, shape, generator=generator).double()
    kinds = torch.randint(0, 40, shape, generator=generator)
    for kind, value in enumerate((nan, inf, -inf)):
        values[kinds == kind] = value
    return values


@pytest.mark.parametrize("seed", range(6))
def test_the_expected_pattern_is_that_of_the_loops(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    case = make_case("n2c4h6w5k4r3s2_st2x1_pd1_g2")
    x, w = strewn(case.spec.x_shape, generator), strewn(case.spec.w_shape, generator)
    expected, _ = expect(case, x, w)
    truth = each_output_by_ieee(case, x, w)
    assert torch.equal(expected.isnan(), truth.isnan())
    assert torch.equal(expected.isinf(), truth.isinf())
    assert torch.equal(expected[truth.isinf()], truth[truth.isinf()])
    assert truth.isnan().any()
    assert truth.isinf().any()
    assert truth.isfinite().any()


@pytest.mark.parametrize("pass_", ["fprop", "dgrad", "wgrad"])
@pytest.mark.parametrize("who", ["torch", "naive-loops", "unfold-matmul", "unfold-einsum"])
@pytest.mark.parametrize("recipe", ["nan_in_first", "inf_in_first", "nan_in_second"])
def test_every_pass_of_a_right_backend_has_the_pattern(recipe: str, who: str, pass_: str) -> None:
    ((found,), _) = discover(names=[who])
    case = with_recipe(recipe, "n2c4h6w7k6r3s2_st2x1_pd1_g2", pass_=pass_)
    assert isinstance(examine(found, prepare_exam(case)), Verified)


def winograd_like(x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    """Whatever is not finite reaches its whole tile, as in a transform."""
    y = conv(x, w, spec)
    y[..., :4, 4:] = y[..., :4, 4:] + 0 * x[..., :4, 4:].sum(dim=(1, 2, 3))[:, None, None, None]
    return y


def test_a_transform_may_spread_nan_and_a_direct_sum_may_not() -> None:
    exam = prepare_exam(with_recipe("nan_in_first", "n1c2h8w8k3r3s3_pd1"))
    assert isinstance(examine(faulty(winograd_like, "winograd"), exam), Verified)
    assert isinstance(examine(faulty(winograd_like), exam), Wrong)
    assert isinstance(examine(faulty(nan_swallowed, "winograd"), exam), Wrong)


def test_padding_that_meets_an_infinite_weight_may_be_read_or_skipped_and_a_pixel_may_not() -> None:
    case = make_case("n1c1h4w4k1r3s3_pd1")
    x, w = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3)
    w[0, 0, 0, 0] = w[0, 0, 1, 1] = inf  # at the border of y the first lies on padding, and the second never does
    exam = make_exam(case, x, w)
    skipped = torch.full((1, 1, 4, 4), inf)
    read = skipped.clone()
    read[0, 0, 0, :] = read[0, 0, :, 0] = nan
    assert F.conv2d(F.pad(x, (1, 1, 1, 1)), w).isnan().equal(read.isnan())
    assert check(exam, skipped, "direct").passed
    assert check(exam, read, "direct").passed
    ignored = torch.full((1, 1, 4, 4), 10.0)
    assert "expected inf" in (check(exam, ignored, "direct").evidence or "")


def test_a_relu_of_nan_may_be_either_and_of_infinity_is_what_it_is() -> None:
    exam = prepare_exam(with_recipe("inf_in_first", "n1c2h8w8k3r3s3_pd1", epilogue="bias_relu"))
    assert isinstance(examine(faulty(conv), exam), Verified)

    def negative_kept(x: Tensor, w: Tensor, spec: ConvSpec, bias: Tensor, relu: bool) -> Tensor:
        y = conv(x, w, spec) + bias.view(1, -1, 1, 1)
        return y.relu().where(y.isfinite(), y)

    kept = backend(family="direct", source="a test", fused=negative_kept)(conv)
    assert isinstance(examine(kept, exam), Wrong)


def operands_with(value: float) -> Iterator[Tensor]:
    x, w = make_operands(make_case("n1c2h5w5k2r3s3"))
    x[0, 1, 2, 2] = value
    yield from (x, w)


def test_given_operands_are_judged_by_what_they_hold() -> None:
    exam = make_exam(make_case("n1c2h5w5k2r3s3"), *operands_with(nan))
    assert isinstance(examine(faulty(conv), exam), Verified)
    found = examine(faulty(nan_swallowed), exam)
    assert isinstance(found, Wrong)
    assert "expected nan" in (found.check.evidence or "")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pass_", ["fprop", "dgrad", "wgrad"])
def test_an_empty_batch_is_verified_in_every_layout(layout: str, pass_: str) -> None:
    case = make_case("n0c4h9w7k6r2s2_dl3_g2", layout=layout, pass_=pass_)
    ((found,), _) = discover(names=["torch"])
    assert isinstance(examine(found, prepare_exam(case)), Verified)
