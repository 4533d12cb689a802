"""Which rows of an index may be answered, decided before the search: masks over its rows.

Masks are joined with `&`; a search among the rows of a mask answers with k of them where there are k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageclef.errors import ConfigError, DataError

Mask = NDArray[np.bool_]

_SHOWN = 8


@dataclass(frozen=True)
class Filters:
    """What an answer must be.

    Attributes:
        required: concepts that it has, all of them.
        forbidden: concepts of which it has none.
        ids: images that it is one of; None for any.
        where: columns of a table of metadata and the value that it has there.
    """

    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    where: tuple[tuple[str, str], ...] = ()

    def mask(
        self,
        ids: Sequence[str],
        concepts: Mapping[str, Sequence[str]] | None,
        metadata: pd.DataFrame | None,
    ) -> Mask | None:
        """The rows that pass all of it, (n_images,); None if nothing is asked.

        Args:
            ids: of the index.
            concepts: of its images; None where there is no list.
            metadata: indexed by image id, values as str; None where there is no table.

        Raises:
            DataError: a concept, an id, a column or a value is unknown; the message says what there is.
        """
        masks: list[Mask] = []
        if self.required or self.forbidden:
            masks.append(with_concepts(ids, concepts, self.required, self.forbidden))
        if self.ids is not None:
            masks.append(of_ids(ids, self.ids))
        masks += [where(ids, metadata, column, value) for column, value in self.where]
        return np.logical_and.reduce(masks) if masks else None


def parse_where(text: str) -> tuple[str, str]:
    """Split `modality=CT` into column and value.

    Raises:
        ConfigError: there is no column or no `=`.
    """
    column, equals, value = text.partition("=")
    if not equals or not column.strip():
        raise ConfigError(f"where '{text}'; expected COLUMN=VALUE, such as modality=CT")
    return column.strip(), value.strip()


def with_concepts(
    ids: Sequence[str],
    concepts: Mapping[str, Sequence[str]] | None,
    required: Sequence[str] = (),
    forbidden: Sequence[str] = (),
) -> Mask:
    """Rows of images that have all required concepts and no forbidden one; without a line, an image has none.

    Raises:
        DataError: there is no list of concepts, or no image of the index has one of these.
    """
    if concepts is None:
        raise DataError("the collection has no concepts to filter by; expected a concept list")
    having: dict[str, Mask] = {concept: np.zeros(len(ids), np.bool_) for concept in (*required, *forbidden)}
    seen: dict[str, int] = {}
    for row, image_id in enumerate(ids):
        for concept in concepts.get(image_id, ()):
            seen[concept] = seen.get(concept, 0) + 1
            if concept in having:
                having[concept][row] = True
    for concept in having:
        if concept not in seen:
            most = sorted(seen, key=lambda one: (-seen[one], one))
            raise DataError(f"no image of the index has concept '{concept}'; it has {_some(most)}")
    mask = np.ones(len(ids), dtype=np.bool_)
    for concept in required:
        mask &= having[concept]
    for concept in forbidden:
        mask &= ~having[concept]
    return mask


def of_ids(ids: Sequence[str], wanted: Sequence[str]) -> Mask:
    """Rows of the images named.

    Raises:
        DataError: one is not in the index.
    """
    row_of = {image_id: row for row, image_id in enumerate(ids)}
    if unknown := [image_id for image_id in wanted if image_id not in row_of]:
        raise DataError(
            f"{len(unknown)} of {len(wanted)} ids are not in the index, such as '{unknown[0]}'; "
            f"it has {_some(ids)}"
        )
    mask = np.zeros(len(ids), dtype=np.bool_)
    mask[[row_of[image_id] for image_id in wanted]] = True
    return mask


def where(ids: Sequence[str], metadata: pd.DataFrame | None, column: str, value: str) -> Mask:
    """Rows of images that have a value in a column; an image without a line in the table has none.

    Args:
        ids: of the index.
        metadata: indexed by image id, values as str.
        column: its name.
        value: as it is written in the table.

    Raises:
        DataError: there is no table, no such column, or no image of the index has the value.
    """
    if metadata is None or not len(metadata.columns):
        raise DataError(f"no table of metadata with a column '{column}'; expected one in `groups`")
    if column not in metadata.columns:
        raise DataError(
            f"no column '{column}' in the metadata; it has {_some(list(map(str, metadata.columns)))}"
        )
    values = metadata[column].reindex(pd.Index(ids))
    mask = np.asarray(values == value, dtype=np.bool_)
    if not mask.any():
        counts = values.value_counts()
        raise DataError(
            f"no image of the index has {column} = '{value}'; it has {_some(list(map(str, counts.index)))}"
        )
    return mask


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    if not len(names):
        return "none"
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
