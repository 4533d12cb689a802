from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from imageclef.errors import ConfigError
from imageclef.retrieval import ann, kinds, recall
from imageclef.retrieval.ann import AnnSearch
from imageclef.retrieval.index import Index
from imageclef.retrieval.kinds import Effort, Kind, n_lists, sub_vectors
from tests.retrieval.made import built, names

APPROXIMATE: list[Kind] = ["ivf", "hnsw", "ivfpq"]
METRICS: list[Literal["l2", "cosine"]] = ["l2", "cosine"]


def walks(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    """Rows that are near those of the same walk, as images of one study are."""
    rng = np.random.default_rng(seed)
    starts = rng.normal(size=(n // 20 + 1, d)) * 5
    return (np.repeat(starts, 20, axis=0)[:n] + rng.normal(size=(n, d))).astype(np.float32)


def others(index: Index, queries: NDArray[np.float32], k: int, own: bool) -> list[list[tuple[float, int]]]:
    """How far each query's k nearest are, and which; without the query itself if it is a row."""
    sign = 1 if index.metric == "l2" else -1
    answers = zip(*index.search(queries, k + 1), strict=True)
    return [
        [(sign * d, r) for d, r in zip(distances, rows, strict=True) if not own or r != query][:k]
        for query, (distances, rows) in enumerate(answers)
    ]


def recall_by_loops(index: Index, exact: Index, k: int) -> float:
    """Of each query's k nearest, how many are found; by distance, so that ties count."""
    queries = index.vectors(np.arange(len(index)))
    if index.kind == "hnsw":
        last = [near[-1][1] for near in others(exact, queries, k, own=True)]
        queries = queries + (queries - index.vectors(np.array(last)))
    own = index.kind != "hnsw"
    pairs = zip(others(exact, queries, k, own), others(index, queries, k, own), strict=True)
    return sum(d <= truth[-1][0] for truth, found in pairs for d, _ in found) / (k * len(index))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("asked", [0.5, 0.99])
def test_the_recall_that_is_kept_is_that_of_a_count(
    kind: Kind, metric: Literal["l2", "cosine"], asked: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "_QUERIES", 1200)  # all rows, so that the count has the same queries
    features = walks(1200, 12)
    index = built(features, names(1200), metric, kind=kind, recall=asked)
    exact = built(features, names(1200), metric)
    kept = index.recall
    assert kept is not None
    assert (kept.asked, kept.k, kept.n_queries, kept.n_rows) == (asked, 10, 1200, 1200)
    assert kept.reached
    assert kept.measured == pytest.approx(recall_by_loops(index, exact, 10), abs=2e-4)


def test_a_graph_does_not_claim_more_than_it_finds_for_what_it_has_not_seen() -> None:
    rng = np.random.default_rng(3)
    features, unseen = (rng.normal(size=(n, 24)).astype(np.float32) for n in (4000, 300))
    index = built(features, names(4000), "l2", kind="hnsw", recall=0.9)
    assert index.recall is not None
    exact = built(features, names(4000), "l2").search(unseen, 10)[0]
    counted = np.mean(index.search(unseen, 10)[0] <= exact[:, -1:])
    assert counted > index.recall.measured - 0.03 >= 0.87


def test_less_recall_is_searched_for_with_less_effort() -> None:
    features = np.random.default_rng(1).normal(size=(2000, 24)).astype(np.float32)
    reaches = []
    for asked in (0.2, 0.7, 1.0):
        found = built(features, names(2000), "l2", kind="ivf", recall=asked).recall
        assert found is not None
        reaches.append(found.effort.reach)
    assert reaches[0] < reaches[1] < reaches[2]


def test_a_recall_that_cannot_be_reached_is_said_with_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "efforts", lambda *_: [Effort(2, 1), Effort(1, 1)])
    features = np.random.default_rng(2).normal(size=(2000, 24)).astype(np.float32)
    found = built(features, names(2000), "l2", kind="ivf", recall=0.999).recall
    assert found is not None
    assert not found.reached
    assert found.effort == Effort(2, 1), "the better of the two"
    assert 0.05 < found.measured < 0.9


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", APPROXIMATE)
def test_distances_are_exact_whatever_the_kind(kind: Kind, metric: Literal["l2", "cosine"]) -> None:
    features = walks(1500, 10)
    queries = walks(30, 10, seed=5)
    distances, rows = built(features, names(1500), metric, kind=kind).search(queries, 8)
    for query, near, found in zip(queries.astype(np.float64), distances, rows, strict=True):
        picked = features[found].astype(np.float64)
        if metric == "l2":
            expected = np.linalg.norm(picked - query, axis=1)
        else:
            expected = picked @ query / np.linalg.norm(picked, axis=1) / np.linalg.norm(query)
        np.testing.assert_allclose(near, expected, rtol=1e-5, atol=1e-6)
        assert sorted(near, reverse=metric == "cosine") == near.tolist()


@pytest.mark.parametrize("kind", APPROXIMATE)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.6])
@pytest.mark.parametrize("few", [0, 100])
def test_k_answers_come_back_among_those_allowed(
    kind: Kind, share: float, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ann, "_FEW", few)
    monkeypatch.setattr(ann, "_FEW_SHARE", 0)
    features = walks(3000, 8)
    among = np.random.default_rng(4).random(3000) < share
    index = built(features, names(3000), "l2", kind=kind, recall=0.9)
    _, rows = index.search(features[:100], 12, among)
    assert rows.shape == (100, 12)
    assert among[rows].all()
    assert all(len(set(found)) == 12 for found in rows.tolist())
    exact = built(features, names(3000), "l2").search(features[:100], 12, among)[1]
    hits = np.mean([len(set(one) & set(other)) / 12 for one, other in zip(rows, exact, strict=True)])
    assert hits > 0.75, "a filter does not cost the recall"
    if few and among.sum() < few:
        np.testing.assert_array_equal(rows, exact)


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_all_rows_come_back_when_all_are_asked_for(kind: Kind) -> None:
    features = walks(1100, 6)
    _, rows = built(features, names(1100), "l2", kind=kind, recall=0.5).search(features[:3], 1100)
    assert all(sorted(found) == list(range(1100)) for found in rows.tolist())


def test_few_rows_that_are_allowed_are_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    index = built(walks(2000, 8), names(2000), "l2", kind="ivf")

    def never(*_: object) -> None:
        raise AssertionError("the structure was asked")

    monkeypatch.setattr(AnnSearch, "_block", never)
    among = np.arange(2000) % 20 == 0
    assert (index.search(walks(2000, 8)[:5], 3, among)[1] % 20 == 0).all()


def test_kinds_that_cannot_be_are_refused() -> None:
    features = walks(50, 4)
    with pytest.raises(ConfigError, match="kind = 'annoy'; expected one of flat, ivf, hnsw, ivfpq"):
        kinds.check_kind("annoy", 50)
    with pytest.raises(
        ConfigError, match="kind = 'ivfpq' needs 1000 rows to learn from, here are 50; expected"
    ):
        built(features, names(50), "l2", kind="ivfpq")


def test_efforts_rise_to_the_whole_index() -> None:
    assert kinds.efforts("ivf", 1000, 25)[-1].reach == 25
    assert kinds.efforts("ivfpq", 10_000, 200)[-1] == Effort(200, 32)
    assert [effort.reach for effort in kinds.efforts("hnsw", 50, 0)] == [16, 32, 50]
    assert set(get_args(Kind)) == {"flat", *APPROXIMATE}


@pytest.mark.parametrize(("d", "expected"), [(512, 64), (100, 20), (37, 37), (7, 1), (8, 1), (1, 1)])
def test_rows_are_coded_in_parts_of_equal_length(d: int, expected: int) -> None:
    assert sub_vectors(d) == expected
    assert d % sub_vectors(d) == 0


def test_lists_have_rows_enough() -> None:
    assert [n_lists(n) for n in (1, 39, 78, 10_000, 1_000_000)] == [1, 1, 2, 200, 2000]
