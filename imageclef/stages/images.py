"""Ingest: a folder of images and a concept list become a collection and an image store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imageclef.config import Config, IngestSettings, ReadingSettings
from imageclef.data.collection import FoundImages, Refusal
from imageclef.data.sources import (
    Source,
    content_of,
    file_of,
    look_at,
    read_sources,
    state_of,
    with_digests,
    write_sources,
)
from imageclef.data.store import FORMAT, ImageStore, build_store
from imageclef.errors import DataError
from imageclef.images.decode import CHANNELS
from imageclef.progress import Reporter, Silent
from imageclef.stages.described import describe, read_tables
from imageclef.stages.found import found_images
from imageclef.stages.refused import by_class, refused_in_words
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.artifacts import Artifact, Recipe, building, up_to_date
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
    # What this call asks for changes how files are read, not where the store is: later commands look there.
    settings = config.ingest.model_copy(update={key: value for key, value in asked.items() if value})
    workspace, report = Workspace(config), Report("ingest")
    for name in workspace.chosen(collection):
        _ingest_one(workspace, name, settings, report, reporter or Silent(), force)
    return report.done("imageclef train")


def _ingest_one(
    workspace: Workspace, name: str, settings: IngestSettings, report: Report, reporter: Reporter, force: bool
) -> None:
    """Read and check what is cheap, decode, and only then publish: what is refused changes nothing."""
    collection = workspace.config.collection(name)
    found = found_images(workspace.config, collection.images, collection.listing)
    report.read.append(f"{collection.images}: {count_of(len(found.images), 'image')}")
    _note_passed_over(name, found, report)
    _note_names(name, found, report)
    tables = read_tables(name, collection, found, report, workspace.edition.separator)
    _require_none(name, found.refused, settings)
    store = _Decoding(workspace, name, settings, found, reporter).store(report, force)
    describe(workspace.collection_path(name), tables, found, report, force)
    figures = {"images": len(store), "refused": len(store.refused), "by_class": by_class(store.refused)}
    report.figures[name] = {**report.figures.get(name, {}), **figures}
    if store.refused:
        listed = shown(store.folder / "refused.csv")
        report.notes.append(f"{name}: {refused_in_words(store.refused)}; all of them in {listed}")


def _note_passed_over(name: str, found: FoundImages, report: Report) -> None:
    if found.dicom is not None and found.dicom.skipped:
        kinds = ", ".join(f"{count:,} {reason}" for reason, count in found.dicom.skipped.most_common())
        report.notes.append(f"{name}: DICOM files without a picture: {kinds}")
    if found.passed_over:
        suffixes = found.passed_over.most_common(_SUFFIXES)
        kinds = ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in suffixes)
        others = count_of(found.passed_over.total(), "file")
        report.notes.append(f"{name}: {others} passed over that are no images by their names: {kinds}")


def _note_names(name: str, found: FoundImages, report: Report) -> None:
    """Say which names were changed to composed form, and which fell together by that."""
    if found.decomposed:
        names = count_of(len(found.decomposed), "file name")
        some = name_some(found.decomposed)
        report.notes.append(f"{name}: {names} in decomposed Unicode (NFD), matched as composed (NFC): {some}")
    if twice := [refusal for refusal in found.refused if refusal.kind == "id twice"]:
        some = name_some([f"{refusal.path} {refusal.reason}" for refusal in twice])
        report.notes.append(f"{name}: {count_of(len(twice), 'file')} left out: {some}")


@dataclass(frozen=True)
class _Decoding:
    """The images of a collection on their way into its store.

    Attributes:
        workspace: where the store is.
        name: of the collection.
        settings: how files are read.
        found: the images.
        reporter: told about the progress.
    """

    workspace: Workspace
    name: str
    settings: IngestSettings
    found: FoundImages
    reporter: Reporter

    def store(self, report: Report, force: bool) -> ImageStore:
        """The store at the learner's size: the one that is there, if it was made of the same content."""
        path, images = self.workspace.store_path(self.name), self.found.images
        now = look_at(self._folder, images)
        if not force and (artifact := self._up_to_date(path, now)):
            report.skipped.append(f"{shown(path)}: up to date")
            store = ImageStore.open(artifact)
            _require_none(self.name, store.refused, self.settings)
            return store
        digests: dict[str, str] = {}

        def final() -> Recipe:
            read = {path: replace(one, digest=digests.get(path, "")) for path, one in now.items()}
            write_sources(self.workspace.sources_path(self.name), read)
            return self._recipe(content_of(images, read))

        size, mode = self.workspace.choice.settings.image_size, self.workspace.mode
        bar = self.reporter.progress(f"decoding {self.name}", len(images), "images")
        needs, begun = len(images) * size**2 * CHANNELS[mode], self._recipe(state_of(images, now))
        with building(path, begun, needs=needs, final=final, force=force) as folder, bar as advance:
            workers, refused = self.settings.workers, self.found.refused
            built = build_store(
                self._folder, images, folder, size, mode, workers, advance, refused, self.settings
            )
            digests |= {file_of(image): digest for image, digest in built.digests.items()}
            _require_none(self.name, built.refused, self.settings)
        report.wrote.append(shown(path))
        return self.workspace.store(self.name)

    @property
    def _folder(self) -> Path:
        return self.workspace.config.collection(self.name).images

    def _up_to_date(self, path: Path, now: Mapping[str, Source]) -> Artifact | None:
        """The store at `path`, if it was made of what the files hold now; files that changed are read."""
        if not path.exists():
            return None
        cache = self.workspace.sources_path(self.name)
        known = read_sources(cache)
        with self.reporter.progress(f"reading {self.name}", len(now), "files") as advance:
            sources = with_digests(self._folder, now, known, advance)
        artifact = up_to_date(path, self._recipe(content_of(self.found.images, sources)))
        if artifact and sources != known:
            write_sources(cache, sources)
        return artifact

    def _recipe(self, images: str) -> Recipe:
        """What the store is made from; the window only where it can matter."""
        windowed = self.found.dicom is not None and self.found.dicom.images
        about = {
            "format": FORMAT,
            "size": self.workspace.choice.settings.image_size,
            "mode": self.workspace.mode,
            "unusable": sorted(refusal.path for refusal in self.found.refused),
            **self.settings.model_dump(include=set(ReadingSettings.model_fields) - {"window"}),
            **({"window": self.settings.window} if windowed else {}),
        }
        return Recipe("ingest", about, {"images": images})


def _require_none(name: str, refused: Sequence[Refusal], settings: IngestSettings) -> None:
    """Where the ingest is strict, a refusal is an error."""
    if refused and settings.strict:
        raise DataError(f"{name}: {refused_in_words(refused)}; expected none, as the ingest is strict")
