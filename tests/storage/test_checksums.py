from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageclef.errors import ArtifactError
from imageclef.storage import checksums
from imageclef.storage.artifacts import Artifact, Recipe, building, open_artifact
from imageclef.storage.checksums import facts_of, is_facts, require_unchanged


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "BLOCK", 64)


def made(folder: Path, values: np.ndarray) -> Artifact:
    with building(folder / "a", Recipe("extract", {}), force=True) as inside:
        np.save(inside / "rows.npy", values)
    return open_artifact(folder / "a", "imageclef extract")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


ROWS = np.arange(300, dtype=np.float32).reshape(60, 5)


def test_rows_are_those_of_the_array(tmp_path: Path) -> None:
    found = made(tmp_path, ROWS).array("rows.npy")
    assert (found.shape, found.dtype, len(found), found.ndim) == ((60, 5), np.float32, 60, 2)
    for rows in (
        slice(None),
        slice(3, 9),
        slice(50, 2, -7),
        slice(9, 9),
        np.array([5, 5, -1, 0]),
        ROWS[:, 0] > 99,
    ):
        np.testing.assert_array_equal(found[rows], ROWS[rows])
    np.testing.assert_array_equal(np.asarray(found), ROWS)
    np.testing.assert_array_equal(np.asarray(found, np.float64), ROWS.astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(1, 60))
def test_a_changed_byte_is_noticed_by_whoever_reads_its_row_and_by_nobody_far_from_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, width: int
) -> None:
    """Also where rows are longer than a block, or lie across two."""
    folder, block = tmp_path_factory.mktemp("a"), 64
    values = np.random.default_rng(0).standard_normal((40, width)).astype(np.float32)
    path = made(folder, values).path / "rows.npy"
    header = path.stat().st_size - values.nbytes
    row = data.draw(st.integers(0, 39))
    flip(path, header + row * 4 * width + data.draw(st.integers(0, 4 * width - 1)))
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: ")):
        open_artifact(folder / "a", "imageclef extract").array("rows.npy")[np.array([row])]
    with pytest.raises(ArtifactError, match=re.escape(f"{path}: ")):
        open_artifact(folder / "a", "imageclef extract").array("rows.npy")[row : row + 1]
    far = [other for other in range(40) if abs(other - row) * 4 * width > 4 * width + 2 * block]
    if far:
        found = open_artifact(folder / "a", "imageclef extract").array("rows.npy")[np.array(far)]
        np.testing.assert_array_equal(found, values[far])


def test_a_changed_header_is_noticed_at_once(tmp_path: Path) -> None:
    artifact = made(tmp_path, ROWS)
    flip(artifact.path / "rows.npy", 70)
    with pytest.raises(ArtifactError, match=r"rows\.npy: "):
        artifact.array("rows.npy")


def test_what_is_no_array_of_the_artifact_is_refused(tmp_path: Path) -> None:
    artifact = made(tmp_path, ROWS)
    np.save(artifact.path / "other.npy", ROWS)
    with pytest.raises(ArtifactError, match=r"other\.npy: not in the manifest"):
        artifact.array("other.npy")


def test_a_file_is_compared_with_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"", b"a", b"b" * 64, b"c" * 65, bytes(1000)):
        path.write_bytes(data)
        facts = facts_of(path)
        assert is_facts(facts)
        assert len(facts["xxh3"]) == -(-len(data) // 64)
        require_unchanged(path, facts, "run it again")
        path.write_bytes(data + b"x")
        with pytest.raises(ArtifactError, match=r"x: [\d,]+ bytes; expected .*; run it again"):
            require_unchanged(path, facts, "run it again")
    flip(path, 500)
    with pytest.raises(ArtifactError, match=r"x: "):
        require_unchanged(path, facts, "run it again")
    for wrong in (
        None,
        {},
        {"bytes": 65, "xxh3": ["a"]},
        {"bytes": 1, "xxh3": [1]},
        {"bytes": "1", "xxh3": ["a"]},
    ):
        assert not is_facts(wrong)
