"""How do the pictures of steps become one PNG, or a GIF in which the kernel slides and numbers build up?"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from convbench.explain.steps import Walk
from convbench.show.scene import ink_of
from convbench.show.stage import at_rest, stage, timeline
from convbench.show.steps import View

if TYPE_CHECKING:
    from PIL.Image import Image

SCALE = 2.0  # pixels a point: crisp on a projector and on a screen of twice the density
SHADES = 9  # from a ground to its ink, at the edges of letters


def png(walk: Walk, steps: Sequence[str], view: View) -> bytes:
    """Each step at its end: one as a slide, more in two columns.

    Raises:
        ConvbenchError: a step's numbers would be too small to read.
    """
    stills = [stage(walk, step, at_rest(walk), view, "--png").image(SCALE, smooth=False) for step in steps]
    file = BytesIO()
    _tiled(stills).save(file, format="PNG", optimize=True)
    return file.getvalue()


def gif(walk: Walk, steps: Sequence[str], view: View) -> bytes:
    """The steps one after the other, over and over. There is no date in it: the same walk gives the same file.

    Raises:
        ConvbenchError: a step's numbers would be too small to read.
    """
    from PIL.Image import Dither

    moments = [(step, moment, seconds) for step in steps for moment, seconds in timeline(walk, step)]
    palette = _palette()

    def frames() -> Iterator["Image"]:
        for step, moment, _ in moments:
            drawn = stage(walk, step, moment, view, "--gif").image(SCALE, smooth=False)
            yield drawn.quantize(palette=palette, dither=Dither.NONE)

    file = BytesIO()
    pictures = frames()
    next(pictures).save(
        file,
        format="GIF",
        save_all=True,
        append_images=pictures,
        duration=[round(100 * seconds) * 10 for _, _, seconds in moments],  # a GIF counts hundredths
        loop=0,
    )
    return file.getvalue()


def _palette() -> "Image":
    """Every ink on every ground on which it is written, so that a flat colour is itself in a GIF, too."""
    from PIL import Image, ImageColor

    roles = ("patch", "kernel", "output")
    pairs = [("line", "line"), ("quiet", "paper"), ("ink", "paper"), ("ink", "cell")]
    pairs += [pair for role in roles for pair in ((role, f"{role}-ground"), (role, "paper"))]
    shades = {
        tuple(round(ends[1] + (ends[0] - ends[1]) * step / (SHADES - 1)) for ends in zip(ink, ground, strict=True))
        for ink, ground in (map(ImageColor.getrgb, map(ink_of, pair)) for pair in pairs)
        for step in range(SHADES)
    }
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for shade in sorted(shades) for level in shade])
    return palette


def _tiled(pictures: Sequence["Image"]) -> "Image":
    """One as it is, more in two columns."""
    from PIL import Image

    if len(pictures) == 1:
        return pictures[0]
    width, height = pictures[0].size
    whole = Image.new("RGB", (2 * width, (len(pictures) + 1) // 2 * height), "white")
    for i, picture in enumerate(pictures):
        whole.paste(picture, (i % 2 * width, i // 2 * height))
    return whole
