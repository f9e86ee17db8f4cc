"""Is this file an image that may be decoded, and what does it show?"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from convbench.errors import ConvbenchError
from convbench.files import check

# A short list: every further decoder is code that a hostile file can reach.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Pillow's own limit (a quarter of a GiB at three bytes a pixel), where it only warns.
MAX_PIXELS = 89_478_485
_BITS, _SAMPLE_FORMAT, _SIGNED = 258, 339, 2  # tags of TIFF 6.0, and a value
MAX_NBYTES = 2**30  # of a file: those pixels stored plainly, with four bytes each, are a third of it


def is_image_name(path: str | Path) -> bool:
    """Whether a file is named like an image of an allowed format."""
    return Path(path).suffix.lower() in SUFFIXES


def open_image(path: str | Path) -> Image.Image:
    """Decode one file, upright, as mode L (grey) or RGB; transparent pixels become white.

    Raises:
        ConvbenchError: no such file, not one of FORMATS, more than MAX_PIXELS, truncated, or
            pixels without a known range.
    """
    try:
        check(path, MAX_NBYTES)  # a pipe would hang the reader
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:  # reads the header only
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(path, f"{image.width}x{image.height} pixels")
                image.load()
                grey = _from_signed(image) if image.mode == "I" and _is_signed(image) else image
                return _gray_or_rgb(path, ImageOps.exif_transpose(grey))
    except ConvbenchError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path, str(error).partition(",")[0]) from None
    except (FileNotFoundError, IsADirectoryError):
        raise ConvbenchError(
            f"no image file at {path}; use image:PATH for a file and folder:PATH for a directory"
        ) from None
    except Exception as error:  # a broken file makes a decoder raise whatever it likes
        raise ConvbenchError(
            f"{path} is not a readable image: {type(error).__name__}: {error}; allowed are {', '.join(FORMATS)}"
        ) from None


def frames(path: str | Path) -> int:
    """How many images a file holds: frames of an animation, pages. 1 where that is not known, and for no image."""
    if Path(path).suffix.lower() not in (".gif", ".webp", ".png", ".tif", ".tiff"):
        return 1
    try:
        check(path, MAX_NBYTES)
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # `open_image` says what is wrong with it
        return 1


def open_rgb(path: str | Path) -> Image.Image:
    """`open_image`, always in colour, so the images of a folder go into one batch."""
    return open_image(path).convert("RGB")


def _gray_or_rgb(path: str | Path, image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise ConvbenchError(
            f"{path} has pixels of mode {image.mode}, whose white level is unknown; save it with 8 or 16 bits per "
            f"channel"
        )
    if image.mode.startswith("I;16"):  # convert() would clip, not scale
        return Image.fromarray((np.asarray(image, dtype=np.float64) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert(
            "L" if image.mode in ("L", "LA", "La", "1") else "RGB"
        )
    return image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")


def _is_signed(image: Image.Image) -> bool:
    """Whether it is a TIFF of one signed 16-bit number per pixel."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_BITS) == (16,) and tags.get(_SAMPLE_FORMAT) == (_SIGNED,))


def _from_signed(image: Image.Image) -> Image.Image:
    """Black is 0 and white 32,767; with negative numbers they are the ends of the whole range."""
    pixels = np.asarray(image, dtype=np.float64)
    low, high = (-(2**15) if pixels.min() < 0 else 0), 2**15 - 1
    return Image.fromarray(((pixels - low) * (255 / (high - low))).round().astype(np.uint8))


def _too_large(path: str | Path, found: str) -> ConvbenchError:
    return ConvbenchError(f"{path} is too large: {found}; the limit is {MAX_PIXELS:,} pixels; scale it down")
