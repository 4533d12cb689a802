"""Several feature sets as one: the rows of the images that all of them have, beside each other.

Nothing is copied: a block of joined rows is put together when it is read. The classifier standardises every
column, so that sets of unlike scales can stand beside each other as they are. A search compares whole rows:
there each set's rows get length 1, so that every set has one say and the cosine is the mean of theirs, or
the mean by the weights of the sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError
from imageclef.features.feature_set import FeatureSet, Matrix


def side_by_side(
    sets: Sequence[FeatureSet], unit: bool = False, weights: Sequence[float] | None = None
) -> FeatureSet:
    """Join feature sets by their columns.

    Args:
        sets: one or more; one is returned as it is.
        unit: whether each set's rows are brought to length 1; rows of zeros stay.
        weights: of the sets' cosines, where rows are brought to length 1; by default all 1.

    Returns:
        The images that are in every set, in the order of the first; their features in the order of the sets.

    Raises:
        DataError: no image is in every set.
    """
    first, *others = sets
    if not others:
        return first
    common = set(first.ids).intersection(*(one.ids for one in others))
    ids = [image_id for image_id in first.ids if image_id in common]
    if not ids:
        raise DataError(f"{len(sets)} feature sets have no image in common; expected the same images in all")
    parts = tuple((one.features, None if one.ids == ids else one.rows_of(ids)) for one in sets)
    lengths = tuple(weight**0.5 for weight in weights or [1.0] * len(sets)) if unit else None
    return FeatureSet(ids, Columns(parts, len(ids), lengths))


@dataclass(frozen=True)
class Columns:
    """Matrices beside each other, float32, (n_images, the sum of their widths).

    Attributes:
        parts: each matrix, and its row for each image; None where the rows are the images' own.
        n_images: rows of the whole.
        lengths: to which the rows of each matrix are brought; None leaves them as they are.
    """

    parts: tuple[tuple[Matrix, NDArray[np.int64] | None], ...]
    n_images: int
    lengths: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return self.n_images

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(n_images, n_features)."""
        return self.n_images, sum(matrix.shape[1] for matrix, _ in self.parts)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """The rows of a slice or of an array of positions, (n_rows, n_features)."""
        blocks = [matrix[rows if own is None else own[rows]] for matrix, own in self.parts]
        if self.lengths is not None:
            blocks = [brought_to(length, block) for length, block in zip(self.lengths, blocks, strict=True)]
        return np.hstack(blocks)


def brought_to(length: float, rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (n, d) at a length; rows of zeros stay."""
    # In float64, whose range the square of no float32 leaves.
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    unit = np.zeros_like(rows)
    np.divide(rows, lengths / length, out=unit, where=lengths > 0, casting="same_kind")
    return unit
