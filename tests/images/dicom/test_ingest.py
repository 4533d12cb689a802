"""DICOM files on the way of all others: found in a folder, decoded, stored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from imageclef import stages
from imageclef.config import Config, ReadingSettings
from imageclef.data.collection import find_images
from imageclef.data.store import ImageStore, build_store
from imageclef.errors import ImageRefused
from imageclef.images.decode import decode
from imageclef.images.dicom.choice import DicomChoice, FrameChoice
from tests.images.dicom.made_up import SR, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
ALL = DicomChoice(FrameChoice("all"), salt=b"a salt of enough")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(RAMP.astype(np.uint8)).save(folder / "plain.png")
    write(folder / "IM1", RAMP, SOPInstanceUID="1.1", PatientID="7", WindowCenter="32", WindowWidth="64")
    write(folder / "sub" / "wrong.jpg", np.stack([RAMP] * 3), SOPInstanceUID="1.2", PatientID="7")
    write(folder / "report", None, SOPClassUID=SR)
    (folder / "notes.txt").write_text("text")
    return folder


def test_files_are_found_by_content(folder: Path) -> None:
    assert [image.image_id for image in find_images(folder).images] == ["plain", "wrong"]
    found = find_images(folder, ALL)
    assert [(image.image_id, image.path) for image in found.images] == [
        ("1.1", "IM1"),
        ("1.2#1", "sub/wrong.jpg#1"),
        ("1.2#2", "sub/wrong.jpg#2"),
        ("1.2#3", "sub/wrong.jpg#3"),
        ("plain", "plain.png"),
    ]
    assert found.refused == []
    assert found.dicom is not None
    assert sum(found.dicom.skipped.values()) == 1
    assert len(set(found.dicom.groups().values())) == 1


def test_a_second_file_of_one_object_is_refused(folder: Path) -> None:
    (folder / "copy").write_bytes((folder / "IM1").read_bytes())
    (refusal,) = find_images(folder, ALL).refused
    assert (refusal.path, refusal.reason) == ("copy", "has the same id as IM1")


def test_what_was_applied_stands_beside_each_row(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    images = find_images(folder, ALL).images
    reading = ReadingSettings(window="16/33")
    build_store(folder, images, tmp_path / "store", 8, "grey", workers=1, reading=reading)
    store = ImageStore.open(tmp_path / "store")
    assert store.path_of("1.2#2") == "sub/wrong.jpg#2"
    with (tmp_path / "store" / "images.csv").open(newline="") as file:
        applied = {row["id"]: row["applied"] for row in csv.DictReader(file)}
    assert applied["1.1"] == "window 16/33 (linear)"
    assert applied["1.2#2"] == "window 16/33 (linear); frame 2 of 3"
    assert applied["plain"] == ""
    expected = np.rint(np.clip((RAMP - 15.5) / 32 + 0.5, 0, 1) * 255)
    np.testing.assert_allclose(store.images[0, :, :, 0], expected, atol=1)


def test_a_headerless_file_is_decoded(folder: Path, tmp_path: Path) -> None:
    data = (folder / "IM1").read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(data[data.index(b"\x08\0\x16\0", 132) :])
    np.testing.assert_array_equal(decode(bare, 8, "grey").pixels, decode(folder / "IM1", 8, "grey").pixels)
    with pytest.raises(ImageRefused, match="no picture in this DICOM object: Comprehensive SR Storage"):
        decode(folder / "report", 8, "grey")


IDENTIFYING = {
    "PatientName": "DOE^JANE",
    "PatientID": "MRN-4711",
    "PatientBirthDate": "19480229",
    "PatientAddress": "1 Secret Street",
    "OtherPatientIDs": "OTHER-4712",
    "IssuerOfPatientID": "ISSUER-4713",
    "StudyInstanceUID": "1.2.77777.1",
    "SeriesInstanceUID": "1.2.77777.2",
    "FrameOfReferenceUID": "1.2.77777.3",
    "AccessionNumber": "ACC-4714",
    "InstitutionName": "St. Elsewhere",
    "ReferringPhysicianName": "HOUSE^GREGORY",
    "OperatorsName": "CUDDY^LISA",
    "StudyDate": "19991231",
    "ContentTime": "235958",
    "StationName": "STATION-4715",
    "DeviceSerialNumber": "SERIAL-4716",
    "StudyDescription": "Knee of Jane",
    "ImageComments": "seen by her neighbour",
    "PatientComments": "afraid of needles",
    "Modality": "Jane Doe",
    "BodyPartExamined": "knee of Jane",
}


def test_a_workspace_holds_nothing_that_identifies(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    write(images / "a", RAMP, SOPInstanceUID="1.1", **IDENTIFYING)
    write(images / "b", np.stack([RAMP] * 2), SOPInstanceUID="1.2", **IDENTIFYING)
    write(images / "copy", RAMP, SOPInstanceUID="1.1", **IDENTIFYING)
    write(images / "damaged", RAMP, SOPInstanceUID="1.3", **{**IDENTIFYING, "Rows": 0})
    write(images / "odd", RAMP, SOPInstanceUID="1.4", **{**IDENTIFYING, "PhotometricInterpretation": "DOE"})
    write(images / "short", RAMP, SOPInstanceUID="1.5", **{**IDENTIFYING, "Rows": 99})
    write(images / "report", None, SOPClassUID=SR, **IDENTIFYING)
    tables = {
        "workspace": tmp_path / "artifacts",
        "collections": {"test": {"images": images}},
        "learner": {"name": "pixels"},
        "ingest": {"workers": 1, "frames": "all", "salt": tmp_path / "salt"},
    }
    said = stages.ingest(Config.model_validate(tables)).as_json()
    assert said["figures"]["test"]["images"] == 3
    written = {path: path.read_bytes() for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert len(written) > 6
    for value in {*IDENTIFYING.values(), "DOE", "Jane", "1.2.77777"}:
        assert [path.name for path, data in written.items() if value.encode() in data] == []
        assert value not in str(said)
    # Where the salt is not, nobody can tell whose a group is.
    assert not list((tmp_path / "artifacts").rglob("*salt*"))
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600


def test_a_collection_may_be_a_dicomdir(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("DICOMDIR")))
    tables = {
        "workspace": tmp_path / "artifacts",
        "collections": {"test": {"images": path}},
        "learner": {"name": "pixels"},
        "ingest": {"workers": 1, "salt": tmp_path / "salt"},
    }
    config = Config.model_validate(tables)
    assert config.collection("test").images == path.parent
    assert Config.model_validate(config.model_dump()) == config
    assert stages.ingest(config).figures["test"]["images"] == 31
    assert stages.ingest(config).wrote == []


def test_a_window_may_be_asked_for(folder: Path, tmp_path: Path) -> None:
    tables = {
        "workspace": tmp_path / "artifacts",
        "collections": {"test": {"images": folder}},
        "learner": {"name": "pixels"},
        "ingest": {"workers": 1, "salt": tmp_path / "salt"},
    }
    config = Config.model_validate(tables)
    stages.ingest(config, window="16/33")
    (table,) = (tmp_path / "artifacts").glob("stores/*/images.csv")
    assert "1.1,IM1,8,8,window 16/33 (linear)" in table.read_text()
    assert stages.ingest(config, window="16/33").wrote == []
    stages.ingest(config)
    assert "1.1,IM1,8,8,window 32/64 (linear)" in table.read_text()
