"""How well each concept is detected, and all of them together."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score


def concept_table(scores: NDArray[np.float32], predicted: csr_array, labels: csr_array) -> pd.DataFrame:
    """One row for each concept.

    Args:
        scores: (n_images, n_concepts).
        predicted: (n_images, n_concepts), what is answered is not 0.
        labels: (n_images, n_concepts), what is true is not 0.

    Returns:
        The columns support, predicted, right, precision, recall, f1 and average_precision. A ratio whose
        denominator is 0 is 0; the average precision of a concept without a positive is not a number.
    """
    answered, true = predicted.astype(bool), labels.astype(bool)
    support, given, right = _column_counts(true), _column_counts(answered), _column_counts(answered * true)
    return pd.DataFrame(
        {
            "support": support,
            "predicted": given,
            "right": right,
            "precision": _ratio(right, given),
            "recall": _ratio(right, support),
            "f1": _ratio(2 * right, given + support),
            "average_precision": _average_precisions(scores, true),
        }
    )


def micro_f1(table: pd.DataFrame) -> float:
    """F1 of all answers of all concepts taken together, from `concept_table`."""
    given = int(table["predicted"].sum() + table["support"].sum())
    return float(2 * table["right"].sum() / given) if given else 0.0


def macro_f1(table: pd.DataFrame) -> float:
    """Mean F1 over the concepts that occur, from `concept_table`."""
    return float(table.loc[table["support"] > 0, "f1"].mean())


def mean_average_precision(table: pd.DataFrame) -> float:
    """Mean average precision over the concepts that occur, from `concept_table`."""
    return float(table["average_precision"].mean())


def _average_precisions(scores: NDArray[np.float32], labels: csr_array) -> NDArray[np.float64]:
    columns = labels.tocsc()
    found = np.full(labels.shape[1], np.nan)
    for concept in np.flatnonzero(np.diff(columns.indptr)):
        truth = np.zeros(labels.shape[0], dtype=bool)
        truth[columns.indices[columns.indptr[concept] : columns.indptr[concept + 1]]] = True
        found[concept] = average_precision_score(truth, scores[:, concept])
    return found


def _column_counts(matrix: csr_array) -> NDArray[np.int64]:
    return np.asarray((matrix != 0).sum(axis=0)).ravel().astype(np.int64)


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
