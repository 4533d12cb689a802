from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.config import ClassifySettings
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.imported import Imported, ImportedSettings
from imageclef.detectors.task import Rows, Task
from imageclef.errors import DataError
from imageclef.features.labelled import Labelled

LISTS = [("C1", "C2"), ("C1",), (), ("C2",)]


def task(path: Path, text: str, kind: str = "probabilities") -> Task:
    path.write_text(text)
    vocabulary, numbers = Vocabulary.count(LISTS), np.arange(4)
    n_truth = np.array([len(one) for one in LISTS])
    data = Labelled(numbers, numbers > 1, vocabulary.labels(LISTS), n_truth, numbers, numbers * 0)
    settings = ImportedSettings.model_validate({"scores": path, "kind": kind})
    return Task(Rows(["a", "b", "c", "d"]), data, vocabulary, ClassifySettings(), settings)


def test_columns_are_matched_by_concept_and_rows_by_id(tmp_path: Path) -> None:
    text = "ID,C2,other,C1\nd,0.25,1,0.5\nc,0.75,1,0.9\nb,0.5,1,0.5\na,0,1,1\n"
    fitted = Imported.fit(task(tmp_path / "t.csv", text))
    np.testing.assert_allclose(fitted.log_odds, np.log([[9, 3], [1, 1 / 3]]), rtol=1e-4, atol=1e-6)
    assert fitted.metrics == {"concepts_without_scores": 0}
    (certain,) = fitted.detector.log_odds(Rows(["a"]))
    assert certain.tolist() == [15, -15]


def test_log_odds_are_taken_as_they_are(tmp_path: Path) -> None:
    fitted = Imported.fit(task(tmp_path / "t.csv", "ID,C1\na,1\nb,2\nc,-3\nd,4\n", "log-odds"))
    assert fitted.log_odds[:, 0].tolist() == [-3, 4]
    # The concept without a column: one of the two training images has it.
    assert fitted.log_odds[:, 1].tolist() == [0, 0]
    assert fitted.metrics == {"concepts_without_scores": 1}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ID,C1\na,1\nb,2\nc,0\nd,0\n", r"t\.csv:3: C1 is 2"),
        ("ID,C1\na,1\nb,\nc,0\nd,0\n", r"t\.csv:3: C1 is nan"),
        ("ID,C1\na,1\na,0\nc,0\nd,0\n", "1 images appear twice"),
        ("ID,C1\na,1\nb,0\nc,0\n", "image 'd'"),
        ("ID,C9\na,1\nb,0\nc,0\nd,0\n", "no column is one of the 2 concepts"),
        ("image,C1\na,1\n", r"t\.csv.*expected a CSV file with ID"),
        ("ID,C1\na,high\n", r"t\.csv.*expected a CSV file with ID"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        Imported.fit(task(tmp_path / "t.csv", text))
