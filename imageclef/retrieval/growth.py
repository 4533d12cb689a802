"""How an index grows and stays in shape.

Added rows are a new segment. Segments are merged as in a binary counter, a later one into an earlier one
that is not twice as long: there are never more than log2(n) of them, and a row is copied log2(n) times in its
life. When more than a quarter of the rows are dead, all segments are rewritten without them. An approximate
structure takes up rows that were added since, and is tuned again, when they are more than a tenth of it.
Each of these costs about as much as the changes that led to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, compress

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError
from imageclef.features.feature_set import Matrix
from imageclef.retrieval.approximate import extend, structured
from imageclef.retrieval.contents import Contents, HeldStructure
from imageclef.retrieval.faiss_index import Structure
from imageclef.retrieval.kinds import enough_rows
from imageclef.retrieval.recall import tuned
from imageclef.retrieval.segments import Segment, held

_MOST_DEAD = 0.25
_MOST_BESIDE = 0.1
_FEW_BESIDE = 1000
_COPIED_ROWS = 8192
_SEED = 0


def added(
    contents: Contents,
    features: Matrix,
    ids: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> Contents:
    """The same with a segment more; ids that are in the index are the caller's to refuse.

    Raises:
        DataError: an id appears twice or cannot stand in a line; a number is not finite.
    """
    _check_ids(ids)
    if not len(ids):
        return contents
    segment = held(features, ids, contents.metric, contents.dtype, progress)
    return replace(contents, segments=(*contents.segments, segment))


def settled(contents: Contents, recall: float | None = None, learnt: Structure | None = None) -> Contents:
    """The same with a structure that holds nearly all rows, for the approximate kinds.

    Args:
        contents: with or without a structure.
        recall: what to tune to; None for what was asked before.
        learnt: a structure to fill anew, where the contents have none.
    """
    if contents.kind == "flat":
        return contents
    kept, rows, n = contents.structure, contents.rows(), contents.n_rows
    if kept is None and learnt is None and not enough_rows(contents.kind, n - len(contents.dead)):
        return contents
    if kept is not None and n - kept.n_rows <= max(_FEW_BESIDE, _MOST_BESIDE * kept.n_rows):
        return contents
    if kept is None:
        structure = structured(rows, contents.kind, np.flatnonzero(contents.live), _SEED, learnt)
    else:
        structure = kept.open()
        extend(structure, rows)
    before = contents.recall
    asked = recall if recall is not None else before.asked if before is not None else 1.0
    live = contents.live if len(contents.dead) else None
    measured = tuned(rows, structure, live, asked, _SEED)
    return replace(contents, structure=HeldStructure(contents.kind, n, loaded=structure), recall=measured)


def compacted(contents: Contents) -> Contents:
    """The same without its dead rows, once they are too many."""
    if len(contents.dead) <= _MOST_DEAD * contents.n_rows:
        return contents
    live, structure, recall = contents.live, contents.structure, contents.recall
    kept = replace(
        contents,
        segments=(_joined(contents.segments, live),) if live.any() else (),
        dead=contents.dead[:0],
        dead_file=None,
        structure=None,
        # Until there is a structure again every row is compared.
        recall=recall and replace(recall, measured=1.0, n_queries=0, n_rows=int(live.sum())),
    )
    if structure is None or not live.any():
        return kept
    return settled(kept, learnt=structure.open())


def merged(contents: Contents) -> Contents:
    """The same in few segments."""
    segments = list(contents.segments)
    while len(segments) > 1 and len(segments[-2]) < 2 * len(segments[-1]):
        segments[-2:] = [_joined(segments[-2:])]
    return replace(contents, segments=tuple(segments))


def _joined(segments: Sequence[Segment], kept: NDArray[np.bool_] | None = None) -> Segment:
    """One segment of the rows of several, or of those that are kept, (n_rows,)."""
    n = sum(map(len, segments))
    kept = np.ones(n, dtype=np.bool_) if kept is None else kept
    first = segments[0].rows
    rows = np.empty((int(kept.sum()), first.shape[1]), first.dtype)
    start = filled = 0
    for segment in segments:
        inside = kept[start : start + len(segment)]
        start += len(segment)
        for at in range(0, len(segment), _COPIED_ROWS):
            block = segment.rows[at : at + _COPIED_ROWS][inside[at : at + _COPIED_ROWS]]
            rows[filled : filled + len(block)] = block
            filled += len(block)
    ids = chain.from_iterable(segment.ids for segment in segments)
    return Segment(rows, list(compress(ids, kept.tolist())))


def _check_ids(ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for row, image_id in enumerate(ids):
        if not image_id or "\n" in image_id or "\r" in image_id:
            raise DataError(f"row {row}: id {image_id!r} is empty or has a line break; expected a name")
        if image_id in seen:
            raise DataError(f"row {row}: image '{image_id}' appears twice; expected another id in every row")
        seen.add(image_id)
