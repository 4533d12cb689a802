from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, ConfigError, DataError
from imageclef.retrieval.index_artifact import StoredIndex, open_index
from imageclef.retrieval.index_changes import Change, change_index
from imageclef.retrieval.kinds import Kind
from tests.retrieval.made import images_of, names, stored

DRIVER = Path(__file__).with_name("kill_driver.py")
FEATURES = np.random.default_rng(0).normal(size=(900, 5)).astype(np.float32)


def added(features: NDArray[np.float32], ids: list[str], collection: str = "train") -> Change:
    return Change(features=features, images=images_of(ids, collection), sources={collection: "x"})


def without(index: StoredIndex, ids: list[str]) -> Change:
    return Change(keep=np.setdiff1d(np.arange(len(index.index)), index.index.rows_of(ids)))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_rows_added_and_removed_are_searched_as_if_built_at_once(metric: str, tmp_path: Path) -> None:
    whole = stored(tmp_path / "whole", FEATURES, names(900), metric).index  # type: ignore[arg-type]
    stored(tmp_path / "parts", FEATURES[:400], names(900)[:400], metric)  # type: ignore[arg-type]
    for start, end in ((400, 700), (700, 701), (701, 900)):
        part = added(FEATURES[start:end], names(900)[start:end])
        change_index(tmp_path / "parts", lambda before, part=part: part)
    parts = open_index(tmp_path / "parts").index
    among = np.random.default_rng(11).random(900) < 0.4
    for mask in (None, among):
        for one, other in zip(
            parts.search(FEATURES[::30], 9, mask), whole.search(FEATURES[::30], 9, mask), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    gone = [f"i{row}" for row in range(0, 900, 3)]
    fewer = change_index(tmp_path / "parts", lambda before: without(before, gone)).index
    kept = np.arange(900) % 3 > 0
    distances, rows = fewer.search(FEATURES[::30], 9, among[kept])
    expected = whole.search(FEATURES[::30], 9, among & kept)
    np.testing.assert_array_equal(np.flatnonzero(kept)[rows], expected[1])
    np.testing.assert_array_equal(distances, expected[0])
    assert [one.image_id for one in fewer.images] == [f"i{row}" for row in np.flatnonzero(kept)]


def test_two_cannot_change_an_index_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    stored(folder, FEATURES[:5], names(5))

    def meanwhile(before: StoredIndex) -> Change:
        with pytest.raises(ArtifactError, match=r"index\.change: process"):
            change_index(folder, lambda index: without(index, ["i1"]))
        return without(before, ["i0"])

    assert [one.image_id for one in change_index(folder, meanwhile).index.images] == names(5)[1:]


def test_a_change_that_fails_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    digest = stored(folder, FEATURES[:5], names(5)).digest
    for change, match in (
        (added(FEATURES[:1], ["i1"]), "image 'i1' of collection 'train'"),
        (added(FEATURES[:2], ["a", "a"]), "image 'a' of collection 'train'"),
        (added(FEATURES[:1, :2], ["a"]), r"shape \(1, 2\) with 1 images"),
        (added(np.full((1, 5), np.nan, np.float32), ["a"]), "features from row 0.*not finite"),
    ):
        with pytest.raises(DataError, match=match):
            change_index(folder, lambda _, change=change: change)
    assert change_index(folder, lambda _: None).digest == digest
    assert open_index(folder).digest == digest
    # The same id in another collection is another image.
    assert len(change_index(folder, lambda _: added(FEATURES[:1], ["i1"], "test")).index) == 6


def test_an_index_can_lose_all_rows_and_gain_others(tmp_path: Path) -> None:
    stored(tmp_path / "index", np.eye(3, dtype=np.float32), names(3), "cosine")
    empty = change_index(tmp_path / "index", lambda index: without(index, names(3)))
    assert empty.index.search(np.eye(3, dtype=np.float32), 2)[1].shape == (3, 0)
    full = change_index(tmp_path / "index", lambda _: added(np.eye(3, dtype=np.float32)[1:], ["b", "c"]))
    assert full.index.search(np.eye(3, dtype=np.float32), 1)[1].tolist() == [[0], [0], [1]]


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_an_approximate_index_grows_and_shrinks(kind: Kind, tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(size=(2400, 8)).astype(np.float32)
    ids = names(2400)
    stored(tmp_path / "index", features[:1200], ids[:1200], kind=kind)
    grown = change_index(tmp_path / "index", lambda _: added(features[1200:], ids[1200:]))
    assert grown.about.recall is not None
    assert grown.about.recall.n_rows == 2400, "measured again"
    assert (grown.index.search(features[::50], 1)[1][:, 0] == np.arange(0, 2400, 50)).mean() > 0.9
    shrunk = change_index(tmp_path / "index", lambda index: without(index, ids[:2200]))
    if kind == "ivfpq":
        assert shrunk.about.recall is None, "too few rows: every row is compared"
    assert (shrunk.index.search(features[2200:], 1)[1][:, 0] == np.arange(200)).mean() > 0.9


def test_a_graph_cannot_remove(tmp_path: Path) -> None:
    stored(tmp_path / "index", FEATURES, names(900), kind="hnsw")
    with pytest.raises(ConfigError, match="hnsw"):
        change_index(tmp_path / "index", lambda index: without(index, ["i0"]))
    assert (
        len(change_index(tmp_path / "index", lambda _: added(FEATURES[:9], list("abcdefghi"))).index) == 909
    )


def test_a_kill_at_any_moment_leaves_the_old_index_or_the_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, counted in json.loads(done.stdout).items():
        assert counted["old"] > 3, name
        assert counted["new"] > 0, name
