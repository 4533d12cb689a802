"""The map of a collection: its features on their first two principal components.

The axes are those of at most 20,000 images, drawn with a fixed seed; every image is then projected. Each
axis is scaled by itself so that 98 of 100 images lie between -0.85 and 0.85; the others are drawn between
there and the edge, the farther out the closer together, so that outliers leave the others room.

Reference: H. Hotelling, "Analysis of a complex of statistical variables into principal components", 1933.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imageclef.data.ids import read_id_lines, write_id_lines
from imageclef.errors import ArtifactError
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.storage.artifacts import Artifact, Recipe, building, up_to_date

_SAMPLE, _SEED, _INNER = 20_000, 0, 0.85
_BLOCK_ROWS = 8192
_POINTS, _IDS, _ABOUT = "points.npy", "ids.txt", "about.json"


@dataclass(frozen=True)
class Projection:
    """A place for each image.

    Attributes:
        ids: of the images.
        points: float32 (n_images, 2), -1 to 1.
        explained: shares of the variance on either axis.
    """

    ids: list[str]
    points: NDArray[np.float32]
    explained: tuple[float, float]

    @classmethod
    def load(cls, folder: Path) -> Projection:
        """Read what `save` wrote.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        try:
            points = np.load(folder / _POINTS, allow_pickle=False)
            first, second = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))["explained"]
        except (OSError, ValueError, KeyError):
            raise ArtifactError(f"{folder}: not a map; delete it, and it is made again") from None
        ids = read_id_lines(folder / _IDS)
        if points.shape != (len(ids), 2):
            raise ArtifactError(f"{folder}: {points.shape} points for {len(ids)} ids; delete it")
        return cls(ids, points, (float(first), float(second)))

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        np.save(folder / _POINTS, self.points)
        write_id_lines(folder / _IDS, self.ids)
        (folder / _ABOUT).write_text(json.dumps({"explained": self.explained}) + "\n", encoding="utf-8")


def project(index: Index, reporter: Reporter | None = None) -> Projection:
    """Compute the map of all rows of an index, a block at a time."""
    n = len(index)
    drawn = np.random.default_rng(_SEED).permutation(n)[:_SAMPLE]
    mean, axes, explained = _axes(index.vectors(np.sort(drawn)))
    points = np.empty((n, 2), np.float64)
    with (reporter or Silent()).progress("drawing the map", n, "images") as advance:
        for start in range(0, n, _BLOCK_ROWS):
            rows = index.vectors(np.arange(start, min(start + _BLOCK_ROWS, n)))
            points[start : start + len(rows)] = (rows - mean) @ axes
            advance(len(rows))
    return Projection(index.names, _scaled(points), explained)


def project_once(index: Index, digest: str, path: Path, reporter: Reporter) -> Projection:
    """The map of an index, from its artifact if it was drawn before.

    Args:
        index: whose images are shown.
        digest: of the index.
        path: of the artifact.
        reporter: told about the progress.
    """
    settings = {"method": "pca", "scale": _INNER, "sample": _SAMPLE, "images": len(index)}
    recipe = Recipe("serve", settings, {"index": digest}, _SEED)
    artifact = up_to_date(path, recipe)
    if artifact is None:
        with building(path, recipe) as folder:
            project(index, reporter).save(folder)
    else:
        _require_unchanged(artifact)
    return Projection.load(path)


def _require_unchanged(artifact: Artifact) -> None:
    """Check every point; the other files were checked when the artifact was opened."""
    try:
        artifact.array(_POINTS)[:]
    except ArtifactError:
        place = artifact.path
        raise ArtifactError(
            f"{place / _POINTS}: changed since it was written; delete {place}, and the map is drawn again"
        ) from None


def _axes(
    sample: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Mean (d,), the first two components (d, 2), and their shares of the variance."""
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean
    # The smaller of the two Gram matrices has the same components.
    wide = centred.shape[1] > len(centred)
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    first = np.argsort(-values)[:2]
    axes, total = np.zeros((centred.shape[1], 2)), max(float(values.clip(0).sum()), 1e-300)
    found = centred.T @ vectors[:, first] if wide else vectors[:, first]
    lengths = np.linalg.norm(found, axis=0)
    found = found / np.where(lengths > 0, lengths, 1)
    # Either direction of an axis is as good: the one whose largest loading is positive is taken.
    found *= np.where(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])] < 0, -1, 1)
    axes[:, : found.shape[1]] = found
    shares = np.zeros(2)
    shares[: len(first)] = values[first].clip(0) / total
    return mean, axes, (float(shares[0]), float(shares[1]))


def _scaled(points: NDArray[np.float64]) -> NDArray[np.float32]:
    low, high = np.percentile(points, [1, 99], axis=0)
    half = (high - low) / 2
    centred = points - (high + low) / 2
    scaled = np.divide(centred, half, out=np.zeros_like(centred), where=half > 0) * _INNER
    beyond = np.maximum(np.abs(scaled) - _INNER, 0)
    edge = _INNER + (1 - _INNER) * -np.expm1(-beyond / (1 - _INNER))
    return np.asarray(np.where(beyond > 0, np.sign(scaled) * edge, scaled), np.float32)
