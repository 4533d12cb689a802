"""Find the images of a folder, DICOM files among them, as the configuration wants them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from imageclef.config import Config
from imageclef.data.collection import FoundImages, find_images
from imageclef.data.dicom.choice import DicomChoice, FrameChoice
from imageclef.errors import DataError

_SALT_BYTES = 32


def found_images(config: Config, folder: Path) -> FoundImages:
    """List the images of a folder; the salt of patients' ids is made when it is first needed.

    Raises:
        ConfigError: the choice of frames is none.
        DataError: there is no such folder, no image in it, or the salt cannot be read or written.
    """
    settings = config.ingest
    salt = _salt(settings.salt)
    choice = DicomChoice(FrameChoice(settings.frames), settings.headerless, salt)
    found = find_images(folder, choice)
    if found.dicom is not None and found.dicom.images and not settings.salt.exists():
        _keep(settings.salt, salt)
    return found


def _salt(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return secrets.token_bytes(_SALT_BYTES)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected the salt of patients' ids") from None


def _keep(path: Path, salt: bytes) -> None:
    """Write the salt for its owner alone."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(salt)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a place for the salt of patients' ids") from None
