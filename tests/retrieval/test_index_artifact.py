from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ArtifactError, ConfigError, MissingArtifact
from imageclef.retrieval import index_artifact
from imageclef.retrieval.index_artifact import SkippedFile, StoredIndex, open_index
from imageclef.retrieval.index_changes import Change, change_index
from imageclef.storage.artifacts import verify
from tests.retrieval.made import names, stored

FEATURES = np.random.default_rng(0).normal(size=(900, 5)).astype(np.float32)


def without(index: StoredIndex, ids: list[str]) -> Change:
    return Change(keep=np.setdiff1d(np.arange(len(index.index)), index.index.rows_of(ids)))


def test_what_was_written_is_opened(tmp_path: Path) -> None:
    before = stored(tmp_path / "index", FEATURES[:3], ["µ 1", "a,b", 'c"'])
    skipped = [SkippedFile("train", "d", "d.png", "digest", "truncated: ends early")]
    metadata = {before.index.images[0].key: {"modality": "CT"}}
    change_index(tmp_path / "index", lambda _: Change(skipped=skipped, metadata=metadata))
    opened = open_index(tmp_path / "index")
    assert opened.index.images == before.index.images
    assert opened.skipped == skipped
    assert opened.metadata == metadata
    assert opened.about == before.about
    assert opened.digest != before.digest
    assert verify(tmp_path / "index") == []


def test_an_index_holds_no_folder_and_can_be_moved(tmp_path: Path) -> None:
    stored(tmp_path / "here" / "index", FEATURES[:9], names(9))
    (tmp_path / "here").rename(tmp_path / "there")
    folder = tmp_path / "there" / "index"
    assert len(open_index(folder).index) == 9
    for path in folder.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_an_open_index_stays_as_it_is_while_another_takes_its_place(tmp_path: Path) -> None:
    before = stored(tmp_path / "index", FEATURES[:50], names(50))
    expected = before.index.search(FEATURES[:5], 3)
    change_index(tmp_path / "index", lambda index: without(index, names(40)))
    for one, other in zip(before.index.search(FEATURES[:5], 3), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(open_index(tmp_path / "index").index) == 10


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(MissingArtifact, match="`imageclef index` makes it"):
        open_index(folder)
    stored(folder, FEATURES[:3], names(3))
    whole = (folder / "images.csv").read_bytes()
    for data in (whole.replace(b"collection", b"collektion"), b"x" * len(whole), b"\xff" * len(whole)):
        (folder / "images.csv").write_bytes(data)
        with pytest.raises(ArtifactError, match=r"images\.csv.*`imageclef index --force`"):
            open_index(folder)
    (folder / "images.csv").write_bytes(whole)
    about = (folder / "index.json").read_bytes()
    (folder / "index.json").write_bytes(about.replace(b"l2", b"l3"))
    with pytest.raises(ArtifactError, match=r"index\.json: changed"):
        open_index(folder)
    (folder / "index.json").write_bytes(about)
    assert len(open_index(folder).index) == 3
    (folder / "rows.npy").unlink()
    with pytest.raises(ArtifactError, match=r"rows\.npy: missing"):
        open_index(folder)


def test_an_index_of_an_earlier_version_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(ArtifactError, match=r"earlier version.*run `imageclef index`"):
        open_index(tmp_path)


def test_a_reader_meets_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is swapped between the reading of the manifest and that of the rows."""
    folder, opened = tmp_path / "index", index_artifact._opened
    stored(folder, FEATURES[:30], names(30))
    left = [1]

    def swapped(*arguments: object) -> object:
        if left:
            left.clear()
            change_index(folder, lambda index: without(index, ["i7"]))
        return opened(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(index_artifact, "_opened", swapped)
    found = open_index(folder)
    assert len(found.index) == found.about.n_images == 29


def test_features_are_known_by_their_digest(tmp_path: Path) -> None:
    index = stored(tmp_path / "index", FEATURES[:3], names(3))
    index.require_features("features", "another label")
    with pytest.raises(ConfigError, match=r"some features.*these are same label.*`imageclef index` again"):
        index.require_features("others", "same label")
