"""DICOMDIR: the table of contents of a DICOM medium, and the files that it names.

Reference: DICOM PS3.3, annex F "Basic Directory Information Object"; PS3.10, 8.2 (file ids).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from imageclef.errors import DataError
from imageclef.images.dicom.header import value_of
from imageclef.images.dicom.recognition import FIRST_BYTES, is_dicom

NAME = "DICOMDIR"
"""What the file is called on every medium."""

_RECORDS = "DirectoryRecordSequence"
_IN_USE = 0xFFFF
_TAGS: list[Any] = [tag_for_keyword(_RECORDS)]
_MOST_BYTES = 2**28
_WITHOUT_PICTURE = frozenset(
    {
        *("PRESENTATION", "SR DOCUMENT", "KEY OBJECT DOC", "WAVEFORM", "RT PLAN", "RT STRUCTURE SET"),
        *("RT TREAT RECORD", "REGISTRATION", "FIDUCIAL", "RAW DATA", "ENCAP DOC", "HANGING PROTOCOL"),
        *("VALUE MAP", "HL7 STRUC DOC", "STEREOMETRIC", "PLAN", "MEASUREMENT", "IMPLANT", "IMPLANT GROUP"),
        *("IMPLANT ASSY", "SURFACE", "SURFACE SCAN", "TRACT", "ASSESSMENT", "RADIOTHERAPY", "PALETTE"),
    }
)
"""Kinds of record whose objects have no pixels; those of all others are looked at."""


@dataclass(frozen=True)
class Listing:
    """What a DICOMDIR names.

    Attributes:
        files: those that are there and may be pictures, in its order.
        missing: POSIX paths, relative to its folder, of those that are not there or lie outside of it.
        skipped: number of objects without pixels, by kind.
    """

    files: list[Path]
    missing: list[str]
    skipped: Counter[str]


def read_directory(path: Path) -> Listing:
    """Read a DICOMDIR.

    File ids are upper case without a suffix; on disk they may be in lower case, or end in ``.dcm`` or the
    ``;1`` of a CD. A link is followed only within the folder.

    Args:
        path: the file; what it names lies in its folder.

    Raises:
        DataError: it cannot be read, or is no DICOMDIR.
    """
    files: list[Path] = []
    missing: list[str] = []
    skipped: Counter[str] = Counter()
    folder = path.parent.resolve()
    for record in _records(path):
        parts = _file_id(record)
        if not parts:
            continue
        kind = str(value_of(record, "DirectoryRecordType", "")).strip()
        if kind in _WITHOUT_PICTURE:
            skipped[kind] += 1
        elif (file := _found(folder, parts)) is not None:
            files.append(path.parent / file.relative_to(folder))
        else:
            missing.append("/".join(parts))
    return Listing(list(dict.fromkeys(files)), missing, skipped)


def _records(path: Path) -> list[Dataset]:
    """The records in use."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; expected a {NAME}")
        with path.open("rb") as file:
            if not is_dicom(file.read(FIRST_BYTES)):
                raise DataError(f"{path}: not a DICOM file; expected a {NAME}")
            file.seek(0)
            records: list[Dataset] = list(dcmread(file, specific_tags=_TAGS)[_RECORDS].value)
            return [record for record in records if value_of(record, "RecordInUseFlag", _IN_USE)]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a {NAME}") from None
    except KeyError:
        raise DataError(f"{path}: no directory records; expected a {NAME}") from None
    except DataError:
        raise
    except Exception as error:  # pydicom lets through whatever a damaged element makes of it
        raise DataError(f"{path}: damaged ({type(error).__name__}); expected a {NAME}") from None


def _file_id(record: Dataset) -> list[str]:
    """The parts of the path that a record refers to; none where it refers to no file."""
    value = value_of(record, "ReferencedFileID", [])
    parts = [value] if isinstance(value, str) else list(value)
    # Some writers put the separators of their system into one part.
    return [piece for part in parts for piece in str(part).strip().replace("\\", "/").split("/") if piece]


def _found(folder: Path, parts: list[str]) -> Path | None:
    """The file of a file id below a folder, compared without regard to case."""
    here = folder
    for depth, part in enumerate(parts):
        if part in (".", ".."):
            return None
        last = depth == len(parts) - 1
        names = [part, f"{part};1", f"{part}.dcm"] if last else [part]
        found = next((here / name for name in names if (here / name).exists()), None) or _other_case(
            here, names
        )
        if found is None:
            return None
        here = found
    inside = here.resolve().is_relative_to(folder)
    return here if inside and here.is_file() else None


def _other_case(folder: Path, names: list[str]) -> Path | None:
    wanted = {name.lower() for name in names}
    try:
        return next((one for one in sorted(folder.iterdir()) if one.name.lower() in wanted), None)
    except OSError:
        return None
