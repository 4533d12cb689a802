"""Scores of a run: how certain each of its answers was, and each answer that it did not give.

One safetensors file: the images, the concepts, and a sparse matrix of probabilities in the rows' order. Only
what an answer could hang on is kept, the highest scores of each image; the others are 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from imageclef.errors import ArtifactError
from imageclef.storage.tensors import load_arrays, save_arrays

SCORES, HELD_OUT, HELD_OUT_SCORES = "scores.safetensors", "held-out.csv", "held-out-scores.safetensors"
"""In the folder ``NAME`` beside ``NAME.csv``: its scores, its model's held-out run, and theirs."""

_ARRAYS: Mapping[str, type[np.generic]] = {"data": np.float32, "indices": np.int32, "indptr": np.int64}

KEPT = 100
"""Scores of an image: as many concepts as the most generous edition takes in an answer."""


@dataclass(frozen=True)
class Scores:
    """Probabilities of concepts.

    Attributes:
        ids: the image of each row.
        concepts: the concept of each column.
        matrix: (n_images, n_concepts) float32; what is not stored is 0.
    """

    ids: list[str]
    concepts: tuple[str, ...]
    matrix: csr_array

    @classmethod
    def highest(
        cls, ids: Sequence[str], concepts: Sequence[str], scores: NDArray[np.float32], kept: int = KEPT
    ) -> Scores:
        """Keep the highest scores of each image.

        Args:
            ids: the image of each row.
            concepts: the concept of each column.
            scores: (n_images, n_concepts), from 0 to 1.
            kept: of each image.
        """
        kept = min(kept, scores.shape[1])
        columns = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        columns.sort(axis=1)
        values = np.take_along_axis(scores, columns, axis=1)
        starts = np.arange(0, values.size + 1, kept)
        matrix = csr_array((values.ravel(), columns.ravel(), starts), shape=scores.shape)
        return cls(list(ids), tuple(concepts), matrix)

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Scores of the same concepts below each other.

        Args:
            parts: one or more.
        """
        matrix = csr_array(vstack([part.matrix for part in parts], format="csr"))
        return cls([image_id for part in parts for image_id in part.ids], parts[0].concepts, matrix)

    def over(self, ids: Container[str]) -> Scores:
        """Those of some of the images."""
        rows = [row for row, image_id in enumerate(self.ids) if image_id in ids]
        return Scores([self.ids[row] for row in rows], self.concepts, csr_array(self.matrix[rows]))

    def answers(self, most: int) -> dict[str, tuple[str, ...]]:
        """The concepts that have a score, by image: at most so many, the highest, in the columns' order."""
        answers: dict[str, tuple[str, ...]] = {}
        for row, image_id in enumerate(self.ids):
            entries = slice(self.matrix.indptr[row], self.matrix.indptr[row + 1])
            columns, data = self.matrix.indices[entries], self.matrix.data[entries]
            kept = np.sort(np.argsort(-data, kind="stable")[:most])
            answers[image_id] = tuple(self.concepts[column] for column in columns[kept])
        return answers

    def write(self, path: Path) -> None:
        """Write the file, made anew."""
        arrays = {name: getattr(self.matrix, name).astype(kind) for name, kind in _ARRAYS.items()}
        save_arrays(path, {"ids": _text(self.ids), "concepts": _text(self.concepts), **arrays}, {})

    @classmethod
    def read(cls, path: Path) -> Scores:
        """Read what `write` wrote.

        Raises:
            ArtifactError: the file is damaged or holds something else.
        """
        arrays, _ = load_arrays(path)
        try:
            ids, concepts = _lines(arrays["ids"]), _lines(arrays["concepts"])
            data, indices, starts = (_array(arrays, name) for name in _ARRAYS)
            _check(ids, concepts, indices, starts)
            matrix = csr_array((data, indices, starts), shape=(len(ids), len(concepts)))
            matrix.sort_indices()
            if not matrix.has_canonical_format:
                raise ValueError("two scores of one concept for one image")
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: {error}; expected the scores of a run") from None
        return cls(ids, tuple(concepts), matrix)


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype != _ARRAYS[name]:
        raise ValueError(f"{name} of {array.dtype}, not {_ARRAYS[name].__name__}")
    return array


def _check(ids: Sequence[str], concepts: Sequence[str], indices: NDArray[Any], starts: NDArray[Any]) -> None:
    """Refuse, by a `ValueError`, what no run has.

    scipy's own check lets a negative number of entries pass, and reads outside of its arrays then.
    """
    for kind, names in (("image", ids), ("concept", concepts)):
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise ValueError(f"{kind} '{twice}' appears twice")
    if indices.ndim != 1 or starts.shape != (len(ids) + 1,):
        raise ValueError(f"{len(ids)} images, but starts of shape {starts.shape}")
    if starts[0] != 0 or starts[-1] != len(indices) or (starts[1:] < starts[:-1]).any():
        raise ValueError(f"starts that do not rise from 0 to {len(indices)}")
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(concepts):
        raise ValueError(f"a column that is none of the {len(concepts)} concepts")


def _text(names: Sequence[str]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(names).encode(), dtype=np.uint8)


def _lines(text: NDArray[Any]) -> list[str]:
    decoded = text.tobytes().decode()
    return decoded.split("\n") if decoded else []
