"""What is known of a collection beside its pixels: ids, concepts, groups, and what has no partner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imageclef.config import CollectionSettings
from imageclef.data.collection import FoundImages, Groups, read_groups
from imageclef.data.concept_list import ConceptLists, read_concept_list, write_concept_list
from imageclef.data.ids import fault_in_id, write_id_lines
from imageclef.errors import DataError
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.storage.checksums import digest_of_lines, file_digest

if TYPE_CHECKING:
    from imageclef.images.dicom.survey import Survey


@dataclass(frozen=True)
class Tables:
    """The tables of a collection, read and checked.

    Attributes:
        concepts: of each listed image; None without a concept list.
        groups: None without a table of groups.
        settings: which files they are.
        digests: of these files.
    """

    concepts: ConceptLists | None
    groups: Groups | None
    settings: CollectionSettings
    digests: Mapping[str, str]


def read_tables(
    name: str, settings: CollectionSettings, found: FoundImages, report: Report, separator: str = ""
) -> Tables:
    """Read the tables of a collection; say which images and which lines have no partner.

    Args:
        name: of the collection.
        settings: which files they are.
        found: the images on disk.
        report: is told what was read and what has no partner.
        separator: what no id may hold, because it ends the id in a run file of the edition.

    Raises:
        DataError: a table cannot be read, or none of its ids is that of an image.
    """
    files = {"concepts": settings.concepts, "groups": settings.groups}
    digests = {key: file_digest(path) for key, path in files.items() if path is not None}
    concepts = read_concept_list(settings.concepts) if settings.concepts else None
    if concepts is not None:
        report.read.append(f"{settings.concepts}: {count_of(len(concepts), 'image')}")
        concepts = _usable(name, concepts, separator, report)
        _note_partners(name, concepts, {image.image_id for image in found.images}, report)
    return Tables(concepts, read_groups(settings.groups) if settings.groups else None, settings, digests)


def describe(path: Path, tables: Tables, found: FoundImages, report: Report, force: bool = False) -> None:
    """Publish what is known of a collection.

    Args:
        path: of the artifact.
        tables: of the collection.
        found: its images.
        report: is told what was written.
        force: whether it is made again although it is up to date, or was changed after it was written.
    """
    settings, concepts = tables.settings, tables.concepts
    headers = ""
    if settings.groups is None and found.dicom is not None and found.dicom.images:
        headers = _groups_of(found.dicom)
    on_disk = {image.image_id for image in found.images}
    made_from = {"ids": digest_of_lines(sorted(on_disk)), "headers": digest_of_lines([headers])}
    recipe = Recipe("ingest", {}, {**made_from, **tables.digests})
    if not force and up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return
    with building(path, recipe, force=force) as folder:
        write_id_lines(folder / "ids.txt", list(concepts) if concepts is not None else sorted(on_disk))
        if concepts is not None:
            write_concept_list(folder / "concepts.tsv", concepts)
            write_id_lines(folder / "without-image.txt", [i for i in concepts if i not in on_disk])
            write_id_lines(folder / "without-concepts.txt", sorted(on_disk - concepts.keys()))
        if settings.groups is not None:
            (folder / "groups.csv").write_bytes(settings.groups.read_bytes())
        elif headers:
            (folder / "groups.csv").write_text(headers, encoding="utf-8", newline="")
    report.wrote.append(shown(path))


def _groups_of(survey: Survey) -> str:
    """A table of groups of what the headers say: hashed patients, and what identifies nobody."""
    groups = survey.groups()
    table = survey.metadata()
    table.insert(0, "group", [groups[image_id] or str(image_id) for image_id in table.index])
    return str(table.to_csv(lineterminator="\n"))


def _usable(name: str, concepts: ConceptLists, separator: str, report: Report) -> ConceptLists:
    """Leave out the lines whose ids could not stand in a run."""
    faults = {image_id: fault for image_id in concepts if (fault := fault_in_id(image_id, separator))}
    if faults:
        lines = count_of(len(faults), "line")
        some = name_some([f"{image_id!r} ({fault})" for image_id, fault in faults.items()])
        report.notes.append(f"{name}: {lines} of the concept list left out: {some}")
    return {image_id: of_image for image_id, of_image in concepts.items() if image_id not in faults}


def _note_partners(name: str, concepts: ConceptLists, on_disk: set[str], report: Report) -> None:
    without_image = [image_id for image_id in concepts if image_id not in on_disk]
    without_line = sorted(on_disk - concepts.keys())
    if len(without_image) == len(concepts):
        raise DataError(
            f"{name}: no id of the concept list is the name of an image file; the list begins with "
            f"'{next(iter(concepts), '')}', the files with '{min(on_disk, default='')}'"
        )
    report.figures[name] = {
        "listed": len(concepts),
        "without_image": len(without_image),
        "without_concepts": len(without_line),
    }
    if without_image:
        listed = count_of(len(without_image), "listed image")
        report.notes.append(f"{name}: {listed} without a file: {name_some(without_image)}")
    if without_line:
        files = count_of(len(without_line), "file")
        report.notes.append(f"{name}: {files} without a line in the concept list: {name_some(without_line)}")
