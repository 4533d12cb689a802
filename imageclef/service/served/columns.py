"""The columns of the tables of groups that a search can be narrowed by, and those that nobody is shown.

A visitor may narrow a search to a modality or a view; not to a patient. Shown, and taken as a filter, is a
column with few values, of which at least one is shared by several groups, whose name and values are not those
of ids, hashes, dates or persons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from imageclef.data.annotations import Annotations, ImageKey

MOST_VALUES = 32
"""Of a column that is shown."""

_IDENTIFYING = frozenset(
    (
        *("id", "ids", "uid", "hash", "digest", "pseudonym", "accession", "case", "study", "series"),
        *("patient", "person", "subject", "name", "address", "birth", "birthday", "age", "sex"),
        *("date", "time", "serial", "physician", "operator", "hospital", "institution", "station"),
    )
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CODES = re.compile(r"[0-9a-fA-F]{16,}|[0-9]+(\.[0-9]+){3,}|[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


def offered(annotations: Annotations, keys: Sequence[ImageKey]) -> pd.DataFrame:
    """The columns that are shown, a row for each image of an index; an image that has no value has None.

    Args:
        annotations: of the images.
        keys: the collection and id of each row of the index.
    """
    ids = pd.Index([key.image_id for key in keys])
    table = annotations.metadata_of(keys)
    if table is None:
        return pd.DataFrame(index=ids)
    table, groups = table.set_index(ids), annotations.groups_of(keys)
    shown = {}
    for column in map(str, table.columns):
        values = table[column].where(table[column] != "").astype("category")
        if _is_shown(column, values, groups):
            shown[column] = values
    return pd.DataFrame(shown, index=table.index)


def counted(table: pd.DataFrame) -> dict[str, list[tuple[str, int]]]:
    """The values of each column of `offered` with the number of images, the most frequent first."""
    found = {}
    for column in table.columns:
        counts = table[column].value_counts()
        pairs = [(str(value), int(count)) for value, count in counts.items()]
        found[str(column)] = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    return found


def _is_shown(column: str, values: pd.Series[Any], groups: Sequence[str]) -> bool:
    categories = values.cat.categories
    if not 1 <= len(categories) <= MOST_VALUES or (len(categories) == 1 and values.notna().all()):
        return False
    words = {word.lower() for word in _WORDS.findall(column)}
    if words & _IDENTIFYING or any(_CODES.fullmatch(str(value)) for value in categories):
        return False
    group = pd.Series(groups, index=values.index)
    # Values that each belong to one group alone are another name of the group.
    return bool((group.groupby(values, observed=True).nunique() > 1).any())
