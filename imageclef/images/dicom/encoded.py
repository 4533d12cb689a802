"""The pixels of a DICOM file as it stores them: bounded, found, and decoded one frame at a time.

pydicom's own decoders do the work: native and RLE itself, JPEG and JPEG 2000 Pillow, the rest GDCM. What a
header promises is compared with what the file holds, and with what each compressed frame says of itself,
before a decoder sees it.

Reference: DICOM PS3.5, section 8 and annex A (native and encapsulated pixels); PS3.3, C.7.6.3 (Image Pixel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    RLELossless,
)

from imageclef.errors import ImageRefused
from imageclef.images.dicom.codestream import (
    CodestreamSize,
    decodes_to_rgb,
    size_in_codestream,
    with_plain_ids,
)
from imageclef.images.dicom.fragments import END_OF_CODESTREAM, Frame, frame_places, read_frame_bytes
from imageclef.images.dicom.header import Opened
from imageclef.images.dicom.samples import are_words, rgb, stored_bits, unpacked
from imageclef.images.dicom.stored import UNDEFINED, Stored, pixel_element

_PADDING = 1024
"""Writers fill up after the end, with what they like."""

_WITH_CHROMINANCE = ("YBR_FULL", "YBR_FULL_422")

MAX_EXPANSION = 2
"""A compressed frame that is so many times larger than its pixels is no picture."""
_ROOM = 2**16

_PREFERRED = ("pillow", "pyjpegls", "gdcm", "pydicom")
"""Decoders in their order; only the first is tried of those that a transfer syntax has."""
_SECOND = (JPEG2000Lossless, JPEG2000)
"""All are tried, as there are files of these that Pillow cannot read. Of JPEG and JPEG-LS, what Pillow and
CharLS cannot read is damaged, and at some of it GDCM ends the process."""

LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000})
"""Transfer syntaxes in which a value may come back as a neighbour of itself."""

_BITS_OF_JPEG = 8
"""Of a sample: neither Pillow's libjpeg nor pydicom's GDCM takes more in lossy JPEG."""


@dataclass(frozen=True)
class Encoded:
    """The pixels of a file, checked and found, so that any frame of them is one reading.

    Attributes:
        pixels: what the header says of them, set right.
        vr: of their element; empty where it is implicit.
        start: of native pixels in the file.
        frames: where each compressed frame lies; empty for native pixels.
    """

    pixels: Stored
    vr: bytes
    start: int
    frames: Sequence[Frame] = ()


def find_frames(header: Opened, pixels: Stored) -> Encoded:
    """Find the frames of a file.

    Args:
        header: whose file stands at the element with the pixels.
        pixels: of this header.

    Raises:
        ImageRefused: the file is cut short or damaged, or there is no decoder for it.
    """
    _, vr, length = pixel_element(header, past=True)
    if not get_decoder_for(pixels):
        raise ImageRefused("unsupported", f"no decoder for {pixels.syntax.name}")
    start = header.file.tell()
    if not pixels.syntax.is_encapsulated:
        return Encoded(_check_length(header, pixels, length), vr, start)
    # An element of fragments that says how long it is, against the standard, ends there.
    end = header.size if length == UNDEFINED else start + length
    if end > header.size:
        raise ImageRefused("truncated", "the file ends within its compressed pixels")
    return Encoded(pixels, vr, start, frame_places(header.file, end, pixels.frames))


@dataclass(frozen=True)
class StoredValues:
    """A frame as it was stored.

    Attributes:
        values: (rows, columns) or (rows, columns, 3).
        photometric: what they are; YBR has become RGB.
        note: what was done to make them right, in words.
    """

    values: NDArray[Any]
    photometric: str
    note: str = ""


def decoded_frame(file: BinaryIO, encoded: Encoded, index: int) -> StoredValues:
    """Decode a frame.

    Args:
        file: of these pixels.
        encoded: the pixels.
        index: of the frame, from 0.

    Raises:
        ImageRefused: the file is cut short, or the frame cannot be decoded.
    """
    pixels = encoded.pixels
    if pixels.syntax.is_encapsulated:
        most = pixels.frame_bits // 8 * MAX_EXPANSION + _ROOM
        frame = read_frame_bytes(file, encoded.frames[index], most)
        colours = pixels.samples > 1 and pixels.syntax != RLELossless
        return _decoded(encoded, _checked(pixels, frame), 0, colours and decodes_to_rgb(frame))
    return _decoded(encoded, *_native(file, encoded, index))


def get_decoder_for(pixels: Stored) -> tuple[str, ...]:
    """The decoders that can be tried on a transfer syntax, in their order; for native pixels one nameless."""
    try:
        decoder = get_decoder(pixels.syntax)
    except NotImplementedError:
        return ()
    if not pixels.syntax.is_encapsulated:
        return ("",)
    available = decoder.available_plugins
    usable = tuple(name for name in _PREFERRED if name in available)
    return usable if pixels.syntax in _SECOND else usable[:1]


def _options(encoded: Encoded, place: int) -> dict[str, Any]:
    """What pydicom's decoders have to be told of a frame at its place in some bytes."""
    pixels, vr = encoded.pixels, encoded.vr
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": pixels.samples,
        "photometric_interpretation": pixels.photometric,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "pixel_representation": int(pixels.signed),
        "pixel_keyword": pixels.keyword,
        "number_of_frames": place + 1,
    }
    if pixels.samples > 1:
        options["planar_configuration"] = pixels.planar
    if vr:
        options["pixel_vr"] = vr.decode("latin-1")
    if are_words(pixels):
        options["correct_unused_bits"] = False
    return options


def _check_length(header: Opened, pixels: Stored, length: int) -> Stored:
    """Compare what native pixels there are with what there have to be; the header, set right."""
    there = min(length, header.size - header.file.tell())
    needed = -(-pixels.frame_bits * pixels.frames // 8)
    if there < needed:
        raise ImageRefused("truncated", f"{needed} bytes of pixels expected, {max(there, 0)} found")
    if length == UNDEFINED:
        raise ImageRefused("damaged", "its pixels are compressed, but the file does not say how")
    full = pixels.rows * pixels.columns * 3 * pixels.frames * pixels.bits_allocated // 8
    if pixels.photometric == "YBR_FULL_422" and there >= full:
        # Writers exist that name the subsampling of the JPEG that the pixels once were.
        return replace(pixels, photometric="YBR_FULL")
    return pixels


def _native(file: BinaryIO, encoded: Encoded, index: int) -> tuple[bytes, int]:
    """The bytes that hold a frame, and the frame's place in them."""
    # Frames that begin within a byte (1 bit allocated) or within a word (8 bits stored as words, big endian)
    # are read with their neighbours, up to the next frame that begins with a word.
    bits, pixels = encoded.pixels.frame_bits, encoded.pixels
    step = next(n for n in (1, 2, 4, 8, 16) if bits * n % 16 == 0)
    first = index - index % step
    file.seek(encoded.start + first * bits // 8)
    count = min(step, pixels.frames - first)
    data = file.read(-(-bits * count // 16) * 2)
    if len(data) * 8 < (index - first + 1) * bits:
        raise ImageRefused("truncated", "the file ends within its pixels")
    return data + bytes(-len(data) % 2), index - first


def _checked(pixels: Stored, frame: bytes) -> bytes:
    """A frame encapsulated by itself, if it says of itself what the header does: decoders take its word."""
    if pixels.syntax == RLELossless:
        return encapsulate([frame], has_bot=False)
    found = size_in_codestream(frame)
    if found is None:
        raise ImageRefused("damaged", f"a compressed frame is not {pixels.syntax.name}")
    if pixels.syntax == JPEGExtended12Bit and found.bits > _BITS_OF_JPEG:
        raise ImageRefused("unsupported", f"no decoder for {pixels.syntax.name} of {found.bits} bits")
    if END_OF_CODESTREAM not in frame[-_PADDING:]:
        # GDCM gives a part of the picture without a word.
        raise ImageRefused("truncated", "a compressed frame has no end")
    # Of bits there may be fewer: 12 of 16.
    bits = min(found.bits, pixels.bits_allocated)
    expected = CodestreamSize(pixels.rows, pixels.columns, pixels.samples, bits)
    if found != expected:
        raise ImageRefused("damaged", f"a compressed frame holds {found}; its header promises {expected}")
    return encapsulate([with_plain_ids(frame)], has_bot=False)


def _decoded(encoded: Encoded, source: bytes, place: int, is_rgb: bool = False) -> StoredValues:
    """Decode one frame with the first decoder that can; `is_rgb`: it has become RGB by that."""
    pixels = encoded.pixels
    if pixels.bits_allocated == 1 and not pixels.syntax.is_encapsulated:
        return StoredValues(unpacked(pixels, source, place), pixels.photometric)
    decoder, options = get_decoder(pixels.syntax), _options(encoded, place)
    failed: list[str] = []
    for name in get_decoder_for(pixels):
        try:
            frame, facts = decoder.as_array(
                source,
                index=place,
                validate=False,
                raw=True,
                decoding_plugin=name,
                **options,
            )
        except MemoryError:
            raise
        except Exception as error:
            failed.append(_last_line(error))
            continue
        photometric = str(facts.get("photometric_interpretation", pixels.photometric))
        if is_rgb and photometric in _WITH_CHROMINANCE:
            return _values(pixels, frame, "RGB", "colours are RGB by the codestream")
        return _values(pixels, frame, "RGB" if is_rgb else photometric)
    reasons = "; ".join(failed)
    raise ImageRefused("damaged", f"its {pixels.syntax.name} pixels cannot be decoded ({reasons})")


def _values(pixels: Stored, frame: NDArray[Any], photometric: str, note: str = "") -> StoredValues:
    """What a decoder gave, without what stands beside the values, in RGB where it has colours."""
    note = "; ".join(filter(None, [pixels.note, note]))
    if not pixels.floating:
        frame, unused = stored_bits(frame, pixels, pixels.syntax in LOSSY)
        note = "; ".join(filter(None, [note, "unused bits left out" if unused else ""]))
    if photometric in _WITH_CHROMINANCE:
        return StoredValues(rgb(frame), "RGB", note)
    return StoredValues(frame, photometric, note)


def _last_line(error: Exception) -> str:
    """Which decoder says what: it sees pixels only, so that nothing of the header is in it."""
    lines = str(error).strip().splitlines()
    line = (lines[-1] if lines else "").strip() or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in line)[:120]
