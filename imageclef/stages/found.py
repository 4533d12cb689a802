"""Find the images of a folder, DICOM files among them, as the configuration wants them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from imageclef.config import Config
from imageclef.data.collection import FoundImages, find_images
from imageclef.errors import DataError
from imageclef.images.dicom.choice import DicomChoice, FrameChoice
from imageclef.runs.editions import edition_named
from imageclef.storage.disk import new_hidden

_SALT_BYTES = 32


def found_images(config: Config, folder: Path, listing: Path | None = None) -> FoundImages:
    """List the images of a folder; the salt of patients' ids is made when it is first needed.

    Args:
        config: says which DICOM files and frames are taken.
        folder: of the collection.
        listing: a DICOMDIR in it; only the files that it names are taken.

    Raises:
        ConfigError: the choice of frames or the edition is none.
        DataError: there is no such folder, no image in it, or the salt cannot be read or written.
    """
    settings = config.ingest
    salt = _salt(settings.salt)
    choice = DicomChoice(FrameChoice(settings.frames), settings.headerless, salt)
    found = find_images(folder, choice, listing, edition_named(config.edition).separator)
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
    """Write the salt, whole or not at all, for its owner alone."""
    try:
        partial = new_hidden(path, 0o600)
        try:
            with partial.open("wb") as file:
                file.write(salt)
                file.flush()
                os.fsync(file.fileno())
            # Unlike a rename, this fails where another process has made one meanwhile.
            os.link(partial, path)
        finally:
            partial.unlink()
    except FileExistsError:
        raise DataError(f"{path}: just made by another process; run the same command again") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a place for the salt of patients' ids") from None
