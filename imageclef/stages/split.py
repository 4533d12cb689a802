"""The part of the training collection that nothing is fitted to.

Learners, classifiers and votes are fitted on the other part; thresholds, k and C are tuned on this one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imageclef.data.splits import held_out
from imageclef.workspace import Collection, Workspace


def held_out_rows(workspace: Workspace, collection: Collection, ids: Sequence[str]) -> NDArray[np.bool_]:
    """True for the images that are held out, (n_images,); a group is never on both sides.

    The split is drawn over all ids of the collection, so that it does not depend on which of them could be
    decoded at some size.
    """
    split = workspace.config.split
    everyone = sorted({*collection.ids, *ids})
    held = held_out(everyone, collection.groups, split.fraction, split.seed)
    chosen = {image_id for image_id, out in zip(everyone, held, strict=True) if out}
    return np.array([image_id in chosen for image_id in ids], dtype=bool)
