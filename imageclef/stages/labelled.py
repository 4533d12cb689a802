"""The training images that have both features and concepts, and which of them nothing is fitted to.

Learners, classifiers and votes are fitted on one part; thresholds, k and C are tuned on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imageclef.data.concept_list import ConceptLists
from imageclef.data.splits import group_codes, group_folds, held_out
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.base import Source
from imageclef.detectors.task import Rows
from imageclef.errors import DataError
from imageclef.features.labelled import Labelled
from imageclef.workspace import Collection, Workspace

N_FOLDS = 5
"""Of the held-out part, for choosing a rule; fewer groups than that are not divided."""


def labelled(workspace: Workspace, train: Collection, names: list[str], vocabulary: Vocabulary) -> Labelled:
    """Find the rows of the training collection that have concepts, and split them.

    Args:
        workspace: names the split.
        train: the training collection.
        names: the image of each row of a feature set or a store.
        vocabulary: of the labels' columns.

    Raises:
        DataError: it has no concept list, no image of the list has features, or one part has no concept.
    """
    concepts = required_concepts(train)
    rows = np.flatnonzero([image_id in concepts for image_id in names])
    lists = [concepts[names[row]] for row in rows]
    held = held_out_rows(workspace, train, names)[rows]
    if not held.any() or held.all():
        raise DataError(
            f"{len(rows)} images of collection train have features and concepts, {int(held.sum())} of them "
            "held out; expected some on either side"
        )
    _check_both_parts(np.array([bool(entry) for entry in lists]), held)
    ids = [names[row] for row in rows]
    return Labelled(
        rows,
        held,
        vocabulary.labels(lists),
        np.array([len(entry) for entry in lists]),
        group_codes(ids, train.groups),
        _folds(ids, held, train.groups, workspace.config.split.seed),
    )


def _check_both_parts(has_concepts: NDArray[np.bool_], held: NDArray[np.bool_]) -> None:
    """Nothing is learned from a part in which no image has a concept, and nothing tuned on it."""
    for name, part in (("training", has_concepts[~held]), ("validation", has_concepts[held])):
        if not part.any():
            raise DataError(
                f"collection train: {int(has_concepts.sum())} of {len(held)} images have a concept, none of "
                f"them in the {name} part ({len(part)} images); expected one on either side: set another "
                "split.seed or split.fraction, or use a longer concept list"
            )


def rows_read(workspace: Workspace, name: str, reads: Source) -> tuple[Rows, str]:
    """What a detector reads of a collection, and the digest of it.

    Raises:
        MissingArtifact: it has not been made.
    """
    match reads:
        case "features":
            features = workspace.features(name)
            return Rows(features.ids, of_features=features.features), workspace.features_digest(name)
        case "pixels":
            store = workspace.store(name)
            return Rows(store.ids, of_pixels=store.images), workspace.artifact("store", name).digest
        case "ids":
            return Rows(workspace.collection(name).ids), workspace.artifact("collection", name).digest


def _folds(
    ids: Sequence[str], held: NDArray[np.bool_], groups: Mapping[str, str], seed: int
) -> NDArray[np.int64]:
    """(n_images,): the fold of each image within its part; one fold where there are too few groups."""
    folds = np.zeros(len(ids), dtype=np.int64)
    for part in (np.flatnonzero(held), np.flatnonzero(~held)):
        named = [ids[row] for row in part.tolist()]
        n_groups = len(np.unique(group_codes(named, groups)))
        if n_groups >= N_FOLDS:
            folds[part] = group_folds(named, groups, N_FOLDS, seed)
    return folds


def required_concepts(collection: Collection) -> ConceptLists:
    """The concepts of a collection that must have some.

    Raises:
        DataError: it has no concept list, or an empty one.
    """
    name = collection.name
    if collection.concepts and not any(collection.concepts.values()):
        raise DataError(
            f"collection {name}: none of the {len(collection.concepts)} images of its concept list has a "
            "concept; expected at least one line with concepts"
        )
    if not collection.concepts:
        raise DataError(
            f"collection {name} has no concepts; set collections.{name}.concepts to its concept list"
        )
    return collection.concepts


def held_out_rows(workspace: Workspace, collection: Collection, ids: Sequence[str]) -> NDArray[np.bool_]:
    """True for the images that are held out, (n_images,); a group is never on both sides.

    The split is drawn over all ids of the collection, so that it does not depend on which of them could be
    decoded at some size.
    """
    split = workspace.config.split
    everyone = sorted({*collection.ids, *ids})
    held = held_out(everyone, collection.groups, split.fraction, split.seed)
    chosen = {image_id for image_id, out in zip(everyone, held, strict=True) if out}
    return np.array([image_id in chosen for image_id in ids], dtype=np.bool_)
