"""What is known of the images of several collections beside their pixels: concepts, groups, metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from imageclef.data.collection import read_groups
from imageclef.data.concept_list import read_concept_list

CONCEPTS, GROUPS = "concepts.tsv", "groups.csv"


@dataclass(frozen=True)
class Known:
    """Of images by id.

    Attributes:
        concepts: of those that are in a concept list.
        groups: of those that are in a table of groups.
        metadata: the other columns of these tables as str, indexed by image id; None where there is none.
    """

    concepts: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, str]
    metadata: pd.DataFrame | None


def read_known(folders: Iterable[Path]) -> Known:
    """Join what was ingested of several collections; where an image is in two, the later one's line counts.

    Args:
        folders: of the collections, as ingested.

    Raises:
        DataError: a table is damaged.
    """
    concepts: dict[str, tuple[str, ...]] = {}
    groups: dict[str, str] = {}
    tables = []
    for folder in folders:
        if (listed := folder / CONCEPTS).exists():
            concepts |= read_concept_list(listed, "2018")
        if (grouped := folder / GROUPS).exists():
            table = read_groups(grouped)
            groups |= table.group_of
            tables.append(table.metadata)
    if not tables:
        return Known(concepts, groups, None)
    joined = pd.concat(tables)
    return Known(concepts, groups, joined[~joined.index.duplicated(keep="last")])
