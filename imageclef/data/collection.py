"""What a collection is on disk: a folder of image files, and a table of the groups they belong to.

An image's id is its file name without the suffix, wherever in the folder it lies, as in the concept lists.
"""

from __future__ import annotations

import csv
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from imageclef.data.folders import files_below
from imageclef.data.ids import composed, fault_in_id, fault_in_text, printable
from imageclef.errors import DataError
from imageclef.images.decode import IMAGE_SUFFIXES
from imageclef.images.dicom.choice import DicomChoice

if TYPE_CHECKING:  # pydicom comes with an extra, and takes time to load
    from imageclef.images.dicom.survey import Survey

_ID, _GROUP = "ID", "group"
_DICOM_SUFFIXES = (".dcm", ".dicom")


@dataclass(frozen=True)
class ImageFile:
    """An image of a collection.

    Attributes:
        image_id: as in concept lists.
        path: POSIX, relative to the folder of the collection; with ``#3``, a DICOM file's third frame.
    """

    image_id: str
    path: str


@dataclass(frozen=True)
class Refusal:
    """A file that is not in the store, and why.

    Attributes:
        image_id: it would have.
        path: as in `ImageFile`.
        kind: class of reason: those of `imageclef.errors.ImageRefused`, "unusable name" and "id twice".
        reason: in words.
        digest: of the file's bytes (`imageclef.images.digests`); empty where they were not read.
    """

    image_id: str
    path: str
    kind: str
    reason: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


@dataclass(frozen=True)
class FoundImages:
    """What a folder holds.

    Attributes:
        images: one for each id, by id.
        refused: files whose id is taken or cannot be written down, and folders that cannot be read; by path.
        dicom: what the DICOM files among them hold; None where they were not looked for.
        passed_over: the number of other files, by suffix.
        decomposed: ids of files whose names are not in composed form (NFC), as the ids are.
    """

    images: list[ImageFile]
    refused: list[Refusal]
    dicom: Survey | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    decomposed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Groups:
    """Which images belong together (patient, study) and what else is known of them.

    Attributes:
        group_of: image id to group.
        metadata: the other columns as str, indexed by image id, in file order.
    """

    group_of: dict[str, str]
    metadata: pd.DataFrame


def find_images(
    folder: Path, dicom: DicomChoice | None = None, listing: Path | None = None, separator: str = ""
) -> FoundImages:
    """List the image files of a folder and its subfolders, by id.

    Hidden files and folders are passed over. Links are followed, each folder is entered once. Of two files
    with one id the first by path is taken and the other refused.

    Args:
        folder: holds files with the suffixes `IMAGE_SUFFIXES`, in any case.
        dicom: look for DICOM files too, of any name, told by their content; their ids are SOP Instance UIDs.
        listing: a DICOMDIR in the folder; only the files that it names are taken.
        separator: what no id may hold, because it ends the id in a run file of the edition.

    Raises:
        DataError: there is no such folder, or no image in it; or `listing` is no DICOMDIR.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of images")
    if listing is not None:
        return _chosen(folder, [], _survey(listing, None, dicom or DicomChoice()), [], separator)
    files = files_below(folder, _is_image if dicom is None else lambda name: True)
    refused = [Refusal(posixpath.basename(path), path, "unreadable", reason) for path, reason in files.closed]
    surveyed = None if dicom is None else _survey(folder, files.paths, dicom)
    return _chosen(folder, files.paths, surveyed, refused, separator)


def _chosen(
    folder: Path, paths: Sequence[str], surveyed: Survey | None, refused: list[Refusal], separator: str
) -> FoundImages:
    """One image for each id, of all files and of those that are DICOM."""
    held = surveyed.files if surveyed else set()
    named = [(path, _stem(path)) for path in paths if _is_image(path)]
    named = [(path, image_id) for path, image_id in named if path not in held]
    others = [path for path in paths if not _is_image(path) and path not in held]
    if surveyed:
        named += [(image.path, image.image_id) for image in surveyed.images]
        refused += [_not_dicom(path) for path in others if _is_named_dicom(path)]
        refused += [
            Refusal(posixpath.basename(path), path, kind, reason) for path, kind, reason in surveyed.refused
        ]
    taken: dict[str, ImageFile] = {}
    names: dict[str, str] = {}
    decomposed: list[str] = []
    for path, name in sorted(named):
        image_id = composed(name)
        if reason := fault_in_text(path) or fault_in_id(image_id, separator):
            refused.append(Refusal(printable(image_id), printable(path), "unusable name", reason))
        elif image_id in taken:
            reason = f"has the same id as {taken[image_id].path}"
            if name != names[image_id]:
                reason += ", once both names are in composed form (NFC)"
            refused.append(Refusal(image_id, path, "id twice", reason))
        else:
            taken[image_id] = ImageFile(image_id, path)
            names[image_id] = name
            decomposed += [image_id] if image_id != name else []
    if not taken:
        raise DataError(f"{folder}: no image; expected DICOM files, or others named as .jpg, .png, .tif")
    return FoundImages(
        sorted(taken.values(), key=lambda image: image.image_id),
        sorted(refused, key=lambda one: one.path),
        surveyed,
        Counter(_suffix(path) for path in others if not (surveyed and _is_named_dicom(path))),
        decomposed,
    )


def read_groups(path: Path) -> Groups:
    """Read a table of groups: a comma-separated file with the columns ID and group; others are metadata.

    Raises:
        DataError: a column is missing, an id appears twice, a cell that is needed is empty, a line has too
            few or too many cells, or the file is not UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            _check_header(path, header)
            table = list(_checked_rows(path, header, ((rows.line_num, cells) for cells in rows)))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; expected a CSV file with ID and group") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; expected a CSV file") from None
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num}: {error}; expected comma-separated cells") from None
    metadata = pd.DataFrame(table, columns=header, dtype=str).set_index(_ID).drop(columns=_GROUP)
    where_id, where_group = header.index(_ID), header.index(_GROUP)
    return Groups({cells[where_id]: cells[where_group] for cells in table}, metadata)


def _survey(where: Path, paths: Sequence[str] | None, choice: DicomChoice) -> Survey:
    """The DICOM files among those of a folder, or those that a DICOMDIR names."""
    try:
        from imageclef.images.dicom.search import search, search_listed
    except ImportError:
        raise DataError(f"{where}: DICOM files are read with `pip install imageclef[dicom]`") from None
    return search_listed(where, choice) if paths is None else search(where, paths, choice)


def _is_image(name: str) -> bool:
    return _suffix(name) in IMAGE_SUFFIXES


def _is_named_dicom(name: str) -> bool:
    return _suffix(name) in _DICOM_SUFFIXES


def _not_dicom(path: str) -> Refusal:
    reason = "not DICOM by its first bytes; bare data sets are looked for with ingest.headerless"
    return Refusal(printable(posixpath.basename(path)), printable(path), "not an image", reason)


def _stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _check_header(path: Path, header: list[str]) -> None:
    for column in (_ID, _GROUP):
        if column not in header:
            raise DataError(
                f"{path}:1: no column '{column}' among {', '.join(header) or 'none'}; "
                "expected a comma-separated header with ID and group"
            )
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1: a column appears twice in {', '.join(header)}")


def _checked_rows(
    path: Path, header: list[str], rows: Iterable[tuple[int, list[str]]]
) -> Iterator[list[str]]:
    """The cells of each line that is not blank."""
    where_id, where_group = header.index(_ID), header.index(_GROUP)
    seen: set[str] = set()
    for number, cells in rows:
        if not cells:
            continue
        line = f"{path}:{number}"
        if len(cells) != len(header):
            raise DataError(f"{line}: {len(cells)} cells; expected {len(header)} as in the header")
        image_id = cells[where_id] = composed(cells[where_id].strip())
        if not image_id:
            raise DataError(f"{line}: empty ID; expected the id of an image")
        if not cells[where_group]:
            raise DataError(f"{line}: image '{image_id}' has no group; expected one, if need be its own id")
        if image_id in seen:
            raise DataError(f"{line}: image '{image_id}' appears twice")
        seen.add(image_id)
        yield cells
