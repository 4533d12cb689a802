"""Which files of a folder are DICOM: told by their first bytes, or named by a DICOMDIR.

A DICOMDIR that lies in a folder says what its files are: those without the usual first bytes are read too,
and those that are not there are named. Where a collection is a DICOMDIR, only what it names is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from imageclef.errors import DataError
from imageclef.images.dicom.choice import DicomChoice
from imageclef.images.dicom.directory import NAME, read_directory
from imageclef.images.dicom.recognition import holds_dicom
from imageclef.images.dicom.survey import Survey, survey


@dataclass(frozen=True)
class _Named:
    """What the DICOMDIRs of a folder name; paths are POSIX, relative to it."""

    files: dict[str, None] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    damaged: list[tuple[str, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def search(folder: Path, paths: Sequence[str], choice: DicomChoice) -> Survey:
    """Look for DICOM files among those of a folder.

    Args:
        folder: of the collection.
        paths: POSIX, relative to it.
        choice: which frames are taken, and how groups are hashed.

    Raises:
        DataError: the salt is too short.
    """
    named = _Named()
    for path in paths:
        if PurePosixPath(path).name.upper() != NAME or not holds_dicom(folder / path, headerless=False):
            continue
        try:
            _add(named, folder, path)
        except DataError as error:
            named.damaged.append((path, str(error).removeprefix(f"{folder / path}: ")))
    held = [
        path for path in sorted(paths) if holds_dicom(folder / path, choice.headerless or path in named.files)
    ]
    found = survey(folder, held, replace(choice, headerless=True))
    found.refused.extend(_missing(named, there=paths))
    return found


def search_listed(listing: Path, choice: DicomChoice) -> Survey:
    """Look into the files that a DICOMDIR names.

    Args:
        listing: the DICOMDIR; paths are relative to its folder.
        choice: which frames are taken, and how groups are hashed.

    Raises:
        DataError: it is no DICOMDIR, or the salt is too short.
    """
    named = _Named()
    _add(named, listing.parent, listing.name)
    found = survey(listing.parent, named.files, replace(choice, headerless=True))
    found.refused.extend(_missing(named, there=()))
    found.skipped.update(named.skipped)
    return found


def _add(named: _Named, folder: Path, path: str) -> None:
    """Add what the DICOMDIR at a path names."""
    listing = read_directory(folder / path)
    within = PurePosixPath(path).parent
    named.files.update(dict.fromkeys(file.relative_to(folder).as_posix() for file in listing.files))
    named.missing.update(dict.fromkeys(((within / lost).as_posix() for lost in listing.missing), path))
    named.skipped.update(listing.skipped)


def _missing(named: _Named, there: Iterable[str]) -> list[tuple[str, str, str]]:
    known = set(there)
    lost = [
        (path, "unreadable", f"named by {by}, but not in its folder")
        for path, by in named.missing.items()
        if path not in known
    ]
    return lost + [(path, "damaged", reason) for path, reason in named.damaged]
