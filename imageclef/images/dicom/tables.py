"""Look-up tables of DICOM: of the modality, of values of interest, and palettes.

Reference: DICOM PS3.3, C.11.1.1 and C.11.2.1.1 (descriptors and data), C.7.6.3.1.5 and C.7.6.3.1.6
(palettes), C.7.9.2 (segmented palettes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imageclef.errors import ImageRefused
from imageclef.images.dicom.header import value_of

_MOST_ENTRIES = 2**16
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True)
class Table:
    """A look-up table.

    Attributes:
        first: the value of the first entry; smaller ones get it too, those above the last the last.
        entries: uint16 (n_entries,).
        peak: the largest value that an entry can have.
        note: what of its description was corrected, in words.
    """

    first: int
    entries: NDArray[np.uint16]
    peak: int
    note: str = ""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The entries of values of any shape; those between two whole numbers get the nearer one's."""
        index = np.clip(np.rint(np.nan_to_num(values)) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.int64)], np.float64)


def read_table(item: Dataset, descriptor: str, data: str, little_endian: bool) -> Table:
    """Read a table.

    Args:
        item: with both elements.
        descriptor: the keyword of its number of entries, first value and bits.
        data: the keyword of its entries.
        little_endian: the order of bytes in the file.

    Raises:
        ImageRefused: it is damaged.
    """
    count, first, bits = _described(item, descriptor)
    value = value_of(item, data)
    if value is None:
        raise ImageRefused("damaged", f"no {data} in its header")
    entries = _entries(value, count, bits, little_endian)
    if len(entries) < count:
        raise ImageRefused("damaged", f"{len(entries)} of {count} entries in {data}")
    return _table(first, entries[:count], bits)


def read_segmented(item: Dataset, descriptor: str, data: str, little_endian: bool) -> Table:
    """Read a table whose data are runs and slopes; arguments and errors as in `read_table`."""
    count, first, bits = _described(item, descriptor)
    value = value_of(item, data)
    if not isinstance(value, bytes):
        raise ImageRefused("damaged", f"no {data} in its header")
    words = np.frombuffer(value[: len(value) // 2 * 2], "<u2" if little_endian else ">u2")
    segments = words.tolist() if bits > 8 else words.astype("<u2").view(np.uint8).tolist()
    try:
        entries = _expanded(segments, count, bits > 8)
    except IndexError:
        raise ImageRefused("damaged", f"{data} ends within a segment") from None
    if len(entries) < count:
        raise ImageRefused("damaged", f"{len(entries)} of {count} entries in {data}")
    return _table(first, np.array(entries[:count], np.uint16), bits)


def _table(first: int, entries: NDArray[np.uint16], bits: int) -> Table:
    # Some writers declare fewer bits than their entries have. Others declare all 16 that are allocated for
    # entries of 12: a table of 16 bits that leaves three quarters of its range unused is one of these.
    used = max(int(entries.max()).bit_length(), 8)
    few = bits == 16 and used <= 14
    peak = (1 << (used if few else bits)) - 1
    note = f"{used} of {bits} bits" if few else ""
    return Table(first, entries, max(peak, int(entries.max())), note)


def _described(item: Dataset, keyword: str) -> tuple[int, int, int]:
    """Number of entries, first value and bits."""
    value = value_of(item, keyword)
    try:
        count, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise ImageRefused("damaged", f"{keyword} is not three numbers") from None
    if not 1 <= bits <= 16:
        raise ImageRefused("damaged", f"{bits} bits in {keyword}; expected 1 to 16")
    # 0 stands for 65536, and a signed element shows counts from 32768 as negative.
    return (count % _MOST_ENTRIES) or _MOST_ENTRIES, first, bits


def _entries(value: Any, count: int, bits: int, little_endian: bool) -> NDArray[np.uint16]:
    """Entries that stand as numbers, as words, or as bytes two to a word."""
    if isinstance(value, bytes):
        words = np.frombuffer(value[: len(value) // 2 * 2], "<u2" if little_endian else ">u2")
        odd = value[len(value) // 2 * 2 :]
    else:
        numbers: Sequence[int] = [value] if isinstance(value, int) else value
        words, odd = (np.array(numbers, np.int64) & 0xFFFF).astype(np.uint16), b""
    if len(words) >= count or bits > 8:
        return words.astype(np.uint16)
    packed = words.astype("<u2").view(np.uint8)
    return np.concatenate([packed, np.frombuffer(odd, np.uint8)]).astype(np.uint16)


def _expanded(
    segments: list[int], most: int, words: bool, copied: int | None = None, last: int | None = None
) -> list[int]:
    """The entries of segments: at most so many, and of `copied` segments where that is given.

    A slope starts from the entry before it, which is `last` where there is none yet.
    """
    entries: list[int] = []
    at = done = 0
    while at + 1 < len(segments) and len(entries) < most and done != copied:
        kind, length = segments[at], segments[at + 1]
        at += 2
        done += 1
        if kind == _DISCRETE:
            entries += segments[at : at + length]
            at += length
        elif kind == _LINEAR:
            before = entries[-1] if entries else last
            if before is None:
                raise ImageRefused("damaged", "a segmented palette begins with a slope")
            slope = np.linspace(before, segments[at], length + 1)[1:]
            entries += np.rint(slope).astype(int).tolist()
            at += 1
        elif kind == _INDIRECT and copied is None:
            size = 2 if words else 4
            parts = [segments[at + place] for place in range(size)]
            where = sum(part << ((16 if words else 8) * place) for place, part in enumerate(parts))
            at += size
            start = where // 2 if words else where
            before = entries[-1] if entries else None
            entries += _expanded(segments[start:], most - len(entries), words, length, before)
        else:
            raise ImageRefused("damaged", f"a segmented palette with a segment of kind {kind}")
    return entries
