"""PNG and TIFF of more than 8 bits, of signed samples or of floats, with their values as they are stored.

Pillow cuts colours to 8 bits, takes signed bytes for unsigned ones, and does not know 64 bits. OpenCV gives
the values. Whatever it cannot read is left to Pillow.

Reference: TIFF 6.0, section 3 (WhiteIsZero) and section 19 (SampleFormat); PNG, 11.2.2 (IHDR).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 262, 277
_PLANAR, _EXTRA, _FORMAT = 284, 338, 339
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_ASSOCIATED = 1

BASE_BYTES = 9
"""Bytes that a pixel of 8 bits takes with its conversion; the limit of pixels is made for it."""


@dataclass(frozen=True)
class Deep:
    """What a header says of deep pixels.

    Attributes:
        width: in pixels, as stored.
        height: likewise.
        samples: of a pixel.
        bits: of a sample.
        kind: of a sample as in `numpy.dtype.kind`: "u", "i" or "f".
        inverted: whether the smallest value is white.
        premultiplied: whether colours have been multiplied by alpha.
        turned: whether the decoder sets the picture upright.
    """

    width: int
    height: int
    samples: int
    bits: int
    kind: str
    inverted: bool = False
    premultiplied: bool = False
    turned: bool = False

    @property
    def cost(self) -> float:
        """How much more memory a pixel takes than one of 8 bits: the file, its values, and their levels."""
        return max(1.0, (2 * self.samples * self.bits // 8 + self.samples) / BASE_BYTES)


def deep_tiff(file: BinaryIO) -> Deep | None:
    """What the header of a TIFF says; None for every other file, and for those that Pillow reads rightly."""
    file.seek(0)
    header = file.read(8)
    if header[:4] not in _TIFF:
        return None
    try:
        if header[2:3] == b"+" or header[3:4] == b"+":
            header += file.read(8)
        tags = ImageFileDirectory_v2(header)
        file.seek(tags.next)
        tags.load(file)
        return _described(tags)
    except Exception:  # what is wrong with it, Pillow says
        return None


def deep_png(image: Image.Image) -> Deep | None:
    """What a PNG of 16 bits with several samples says; None for every other image."""
    tiles = getattr(image, "tile", ())
    if image.format != "PNG" or not tiles or not str(tiles[0].args).endswith(";16B"):
        return None
    samples = len(image.getbands())
    return Deep(*image.size, samples, 16, "u") if samples > 1 else None


def deep_values(data: bytes, deep: Deep) -> NDArray[Any] | None:
    """The values (h, w), (h, w, 3) or, with alpha, (h, w, 4); None where OpenCV does not give them."""
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if values is None or (values.dtype.kind, values.dtype.itemsize * 8) != (deep.kind, deep.bits):
        return None
    if sorted(values.shape[:2]) != sorted((deep.height, deep.width)):
        return None
    if values.ndim == 2:
        return np.asarray(values)
    if values.shape[2] == 4:
        return np.asarray(
            cv2.cvtColor(values, cv2.COLOR_BGRA2RGBA) if deep.bits <= 16 else values[..., _RGBA]
        )
    return np.asarray(values[..., ::-1])


_RGBA = (2, 1, 0, 3)


def _described(tags: ImageFileDirectory_v2) -> Deep | None:
    bits, kinds = set(tags.get(_BITS, (1,))), set(tags.get(_FORMAT, (_UNSIGNED,)))
    samples, photometric = int(tags.get(_SAMPLES, 1)), tags.get(_PHOTOMETRIC)
    if len(bits) != 1 or len(kinds) != 1 or not bits <= {8, 16, 32, 64} or not kinds <= set(_KINDS):
        return None
    (depth,), (kind,) = bits, kinds
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or (depth == 8 and kind == _UNSIGNED):
        return None
    if samples > 1 and (tags.get(_PLANAR, 1) != 1 or photometric != _RGB):
        return None
    return Deep(
        int(tags[_WIDTH]),
        int(tags[_HEIGHT]),
        samples,
        depth,
        _KINDS[kind],
        inverted=photometric == _WHITE_IS_ZERO and depth > 8,  # that of 8 bits, OpenCV inverts itself
        premultiplied=_ASSOCIATED in tags.get(_EXTRA, ()),
        turned=True,
    )


_KINDS = {_UNSIGNED: "u", _SIGNED: "i", _FLOAT: "f"}
