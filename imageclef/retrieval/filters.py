"""Filters: which rows of an index may be hits, decided before the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.index import Index

if TYPE_CHECKING:
    import pandas as pd

    from imageclef.data.annotations import Annotations

Mask = NDArray[np.bool_]

_SHOWN = 8


@dataclass(frozen=True)
class Filters:
    """What every hit must be.

    Attributes:
        having: concepts that it has, all of them.
        without: concepts of which it has none.
        where: columns of metadata, and the value that it has there.
        among: names of images that it is one of; None for any.
    """

    having: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    among: tuple[str, ...] | None = None


NO_FILTERS = Filters()


def parse_where(text: str) -> tuple[str, str]:
    """Split `modality=CT` into column and value.

    Raises:
        ConfigError: there is no column or no `=`.
    """
    column, equals, value = text.partition("=")
    if not equals or not column.strip():
        raise ConfigError(f"where '{text}'; expected COLUMN=VALUE, such as modality=CT")
    return column.strip(), value.strip()


class IndexedConcepts:
    """The concepts of the images of an index, in both directions."""

    def __init__(self, index: Index, annotations: Annotations) -> None:
        """Look up the images of an index; an image without a line has no concepts."""
        self.of_row = annotations.concepts_of(one.key for one in index.images)

    @cached_property
    def rows_of(self) -> dict[str, NDArray[np.int64]]:
        """Rising rows that have each concept; the most frequent concept first, then by name."""
        rows: dict[str, list[int]] = {}
        for row, concepts in enumerate(self.of_row):
            for concept in dict.fromkeys(concepts):
                rows.setdefault(concept, []).append(row)
        order = sorted(rows, key=lambda concept: (-len(rows[concept]), concept))
        return {concept: np.array(rows[concept], dtype=np.int64) for concept in order}

    def having(self, concept: str) -> NDArray[np.int64]:
        """Return the rows that have a concept.

        Raises:
            DataError: no image of the index has it; the message lists frequent ones.
        """
        if (found := self.rows_of.get(concept)) is not None:
            return found
        if not self.rows_of:
            raise DataError("the indexed images have no concepts to filter by; expected a concept list")
        raise DataError(f"no image of the index has concept '{concept}'; it has {_some(list(self.rows_of))}")


def mask_of(
    filters: Filters, index: Index, concepts: IndexedConcepts, metadata: pd.DataFrame | None
) -> Mask | None:
    """Return the rows that pass all filters, (n_rows,); None if there is no filter.

    Args:
        filters: what hits must be.
        index: whose rows.
        concepts: of the index.
        metadata: a row for each of the index; only needed for `where`.

    Raises:
        DataError: a concept, a name, a column or a value is unknown; the message says what there is.
    """
    if filters == NO_FILTERS:
        return None
    mask = np.ones(len(index), dtype=np.bool_)
    for concept in filters.having:
        mask &= _only(concepts.having(concept), len(index))
    for concept in filters.without:
        mask[concepts.having(concept)] = False
    if filters.among is not None:
        mask &= _only(_rows_of(index, filters.among), len(index))
    for column, value in filters.where:
        mask &= where(metadata, column, value)
    return mask


def where(metadata: pd.DataFrame | None, column: str, value: str) -> Mask:
    """Return the rows that have a value in a column, (n_rows,).

    Args:
        metadata: a row for each of the index, values as str; None where an image has none.
        column: its name.
        value: as it is written in the table.

    Raises:
        DataError: there is no such column, or no image of the index has the value.
    """
    if metadata is None or not len(metadata.columns):
        raise DataError(f"the indexed images have no metadata with a column '{column}'; expected `groups`")
    if column not in metadata.columns:
        raise DataError(
            f"no column '{column}' in the metadata; it has {_some(list(map(str, metadata.columns)))}"
        )
    mask = np.asarray(metadata[column] == value, dtype=np.bool_)
    if not mask.any():
        values = [str(one) for one in metadata[column].value_counts().index]
        raise DataError(f"no image of the index has {column} = '{value}'; it has {_some(values)}")
    return mask


def _rows_of(index: Index, names: Sequence[str]) -> NDArray[np.int64]:
    rows = {name: index.rows_named(name) for name in names}
    if unknown := [name for name, found in rows.items() if not found]:
        raise DataError(
            f"{len(unknown)} of {len(names)} ids are not in the index, such as '{unknown[0]}'; "
            f"it has {_some(index.names)}"
        )
    return np.array([row for found in rows.values() for row in found], dtype=np.int64)


def _only(rows: NDArray[np.int64], n: int) -> Mask:
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return mask


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if not len(names):
        return "none"
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
