from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ArtifactError, DataError
from imageclef.reporting.beside import read_beside
from imageclef.reporting.inputs import read_inputs
from tests.reporting.made_up import EDITION, write_lists, write_scores

TRUTH = {"a": ("C1", "C2"), "b": (), "c": ("C2",), "d": ("C3",)}
RUN = {"a": ("C2", "C9"), "b": ("C1",), "c": ("C2",), "d": ()}


def test_scores_are_brought_to_the_rows_of_the_truth(tmp_path: Path) -> None:
    run, truth = write_lists(tmp_path / "run.csv", RUN), write_lists(tmp_path / "truth.csv", TRUTH)
    matrix = np.array([[0.1, np.nan], [0.25, 0.5], [np.nan, 0.75], [1.0, 0.0]])
    write_scores(run, ["d", "c", "b", "a"], ["c2", "C7"], matrix)
    scores = read_inputs([run], truth, EDITION).runs[0].beside.scores
    assert scores is not None
    assert scores.concepts == ("C2", "C7")
    assert scores.matrix.toarray() == pytest.approx(np.array([[1, 0], [0.25, 0.5], [0.1, 0]]))
    assert scores.labels.toarray().tolist() == [[1, 0], [1, 0], [0, 0]]


def test_refuses_scores_of_other_images_and_scores_that_are_none(tmp_path: Path) -> None:
    run, truth = write_lists(tmp_path / "run.csv", RUN), write_lists(tmp_path / "truth.csv", TRUTH)
    write_scores(run, ["x", "y", "z"], ["C1"], np.full((3, 1), 0.5))
    with pytest.raises(DataError, match=r"run/scores\.safetensors: no scores of any image of the run"):
        read_inputs([run], truth, EDITION)
    for bad in (1.5, -0.1):
        write_scores(run, list(TRUTH), ["C1"], np.full((4, 1), bad))
        with pytest.raises(DataError, match="a score that is not from 0 to 1; expected probabilities"):
            read_inputs([run], truth, EDITION)
    (tmp_path / "run" / "scores.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match=r"scores\.safetensors"):
        read_inputs([run], truth, EDITION)


def test_an_image_that_could_not_be_read_scores_nothing(tmp_path: Path) -> None:
    run = write_lists(tmp_path / "run.csv", RUN)
    write_scores(run, ["c", "a"], ["C1", "C2"], np.array([[0.1, 0.2], [0.3, 0.4]]))
    scores = read_beside(run, ["a", "b", "c"], [["C1"], ["C2"], []]).scores
    assert scores is not None
    assert scores.matrix.toarray() == pytest.approx(np.array([[0.3, 0.4], [0, 0], [0.1, 0.2]]))


def test_facts(tmp_path: Path) -> None:
    run = write_lists(tmp_path / "run.csv", RUN)
    assert read_beside(run, [], []).facts == {}
    run.with_suffix(".json").write_text('{"features": "aae"}')
    assert read_beside(run, [], []).facts == {"features": "aae"}
    for text in ("[1]", "{", "[" * 100_000):
        run.with_suffix(".json").write_text(text)
        with pytest.raises(DataError, match=r"run\.json: .*expected the JSON file of a run"):
            read_beside(run, [], [])


def test_one_threshold_for_all_that_were_scored(tmp_path: Path) -> None:
    run = write_lists(tmp_path / "run.csv", RUN)
    assert read_beside(run, [], []).threshold_of("C1") is None
    run.with_suffix(".json").write_text('{"held_out": {"threshold": 0.25}}')
    assert read_beside(run, [], []).threshold_of("C1") == 0.25
    write_scores(run, ["a"], ["C1"], np.full((1, 1), 0.5))
    found = read_beside(run, ["a"], [()])
    assert (found.threshold_of("C1"), found.threshold_of("C2")) == (0.25, None)


def test_a_threshold_for_each_concept(tmp_path: Path) -> None:
    run = write_lists(tmp_path / "run.csv", RUN)
    run.with_suffix(".json").write_text('{"held_out": {"threshold": 0.25}}')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "concepts.csv").write_text("concept,threshold,support\nc1,0.5,3\nC2,,4\nC3,0.125,1\n")
    found = read_beside(run, [], [])
    assert [found.threshold_of(concept) for concept in ("C1", "C2", "C3", "C4")] == [0.5, None, 0.125, None]
    for text in (
        b"concept,support\nC1,3\n",
        b"concept,threshold\nC1,high\n",
        b"concept,threshold\nC1,\xe4\n",
    ):
        (tmp_path / "run" / "concepts.csv").write_bytes(text)
        with pytest.raises(
            DataError, match=r"concepts\.csv:\d: expected columns concept and threshold, a number"
        ):
            read_beside(run, [], [])
