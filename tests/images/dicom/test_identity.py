from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset

from imageclef.errors import DataError
from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.frames import describe, read_frames
from imageclef.images.dicom.identity import HASHED, KEPT, group_of, image_id_of
from tests.images.dicom.made_up import UID_OF_IMAGE, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
SALT = b"sixteen bytes ok"
TEXT = {"LO", "LT", "SH", "ST", "UT", "UC", "PN", "AE"}
MARKER = "Zzjanedoezz"


def every_text_element() -> dict[str, str]:
    """A marker for each element of free text, name or application that the standard has."""
    return {
        keyword: f"{MARKER}{number}"[:16]
        for number, (vr, count, _, retired, keyword) in enumerate(
            DicomDictionary[tag] for tag in DicomDictionary if tag >> 16 > 2
        )
        if vr in TEXT and keyword and not retired and count in ("1", "1-n")
    }


def test_nothing_that_identifies_is_returned(tmp_path: Path) -> None:
    elements = every_text_element()
    assert len(elements) > 500
    assert {"PatientName", "PatientID", "InstitutionName", "StudyDescription"} <= elements.keys()
    dates = {"PatientBirthDate": "19511213", "StudyDate": "20240229", "ContentTime": "235958"}
    uids = {"StudyInstanceUID": "1.2.987654321", "SeriesInstanceUID": "1.2.987654322"}
    coded = {"PatientSex": "F", "PatientAge": "073Y"}
    path = write(tmp_path / MARKER, RAMP, **elements, **dates, **uids, **coded)
    dataset = dcmread(path)
    dataset.private_block(0x0011, f"{MARKER}", create=True).add_new(1, "LO", MARKER)
    dataset.save_as(path)
    returned = repr([describe(path, salt=SALT), *read_frames(path)])
    for secret in [MARKER.lower(), *dates.values(), *uids.values(), "073y", "'f'"]:
        assert secret not in returned.lower()
    assert UID_OF_IMAGE in returned


@pytest.mark.parametrize(
    "keyword",
    ["Modality", "BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "SOPClassUID"],
)
def test_a_name_in_a_kept_element_is_dropped(tmp_path: Path, keyword: str) -> None:
    path = write(tmp_path / "a", RAMP, **{keyword: "1.2.840.10008.5.1.4.1.1.2"})
    data = path.read_bytes()
    where = data.rindex(b"1.2.840.10008.5.1.4.1.1.2")
    path.write_bytes(data[:where] + b"Doe^Jane".ljust(25) + data[where + 25 :])
    returned = repr([describe(path), *read_frames(path)])
    assert "Doe" not in returned
    assert "1.2.840" not in returned


def test_the_kept_elements_are_those_stated(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a",
        RAMP,
        Modality="DX",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        ImageLaterality="L",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1",
    )
    about = describe(path).about
    assert list(about) == list(KEPT)
    assert about == {
        "modality": "DX",
        "body_part": "CHEST",
        "view_position": "PA",
        "laterality": "",
        "image_laterality": "L",
        "object": "Digital X-Ray Image Storage - For Presentation",
        "photometric": "MONOCHROME2",
        "rows": "8",
        "columns": "8",
        "frames": "",
        "bits": "16",
    }
    assert all(kept.reason for kept in KEPT.values())
    assert set(HASHED) == {"PatientID", "IssuerOfPatientID", "StudyInstanceUID"}


def test_the_id_is_the_sop_instance_uid(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP)
    assert describe(path).image_id == UID_OF_IMAGE
    assert list(describe(path).frames) == [UID_OF_IMAGE]


@pytest.mark.parametrize("uid", ["", "DOE^JANE", "1.2.3/../4", "1." * 40 + "1", "1..2"])
def test_without_a_uid_the_id_is_a_digest(tmp_path: Path, uid: str) -> None:
    path = write(tmp_path / "DOE_JANE.dcm", RAMP)
    other = write(tmp_path / "other.dcm", RAMP + 1)
    dataset = Dataset()
    dataset.add_new("SOPInstanceUID", "LO", uid)
    image_id = image_id_of(dataset, path)
    assert image_id.startswith("sha256-")
    assert len(image_id) == 39
    assert "DOE" not in image_id
    assert image_id != image_id_of(dataset, other)
    assert image_id == image_id_of(dataset, path)


def patient(**elements: str) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_groups_are_patients() -> None:
    group = group_of(patient(PatientID="123", StudyInstanceUID="1.2"), SALT, "a")
    assert group == group_of(patient(PatientID="123 ", StudyInstanceUID="1.3"), SALT, "b")
    assert group != group_of(patient(PatientID="124", StudyInstanceUID="1.2"), SALT, "a")
    assert group != group_of(patient(PatientID="123", IssuerOfPatientID="other"), SALT, "a")
    assert group != group_of(patient(PatientID="123"), b"another salt, 16", "a")
    assert len(group) == 32


def test_without_a_patient_the_group_is_the_study_and_then_the_picture() -> None:
    study = group_of(patient(StudyInstanceUID="1.2"), SALT, "a")
    assert study == group_of(patient(StudyInstanceUID="1.2"), SALT, "b")
    assert study != group_of(patient(PatientID="1.2"), SALT, "a")
    assert group_of(patient(), SALT, "a") != group_of(patient(), SALT, "b")


def test_a_short_salt_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a salt of 5 bytes; expected at least 16"):
        describe(write(tmp_path / "a", RAMP), salt=b"short")
    assert describe(write(tmp_path / "a", RAMP)).group == ""


def test_frames_of_one_file_have_one_group(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.zeros((3, 8, 8), np.uint16), PatientID="7")
    described = describe(path, FrameChoice("all"), SALT)
    assert described.frames == {f"{UID_OF_IMAGE}#{n}": n for n in (1, 2, 3)}
    assert described.group == group_of(patient(PatientID="7"), SALT, "")
