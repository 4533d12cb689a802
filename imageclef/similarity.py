"""The similarity search of a workspace: index, annotations, classifier, regions and files put together.

The command line and the service both ask what `similarity_search` returns. Learners and the classifier are
loaded when a query first needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imageclef.data.annotations import Annotations, ImageKey
from imageclef.errors import ArtifactError, ConfigError, ImageRefused, MissingArtifact
from imageclef.images.decode import Mode
from imageclef.images.pool import decode_guarded
from imageclef.retrieval.index import Index
from imageclef.retrieval.index_artifact import StoredIndex
from imageclef.retrieval.similar import SimilaritySearch
from imageclef.workspace import TRAIN, Workspace

if TYPE_CHECKING:  # torch takes seconds to load
    from imageclef.detectors.detection import Annotator
    from imageclef.features.encoding import Encoded
    from imageclef.features.regions import Regions
    from imageclef.learners.base import Learner
    from imageclef.learners.images import Images


def similarity_search(
    workspace: Workspace,
    stored: StoredIndex,
    learners: Callable[[], Sequence[Learner]] | None = None,
    detector: Callable[[], Annotator | None] | None = None,
) -> SimilaritySearch:
    """Put together what answers similarity queries.

    Args:
        workspace: of the configuration.
        stored: its index.
        learners: loads the learners of the feature sets, by default from the workspace.
        detector: loads the classifier, by default from the workspace.

    Raises:
        ConfigError: the index is of other features than the configured ones.
        DataError: a table of a collection is damaged.
    """
    stored.require_features(workspace.features_identity, workspace.features_label)
    annotations = workspace.annotations().with_metadata(stored.metadata)
    index = stored.index
    load = detector or (lambda: load_detector(workspace, index, annotations))

    def detect(image: Encoded) -> Sequence[str] | None:
        found = load()
        return None if found is None else found.concepts_in(image)

    return SimilaritySearch(
        index,
        annotations,
        listed=lambda: listed_digests(workspace, index),
        detect=detect,
        regions=lambda: load_regions(workspace, learners or workspace.learners),
        pixels=partial(_pixels_of, workspace, index),
    )


def listed_digests(workspace: Workspace, index: Index) -> Mapping[str, ImageKey]:
    """The images of the index and of all ingested collections by the digest of their file."""
    found = {one.digest: one.key for one in index.images if one.digest}
    for name in workspace.config.collections:
        if workspace.store_path(name).is_dir():
            for image_id, (_, digest) in workspace.store(name).files.items():
                found.setdefault(digest, ImageKey(name, image_id))
    found.pop("", None)
    return found


def load_regions(workspace: Workspace, learners: Callable[[], Sequence[Learner]]) -> Regions | str:
    """Return the regions in which images agree, or the reason why they cannot be found."""
    from imageclef.features.regions import Regions

    try:
        return Regions.of(learners(), workspace.config.extract.output, partial(images_of, workspace))
    except ConfigError as error:
        return str(error).partition("; expected")[0]
    except (MissingArtifact, ArtifactError):
        return "the store of the training collection is not there any more"


def images_of(workspace: Workspace, learner: Learner) -> Images:
    """The training collection at a learner's size."""
    from imageclef.learners.table import LEARNERS

    name = next(name for name, kind in LEARNERS.items() if type(learner) is kind)
    settings = {"learner": {"name": name, **learner.settings.model_dump()}}
    return Workspace(workspace.config.model_copy(update=settings)).store(TRAIN)


def load_detector(workspace: Workspace, index: Index, annotations: Annotations) -> Annotator | None:
    """The classifier of the configuration's window; None where there is none of these features.

    Raises:
        ArtifactError: it is damaged.
    """
    from imageclef.detectors.classifier import Classifier
    from imageclef.detectors.detection import Annotator

    window = workspace.config.classify
    folder, most = workspace.classifier_path(window.top, window.offset), workspace.edition.max_concepts
    if not folder.is_dir():
        return None
    classifier = Classifier.load(folder)
    if classifier.detector.reads == "ids":  # scores of listed images only
        return None
    decoded_at = None
    if classifier.detector.reads == "pixels":
        decoded_at = workspace.choice.settings.image_size, workspace.mode
    if not classifier.asks_for_neighbours:
        return Annotator(classifier, most, decoded_at=decoded_at)
    keys = [one.key for one in index.images]
    rows = np.flatnonzero([key in annotations.concepts for key in keys])
    labels = classifier.vocabulary.labels([annotations.concepts[keys[row]] for row in rows])
    trained = Index.of(index.vectors(rows), [str(row) for row in rows], "cosine", index.device)

    def find_nearest(vector: NDArray[np.float32]) -> tuple[int, float]:
        similarity, found = trained.search(vector, 1)
        return int(found[0, 0]), float(similarity[0, 0])

    return Annotator(classifier, most, find_nearest, labels, decoded_at)


def _pixels_of(
    workspace: Workspace, index: Index, row: int, size: int, mode: Mode
) -> NDArray[np.uint8] | None:
    try:
        return decode_guarded(
            workspace.file_of(index.images[row]), size, mode, workspace.config.ingest
        ).pixels
    except ImageRefused:
        return None
