from __future__ import annotations

from io import BytesIO
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, generate_frames

from imageclef.errors import ImageRefused
from imageclef.images.dicom import fragments as module
from imageclef.images.dicom.fragments import Fragment, frame_places, read_frame_bytes

MOST = 2**20


def frames_of(data: bytes, count: int) -> list[bytes]:
    file = BytesIO(b"header" + data)
    file.seek(6)
    places = frame_places(file, 6 + len(data), count)
    return [read_frame_bytes(file, frame, MOST) for frame in places]


def item(data: bytes) -> bytes:
    return pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


END = pack("<HHI", 0xFFFE, 0xE0DD, 0)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6),
    parts=st.integers(1, 3),
    table=st.booleans(),
)
def test_frames_are_those_that_pydicom_finds(frames: list[bytes], parts: int, table: bool) -> None:
    ended = [frame.replace(b"\xff\xd9", b"") + b"." * 30 + b"\xff\xd9" for frame in frames]
    data = encapsulate(ended, fragments_per_frame=parts, has_bot=table) + END
    found = frames_of(data, len(ended))
    assert found == list(generate_frames(data, number_of_frames=len(ended)))
    assert [frame.rstrip(b"\0") for frame in found] == ended


def test_a_table_of_other_offsets_is_not_followed() -> None:
    parts = [b"a1", b"a2\xff\xd9", b"b1", b"b2\xff\xd9"]
    fragments = b"".join(map(item, parts))
    for table in (b"", pack("<II", 0, 7), pack("<II", 10, 0), pack("<I", 0)[:2]):
        assert frames_of(item(table) + fragments + END, 2) in (
            [b"a1a2\xff\xd9", b"b1b2\xff\xd9"],
            [b"a1", b"a2\xff\xd9b1b2\xff\xd9"],
        )
    assert frames_of(item(pack("<II", 0, 22)) + fragments + END, 2) == [b"a1a2\xff\xd9", b"b1b2\xff\xd9"]


@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [
        (b"", 1, "truncated: 0 compressed frames; expected 1"),
        (item(b"") + item(b"a") + END, 2, "truncated: 1 compressed frames; expected 2"),
        (item(b"") + item(b"a" * 9)[:-1], 1, "truncated: the file ends within its compressed pixels"),
        (item(b"") + b"something else", 1, "damaged: its compressed pixels are not a sequence of fragments"),
        (item(b"") + item(b"a") * 5 + END, 2, "damaged: its compressed frames cannot be told apart"),
    ],
)
def test_what_is_no_sequence_of_frames_is_refused(data: bytes, count: int, reason: str) -> None:
    with pytest.raises(ImageRefused, match=reason):
        frames_of(data, count)


def test_endless_fragments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FRAGMENTS", 8)
    assert len(frames_of(item(b"") * 9, 8)) == 8
    with pytest.raises(ImageRefused, match="too large: more than 8 compressed fragments"):
        frames_of(item(b"") * 10, 8)


def test_a_frame_is_bounded_and_whole() -> None:
    file, frame = BytesIO(b"abcdef"), (Fragment(0, 2), Fragment(4, 2))
    assert read_frame_bytes(file, frame, 4) == b"abef"
    with pytest.raises(ImageRefused, match="damaged: a compressed frame of 4 bytes, more than"):
        read_frame_bytes(file, frame, 3)
    with pytest.raises(ImageRefused, match="truncated: the file ends within"):
        read_frame_bytes(BytesIO(b"abcde"), frame, 4)
