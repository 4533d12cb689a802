from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from imageclef.errors import ConfigError
from imageclef.retrieval import growth
from imageclef.retrieval.checking import check, info
from imageclef.retrieval.index import Index
from imageclef.retrieval.segments import Rows, Segment

WIDTH = 3


def whole_numbers(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).integers(-3, 4, size=(n, WIDTH)).astype(np.float32)


class LivingIndex(RuleBasedStateMachine):
    """An index beside a plain dictionary: whatever is done, both hold and find the same."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, NDArray[np.float32]] = {}
        self.number = 0

    @initialize(n=st.integers(1, 12))
    def build(self, n: int) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp()) / "index"
        rows, ids = self.fresh(n)
        self.index = Index.build(rows, ids, "l2")
        self.model = dict(zip(ids, rows, strict=True))

    def fresh(self, n: int) -> tuple[NDArray[np.float32], list[str]]:
        first, self.number = self.number, self.number + n
        return whole_numbers(n, first), [f"i{number}" for number in range(first, first + n)]

    @rule(n=st.integers(0, 9))
    def add(self, n: int) -> None:
        rows, ids = self.fresh(n)
        self.index.add(rows, ids)
        self.model |= dict(zip(ids, rows, strict=True))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(list(self.model)), unique=True, max_size=8))
        self.index.remove(gone)
        for image_id in gone:
            del self.model[image_id]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        changed = data.draw(st.lists(st.sampled_from(list(self.model)), unique=True, min_size=1, max_size=4))
        rows = whole_numbers(len(changed), self.number)
        self.number += 1
        self.index.replace(rows, changed)
        for image_id, row in zip(changed, rows, strict=True):
            del self.model[image_id]
            self.model[image_id] = row

    @rule()
    def save(self) -> None:
        self.index.save(self.folder)
        assert check(self.folder) == []
        assert info(self.folder)["segments"] <= max(1, int(np.log2(max(2, len(self.model)))) + 3)

    @precondition(lambda self: (self.folder / "index.json").exists())
    @rule()
    def save_and_load(self) -> None:
        self.index.save(self.folder)
        self.index = Index.load(self.folder)

    @invariant()
    def finds_the_same(self) -> None:
        if not hasattr(self, "index"):
            return
        assert self.index.ids == list(self.model)
        assert len(self.index) == len(self.model)
        query = np.zeros((1, WIDTH), np.float32)
        distances, rows = self.index.search(query, 5)
        table = np.array([np.linalg.norm(row) for row in self.model.values()])
        order = np.argsort(table, kind="stable")[:5]
        assert rows[0].tolist() == order.tolist()
        np.testing.assert_allclose(distances[0], table[order], rtol=1e-6)


LivingIndex.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestLivingIndex = LivingIndex.TestCase


def test_adding_and_removing_write_no_more_than_the_change(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    Index.build(features, [f"i{row}" for row in range(2000)], "l2").save(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    info_before = info(tmp_path)
    with Index.changing(tmp_path) as index:
        index.add(features[:10] + 1, [f"new{row}" for row in range(10)])
    with Index.changing(tmp_path) as index:
        index.remove(["i0", "i7", "new3"])
    after = {path.name: path for path in tmp_path.iterdir()}
    assert before.keys() <= after.keys()
    unchanged = [name for name in before if after[name].stat().st_mtime_ns == before[name]]
    assert sorted(unchanged) == ["ids-000001-0.txt", "rows-000001-0.npy"]
    written = sum(path.stat().st_size for name, path in after.items() if name not in unchanged)
    assert written < 4000, "ten rows of 64 bytes, their ids, three dead rows and the manifest"
    facts = info(tmp_path)
    assert facts.pop("digest") not in ("", info_before["digest"])
    assert facts == {
        "kind": "flat", "metric": "l2", "n_images": 2007, "n_features": 16, "dtype": "float32",
        "made_with": "", "recall": None, "generation": 3, "segments": 2, "removed": 3,
        "bytes": sum(path.stat().st_size for name, path in after.items() if name != "index.json"),
    }  # fmt: skip


def test_many_small_additions_leave_few_segments(tmp_path: Path) -> None:
    features = whole_numbers(100, 6)
    Index.build(features[:60], [f"i{row}" for row in range(60)], "l2").save(tmp_path)
    for row in range(60, 100):
        with Index.changing(tmp_path) as index:
            index.add(features[row : row + 1], [f"i{row}"])
    assert info(tmp_path)["segments"] <= 6
    loaded = Index.load(tmp_path)
    np.testing.assert_array_equal(loaded.vectors(np.arange(100)), features)
    assert loaded.ids == [f"i{row}" for row in range(100)]


def test_a_change_of_nothing_writes_nothing(tmp_path: Path) -> None:
    Index.build(whole_numbers(5, 0), list("abcde"), "l2").save(tmp_path)
    with Index.changing(tmp_path) as index:
        assert index.ids == list("abcde")
    assert info(tmp_path)["generation"] == 1
    with pytest.raises(ZeroDivisionError, match="division"), Index.changing(tmp_path) as index:
        index.remove(["a"])
        index.add(np.zeros((1, WIDTH)) / (1 // 0), ["f"])
    assert Index.load(tmp_path).ids == list("abcde"), "an error in the middle changes nothing"


def test_segments_are_rewritten_without_the_dead_once_they_are_many(tmp_path: Path) -> None:
    features = whole_numbers(100, 1)
    index = Index.build(features, [f"i{row}" for row in range(100)], "l2")
    index.remove([f"i{row}" for row in range(25)])
    index.save(tmp_path)
    assert info(tmp_path)["removed"] == 25
    index.remove(["i99"])
    index.save(tmp_path)
    assert info(tmp_path)["removed"] == 0
    np.testing.assert_array_equal(np.load(next(tmp_path.glob("rows-*.npy"))), features[25:99])


@pytest.mark.parametrize("kind", ["ivf", "ivfpq"])
def test_a_structure_takes_up_rows_when_they_are_many(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_FEW_BESIDE", 20)
    rng = np.random.default_rng(2)
    features = rng.normal(size=(1500, 8)).astype(np.float32)
    ids = [f"i{row}" for row in range(1500)]
    index = Index.build(features[:1000], ids[:1000], "l2", kind=kind, recall=0.9)
    index.save(tmp_path)
    structure = {path.name for path in tmp_path.glob("structure-*")}
    with Index.changing(tmp_path) as changed:
        changed.add(features[1000:1050], ids[1000:1050])
    assert {path.name for path in tmp_path.glob("structure-*")} == structure, "50 rows are searched beside it"
    assert Index.load(tmp_path).search(features[1000:1050], 1)[1].ravel().tolist() == list(range(1000, 1050))
    with Index.changing(tmp_path) as changed:
        changed.add(features[1050:], ids[1050:])
    assert {path.name for path in tmp_path.glob("structure-*")} != structure
    assert Index.load(tmp_path).recall.n_rows == 1500
    with Index.changing(tmp_path) as changed:
        changed.remove(ids[::2])
    assert check(tmp_path) == []
    loaded = Index.load(tmp_path)
    assert loaded.recall.n_rows == 750
    assert loaded.recall.measured >= 0.9
    assert loaded.search(features[1::2], 1)[1].ravel().tolist() == list(range(750))


def test_an_approximate_index_can_lose_all_rows_and_gain_others(tmp_path: Path) -> None:
    features = np.random.default_rng(3).normal(size=(400, 4)).astype(np.float32)
    ids = [f"i{row}" for row in range(400)]
    Index.build(features, ids, "l2", kind="ivf").save(tmp_path)
    with Index.changing(tmp_path) as index:
        index.remove(ids)
    assert Index.load(tmp_path).search(features[:2], 3)[1].shape == (2, 0)
    with Index.changing(tmp_path) as index:
        index.add(features[:50], ids[:50])
    assert Index.load(tmp_path).search(features[:2], 1)[1].tolist() == [[0], [1]]
    with Index.changing(tmp_path) as index:
        index.add(features[50:], ids[50:])
        assert index.recall.measured >= index.recall.asked == 0.95
    assert list(tmp_path.glob("structure-*"))
    assert check(tmp_path) == []


def test_hnsw_says_what_to_do_instead_of_removing() -> None:
    index = Index.build(whole_numbers(30, 4), [f"i{row}" for row in range(30)], "l2", kind="hnsw")
    with pytest.raises(
        ConfigError, match="of kind hnsw cannot remove or replace rows; build it again without"
    ):
        index.remove(["i3"])
    with pytest.raises(ConfigError, match="or build one of kind flat, ivf or ivfpq"):
        index.replace(whole_numbers(1, 5), ["i3"])
    index.add(whole_numbers(1, 5) + 9, ["new"])
    assert index.search(whole_numbers(1, 5) + 9, 1)[1].tolist() == [[30]]


def test_rows_are_numbered_through_segments() -> None:
    parts = [whole_numbers(n, n) for n in (4, 0, 1, 6)]
    rows = Rows([Segment(part, [str(n) for n in range(len(part))]) for part in parts], "l2", WIDTH)
    every = np.concatenate(parts)
    numbers = np.array([[10, 0, 4], [3, 5, 3]])
    np.testing.assert_array_equal(rows.take(numbers), every[numbers])
    for n in range(12):
        np.testing.assert_array_equal(rows.after(n).take(np.arange(11 - min(n, 11))), every[n:])
