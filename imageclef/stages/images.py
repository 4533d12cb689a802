"""Ingest: a folder of images and a concept list become a collection and an image store."""

from __future__ import annotations

from collections.abc import Sequence

from imageclef.config import Config, ReadingSettings
from imageclef.data.collection import FoundImages, Refusal, fingerprint
from imageclef.data.store import FORMAT, ImageStore, build_store
from imageclef.errors import DataError
from imageclef.images.decode import CHANNELS
from imageclef.progress import Reporter, Silent
from imageclef.stages.described import describe, read_tables
from imageclef.stages.found import found_images
from imageclef.stages.refused import by_class, refused_in_words
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.workspace import Workspace

_SUFFIXES = 5
"""That are named of files that are passed over."""


def ingest(
    config: Config,
    collection: str | None = None,
    reporter: Reporter | None = None,
    *,
    strict: bool = False,
    accept_truncated: bool = False,
    window: str | None = None,
    force: bool = False,
) -> Report:
    """Decode every collection, or the one named, for the learner of the configuration.

    Args:
        config: names the collections, and in ``ingest`` how files are read.
        collection: one of them.
        reporter: told about the progress.
        strict: whether a file that is refused is an error; then nothing of its collection is published.
        accept_truncated: whether pictures that are cut short are read up to the break, and marked so.
        window: of grey DICOM pictures, such as "40/400" or "lung", instead of the file's own.
        force: whether it is made again although it is up to date, or was changed after it was written.

    Raises:
        ConfigError: a setting is wrong.
        DataError: a folder or a list cannot be used, or a file is refused where none may be.
    """
    asked = {"strict": strict, "accept_truncated": accept_truncated, "window": window}
    settings = config.ingest.model_copy(update={key: value for key, value in asked.items() if value})
    config = config.model_copy(update={"ingest": settings})
    workspace, report = Workspace(config), Report("ingest")
    for name in workspace.chosen(collection):
        _ingest_one(workspace, name, report, reporter or Silent(), force)
    return report.done("imageclef train")


def _ingest_one(workspace: Workspace, name: str, report: Report, reporter: Reporter, force: bool) -> None:
    """Read and check what is cheap, decode, and only then publish: what is refused changes nothing."""
    settings = workspace.config.collection(name)
    found = found_images(workspace.config, settings.images, settings.listing)
    state = fingerprint(settings.images, found.images)
    report.read.append(f"{settings.images}: {count_of(len(found.images), 'image')}")
    if found.dicom is not None and found.dicom.skipped:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in found.dicom.skipped.most_common())
        report.notes.append(f"{name}: DICOM files without a picture: {kinds}")
    _note_names(name, found, report)
    if found.passed_over:
        suffixes = found.passed_over.most_common(_SUFFIXES)
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in suffixes)
        others = count_of(found.passed_over.total(), "file")
        report.notes.append(f"{name}: {others} passed over that are no images by their names: {kinds}")
    tables = read_tables(name, settings, found, report, workspace.edition.separator)
    _require_none(workspace, name, found.refused)
    store = _decoded(workspace, name, found, state, report, reporter, force)
    describe(workspace.collection_path(name), tables, found, state, report, force)
    figures = {"images": len(store), "refused": len(store.refused), "by_class": by_class(store.refused)}
    report.figures[name] = {**report.figures.get(name, {}), **figures}
    if store.refused:
        listed = shown(store.folder / "refused.csv")
        report.notes.append(f"{name}: {refused_in_words(store.refused)}; all of them in {listed}")


def _note_names(name: str, found: FoundImages, report: Report) -> None:
    """Say which names were changed to composed form, and which fell together by that."""
    if found.decomposed:
        names = count_of(len(found.decomposed), "file name")
        some = name_some(found.decomposed)
        report.notes.append(f"{name}: {names} in decomposed Unicode (NFD), matched as composed (NFC): {some}")
    if twice := [refusal for refusal in found.refused if refusal.kind == "id twice"]:
        some = name_some([f"{refusal.path} {refusal.reason}" for refusal in twice])
        report.notes.append(f"{name}: {count_of(len(twice), 'file')} left out: {some}")


def _decoded(
    workspace: Workspace,
    name: str,
    found: FoundImages,
    state: str,
    report: Report,
    reporter: Reporter,
    force: bool,
) -> ImageStore:
    """Publish the store at the learner's size."""
    path, settings = workspace.store_path(name), workspace.config.ingest
    size, mode = workspace.choice.settings.image_size, workspace.mode
    recipe = _recipe(workspace, name, found, state)
    if not force and (artifact := up_to_date(path, recipe)):
        report.skipped.append(f"{shown(path)}: up to date")
        store = ImageStore.open(artifact)
        _require_none(workspace, name, store.refused)
        return store
    bar = reporter.progress(f"decoding {name}", len(found.images), "images")
    needs = len(found.images) * size**2 * CHANNELS[mode]
    with building(path, recipe, needs=needs, force=force) as folder, bar as advance:
        built = build_store(
            workspace.config.collection(name).images,
            found.images,
            folder,
            size,
            mode,
            settings.workers,
            advance,
            found.refused,
            settings,
        )
        _require_none(workspace, name, built.refused)
    report.wrote.append(shown(path))
    return workspace.store(name)


def _recipe(workspace: Workspace, name: str, found: FoundImages, state: str) -> Recipe:
    """What the store is made from; the window only where it can matter."""
    settings = workspace.config.ingest
    windowed = found.dicom is not None and found.dicom.images
    about = {
        "format": FORMAT,
        "size": workspace.choice.settings.image_size,
        "mode": workspace.mode,
        "folder": str(workspace.config.collection(name).images),
        "unusable": sorted(refusal.path for refusal in found.refused),
        **settings.model_dump(include=set(ReadingSettings.model_fields) - {"window"}),
        **({"window": settings.window} if windowed else {}),
    }
    return Recipe("ingest", about, {"images": state})


def _require_none(workspace: Workspace, name: str, refused: Sequence[Refusal]) -> None:
    """Where the ingest is strict, a refusal is an error."""
    if refused and workspace.config.ingest.strict:
        raise DataError(f"{name}: {refused_in_words(refused)}; expected none, as the ingest is strict")
