from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ImageRefused
from imageclef.images.dicom import frames as module
from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.frames import describe, read_frame, read_frames
from tests.images.dicom.made_up import UID_OF_IMAGE, write

FIVE = np.arange(5, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("first", [1]),
        ("middle", [3]),
        ("every-2", [1, 3, 5]),
        ("every-1", [1, 2, 3, 4, 5]),
        ("every-99", [1]),
        ("all", [1, 2, 3, 4, 5]),
    ],
)
def test_frames_are_chosen_and_named_by_their_number(tmp_path: Path, text: str, numbers: list[int]) -> None:
    path = write(tmp_path / "a", FIVE)
    frames = list(read_frames(path, frames=FrameChoice(text)))
    names = [f"{UID_OF_IMAGE}#{number}" for number in numbers]
    assert [frame.frame_name for frame in frames] == names
    assert [frame.pixels[0, 0] for frame in frames] == [number - 1 for number in numbers]
    assert describe(path, FrameChoice(text)).frames == dict(zip(names, numbers, strict=True))


def test_the_one_frame_of_a_file_has_its_id(tmp_path: Path) -> None:
    for name, pixels in (("a", FIVE[0]), ("b", FIVE[:1])):
        path = write(tmp_path / name, pixels)
        assert [frame.frame_name for frame in read_frames(path, frames=FrameChoice("all"))] == [UID_OF_IMAGE]


def test_a_frame_is_read_by_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a", FIVE)
    frame = read_frame(path, 4)
    assert (frame.frame_name, frame.pixels[0, 0]) == (f"{UID_OF_IMAGE}#4", 3)
    assert frame.applied == "range of the stored bits; frame 4 of 5"
    for number in (0, 6):
        with pytest.raises(ImageRefused, match=f"frame {number} of 5"):
            read_frame(path, number)


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a", FIVE)
    first, second = ([frame.pixels for frame in read_frames(path, frames=FrameChoice("all"))] for _ in "12")
    np.testing.assert_array_equal(first, second)


def test_whatever_goes_wrong_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageRefused, match="No such file or directory"):
        read_frame(tmp_path / "none")
    with pytest.raises(ImageRefused, match="not a regular file"):
        read_frame(tmp_path)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("DOE^JANE")

    monkeypatch.setattr(module, "picture", fail)
    with pytest.raises(ImageRefused, match=r"^damaged: DICOM file \(ZeroDivisionError\)$"):
        read_frame(write(tmp_path / "a", FIVE))


def test_frames_of_one_file_cost_one_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, path = [], write(tmp_path / "a", FIVE)
    really = module.opened
    monkeypatch.setattr(module, "opened", lambda *given: (opened.append(given), really(*given))[1])
    assert [read_frame(path, number).pixels[0, 0] for number in (3, 1, 5, 2)] == [2, 0, 4, 1]
    assert len(opened) == 1
    other = write(tmp_path / "b", FIVE + 9)
    assert [read_frame(one, 1).pixels[0, 0] for one in (other, path)] == [9, 0]
    assert len(opened) == 3


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a", FIVE)
    assert read_frame(path, 1).pixels.shape == (4, 4)
    write(path, FIVE[:, :, :2] + 7)
    assert read_frame(path, 1).pixels.shape == (4, 2)
    assert read_frame(path, 5).pixels[0, 0] == 11
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ImageRefused, match="truncated"):
        read_frame(path, 1)


def test_more_frames_than_names_are_kept_for_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", FIVE, NumberOfFrames=2_000_000_000)
    assert len(describe(path).frames) == 1
    with pytest.raises(ImageRefused, match="too large: 2000000000 frames; at most 262144 are taken"):
        describe(path, FrameChoice("all"))
