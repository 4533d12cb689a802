"""One image file becomes pixels at a size, or a reason why it cannot be read.

A file is opened only if it is a regular one and of a format in a fixed list; its header must promise no
more pixels than memory is kept for. It is decoded and brought by a whole factor to at least twice the
target's size (JPEGs in the decoder itself), set upright (EXIF), brought to 8 bits and to RGB or grey, and
area-averaged to the target.

Pillow reads everything. JPEGs without any peculiarity are decoded by OpenCV, which gives the same pixels
faster; whatever it does not like goes to Pillow, which says why.

All of this runs in the caller's own process, which a fault of a decoder can end: where files come from
elsewhere, they are read through `imageclef.images.pool`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imageclef.errors import ImageRefused
from imageclef.images.deep import Deep, deep_png, deep_tiff, deep_values
from imageclef.images.dicom.recognition import FIRST_BYTES, file_and_frame, is_dicom, is_headerless
from imageclef.images.exif import orientation_of, turned, upright
from imageclef.images.jpeg import plain_jpeg, reduction
from imageclef.images.levels import composited, in_eight_bits
from imageclef.images.refusals import MAX_PIXELS, refusal_of, refusal_of_unknown
from imageclef.images.turns import one_at_a_time

Mode = Literal["rgb", "grey"]

Target = Callable[[int, int], tuple[int, int]]
"""The width and height that a picture of a width and height becomes; turned by 90 degrees, likewise."""

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".dib", ".gif", ".webp", ".mpo"),
        *(".jp2", ".j2k", ".jpx", ".avif", ".tga", ".psd", ".pcx", ".ppm", ".pgm", ".pbm", ".sgi", ".rgb"),
        *(".heic", ".heif", ".ico", ".cur"),  # refused, by name
    }
)
"""Suffixes of image files, in lower case; they are compared without regard to case."""

_COST = {"WEBP": 2.2, "AVIF": 1.8, "JPEG2000": 3.1}
"""Formats whose decoders keep further copies, as measured at 25 megapixels: their limit is as much lower."""

_BASELINE_JPEG_COST = 0.4
"""Where they are reduced, these are decoded row by row at the reduced size: their limit is as much higher."""

_LARGE = 0.25
"""Pictures above this part of the limit are decoded one at a time."""

_FORMATS = (
    *("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"),
    # What was seen under a wrong name. Not EPS, for which Pillow runs Ghostscript; not ICO and ICNS, which
    # hold files of their own whose size no header tells.
    *("DIB", "CUR", "TGA", "PCX", "PPM", "PSD", "SGI", "JPEG2000", "AVIF"),
)

CHANNELS: Mapping[Mode, int] = {"rgb": 3, "grey": 1}

_IN_MEMORY = 2**24

# Pillow warns of large pictures and odd metadata: the first are bounded here, the second do not matter.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class Decoded:
    """A picture at the size that was wanted.

    Attributes:
        pixels: uint8 (h, w, channels), 3 channels for "rgb" and 1 for "grey".
        width: of the original in pixels, after its orientation.
        height: likewise.
        applied: how stored values became these, in words: of DICOM files, and of files read up to a break.
        digest: XXH3-128 of the file's bytes, in hexadecimal digits; empty where it was not asked for.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    applied: str = ""
    digest: str = ""


def decode(path: Path, size: int, mode: Mode, window: str = "") -> Decoded:
    """Read an image file and stretch it to a square.

    Of several frames the first is taken; how other depths and colour models become 8 bits is said in
    `imageclef.images.levels`.

    Args:
        path: the file; its suffix is not looked at. With ``#3`` after it, the third frame of a DICOM file.
        size: side of the square in pixels.
        mode: the channels wanted.
        window: of grey DICOM pictures in place of the file's own, as
            `imageclef.images.dicom.windows` reads it.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason; nothing else is raised.
    """
    return _read_as(path, partial(_square, size), mode, window)


def decode_fitting(path: Path, longest: int, window: str = "") -> Decoded:
    """Read an image file in colour and in its own proportions.

    Args:
        path: as in `decode`.
        longest: side in pixels, at most; a smaller picture keeps its size.
        window: as in `decode`.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason; nothing else is raised.
    """
    return _read_as(path, partial(_fitting, longest), "rgb", window)


def _square(size: int, width: int, height: int) -> tuple[int, int]:
    return size, size


def _fitting(longest: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _read_as(path: Path, target: Target, mode: Mode, window: str) -> Decoded:
    try:
        return _decode(path, target, mode, window)
    except Exception as error:  # Pillow lets through whatever its plugins meet, struct.error to ZeroDivision
        raise refusal_of(error) from None


def _decode(path: Path, target: Target, mode: Mode, window: str) -> Decoded:
    path, number = file_and_frame(path)
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise ImageRefused("unreadable", "not a regular file")
    # Read at once, a file costs one trip through the interpreter lock instead of one for each marker.
    # Never by its path: Pillow maps files, and one that is cut short meanwhile would kill the process.
    data = path.read_bytes() if status.st_size <= _IN_MEMORY else b""
    if (plain := plain_jpeg(data, target, mode == "rgb", _LARGE * MAX_PIXELS)) is not None:
        return _decoded(*plain, "", target, mode)
    with BytesIO(data) if data else path.open("rb") as file:
        first = file.read(FIRST_BYTES)
        if is_dicom(first) or is_headerless(first):
            return _decode_dicom(path, number, target, mode, window)
        deep = deep_tiff(file)
        file.seek(0)
        try:
            image = Image.open(file, formats=_formats())
        except UnidentifiedImageError:
            if deep is None:
                raise refusal_of_unknown(first, _formats()) from None
            return _decode_unidentified(file, deep, target, mode)
        deep = deep or deep_png(image)
        with one_at_a_time() if _is_large(image, target, deep) else nullcontext():
            found = _by_opencv(file, image, deep) if deep else None
            return _decoded(*(found or _by_pillow(image, target, mode)), target, mode)


def _decode_unidentified(file: BinaryIO, deep: Deep, target: Target, mode: Mode) -> Decoded:
    """A TIFF whose kind of samples Pillow does not know."""
    with one_at_a_time() if _is_large_area(deep.width, deep.height, deep.cost) else nullcontext():
        found = _by_opencv(file, None, deep)
        if found is None:
            kind = {"u": "unsigned", "i": "signed", "f": "float"}[deep.kind]
            raise ImageRefused("damaged", f"TIFF of {kind} samples of {deep.bits} bits cannot be decoded")
        return _decoded(*found, target, mode)


def _by_opencv(file: BinaryIO, image: Image.Image | None, deep: Deep) -> Found | None:
    """Deep pixels as `_by_pillow` gives them; None where Pillow has to read them, or say what is wrong."""
    if image is not None and image.format == "PNG":
        image.load()  # OpenCV does not say what is wrong with a damaged one
    file.seek(0)
    values = deep_values(file.read(), deep)
    if values is None:
        return None
    levels, note = composited(values, deep.inverted, deep.premultiplied)
    if image is not None and not deep.turned:
        levels = turned(levels, orientation_of(image))
    return levels, levels.shape[1], levels.shape[0], note


def _decode_dicom(path: Path, number: int, target: Target, mode: Mode, window: str) -> Decoded:
    try:  # here, as pydicom comes with an extra, and takes time to load
        from imageclef.images.dicom.frames import read_frame
        from imageclef.images.dicom.windows import read_window
    except ImportError:
        raise ImageRefused("unsupported", "DICOM is read with `pip install imageclef[dicom]`") from None
    frame = read_frame(path, number, read_window(window) if window else None, headerless=True)
    height, width = frame.pixels.shape[:2]
    return Decoded(_resized(frame.pixels, target(width, height), mode), width, height, frame.applied)


Found = tuple[MatLike, int, int, str]
"""Pixels, the width and height of the original, and what was done to its values."""


def _decoded(pixels: MatLike, width: int, height: int, applied: str, target: Target, mode: Mode) -> Decoded:
    return Decoded(_resized(pixels, target(width, height), mode), width, height, applied)


def _by_pillow(image: Image.Image, target: Target, mode: Mode) -> Found:
    """Pixels (h, w) or (h, w, 3), upright, at least twice the target if the file is."""
    width, height = image.size
    wanted = target(width, height)
    scaled = image.draft("RGB" if mode == "rgb" else "L", (2 * wanted[0], 2 * wanted[1]))
    image.load()
    image, sideways = upright(image)
    if sideways:
        width, height = height, width
    image, applied = in_eight_bits(image)
    if scaled is None:
        wanted = target(width, height)
        factors = image.width // (2 * wanted[0]), image.height // (2 * wanted[1])
        image = image.reduce((max(1, factors[0]), max(1, factors[1])))
    return np.asarray(image), width, height, applied


def _resized(pixels: MatLike, target: tuple[int, int], mode: Mode) -> NDArray[np.uint8]:
    """Stretch (h, w) or (h, w, 3) to (target height, target width, channels)."""
    height, width = pixels.shape[:2]
    # OpenCV averages areas only where neither axis grows: so shrink first, then grow.
    pixels = cv2.resize(pixels, (min(width, target[0]), min(height, target[1])), interpolation=cv2.INTER_AREA)
    if width < target[0] or height < target[1]:
        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_LINEAR)
    if mode == "rgb" and pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    elif mode == "grey" and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(pixels, np.uint8).reshape(target[1], target[0], CHANNELS[mode])


@cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _is_large(image: Image.Image, target: Target, deep: Deep | None = None) -> bool:
    """Whether a picture is decoded alone; one that memory is not kept for is refused."""
    cost = _COST.get(image.format or "", 1)
    reduced = image.format == "JPEG" and reduction(image.size, target(*image.size)) > 1
    if reduced and "progressive" not in image.info:
        cost = _BASELINE_JPEG_COST
    return _is_large_area(image.width, image.height, deep.cost if deep else cost)


def _is_large_area(width: int, height: int, cost: float) -> bool:
    limit = MAX_PIXELS / cost
    if width * height > limit:
        size = f"{width}x{height}"
        raise ImageRefused("too large", f"{size} pixels; at most {limit / 1e6:.0f} million are decoded")
    return width * height > _LARGE * limit
