"""Is the receptive field that is followed through operators the one that gradients find?"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convbench.models.forward import census
from convbench.models.inputs import Inputs
from convbench.models.reach import Extent, Reach

SIZE = 29


class Last(nn.Module):
    """A model whose output is the last 1x1 convolution of all that came before, so that the field can be read there."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return F.conv2d(y, torch.ones((1, y.shape[1], 1, 1), dtype=y.dtype, device=y.device))


def seen(model: nn.Module, shape: tuple[int, ...], place: tuple[int, int]) -> tuple[list[int], list[int], Tensor]:
    """The rows and columns of x that one output has a gradient to."""
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    y = model(x)
    (slope,) = torch.autograd.grad(y[0, 0, place[0], place[1]], [x])
    hit = slope[0].abs().sum(0) > 0
    return hit.any(1).nonzero().flatten().tolist(), hit.any(0).nonzero().flatten().tolist(), y


def assert_like_the_gradient(model: nn.Module, shape: tuple[int, ...] = (1, 2, SIZE, SIZE + 2)) -> tuple[Extent, ...]:
    """Places at the border and inside: the ends are those of the gradient, or outside where they are bounds."""
    (*_, last) = census(model, Inputs(args=(torch.empty(shape, device="meta"),))).calls
    assert last.field is not None
    _, _, height, width = last.shape.y
    for place in {(p, q) for p in (0, height // 2, height - 1) for q in (0, (width + 1) // 2 % width, width - 1)}:
        rows, columns, _ = seen(model, shape, place)
        for extent, position, found in zip(last.field, place, (rows, columns), strict=True):
            low, high = (end + extent.jump * position for end in (extent.low, extent.high))
            assert all(low <= one <= high for one in found)
            # Of taps on the padding a gradient says nothing, and in a corner all may lie there.
            assert found or place != (height // 2, (width + 1) // 2)
            if found and extent.exact and low >= 0:
                assert min(found) == low
            if found and extent.exact and high < extent.length:
                assert max(found) == high
    return last.field


def ones(c: int, k: int, *kernel: int) -> Tensor:
    return torch.ones((k, c, *kernel), dtype=torch.float64)


def conv(x: Tensor, *kernel: int, **options: Any) -> Tensor:
    w = ones(x.shape[1] // options.get("groups", 1), 2, *kernel).to(x.device)
    return F.conv2d(x, w, **options)


WINDOWS = st.tuples(
    st.sampled_from(["conv", "avg", "bottleneck"]),
    st.integers(1, 3),  # kernel height
    st.integers(1, 4),  # kernel width
    st.integers(1, 2),  # stride
    st.integers(0, 1),  # padding
    st.integers(1, 2),  # dilation
)


@given(st.lists(WINDOWS, min_size=1, max_size=3))
def test_windows_in_a_row_see_what_a_gradient_reaches(windows: list[tuple[str, int, int, int, int, int]]) -> None:
    def body(x: Tensor) -> Tensor:
        for kind, r, s, stride, padding, dilation in windows:
            padding = min(padding, r // 2, s // 2)  # noqa: PLW2901
            if kind == "avg":
                x = F.avg_pool2d(x, (r, s), stride, padding)
            elif kind == "conv":
                x = conv(x, r, s, stride=stride, padding=padding, dilation=dilation)
            else:
                x = x[..., : SIZE // 3, : SIZE // 3] + conv(x, 1, 1)[..., 1 : SIZE // 3 + 1, : SIZE // 3]
        return x

    sizes = [SIZE, SIZE + 2]
    for kind, r, s, stride, _, dilation in windows:
        for axis, kernel in enumerate((r, s)):
            extent = dilation * (kernel - 1) + 1 if kind == "conv" else kernel
            sizes[axis] = SIZE // 3 if kind == "bottleneck" else (sizes[axis] - extent) // stride + 1
        if min(sizes) < SIZE // 3 + 1:
            windows = windows[: windows.index((kind, r, s, stride, _, dilation))]
            break
    assert all(extent.exact for extent in assert_like_the_gradient(Last(body)))


# Bounded by no more than the image.
UNFOLLOWED = {
    "rolled",
    "windows of four",
    "written into a part",
    "written through a view",
    "adaptive pooling that does not",
}


def written_as_a_whole(x: Tensor) -> Tensor:
    buffer = torch.zeros_like(x)
    buffer.view(x.shape).copy_(x)
    return conv(buffer, 3, 3)


def written(x: Tensor) -> Tensor:
    buffer = torch.zeros_like(x)
    buffer[:, :1] = x[:, 1:]
    return conv(buffer, 3, 3)


BODIES: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "a residual of two strides": (lambda x: conv(x, 3, 3, stride=2, padding=1) + conv(x, 1, 1, stride=2), True),
    "branches side by side": (
        lambda x: torch.cat([conv(x, 5, 1, padding=(2, 0)), x, conv(x, 1, 3, padding=(0, 1))], 1),
        True,
    ),
    "parts of the channels": (lambda x: conv(x.chunk(2, 1)[1], 3, 3), True),
    "a global mean": (lambda x: x.mean((2, 3), keepdim=True), True),
    "a mean of rows": (lambda x: x.mean(2, keepdim=True) + 0 * x[:, :, :1], True),
    "a gate": (lambda x: x * F.adaptive_avg_pool2d(x, 1), True),
    "adaptive pooling that divides": (lambda x: F.adaptive_avg_pool2d(x[..., :28, :28], 7), True),
    "adaptive pooling that does not": (lambda x: F.adaptive_avg_pool2d(x, 5), False),
    "linear over channels last": (
        lambda x: F.linear(conv(x, 3, 3).permute(0, 2, 3, 1), torch.ones((3, 2), device=x.device).to(x.dtype)).permute(
            0, 3, 1, 2
        ),
        True,
    ),
    "layer normalization of channels": (
        lambda x: F.layer_norm(
            torch.cat([conv(x, 3, 3)[:, :1], x[:, :1, 1:-1, 1:-1]], 1).permute(0, 2, 3, 1), (2,), eps=1.0
        ).permute(0, 3, 1, 2)[:, :1],
        True,
    ),
    "shuffled channels": (
        lambda x: torch.cat([conv(x, 3, 3)] * 2, 1).view(1, 2, 2, 27, 29).transpose(1, 2).reshape(1, 4, 27, 29),
        True,
    ),
    "shuffled pixels": (lambda x: F.pixel_shuffle(torch.cat([conv(x, 3, 3)] * 2, 1), 2), False),
    "transposed": (lambda x: F.conv_transpose2d(x, ones(2, 2, 3, 3).to(x.device), stride=1, padding=1), True),
    "transposed with a stride": (
        lambda x: F.conv_transpose2d(x, ones(2, 2, 4, 4).to(x.device), stride=2, padding=1),
        False,
    ),
    "nearest neighbours": (lambda x: F.interpolate(conv(x, 3, 3), scale_factor=2), False),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), False),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=3, mode="bicubic"), False),
    "bilinear and smaller": (lambda x: F.interpolate(x, size=(9, 11), mode="bilinear"), False),
    "a window cut out": (lambda x: conv(x, 3, 3)[:, :, 4:20:2, 3:], True),
    "padding of its own": (lambda x: conv(F.pad(x, (3, 1, 2, 0)), 3, 3), True),
    "rolled": (lambda x: conv(x, 3, 3).roll(2, 3), False),
    "windows of four": (
        lambda x: x[..., :28, :28].reshape(1, 2, 7, 4, 7, 4).mean((3, 5)),
        False,
    ),
    "written into a part": (written, False),
    "written through a view": (written_as_a_whole, False),
    "one branch blank": (lambda x: conv(x, 3, 3, padding=1) + torch.zeros_like(x), True),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_way_to_move_numbers_keeps_the_field_or_bounds_it(name: str) -> None:
    body, exact = BODIES[name]
    field = assert_like_the_gradient(Last(body))
    assert all(extent.exact for extent in field) == exact
    if name not in UNFOLLOWED:
        assert not all(extent.size == extent.length and not extent.exact for extent in field)


def test_attention_sees_the_whole_image() -> None:
    attention = nn.MultiheadAttention(2, 1, batch_first=True).double().eval()

    def body(x: Tensor) -> Tensor:
        words = x.flatten(2).transpose(1, 2)
        on = (
            attention.to(x.device)
            if x.device.type == "cpu"
            else nn.MultiheadAttention(2, 1, batch_first=True, device="meta")
        )
        found: Tensor = on(words, words, words)[0]
        return found.transpose(1, 2).reshape(x.shape)

    (*_, last) = census(Last(body), Inputs(args=(torch.empty((1, 2, 6, 5), device="meta"),))).calls
    assert last.field is not None
    assert all(extent.whole for extent in last.field)


def test_known_networks_have_the_fields_that_are_published() -> None:
    """Araujo, Norris and Sim 2019, table of architectures; torchvision's resnet50 has its strides in the 3x3."""
    from convbench.models.load import find_model

    for name, convolution, size in (
        ("vgg16", "features.28", 196),
        ("alexnet", "features.10", 163),
        ("resnet18", "layer4.1.conv2", 435),
        ("resnet50", "layer4.2.conv3", 427),
        ("mobilenet_v2", "features.18.0", 491),
    ):
        calls = census(
            find_model(name).build("meta"), Inputs(args=(torch.empty((1, 3, 224, 224), device="meta"),))
        ).calls
        (call,) = (one for one in calls if one.name == convolution)
        assert call.field is not None
        assert [(extent.size, extent.exact) for extent in call.field] == [(size, True)] * 2


def test_the_parts_of_a_dimension_are_dealt_out_again_after_a_product() -> None:
    image = Reach.of_input((2, 3, 5, 7))
    rows = image.permute([0, 2, 3, 1]).regroup((2 * 5 * 7, 3))
    assert [factor.axis for factor in rows.dims[0]] == [None, 0, 1]
    back = rows.matmul(None, (70, 8)).regroup((2, 5, 7, 8)).permute([0, 3, 1, 2])
    assert back.shape == (2, 8, 5, 7)
    assert back.extents == image.extents
    assert [[factor.axis for factor in dim] for dim in back.dims] == [[None], [None], [0], [1]]


def test_an_axis_that_is_cut_is_bounded_by_the_whole_and_the_other_goes_on() -> None:
    image = Reach.of_input((1, 3, 8, 7)).regroup((1, 3, 2, 4, 7))
    assert (image.extents[0].whole, image.extents[0].exact) == (True, False)
    assert image.extents[1] == Extent(length=7)
    assert image.shape == (1, 3, 2, 4, 7)


def test_the_ends_of_a_union_are_exact_only_where_an_exact_one_attains_them() -> None:
    narrow = Extent(length=9, low=Fraction(-1), high=Fraction(1), exact=False)
    wide = Extent(length=9, low=Fraction(-2), high=Fraction(1))
    assert narrow.join(wide) == wide
    assert wide.join(narrow) == wide
    beside = Extent(length=9, low=Fraction(-3), high=Fraction(0), exact=False)
    assert beside.join(wide) == Extent(length=9, low=Fraction(-3), high=Fraction(1), exact=False)
