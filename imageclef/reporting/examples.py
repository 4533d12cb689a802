"""Examples of a concept: images that a run got right, missed, and invented, and their thumbnails.

The images are drawn at random, with a fixed seed: the reader sees what is usual, not what was picked.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csc_array

from imageclef.data.collection import find_images
from imageclef.errors import ImageRefused
from imageclef.images.pool import decode_fitting_guarded
from imageclef.reporting.inputs import Inputs, RunInputs

SIDE = 96
"""Longer side of a thumbnail in pixels."""
_QUALITY = 70
_BUDGET = 3_000_000
"""Bytes of all thumbnails in a page, as often as each is shown."""


@dataclass(frozen=True)
class Example:
    """An image, and the score that the run gave it for the concept; None without scores."""

    image_id: str
    score: float | None


@dataclass(frozen=True)
class ConceptExamples:
    """Images of a concept.

    Attributes:
        concept: its CUI.
        right: they have it and were given it.
        missed: they have it and were not given it.
        invented: they were given it and do not have it.
    """

    concept: str
    right: tuple[Example, ...]
    missed: tuple[Example, ...]
    invented: tuple[Example, ...]


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, or the reason why there is none.

    Attributes:
        uri: a ``data:`` URI of a JPEG; empty if there is none.
        width: to show it with, in pixels.
        height: likewise; the proportions of the original.
        reason: why there is none.
    """

    uri: str = ""
    width: int = SIDE
    height: int = SIDE
    reason: str = ""


def choose_examples(
    inputs: Inputs, run: RunInputs, concepts: int, each: int = 4, seed: int = 0
) -> list[ConceptExamples]:
    """Draw examples of the concepts with most support.

    Args:
        inputs: what was read.
        run: one of its runs.
        concepts: how many of them, at most.
        each: images of each kind, at most.
        seed: of the draw.
    """
    answers, labels = csc_array(run.answers), csc_array(inputs.labels)
    scores = run.beside.scores
    column_of = {concept: place for place, concept in enumerate(scores.concepts)} if scores else {}
    found = []
    for column, concept in enumerate(inputs.vocabulary.concepts[:concepts]):
        if not inputs.vocabulary.counts[column]:
            break
        rng = np.random.default_rng((seed, column))
        given, truth = _rows(answers, column), _rows(labels, column)
        kinds = (np.intersect1d(given, truth), np.setdiff1d(truth, given), np.setdiff1d(given, truth))
        drawn = [np.sort(rng.permutation(rows)[:each]) for rows in kinds]
        place = column_of.get(concept)
        right, missed, invented = (
            tuple(Example(inputs.ids[row], _score(run, row, place)) for row in rows.tolist())
            for rows in drawn
        )
        found.append(ConceptExamples(concept, right, missed, invented))
    return found


def read_thumbnails(
    image_ids: Sequence[str],
    folder: Path,
    progress: Callable[[int], None] | None = None,
    budget: int = _BUDGET,
) -> dict[str, Thumbnail]:
    """Decode each image once.

    Args:
        image_ids: as often as each will be shown; the first are served first.
        folder: of the images.
        progress: called with the number of images just finished.
        budget: bytes of all pictures as often as they are shown.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    path_of = {image.image_id: folder / image.path for image in find_images(folder).images}
    thumbnails: dict[str, Thumbnail] = {}
    for image_id, shown in Counter(image_ids).items():
        thumbnail = _thumbnail(path_of.get(image_id))
        cost = shown * len(thumbnail.uri)
        if cost > budget:
            thumbnail = Thumbnail(reason="left out, so that the page stays small")
        else:
            budget -= cost
        thumbnails[image_id] = thumbnail
        if progress:
            progress(1)
    return thumbnails


def ids_shown(examples: Iterable[ConceptExamples]) -> list[str]:
    """The image of every example, in the order in which they are shown."""
    return [
        example.image_id
        for one in examples
        for kind in (one.right, one.missed, one.invented)
        for example in kind
    ]


def _rows(matrix: csc_array, column: int) -> NDArray[np.int32]:
    rows: NDArray[np.int32] = matrix.indices[matrix.indptr[column] : matrix.indptr[column + 1]]
    return rows


def _score(run: RunInputs, row: int, column: int | None) -> float | None:
    if run.beside.scores is None or column is None:
        return None
    return float(run.beside.scores.matrix[row, column])


def _thumbnail(path: Path | None) -> Thumbnail:
    if path is None:
        return Thumbnail(reason="no file of this name")
    try:
        decoded = decode_fitting_guarded(path, SIDE)
    except ImageRefused as error:
        return Thumbnail(reason=str(error))
    # A smaller picture is shown as large as the others.
    scale = SIDE / max(decoded.width, decoded.height)
    width, height = (max(1, round(side * scale)) for side in (decoded.width, decoded.height))
    written = BytesIO()
    Image.fromarray(decoded.pixels).save(written, "JPEG", quality=_QUALITY)
    uri = "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode("ascii")
    return Thumbnail(uri, width, height)
