"""The classifier inside scikit-learn's own tools."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imageclef.detectors.logistic import LogisticRegression
from tests.detectors.problems import drawn

features, labels = drawn(n_concepts=4)
dense = labels.toarray()


def test_every_form_of_labels_gives_the_same_weights() -> None:
    expected = LogisticRegression().fit(features, labels)
    for form in (dense, dense.astype(np.uint8), sparse.csr_matrix(dense.astype(np.float64))):
        np.testing.assert_array_equal(LogisticRegression().fit(features, form).weights, expected.weights)
    one = LogisticRegression().fit(features, dense[:, 1])
    np.testing.assert_allclose(one.report.losses, expected.report.losses[[1]], rtol=1e-6)


def test_a_vector_is_answered_as_scikit_learn_answers_it() -> None:
    y = dense[:, 0].astype(int)
    ours = LogisticRegression(tolerance=1e-9).fit(features, y)
    theirs = make_pipeline(StandardScaler(), Oracle(tol=1e-8, max_iter=20000)).fit(features.astype(float), y)
    np.testing.assert_allclose(ours.predict_proba(features), theirs.predict_proba(features), atol=1e-4)
    scores = ours.decision_function(features)
    np.testing.assert_allclose(scores, theirs.decision_function(features), atol=1e-3)
    assert (ours.predict(features) == theirs.predict(features)).mean() > 0.99
    assert ours.classes_.tolist() == [0, 1]
    assert ours.score(features, y) == pytest.approx(theirs.score(features, y), abs=0.005)


def test_concepts_are_predicted_from_a_half() -> None:
    model = LogisticRegression().fit(features, labels)
    np.testing.assert_array_equal(model.predict(features), model.predict_proba(features) > 0.5)
    assert model.predict(features).any()
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert model.n_features_in_ == 12


def test_parameters_are_kept_as_given_and_cloned() -> None:
    c = np.array([1.0, 2.0, 3.0, 4.0])
    model = LogisticRegression(c, block_rows=64, class_weight="balanced").fit(features, labels)
    assert model.get_params()["c"] is c
    other = clone(model)
    assert not hasattr(other, "weights")
    assert other.get_params() == {**model.get_params(), "c": other.c}
    np.testing.assert_array_equal(other.c, c)
    np.testing.assert_array_equal(other.fit(features, labels).weights, model.weights)
    other.set_params(c=0.01, class_weight=None)
    fresh = LogisticRegression(0.01, block_rows=64).fit(features, labels)
    np.testing.assert_array_equal(other.fit(features, labels).weights, fresh.weights)
    assert is_classifier(model)
    with pytest.raises(NotFittedError, match="LogisticRegression instance is not fitted yet"):
        clone(model).predict(features)


@pytest.mark.parametrize("column", [None, 0])
def test_cross_validated_probabilities_are_those_of_the_folds(column: int | None) -> None:
    y = dense.astype(int) if column is None else dense[:, column].astype(int)
    folds = KFold(4)
    found = cross_val_predict(LogisticRegression(), features, y, cv=folds, method="predict_proba")
    assert found.shape == ((400, 4) if column is None else (400, 2))
    for fitted_on, asked in folds.split(features):
        fold = LogisticRegression().fit(features[fitted_on], y[fitted_on])
        np.testing.assert_array_equal(found[asked], fold.predict_proba(features[asked]))


def test_a_pipeline_passes_the_rows_on() -> None:
    rows = np.arange(50, 350)
    pipeline = make_pipeline(PCA(5, random_state=0), LogisticRegression())
    pipeline.fit(features, labels[rows], logisticregression__rows=rows)
    alone = LogisticRegression().fit(pipeline[0].transform(features)[rows], labels[rows])
    np.testing.assert_allclose(
        pipeline.predict_proba(features), alone.predict_proba(pipeline[0].transform(features))
    )


def test_a_grid_search_finds_what_a_loop_finds() -> None:
    cs, folds = [1e-4, 0.01, 1.0], KFold(3)

    def micro(model: LogisticRegression, x: np.ndarray, y: sparse.csr_array) -> float:
        return float(f1_score(y, model.predict(x), average="micro"))

    search = GridSearchCV(LogisticRegression(), {"c": cs}, cv=folds, scoring=micro).fit(features, labels)
    means = [
        cross_val_score(LogisticRegression(c), features, dense, cv=folds, scoring=micro).mean() for c in cs
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], means)
    assert len(set(means)) == 3
    assert search.best_params_ == {"c": cs[int(np.argmax(means))]}
    np.testing.assert_array_equal(
        search.best_estimator_.weights,
        LogisticRegression(**search.best_params_).fit(features, labels).weights,
    )
