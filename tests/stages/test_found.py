from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.config import Config
from imageclef.errors import DataError
from imageclef.stages.found import found_images
from tests.images.dicom.made_up import write

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    write(images / "IM1", RAMP, PatientID="7")
    return images


def settings(folder: Path) -> Config:
    return Config.model_validate({"ingest": {"salt": folder / "salt"}})


def group(config: Config, images: Path) -> str:
    survey = found_images(config, images).dicom
    assert survey is not None
    (found,) = set(survey.groups().values())
    return found


def test_the_salt_is_made_once_for_its_owner_alone(images: Path, tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = group(config, images)
    salt = tmp_path / "salt"
    assert (salt.stat().st_mode & 0o777, salt.stat().st_size) == (0o600, 32)
    assert group(config, images) == first
    salt.unlink()
    assert group(config, images) != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "salt"]


def test_without_dicom_there_is_no_salt(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.png")
    assert [image.image_id for image in found_images(settings(tmp_path), tmp_path).images] == ["a"]
    assert not (tmp_path / "salt").exists()


def test_a_salt_that_another_process_makes_meanwhile_is_not_lost(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_is_first(source: Path, target: Path) -> None:
        target.write_bytes(b"the salt of the other one")
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", other_is_first)
    with pytest.raises(DataError, match="salt: just made by another process; run the same command again"):
        found_images(settings(tmp_path), images)
    assert (tmp_path / "salt").read_bytes() == b"the salt of the other one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "salt"]


def test_a_salt_that_cannot_be_read_or_kept_is_named(images: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="none/salt: No such file or directory; expected a place for the salt"
    ):
        found_images(settings(tmp_path / "none"), images)
    (tmp_path / "salt").mkdir()
    with pytest.raises(DataError, match="salt: Is a directory; expected the salt of patients' ids"):
        found_images(settings(tmp_path), images)
