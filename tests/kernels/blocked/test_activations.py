"""The functions on finished sums, over all of float32 and at its edges, against float64."""

import pytest
import torch
from torch import Tensor

from convbench.jit.target import host
from convbench.kernels.blocked import elementwise
from convbench.kernels.blocked.activations import keeps_zero
from convbench.kernels.blocked.geometry import Blocked
from convbench.kernels.blocked.plan import Activation
from tests.kernels.blocked.running import ACTIVATIONS, U, outputs, same

LANES = host().lanes
# Units in the last place, each twice a unit roundoff.
MOST: dict[Activation, float] = {"hardswish": 2, "hardsigmoid": 2, "sigmoid": 2.5, "silu": 3, "gelu": 4}


def applied(activation: Activation, x: Tensor) -> Tensor:
    shape = Blocked(1, LANES, 1, x.numel() // LANES, LANES)
    [plan] = elementwise.candidates(elementwise.Elementwise("activate", shape, shape, activation=activation), host(), 1)
    return outputs(plan, shape, x)


def numbers() -> Tensor:
    bits = torch.arange(0, 2**31, 30_011, dtype=torch.int64).to(torch.int32)
    sizes = bits.view(torch.float32)
    sizes = sizes[sizes.isfinite()]
    dense = torch.linspace(-20, 20, 40_000)
    x = torch.cat([sizes, -sizes, dense])
    return x[: x.numel() // LANES * LANES].contiguous()


@pytest.mark.parametrize("activation", MOST)
def test_errors_are_as_documented(activation: Activation) -> None:
    x = numbers()
    wide = x.double()
    truth = ACTIVATIONS[activation](wide)
    if activation == "gelu":  # torch's own loses all digits of the tail
        truth = wide * torch.special.erfc(-wide * 2**-0.5) / 2
        truth = torch.where(wide < -5, 0.0, truth)
        allowed = MOST[activation] * 2 * U * torch.where(wide < 0, wide.abs(), truth.abs())
    else:
        allowed = MOST[activation] * 2 * U * truth.abs()
    if activation in ("hardswish", "hardsigmoid"):  # x + 3 cancels
        allowed = allowed + U * 3 * wide.abs().clamp(min=1, max=3)
    y = applied(activation, x).double()
    share = ((y - truth).abs() / (allowed + 1e-36)).max().item()
    assert share <= 1, f"{share} of the bound"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_infinity_and_zero(activation: Activation) -> None:
    x = torch.tensor([torch.nan, torch.inf, 0.0, -0.0, 3e38, -3e38, 100.0, -100.0] * (LANES // 4))
    y, truth = applied(activation, x), ACTIVATIONS[activation](x.double())  # torch's fp32 gelu(inf) is NaN with AVX-512
    assert same(torch.isnan(y).float(), torch.isnan(truth).float())
    finite = ~truth.isnan()
    torch_says, ours = truth[finite].clamp(-3e38, 3e38), y[finite].double().clamp(-3e38, 3e38)
    assert ((ours - torch_says).abs() <= 4 * U * torch_says.abs() + 1e-36).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_which_functions_keep_zero(activation: Activation) -> None:
    """Spare channels are zeros after the others without further work."""
    assert keeps_zero(activation) == (ACTIVATIONS[activation](torch.zeros(1)).item() == 0)
