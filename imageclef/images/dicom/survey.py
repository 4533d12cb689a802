"""The DICOM files of a collection: which pictures they hold, whose they are, and which hold none.

Only headers are read, about a thousand files a second. What a survey returns identifies no one: ids are SOP
Instance UIDs, groups are salted hashes, metadata are the kept elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from imageclef.errors import ImageRefused
from imageclef.images.dicom.choice import DicomChoice
from imageclef.images.dicom.frames import describe
from imageclef.images.dicom.header import NoPixels
from imageclef.images.dicom.identity import KEPT
from imageclef.images.dicom.recognition import frame_path
from imageclef.progress import Advance


@dataclass(frozen=True)
class SurveyedImage:
    """A picture in a DICOM file.

    Attributes:
        image_id: SOP Instance UID, with ``#3`` for the third frame of several.
        path: as `imageclef.images.dicom.recognition.frame_path` has it, relative to the folder.
        group: pseudonym of the patient; empty without a salt.
        about: the kept elements of the header, by column.
    """

    image_id: str
    path: str
    group: str
    about: dict[str, str]


@dataclass(frozen=True)
class Survey:
    """What the DICOM files of a folder hold.

    Attributes:
        files: paths of all that were looked into.
        images: in the order of the files, then of their frames.
        skipped: how many files hold no picture, by what they are.
        refused: path, class and reason of files that cannot be read.
    """

    files: set[str] = field(default_factory=set)
    images: list[SurveyedImage] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)

    def groups(self) -> dict[str, str]:
        """Image id to group, as in a table of groups."""
        return {image.image_id: image.group for image in self.images}

    def metadata(self) -> pd.DataFrame:
        """The kept elements as str, indexed by image id: what a search is narrowed by."""
        ids = pd.Index([image.image_id for image in self.images], name="ID", dtype=str)
        return pd.DataFrame([image.about for image in self.images], ids, list(KEPT), dtype=str)


def survey(
    folder: Path,
    paths: Iterable[str],
    choice: DicomChoice,
    progress: Advance | None = None,
) -> Survey:
    """Read the headers of DICOM files.

    Args:
        folder: of the collection.
        paths: POSIX, relative to it.
        choice: which frames are taken, and how groups are hashed.
        progress: told after each file.

    Raises:
        DataError: the salt is too short.
    """
    found = Survey()
    for path in paths:
        found.files.add(path)
        try:
            described = describe(folder / path, choice.frames, choice.salt, choice.headerless)
        except NoPixels as none:
            found.skipped[none.of] += 1
        except ImageRefused as refusal:
            found.refused.append((path, refusal.kind, refusal.detail))
        else:
            for image_id, number in described.frames.items():
                place = frame_path(path, None if image_id == described.image_id else number)
                found.images.append(SurveyedImage(image_id, place, described.group, dict(described.about)))
        if progress:
            progress(1)
    return found
