"""The picture of feature maps: its places, its colours, its file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convbench.data.filters import make_filters
from convbench.discovery import discover
from convbench.run import Plan, Run, run
from convbench.show import picture
from convbench.show.picture import (
    arrange,
    diverging,
    draw,
    fit,
    headings,
    kernel_tile,
    make_column,
    strongest,
)


def made(**settings: object) -> Run:
    return run(Plan(**settings), discover((), ["torch"])[0][0])  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", range(2, 10))
@pytest.mark.parametrize("images", range(1, 7))
@pytest.mark.parametrize("aspect", [0.01, 0.6, 1.0, 100.0])
def test_every_grid_keeps_its_cells_apart_and_inside(images: int, columns: int, aspect: float) -> None:
    grid = arrange(images, columns, aspect)
    width, height = grid.size
    assert width <= picture.WIDTH
    assert height <= picture.HEIGHT + picture.GAP * grid.bands
    corners = [grid.place(n, column) for n in range(images) for column in range(columns)]
    assert len(set(corners)) == len(corners)
    for x, y in corners:
        assert 0 <= x <= width - grid.cell[0]
        assert 0 <= y <= height - grid.cell[1]
    for (x, y), (other_x, other_y) in pairwise(corners):
        assert abs(x - other_x) >= grid.cell[0] or abs(y - other_y) >= grid.cell[1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"filters": "identity"},
        {"filters": "blur", "batch_size": 1},
        {"data": "fake", "filters": "random", "batch_size": 2},
        {"batch_size": 1, "image_size": (700, 90), "stride": (3, 2)},
        {"batch_size": 1, "filters": "identity", "image_size": (1, 1)},
        {"batch_size": 3, "image_size": (2, 300)},
    ],
)
def test_every_kind_of_run_becomes_a_picture_of_a_good_width(settings: dict[str, object]) -> None:
    image = draw(made(**settings))
    assert image.mode == "RGB"
    assert 1100 <= image.width <= 2000
    assert image.height <= 2200


def cells(done: Run, image: Image.Image) -> dict[tuple[int, int], np.ndarray]:
    assert done.x is not None
    assert done.y is not None
    grid = arrange(min(done.x.shape[0], 6), 1 + min(done.y.shape[1], 8), done.x.shape[2] / done.x.shape[3])
    left, top = picture.MARGIN, picture.MARGIN + 86 + 34 * 2
    pixels = np.asarray(image)
    found = {}
    for n in range(grid.images):
        for column in range(grid.columns):
            x, y = grid.place(n, column)
            found[n, column] = pixels[top + y : top + y + grid.cell[1], left + x : left + x + grid.cell[0]]
    return found


def test_every_filter_shows_something_else() -> None:
    done = made()
    found = cells(done, draw(done))
    for n in range(6):
        for column in range(9):
            for other in range(column + 1, 9):
                assert not np.array_equal(found[n, column], found[n, other]), (n, column, other)


def test_identity_shows_the_input_twice() -> None:
    done = made(filters="identity")
    found = cells(done, draw(done))
    for n in range(6):
        assert np.array_equal(found[n, 0], found[n, 1])


def test_zero_is_white_negative_blue_and_positive_red() -> None:
    colours = np.asarray(diverging(np.array([[-1.0, -0.5, 0.0, 0.5, 1.0, 9.0]]))).astype(int)[0]
    assert colours[2].tolist() == [247, 247, 247]
    assert colours[0][2] > colours[0][0]
    assert colours[1][2] > colours[1][0]
    assert colours[3][0] > colours[3][2]
    assert colours[4].tolist() == colours[5].tolist()


def test_small_images_are_enlarged_crisp_and_large_ones_reduced() -> None:
    checks = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8))
    large = np.asarray(fit(checks, (100, 100)))
    assert large.shape == (100, 100)
    assert set(np.unique(large)) == {0, 255}
    assert fit(Image.new("RGB", (1000, 10)), (50, 50)).size == (50, 1)


def test_a_thin_edge_survives_reduction_with_its_sign() -> None:
    response = np.zeros((1000, 900))
    response[500] = -3
    response[:, 300] = 2
    small = strongest(response, (90, 100))
    assert small.shape == (100, 90)
    assert small.min() == -3
    assert small.max() == 2


def test_one_wild_response_does_not_fade_the_rest() -> None:
    responses = np.full((100, 100), 0.5)
    responses[0, 0] = -3.0
    column = make_column("a", np.ones((1, 3, 3)), [responses])
    assert (column.limit, column.scale) == (0.5, "±0.5")
    assert make_column("a", np.ones((1, 3, 3)), [np.full((3, 3), 0.2)]).scale == "0 to 1"
    assert make_column("a", np.ones((1, 3, 3)), [np.zeros((3, 3))]).signed is False


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 3, 3), (3, 3, 3), (2, 5, 5), (1, 1, 9), (64, 7, 7)])
def test_every_kernel_becomes_a_tile(shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape)
    tile = kernel_tile(kernel, 96)
    assert max(tile.size) == 96
    assert max(kernel_tile(np.zeros(shape), 96).size) == 96


def test_sobel_on_colour_looks_like_sobel_on_gray() -> None:
    tiles = [kernel_tile(make_filters("edges", channels).w[0].numpy(), 96) for channels in (1, 3)]
    assert np.array_equal(np.asarray(tiles[0]), np.asarray(tiles[1]))


def test_headings_say_sizes_backend_dtype_and_verdict() -> None:
    title, lines = headings(made(batch_size=20, dtype="bf16"))
    text = " ".join([title, *lines])
    for words in (
        "shapes",
        "edges",
        "N20 C1 H64 W64 to y N20 K8 P64 Q64",
        "6 of 20 images",
        "torch",
        "bf16",
        "verified",
    ):
        assert words in text


def test_a_long_name_is_cut_and_a_bad_number_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 50 + ".pt")
    torch.save({"layer" * 100 + ".weight": torch.randn(9, 1, 3, 3)}, path)
    done = made(weights=path)
    assert done.y is not None
    done.y[0, 0] = float("nan")
    done.y[0, 1] = float("inf")
    assert draw(done).width <= 2000
