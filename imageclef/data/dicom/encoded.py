"""The pixels of a DICOM file as it stores them: bounded, found, and decoded one frame at a time.

pydicom's own decoders do the work: native and RLE itself, JPEG and JPEG 2000 Pillow, the rest GDCM. What a
header promises is compared with what the file holds, and with what each compressed frame says of itself,
before a decoder sees it.

Reference: DICOM PS3.5, section 8 and annex A (native and encapsulated pixels); PS3.3, C.7.6.3 (Image Pixel).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import islice
from struct import Struct
from struct import error as struct_error
from typing import Any

from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEG2000, JPEG2000Lossless, RLELossless

from imageclef.data.dicom.codestream import CodestreamSize, size_in_codestream
from imageclef.data.dicom.header import MAX_INFLATED, Opened, value_of
from imageclef.data.dicom.samples import are_words, rgb, stored_bits, unpacked
from imageclef.data.dicom.stored import Stored, pixel_element
from imageclef.errors import ImageRefused

_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
_ITEM_HEADER = 8
_END_OF_CODESTREAM = b"\xff\xd9"
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


def decoded_frames(
    header: Opened, pixels: Stored, indices: Sequence[int]
) -> Iterator[tuple[NDArray[Any], str]]:
    """Decode some frames, one after the other.

    Args:
        header: whose file stands at the element with the pixels.
        pixels: of this header.
        indices: of the frames, from 0, rising.

    Yields:
        Values as stored (rows, columns) or (rows, columns, 3), and their photometric interpretation: YBR has
        become RGB.

    Raises:
        ImageRefused: the file is cut short, or a frame cannot be decoded.
    """
    _, vr, length = pixel_element(header, past=True)
    if not get_decoder_for(pixels):
        raise ImageRefused(f"no decoder for {pixels.syntax.name}")
    if pixels.syntax.is_encapsulated:
        sources = _compressed(header if length == _UNDEFINED else _cut(header, length), pixels, indices)
    else:
        pixels = _check_length(header, pixels, length)
        sources = _native(header, pixels, indices)
    options = _options(pixels, vr)
    for source, place in sources:
        yield _decoded(pixels, source, place, options)


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


def _options(pixels: Stored, vr: bytes) -> dict[str, Any]:
    """What pydicom's decoders have to be told."""
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": pixels.samples,
        "photometric_interpretation": pixels.photometric,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "pixel_representation": int(pixels.signed),
        "pixel_keyword": pixels.keyword,
        "number_of_frames": 1,
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
        raise ImageRefused(f"truncated: {needed} bytes of pixels expected, {max(there, 0)} found")
    if length == _UNDEFINED:
        raise ImageRefused("its pixels are compressed, but the file does not say how")
    full = pixels.rows * pixels.columns * 3 * pixels.frames * pixels.bits_allocated // 8
    if pixels.photometric == "YBR_FULL_422" and there >= full:
        # Writers exist that name the subsampling of the JPEG that the pixels once were.
        return replace(pixels, photometric="YBR_FULL")
    return pixels


def _native(header: Opened, pixels: Stored, indices: Sequence[int]) -> Iterator[tuple[bytes, int]]:
    """The bytes that hold each frame, and the frame's place in them."""
    start = header.file.tell()
    # Frames that begin within a byte (1 bit allocated) or within a word (8 bits stored as words, big endian)
    # are read with their neighbours, up to the next frame that begins with a word.
    bits = pixels.frame_bits
    step = next(n for n in (1, 2, 4, 8, 16) if bits * n % 16 == 0)
    for index in indices:
        first = index - index % step
        header.file.seek(start + first * bits // 8)
        count = min(step, pixels.frames - first)
        data = header.file.read(-(-bits * count // 16) * 2)
        yield data + bytes(-len(data) % 2), index - first


def _compressed(header: Opened, pixels: Stored, indices: Sequence[int]) -> Iterator[tuple[bytes, int]]:
    """Each frame, encapsulated by itself."""
    file, start = header.file, header.file.tell()
    _check_fragments(header, pixels)
    offsets = value_of(header.dataset, "ExtendedOffsetTable")
    lengths = value_of(header.dataset, "ExtendedOffsetTableLengths")
    options: dict[str, Any] = {"number_of_frames": pixels.frames}
    if offsets and lengths:
        options["extended_offsets"] = (offsets, lengths)
    try:
        if len(indices) == pixels.frames:
            file.seek(start)
            for frame in islice(generate_frames(file, **options), pixels.frames):
                yield _checked(pixels, frame), 0
            return
        for index in indices:
            file.seek(start)
            yield _checked(pixels, get_frame(file, index, **options)), 0
    except (ValueError, IndexError, EOFError, RuntimeError, struct_error):
        raise ImageRefused("its compressed frames cannot be told apart") from None


def _cut(header: Opened, length: int) -> Opened:
    """Fragments whose element says how long it is, against the standard: pydicom would read past its end."""
    if length > header.size - header.file.tell():
        raise ImageRefused("truncated: the file ends within its compressed pixels")
    if length > MAX_INFLATED:
        raise ImageRefused(
            f"{length} bytes of compressed pixels in one piece; at most {MAX_INFLATED} are read"
        )
    return replace(header, file=BytesIO(header.file.read(length)), size=length)


def _check_fragments(header: Opened, pixels: Stored) -> None:
    """Walk over the fragments: each has to end within the file, and there is one for each frame or more."""
    file, order = header.file, Struct("<HHI")
    count = 0
    while len(head := file.read(_ITEM_HEADER)) == _ITEM_HEADER:
        group, element, length = order.unpack(head)
        tag = group << 16 | element
        if tag == _END:
            break
        if tag != _ITEM or length == _UNDEFINED:
            raise ImageRefused("damaged: its compressed pixels are not a sequence of fragments")
        if file.tell() + length > header.size:
            raise ImageRefused("truncated: the file ends within its compressed pixels")
        file.seek(length, 1)
        count += 1
    # The first item is the table of offsets.
    if count - 1 < pixels.frames:
        raise ImageRefused(f"truncated: {max(count - 1, 0)} compressed frames; expected {pixels.frames}")


def _checked(pixels: Stored, frame: bytes) -> bytes:
    """A frame encapsulated by itself, if it says of itself what the header does: decoders take its word."""
    if len(frame) > pixels.frame_bits // 8 * MAX_EXPANSION + _ROOM:
        raise ImageRefused(f"a compressed frame of {len(frame)} bytes, more than its pixels can need")
    if pixels.syntax == RLELossless:
        return encapsulate([frame], has_bot=False)
    found = size_in_codestream(frame)
    if found is None:
        raise ImageRefused(f"a compressed frame is not {pixels.syntax.name}")
    if _END_OF_CODESTREAM not in frame[-_PADDING:]:
        # GDCM gives a part of the picture without a word.
        raise ImageRefused("truncated: a compressed frame has no end")
    # Of bits there may be fewer: 12 of 16.
    bits = min(found.bits, pixels.bits_allocated)
    expected = CodestreamSize(pixels.rows, pixels.columns, pixels.samples, bits)
    if found != expected:
        raise ImageRefused(f"a compressed frame holds {found}; its header promises {expected}")
    return encapsulate([frame], has_bot=False)


def _decoded(pixels: Stored, source: bytes, place: int, options: dict[str, Any]) -> tuple[NDArray[Any], str]:
    """Decode one frame with the first decoder that can."""
    if pixels.bits_allocated == 1 and not pixels.syntax.is_encapsulated:
        return unpacked(pixels, source, place), pixels.photometric
    decoder = get_decoder(pixels.syntax)
    failed: list[str] = []
    for name in get_decoder_for(pixels):
        try:
            frame, facts = decoder.as_array(
                source,
                index=place,
                validate=False,
                raw=True,
                decoding_plugin=name,
                **{**options, "number_of_frames": place + 1},
            )
        except MemoryError:
            raise
        except Exception as error:
            failed.append(_last_line(error))
            continue
        if are_words(pixels):
            frame = stored_bits(frame, pixels)
        photometric = str(facts.get("photometric_interpretation", pixels.photometric))
        return (rgb(frame), "RGB") if photometric in _WITH_CHROMINANCE else (frame, photometric)
    raise ImageRefused(f"its {pixels.syntax.name} pixels cannot be decoded ({'; '.join(failed)})")


def _last_line(error: Exception) -> str:
    """Which decoder says what: it sees pixels only, so that nothing of the header is in it."""
    lines = str(error).strip().splitlines()
    line = (lines[-1] if lines else "").strip() or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in line)[:120]
