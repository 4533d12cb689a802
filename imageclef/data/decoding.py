"""One image file becomes a square of bytes, or a reason why it cannot be read.

A file is opened only if it is a regular one and of a format in a fixed list; its header must promise no
more pixels than memory is kept for. JPEGs are decoded at a fraction of their size, but at least at twice
the target's; then the picture is set upright (EXIF), brought to 8 bits and to RGB or grey, and stretched
to the square by whole-number box averages followed by an antialiased bilinear resize.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from imageclef.errors import ImageRefused

Mode = Literal["rgb", "grey"]
Box = tuple[int, int, int, int]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
"""Suffixes of image files, in lower case; they are compared without regard to case."""

MAX_PIXELS = 40_000_000
"""Most pixels of a picture, looked up in the header. Decoded and converted they take up to 9 bytes each,
360 MB; with torch loaded (510 MiB) and a second worker at `_LARGE` of it (144 MB) that is below 1 GiB."""

_LARGE = 0.4
"""Pictures above this part of the limit are decoded one at a time, so that memory does not grow with the
number of workers."""

_COST = {"WEBP": 2.2, "AVIF": 1.8, "JPEG2000": 3.1}
"""Formats whose decoders keep further copies, as measured at 25 megapixels: their limit is as much lower."""

_FORMATS = (
    *("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"),
    # What was seen under a wrong name. Not EPS, for which Pillow runs Ghostscript; not ICO and ICNS, which
    # hold files of their own whose size no header tells.
    *("DIB", "CUR", "TGA", "PCX", "PPM", "PSD", "SGI", "JPEG2000", "AVIF"),
)

CHANNELS: Mapping[Mode, int] = {"rgb": 3, "grey": 1}
_PILLOW_MODE = {"rgb": "RGB", "grey": "L"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_SIDEWAYS = range(5, 9)

_TILE = 1024
_one_large = threading.Lock()

# Pillow warns of large pictures and odd metadata: the first are bounded here, the second do not matter.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class Decoded:
    """A picture at the size of the store.

    Attributes:
        pixels: uint8 (size, size, channels), 3 channels for "rgb" and 1 for "grey".
        width: of the original in pixels, after its orientation.
        height: likewise.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(path: Path, size: int, mode: Mode) -> Decoded:
    """Read an image file and stretch it to a square.

    Grey of more than 8 bits is scaled from its own minimum and maximum to 0 and 255: a 12-bit CT in a
    16-bit file would be near black on the full range. NaN is black; a picture of one value is white where
    the value is positive. Alpha is composited on black. Of several frames the first is taken.

    Args:
        path: the file; its suffix is not looked at.
        size: side of the square in pixels.
        mode: the channels wanted.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason; nothing else is raised.
    """
    try:
        return _decode(path, size, mode)
    except ImageRefused:
        raise
    except Exception as error:  # Pillow lets through whatever its plugins meet, struct.error to ZeroDivision
        raise ImageRefused(_reason(error)) from None


def _decode(path: Path, size: int, mode: Mode) -> Decoded:
    if not S_ISREG(path.stat().st_mode):
        raise ImageRefused("not a regular file")
    # Given a path, Pillow maps the file, and one that is cut short meanwhile would kill the process.
    with path.open("rb") as file:
        image: Image.Image = Image.open(file, formats=_formats())
        width, height = image.size
        with _room_for(image):
            # Asked for grey, libjpeg leaves the colours undecoded.
            scaled = image.draft(_PILLOW_MODE[mode], (2 * size, 2 * size))
            image.load()
            if scaled is None:
                width, height = image.size  # TIFF turns its pictures while it loads them
            orientation = _orientation(image)
            if orientation in _UPRIGHT:
                image = image.transpose(_UPRIGHT[orientation])
            if orientation in _SIDEWAYS:
                width, height = height, width
            image = _in_eight_bits(image)
            image = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=1.0)
    if image.mode != _PILLOW_MODE[mode]:
        image = image.convert(_PILLOW_MODE[mode])
    return Decoded(np.array(image).reshape(size, size, -1), width, height)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _room_for(image: Image.Image) -> AbstractContextManager[object]:
    """Refuse a picture that memory is not kept for; let a large one wait until no other is decoded."""
    limit = MAX_PIXELS / _COST.get(image.format or "", 1)
    pixels = image.width * image.height
    if pixels > limit:
        raise ImageRefused(
            f"{image.width}x{image.height} pixels; at most {limit / 1e6:.0f} million are decoded"
        )
    return _one_large if pixels > _LARGE * limit else nullcontext()


def _orientation(image: Image.Image) -> int:
    """1 to 8 as in EXIF; a damaged EXIF block says nothing about the pixels, so it counts as upright."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:
        return 1


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """The picture in mode L or RGB; what has these modes already is returned as it is."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _scaled_to_eight_bits(image)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        black = Image.new("RGB", picture.size)
        black.paste(picture, mask=picture)
        return black
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled_to_eight_bits(image: Image.Image) -> Image.Image:
    """Integers or floats of any range: the lowest value becomes 0, the highest 255, NaN 0."""
    low, high = np.inf, -np.inf
    for box in _tiles(image.size):
        values = _values(image, box)
        finite = values[np.isfinite(values)]
        low = min(low, float(finite.min(initial=np.inf)))
        high = max(high, float(finite.max(initial=-np.inf)))
    if low >= high:
        return Image.new("L", image.size, 255 if high > 0 else 0)
    levels = np.empty((image.height, image.width), np.uint8)
    for left, top, right, bottom in _tiles(image.size):
        values = (_values(image, (left, top, right, bottom)) - low) * (255 / (high - low))
        levels[top:bottom, left:right] = np.rint(np.nan_to_num(values.clip(0, 255)))
    return Image.fromarray(levels)


def _values(image: Image.Image, box: Box) -> NDArray[np.float64]:
    """Pixels of a part (h, w), NaN where a PNG declares its value transparent."""
    values = np.asarray(image.crop(box)).astype(np.float64)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        values[values == transparent] = np.nan
    return values


def _tiles(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes that cover a picture: float64 of all of it at once would be most of the memory."""
    width, height = size
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            yield left, top, min(left + _TILE, width), min(top + _TILE, height)


def _reason(error: Exception) -> str:
    """One line without the path."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than are decoded"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
    return (
        line if isinstance(error, OSError) and line else f"{type(error).__name__}: {line}".removesuffix(": ")
    )
