from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from imageclef.errors import DataError
from imageclef.images.dicom.directory import read_directory
from tests.images.dicom.made_up import item, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DIRECTORY = "1.2.840.10008.1.3.10"
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


def record(file_id: str | list[str] | None, kind: str = "IMAGE", in_use: int = 0xFFFF) -> Dataset:
    made = item(DirectoryRecordType=kind, RecordInUseFlag=in_use, OffsetOfTheNextDirectoryRecord=0)
    if file_id is not None:
        made.ReferencedFileID = file_id
    return made


def listing(folder: Path, *records: Dataset) -> Any:
    write(folder / "DICOMDIR", None, SOPClassUID=DIRECTORY, DirectoryRecordSequence=list(records))
    return read_directory(folder / "DICOMDIR")


def test_pydicoms_directories() -> None:
    path = Path(str(get_testdata_file("DICOMDIR")))
    found = read_directory(path)
    assert len(found.files) == 31
    assert found.missing == []
    assert all(file.is_file() and file.is_relative_to(path.parent) for file in found.files)
    reordered = read_directory(path.with_name("DICOMDIR-reordered"))
    assert sorted(reordered.files) == sorted(found.files)
    assert read_directory(path.with_name("DICOMDIR-bigEnd")).files == found.files
    assert read_directory(path.with_name("DICOMDIR-empty.dcm")).files == []


def test_files_are_found_in_any_case_and_with_the_suffixes_of_media(tmp_path: Path) -> None:
    (tmp_path / "images" / "Ct1").mkdir(parents=True)
    for name in ("IM1", "im2", "IM3.dcm", "im4.DCM", "IM5;1"):
        write(tmp_path / "images" / "Ct1" / name, RAMP)
    found = listing(
        tmp_path, record(None, "PATIENT"), *(record(["IMAGES", "CT1", f"IM{n}"]) for n in range(1, 7))
    )
    assert [file.name for file in found.files] == ["IM1", "im2", "IM3.dcm", "im4.DCM", "IM5;1"]
    assert found.missing == ["IMAGES/CT1/IM6"]


def test_records_without_a_picture_are_counted_and_those_out_of_use_are_not(tmp_path: Path) -> None:
    write(tmp_path / "IM1", RAMP)
    write(tmp_path / "IM2", RAMP)
    found = listing(
        tmp_path,
        record("IM1"),
        record("IM1"),
        record("IM2", in_use=0),
        record("SR1", "SR DOCUMENT"),
        record("PR1", "PRESENTATION"),
        record("PR2", "PRESENTATION"),
    )
    assert [file.name for file in found.files] == ["IM1"]
    assert found.skipped == Counter({"PRESENTATION": 2, "SR DOCUMENT": 1})
    assert found.missing == []


@pytest.mark.parametrize("file_id", [["..", "IM1"], "../IM1", ["IN", "..", "..", "IM1"], "/IM1", ["LINK"]])
def test_nothing_outside_of_the_folder_is_opened(tmp_path: Path, file_id: Any) -> None:
    write(tmp_path / "IM1", RAMP)
    inside = tmp_path / "inside"
    (inside / "IN").mkdir(parents=True)
    (inside / "LINK").symlink_to(tmp_path / "IM1")
    found = listing(inside, record(file_id))
    assert found.files == []
    assert len(found.missing) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="DICOMDIR: No such file or directory; expected a DICOMDIR"):
        read_directory(tmp_path / "DICOMDIR")
    write(tmp_path / "a", RAMP)
    with pytest.raises(DataError, match="no directory records; expected a DICOMDIR"):
        read_directory(tmp_path / "a")
    (tmp_path / "b").write_text("text")
    with pytest.raises(DataError, match="not a DICOM file; expected a DICOMDIR"):
        read_directory(tmp_path / "b")
