"""From a workspace to what is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imageclef.concepts.classifier import Classifier
from imageclef.data.concept_names import read_concept_names
from imageclef.errors import ArtifactError, ConfigError
from imageclef.progress import Reporter
from imageclef.retrieval.index import Index
from imageclef.service.archive import Archive
from imageclef.service.detection import Detector
from imageclef.service.encoder import Encoder
from imageclef.service.gallery import Gallery
from imageclef.service.projection import project_once
from imageclef.service.search import NearestTrained, Searcher
from imageclef.workspace import Workspace


def open_archive(
    workspace: Workspace,
    index: Index,
    paths: Mapping[str, Path],
    concept_names: Path | None,
    reporter: Reporter,
) -> Archive:
    """Load all that is served.

    Args:
        workspace: names the learner and the classifier.
        index: of the learner's features.
        paths: the file of each image of the index.
        concept_names: a table of names.
        reporter: told about the map, which is drawn where it is not there yet.

    Raises:
        ConfigError: the index is of other features than the learner's.
        MissingArtifact: the learner is not there.
        DataError: the table of names cannot be read.
    """
    if workspace.feature_sets != (workspace.extracted_label,):
        raise ConfigError(
            f"features = {list(workspace.feature_sets)}: uploads are searched with the features of the "
            f"learner alone; expected ['{workspace.extracted_label}'], or leave it out"
        )
    concepts = _concepts(workspace)
    searcher = Searcher(index, concepts)
    searcher.warm()
    names = read_concept_names(concept_names) if concept_names else {}
    path = workspace.config.workspace / "maps" / f"{workspace.index_path.name}-pca"
    return Archive(
        searcher,
        Encoder(workspace),
        Gallery(paths),
        concepts,
        names,
        _detector(workspace, searcher, concepts, reporter),
        project_once(searcher, path, reporter),
    )


def _concepts(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Of the images of every collection that was ingested; an index may hold images of all of them."""
    found: dict[str, tuple[str, ...]] = {}
    for name in workspace.config.collections:
        if workspace.collection_path(name).is_dir():
            found = {**(workspace.collection(name).concepts or {}), **found}
    return found


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
    if not classifier.asks_for_neighbours:
        return Detector(classifier, most)
    rows = np.flatnonzero([image_id in concepts for image_id in searcher.ids])
    labels = classifier.vocabulary.labels([concepts[searcher.ids[row]] for row in rows])
    trained = NearestTrained(searcher.rows_at(rows), str(workspace.device))
    return Detector(classifier, most, trained.nearest, labels)
