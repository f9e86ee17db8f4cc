"""What do the filters see? One picture: input images, kernels, and each filter's response."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from convbench.outcome import Verified, Wrong
from convbench.show.units import share

if TYPE_CHECKING:
    from convbench.run import Run

Array = NDArray[np.floating]
Draw = ImageDraw.ImageDraw

MOST_IMAGES, MOST_MAPS = 6, 8
WIDTH, HEIGHT, LEAST_WIDTH = 1800, 1800, 1480  # of the grid; the margins come on top
MARGIN, GAP, BLOCK_GAP, CAPTION = 60, 16, 44, 38
TILE, TILE_HEAD, TILE_FOOT = 96, 34, 40

PAPER, INK, QUIET, LINE = "#fbfaf7", "#1f2933", "#6b7580", "#d5d9dd"
# ColorBrewer's RdBu, blue first: readable for the colour-blind too (Harrower and Brewer 2003).
_DIVERGING = np.array(
    [
        (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
        (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
    ],
    dtype=np.float32,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureGrid:
    """The layout of the cells: bands of columns below each other, or blocks of images side by side.

    Attributes:
        bands: how many rows of columns the columns are broken into.
        blocks: how many images stand side by side, each with all of its columns.
        cell: (width, height) in pixels.
    """

    columns: int
    images: int
    bands: int
    blocks: int
    cell: tuple[int, int]

    @property
    def per_band(self) -> int:
        return ceil(self.columns / self.bands)

    @property
    def rows(self) -> int:
        """Rows of images in a band."""
        return ceil(self.images / self.blocks)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        across = self.per_band * self.blocks
        width = across * (self.cell[0] + GAP) - GAP + (self.blocks - 1) * (BLOCK_GAP - GAP)
        return width, self.bands * self.band_height

    @property
    def band_height(self) -> int:
        return TILE_HEAD + TILE + TILE_FOOT + self.rows * (self.cell[1] + CAPTION) + GAP

    def place(self, image: int, column: int) -> tuple[int, int]:
        """The upper left corner of a cell, from the grid's own."""
        row, block = divmod(image, self.blocks)
        _, top = self.head(block, column)
        return self.head(block, column)[0], top + TILE_HEAD + TILE + TILE_FOOT + row * (self.cell[1] + CAPTION)

    def head(self, block: int, column: int) -> tuple[int, int]:
        """The upper left corner of the heading above a column of a block."""
        band, place = divmod(column, self.per_band)
        block_width = self.per_band * (self.cell[0] + GAP) - GAP + BLOCK_GAP
        return block * block_width + place * (self.cell[0] + GAP), band * self.band_height


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterColumn:
    """One filter and its responses, as they are shown.

    Attributes:
        kernel: (C/G, R, S).
        responses: (P, Q) for each image, no larger than a cell.
        limit: the response that has full colour.
        signed: whether any response is negative.
    """

    name: str
    kernel: Array
    responses: tuple[Array, ...]
    limit: float
    signed: bool

    @property
    def scale(self) -> str:
        return f"±{self.limit:.2g}" if self.signed else f"0 to {self.limit:.2g}"

    def picture(self, n: int) -> Image.Image:
        share_of_limit = self.responses[n] / self.limit
        return diverging(share_of_limit) if self.signed else gray_or_rgb(share_of_limit[None])


def draw(done: "Run") -> Image.Image:
    """Up to 6 images and 8 feature maps of a run that has them."""
    assert done.x is not None
    assert done.y is not None
    images: Array = done.x[:MOST_IMAGES].detach().float().cpu().numpy()
    maps: Array = done.y[:MOST_IMAGES, :MOST_MAPS].detach().float().cpu().numpy()
    maps = np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)  # a wrong backend's picture is drawn too
    kernels: Array = done.filters.w[:MOST_MAPS].detach().float().cpu().numpy()
    grid = arrange(len(images), 1 + maps.shape[1], images.shape[2] / images.shape[3])
    columns = [
        make_column(name, kernel, [strongest(one, grid.cell) for one in maps[:, k]])
        for k, (name, kernel) in enumerate(zip(done.filters.names[:MOST_MAPS], kernels, strict=True))
    ]

    title, subtitles = headings(done)
    heading = 86 + 34 * len(subtitles)
    canvas = Image.new("RGB", (max(grid.size[0], 1000) + 2 * MARGIN, heading + grid.size[1] + 50 + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(canvas)
    room = canvas.width - 2 * MARGIN
    _write(pen, (MARGIN, MARGIN - 10), title, 44, INK, room)
    for line, words in enumerate(subtitles):
        _write(pen, (MARGIN, MARGIN + 54 + 34 * line), words, 24, QUIET, room)
    corner = (MARGIN, MARGIN + heading)
    for block in range(grid.blocks):
        _head_input(pen, _at(corner, grid.head(block, 0)), grid.cell[0], images.shape)
        for number, column in enumerate(columns, start=1):
            _head_filter(canvas, _at(corner, grid.head(block, number)), grid.cell[0], column)
    for n, image in enumerate(images):
        x, y = _at(corner, grid.place(n, 0))
        _cell(canvas, (x, y), grid.cell, gray_or_rgb(image))
        _write(pen, (x, y + grid.cell[1] + 4), done.labels[n], 17, QUIET, grid.cell[0])
        for number, column in enumerate(columns, start=1):
            _cell(canvas, _at(corner, grid.place(n, number)), grid.cell, column.picture(n))
    _legend(canvas, (MARGIN, canvas.height - MARGIN - 24), signed=any(column.signed for column in columns))
    return canvas


def make_column(name: str, kernel: Array, responses: Sequence[Array]) -> FilterColumn:
    """A column with its limit: for signed responses all but the strongest 0.5 % are below it.

    The zeros around an image make a few responses at its border far larger than the rest.
    """
    strength = np.abs(np.concatenate([response.ravel() for response in responses]))
    most = float(strength.max())
    signed = any(bool(response.min() < -1e-6 * most) for response in responses)
    limit = max(float(np.quantile(strength, 0.995)), most / 8) if signed else max(most, 1.0)
    return FilterColumn(name=name, kernel=kernel, responses=tuple(responses), limit=limit, signed=signed)


def png(picture: Image.Image) -> bytes:
    """The picture as a file holds it."""
    file = BytesIO()
    picture.save(file, format="PNG")
    return file.getvalue()


def arrange(images: int, columns: int, aspect: float) -> PictureGrid:
    """The grid with the largest cells that still fills the width; `aspect` is height over width."""
    aspect = min(max(aspect, 0.25), 4.0)

    def grid(bands: int, blocks: int) -> PictureGrid:
        across, rows = ceil(columns / bands) * blocks, ceil(images / blocks)
        width = (WIDTH - (blocks - 1) * (BLOCK_GAP - GAP)) / across - GAP
        height = (HEIGHT / bands - TILE_HEAD - TILE - TILE_FOOT - GAP) / rows - CAPTION
        width = max(min(width, height / aspect, 760), 24)
        cell = (int(width), max(int(width * aspect), 16))
        return PictureGrid(columns=columns, images=images, bands=bands, blocks=blocks, cell=cell)

    choices = [grid(bands, 1) for bands in range(1, columns + 1)] + [grid(1, blocks) for blocks in range(2, images + 1)]
    return max(choices, key=lambda one: (one.size[0] >= LEAST_WIDTH, one.cell[0]))


def headings(done: "Run") -> tuple[str, list[str]]:
    """The title, and the lines under it."""
    spec, case = done.case.spec, done.case
    match done.outcome:
        case Verified(check):
            proof = (
                f"verified: largest error {share(check.worst_of_bound)} of its bound"
                if check.worst_of_bound
                else "verified: exact"
            )
        case Wrong():
            proof = "WRONG: outside its bound"
        case _:
            proof = ""
    shown = [
        f"{min(count, most)} of {count} {what}"
        for count, most, what in ((spec.n, MOST_IMAGES, "images"), (spec.k, MOST_MAPS, "filters"))
        if count > most
    ]
    sizes = f"x N{spec.n} C{spec.c} H{spec.h} W{spec.w} to y N{spec.n} K{spec.k} P{spec.p} Q{spec.q}" + (
        f" (shown: {', '.join(shown)})" if shown else ""
    )
    facts = " · ".join(word for word in (done.backend, f"{case.dtype} on {case.device}", proof, str(spec)) if word)
    kind, _, place = done.plan.data.partition(":")
    images = Path(place).name or {"fake": "random images", "shapes": "generated shapes"}.get(kind, kind)
    return f"Feature maps of {images}, filters: {done.filters.origin}", [sizes, facts]


def diverging(values: Array) -> Image.Image:
    """(H, W) in [-1, 1] as blue, white, red."""
    place = (values.clip(-1, 1) + 1) / 2 * (len(_DIVERGING) - 1)
    stops = np.arange(len(_DIVERGING))
    channels = [np.interp(place, stops, _DIVERGING[:, channel]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8), "RGB")


def gray_or_rgb(values: Array) -> Image.Image:
    """(1, H, W) or (3, H, W) in [0, 1]."""
    pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).convert("RGB")


def fit(image: Image.Image, room: tuple[int, int]) -> Image.Image:
    """As large as the room allows: crisp pixels when enlarged, averaged when reduced."""
    factor = min(room[0] / image.width, room[1] / image.height)
    target = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    if factor > 1:  # whole times too large, then down: every pixel comes out equally wide
        times = ceil(factor)
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    return image.resize(target, Image.Resampling.BOX)


def strongest(response: Array, cell: tuple[int, int]) -> Array:
    """(P, Q) reduced to the cell by the strongest response under each pixel: an average would lose thin edges."""
    for axis, most in ((0, cell[1]), (1, cell[0])):
        size = response.shape[axis]
        if size > most:
            starts = np.arange(most) * size // most
            high = np.maximum.reduceat(response, starts, axis=axis)
            low = np.minimum.reduceat(response, starts, axis=axis)
            response = np.where(high >= -low, high, low)
    return response


def _at(corner: tuple[int, int], place: tuple[int, int]) -> tuple[int, int]:
    return corner[0] + place[0], corner[1] + place[1]


def _cell(canvas: Image.Image, corner: tuple[int, int], size: tuple[int, int], image: Image.Image) -> None:
    shown = fit(image, size)
    left, top = _at(corner, ((size[0] - shown.width) // 2, (size[1] - shown.height) // 2))
    canvas.paste(shown, (left, top))
    ImageDraw.Draw(canvas).rectangle((left - 1, top - 1, left + shown.width, top + shown.height), outline=LINE)


def _head_input(pen: Draw, corner: tuple[int, int], width: int, shape: tuple[int, ...]) -> None:
    _, c, h, w = shape
    x, y = corner[0] + width // 2, corner[1]
    _write(pen, (x, y), "input", 22, INK, width, anchor="ma")
    kind = {1: "grey", 3: "RGB"}.get(c, f"{c} channels")
    for line, words in enumerate((f"{h} x {w}", kind, "0 to 1")):
        _write(pen, (x, y + TILE_HEAD + 22 + 26 * line), words, 18, QUIET, width, anchor="ma")


def _head_filter(canvas: Image.Image, corner: tuple[int, int], width: int, column: FilterColumn) -> None:
    pen = ImageDraw.Draw(canvas)
    x, y = corner[0] + width // 2, corner[1]
    _write(pen, (x, y), column.name, 22, INK, width, anchor="ma")
    tile = kernel_tile(column.kernel, min(TILE, width))
    left, top = x - tile.width // 2, y + TILE_HEAD + (TILE - tile.height) // 2
    canvas.paste(tile, (left, top))
    pen.rectangle((left - 1, top - 1, left + tile.width, top + tile.height), outline=QUIET)
    _write(pen, (x, y + TILE_HEAD + TILE + 8), column.scale, 17, QUIET, width, anchor="ma")


def kernel_tile(kernel: Array, side: int) -> Image.Image:
    """(C/G, R, S): one colour a tap, with its number where there is room; RGB where the channels differ."""
    same = all(np.array_equal(channel, kernel[0]) for channel in kernel)
    if len(kernel) == 3 and not same:
        return fit(gray_or_rgb(0.5 + 0.5 * kernel / (np.abs(kernel).max() or 1)), (side, side))
    # What it does to a grey image: the sum over the channels.
    taps = kernel.sum(axis=0) if same else kernel.mean(axis=0)
    tile = fit(diverging(taps / (np.abs(taps).max() or 1)), (side, side))
    height, width = taps.shape
    if max(height, width) > 3 or tile.width < 28 * width:
        return tile
    pen = ImageDraw.Draw(tile)
    for (r, s), value in np.ndenumerate(taps):
        text = f"{value:.0f}" if np.allclose(taps, taps.round(), atol=1e-5) else f"{value:.1f}"
        middle = ((s + 0.5) * tile.width / width, (r + 0.5) * tile.height / height)
        dark = abs(value) > 0.6 * np.abs(taps).max()
        _write(pen, middle, text.replace("-0.0", "0.0"), 15, "white" if dark else INK, tile.width, anchor="mm")
    return tile


def _legend(canvas: Image.Image, corner: tuple[int, int], *, signed: bool) -> None:
    pen = ImageDraw.Draw(canvas)
    x, y = corner
    if signed:
        bar = diverging(np.linspace(-1, 1, 260, dtype=np.float32)[None].repeat(18, axis=0))
        canvas.paste(bar, (x, y + 3))
        pen.rectangle((x - 1, y + 2, x + bar.width, y + 3 + bar.height), outline=LINE)
        x += bar.width + 22
        words = "blue negative, white zero, red positive; saturates at ± the value above each column"
    else:
        words = "no response is negative: black is 0, white the value above each column"
    _write(pen, (x, y), words, 19, QUIET, canvas.width - MARGIN - x)


def _write(
    pen: Draw, place: tuple[float, float], text: str, size: int, fill: str, room: float, *, anchor: str = "la"
) -> None:
    """One line, cut with an ellipsis where the room ends."""
    font = ImageFont.load_default(size=size)
    words = " ".join(text.split())[:300]
    while words and pen.textlength(words, font) > room:
        words = words.removesuffix("…")[:-1].rstrip() + "…" if len(words) > 4 else ""
    pen.text(place, words, fill, font, anchor=anchor)
