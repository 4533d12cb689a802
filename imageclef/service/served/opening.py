"""From a workspace to what is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imageclef.config import Config
from imageclef.data.annotations import Annotations, ImageKey
from imageclef.data.store import ImageStore
from imageclef.detectors.classifier import Classifier
from imageclef.errors import ArtifactError
from imageclef.learners.base import Learner
from imageclef.learners.table import LEARNERS
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.service.answers import Profile
from imageclef.service.served.archive import Archive
from imageclef.service.served.columns import offered
from imageclef.service.served.detection import Detector
from imageclef.service.served.encoder import Encoder
from imageclef.service.served.explaining import Explainer
from imageclef.service.served.gallery import Gallery
from imageclef.service.served.projection import project_once
from imageclef.service.served.search import NearestTrained, Searcher, manifest_of
from imageclef.storage.checksums import file_digest
from imageclef.storage.manifests import MANIFEST
from imageclef.workspace import TRAIN, Workspace

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change of some files; None for one that is not there."""
Indexed = Callable[[Workspace, Annotations], tuple[Index, Mapping[str, Path], Sequence[ImageKey]]]
"""The index of a workspace, the file of each image in it, and the collection and id of each row."""


@dataclass
class Opener:
    """Opens the archive of one configuration, again and again.

    Attributes:
        config: names the index, the learners and the classifier.
        indexed: reads the index.
        names: of concepts.
        reporter: told about the first opening; the others happen while requests are answered.
    """

    config: Config
    indexed: Indexed
    names: Mapping[str, str] = field(default_factory=dict)
    reporter: Reporter = field(default_factory=Silent)
    _kept: tuple[Encoder, Explainer] | None = field(default=None, init=False)

    @property
    def there(self) -> bool:
        """Whether the index has been built."""
        return manifest_of(Workspace(self.config).index_path).exists()

    @property
    def about(self) -> Profile:
        """The feature sets, and their weights where they count."""
        workspace = Workspace(self.config)
        weights = list(self.config.weights or (1.0,) * len(workspace.feature_sets))
        return Profile(name="", features=list(workspace.feature_sets), weights=weights)

    def stamp(self) -> Stamp:
        """Of the few files that change with the index, the collections and the classifier."""
        workspace, window = Workspace(self.config), self.config.classify
        collections = [workspace.collection_path(name) for name in self.config.collections]
        folders = [*collections, workspace.classifier_path(window.top, window.offset)]
        return tuple(map(_stamp, [manifest_of(workspace.index_path), *(one / MANIFEST for one in folders)]))

    def open(self) -> Archive:
        """Load all that is served; learners that have not changed since are kept.

        Raises:
            ConfigError: the index is of other features, or a feature set is not of a learner.
            MissingArtifact: the index or a learner is not there.
            ArtifactError: one of them is damaged.
        """
        workspace, reporter = Workspace(self.config), self.reporter
        self.reporter = Silent()
        # Before the index is read: if it changes meanwhile, it is opened again.
        version = file_digest(manifest_of(workspace.index_path)) if self.there else ""
        annotations = workspace.annotations()
        index, paths, keys = self.indexed(workspace, annotations)
        index.require(workspace.made_with)
        concepts = {key.image_id: annotations.concepts[key] for key in keys if key in annotations.concepts}
        searcher = Searcher(index, concepts, offered(annotations, keys), version)
        searcher.warm()
        if self._kept is None or self._kept[0].made_with != workspace.made_with:
            encoder = Encoder(workspace)
            self._kept = encoder, Explainer(encoder.encoding, lambda learner: _images(workspace, learner))
        encoder, explainer = self._kept
        path = self.config.workspace / "maps" / f"{workspace.index_path.name}-pca"
        return Archive(
            searcher,
            encoder,
            Gallery(paths, self.config.ingest),
            concepts,
            self.names,
            _detector(workspace, searcher, concepts, reporter),
            project_once(searcher, path, reporter),
            explainer,
        )


def _images(workspace: Workspace, learner: Learner) -> ImageStore:
    """The training collection at a learner's size."""
    name = next(name for name, kind in LEARNERS.items() if type(learner) is kind)
    settings = {"learner": {"name": name, **learner.settings.model_dump()}}
    return Workspace(workspace.config.model_copy(update=settings)).store(TRAIN)


def _detector(
    workspace: Workspace, searcher: Searcher, concepts: Mapping[str, Sequence[str]], reporter: Reporter
) -> Detector | None:
    """The classifier of the configuration's window, None where there is none that can be used."""
    window = workspace.config.classify
    folder, most = workspace.classifier_path(window.top, window.offset), workspace.edition.max_concepts
    if not folder.is_dir():
        return None
    try:
        classifier = Classifier.load(folder)
    except ArtifactError as error:
        reporter.say(f"{error}; until then no concepts are detected")
        return None
    if classifier.detector.reads == "ids":
        reporter.say(f"{folder}: scores of listed images only; no concepts are detected in uploads")
        return None
    decoded_at = None
    if classifier.detector.reads == "pixels":
        decoded_at = workspace.choice.settings.image_size, workspace.mode
    if not classifier.asks_for_neighbours:
        return Detector(classifier, most, decoded_at=decoded_at)
    rows = np.flatnonzero([image_id in concepts for image_id in searcher.ids])
    labels = classifier.vocabulary.labels([concepts[searcher.ids[row]] for row in rows])
    trained = NearestTrained(searcher.rows_at(rows), str(workspace.device))
    return Detector(classifier, most, trained.nearest, labels)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
