"""Ingest: a folder of images and a concept list become a collection and an image store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from imageclef.artifacts import Recipe, building, file_digest, up_to_date
from imageclef.config import CollectionSettings, Config
from imageclef.data.collection import FoundImages, fingerprint, read_groups
from imageclef.data.concept_list import ConceptLists, read_concept_list, write_concept_list
from imageclef.data.store import FORMAT, ImageStore, build_store
from imageclef.errors import DataError
from imageclef.progress import Reporter, Silent
from imageclef.stages.found import found_images
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.workspace import Workspace

if TYPE_CHECKING:
    from imageclef.data.dicom.survey import Survey


def ingest(config: Config, collection: str | None = None, reporter: Reporter | None = None) -> Report:
    """Decode every collection, or the one named, for the learner of the configuration.

    Raises:
        ConfigError: a setting is wrong.
        DataError: a folder or a list cannot be used.
    """
    workspace, report = Workspace(config), Report("ingest")
    for name in workspace.chosen(collection):
        _ingest_one(workspace, name, report, reporter or Silent())
    return report.done("imageclef train")


def _ingest_one(workspace: Workspace, name: str, report: Report, reporter: Reporter) -> None:
    settings = workspace.config.collection(name)
    found = found_images(workspace.config, settings.images)
    state = fingerprint(settings.images, found.images)
    report.read.append(f"{settings.images}: {count_of(len(found.images), 'image')}")
    if found.dicom is not None and found.dicom.skipped:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in found.dicom.skipped.most_common())
        report.notes.append(f"{name}: DICOM files without a picture: {kinds}")
    _describe(workspace, name, settings, found, state, report)
    _decode(workspace, name, settings, found, state, report, reporter)


def _decode(
    workspace: Workspace,
    name: str,
    settings: CollectionSettings,
    found: FoundImages,
    state: str,
    report: Report,
    reporter: Reporter,
) -> None:
    """Publish the store at the learner's size; say what was refused."""
    path, size = workspace.store_path(name), workspace.choice.settings.image_size
    unusable = sorted(refusal.path for refusal in found.refused)
    about: dict[str, Any] = {
        "format": FORMAT,
        "size": size,
        "mode": workspace.mode,
        "folder": str(settings.images),
        "unusable": unusable,
    }
    window = workspace.config.ingest.window
    if found.dicom is not None and found.dicom.images:
        about["window"] = window
    recipe = Recipe("ingest", about, {"images": state})
    if up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
    else:
        bar = reporter.progress(f"decoding {name}", len(found.images), "images")
        channels = 1 if workspace.mode == "grey" else 3
        needs = len(found.images) * size**2 * channels
        with building(path, recipe, needs=needs) as folder, bar as advance:
            workers = workspace.config.ingest.workers
            build_store(
                settings.images,
                found.images,
                folder,
                size,
                workspace.mode,
                workers,
                advance,
                found.refused,
                window,
            )
        report.wrote.append(shown(path))
    store = ImageStore.open(path)
    refused = store.refused
    report.figures[name] = {**report.figures.get(name, {}), "images": len(store), "refused": len(refused)}
    if refused:
        reasons = name_some([f"{refusal.path} ({refusal.reason})" for refusal in refused])
        files = count_of(len(refused), "file")
        report.notes.append(
            f"{name}: {files} refused: {reasons}; all of them in {shown(path / 'refused.csv')}"
        )


def _describe(
    workspace: Workspace,
    name: str,
    settings: CollectionSettings,
    found: FoundImages,
    state: str,
    report: Report,
) -> None:
    """Publish what is known of the collection beside its pixels; say what has no partner."""
    concepts = read_concept_list(settings.concepts) if settings.concepts else None
    groups = read_groups(settings.groups) if settings.groups else None
    files = {"concepts": settings.concepts, "groups": settings.groups}
    inputs = {key: file_digest(path) for key, path in files.items() if path is not None}
    path = workspace.collection_path(name)
    recipe = Recipe("ingest", {key: str(value) for key, value in files.items()}, {"images": state, **inputs})
    on_disk = {image.image_id for image in found.images}
    if concepts is not None:
        report.read.append(f"{settings.concepts}: {count_of(len(concepts), 'image')}")
        _note_partners(name, concepts, on_disk, report)
    if up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
        return
    with building(path, recipe) as folder:
        ids = list(concepts) if concepts is not None else sorted(on_disk)
        _write_lines(folder / "ids.txt", ids)
        if concepts is not None:
            write_concept_list(folder / "concepts.tsv", concepts)
            _write_lines(folder / "without-image.txt", [i for i in concepts if i not in on_disk])
            _write_lines(folder / "without-concepts.txt", sorted(on_disk - concepts.keys()))
        if groups is not None and settings.groups is not None:
            (folder / "groups.csv").write_bytes(settings.groups.read_bytes())
        elif found.dicom is not None and found.dicom.images:
            _write_groups(folder / "groups.csv", found.dicom)
    report.wrote.append(shown(path))


def _write_groups(path: Path, survey: Survey) -> None:
    """A table of groups of what the headers say: hashed patients, and what identifies nobody."""
    groups = survey.groups()
    table = survey.metadata()
    table.insert(0, "group", [groups[image_id] or str(image_id) for image_id in table.index])
    table.to_csv(path, lineterminator="\n")


def _note_partners(name: str, concepts: ConceptLists, on_disk: set[str], report: Report) -> None:
    without_image = [image_id for image_id in concepts if image_id not in on_disk]
    without_line = sorted(on_disk - concepts.keys())
    if len(without_image) == len(concepts):
        raise DataError(
            f"{name}: no id of the concept list is the name of an image file; the list begins with "
            f"'{next(iter(concepts), '')}', the files with '{min(on_disk, default='')}'"
        )
    figures = {
        "listed": len(concepts),
        "without_image": len(without_image),
        "without_concepts": len(without_line),
    }
    report.figures[name] = figures
    if without_image:
        listed = count_of(len(without_image), "listed image")
        report.notes.append(f"{name}: {listed} without a file: {name_some(without_image)}")
    if without_line:
        files = count_of(len(without_line), "file")
        report.notes.append(f"{name}: {files} without a line in the concept list: {name_some(without_line)}")


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
