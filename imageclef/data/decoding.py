"""One image file becomes a square of bytes, or a reason why it cannot be read.

A file is opened only if it is a regular one and of a format in a fixed list; its header must promise no
more pixels than memory is kept for. It is decoded and brought by a whole factor to at least twice the
target's size (JPEGs in the decoder itself), set upright (EXIF), brought to 8 bits and to RGB or grey, and
area-averaged to the square.

Pillow reads everything. JPEGs without any peculiarity are decoded by OpenCV, which gives the same pixels
faster; whatever it does not like goes to Pillow, which says why.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import Literal

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from imageclef.data.dicom.recognition import FIRST_BYTES, file_and_frame, is_dicom, is_headerless
from imageclef.data.eight_bits import in_eight_bits
from imageclef.errors import ImageRefused

Mode = Literal["rgb", "grey"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
"""Suffixes of image files, in lower case; they are compared without regard to case."""

MAX_PIXELS = 24_000_000
"""Most pixels of a picture (6000x4000, a full camera frame), looked up in its header before it is decoded.
With conversion they take up to 9 bytes each. The worst files that two workers can meet then take 420 MB, so
that with torch, OpenCV and pandas loaded (600 MB) a process stays at 1 GiB."""

_COST = {"WEBP": 2.2, "AVIF": 1.8, "JPEG2000": 3.1}
"""Formats whose decoders keep further copies, as measured at 25 megapixels: their limit is as much lower."""

_BASELINE_JPEG_COST = 0.4
"""These are decoded row by row at the reduced size, so their limit is as much higher."""

_LARGE = 0.25
"""Pictures above this part of the limit are decoded by one thread, one at a time: neither what they take nor
what the allocator keeps of it for each thread grows with the number of workers."""

_FORMATS = (
    *("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"),
    # What was seen under a wrong name. Not EPS, for which Pillow runs Ghostscript; not ICO and ICNS, which
    # hold files of their own whose size no header tells.
    *("DIB", "CUR", "TGA", "PCX", "PPM", "PSD", "SGI", "JPEG2000", "AVIF"),
)

CHANNELS: Mapping[Mode, int] = {"rgb": 3, "grey": 1}

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

_REDUCED = {
    1: (cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE),
    2: (cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_REDUCED_GRAYSCALE_2),
    4: (cv2.IMREAD_REDUCED_COLOR_4, cv2.IMREAD_REDUCED_GRAYSCALE_4),
    8: (cv2.IMREAD_REDUCED_COLOR_8, cv2.IMREAD_REDUCED_GRAYSCALE_8),
}

_END_OF_JPEG = b"\xff\xd9"
_IN_MEMORY = 2**24
_one_large = ThreadPoolExecutor(1)

# Pillow warns of large pictures and odd metadata: the first are bounded here, the second do not matter.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True)
class Decoded:
    """A picture at the size of the store.

    Attributes:
        pixels: uint8 (size, size, channels), 3 channels for "rgb" and 1 for "grey".
        width: of the original in pixels, after its orientation.
        height: likewise.
        applied: how stored values became these, in words; of DICOM files only.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    applied: str = ""


def decode(path: Path, size: int, mode: Mode, window: str = "") -> Decoded:
    """Read an image file and stretch it to a square.

    Of several frames the first is taken; how other depths and colour models become 8 bits is said in
    `imageclef.data.eight_bits`.

    Args:
        path: the file; its suffix is not looked at. With ``#3`` after it, the third frame of a DICOM file.
        size: side of the square in pixels.
        mode: the channels wanted.
        window: of grey DICOM pictures in place of the file's own, as `imageclef.data.dicom.windows` reads it.

    Raises:
        ImageRefused: the file cannot be read, for whatever reason; nothing else is raised.
    """
    try:
        return _decode(path, size, mode, window)
    except ImageRefused:
        raise
    except Exception as error:  # Pillow lets through whatever its plugins meet, struct.error to ZeroDivision
        raise ImageRefused(_reason(error)) from None


def _decode(path: Path, size: int, mode: Mode, window: str) -> Decoded:
    path, number = file_and_frame(path)
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise ImageRefused("not a regular file")
    # Read at once, a file costs one trip through the interpreter lock instead of one for each marker.
    # Never by its path: Pillow maps files, and one that is cut short meanwhile would kill the process.
    data = path.read_bytes() if status.st_size <= _IN_MEMORY else b""
    with BytesIO(data) if data else path.open("rb") as file:
        first = file.read(FIRST_BYTES)
        if is_dicom(first) or is_headerless(first):
            return _decode_dicom(path, number, size, mode, window)
        file.seek(0)
        image = Image.open(file, formats=_formats())
        if _is_large(image):
            return _one_large.submit(_decode_opened, image, data, size, mode).result()
        return _decode_opened(image, data, size, mode)


def _decode_dicom(path: Path, number: int, size: int, mode: Mode, window: str) -> Decoded:
    try:  # here, as pydicom comes with an extra, and takes time to load
        from imageclef.data.dicom.frames import read_frame
        from imageclef.data.dicom.windows import read_window
    except ImportError:
        raise ImageRefused("unsupported: DICOM is read with `pip install imageclef[dicom]`") from None
    frame = read_frame(path, number, read_window(window) if window else None, headerless=True)
    height, width = frame.pixels.shape[:2]
    return Decoded(_square(frame.pixels, size, mode), width, height, frame.applied)


def _decode_opened(image: Image.Image, data: bytes, size: int, mode: Mode) -> Decoded:
    width, height = image.size
    pixels = _plain_jpeg(image, data, size, mode)
    if pixels is None:
        pixels, width, height = _by_pillow(image, size, mode)
    return Decoded(_square(pixels, size, mode), width, height)


def _plain_jpeg(image: Image.Image, data: bytes, size: int, mode: Mode) -> MatLike | None:
    """A JPEG that is whole, upright, and grey or in colour: the same pixels as Pillow's, faster.

    None for all others, and where OpenCV sees a fault: what it is, Pillow says.
    """
    if image.format != "JPEG" or image.mode not in ("L", "RGB"):
        return None
    if not data.endswith(_END_OF_JPEG) or _orientation(image) != 1:
        return None
    width, height = image.size
    scale = next((s for s in (8, 4, 2) if min(width, height) >= 2 * size * s), 1)
    color, grey = _REDUCED[scale]
    # Asked for grey, libjpeg leaves the colours undecoded.
    wanted = color if image.mode == "RGB" and mode == "rgb" else grey
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), wanted | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if pixels is None or pixels.shape[:2] != (-(-height // scale), -(-width // scale)):
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels


def _by_pillow(image: Image.Image, size: int, mode: Mode) -> tuple[MatLike, int, int]:
    """Pixels (h, w) or (h, w, 3), upright, at least twice `size` if the file is; its width and height."""
    width, height = image.size
    scaled = image.draft("RGB" if mode == "rgb" else "L", (2 * size, 2 * size))
    image.load()
    orientation = _orientation(image)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if orientation in _SIDEWAYS:
        width, height = height, width
    image = in_eight_bits(image)
    if scaled is None:
        image = image.reduce((max(1, image.width // (2 * size)), max(1, image.height // (2 * size))))
    return np.asarray(image), width, height


def _square(pixels: MatLike, size: int, mode: Mode) -> NDArray[np.uint8]:
    """Stretch (h, w) or (h, w, 3) to (size, size, channels)."""
    height, width = pixels.shape[:2]
    # OpenCV averages areas only where neither axis grows: so shrink first, then grow.
    pixels = cv2.resize(pixels, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    if min(width, height) < size:
        pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    if mode == "rgb" and pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    elif mode == "grey" and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(pixels, np.uint8).reshape(size, size, CHANNELS[mode])


@cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _is_large(image: Image.Image) -> bool:
    """Whether a picture is decoded alone; one that memory is not kept for is refused."""
    cost = _COST.get(image.format or "", 1)
    if image.format == "JPEG" and "progressive" not in image.info:
        cost = _BASELINE_JPEG_COST
    limit = MAX_PIXELS / cost
    pixels = image.width * image.height
    if pixels > limit:
        raise ImageRefused(
            f"{image.width}x{image.height} pixels; at most {limit / 1e6:.0f} million are decoded"
        )
    return pixels > _LARGE * limit


def _orientation(image: Image.Image) -> int:
    """1 to 8 as in EXIF; a damaged EXIF block says nothing about the pixels, so it counts as upright."""
    try:
        return int(image.getexif().get(Base.Orientation, 1))
    except Exception:
        return 1


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
