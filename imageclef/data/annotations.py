"""What is known about the images of several collections besides their pixels: concepts, groups, metadata.

The ids of images are unique within a collection only, so everything here is looked up by collection and id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from imageclef.data.collection import read_groups
from imageclef.data.concept_list import read_concept_list

CONCEPTS, GROUPS = "concepts.tsv", "groups.csv"


class ImageKey(NamedTuple):
    """One image among all collections.

    Attributes:
        collection: the name of its collection.
        image_id: its id, which is unique within that collection only.
    """

    collection: str
    image_id: str


@dataclass(frozen=True)
class Annotations:
    """The annotations of images, by collection and id.

    Attributes:
        concepts: the concepts of each image of a concept list.
        groups: the group of each image of a table of groups.
        metadata: the other columns of these tables as str, indexed by collection and id (a MultiIndex);
            None where no collection has a table.
    """

    concepts: Mapping[ImageKey, tuple[str, ...]]
    groups: Mapping[ImageKey, str]
    metadata: pd.DataFrame | None

    def concepts_of(self, keys: Iterable[ImageKey]) -> list[tuple[str, ...]]:
        """The concepts of these images, in their order; none for an image without a line."""
        return [self.concepts.get(key, ()) for key in keys]

    def groups_of(self, keys: Iterable[ImageKey]) -> list[str]:
        """The groups of these images, in their order; an empty string for an image without a group."""
        return [self.groups.get(key, "") for key in keys]

    def metadata_of(self, keys: Sequence[ImageKey]) -> pd.DataFrame | None:
        """The metadata of these images: row i is that of key i, NaN where it is unknown."""
        if self.metadata is None:
            return None
        index = pd.MultiIndex.from_tuples(map(tuple, keys), names=self.metadata.index.names)
        return self.metadata.reindex(index).reset_index(drop=True)

    def with_metadata(self, more: Mapping[ImageKey, Mapping[str, str]]) -> Annotations:
        """The same with metadata of images that have none."""
        known = set() if self.metadata is None else set(self.metadata.index)
        lines = {tuple(key): dict(line) for key, line in more.items() if tuple(key) not in known}
        if not lines:
            return self
        index = pd.MultiIndex.from_tuples(lines, names=["collection", "ID"])
        added = pd.DataFrame(list(lines.values()), index=index, dtype=object)
        return replace(self, metadata=added if self.metadata is None else pd.concat([self.metadata, added]))


def read_annotations(folders: Mapping[str, Path]) -> Annotations:
    """Read the annotations of collections.

    Args:
        folders: the ingested collections by name.

    Raises:
        DataError: a table is damaged.
    """
    concepts: dict[ImageKey, tuple[str, ...]] = {}
    groups: dict[ImageKey, str] = {}
    tables: dict[str, pd.DataFrame] = {}
    for name, folder in folders.items():
        if (listed := folder / CONCEPTS).exists():
            lists = read_concept_list(listed, "2018")
            concepts |= {ImageKey(name, image_id): of_image for image_id, of_image in lists.items()}
        if (grouped := folder / GROUPS).exists():
            table = read_groups(grouped)
            groups |= {ImageKey(name, image_id): group for image_id, group in table.group_of.items()}
            tables[name] = table.metadata
    metadata = pd.concat(tables, names=["collection", "ID"]) if tables else None
    return Annotations(concepts, groups, metadata)
