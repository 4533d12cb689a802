"""Image files of every format that is read, drawn by Pillow."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from imageclef.images.decode import CHANNELS, Decoded, Mode, decode
from tests.fuzz.target import Case, Target

SIZE = 16
_SIDE = 24
_ON_ITS_SIDE = 6
_COMPRESSIONS = (None, "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits")
_KINDS = ("BMP", "GIF", "WEBP", "TGA", "PCX", "PPM", "SGI", "JPEG2000", "AVIF", "DIB")


def _seeds() -> list[bytes]:
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    grey = Image.fromarray((rows * columns % 256).astype(np.uint8))
    deep = Image.fromarray((rows * columns * 16).astype(np.uint16))
    colour, black = grey.convert("RGB"), grey.convert("1")
    turned = Image.Exif()
    turned[Base.Orientation] = _ON_ITS_SIDE
    return [
        *(_saved(colour, "JPEG", progressive=progressive) for progressive in (False, True)),
        _saved(colour, "JPEG", exif=turned),
        _saved(colour.convert("CMYK"), "JPEG"),
        *(_saved(image, "PNG") for image in (grey, colour.convert("P"), colour.convert("RGBA"), deep, black)),
        *(_saved(colour, "TIFF", compression=compression) for compression in _COMPRESSIONS),
        *(_saved(image, "TIFF") for image in (deep, grey.convert("F"))),
        _saved(black, "TIFF", compression="group4"),
        *(_saved(colour, kind) for kind in _KINDS),
        _saved(colour, "WEBP", lossless=True),
        _saved(colour, "TGA", compression="tga_rle"),
        _saved(deep, "JPEG2000"),
        _saved(grey, "GIF", save_all=True, append_images=[grey.rotate(90)], transparency=0),
        b"P2 3 2 15 1 2 3 4 5 6\n",
        _psd(colour),
    ]


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _psd(image: Image.Image) -> bytes:
    """Which Pillow reads but does not write: a header, three empty sections, plain planes."""
    sides = image.height.to_bytes(4, "big") + image.width.to_bytes(4, "big")
    header = b"8BPS\x00\x01" + bytes(6) + b"\x00\x03" + sides + b"\x00\x08\x00\x03"
    return header + bytes(12) + b"\x00\x00" + b"".join(band.tobytes() for band in image.split())


def _attempt(case: Case) -> None:
    path, mode = case.file("picture"), mode_for(case)
    check(case, case.ask(None, decode, path, SIZE, mode), mode)


def mode_for(case: Case) -> Mode:
    """One of both; the same for the same input."""
    return "rgb" if crc32(case.data) % 2 else "grey"


def check(case: Case, decoded: Decoded | None, mode: Mode) -> None:
    """What holds of every picture, and of every refusal."""
    case.require(not any("memory" in said for said in case.behaviours), "a small file takes little memory")
    if decoded is not None:
        case.require(decoded.pixels.shape == (SIZE, SIZE, CHANNELS[mode]), "it has the size asked for")
        case.require(decoded.pixels.dtype == np.uint8, "its pixels are bytes")
        case.require(min(decoded.width, decoded.height) > 0, "its original has a size")


TARGET = Target(
    "images",
    _seeds,
    _attempt,
    tokens=(
        *(b"\xff\xd8", b"\xff\xd9", b"\xff\xc0", b"\xff\xc2", b"\xff\xda", b"\xff\xc4", b"\xff\xdd"),
        *b"JFIF Exif Adobe IHDR IDAT PLTE tRNS acTL iCCP zTXt IEND GIF89a NETSCAPE2.0".split(),
        *b"RIFF WEBPVP8L WEBPVP8X ALPH ANMF 8BPS 8BIM ihdr colr jp2c ftypavif iloc iprp ispe av1C".split(),
        *(b"\x21\xf9\x04", b"II*\x00", b"MM\x00*", b"II+\x00", b"P6 ", b"Pf ", b"BM"),
        *(b"jP  \r\n\x87\n", b"\xffO\xffQ"),
    ),
    follows=("imageclef", "PIL"),
)
