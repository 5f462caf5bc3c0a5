"""Pages that need no other file: templates of the package, pictures as data URIs."""

import base64
import io
import re
from collections.abc import Sequence
from importlib import resources

import numpy as np
from PIL import Image


def render(template: str, **values) -> str:
    """Return a page made of one of the package's templates, such as "apps/compare.html.j2"; UTF-8 can encode it."""
    import jinja2

    def source(name: str) -> str:
        return resources.files("kvzoo").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FunctionLoader(source)
    )
    return legible(environment.get_template(template).render(**values))


def legible(text: str) -> str:
    """Return text that can be encoded: what stands for bytes of a file's name that are not UTF-8 is replaced."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def webp(frames: Sequence[np.ndarray], rate: float = 1.0, lossless: bool = True, quality: int = 85) -> str:
    """Return pictures uint8 (H, W, 3 or 4) as one WebP, moving if they are several, in a data URI.

    Args:
        frames: of equal size.
        rate: frames a second.
        lossless: whether every bit is kept.
        quality: 0 to 100, of one with loss.
    """
    file, images = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    how = {"lossless": True, "quality": 60} if lossless else {"quality": quality}
    more = {"save_all": True, "append_images": images[1:], "duration": round(1000 / rate), "loop": 0}
    images[0].save(file, "WEBP", method=3, **how, **(more if len(images) > 1 else {}))
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
