"""What a DICOM header says of its pixels, checked before any of them is read.

Reference: DICOM PS3.3, C.7.6.3 (Image Pixel); PS3.5, section 7.1 (elements).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from imageclef.errors import ImageRefused
from imageclef.images.dicom.header import Opened, number_of, value_of
from imageclef.images.refusals import MAX_PIXELS

PHOTOMETRIC = frozenset(
    {
        *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB"),
        *("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
    }
)
"""How pixels may be meant; what else the standard has is retired, or of films."""

_COLOURS = PHOTOMETRIC - {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
UNDEFINED = 0xFFFFFFFF
"""Stands for the length of an element that goes on until its end is found."""
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN")


@dataclass(frozen=True)
class Stored:
    """What a header says of pixels, checked.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        frames: at least 1.
        samples: of a pixel, 1 or 3.
        planar: 1 if each colour's samples lie together, 0 if each pixel's do.
        photometric: one of `PHOTOMETRIC`.
        bits_allocated: of a sample: 1, 8, 16, 32 or 64.
        bits_stored: of these, the ones that hold the value.
        high_bit: the place of the highest of them.
        signed: whether values may be negative.
        keyword: the element that holds the pixels.
        syntax: the transfer syntax.
        note: what of the header was passed over, in words.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    planar: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    keyword: str
    syntax: UID
    note: str = ""

    @property
    def floating(self) -> bool:
        """Whether values are floats."""
        return self.keyword in _FLOAT_BITS

    @property
    def frame_bits(self) -> int:
        """Bits of a frame as native pixels; of two pixels of YBR_FULL_422, the colours are stored once."""
        halved = self.photometric == "YBR_FULL_422" and not self.syntax.is_encapsulated
        return self.rows * self.columns * (2 if halved else self.samples) * self.bits_allocated


def stored_pixels(header: Opened) -> Stored:
    """Check what the header says of the pixels; the file stays where it is.

    Raises:
        ImageRefused: a value is missing or impossible, or there are more pixels than are decoded.
    """
    dataset = header.dataset
    keyword = _KEYWORDS[pixel_element(header)[0]]
    floating = keyword in _FLOAT_BITS
    allocated = _FLOAT_BITS[keyword] if floating else number_of(dataset, "BitsAllocated")
    stored = allocated if floating else number_of(dataset, "BitsStored", allocated)
    syntax = _syntax(dataset)
    # A decoder of a compressed frame gives the samples of each pixel together, whatever the header says.
    coded = syntax.is_encapsulated and syntax != RLELossless
    planar = number_of(dataset, "PlanarConfiguration", 0)
    pixels = Stored(
        rows=number_of(dataset, "Rows"),
        columns=number_of(dataset, "Columns"),
        frames=number_of(dataset, "NumberOfFrames", 1) or 1,
        samples=number_of(dataset, "SamplesPerPixel", 1),
        planar=0 if coded else planar,
        photometric=str(value_of(dataset, "PhotometricInterpretation", "")).strip(),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if floating else number_of(dataset, "HighBit", stored - 1),
        signed=not floating and bool(number_of(dataset, "PixelRepresentation", 0)),
        keyword=keyword,
        syntax=syntax,
        note=f"planar configuration {planar} ignored" if coded and planar else "",
    )
    _check(pixels)
    return pixels


def pixel_element(header: Opened, past: bool = False) -> tuple[int, bytes, int]:
    """Tag, VR (empty where implicit) and length of the element that the file stands at."""
    file, where = header.file, header.file.tell()
    implicit, little = header.dataset.original_encoding
    order = "<" if little or little is None else ">"
    try:
        group, element = Struct(f"{order}HH").unpack(file.read(4))
        vr = b"" if implicit else file.read(2)
        if vr and not vr.isalpha():  # written without VR in a transfer syntax that has them, which is seen
            file.seek(-2, 1)
            vr = b""
        if not vr or vr in _LONG:
            if vr:
                file.read(2)
            length = Struct(f"{order}I").unpack(file.read(4))[0]
        else:
            length = Struct(f"{order}H").unpack(file.read(2))[0]
    except struct_error:
        raise ImageRefused("truncated", "the file ends before its pixels") from None
    if not past:
        file.seek(where)
    tag = group << 16 | element
    if tag not in _KEYWORDS:
        raise ImageRefused("damaged", "no pixels where its header ends")
    return tag, vr, length


def _syntax(dataset: Dataset) -> UID:
    """The transfer syntax; where the file does not name it, the native one that its header was read in."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        syntax = UID(str(named).strip())
        if not syntax.is_transfer_syntax or syntax.is_private:
            raise ImageRefused(
                "unsupported", "no decoder for its transfer syntax, which the standard does not name"
            )
        return syntax
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _check(pixels: Stored) -> None:
    """Refuse what no decoder should see."""
    if pixels.rows < 1 or pixels.columns < 1 or pixels.frames < 1:
        size = f"{pixels.columns}x{pixels.rows} pixels in {pixels.frames} frames"
        raise ImageRefused("damaged", f"{size}; expected 1 or more")
    if pixels.rows * pixels.columns > MAX_PIXELS:
        size = f"{pixels.columns}x{pixels.rows}"
        raise ImageRefused("too large", f"{size} pixels; at most {MAX_PIXELS / 1e6:.0f} million are decoded")
    if pixels.photometric not in PHOTOMETRIC:
        known = ", ".join(sorted(PHOTOMETRIC))
        raise ImageRefused("unsupported", f"photometric interpretation; known are {known}")
    if pixels.samples != (3 if pixels.photometric in _COLOURS else 1):
        said = f"{pixels.samples} samples of a pixel do not go with {pixels.photometric}"
        raise ImageRefused("damaged", said)
    if pixels.samples > 1 and pixels.planar not in (0, 1):  # GDCM ends the process
        raise ImageRefused("damaged", f"a planar configuration of {pixels.planar}; expected 0 or 1")
    if pixels.bits_allocated not in (1, 8, 16, 32, 64):
        said = f"{pixels.bits_allocated} bits allocated; expected 1, 8, 16, 32 or 64"
        raise ImageRefused("unsupported", said)
    if pixels.photometric.startswith("YBR") and pixels.bits_allocated != 8:
        said = f"{pixels.photometric} of {pixels.bits_allocated} bits; expected 8"
        raise ImageRefused("unsupported", said)
    if not 1 <= pixels.bits_stored <= pixels.bits_allocated:
        said = f"{pixels.bits_stored} bits stored in {pixels.bits_allocated} allocated"
        raise ImageRefused("damaged", said)
