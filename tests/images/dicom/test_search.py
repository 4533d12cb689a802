"""A DICOMDIR beside the files of a folder, or in place of the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from imageclef.data.collection import find_images
from imageclef.errors import DataError
from imageclef.images.dicom.choice import DicomChoice, FrameChoice
from tests.images.dicom.made_up import SR, item, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DIRECTORY = "1.2.840.10008.1.3.10"
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
CHOICE = DicomChoice(salt=b"a salt of enough")


def bare(path: Path, uid: str) -> Path:
    """A data set without a preamble, of an odd name."""
    data = write(path, RAMP, SOPInstanceUID=uid).read_bytes()
    path.write_bytes(data[data.index(b"\x08\0\x16\0", 132) :])
    return path


def listing(folder: Path, *file_ids: list[str], kind: str = "IMAGE") -> Path:
    records = [
        item(DirectoryRecordType=kind, RecordInUseFlag=0xFFFF, ReferencedFileID=file_id)
        for file_id in file_ids
    ]
    return write(folder / "DICOMDIR", None, SOPClassUID=DIRECTORY, DirectoryRecordSequence=records)


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A disc in a folder: two files that its directory names, one of them bare, and one that it does not."""
    disc = tmp_path / "disc"
    (disc / "A").mkdir(parents=True)
    write(disc / "A" / "IM1", RAMP, SOPInstanceUID="1.1")
    bare(disc / "A" / "IM2", "1.2")
    write(disc / "A" / "OTHER", RAMP, SOPInstanceUID="1.3")
    write(disc / "A" / "SR1", None, SOPClassUID=SR)
    listing(disc, ["A", "IM2"], ["A", "IM1"], ["A", "LOST"], ["..", "OUT"])
    write(tmp_path / "OUT", RAMP, SOPInstanceUID="1.4")
    return disc


def found(folder: Path, listing: Path | None = None, choice: DicomChoice = CHOICE) -> dict[str, str]:
    return {image.image_id: image.path for image in find_images(folder, choice, listing).images}


def test_a_directory_tells_what_bare_files_are(disc: Path) -> None:
    assert found(disc.parent) == {
        "1.1": "disc/A/IM1",
        "1.2": "disc/A/IM2",
        "1.3": "disc/A/OTHER",
        "1.4": "OUT",
    }
    (disc / "DICOMDIR").unlink()
    assert "1.2" not in found(disc.parent)
    assert "1.2" in found(disc.parent, choice=DicomChoice(headerless=True))


def test_a_collection_may_be_what_a_directory_names(disc: Path) -> None:
    assert found(disc, disc / "DICOMDIR") == {"1.1": "A/IM1", "1.2": "A/IM2"}


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_not_there_is_named(disc: Path, alone: bool) -> None:
    refused = find_images(disc, CHOICE, disc / "DICOMDIR" if alone else None).refused
    assert [refusal.path for refusal in refused] == ["../OUT", "A/LOST"]
    assert all("named by DICOMDIR, but not in its folder" in refusal.reason for refusal in refused)


def test_objects_without_a_picture_are_counted(disc: Path) -> None:
    listing(disc, ["A", "IM1"], ["A", "SR1"])
    survey = find_images(disc, CHOICE, disc / "DICOMDIR").dicom
    assert survey is not None
    assert survey.skipped == {"Comprehensive SR Storage": 1}
    walked = find_images(disc, CHOICE).dicom
    assert walked is not None
    assert set(walked.skipped) == {
        "Comprehensive SR Storage",
        "Media Storage Directory Storage",
    }


def test_a_damaged_directory_is_named_and_the_folder_read_all_the_same(disc: Path) -> None:
    write(disc / "DICOMDIR", None, SOPClassUID=DIRECTORY)
    images = find_images(disc, CHOICE)
    assert [image.image_id for image in images.images] == ["1.1", "1.3"]
    (refusal,) = images.refused
    assert refusal.path == "DICOMDIR"
    assert refusal.reason.endswith("no directory records; expected a DICOMDIR")
    with pytest.raises(DataError, match="no directory records; expected a DICOMDIR"):
        find_images(disc, CHOICE, disc / "DICOMDIR")


def test_a_file_that_a_directory_names_and_that_is_no_dicom_is_refused(disc: Path) -> None:
    (disc / "A" / "IM2").write_text("hello")
    (refusal,) = [one for one in find_images(disc, CHOICE, disc / "DICOMDIR").refused if "IM2" in one.path]
    assert "not a DICOM file" in refusal.reason


def test_a_real_directory() -> None:
    path = Path(str(get_testdata_file("DICOMDIR")))
    images = find_images(path.parent, DicomChoice(FrameChoice("all")), path)
    assert len(images.images) == 31
    assert images.refused == []


def test_records_of_reports_are_counted(disc: Path) -> None:
    records: list[Dataset] = [
        item(DirectoryRecordType=kind, RecordInUseFlag=0xFFFF, ReferencedFileID=["A", name])
        for kind, name in (("IMAGE", "IM1"), ("SR DOCUMENT", "SR1"), ("SR DOCUMENT", "LOST"))
    ]
    write(disc / "DICOMDIR", None, SOPClassUID=DIRECTORY, DirectoryRecordSequence=records)
    survey = find_images(disc, CHOICE, disc / "DICOMDIR").dicom
    assert survey is not None
    assert survey.skipped == {"SR DOCUMENT": 2}
