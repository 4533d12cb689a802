"""What the header of a compressed frame says of its size: JPEG, JPEG-LS and JPEG 2000.

Decoders take memory for what stands here, whatever the DICOM header says.

Reference: ITU-T T.81, B.2.2 (frame header); ITU-T T.87, C.2.2; ITU-T T.800, A.5.1 (SIZ).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

_JPEG_START, _JP2_START = b"\xff\xd8", b"\x00\x00\x00\x0cjP  "
_J2K_START = b"\xff\x4f\xff\x51"
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Start of frame: all but tables of Huffman codes, an extension, and conditioning; F7 is JPEG-LS."""
_ALONE = {0x01, *range(0xD0, 0xD8)}
_START_OF_SCAN, _END = 0xDA, 0xD9
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
