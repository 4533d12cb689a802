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

from imageclef.errors import ArtifactError, ConfigError, DataError, MissingArtifact
from imageclef.retrieval import exact, segments, vectors, view
from imageclef.retrieval import index as index_module
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
    monkeypatch.setattr(view, "_BLOCK_ROWS", 7)
    monkeypatch.setattr(segments, "_READ_ROWS", 7)
    monkeypatch.setattr(segments, "_BLOCK_NUMBERS", 60)
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
    path = _saved(tmp_path) / "rows-000001-0.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with pytest.raises(ArtifactError, match=r"rows-000001-0\.npy: 20 bytes; expected 164; build"):
        Index.load(tmp_path)
    path.write_bytes(b"x" * len(whole))
    with pytest.raises(ArtifactError, match=r"rows-000001-0\.npy: .*expected the rows of an index"):
        Index.load(tmp_path)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"rows-000001-0\.npy: missing"):
        Index.load(tmp_path)


def test_load_refuses_files_that_do_not_fit(tmp_path: Path) -> None:
    ids = _saved(tmp_path) / "ids-000001-0.txt"
    ids.write_text("i0\ni1i2.\n")
    with pytest.raises(ArtifactError, match=r"ids-000001-0\.txt: 2 ids; expected 3"):
        Index.load(tmp_path)
    about = _saved(tmp_path) / "index.json"
    about.write_text(about.read_text().replace("l2", "cosine"))
    with pytest.raises(ArtifactError, match=r"index\.json: damaged, its content does not fit its digest"):
        Index.load(tmp_path)
    about.write_text('{"format": 1, "metric": "l2"}')
    with pytest.raises(ArtifactError, match=r"index\.json: format 1, expected 2; build the index again"):
        Index.load(tmp_path)
    about.write_text("[]")
    with pytest.raises(ArtifactError, match=r"index\.json: damaged; expected the JSON of an index"):
        Index.load(tmp_path)
    about.unlink()
    with pytest.raises(MissingArtifact, match=r"no index; expected a folder with index\.json"):
        Index.load(tmp_path)
    assert Index.load(_saved(tmp_path)).ids == names(3), "what is damaged can be built again in its place"


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


def masked(features: Matrix, queries: Matrix, metric: Metric, k: int, among: NDArray[np.bool_]) -> None:
    """Search among some rows answers as search of an index of these rows alone."""
    chosen = np.flatnonzero(among)
    distances, rows = Index.build(features, names(len(features)), metric).search(queries, k, among)
    assert rows.shape == (len(queries), min(k, len(chosen)))
    if len(chosen):
        alone = Index.build(features[chosen], names(len(chosen)), metric).search(queries, k)
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
    index = Index.build(np.eye(3, dtype=np.float32), names(3), "l2")
    with pytest.raises(DataError, match=r"a mask of shape \(2,\) over rows; expected \(3,\)"):
        index.search(np.eye(3, dtype=np.float32), 1, np.ones(2, dtype=np.bool_))
    nothing = index.search(np.eye(3, dtype=np.float32), 1, np.zeros(3, dtype=np.bool_))
    assert nothing[1].shape == (3, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_float16_is_searched_as_the_numbers_that_it_holds(metric: Metric, tmp_path: Path) -> None:
    half = np.random.default_rng(9).normal(size=(300, 12)).astype(np.float16)
    wide = half.astype(np.float32)
    index = Index.build(half, names(300), metric)
    expected = Index.build(wide, names(300), metric).search(wide[:20], 7)
    for found in (index.search(wide[:20], 7), index.search(wide[:20], 7, np.ones(300, dtype=np.bool_))):
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_array_equal(found[0], expected[0])
    index.save(tmp_path)
    rows = np.load(tmp_path / "rows-000001-0.npy")
    assert rows.dtype == np.float16
    np.testing.assert_array_equal(rows, half)
    index.add(wide[:1] * 2, ["one more"])
    assert index.search(wide[:1] * 2, 2)[1][0, 0] == (300 if metric == "l2" else 0)
    with pytest.raises(DataError, match="features from row 0: a number is not finite in float16"):
        index.add(wide[:1] * 1e6, ["too large"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("metric", METRICS)
def test_rows_added_in_parts_are_searched_as_if_built_at_once(
    metric: Metric, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = np.random.default_rng(10).normal(size=(900, 5)).astype(dtype)
    queries = features[::30].astype(np.float32)
    whole = Index.build(features, names(900), metric)
    parts = Index.build(features[:400], names(900)[:400], metric)
    for start, end in ((400, 700), (700, 701), (701, 900)):
        parts.add(features[start:end], names(900)[start:end])
    monkeypatch.setattr(segments, "_BLOCK_NUMBERS", 500)
    among = np.random.default_rng(11).random(900) < 0.4
    for mask in (None, among):
        for one, other in zip(parts.search(queries, 9, mask), whole.search(queries, 9, mask), strict=True):
            np.testing.assert_array_equal(one, other)
    parts.remove([f"i{row}" for row in range(0, 900, 3)])
    kept = np.arange(900) % 3 > 0
    distances, rows = parts.search(queries, 9, among[kept])
    expected = whole.search(queries, 9, among & kept)
    np.testing.assert_array_equal(np.flatnonzero(kept)[rows], expected[1])
    np.testing.assert_array_equal(distances, expected[0])


def test_features_of_another_learner_are_refused() -> None:
    features = np.eye(3, dtype=np.float32)
    index = Index.build(features, names(3), "l2", made_with="aae-1")
    index.require("aae-1")
    index.require("")
    with pytest.raises(
        ConfigError, match="the index is of the features aae-1, these are orb-2; expected the"
    ):
        index.require("orb-2")
    with pytest.raises(ConfigError, match="these are orb-2"):
        index.add(features, ["a", "b", "c"], made_with="orb-2")
    with pytest.raises(
        DataError, match=r"features of shape \(2, 4\) with 2 ids cannot be added; expected \(n, 3"
    ):
        index.add(np.zeros((2, 4), np.float32), ["a", "b"])
    assert len(index) == 3


def test_ids_are_unique() -> None:
    features = np.eye(3, dtype=np.float32)
    with pytest.raises(DataError, match="row 2: image 'a' appears twice"):
        Index.build(features, ["a", "b", "a"], "l2")
    with pytest.raises(DataError, match=r"row 1: id 'b\\n' is empty or has a line break"):
        Index.build(features, ["a", "b\n", "c"], "l2")
    index = Index.build(features, ["a", "b", "c"], "l2")
    with pytest.raises(DataError, match="image 'b' is in the index already; expected new ids, or replace it"):
        index.add(features[:1], ["b"])
    with pytest.raises(DataError, match="image 'd' is not in the index; expected one of its 3"):
        index.remove(["a", "d"])
    assert index.ids == ["a", "b", "c"]


def test_a_replacement_that_fails_leaves_the_index_as_it_was() -> None:
    features = np.eye(3, dtype=np.float32)
    index = Index.build(features, names(3), "l2")
    with pytest.raises(DataError, match="not finite"):
        index.replace(np.full((1, 3), np.nan, np.float32), ["i1"])
    assert index.ids == names(3)
    index.replace(np.full((1, 3), 9, np.float32), ["i1"])
    assert index.ids == ["i0", "i2", "i1"]
    assert index.vectors(index.rows_of(["i1"])).tolist() == [[9, 9, 9]]


def test_an_index_can_lose_all_rows_and_gain_others() -> None:
    index = Index.build(np.eye(3, dtype=np.float32), names(3), "cosine")
    index.remove(names(3))
    assert len(index) == 0
    assert index.search(np.eye(3, dtype=np.float32), 2)[1].shape == (3, 0)
    index.add(np.eye(3, dtype=np.float32)[1:], ["b", "c"])
    assert index.search(np.eye(3, dtype=np.float32), 1)[1].tolist() == [[0], [0], [1]]


def test_what_is_attached_is_saved_with_the_index(tmp_path: Path) -> None:
    index = Index.build(np.eye(3, dtype=np.float32), names(3), "l2")
    assert index.attached("files.csv") is None
    with pytest.raises(ConfigError, match=r"attached name .*; expected a plain name, such as files"):
        index.attach("../a", b"")
    index.attach("files.csv", b"i0,a.png")
    index.save(tmp_path / "one")
    loaded = Index.load(tmp_path / "one")
    assert loaded.attached("files.csv") == b"i0,a.png"
    loaded.save(tmp_path / "two")
    assert Index.load(tmp_path / "two").attached("files.csv") == b"i0,a.png"


def test_cuda_without_a_gpu_of_faiss_is_searched_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    asked: list[str] = []

    class OnCpu(exact.TorchRows):
        def __init__(self, rows: segments.Rows, device: str) -> None:
            asked.append(device)
            super().__init__(rows, "cpu")

    monkeypatch.setattr(exact, "TorchRows", OnCpu)
    features = np.random.default_rng(3).normal(size=(100, 4)).astype(np.float32)
    for metric in METRICS:
        by_torch = Index.build(features, names(100), metric, device="cuda").search(features, 3)
        by_faiss = Index.build(features, names(100), metric).search(features, 3)
        np.testing.assert_array_equal(by_torch[1], by_faiss[1])
        np.testing.assert_array_equal(by_torch[0], by_faiss[0])
    assert asked == ["cuda", "cuda"]


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
