from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from imageclef.errors import DataError
from imageclef.retrieval import exact, vectors
from imageclef.retrieval import index as index_module
from imageclef.retrieval.index import Index, IndexedImage
from imageclef.retrieval.vectors import Metric

Matrix = NDArray[np.float32]
METRICS: list[Metric] = ["l2", "cosine"]


def brute_force(features: Matrix, queries: Matrix, metric: Literal["l2", "cosine"]) -> NDArray[np.float64]:
    """Distance or similarity of every query to every row, in float64, one pair at a time."""
    table = np.empty((len(queries), len(features)))
    for i, q in enumerate(queries.astype(np.float64)):
        for j, x in enumerate(features.astype(np.float64)):
            if metric == "l2":
                table[i, j] = np.sqrt(((q - x) ** 2).sum())
            else:
                lengths = np.sqrt((q**2).sum() * (x**2).sum())
                table[i, j] = (q * x).sum() / lengths if lengths else 0.0
    return table


def names(n: int) -> list[str]:
    return [f"i{row}" for row in range(n)]


def agrees(features: Matrix, queries: Matrix, metric: Metric, k: int) -> None:
    distances, rows = Index.of(features, names(len(features)), metric).search(queries, k)
    table = brute_force(features, queries, metric)
    order = np.argsort(table if metric == "l2" else -table, axis=1, kind="stable")[:, :k]
    assert distances.dtype == np.float32
    assert rows.dtype == np.int64
    assert rows.shape == distances.shape == order.shape
    # The distances of the k nearest are unique even where rows tie; each row must have the one it claims.
    expected = np.take_along_axis(table, order, axis=1)
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(table, rows, axis=1), expected, rtol=1e-6, atol=1e-6)
    assert all(len(set(found)) == len(found) for found in rows.tolist())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d", "k"), [(300, 24, 7), (300, 1, 50), (5, 3, 9), (1, 2, 1), (2500, 4, 30)])
def test_search_agrees_with_brute_force(metric: Metric, n: int, d: int, k: int) -> None:
    rng = np.random.default_rng(n + d)
    features, queries = (
        rng.normal(size=(n, d)).astype(np.float32),
        rng.normal(size=(23, d)).astype(np.float32),
    )
    agrees(features, queries, metric, k)


@settings(max_examples=60, deadline=None)
@given(
    features=arrays(np.float32, st.tuples(st.integers(1, 90), st.just(3)), elements=st.integers(-2, 2)),
    queries=arrays(np.float32, (4, 3), elements=st.integers(-2, 2)),
    k=st.integers(1, 20),
    metric=st.sampled_from(METRICS),
)
def test_rows_that_tie_come_in_the_order_of_the_index(
    features: Matrix, queries: Matrix, k: int, metric: Metric
) -> None:
    # Whole numbers, so that equal distances are equal in every arithmetic.
    agrees(features, queries, metric, k)
    distances, rows = Index.of(features, names(len(features)), metric).search(queries, k)
    table = brute_force(features, queries, metric)
    if metric == "l2":
        assert rows.tolist() == np.argsort(table, axis=1, kind="stable")[:, :k].tolist()
    for same in range(len(queries)):
        order = list(
            zip(distances[same] if metric == "l2" else -distances[same], range(len(rows[same])), strict=True)
        )
        assert order == sorted(order)


@pytest.mark.parametrize("metric", METRICS)
def test_an_indexed_row_finds_itself_among_near_duplicates(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    features = (1000 + 1e-2 * rng.normal(size=(4000, 16))).astype(np.float32)
    chosen = np.arange(0, len(features), 97)
    distances, rows = Index.of(features, names(len(features)), metric).search(features[chosen], 5)

    assert (distances[:, 0] == (0 if metric == "l2" else 1)).all()
    if metric == "l2":
        assert rows[:, 0].tolist() == chosen.tolist()
    agrees(features[:600], features[:600:100], metric, 40)


def test_equal_rows_beyond_the_candidates_are_still_found_in_order() -> None:
    features = np.zeros((3000, 8), np.float32)
    features[::3] = np.random.default_rng(1).normal(size=(1000, 8))
    zeros = np.flatnonzero(~features.any(axis=1))
    _, rows = Index.of(features, names(3000), "l2").search(np.zeros((50, 8), np.float32), 100)
    assert (rows == zeros[:100]).all()


def test_a_vector_of_zeros_has_similarity_0_to_everything() -> None:
    features = np.array([[0, 0], [3, 4], [-1, 0], [0, 0]], np.float32)
    distances, rows = Index.of(features, names(4), "cosine").search(np.array([[0, 0], [6, 8]], np.float32), 4)
    assert rows.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    np.testing.assert_allclose(distances, [[0, 0, 0, 0], [1, 0, 0, -0.6]], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e18, 1e30])
def test_squares_outside_the_range_of_float32_do_no_harm(scale: float) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 6)).astype(np.float32)
    plain = Index.of(features, names(200), "l2").search(features[:30], 4)[1]
    for metric in METRICS:
        large = Index.of((features * np.float32(scale)), names(200), metric)
        rows = large.search(features[:30] * np.float32(scale), 4)[1]
        assert rows[:, 0].tolist() == list(range(30))
        assert metric == "cosine" or (rows == plain).all()


def test_rows_too_far_for_float32_are_the_last() -> None:
    features = np.full((200, 2), 1e30, np.float32)
    features[-10:] = np.arange(10)[:, None]
    _, rows = Index.of(features, names(200), "l2").search(np.array([[9, 9]], np.float32), 12)
    assert rows.tolist() == [[199, 198, 197, 196, 195, 194, 193, 192, 191, 190, 0, 1]]


def test_features_stay_as_they_were() -> None:
    features = np.random.default_rng(4).normal(size=(50, 5)).astype(np.float32)
    before = features.copy()
    Index.of(features, names(50), "cosine").search(features, 3)
    np.testing.assert_array_equal(features, before)


def test_build_and_search_refuse_what_does_not_fit() -> None:
    features = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match=r"shape \(3, 3\) with 2 ids cannot be indexed"):
        Index.of(features, names(2), "l2")
    with pytest.raises(DataError, match=r"shape \(0, 3\) with 0 ids cannot be indexed"):
        Index.of(features[:0], [], "l2")
    with pytest.raises(DataError, match="features from row 0: a number is not finite"):
        Index.of(np.full((2, 2), np.nan, np.float32), names(2), "cosine")
    index = Index.of(features, names(3), "l2")
    with pytest.raises(DataError, match=r"queries of shape \(1, 2\); expected \(n_queries, 3\)"):
        index.search(np.zeros((1, 2), np.float32), 1)
    with pytest.raises(DataError, match="k is 0; expected at least 1"):
        index.search(features, 0)
    with pytest.raises(DataError, match="queries from row 0: a number is not finite"):
        index.search(np.full((1, 3), np.inf, np.float32), 1)
    assert index.search(features[:0], 2)[1].shape == (0, 2)


def masked(features: Matrix, queries: Matrix, metric: Metric, k: int, among: NDArray[np.bool_]) -> None:
    """Search among some rows answers as search of an index of these rows alone."""
    chosen = np.flatnonzero(among)
    distances, rows = Index.of(features, names(len(features)), metric).search(queries, k, among)
    assert rows.shape == (len(queries), min(k, len(chosen)))
    if len(chosen):
        alone = Index.of(features[chosen], names(len(chosen)), metric).search(queries, k)
        np.testing.assert_array_equal(rows, chosen[alone[1]])
        np.testing.assert_array_equal(distances, alone[0])


@settings(max_examples=40, deadline=None)
@given(
    features=arrays(np.float32, st.tuples(st.integers(1, 90), st.just(3)), elements=st.integers(-2, 2)),
    data=st.data(),
    metric=st.sampled_from(METRICS),
)
def test_rows_among_which_is_searched_are_the_only_ones(
    features: Matrix, data: st.DataObject, metric: Metric
) -> None:
    among = data.draw(arrays(np.bool_, len(features)))
    masked(features, features[:4], metric, data.draw(st.integers(1, 20)), among)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.9995])
def test_k_answers_come_back_under_a_filter_when_k_exist(metric: Metric, share: float) -> None:
    rng = np.random.default_rng(7)
    features = rng.normal(size=(6000, 6)).astype(np.float32)
    masked(features, features[:40], metric, 12, rng.random(6000) < share)


def test_a_filter_that_leaves_out_all_that_is_near_still_finds_k() -> None:
    features = np.random.default_rng(8).normal(size=(6000, 4)).astype(np.float32)
    query = np.zeros((1, 4), np.float32)
    far = np.linalg.norm(features, axis=1) > np.quantile(np.linalg.norm(features, axis=1), 0.4)
    masked(features, query, "l2", 9, far)


def test_a_mask_of_another_size_is_refused() -> None:
    index = Index.of(np.eye(3, dtype=np.float32), names(3), "l2")
    with pytest.raises(DataError, match=r"a mask of shape \(2,\) over rows; expected \(3,\)"):
        index.search(np.eye(3, dtype=np.float32), 1, np.ones(2, dtype=np.bool_))
    nothing = index.search(np.eye(3, dtype=np.float32), 1, np.zeros(3, dtype=np.bool_))
    assert nothing[1].shape == (3, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_neither_blocks_nor_the_number_of_queries_change_a_result(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    # Duplicates and near duplicates, so that float32 alone would rank some rows differently.
    features = np.repeat(100 + rng.normal(size=(300, 40)), 4, axis=0).astype(np.float32)
    features[1::4] += np.float32(1e-4)
    queries = features[::7]
    whole = Index.of(features, names(1200), metric).search(queries, 6)
    monkeypatch.setattr(index_module, "_QUERY_ROWS", 7)
    monkeypatch.setattr(exact, "_ROWS", 50)
    monkeypatch.setattr(exact, "_QUERIES", 3)
    monkeypatch.setattr(vectors, "_GATHER_NUMBERS", 40)
    blocks = Index.of(features, names(1200), metric).search(queries, 6)
    single = [Index.of(features, names(1200), metric).search(query[None], 6) for query in queries[:20]]
    for part in range(2):
        np.testing.assert_array_equal(whole[part], blocks[part])
        np.testing.assert_array_equal(whole[part][:20], np.concatenate([one[part] for one in single]))


def test_exact_search_loads_neither_torch_nor_faiss() -> None:
    code = (
        "import sys, numpy as np; from imageclef.retrieval.index import Index\n"
        "import imageclef.retrieval.similar, imageclef.retrieval.index_artifact\n"
        "Index.of(np.eye(3, dtype=np.float32), list('abc'), 'l2').search(np.eye(3, dtype=np.float32), 2)\n"
        "print([name for name in sys.modules if name in ('torch', 'faiss')])"
    )
    root = Path(index_module.__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
def test_a_gpu_finds_what_the_cpu_finds(metric: Metric) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    rng = np.random.default_rng(6)
    features, queries = (
        rng.normal(size=(5000, 64)).astype(np.float32),
        rng.normal(size=(100, 64)).astype(np.float32),
    )
    among = rng.random(5000) < 0.7
    for k, mask in ((10, None), (10, among), (3000, None)):
        cpu = Index.of(features, names(5000), metric).search(queries, k, mask)
        gpu = Index.of(features, names(5000), metric, device="cuda").search(queries, k, mask)
        np.testing.assert_array_equal(cpu[1], gpu[1])
        np.testing.assert_array_equal(cpu[0], gpu[0])


def test_an_id_of_two_collections_needs_its_collection() -> None:
    images = [IndexedImage("train", "a"), IndexedImage("train", "b"), IndexedImage("test", "a")]
    index = Index(np.eye(3, dtype=np.float32), images, "l2")
    assert index.names == ["train/a", "b", "test/a"]
    assert index.rows_of(["b", "test/a", "train/b"]).tolist() == [1, 2, 1]
    assert index.rows_named("a") == [0, 2]
    with pytest.raises(DataError, match=r"image 'a' is in 2 collections; expected one of train/a, test/a"):
        index.row_of("a")
    with pytest.raises(DataError, match="image 'test/b' is not in the index"):
        index.row_of("test/b")
