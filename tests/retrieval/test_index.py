from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, DataError
from imageclef.retrieval import index as index_module
from imageclef.retrieval import segments, vectors
from imageclef.retrieval.index import Index, Metric

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
    distances, rows = Index.build(features, names(len(features)), metric).search(queries, k)
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
    distances, rows = Index.build(features, names(len(features)), metric).search(queries, k)
    table = brute_force(features, queries, metric)
    if metric == "l2":
        assert rows.tolist() == np.argsort(table, axis=1, kind="stable")[:, :k].tolist()
    for same in range(len(queries)):
        order = list(
            zip(distances[same] if metric == "l2" else -distances[same], range(len(rows[same])), strict=True)
        )
        assert order == sorted(order)


@pytest.fixture
def by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has faiss take distances as it does for many queries: by a matrix product, which cancels."""
    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", 1)


@pytest.mark.usefixtures("by_products")
@pytest.mark.parametrize("metric", METRICS)
def test_an_indexed_row_finds_itself_among_near_duplicates(metric: Metric) -> None:
    rng = np.random.default_rng(0)
    features = (1000 + 1e-2 * rng.normal(size=(4000, 16))).astype(np.float32)
    chosen = np.arange(0, len(features), 97)
    alone = faiss.IndexFlatL2(16)
    alone.add(features)
    assert (alone.search(features[chosen], 1)[1][:, 0] != chosen).any(), (
        "faiss alone ranks these by rounding errors"
    )

    distances, rows = Index.build(features, names(len(features)), metric).search(features[chosen], 5)

    assert (distances[:, 0] == (0 if metric == "l2" else 1)).all()
    if metric == "l2":
        assert rows[:, 0].tolist() == chosen.tolist()
    agrees(features[:600], features[:600:100], metric, 40)


def test_equal_rows_beyond_the_candidates_are_still_found_in_order() -> None:
    features = np.zeros((3000, 8), np.float32)
    features[::3] = np.random.default_rng(1).normal(size=(1000, 8))
    zeros = np.flatnonzero(~features.any(axis=1))
    _, rows = Index.build(features, names(3000), "l2").search(np.zeros((50, 8), np.float32), 100)
    assert (rows == zeros[:100]).all()


def test_a_vector_of_zeros_has_similarity_0_to_everything() -> None:
    features = np.array([[0, 0], [3, 4], [-1, 0], [0, 0]], np.float32)
    distances, rows = Index.build(features, names(4), "cosine").search(
        np.array([[0, 0], [6, 8]], np.float32), 4
    )
    assert rows.tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]
    np.testing.assert_allclose(distances, [[0, 0, 0, 0], [1, 0, 0, -0.6]], atol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e18, 1e30])
def test_squares_outside_the_range_of_float32_do_no_harm(scale: float) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(200, 6)).astype(np.float32)
    plain = Index.build(features, names(200), "l2").search(features[:30], 4)[1]
    for metric in METRICS:
        large = Index.build((features * np.float32(scale)), names(200), metric)
        rows = large.search(features[:30] * np.float32(scale), 4)[1]
        assert rows[:, 0].tolist() == list(range(30))
        assert metric == "cosine" or (rows == plain).all()


def test_rows_too_far_for_float32_are_the_last() -> None:
    features = np.full((200, 2), 1e30, np.float32)
    features[-10:] = np.arange(10)[:, None]
    _, rows = Index.build(features, names(200), "l2").search(np.array([[9, 9]], np.float32), 12)
    assert rows.tolist() == [[199, 198, 197, 196, 195, 194, 193, 192, 191, 190, 0, 1]]


def test_rows_are_added_in_blocks_and_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(3).normal(size=(100, 5)).astype(np.float32)
    whole = Index.build(features, names(100), "cosine").search(features, 6)
    monkeypatch.setattr(index_module, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(vectors, "_GATHER_NUMBERS", 40)
    done: list[int] = []
    blocks = Index.build(features, names(100), "cosine", progress=done.append).search(features, 6)
    assert done == [7] * 14 + [2]
    np.testing.assert_array_equal(whole[0], blocks[0])
    np.testing.assert_array_equal(whole[1], blocks[1])


def test_features_stay_as_they_were() -> None:
    features = np.random.default_rng(4).normal(size=(50, 5)).astype(np.float32)
    before = features.copy()
    Index.build(features, names(50), "cosine").search(features, 3)
    np.testing.assert_array_equal(features, before)


@pytest.mark.parametrize("metric", METRICS)
def test_an_index_survives_the_disk(metric: Metric, tmp_path: Path) -> None:
    features = np.random.default_rng(5).normal(size=(60, 5)).astype(np.float32)
    built = Index.build(features, [f"µ {row}" for row in range(60)], metric)
    built.save(tmp_path)
    loaded = Index.load(tmp_path)
    assert loaded.ids == built.ids
    assert loaded.metric == metric
    for one, other in zip(built.search(features[:9], 4), loaded.search(features[:9], 4), strict=True):
        np.testing.assert_array_equal(one, other)


def _saved(folder: Path) -> Path:
    Index.build(np.eye(3, dtype=np.float32), names(3), "l2").save(folder)
    return folder


def test_load_refuses_what_is_damaged(tmp_path: Path) -> None:
    path = _saved(tmp_path) / "index.faiss"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ArtifactError, match=r"index\.faiss: .*expected a faiss index"):
        Index.load(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"index\.faiss: .*expected a faiss index"):
        Index.load(tmp_path)


def test_load_refuses_files_that_do_not_fit(tmp_path: Path) -> None:
    (_saved(tmp_path) / "ids.txt").write_text("i0\ni1\n")
    with pytest.raises(ArtifactError, match=r"IndexFlatL2 of 3 rows; expected a flat l2 index of 2 rows"):
        Index.load(tmp_path)
    (_saved(tmp_path) / "index.json").write_text('{"metric": "cosine"}')
    with pytest.raises(ArtifactError, match="expected a flat cosine index of 3 rows"):
        Index.load(tmp_path)
    (tmp_path / "index.json").write_text('{"metric": "hamming"}')
    with pytest.raises(ArtifactError, match=r"index\.json: metric 'hamming'; expected 'l2' or 'cosine'"):
        Index.load(tmp_path)
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"index\.json: .*expected JSON with the metric"):
        Index.load(tmp_path)


def test_build_and_search_refuse_what_does_not_fit() -> None:
    features = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match=r"shape \(3, 3\) with 2 ids cannot be indexed"):
        Index.build(features, names(2), "l2")
    with pytest.raises(DataError, match=r"shape \(0, 3\) with 0 ids cannot be indexed"):
        Index.build(features[:0], [], "l2")
    with pytest.raises(DataError, match="features from row 0: a number is not finite"):
        Index.build(np.full((2, 2), np.nan, np.float32), names(2), "cosine")
    index = Index.build(features, names(3), "l2")
    with pytest.raises(DataError, match=r"queries of shape \(1, 2\); expected \(n_queries, 3\)"):
        index.search(np.zeros((1, 2), np.float32), 1)
    with pytest.raises(DataError, match="k is 0; expected at least 1"):
        index.search(features, 0)
    with pytest.raises(DataError, match="queries from row 0: a number is not finite"):
        index.search(np.full((1, 3), np.inf, np.float32), 1)
    assert index.search(features[:0], 2)[1].shape == (0, 2)


def test_cuda_without_a_gpu_is_searched_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    features = np.eye(4, dtype=np.float32)
    assert Index.build(features, names(4), "l2", device="cuda").search(features, 1)[1].ravel().tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_torch_is_loaded_before_faiss() -> None:
    code = "import sys, imageclef.retrieval.index; print([m for m in sys.modules if m in ('torch', 'faiss')])"
    root = Path(index_module.__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout.strip() == "['torch', 'faiss']"


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
def test_a_gpu_finds_what_the_cpu_finds(metric: Metric) -> None:
    if faiss.get_num_gpus() == 0:
        pytest.skip("faiss sees no GPU")
    rng = np.random.default_rng(6)
    features, queries = (
        rng.normal(size=(5000, 64)).astype(np.float32),
        rng.normal(size=(100, 64)).astype(np.float32),
    )
    for k in (10, 3000):
        cpu = Index.build(features, names(5000), metric).search(queries, k)
        gpu = Index.build(features, names(5000), metric, device="cuda").search(queries, k)
        np.testing.assert_array_equal(cpu[1], gpu[1])
        np.testing.assert_array_equal(cpu[0], gpu[0])
