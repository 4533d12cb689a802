"""DICOM files on the way of all others: found in a folder, decoded, stored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.data.collection import find_images, fingerprint
from imageclef.data.decoding import decode
from imageclef.data.dicom.choice import DicomChoice, FrameChoice
from imageclef.data.store import ImageStore, build_store
from imageclef.errors import ImageRefused
from tests.data.dicom.made_up import SR, write

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


def test_the_fingerprint_sees_the_file_of_a_frame(folder: Path) -> None:
    images = find_images(folder, ALL).images
    before = fingerprint(folder, images)
    with (folder / "sub" / "wrong.jpg").open("ab") as file:
        file.write(b"\0\0")
    assert fingerprint(folder, images) != before


def test_a_second_file_of_one_object_is_refused(folder: Path) -> None:
    (folder / "copy").write_bytes((folder / "IM1").read_bytes())
    (refusal,) = find_images(folder, ALL).refused
    assert (refusal.path, refusal.reason) == ("copy", "has the same id as IM1")


def test_what_was_applied_stands_beside_each_row(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    images = find_images(folder, ALL).images
    build_store(folder, images, tmp_path / "store", 8, "grey", workers=1, window="16/33")
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
