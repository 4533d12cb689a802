"""The training images that have both features and concepts, and which of them nothing is fitted to.

Learners, classifiers and votes are fitted on one part; thresholds, k and C are tuned on the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imageclef.data.concept_list import ConceptLists
from imageclef.data.splits import held_out
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError
from imageclef.features.feature_set import FeatureSet
from imageclef.features.labelled import Labelled
from imageclef.workspace import Collection, Workspace


def labelled(
    workspace: Workspace, train: Collection, features: FeatureSet, vocabulary: Vocabulary
) -> Labelled:
    """Join features and concepts of the training collection, and split it.

    Raises:
        DataError: it has no concept list, or no image of the list has features.
    """
    concepts = required_concepts(train)
    rows = np.flatnonzero([image_id in concepts for image_id in features.ids])
    lists = [concepts[features.ids[row]] for row in rows]
    held = held_out_rows(workspace, train, features.ids)[rows]
    if not held.any() or held.all():
        raise DataError(
            f"{len(rows)} images of collection train have features and concepts, {int(held.sum())} of them "
            "held out; expected some on either side"
        )
    return Labelled(rows, held, vocabulary.labels(lists), np.array([len(entry) for entry in lists]))


def required_concepts(collection: Collection) -> ConceptLists:
    """The concepts of a collection that must have some.

    Raises:
        DataError: it has no concept list, or an empty one.
    """
    if not collection.concepts or not any(collection.concepts.values()):
        name = collection.name
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
