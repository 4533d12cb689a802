"""What the header of a compressed frame says of its size and colours: JPEG, JPEG-LS and JPEG 2000.

Decoders take memory for what stands here, whatever the DICOM header says.

Reference: ITU-T T.81, B.2.2 (frame header) and B.2.3 (scan header); ITU-T T.87, C.2.2; ITU-T T.800, A.5.1
(SIZ) and A.6.1 (COD); ITU-T T.872, 6.5.3 (Adobe's marker).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

_JPEG_START, _JP2_START = b"\xff\xd8", b"\x00\x00\x00\x0cjP  "
_J2K_START = b"\xff\x4f\xff\x51"
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Start of frame: all but tables of Huffman codes, an extension, and conditioning; F7 is JPEG-LS."""
_ALONE = {0x01, *range(0xD0, 0xD8)}
_START_OF_SCAN, _END, _ADOBE = 0xDA, 0xD9, 0xEE
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_CODING_STYLE, _TRANSFORM = b"\xff\x52", 8
_SIZES = Struct(">IIIIIIIIH")
_FRAME = Struct(">BHHB")


@dataclass(frozen=True)
class CodestreamSize:
    """Size of a compressed frame.

    Attributes:
        rows: height in pixels.
        columns: width in pixels.
        components: samples of a pixel.
        bits: of a sample.
    """

    rows: int
    columns: int
    components: int
    bits: int

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows} pixels of {self.components} samples of {self.bits} bits"


def size_in_codestream(frame: bytes) -> CodestreamSize | None:
    """Find the size; None where the frame is in none of the three formats, or ends before it says."""
    if frame.startswith(_JPEG_START):
        return _jpeg(frame)
    if frame.startswith(_JP2_START):
        start = frame.find(_J2K_START)
        return _jpeg_2000(frame, start) if start >= 0 else None
    return _jpeg_2000(frame, 0) if frame.startswith(_J2K_START) else None


def decodes_to_rgb(frame: bytes) -> bool:
    """Whether a decoder makes RGB of a frame of three components, whatever the DICOM header calls them.

    JPEG 2000 says so by its multiple component transform, JPEG by Adobe's marker or by component ids R, G, B.
    """
    if frame.startswith(_JPEG_START):
        return _is_huffman(frame) and (_segment(frame, _ADOBE).startswith(b"Adobe") or _ids_are_rgb(frame))
    start = frame.find(_J2K_START)
    at = start + len(_J2K_START)
    while start >= 0 and at + 4 <= len(frame):
        if frame[at : at + 2] == _CODING_STYLE:
            return frame[at + _TRANSFORM : at + _TRANSFORM + 1] == b"\1"
        if at > start + len(_J2K_START) and frame[at : at + 1] != b"\xff":
            return False
        # The first length is that of SIZ, whose marker is part of the start.
        skip = 0 if at == start + len(_J2K_START) else 2
        at += skip + int.from_bytes(frame[at + skip : at + skip + 2])
    return False


def with_plain_ids(frame: bytes) -> bytes:
    """A JPEG whose component ids are R, G, B with 1, 2, 3 instead; every other frame as it is.

    By the ids libjpeg takes its samples for RGB, and then fails where it is asked for them as they are.
    """
    if not frame.startswith(_JPEG_START) or not _ids_are_rgb(frame):
        return frame
    data = bytearray(frame)
    for marker, start, step in ((None, 6, 3), (_START_OF_SCAN, 1, 2)):
        for at in _places(frame, marker):
            first, count = at + 4 + start, frame[at + 4 + start - 1]
            for place in range(first, min(first + count * step, len(data)), step):
                data[place] = {82: 1, 71: 2, 66: 3}.get(data[place], data[place])
    return bytes(data)


def _ids_are_rgb(frame: bytes) -> bool:
    at = next(iter(_places(frame, None)), None)
    return at is not None and _is_huffman(frame) and frame[at + 10 : at + 19 : 3] == b"RGB"


def _is_huffman(frame: bytes) -> bool:
    """Whether the frame is one of those that libjpeg decodes."""
    at = next(iter(_places(frame, None)), None)
    return at is not None and frame[at + 1] in _HUFFMAN


def _segment(frame: bytes, marker: int) -> bytes:
    at = next(iter(_places(frame, marker)), None)
    return b"" if at is None else frame[at + 4 : at + 2 + int.from_bytes(frame[at + 2 : at + 4])]


def _places(frame: bytes, wanted: int | None) -> list[int]:
    """Where segments of a marker stand up to the first scan; None stands for the frame header.

    Of further scans only the headers are looked for, as they alone name components again.
    """
    found, at = [], 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            break
        if marker == wanted or (wanted is None and marker in _FRAME_HEADERS):
            found.append(at)
        at += 2 + int.from_bytes(frame[at + 2 : at + 4])
        if marker == _START_OF_SCAN:
            if wanted != _START_OF_SCAN:
                break
            at = _next_marker(frame, at)
    return found


def _next_marker(frame: bytes, at: int) -> int:
    """Find the end of a scan's data: a marker that is no stuffed byte and no restart."""
    while (at := frame.find(b"\xff", at)) >= 0 and at + 1 < len(frame):
        if frame[at + 1] != 0 and frame[at + 1] not in _ALONE:
            return at
        at += 2
    return len(frame)


def _jpeg(frame: bytes) -> CodestreamSize | None:
    at = 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker in (_START_OF_SCAN, _END):
            return None
        if marker in _FRAME_HEADERS:
            if at + 4 + _FRAME.size > len(frame):
                return None
            bits, rows, columns, components = _FRAME.unpack_from(frame, at + 4)
            return CodestreamSize(rows, columns, components, bits)
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


def _jpeg_2000(frame: bytes, start: int) -> CodestreamSize | None:
    at = start + len(_J2K_START) + 4  # past the length and the capabilities
    if at + _SIZES.size >= len(frame):
        return None
    right, bottom, left, top, *_, components = _SIZES.unpack_from(frame, at)
    bits = (frame[at + _SIZES.size] & 0x7F) + 1  # of the first component; its highest bit is the sign
    return CodestreamSize(bottom - top, right - left, components, bits)
