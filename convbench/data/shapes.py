"""What can be convolved where no data set is at hand? Drawn shapes, the same ones for the same seed."""

from math import cos, pi, sin
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch.utils.data import Dataset

from convbench.spec import Pair

CLASSES = ("circle", "square", "triangle", "cross", "ring", "star", "hexagon", "crescent")
# Drawn four times larger, then averaged, which makes smooth edges; large images less, they need no more.
_FINER, _LARGEST = 4, 4096


class Shapes(Dataset[tuple[Any, int]]):
    """One bright shape on a darker ground in each image; place, size, angle and both greys vary.

    Image i shows class i mod 8 and follows from (seed, i) alone. Like torchvision's data sets
    it gives (image, class), the image in grey through `transform`.
    """

    classes = CLASSES

    def __init__(self, *, size: int = 1024, image_size: Pair = (64, 64), seed: int = 0, transform: Any = None) -> None:
        self.size = size
        self.image_size = image_size
        self.seed = seed
        self.transform = transform

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if not 0 <= index < self.size:
            raise IndexError(f"shape {index} of {self.size}")
        image = self._draw(index)
        return (image if self.transform is None else self.transform(image)), index % len(CLASSES)

    def _draw(self, index: int) -> Image.Image:
        random = np.random.default_rng([self.seed, index])
        finer = min(_FINER, max(1, _LARGEST // max(self.image_size)))
        height, width = (finer * side for side in self.image_size)
        radius = min(height, width) * random.uniform(0.24, 0.40)
        x, y = (random.uniform(1.05 * radius, max(side - 1.05 * radius, 1.06 * radius)) for side in (width, height))
        angle = random.uniform(0, 2 * pi)
        ground, ink = int(random.uniform(10, 60)), int(random.uniform(140, 255))
        image = Image.new("L", (width, height), ground)
        _draw_shape(ImageDraw.Draw(image), CLASSES[index % len(CLASSES)], (x, y), radius, angle, ink=ink, ground=ground)
        return image.reduce(finer)


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    centre: tuple[float, float],
    radius: float,
    angle: float,
    *,
    ink: int,
    ground: int,
) -> None:
    def corners(*polar: tuple[float, float]) -> list[tuple[float, float]]:
        """Points at (share of the radius, turn from the angle)."""
        return [
            (centre[0] + share * radius * cos(angle + turn), centre[1] + share * radius * sin(angle + turn))
            for share, turn in polar
        ]

    def regular(count: int) -> list[tuple[float, float]]:
        return corners(*((1, 2 * pi * i / count) for i in range(count)))

    match shape:
        case "circle":
            draw.circle(centre, radius, fill=ink)
        case "square":
            draw.polygon(regular(4), fill=ink)
        case "triangle":
            draw.polygon(regular(3), fill=ink)
        case "hexagon":
            draw.polygon(regular(6), fill=ink)
        case "cross":
            for turn in (0, pi / 2):
                draw.line(corners((1, turn), (1, turn + pi)), fill=ink, width=round(0.55 * radius))
        case "ring":
            draw.circle(centre, radius, fill=ink)
            draw.circle(centre, 0.55 * radius, fill=ground)
        case "star":
            draw.polygon(corners(*((1 if i % 2 == 0 else 0.42, pi * i / 5) for i in range(10))), fill=ink)
        case "crescent":
            draw.circle(centre, radius, fill=ink)
            draw.circle(corners((0.55, 0))[0], 0.8 * radius, fill=ground)
