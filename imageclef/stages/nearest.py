"""The nearest training image of each image, for the rules that may copy its concepts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.detectors.rules import Nearest
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.index import Index


def nearest_images(
    trained: Matrix, rows: NDArray[np.int64], labels: csr_array, queries: Matrix, device: str
) -> Nearest:
    """Search some rows of the training features by cosine similarity.

    Args:
        trained: features of the training collection.
        rows: those that may be found, (n_rows,).
        labels: their concepts, (n_rows, n_concepts).
        queries: features of the images that ask, (n_images, n_features).
        device: where to search.
    """
    index = Index.build(trained[rows], [str(row) for row in rows], "cosine", device)
    similarity, found = index.search(queries[slice(None)], 1)
    return Nearest(labels[found[:, 0]], similarity[:, 0])
