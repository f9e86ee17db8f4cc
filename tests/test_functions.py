"""A plain function is a backend if it is fn(x, w, spec) or has the arguments of F.conv2d; anything else is an error."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvbenchError, Failed, Skipped, Verified, Wrong, backend
from convbench.case import Case
from convbench.discovery import load_plugin
from convbench.functions import function_backend
from convbench.outcome import Outcome
from convbench.verify.exam import prepare_exam
from convbench.verify.sweep import verify
from convbench.verify.trial import examine
from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too
from tests.conftest import make_case

HARD = "n2c4h9w8k6r3s2_st2x1_pd1x0_dl1x2_g2"
KERNELS = '''
import torch.nn.functional as F
from functools import partial
from convbench import backend

LIMIT = 3

def like_torch(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """As F.conv2d."""
    return F.conv2d(x, w, bias, stride, padding, dilation, groups)

def without_bias(x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return F.conv2d(x, w, None, stride, padding, dilation, groups)

def needs_a_tile(x, w, spec, tile):
    return like_torch(x, w)

@backend(family="im2col", source="a test")
def declared(x, w, spec):
    return like_torch(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
'''


def with_spec(x: Any, w: Any, spec: Any) -> Any:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


def with_problem_and_tile(x: Any, w: Any, problem: Any, tile: int = 4) -> Any:
    return with_spec(x, w, problem)


def with_a_spec_that_may_be_left_out(x: Any, w: Any, spec: Any = None) -> Any:
    return with_spec(x, w, spec)


def with_everything(
    x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    return F.conv2d(x, w, bias, stride, padding, dilation, groups)


def by_name_alone(input: Any, weight: Any, *, groups: int, stride: Any, dilation: Any, padding: Any) -> Any:  # noqa: A002  # F.conv2d's own name
    return F.conv2d(input, weight, None, stride, padding, dilation, groups)


def in_any_order(*args: Any, **others: Any) -> Any:
    return F.conv2d(*args, **others)


def passed_on(*args: Any) -> Any:
    return with_spec(*args)


def outcome(function: Callable[..., Any], case: Case) -> Outcome:
    (result,) = verify([case], [function_backend(function, "mine", "a test")])
    return result.outcome


@pytest.mark.parametrize(
    ("function", "epilogues"),
    [
        (with_spec, 1),
        (with_problem_and_tile, 1),
        (with_a_spec_that_may_be_left_out, 1),
        (functools.partial(with_problem_and_tile, tile=2), 1),
        (passed_on, 1),
        (by_name_alone, 1),
        (with_everything, 3),
        (in_any_order, 3),
        (F.conv2d, 3),  # code in C, which does not tell its arguments
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_function_is_called_with_the_arguments_that_it_has(function: Callable[..., Any], epilogues: int) -> None:
    made = function_backend(function, "my_conv", "a test")
    assert (made.name, made.family, len(made.epilogues)) == ("my-conv", "direct", epilogues)
    for epilogue in ("none", "bias_relu"):
        assert isinstance(outcome(function, make_case(HARD, epilogue=epilogue)), Verified)


def test_a_bias_that_is_ignored_is_found() -> None:
    def ignores(x: Any, w: Any, bias: Any = None, stride: Any = 1) -> Any:
        return F.conv2d(x, w, None, stride)

    shape = "n1c2h5w6k2r3s3_st2"
    assert isinstance(outcome(ignores, make_case(shape)), Verified)
    assert isinstance(outcome(ignores, make_case(shape, epilogue="bias")), Wrong)


def test_a_problem_that_its_arguments_cannot_express_is_refused() -> None:
    def plain(x: Any, w: Any, padding: Any = 0) -> Any:
        return F.conv2d(x, w, padding=padding)

    assert isinstance(outcome(plain, make_case("n1c2h5w6k2r3s3_pd1x2x0x1")), Verified)
    for shape, argument in [("st2", "stride"), ("dl2", "dilation"), ("g2", "groups")]:
        assert outcome(plain, make_case(f"n1c2h7w6k2r2s2_{shape}")) == Skipped(f"mine has no argument {argument}")

    def valid(x: Any, w: Any) -> Any:
        return F.conv2d(x, w)

    assert outcome(valid, make_case("n1c2h5w6k2r3s3_pd1x0")) == Skipped("mine has no argument padding")
    assert isinstance(outcome(valid, make_case("n1c2h5w6k2r3s3_pd1x0x0x0")), Verified)  # x is padded before


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x, "a test: mine takes 1 arguments; a function is fn(x, w, spec), or has the arguments of F.conv2d"),
        (lambda x, w, spec, tile: x, "a test: mine needs the argument 'tile'"),
        (lambda x, w, *, grid: x, "a test: mine needs the argument 'grid'"),
        (lambda x, w, one, two: x, "a test: mine needs the argument 'two'"),
    ],
)
def test_other_arguments_are_an_error(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(ConvbenchError) as error:
        function_backend(function, "mine", "a test")
    assert str(error.value).startswith(said)
    assert "\n" not in str(error.value)


def test_what_a_function_returns_instead_of_a_tensor_is_a_row() -> None:
    def nothing(x: Any, w: Any, bias: Any = None) -> None:
        return None

    assert isinstance(outcome(nothing, make_case("n1c1h3w3k1r2s2", epilogue="bias_relu")), Wrong | Failed)


@pytest.fixture
def kernels(tmp_path: Path) -> str:
    path = tmp_path / "kernels.py"
    path.write_text(KERNELS)
    return str(path)


def test_a_plug_in_may_name_one_function(kernels: str) -> None:
    (made,) = load_plugin(f"{kernels}::like_torch")
    assert (made.name, made.doc, made.origin) == ("like-torch", "As F.conv2d.", f"plug-in {kernels}")
    (made,) = load_plugin(f"{kernels}::declared")
    assert (made.name, made.family) == ("declared", "im2col")
    (made,) = load_plugin("torch.nn.functional::conv2d")
    assert (made.name, made.built_in) == ("conv2d", False)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "like_torc",
            "unknown function of plug-in FILE 'like_torc': choose from declared, like_torch, needs_a_tile, ",
        ),
        ("", "unknown function of plug-in FILE ''"),
        ("LIMIT", "--plugin FILE::LIMIT: LIMIT is not a function; choose from like_torch, without_bias"),
        ("partial", "--plugin FILE::partial: partial is not a function"),
        ("needs_a_tile", "plug-in FILE: needs_a_tile needs the argument 'tile'; a function is fn(x, w, spec)"),
    ],
)
def test_a_name_that_is_no_function_is_one_line(kernels: str, name: str, said: str) -> None:
    with pytest.raises(ConvbenchError) as error:
        load_plugin(f"{kernels}::{name}")
    message = str(error.value)
    assert message.startswith(said.replace("FILE", kernels))
    assert "\n" not in message


@pytest.mark.program
def test_the_command_line_takes_a_function_of_a_file(cli: Cli, kernels: str) -> None:
    words = ("verify", "--shape", "n1c2h5w6k2r3s3_pd1", "--dtype", "fp32", "--layout", "nchw", "--plugin")
    assert cli(*words, f"{kernels}::like_torch").code == 0
    done = cli(*words, f"{kernels}::without_bias")
    assert done.code == 1
    assert "1 verified, 2 wrong" in done.err
    assert cli(*words, f"{kernels}::nothing").code == 2
    assert cli(*words, f"{kernels}x.py::nothing").code == 2


def by_fft(x: Any, w: Any, spec: Any) -> Any:
    """Circular correlation of the padded image: right, and rounded as an FFT is."""
    image = F.pad(x, (spec.padding[1],) * 2 + (spec.padding[0],) * 2)
    size = image.shape[2:]
    product = torch.einsum("nchw,kchw->nkhw", torch.fft.rfft2(image), torch.fft.rfft2(w, size).conj())
    return torch.fft.irfft2(product, size)[..., : spec.p, : spec.q].contiguous()


def by_fft_without_a_weight(x: Any, w: Any, spec: Any) -> Any:
    w = w.clone()
    w[0, 0, 0, 0] = 0
    return by_fft(x, w, spec)


def test_an_fft_of_no_declared_family_is_wrong_and_told_how_to_declare_it() -> None:
    case = make_case("n1c4h9w8k6r5s2_pd2x1")
    exam = prepare_exam(case)
    plain = function_backend(by_fft, "by_fft", "kernels.py")
    outcome = examine(plain, exam)
    assert isinstance(outcome, Wrong)
    assert "within the bounds of winograd, fft and strassen: if it is one, declare @backend(family=...)" in str(
        outcome.check.evidence
    )
    declared = examine(backend(family="fft", source="a test")(by_fft), exam)
    assert isinstance(declared, Verified)


@pytest.mark.parametrize("declared", [False, True])
def test_no_family_is_suggested_for_a_bug_or_where_one_is_declared(declared: bool) -> None:
    fn = by_fft if declared else by_fft_without_a_weight
    given = backend(family="direct", source="a test")(fn)
    one = given if declared else function_backend(fn, "fn", "kernels.py")
    outcome = examine(one, prepare_exam(make_case("n1c4h9w8k6r5s2_pd2x1")))
    assert isinstance(outcome, Wrong)
    assert "within the bound" not in str(outcome.check.evidence)
