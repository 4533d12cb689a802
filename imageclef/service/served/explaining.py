"""Why an image was found: where it and the query agree, as small grids to be drawn over the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, ConfigError, DataError, MissingArtifact
from imageclef.features.encoding import Encoding
from imageclef.features.regions import Regions
from imageclef.images.decode import Mode
from imageclef.learners.base import Learner
from imageclef.learners.images import Images

MOST_EXPLAINED = 48
"""Answers of one question whose regions are looked for, the nearest ones."""

SAID = "Warm regions add most to the similarity of the query and an image; every picture has its own scale."
"""What the grids are, for the visitor."""

Grid = list[list[float]]
"""Numbers between 0 and 1 by row, from the top."""
PixelsAt = Callable[[int, Mode], NDArray[np.uint8]]


@dataclass(frozen=True)
class Pair:
    """Where two pictures agree."""

    query: Grid
    image: Grid


@dataclass(frozen=True)
class Explained:
    """Why images were found.

    Attributes:
        said: what the regions are, or why there are none, in a sentence.
        pairs: of each image; None where there are no regions, or its file is gone.
    """

    said: str
    pairs: list[Pair | None]


class Explainer:
    """Finds regions by the learner of the features; the mean image is found when it is first needed."""

    def __init__(self, encoding: Encoding, images: Callable[[Learner], Images]) -> None:
        """Take what encodes pictures, and the images of the collection at a learner's size."""
        self._encoding, self._images = encoding, images
        self._lock = Lock()
        self._found: Regions | str | None = None

    def explain(self, query: PixelsAt, images: Sequence[PixelsAt]) -> Explained:
        """Find where a query and each of several images agree.

        Args:
            query: its pixels at a size and mode.
            images: likewise; the first few are looked at.
        """
        regions = self._regions()
        if isinstance(regions, str):
            return Explained(regions, [None] * len(images))
        found: list[Pair | None] = [None] * len(images)
        seen = [_pixels(one, regions.size) for one in images[:MOST_EXPLAINED]]
        asked, there = _pixels(query, regions.size), [row for row, one in enumerate(seen) if one is not None]
        if asked is not None and there:
            maps = regions.between(asked, [one for one in seen if one is not None])
            for row, of_query, of_image in zip(there, *maps, strict=True):
                found[row] = Pair(_grid(of_query), _grid(of_image))
        return Explained(SAID, found)

    def _regions(self) -> Regions | str:
        with self._lock:
            if self._found is None:
                try:
                    config = self._encoding
                    self._found = Regions.of(config.learners, config.output, self._images)
                except ConfigError as error:
                    self._found = _sentence(str(error).partition("; expected")[0])
                except (MissingArtifact, ArtifactError):
                    # Whose path is nobody's business.
                    self._found = _sentence("the store of the training collection is not there any more")
            return self._found


def _sentence(reason: str) -> str:
    return f"Regions cannot be shown ({reason}): the concepts that are shared can."


def _pixels(at: PixelsAt, size: tuple[int, Mode]) -> NDArray[np.uint8] | None:
    try:
        return at(*size)
    except DataError:
        return None


def _grid(shares: NDArray[np.float32]) -> Grid:
    """Shares (h, w) of any scale, the largest as 1; what speaks against the similarity is 0."""
    warm = np.maximum(shares.astype(np.float64), 0)
    most = warm.max()
    return (warm / most if most > 0 else warm).round(3).tolist()  # type: ignore[no-any-return]
