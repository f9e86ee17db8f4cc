"""Banks do what their names say."""

import pytest
import torch
import torch.nn.functional as F

from convbench.data.filters import BANKS, make_filters
from convbench.errors import ConvbenchError


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("bank", BANKS)
def test_every_bank_fits_any_number_of_channels(bank: str, channels: int) -> None:
    filters = make_filters(bank, channels)
    k, c, r, s = filters.w.shape
    assert (c, filters.groups, len(filters.names)) == (channels, 1, k)
    assert r % 2 == s % 2 == 1
    assert len(set(filters.names)) == k


@pytest.mark.parametrize("channels", [1, 3])
def test_sobel_of_a_ramp_is_constant_and_only_across_it(channels: int) -> None:
    ramp = torch.arange(9.0).expand(1, channels, 9, 9)
    filters = make_filters("edges", channels)
    y = dict(zip(filters.names, F.conv2d(ramp, filters.w)[0], strict=True))
    torch.testing.assert_close(y["Sobel x"], torch.full((7, 7), 8.0))
    torch.testing.assert_close(y["Sobel y"], torch.zeros(7, 7))
    # A second difference does not see a ramp.
    for name in ("Laplacian 4", "Laplacian 8", "Line y"):
        torch.testing.assert_close(y[name], torch.zeros(7, 7), atol=1e-5, rtol=0)


def test_every_edge_filter_is_blind_to_a_flat_image_and_none_is_like_another() -> None:
    filters = make_filters("edges", 1)
    assert torch.equal(filters.w.sum(dim=(1, 2, 3)), torch.zeros(8))
    assert len({tuple(kernel.flatten().tolist()) for kernel in filters.w}) == 8


def test_the_laplacians_of_a_parabola_are_its_curvature() -> None:
    square = (torch.arange(9.0) ** 2).expand(1, 1, 9, 9)
    filters = make_filters("edges", 1)
    y = dict(zip(filters.names, F.conv2d(square, filters.w)[0], strict=True))
    assert torch.equal(y["Laplacian 4"], torch.full((7, 7), 2.0))
    assert torch.equal(y["Laplacian 8"], torch.full((7, 7), 6.0))


@pytest.mark.parametrize("channels", [1, 3])
def test_blurs_sum_to_one_and_keep_a_flat_image(channels: int) -> None:
    filters = make_filters("blur", channels)
    torch.testing.assert_close(filters.w.sum(dim=(1, 2, 3)), torch.ones(8))
    assert float(filters.w.min()) >= 0
    y = F.conv2d(torch.full((1, channels, 9, 9), 0.3), filters.w)
    torch.testing.assert_close(y, torch.full_like(y, 0.3))
    torch.testing.assert_close(filters.w, filters.w.flip(2, 3))


def test_a_box_of_three_is_the_mean_of_nine() -> None:
    torch.testing.assert_close(make_filters("blur", 1).w[0, 0, 2:5, 2:5], torch.full((3, 3), 1 / 9))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_identity_gives_the_input_back(channels: int) -> None:
    x = torch.randn(2, channels, 6, 7)
    assert torch.equal(F.conv2d(x, make_filters("identity", channels).w, padding=1), x)


def test_random_filters_follow_from_their_seed_and_keep_the_size_of_the_numbers() -> None:
    first, again, other = (make_filters("random", 64, seed).w for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std()) == pytest.approx((64 * 9) ** -0.5, rel=0.05)


def test_an_unknown_bank_lists_the_known_ones() -> None:
    with pytest.raises(ConvbenchError, match="did you mean 'edges'"):
        make_filters("edge", 1)
