from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import DataError
from imageclef.images.dicom.choice import DicomChoice, FrameChoice
from imageclef.images.dicom.frames import read_frame
from imageclef.images.dicom.recognition import file_and_frame
from imageclef.images.dicom.survey import survey
from tests.images.dicom.made_up import SR, write

FLAT = np.arange(16, dtype=np.uint8).reshape(4, 4)
SALT = b"a salt of enough"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a", FLAT, SOPInstanceUID="1.1", PatientID="7", Modality="CR", BodyPartExamined="CHEST")
    write(tmp_path / "b", np.stack([FLAT + n for n in range(5)]), SOPInstanceUID="1.2", PatientID="7")
    write(tmp_path / "c", None, SOPClassUID=SR)
    write(tmp_path / "d", None, SOPClassUID=SR)
    write(tmp_path / "e", FLAT, Rows=0)
    write(tmp_path / "f", FLAT, SOPInstanceUID="1.3", PatientID="8")
    return tmp_path


def test_pictures_are_found_with_their_groups_and_metadata(folder: Path) -> None:
    seen: list[int] = []
    found = survey(folder, "abcdef", DicomChoice(FrameChoice("every-2"), salt=SALT), seen.append)
    assert [(image.image_id, image.path) for image in found.images] == [
        ("1.1", "a"),
        ("1.2#1", "b#1"),
        ("1.2#3", "b#3"),
        ("1.2#5", "b#5"),
        ("1.3", "f"),
    ]
    groups = found.groups()
    assert groups["1.1"] == groups["1.2#1"] == groups["1.2#5"] != groups["1.3"]
    metadata = found.metadata()
    assert metadata.loc["1.1", ["modality", "body_part", "rows"]].tolist() == ["CR", "CHEST", "4"]
    assert metadata.query("modality == 'CT'").index.tolist() == ["1.2#1", "1.2#3", "1.2#5", "1.3"]
    assert sum(seen) == 6


def test_what_holds_no_picture_is_counted_and_what_is_damaged_named(folder: Path) -> None:
    found = survey(folder, "abcdef", DicomChoice())
    assert found.skipped == {"Comprehensive SR Storage": 2}
    assert found.refused == [("e", "damaged", "4x0 pixels in 1 frames; expected 1 or more")]
    (folder / "g").write_text("text")
    assert survey(folder, ["g", "none"], DicomChoice()).refused == [
        ("g", "not an image", "not a DICOM file"),
        ("none", "unreadable", "No such file or directory"),
    ]


def test_the_path_of_a_frame_leads_to_it(folder: Path) -> None:
    for image in survey(folder, "ab", DicomChoice(FrameChoice("all"))).images:
        file, number = file_and_frame(folder / image.path)
        assert read_frame(file, number).frame_name == image.image_id


def test_a_folder_without_pictures(folder: Path) -> None:
    found = survey(folder, ["c"], DicomChoice())
    assert found.images == []
    assert found.metadata().empty
    assert "modality" in found.metadata().columns


def test_a_short_salt_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="expected at least 16"):
        survey(folder, "a", DicomChoice(salt=b"short"))
