"""Indexes of a test, in memory or written to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.index_artifact import About, StoredIndex
from imageclef.retrieval.index_changes import build_index
from imageclef.retrieval.kinds import Kind
from imageclef.retrieval.vectors import Metric


def names(n: int) -> list[str]:
    return [f"i{row}" for row in range(n)]


def images_of(ids: Sequence[str], collection: str = "train") -> list[IndexedImage]:
    return [IndexedImage(collection, one, f"{one}.png", f"digest of {one}") for one in ids]


def stored(
    folder: Path,
    features: NDArray[np.float32],
    ids: Sequence[str],
    metric: Metric = "l2",
    kind: Kind = "flat",
    recall: float = 0.95,
) -> StoredIndex:
    """An index that was built in a folder."""
    about = About(
        kind=kind,
        metric=metric,
        n_images=0,
        n_features=features.shape[1],
        features="features",
        features_label="some features",
        sources={"train": "digest"},
        asked=recall,
    )
    return build_index(folder, features, images_of(ids), about)


def built(
    features: NDArray[np.float32],
    ids: Sequence[str],
    metric: Metric,
    *,
    kind: Kind = "flat",
    recall: float = 0.95,
) -> Index:
    """An index whose files are gone: mapped rows stay, and what is approximate is loaded."""
    with TemporaryDirectory() as folder:
        index = stored(Path(folder) / "index", features, ids, metric, kind, recall).index
        ann = index.load_ann() if index.load_ann else None
        return Index(index.rows, index.images, metric, kind, index.recall, (lambda: ann) if ann else None)
