"""Tuning a window of concepts whose run will be joined with those of other windows.

Alone, a window of rare concepts scores next to nothing whatever it answers: an image that has none of them
has an F1 of 0 with or without a false answer, so that its best threshold is far too low, and the joined run
is flooded. Tuned as if the other windows had found everything of theirs, each answer of this one counts as
it will in the join: a right one completes an image, a wrong one spoils it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def with_the_rest_right(
    scores: NDArray[np.float32], labels: sparse.csr_array, n_truth: NDArray[np.int64]
) -> tuple[NDArray[np.float32], sparse.csr_array]:
    """Add columns in which every concept outside the window is answered, and right.

    Args:
        scores: (n_images, n_concepts) of the window.
        labels: (n_images, n_concepts) of the window, sparse.
        n_truth: (n_images,), concepts of the truth in and outside the window.

    Returns:
        Scores and labels, (n_images, n_concepts + m): an image with r concepts outside the window has r
        further columns that are true and score infinity; the others are false and score minus infinity.
    """
    inside = np.asarray((labels != 0).sum(axis=1)).ravel()
    outside = np.asarray(n_truth) - inside
    further = np.arange(outside.max(initial=0)) < outside[:, None]
    extra = np.where(further, np.inf, -np.inf).astype(scores.dtype)
    columns = sparse.hstack([labels, sparse.csr_array(further.astype(labels.dtype))], format="csr")
    return np.hstack([scores, extra]), sparse.csr_array(columns)
