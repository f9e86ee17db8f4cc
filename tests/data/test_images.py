"""Files that are images, and files that only claim to be."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convbench.data.images import FORMATS, open_image, open_rgb
from convbench.errors import ConvbenchError

from .files import write_image


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises that many pixels, and holds none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    first = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + first + struct.pack(">I", 1000) + b"IDAT"


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tiff"])
def test_every_allowed_format_is_read(tmp_path: Path, suffix: str) -> None:
    image = open_image(write_image(tmp_path / f"a.{suffix}"))
    assert image.size == (20, 16)
    assert image.mode == "RGB"
    assert len(FORMATS) == 6


def test_a_gray_file_stays_gray_and_a_folder_wants_colour(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", mode="L")
    assert open_image(path).mode == "L"
    assert open_rgb(path).mode == "RGB"


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    pixels = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.asarray(open_image(tmp_path / "a.png")).tolist() == [[0, 100, 255]]


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(ConvbenchError, match="mode F"):
        open_image(tmp_path / "a.tiff")


def test_transparent_pixels_lie_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 3), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").getpixel((1, 1)) == (255, 255, 255)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    image.save(tmp_path / "a.jpg", exif=exif)
    assert open_image(tmp_path / "a.jpg").size == (10, 20)


@pytest.mark.parametrize("size", [(10_000, 9_000), (60_000, 60_000)])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    with pytest.raises(ConvbenchError, match="too large"):
        open_image(path)


def test_the_limit_holds_even_where_pillow_was_told_to_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(10_000, 9_000))
    with pytest.raises(ConvbenchError, match="too large: 10000x9000"):
        open_image(path)


@pytest.mark.parametrize("keep", [0, 1, 8, 40, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tiff"])
def test_a_truncated_file_is_one_line(tmp_path: Path, suffix: str, keep: float) -> None:
    path = write_image(tmp_path / f"a.{suffix}", (200, 150))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(ConvbenchError, match=r"not a readable image|too large"):
        open_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.4", b"P6 1 1 255 abc", b"\x89PNG\r\n\x1a\n" + b"\0" * 64])
def test_what_is_no_allowed_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ConvbenchError, match="PNG, JPEG"):
        open_image(path)


def test_a_missing_file_and_a_directory_are_told_apart_from_broken_ones(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.png"):
        with pytest.raises(ConvbenchError, match="no image file"):
            open_image(path)


def test_sixteen_bits_in_either_byte_order_are_scaled(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 12).reshape(3, 4).round().astype(np.uint16)
    little = tmp_path / "little.tif"
    Image.fromarray(ramp).save(little)
    big = tmp_path / "big.tif"
    # A TIFF of one strip by hand: Pillow writes none with the high byte first.
    tags = [(256, 4), (257, 3), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, 3), (279, 24)]
    entries = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    header = b"MM\x00*" + struct.pack(">I", 8) + struct.pack(">H", len(tags)) + entries + struct.pack(">I", 0)
    assert len(header) == 122
    big.write_bytes(header + ramp.astype(">u2").tobytes())
    expected = (ramp / 257).round().astype(np.uint8)
    for path in (little, big):
        assert np.array_equal(np.asarray(open_image(path)), expected)


def signed_tiff(path: Path, pixels: np.ndarray) -> Path:
    """A TIFF of one signed 16-bit number per pixel: Pillow reads such files, and writes none."""
    data = pixels.astype("<i2").tobytes()
    high, wide = pixels.shape
    tags = [
        (256, 3, 1, wide), (257, 3, 1, high), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
        (277, 3, 1, 1), (278, 3, 1, high), (279, 4, 1, len(data)), (339, 3, 1, 2),
    ]  # fmt: skip
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    return path


def test_signed_sixteen_bits_have_black_at_0_or_at_the_end_of_the_range(tmp_path: Path) -> None:
    bright = signed_tiff(tmp_path / "a.tif", np.array([[0, 32767], [16384, 3277]]))
    assert np.asarray(open_image(bright)).tolist() == [[0, 255], [128, 26]]
    both = signed_tiff(tmp_path / "b.tif", np.array([[-32768, 32767], [0, -16384]]))
    assert np.asarray(open_image(both)).tolist() == [[0, 255], [128, 64]]
