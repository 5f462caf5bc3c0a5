"""Read image files as upright 8-bit arrays, and explain why a file cannot be read."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".tga", ".avif"),
)

# What Pillow raises for damaged files without a message of its own.
_DAMAGED = (TypeError, LookupError, ArithmeticError, struct.error)
# What Pillow raises for files that are not what they seem.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, Image.DecompressionBombError, *_DAMAGED)

ORIENTATION = 0x0112  # EXIF's tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PAGED = ("TIFF", "WEBP", "GIF", "PNG")  # a phone's JPEG may hold further images, which are not pages


def pixels(path: str | Path) -> np.ndarray:
    """Return an image, its first page where it has several, as uint8 (H, W) or RGB (H, W, 3).

    It is rotated upright according to its EXIF data. 16 bits are scaled to 8, palettes and CMYK become RGB, an alpha
    channel is dropped.

    Raises:
        One of BROKEN: it cannot be read.
    """
    with Image.open(path) as image:
        return _pixels(image)


def pages(path: str | Path, numbers: Sequence[int]) -> Iterator[tuple[np.ndarray | None, str]]:
    """Yield, for each of an image's pages, (what `pixels` returns, or None, what is wrong with it)."""
    try:
        with Image.open(path) as image:
            further = image.n_frames - 1 if image.format == "PNG" and numbers == [0] else 0
            for number in numbers:
                try:
                    if number:
                        image.seek(number)
                    yield _pixels(image), f"further pages ignored: {further}" if further else ""
                except BROKEN as error:
                    yield None, reason_of(error)
    except BROKEN as error:
        yield from [(None, reason_of(error))] * len(numbers)


def size_and_pages(path: str | Path) -> tuple[int, int, int]:
    """Return an image's upright width and height, and its number of pages; pages of another size are not counted.

    Raises:
        One of BROKEN: it cannot be read.
    """
    with Image.open(path) as image:
        size = image.size[::-1] if _orientation(image) > 4 else image.size
        count = getattr(image, "n_frames", 1) if image.format in PAGED else 1
        if image.format == "TIFF":
            first, number = image.size, 1
            while number < count and (image.seek(number) or image.size == first):
                number += 1
            count = number
        return *size, count


def reason_of(error: Exception) -> str:
    """Return why an image cannot be used, in a few words and without its path."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, _DAMAGED):
        return "damaged"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason[0].lower() + reason[1:]


def size_of(path: str | Path) -> str:
    """Return an image's size as "1280x720", "" if it cannot be read any more."""
    try:
        width, height, _ = size_and_pages(path)
    except BROKEN:
        return ""
    return f"{width}x{height}"


def _pixels(image: Image.Image) -> np.ndarray:
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported; use 8 or 16 bits")
    image.load()
    turn = TURNS.get(_orientation(image))
    upright = image.transpose(turn) if turn is not None else image
    if image.mode.startswith("I"):
        # 16 bits; Pillow itself would clip them.
        values = np.asarray(upright)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels are not supported; use 8 or 16 bits")
        return (values // 257).astype(np.uint8)
    return np.asarray(upright.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1  # Pillow rotates it itself
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # whatever Pillow raises for damaged EXIF data: the image itself may be whole
        return 1
