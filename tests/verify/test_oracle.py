"""The oracle against exact integers, and what it says beside the answer."""

import pytest
import torch
from hypothesis import given

from convbench import ConvSpec
from convbench.backends.naive_loops import naive_loops
from convbench.verify.oracle import conv2d_float64, count_terms, dgrad_float64, truth, wgrad_float64
from tests.conftest import make_case
from tests.strategies import specs


def exact(x: torch.Tensor, w: torch.Tensor, spec: ConvSpec) -> torch.Tensor:
    """The definition in Python's loops; sums of whole numbers far below 2^53 are exact."""
    y = naive_loops.fn(x.double(), w.double(), spec)
    assert isinstance(y, torch.Tensor)
    return y


@given(specs())
def test_the_oracle_equals_exact_integer_loops(spec: ConvSpec) -> None:
    generator = torch.Generator().manual_seed(spec.c * 31 + spec.h)
    x = torch.randint(-1000, 1001, spec.x_shape, generator=generator)
    w = torch.randint(-1000, 1001, spec.w_shape, generator=generator)
    assert torch.equal(conv2d_float64(x, w, spec), exact(x, w, spec))


def whole(shape: tuple[int, ...], seed: int, most: int = 1000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-most, most + 1, shape, generator=generator)


@given(specs())
def test_the_gradients_equal_exact_integer_loops(spec: ConvSpec) -> None:
    assert naive_loops.dgrad is not None
    assert naive_loops.wgrad is not None
    dy, x, w = whole(spec.y_shape, 1), whole(spec.x_shape, 2), whole(spec.w_shape, 3)
    assert torch.equal(dgrad_float64(dy, w, spec), naive_loops.dgrad(dy.double(), w.double(), spec))
    assert torch.equal(wgrad_float64(dy, x, spec), naive_loops.wgrad(dy.double(), x.double(), spec))


@given(specs())
def test_the_gradients_equal_those_of_autograd(spec: ConvSpec) -> None:
    """Nothing of this is shared: neither the loops over taps nor their indices."""
    dy, x, w = (whole(shape, 4).double() for shape in (spec.y_shape, spec.x_shape, spec.w_shape))
    x.requires_grad_()
    w.requires_grad_()
    y = torch.nn.functional.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)
    dx, dw = torch.autograd.grad(y, (x, w), dy)
    assert torch.equal(dgrad_float64(dy, w.detach(), spec), dx)
    assert torch.equal(wgrad_float64(dy, x.detach(), spec), dw)


@given(specs())
def test_the_three_passes_are_adjoint(spec: ConvSpec) -> None:
    """<conv(x, w), dy> = <x, dgrad(dy, w)> = <w, wgrad(dy, x)>: sums of whole numbers, so equal means equal."""
    dy, x, w = (whole(shape, seed).double() for seed, shape in enumerate((spec.y_shape, spec.x_shape, spec.w_shape)))
    inner = (conv2d_float64(x, w, spec) * dy).sum()
    assert inner == (x * dgrad_float64(dy, w, spec)).sum() == (w * wgrad_float64(dy, x, spec)).sum()


@given(specs())
def test_the_terms_of_the_gradients_are_gradients_of_ones(spec: ConvSpec) -> None:
    dy, x, w = (torch.ones(shape) for shape in (spec.y_shape, spec.x_shape, spec.w_shape))
    dx, dw = dgrad_float64(dy, w, spec), wgrad_float64(dy, x, spec)
    assert torch.equal(dx, count_terms(spec, "dgrad").expand_as(dx))
    assert torch.equal(dw, count_terms(spec, "wgrad").expand_as(dw))
    assert spec.n == 0 or count_terms(spec, "dgrad").max() <= spec.k_per_group * spec.r * spec.s
    assert count_terms(spec, "wgrad").max() <= spec.n * spec.p * spec.q


def test_a_bias_is_one_more_term() -> None:
    x, w, bias = torch.tensor([[[[3.0, -5.0]]]]), torch.tensor([[[[2.0, 2.0]]]]), torch.tensor([-7.0])
    answer = truth(make_case("n1c1h1w2k1r1s2", epilogue="bias_relu"), x, w, bias)
    assert answer.y.item() == -4 - 7
    assert answer.magnitude.item() == 16 + 7
    assert answer.terms.item() == 2 + 1


@given(specs())
def test_the_number_of_terms_is_a_convolution_of_ones(spec: ConvSpec) -> None:
    one = ConvSpec(
        **{name: getattr(spec, name) for name in "chwkrs"},
        n=1,
        stride=spec.stride,
        padding=spec.padding,
        dilation=spec.dilation,
        groups=spec.groups,
    )
    ones = conv2d_float64(torch.ones(one.x_shape), torch.ones(one.w_shape), one)
    assert torch.equal(ones[0, 0], count_terms(spec))


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_the_magnitude_is_of_absolute_values(signs: tuple[int, int, int]) -> None:
    x, w, bias = torch.tensor([[[[3.0, 5.0 * signs[0]]]]]), torch.tensor([[[[2.0, 2.0 * signs[1]]]]]), 7.0 * signs[2]
    answer = truth(make_case("n1c1h1w2k1r1s2", epilogue="bias"), x, w, torch.tensor([bias]))
    assert answer.y.item() == 6 + 10 * signs[0] * signs[1] + bias
    assert answer.magnitude.item() == 16 + 7
    assert answer.terms.item() == 2 + 1


def test_what_is_no_number_stays_none_in_the_magnitude() -> None:
    x = torch.tensor([[[[3.0, float("nan")]]]])
    answer = truth(make_case("n1c1h1w2k1r1s2"), x, torch.tensor([[[[2.0, 2.0]]]]))
    assert answer.y.isnan().all()
    assert answer.magnitude.isnan().all()
