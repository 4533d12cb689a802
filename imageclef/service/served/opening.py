"""From a workspace to what is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np

from imageclef.config import Config
from imageclef.detectors.detection import Annotator
from imageclef.errors import ArtifactError
from imageclef.features.regions import Regions
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.similar import SimilaritySearch
from imageclef.service.answers import Profile
from imageclef.service.served.archive import Archive
from imageclef.service.served.columns import offered
from imageclef.service.served.gallery import Gallery
from imageclef.service.served.projection import project_once
from imageclef.similarity import listed_digests, load_detector, load_regions, similarity_search
from imageclef.storage.manifests import MANIFEST
from imageclef.workspace import Workspace

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change of some files; None for one that is not there."""


@dataclass
class Opener:
    """Opens the archive of one configuration, again and again.

    Attributes:
        config: names the index, the learners and the classifier.
        names: of concepts.
        reporter: told about the first opening; the others happen while requests are answered.
    """

    config: Config
    names: Mapping[str, str] = field(default_factory=dict)
    reporter: Reporter = field(default_factory=Silent)
    _kept: _Loaded | None = field(default=None, init=False)

    @property
    def there(self) -> bool:
        """Whether the index has been built."""
        return (Workspace(self.config).index_path / MANIFEST).exists()

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
        classifier = workspace.classifier_path(window.top, window.offset)
        return tuple(_stamp(one / MANIFEST) for one in (workspace.index_path, *collections, classifier))

    def open(self) -> Archive:
        """Load all that is served; learners that have not changed since are kept.

        Raises:
            ConfigError: the index is of other features, or a feature set is not of a learner.
            MissingArtifact: the index or a learner is not there.
            ArtifactError: one of them is damaged.
        """
        workspace, reporter = Workspace(self.config), self.reporter
        self.reporter = Silent()
        stored = workspace.index()
        if self._kept is None or self._kept.features != workspace.features_identity:
            self._kept = _Loaded(workspace)
        loaded = self._kept
        search = similarity_search(workspace, stored)
        detector = _detector(workspace, search, reporter)
        listed = listed_digests(workspace, stored.index)
        search = replace(
            search,
            listed=lambda: listed,
            detect=lambda image: None if detector is None else detector.concepts_in(image),
            regions=loaded.regions,
            shown_columns=offered(search.annotations, [one.key for one in stored.index.images]),
        )
        # A first search, because an index reads and arranges its rows when it is first asked.
        if len(stored.index):
            stored.index.search(stored.index.vectors(np.zeros(1, np.int64)), 1)
        search.concepts.rows_of  # noqa: B018  # computed now, not in the first query
        path = self.config.workspace / "maps" / f"{workspace.index_path.name}-pca"
        files = zip(stored.index.names, map(workspace.file_of, stored.index.images), strict=True)
        return Archive(
            search,
            loaded.encoder,
            Gallery(dict(files), self.config.ingest),
            self.names,
            detector,
            project_once(stored.index, stored.digest, path, reporter),
            stored.digest,
        )


class _Loaded:
    """The learners, which are kept as long as the features stay the same."""

    def __init__(self, workspace: Workspace) -> None:
        self.features, self.encoder = workspace.features_identity, workspace.encoder()
        self._workspace, self._lock = workspace, Lock()
        self._regions: Regions | str | None = None

    def regions(self) -> Regions | str:
        """Return what finds where images agree; the mean image is computed when it is first needed."""
        with self._lock:
            if self._regions is None:
                self._regions = load_regions(self._workspace, lambda: self.encoder.learners)
            return self._regions


def _detector(workspace: Workspace, search: SimilaritySearch, reporter: Reporter) -> Annotator | None:
    """The classifier of the configuration's window, None where there is none that can be used."""
    try:
        return load_detector(workspace, search.index, search.annotations)
    except ArtifactError as error:
        reporter.say(f"{error}; until then no concepts are detected")
        return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
