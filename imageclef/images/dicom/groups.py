"""What a header says of one frame: functional groups of the frame, else of all frames, else the object's own.

Reference: DICOM PS3.3, C.7.6.16 "Multi-frame Functional Groups Module".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from imageclef.images.dicom.header import value_of

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


def item_with(dataset: Dataset, index: int, macro: str, keyword: str) -> Dataset | None:
    """The data set that holds an element for a frame, the most specific one that does.

    Args:
        dataset: of the object.
        index: of the frame, from 0.
        macro: the sequence in a functional group that has the element, such as ``FrameVOILUTSequence``.
        keyword: the element.

    Raises:
        ImageRefused: an element is damaged.
    """
    for group in _groups(dataset, index):
        items = items_of(group, macro)
        if items and value_of(items[0], keyword) is not None:
            return items[0]
    return dataset if value_of(dataset, keyword) is not None else None


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, none where it is missing."""
    value: Any = value_of(dataset, keyword, [])
    return [item for item in value if isinstance(item, Dataset)] if not isinstance(value, bytes) else []


def _groups(dataset: Dataset, index: int) -> Iterator[Dataset]:
    frames = value_of(dataset, _PER_FRAME, [])
    if not isinstance(frames, bytes) and index < len(frames):
        yield frames[index]
    yield from items_of(dataset, _SHARED)[:1]
