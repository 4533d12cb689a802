"""Measures of answers and of scores, beside the official one (`thresholds.mean_image_f1`).

`predicted` and `labels` are sparse bool matrices (n_images, n_concepts), `scores` a dense one of that shape.
A ratio whose denominator is 0 is 0, as in scikit-learn with `zero_division=0`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse


def micro_f1(predicted: sparse.csr_array, labels: sparse.csr_array) -> float:
    """The F1 of all (image, concept) pairs together."""
    support, answered, hits = concept_counts(predicted, labels)
    return float(_ratio(2 * hits.sum(), support.sum() + answered.sum()))


def macro_f1(predicted: sparse.csr_array, labels: sparse.csr_array) -> float:
    """The mean over the concepts of each one's F1."""
    support, answered, hits = concept_counts(predicted, labels)
    return float(np.mean(_ratio(2 * hits, support + answered)))


def concept_counts(
    predicted: sparse.csr_array, labels: sparse.csr_array
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Support, number of answers and number of right answers, (n_concepts,) each."""
    truth, answers = sparse.csr_array(labels, dtype=bool), sparse.csr_array(predicted, dtype=bool)
    counts = (np.asarray(matrix.sum(axis=0)) for matrix in (truth, answers, answers.multiply(truth)))
    support, answered, hits = (count.ravel().astype(np.int64) for count in counts)
    return support, answered, hits


def average_precision(scores: NDArray[np.float32], labels: sparse.csr_array) -> NDArray[np.float64]:
    """The area under each concept's precision-recall steps, equal scores taken together.

    Args:
        scores: (n_images, n_concepts).
        labels: (n_images, n_concepts), sparse.

    Returns:
        (n_concepts,); NaN for a concept without a positive.
    """
    columns = sparse.csc_array(labels, dtype=bool)
    result = np.full(scores.shape[1], np.nan)
    for concept in range(scores.shape[1]):
        images = columns.indices[columns.indptr[concept] : columns.indptr[concept + 1]]
        if len(images):
            truth = np.zeros(len(scores), dtype=bool)
            truth[images] = True
            result[concept] = _average_precision(scores[:, concept], truth)
    return result


def _average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    cuts = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(truth[order])[cuts]
    return float(np.sum(np.diff(hits, prepend=0) * hits / (cuts + 1)) / hits[-1])


def concept_table(
    scores: NDArray[np.float32], predicted: sparse.csr_array, labels: sparse.csr_array
) -> pd.DataFrame:
    """One line for each concept, in the order of the columns.

    Args:
        scores: (n_images, n_concepts).
        predicted: (n_images, n_concepts), sparse.
        labels: (n_images, n_concepts), sparse.

    Returns:
        The columns support, predicted, true_positives (numbers of images), precision, recall, f1 and
        average_precision.
    """
    support, answered, hits = concept_counts(predicted, labels)
    return pd.DataFrame(
        {
            "support": support,
            "predicted": answered,
            "true_positives": hits,
            "precision": _ratio(hits, answered),
            "recall": _ratio(hits, support),
            "f1": _ratio(2 * hits, support + answered),
            "average_precision": average_precision(scores, labels),
        }
    )


def _ratio(
    numerator: NDArray[np.int64] | np.int64, denominator: NDArray[np.int64] | np.int64
) -> NDArray[np.float64]:
    """Their quotient, and 0 where the denominator is 0."""
    return np.divide(numerator, np.maximum(denominator, 1), dtype=np.float64)
