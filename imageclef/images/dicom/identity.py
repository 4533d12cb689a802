"""Who a DICOM picture is: its id, its group, and the few things that are kept of its header.

The id is the SOP Instance UID, which leads back to the object in its archive and nowhere else. Pictures of
one patient have one group, a keyed hash of the patient's id. Of the header, `KEPT` is kept and nothing else.

Reference: DICOM PS3.15, annex E (what identifies); PS3.3, C.7.1.1, C.12.1 (the elements).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from imageclef.errors import DataError

MIN_SALT = 16
"""Fewest bytes of a salt: patient ids are few, so that without a secret all of them could be tried."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_CODE = re.compile(r"[A-Z0-9][A-Z0-9_ ]{0,15}")
_BLOCK = 2**20


def _code(value: Any) -> str:
    text = str(value).strip()
    return text if _CODE.fullmatch(text) else ""


def _count(value: Any) -> str:
    text = str(value).strip()
    return text if text.isascii() and text.isdigit() and len(text) <= 10 else ""


def _class(value: Any) -> str:
    uid = UID(str(value))
    return uid.name if uid.name != str(uid) else ""


@dataclass(frozen=True)
class Kept:
    """An element that is kept.

    Attributes:
        keyword: its name in the standard.
        reason: why it is kept, and why it identifies no one.
        cleaned: its text, or nothing where it is not of the form that the standard gives it.
    """

    keyword: str
    reason: str
    cleaned: Callable[[Any], str]


_TERM = "a defined term of at most 16 capitals, none of a person; a search is narrowed by it"
_SIZE = "a measure of the pixels"

KEPT: Mapping[str, Kept] = {
    "modality": Kept("Modality", _TERM, _code),
    "body_part": Kept("BodyPartExamined", _TERM, _code),
    "view_position": Kept("ViewPosition", _TERM, _code),
    "laterality": Kept("Laterality", _TERM, _code),
    "image_laterality": Kept("ImageLaterality", _TERM, _code),
    "object": Kept("SOPClassUID", "the kind of object, by its name in the standard", _class),
    "photometric": Kept("PhotometricInterpretation", "how pixels are to be read", _code),
    "rows": Kept("Rows", _SIZE, _count),
    "columns": Kept("Columns", _SIZE, _count),
    "frames": Kept("NumberOfFrames", _SIZE, _count),
    "bits": Kept("BitsStored", _SIZE, _count),
}
"""All that is kept of a header, by its column in a table of metadata. Not kept, among the rest: names, dates
and times, sex and age (which with a date or a rare finding identify), institutions, devices, descriptions,
comments and private elements (free text, in which anything can stand), all other UIDs."""

HASHED: Mapping[str, str] = {
    "PatientID": "the group of a picture is its hash, so that patients are not split between parts",
    "IssuerOfPatientID": "two archives may use one id for two patients",
    "StudyInstanceUID": "stands in where there is no patient's id",
}
"""Elements that are read and hashed with the salt, and never kept."""


def image_id_of(dataset: Dataset, path: Path) -> str:
    """The SOP Instance UID; of a file without a valid one, ``sha256-`` and a digest of its bytes.

    A file's name is no id, as it may be a patient's.
    """
    uid = _text(dataset, "SOPInstanceUID")
    if _UID.fullmatch(uid) and len(uid) <= _UID_LENGTH:
        return uid
    with path.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()[:32]}"


def group_of(dataset: Dataset, salt: bytes, image_id: str) -> str:
    """The patient's pseudonym: HMAC-SHA256 of the id and its issuer under the salt, 32 hexadecimal digits.

    Where there is no patient's id it is the study's; where there is none either, the picture's own.

    Args:
        dataset: with the elements of `HASHED`.
        salt: a secret of at least `MIN_SALT` bytes, the same for all pictures of a collection.
        image_id: of the picture.

    Raises:
        DataError: the salt is too short.
    """
    if len(salt) < MIN_SALT:
        raise DataError(f"a salt of {len(salt)} bytes; expected at least {MIN_SALT}, and secret")
    patient, issuer, study = (_text(dataset, keyword) for keyword in HASHED)
    if patient:
        parts = ("patient", issuer, patient)
    elif study:
        parts = ("study", "", study)
    else:
        parts = ("image", "", image_id)
    message = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:32]


def metadata_of(dataset: Dataset) -> dict[str, str]:
    """The elements of `KEPT` by their column, empty where one is missing or not of its form."""
    return {column: kept.cleaned(_text(dataset, kept.keyword)) for column, kept in KEPT.items()}


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        value = dataset.get(keyword)
    except Exception:  # a damaged element is a missing one here; where it matters, it is refused elsewhere
        return ""
    return "" if value is None else str(value).strip(" \0")
