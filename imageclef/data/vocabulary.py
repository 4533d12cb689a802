"""The concepts of a collection by falling frequency, and label matrices over a window of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array, csr_array

from imageclef.data.list_lines import CONCEPT
from imageclef.errors import DataError


@dataclass(frozen=True)
class Vocabulary:
    """Concepts by falling count; equal counts by concept, so that a cut is always the same.

    Attributes:
        concepts: the CUIs; the rank of a concept is its place here, and its column in `labels`.
        counts: the number of images that have each, in the same order.
    """

    concepts: tuple[str, ...]
    counts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.concepts)

    @classmethod
    def count(cls, concept_lists: Iterable[Sequence[str]]) -> Vocabulary:
        """Count the concepts of a collection.

        Args:
            concept_lists: the concepts of each image, none twice for one image.
        """
        counted = Counter(chain.from_iterable(concept_lists))
        ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(concept for concept, _ in ranked), tuple(count for _, count in ranked))

    def window(self, top: int, offset: int = 0) -> Vocabulary:
        """The `top` concepts from rank `offset` on, or fewer where the vocabulary ends.

        Raises:
            DataError: there is no concept at rank `offset`.
        """
        if not self.concepts:
            raise DataError(
                "no image of the concept list has a concept; expected lines such as ID<TAB>C0000001"
            )
        if offset >= len(self):
            raise DataError(f"no concept at rank {offset}: the collection has {len(self)}; lower the offset")
        return Vocabulary(self.concepts[offset : offset + top], self.counts[offset : offset + top])

    def labels(self, concept_lists: Sequence[Sequence[str]]) -> csr_array:
        """Which image has which concept; concepts outside the vocabulary are left out.

        Args:
            concept_lists: the concepts of each image.

        Returns:
            uint8 ones, shape (n_images, n_concepts), with sorted indices.
        """
        ranks = _Ranks((concept, rank) for rank, concept in enumerate(self.concepts))
        lengths = np.fromiter(map(len, concept_lists), np.int64, count=len(concept_lists))
        flat = map(ranks.__getitem__, chain.from_iterable(concept_lists))
        columns = np.fromiter(flat, np.int32, count=int(lengths.sum()))
        rows = np.repeat(np.arange(len(concept_lists), dtype=np.int32), lengths)
        inside = columns >= 0
        ones = np.ones(int(inside.sum()), dtype=np.uint8)
        shape = (len(concept_lists), len(self))
        labels = coo_array((ones, (rows[inside], columns[inside])), shape=shape).tocsr()
        labels.sum_duplicates()
        labels.data[:] = 1
        return labels

    def concepts_of(self, labels: csr_array) -> list[tuple[str, ...]]:
        """The concepts of each image, by rank: what `labels` was made from.

        Args:
            labels: anything but zero where an image has a concept, shape (n_images, n_concepts).
        """
        present = csr_array(labels, copy=True)
        present.eliminate_zeros()
        present.sort_indices()
        concepts = [self.concepts[rank] for rank in present.indices.tolist()]
        bounds = present.indptr.tolist()
        return [tuple(concepts[start:end]) for start, end in pairwise(bounds)]

    def write(self, path: Path) -> None:
        """Write ``CUI<TAB>count``, one concept a line, by rank."""
        lines = (f"{concept}\t{count}\n" for concept, count in zip(self.concepts, self.counts, strict=True))
        path.write_text("".join(lines), encoding="utf-8", newline="\n")

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Read what `write` wrote; the order of the file is kept, as matrices may depend on it.

        Raises:
            DataError: the file cannot be read, or a line is not a concept, a TAB and a count, or a
                concept appears twice.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; expected a vocabulary") from None
        except UnicodeDecodeError:
            raise DataError(f"{path}: not UTF-8 text; expected lines of CUI<TAB>count") from None
        counts: dict[str, int] = {}
        for number, line in enumerate(lines, start=1):
            concept, _, count = line.partition("\t")
            if not CONCEPT.fullmatch(concept) or not (count.isascii() and count.isdigit()):
                raise DataError(f"{path}:{number}: '{line}' is not a line of CUI<TAB>count")
            if concept in counts:
                raise DataError(f"{path}:{number}: concept '{concept}' appears twice; expected one line each")
            counts[concept] = int(count)
        return cls(tuple(counts), tuple(counts.values()))


class _Ranks(dict[str, int]):
    """Concept -> rank; -1 for a concept outside the vocabulary."""

    def __missing__(self, concept: str) -> int:
        return -1
