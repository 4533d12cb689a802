from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from imageclef.detectors import lbfgs
from imageclef.detectors.logistic import LogisticRegression, regularisation_path
from imageclef.errors import ConfigError, DataError, TrainingError
from tests.detectors.problems import drawn, oracle_objective, probabilities, reached_objective


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Of rows of weights: the largest, each against its row's largest weight."""
    return float((np.abs(a - b).max(axis=1) / np.abs(b).max(axis=1)).max())


@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_reaches_the_objective_of_scikit_learn(c: float) -> None:
    features, labels = drawn()
    model = LogisticRegression(c).fit(features, labels)
    assert model.report.converged.all()
    for concept, y in enumerate(labels.toarray().T):
        expected = oracle_objective(features, y, c)
        reached = reached_objective(features, y, model.weights[concept], model.intercepts[concept], c)
        assert reached == pytest.approx(expected, rel=2e-5)
        assert model.report.losses[concept] * c * len(y) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("c", [1.0, 100.0])
def test_a_separable_concept_converges(c: float) -> None:
    features, _ = drawn(n=300)
    order = np.argsort(features[:, 0])
    y = np.zeros(300, bool)
    y[order[250:]] = True
    model = LogisticRegression(c).fit(features, sparse.csr_array(y[:, None]))
    assert model.report.converged.tolist() == [True]
    reached = reached_objective(features, y, model.weights[0], model.intercepts[0], c)
    assert reached == pytest.approx(oracle_objective(features, y, c), rel=1e-4)


def test_one_positive_is_fitted_and_none_or_all_are_named() -> None:
    features, _ = drawn()
    dense = np.zeros((400, 3), bool)
    dense[7, 0] = True
    dense[:, 2] = True
    model = LogisticRegression().fit(features, sparse.csr_array(dense))
    assert model.report.degenerate.tolist() == [False, True, True]
    assert model.report.converged.all()
    reached = reached_objective(features, dense[:, 0], model.weights[0], model.intercepts[0], 1.0)
    assert reached == pytest.approx(oracle_objective(features, dense[:, 0], 1.0), rel=1e-4)
    assert not model.weights[1:].any()
    found = probabilities(model, features)
    assert np.allclose(found[:, 1], 0.5 / 400)
    assert np.allclose(found[:, 2], 1 - 0.5 / 400)


def test_constant_and_repeated_columns_do_no_harm() -> None:
    features, labels = drawn()
    constant = np.full((400, 1), 1234.567, np.float32)
    wide = np.hstack([constant, features, features[:, :3], constant])
    model = LogisticRegression().fit(wide, labels)
    assert model.report.converged.all()
    assert not model.weights[:, [0, -1]].any()
    np.testing.assert_allclose(model.weights[:, 1:4], model.weights[:, 13:16], rtol=1e-3, atol=1e-6)
    for concept, y in enumerate(labels.toarray().T):
        reached = reached_objective(wide, y, model.weights[concept], model.intercepts[concept], 1.0)
        assert reached == pytest.approx(oracle_objective(wide, y, 1.0), rel=2e-5)


@pytest.mark.parametrize(("n", "d"), [(40, 120), (2, 5), (2, 1), (60, 60)])
@pytest.mark.parametrize("c", [0.1, 100.0])
def test_more_features_than_rows(n: int, d: int, c: float) -> None:
    features, labels = drawn(n=n, d=d, n_concepts=3)
    dense = labels.toarray()
    dense[0], dense[1] = True, False
    model = LogisticRegression(c).fit(features, sparse.csr_array(dense))
    assert model.report.converged.all()
    for concept, y in enumerate(dense.T):
        reached = reached_objective(features, y, model.weights[concept], model.intercepts[concept], c)
        assert reached == pytest.approx(oracle_objective(features, y, c), rel=1e-4)


def test_columns_of_very_unlike_scales() -> None:
    features, labels = drawn()
    plain = LogisticRegression(tolerance=1e-9).fit(features, labels)
    scales = np.geomspace(1e-15, 1e15, 12)[np.random.default_rng(0).permutation(12)].astype(np.float32)
    model = LogisticRegression(tolerance=1e-9).fit(features * scales, labels)
    assert model.report.converged.all()
    np.testing.assert_allclose(model.report.losses, plain.report.losses, rtol=1e-6)
    np.testing.assert_allclose(
        probabilities(model, features * scales), probabilities(plain, features), rtol=1e-3, atol=1e-5
    )


def test_nothing_to_fit_at_all() -> None:
    features, _ = drawn()
    dense = np.zeros((400, 3), bool)
    dense[:, 1] = True
    for labels in (sparse.csr_array(dense), sparse.csr_array(dense[:, :0])):
        counts: list[int] = []
        models = regularisation_path(features, labels, [0.1, 1.0], progress=counts.append)
        assert all(model.report.degenerate.all() for model in models)
        assert sum(counts) == 2 * labels.shape[1]
        assert np.isfinite(probabilities(models[0], features)).all()
        assert LogisticRegression(class_weight="balanced").fit(features, labels).report.degenerate.all()


def test_a_zero_that_is_stored_is_no_positive() -> None:
    features, labels = drawn()
    stored = labels.astype(np.uint8)
    stored.data[::3] = 0
    pruned = sparse.csr_array(stored.toarray())
    assert pruned.nnz < stored.nnz
    for class_weight in (None, "balanced"):
        np.testing.assert_array_equal(
            LogisticRegression(class_weight=class_weight).fit(features, stored).weights,
            LogisticRegression(class_weight=class_weight).fit(features, pruned).weights,
        )


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_columns_that_are_the_label_itself(class_weight: str | None) -> None:
    features, labels = drawn(n=3000)
    y = labels[:, [3]].toarray().ravel()
    exact = np.hstack([features, y[:, None], 1000 * y[:, None]]).astype(np.float32)
    model = LogisticRegression(1e4, class_weight=class_weight).fit(exact, sparse.csr_array(y[:, None]))
    assert model.report.converged.all()
    reached = reached_objective(exact, y, model.weights[0], model.intercepts[0], 1e4, class_weight)
    assert reached == pytest.approx(oracle_objective(exact, y, 1e4, class_weight), rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_named(bad: float) -> None:
    features, labels = drawn()
    features[[30, 300], 5] = bad
    rows = np.arange(10, 400)
    with pytest.raises(TrainingError, match=r"column 5 is not finite in row 30, 300; expected finite"):
        LogisticRegression().fit(features, labels[10:], rows)
    with pytest.raises(TrainingError, match=r"column 5 is not finite in row 300; expected finite"):
        LogisticRegression(block_rows=100).fit(features, labels[40:], np.arange(40, 400))


def test_a_column_whose_square_overflows_is_named() -> None:
    features, labels = drawn()
    features[::2, 4] = 1e20
    with pytest.raises(TrainingError, match="the squares of column 4 overflow"):
        LogisticRegression().fit(features, labels)


def test_a_memory_map_some_rows_and_small_blocks_change_nothing(tmp_path: Path) -> None:
    features, labels = drawn()
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    whole = LogisticRegression().fit(features, labels)
    assert np.array_equal(LogisticRegression().fit(mapped, labels).weights, whole.weights)
    np.testing.assert_array_equal(probabilities(whole, mapped), probabilities(whole, features))
    rows = np.random.default_rng(1).permutation(400)[:250]
    some = LogisticRegression(tolerance=1e-9).fit(features[rows], labels[rows])
    for block_rows in (None, 37):
        model = LogisticRegression(tolerance=1e-9, block_rows=block_rows).fit(mapped, labels[rows], rows)
        assert relative_difference(model.weights, some.weights) < 1e-4
        np.testing.assert_allclose(model.log_odds(mapped), some.log_odds(features), atol=1e-3)


def test_windows_give_the_weights_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = drawn(n=800, n_concepts=30)
    whole = LogisticRegression(tolerance=1e-10).fit(features, labels)
    assert whole.report.converged.all()
    windows = [
        LogisticRegression(tolerance=1e-10).fit(features, sparse.csr_array(labels[:, first : first + 10]))
        for first in (0, 10, 20)
    ]
    assert relative_difference(np.concatenate([w.weights for w in windows]), whole.weights) < 1e-5
    monkeypatch.setattr(lbfgs, "HISTORY_BYTES", 8 * lbfgs.MEMORY * 13 * 7)
    inside = LogisticRegression(tolerance=1e-10).fit(features, labels)
    assert relative_difference(inside.weights, whole.weights) < 1e-5
    assert inside.report.total_passes > whole.report.total_passes


def test_scores_are_the_plain_product() -> None:
    features, labels = drawn()
    model = LogisticRegression(block_rows=64).fit(features, labels)
    scores = features.astype(np.float64) @ model.weights.T.astype(np.float64) + model.intercepts
    assert model.log_odds(features).dtype == np.float32
    np.testing.assert_allclose(model.log_odds(features), scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(probabilities(model, features), 1 / (1 + np.exp(-scores)), atol=1e-5)


def test_the_path_is_the_single_fits_in_the_order_asked() -> None:
    features, labels = drawn()
    cs = [1.0, 0.01, 10.0, 1.0]
    path = regularisation_path(features, labels, cs)
    assert [model.c for model in path] == cs
    for c, model in zip(cs, path, strict=True):
        single = LogisticRegression(c).fit(features, labels)
        assert model.report.converged.all()
        np.testing.assert_allclose(model.report.losses, single.report.losses, rtol=5e-6)
    assert path[2].report.total_passes < single.report.total_passes + 5


def test_each_concept_may_have_its_own_c() -> None:
    features, labels = drawn(n_concepts=2)
    model = LogisticRegression(np.array([0.01, 10.0])).fit(features, labels)
    for concept, c in enumerate([0.01, 10.0]):
        single = LogisticRegression(c).fit(features, labels)
        assert model.report.losses[concept] == pytest.approx(single.report.losses[concept], rel=5e-6)


def test_a_fit_that_was_cut_short_says_so_and_goes_on() -> None:
    features, labels = drawn()
    short = LogisticRegression(max_passes=3).fit(features, labels)
    assert not short.report.converged.all()
    assert (short.report.gaps[~short.report.converged] > short.limits.tolerance).all()
    assert short.report.passes.max() == 3
    whole = LogisticRegression().fit(features, labels)
    resumed = LogisticRegression().fit(features, labels, warm_start=short)
    np.testing.assert_allclose(resumed.report.losses, whole.report.losses, rtol=5e-6)
    again = LogisticRegression().fit(features, labels, warm_start=whole)
    assert again.report.passes.max() <= 2
    # One pass for the moments, one for the loss at the start.
    assert again.report.total_passes == again.report.passes.max() + 2
    with pytest.raises(TrainingError, match=r"warm start: weights are \(8, 12\); expected \(7, 12\)"):
        LogisticRegression().fit(features, sparse.csr_array(labels[:, :7]), warm_start=whole)


def test_progress_counts_every_concept_once() -> None:
    features, labels = drawn()
    dense = labels.toarray()
    dense[:, 3] = False
    counts: list[int] = []
    regularisation_path(features, sparse.csr_array(dense), [0.1, 1.0], progress=counts.append)
    assert sum(counts) == 16
    assert all(counts)


def test_the_state_holds_all_of_a_model() -> None:
    features, labels = drawn()
    model = LogisticRegression(c=0.5).fit(features, labels)
    again = LogisticRegression.from_state(model.state())
    assert again.c == 0.5
    np.testing.assert_array_equal(probabilities(again, features), probabilities(model, features))
    for name, array in model.state().items():
        np.testing.assert_array_equal(again.state()[name], array)


def test_wrong_arguments_are_refused() -> None:
    features, labels = drawn()
    with pytest.raises(ConfigError, match="c is 0; expected finite numbers above 0"):
        LogisticRegression(c=0)
    with pytest.raises(ConfigError, match=r"tolerance is 1\.5; expected between 0 and 1"):
        LogisticRegression(tolerance=1.5)
    with pytest.raises(ConfigError, match="max_passes is -1; expected 0 or more"):
        LogisticRegression(max_passes=-1)
    with pytest.raises(ConfigError, match=r"c is \[\]; expected finite numbers above 0"):
        regularisation_path(features, labels, [])
    with pytest.raises(DataError, match=r"features have shape \(400,\); expected \(n_images, n_features\)"):
        LogisticRegression().fit(features[:, 0], labels)
    with pytest.raises(TrainingError, match="400 rows of features and 399 of labels"):
        LogisticRegression().fit(features, sparse.csr_array(labels[:399]))
    with pytest.raises(TrainingError, match="0 rows of features and 0 of labels"):
        LogisticRegression().fit(features[:0], sparse.csr_array(labels[:0]))
    with pytest.raises(DataError, match="features have 5 columns; expected 12"):
        LogisticRegression().fit(features, labels).log_odds(features[:, :5])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_cuda_gives_the_answer_of_the_cpu(class_weight: str | None) -> None:
    features, labels = drawn(n=3000, d=40, n_concepts=30)
    on_cpu = LogisticRegression(class_weight=class_weight).fit(features, labels)
    on_cuda = LogisticRegression(device="cuda", class_weight=class_weight).fit(features, labels)
    assert on_cuda.report.converged.all()
    np.testing.assert_allclose(on_cuda.report.losses, on_cpu.report.losses, rtol=1e-5)
    np.testing.assert_allclose(
        probabilities(on_cuda, features), probabilities(on_cpu, features), rtol=1e-3, atol=1e-4
    )
