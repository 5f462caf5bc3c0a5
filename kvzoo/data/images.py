"""Image files as arrays, and what is wrong with those that are none."""

from pathlib import Path

import numpy as np
from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# What Pillow raises for files that are not what they seem.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def pixels(path: str | Path) -> np.ndarray:
    """Return an image as uint8, (H, W) or RGB (H, W, 3)."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            # 16 bits; Pillow itself would clip them.
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 65535:
                raise ValueError("8 or 16 bits a pixel are wanted, it has 32")
            return (values // 257).astype(np.uint8)
        if image.mode == "F":
            raise ValueError("8 or 16 bits a pixel are wanted, it has floating-point ones")
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def reason_of(error: Exception) -> str:
    """Return why an image cannot be used, in a few words and without its path."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason[0].lower() + reason[1:]


def size_of(path: str | Path) -> str:
    """Return an image's size as "1280x720", "" where it is none any more."""
    try:
        with Image.open(path) as image:
            return f"{image.width}x{image.height}"
    except BROKEN:
        return ""
