from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.errors import ArtifactError
from imageclef.learners.checkpoint import load_tensors, save_tensors
from imageclef.runs.scores import KEPT, Scores

dense = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.floats(0, 1, width=32)
)


def some_scores() -> Scores:
    matrix = csr_array(np.array([[0.5, 0, 0.25], [0, 0, 0], [0, 1, 0]], np.float32))
    return Scores(["a", "image 2", "é"], ("C0000001", "C2", "C3"), matrix)


@given(scores=dense)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, scores: NDArray[np.float32]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.safetensors"
    ids, concepts = [f"i{n}" for n in range(len(scores))], [f"C{n}" for n in range(scores.shape[1])]
    written = Scores(ids, tuple(concepts), csr_array(scores))
    written.write(path)
    read = Scores.read(path)
    assert (read.ids, read.concepts) == (ids, tuple(concepts))
    assert read.matrix.dtype == np.float32
    assert np.array_equal(read.matrix.toarray(), scores)


def test_names_are_kept_letter_by_letter(tmp_path: Path) -> None:
    some_scores().write(tmp_path / "scores.safetensors")
    read = Scores.read(tmp_path / "scores.safetensors")
    assert (read.ids, read.concepts) == (["a", "image 2", "é"], ("C0000001", "C2", "C3"))


def test_a_second_writing_replaces_the_first(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    some_scores().write(path)
    Scores(["b"], ("C9",), csr_array(np.ones((1, 1), np.float32))).write(path)
    assert Scores.read(path).ids == ["b"]
    assert [file.name for file in tmp_path.iterdir()] == ["scores.safetensors"]


@pytest.mark.parametrize(
    ("ids", "concepts"), [([], ()), ([], ("C1", "C2")), (["a", "b"], ())], ids=["both", "images", "concepts"]
)
def test_no_images_and_no_concepts_come_back(
    tmp_path: Path, ids: list[str], concepts: tuple[str, ...]
) -> None:
    path = tmp_path / "scores.safetensors"
    Scores(ids, concepts, csr_array((len(ids), len(concepts)), dtype=np.float32)).write(path)
    read = Scores.read(path)
    assert (read.ids, read.concepts, read.matrix.shape) == (ids, concepts, (len(ids), len(concepts)))


@given(scores=dense, kept=st.integers(1, 8))
def test_the_highest_of_each_image_are_kept(scores: NDArray[np.float32], kept: int) -> None:
    ids, concepts = [f"i{n}" for n in range(len(scores))], [f"C{n}" for n in range(scores.shape[1])]
    highest = Scores.highest(ids, concepts, scores, kept)
    matrix = highest.matrix.toarray()
    for row, own in zip(scores, matrix, strict=True):
        assert sorted(own[own > 0]) == sorted(value for value in sorted(row)[::-1][:kept] if value > 0)
        assert np.array_equal(own[own > 0], row[own > 0])
    assert np.all(np.diff(highest.matrix.indptr) <= kept)
    assert highest.matrix.has_sorted_indices


def test_by_default_as_many_are_kept_as_an_answer_may_have() -> None:
    scores = np.linspace(0.01, 1, 150, dtype=np.float32)[None, ::-1]
    matrix = Scores.highest(["a"], [f"C{n}" for n in range(150)], scores).matrix.toarray()[0]
    assert np.flatnonzero(matrix).tolist() == list(range(KEPT))


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    some_scores().write(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"scores\.safetensors: not a checkpoint of imageclef"):
        Scores.read(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none\.safetensors: not a checkpoint"):
        Scores.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        {"ids": torch.tensor(list(b"a\nb"), dtype=torch.uint8)},
        {"indices": torch.tensor([0, 2, 3], dtype=torch.int32)},
        {"indptr": torch.tensor([0, 2, 2, 9])},
    ],
    ids=["an image too few", "a concept that is not there", "more scores than there are"],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, damage: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "scores.safetensors"
    some_scores().write(path)
    tensors, meta = load_tensors(path)
    save_tensors(path, {**tensors, **damage}, meta)
    with pytest.raises(ArtifactError, match=r"scores\.safetensors: .*expected the scores of a run"):
        Scores.read(path)


def test_the_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.safetensors"
    save_tensors(path, {"weights": torch.zeros(3)}, {})
    with pytest.raises(ArtifactError, match="expected the scores of a run"):
        Scores.read(path)


def test_parts_are_joined_below_each_other() -> None:
    scores = some_scores()
    other = Scores(["z"], scores.concepts, csr_array(np.array([[0, 0, 1]], np.float32)))
    joined = Scores.joined([other, scores])
    assert (joined.ids, joined.concepts) == (["z", *scores.ids], scores.concepts)
    assert joined.matrix.toarray().tolist() == [[0, 0, 1], *scores.matrix.toarray().tolist()]


def test_some_of_the_images_in_the_order_of_the_rows() -> None:
    some = some_scores().over({"é", "a", "stranger"})
    assert (some.ids, some.concepts) == (["a", "é"], some_scores().concepts)
    assert some.matrix.toarray().tolist() == [[0.5, 0, 0.25], [0, 1, 0]]


@given(scores=dense, most=st.integers(1, 8))
def test_answers_are_the_highest_in_the_order_of_the_columns(scores: NDArray[np.float32], most: int) -> None:
    concepts = tuple(f"C{n}" for n in range(scores.shape[1]))
    given = Scores([f"i{n}" for n in range(len(scores))], concepts, csr_array(scores)).answers(most)
    for row, answer in zip(scores, given.values(), strict=True):
        ranked = sorted(np.flatnonzero(row), key=lambda column: (-row[column], column))[:most]
        assert answer == tuple(concepts[column] for column in sorted(ranked))
    assert list(given) == [f"i{n}" for n in range(len(scores))]
