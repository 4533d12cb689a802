from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import DataError

LISTS = [("C3", "C1"), (), ("C3", "C2"), ("C9", "C2", "C3")]
lists = st.lists(st.lists(st.sampled_from([f"C{i}" for i in range(12)]), unique=True).map(tuple), max_size=12)


def test_counts_by_falling_count_then_by_concept() -> None:
    assert Vocabulary.count(LISTS) == Vocabulary(("C3", "C2", "C1", "C9"), (3, 2, 1, 1))


@given(lists)
def test_equals_a_counter(concept_lists: list[tuple[str, ...]]) -> None:
    vocabulary = Vocabulary.count(concept_lists)
    counted = Counter(concept for concepts in concept_lists for concept in concepts)
    assert dict(zip(vocabulary.concepts, vocabulary.counts, strict=True)) == counted
    ranked = list(zip((-count for count in vocabulary.counts), vocabulary.concepts, strict=True))
    assert ranked == sorted(ranked)


def test_windows() -> None:
    vocabulary = Vocabulary.count(LISTS)
    assert vocabulary.window(2) == Vocabulary(("C3", "C2"), (3, 2))
    assert vocabulary.window(2, 1) == Vocabulary(("C2", "C1"), (2, 1))
    assert vocabulary.window(500, 3) == Vocabulary(("C9",), (1,))
    with pytest.raises(DataError, match="no concept at rank 4: the collection has 4; lower the offset"):
        vocabulary.window(1, 4)


def test_labels_leave_out_concepts_outside() -> None:
    labels = Vocabulary.count(LISTS).window(2).labels(LISTS)
    assert labels.dtype == np.uint8
    assert labels.toarray().tolist() == [[1, 0], [0, 0], [1, 1], [1, 1]]


def test_a_repeated_concept_is_one_label() -> None:
    vocabulary = Vocabulary(("C1", "C2"), (1, 1))
    labels = vocabulary.labels([("C2", "C1", "C2")])
    assert labels.toarray().tolist() == [[1, 1]]
    assert labels.nnz == 2


@given(lists, st.integers(1, 12))
def test_labels_and_concepts_are_two_views_of_one_thing(
    concept_lists: list[tuple[str, ...]], top: int
) -> None:
    vocabulary = Vocabulary.count([*concept_lists, ("C0",)]).window(top)
    labels = vocabulary.labels(concept_lists)
    expected = [[concept in concepts for concept in vocabulary.concepts] for concepts in concept_lists]
    assert labels.shape == (len(concept_lists), len(vocabulary))
    assert labels.toarray().tolist() == expected
    by_rank = [tuple(c for c in vocabulary.concepts if c in concepts) for concepts in concept_lists]
    assert vocabulary.concepts_of(labels) == by_rank


def test_concepts_of_any_sparse_matrix() -> None:
    vocabulary = Vocabulary(("C1", "C2", "C3"), (3, 2, 1))
    unsorted = csr_array((np.array([1, 0, 1]), np.array([2, 1, 0]), np.array([0, 3, 3])), shape=(2, 3))
    assert vocabulary.concepts_of(unsorted) == [("C1", "C3"), ()]
    assert unsorted.indices.tolist() == [2, 1, 0]


def test_survives_disk(tmp_path: Path) -> None:
    vocabulary = Vocabulary.count(LISTS)
    vocabulary.write(tmp_path / "vocabulary.tsv")
    assert (tmp_path / "vocabulary.tsv").read_bytes() == b"C3\t3\nC2\t2\nC1\t1\nC9\t1\n"
    assert Vocabulary.read(tmp_path / "vocabulary.tsv") == vocabulary


def test_keeps_the_order_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "theirs.tsv").write_text("C2\t1\nC1\t1\nC3\t7\n")
    assert Vocabulary.read(tmp_path / "theirs.tsv") == Vocabulary(("C2", "C1", "C3"), (1, 1, 7))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("C1\t3\nC2\n", r":2: 'C2' is not a line of CUI<TAB>count"),
        ("C1\t-3\n", r":1: 'C1\t-3' is not a line"),
        ("X1\t3\n", r":1: 'X1\t3' is not a line"),
        ("C1\t3\nC1\t2\n", r":2: concept 'C1' appears twice"),
    ],
)
def test_refuses_another_file(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "vocabulary.tsv").write_text(text)
    with pytest.raises(DataError, match=r"vocabulary\.tsv" + complaint):
        Vocabulary.read(tmp_path / "vocabulary.tsv")
    with pytest.raises(DataError, match=r"none\.tsv: No such file"):
        Vocabulary.read(tmp_path / "none.tsv")


def test_a_list_without_concepts_is_named_as_such() -> None:
    with pytest.raises(DataError, match="no image of the concept list has a concept"):
        Vocabulary.count([(), ()]).window(5)
