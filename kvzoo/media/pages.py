"""Self-contained HTML pages: templates of the package, images as data URIs."""

import base64
import io
import re
from collections.abc import Sequence
from importlib import resources

import numpy as np
from PIL import Image


def render(template: str, **values) -> str:
    """Render one of the package's templates, such as "apps/compare.html.j2", to text that UTF-8 can encode."""
    import jinja2

    def source(name: str) -> str:
        return resources.files("kvzoo").joinpath(name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FunctionLoader(source)
    )
    return legible(environment.get_template(template).render(**values))


def legible(text: str) -> str:
    r"""Return text that UTF-8 can encode: surrogates, from file names that are not UTF-8, are replaced.

    Example:

        >>> from kvzoo.media.pages import legible
        >>> legible("clip\udcff.mp4") == "clip\ufffd.mp4"
        True
    """
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def webp(frames: Sequence[np.ndarray], rate: float = 1.0, lossless: bool = True, quality: int = 85) -> str:
    """Return images, uint8 (H, W, 3 or 4), as a data URI of one WebP, animated if there are several.

    Args:
        frames: images of equal size.
        rate: frames per second.
        lossless: whether to compress without loss.
        quality: 0 to 100, for compression with loss.
    """
    file, images = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    how = {"lossless": True, "quality": 60} if lossless else {"quality": quality}
    more = {"save_all": True, "append_images": images[1:], "duration": round(1000 / rate), "loop": 0}
    images[0].save(file, "WEBP", method=3, **how, **(more if len(images) > 1 else {}))
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
