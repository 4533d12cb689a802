"""Where the compressed frames of a DICOM file lie, found in one walk over its fragments.

A frame is one fragment or several. Where there are as many fragments as frames each is one; else the basic
offset table says where frames begin; else a frame ends with the fragment that holds the end of a codestream.
The extended offset table is not needed: with it every frame is one fragment.

Reference: DICOM PS3.5, A.4 (transfer syntaxes for encapsulation) and 7.5 (items); PS3.3, C.7.6.3.1.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import BinaryIO

import numpy as np

from imageclef.errors import ImageRefused

MOST_FRAGMENTS = 2**18
"""More are not walked over: a file of nothing but empty fragments would take minutes."""

END_OF_CODESTREAM = b"\xff\xd9"
"""Of JPEG, JPEG-LS and JPEG 2000 alike."""

_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
_HEAD = Struct("<HHI")
_LAST_BYTES = 10
"""Where a fragment that ends a codestream has its end, padding included."""


@dataclass(frozen=True)
class Fragment:
    """A part of a compressed frame.

    Attributes:
        start: of its bytes in the file.
        length: their number.
    """

    start: int
    length: int


Frame = tuple[Fragment, ...]


def frame_places(file: BinaryIO, end: int, count: int) -> tuple[Frame, ...]:
    """Find the fragments of every frame.

    Args:
        file: at the first item, which is the basic offset table.
        end: no fragment may reach beyond.
        count: of the frames that the header promises.

    Raises:
        ImageRefused: the file is cut short or damaged, or its frames cannot be told apart.
    """
    table, *fragments = _walk(file, end)
    if len(fragments) < count:
        raise ImageRefused("truncated", f"{len(fragments)} compressed frames; expected {count}")
    if len(fragments) == count:
        return tuple((fragment,) for fragment in fragments)
    if count == 1:
        return (tuple(fragments),)
    starts = _by_table(file, table, fragments) or _by_ends(file, fragments)
    if len(starts) < count:
        raise ImageRefused("damaged", "its compressed frames cannot be told apart")
    ends = [*starts[1:], len(fragments)]
    frames = tuple(tuple(fragments[first:last]) for first, last in zip(starts, ends, strict=True))
    return frames[:count]


def read_frame_bytes(file: BinaryIO, frame: Frame, most: int) -> bytes:
    """The bytes of a frame.

    Args:
        file: of the frame.
        frame: its fragments.
        most: bytes that its pixels can need.

    Raises:
        ImageRefused: there are more, or the file has become shorter.
    """
    length = sum(fragment.length for fragment in frame)
    if length > most:
        raise ImageRefused("damaged", f"a compressed frame of {length} bytes, more than its pixels can need")
    parts = []
    for fragment in frame:
        file.seek(fragment.start)
        parts.append(file.read(fragment.length))
    data = b"".join(parts)
    if len(data) < length:
        raise ImageRefused("truncated", "the file ends within its compressed pixels")
    return data


def _walk(file: BinaryIO, end: int) -> list[Fragment]:
    """Every item, the table of offsets first."""
    items: list[Fragment] = []
    while file.tell() < end and len(head := file.read(_HEAD.size)) == _HEAD.size:
        group, element, length = _HEAD.unpack(head)
        tag = group << 16 | element
        if tag == _END:
            break
        if tag != _ITEM or length == _UNDEFINED:
            raise ImageRefused("damaged", "its compressed pixels are not a sequence of fragments")
        if file.tell() + length > end:
            raise ImageRefused("truncated", "the file ends within its compressed pixels")
        if len(items) > MOST_FRAGMENTS:
            raise ImageRefused("too large", f"more than {MOST_FRAGMENTS} compressed fragments")
        items.append(Fragment(file.tell(), length))
        file.seek(length, 1)
    return items or [Fragment(end, 0)]


def _by_table(file: BinaryIO, table: Fragment, fragments: Sequence[Fragment]) -> list[int]:
    """The first fragment of every frame by the table of offsets; none where it is empty or not theirs."""
    file.seek(table.start)
    offsets = np.frombuffer(file.read(table.length // 4 * 4), "<u4").tolist()
    place = {fragment.start - fragments[0].start: number for number, fragment in enumerate(fragments)}
    starts = [place.get(offset, -1) for offset in offsets]
    rising = all(earlier < later for earlier, later in pairwise(starts))
    return starts if starts[:1] == [0] and rising else []


def _by_ends(file: BinaryIO, fragments: Sequence[Fragment]) -> list[int]:
    """The first fragment of every frame: that after one which ends a codestream."""
    starts = [0]
    for number, fragment in enumerate(fragments, start=1):
        file.seek(fragment.start + max(0, fragment.length - _LAST_BYTES))
        if END_OF_CODESTREAM in file.read(min(fragment.length, _LAST_BYTES)):
            starts.append(number)
    return [start for start in starts if start < len(fragments)]
