"""INTERIM (lead): replaced by the room's owner."""

import numpy as np
from scipy.sparse import csr_array


def mean_image_f1(pred, labels, n_truth):
    P = pred.toarray() > 0
    L = labels.toarray() > 0
    k = n_truth > 0
    return float((2 * (P & L).sum(1)[k] / (P.sum(1) + n_truth)[k]).mean())


def apply_thresholds(scores, t):
    return csr_array(scores >= t)


def global_threshold(scores, labels, n_truth):
    return max(
        (
            (float(t), mean_image_f1(apply_thresholds(scores, t), labels, n_truth))
            for t in np.linspace(0.02, 0.8, 40)
        ),
        key=lambda x: x[1],
    )


def per_concept_thresholds(scores, labels, n_truth, start, sweeps=3):
    return np.full(scores.shape[1], start, np.float32)


def limit(scores, predicted, most):
    return predicted
