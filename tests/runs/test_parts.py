from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ArtifactError, DataError, MissingArtifact, RunRefused
from imageclef.runs.editions import EDITIONS
from imageclef.runs.parts import Part, all_concepts, as_member, read_parts, same_images, write_parts
from imageclef.runs.scores import Scores

EDITION = EDITIONS["2018"]


def scores_of(ids: list[str], concepts: list[str], matrix: list[list[float]]) -> Scores:
    return Scores(ids, tuple(concepts), csr_array(np.array(matrix, np.float32)))


TEST = Part({"a": ("C2", "C1"), "b": ()}, scores_of(["a", "b"], ["C1", "C2"], [[0.5, 0.75], [0.25, 0]]))
HELD = Part({"x": ("C3",)}, scores_of(["x"], ["C3"], [[1.0]]))


@pytest.mark.parametrize("year", ["2018", "2022", "2026"])
def test_what_is_written_is_read(tmp_path: Path, year: str) -> None:
    write_parts(tmp_path / "run.csv", TEST, HELD, EDITIONS[year])
    for written, read in zip((TEST, HELD), read_parts(tmp_path / "run.csv", EDITIONS[year]), strict=True):
        assert read.answers == written.answers
        assert list(read.answers) == list(written.answers)
        assert read.scores is not None
        assert written.scores is not None
        assert (read.scores.ids, read.scores.concepts) == (written.scores.ids, written.scores.concepts)
        assert np.array_equal(read.scores.matrix.toarray(), written.scores.matrix.toarray())


def test_scores_of_an_earlier_run_of_that_name_do_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    write_parts(path, TEST, HELD, EDITION)
    write_parts(path, Part(TEST.answers, None), Part(HELD.answers, None), EDITION)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["held-out.csv"]
    assert [part.scores for part in read_parts(path, EDITION)] == [None, None]


@pytest.mark.parametrize("missing", ["scores.safetensors", "held-out-scores.safetensors"])
def test_half_of_the_scores_is_none(tmp_path: Path, missing: str) -> None:
    write_parts(tmp_path / "run.csv", TEST, HELD, EDITION)
    (tmp_path / "run" / missing).unlink()
    assert [part.scores for part in read_parts(tmp_path / "run.csv", EDITION)] == [None, None]


def test_names_the_file_that_is_missing(tmp_path: Path) -> None:
    write_parts(tmp_path / "run.csv", TEST, HELD, EDITION)
    (tmp_path / "run" / "held-out.csv").unlink()
    with pytest.raises(MissingArtifact, match=r"run/held-out\.csv is not there; `imageclef classify`"):
        read_parts(tmp_path / "run.csv", EDITION)
    with pytest.raises(DataError, match=r"none\.csv: No such file"):
        read_parts(tmp_path / "none.csv", EDITION)


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (scores_of(["x"], ["C3"], [[1.5]]), "a score is not between 0 and 1"),
        (scores_of(["x"], ["C3"], [[-0.5]]), "a score is not between 0 and 1"),
        (scores_of(["x"], ["C3"], [[float("nan")]]), "a score is not between 0 and 1"),
        (scores_of(["y"], ["C3"], [[0.5]]), "image 'y' has scores but no answer"),
    ],
)
def test_scores_that_are_none_are_refused(tmp_path: Path, scores: Scores, complaint: str) -> None:
    write_parts(tmp_path / "run.csv", TEST, Part(HELD.answers, scores), EDITION)
    with pytest.raises(ArtifactError, match=rf"held-out-scores\.safetensors: {complaint}"):
        read_parts(tmp_path / "run.csv", EDITION)


def test_a_damaged_held_out_run_is_refused_by_its_line(tmp_path: Path) -> None:
    write_parts(tmp_path / "run.csv", TEST, HELD, EDITION)
    (tmp_path / "run" / "held-out.csv").write_text("x\tC1;C1\n")
    with pytest.raises(RunRefused, match=r"held-out\.csv:1: concept 'C1' appears twice"):
        read_parts(tmp_path / "run.csv", EDITION)


def test_the_images_of_runs_must_be_the_same_in_any_order() -> None:
    first, second = Part({"b": (), "a": ("C1",)}, None), Part({"a": (), "b": ()}, None)
    assert same_images({"one": first, "two": second}) == ["b", "a"]
    fewer = Part({"a": ()}, None)
    with pytest.raises(
        DataError, match="held-out image 'b' is in only one of one and two; expected the same"
    ):
        same_images({"one": first, "two": fewer}, "held-out image")
    with pytest.raises(DataError, match="image 'b' is in only one of one and two"):
        same_images({"one": fewer, "two": second})


def test_the_frequent_concepts_come_first_and_those_of_no_truth_last() -> None:
    truth = {"x": ("C7", "C5"), "y": ("C5",)}
    parts = [Part({"a": ("C9", "C7")}, None), Part({"a": ()}, scores_of(["a"], ["C1", "C5"], [[0, 1]]))]
    assert all_concepts(truth, parts) == Vocabulary(("C5", "C7", "C1", "C9"), (2, 1, 0, 0))


def test_scores_are_put_in_their_rows_and_columns() -> None:
    """Rows in another order, an image without any, a column in another place, and a stored 0."""
    matrix = csr_array(([0.5, 0.25, 0.0], ([0, 1, 1], [1, 0, 1])), shape=(2, 2))
    part = Part({"a": ("C2",), "b": (), "c": ("C3",)}, Scores(["c", "a"], ("C2", "C3"), matrix))
    member = as_member("m", ["a", "b", "c"], part, Vocabulary(("C3", "C4", "C2"), (3, 2, 1)))
    assert member.scores.toarray().tolist() == [[0, 0, 0.25], [0, 0, 0], [0.5, 0, 0]]
    assert member.answers.toarray().tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert (member.scores.nnz, member.scores.dtype, member.scores.has_sorted_indices) == (2, np.float32, True)


def test_without_scores_the_answers_are_the_scores() -> None:
    part = Part({"a": ("C2", "C2"), "b": ()}, None)
    member = as_member("m", ["b", "a"], part, Vocabulary(("C1", "C2"), (2, 1)))
    assert member.scores.toarray().tolist() == [[0, 0], [0, 1]]
