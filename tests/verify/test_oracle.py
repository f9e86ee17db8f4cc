"""The oracle against exact integers, and what it says beside the answer."""

import torch
from hypothesis import given

from convbench import ConvSpec
from convbench.backends.naive_loops import naive_loops
from convbench.verify.oracle import conv2d_float64, count_terms, truth
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


def test_the_magnitude_is_of_absolute_values() -> None:
    spec = ConvSpec.parse("n1c1h1w2k1r1s2")
    answer = truth(torch.tensor([[[[3.0, -5.0]]]]), torch.tensor([[[[2.0, 2.0]]]]), spec)
    assert answer.y.item() == -4
    assert answer.magnitude.item() == 16
    assert answer.terms.item() == 2
