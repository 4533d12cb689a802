from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imageclef.errors import ArtifactError
from imageclef.retrieval.checking import check
from imageclef.retrieval.index import Index
from imageclef.retrieval.manifest import fault_in
from imageclef.retrieval.stored import ABOUT, digest_of, read_about


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index with all that a manifest can name."""
    rng = np.random.default_rng(0)
    index = Index.build(rng.random((200, 8), np.float32), [f"a{i}" for i in range(200)], "l2", kind="ivf")
    index.attach("map", b"[]")
    index.save(tmp_path)
    with Index.changing(tmp_path) as changing:
        changing.remove(["a0"])
    return tmp_path


def test_what_is_written_can_be_relied_on(folder: Path) -> None:
    about = read_about(folder)
    assert about["dead"]
    assert about["structure"]
    assert about["recall"]
    assert fault_in(about) == ""


def without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda about: about.pop(key)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("segments"), "segments: field required"),
        (without("dead"), "dead: field required"),
        (lambda about: about.update(extra=1), "extra: extra inputs are not permitted"),
        (lambda about: about.update(n_features=0), "n_features: input should be greater than or equal to 1"),
        (lambda about: about.update(n_features="8"), "n_features: input should be a valid integer"),
        (lambda about: about.update(dtype="|O"), "dtype: input should be 'float32' or 'float16'"),
        (lambda about: about.update(kind="tree"), "kind: input should be 'flat'"),
        (lambda about: about.update(dead="dead-9.npy"), "no facts of dead-9.npy"),
        (lambda about: about.update(dead="../x.npy"), "dead: string should match pattern"),
        (lambda about: about["attached"].update(map="/etc/hosts"), "attached.map: string should match"),
        (lambda about: about["segments"][0].pop("n"), "segments.0.n: field required"),
        (lambda about: about["recall"].update(effort=None), "recall.effort: input should be a valid"),
    ],
)
def test_a_manifest_of_something_else_is_named(
    folder: Path, change: Callable[[dict[str, Any]], Any], fault: str
) -> None:
    about = read_about(folder)
    change(about)
    assert fault in fault_in(about)
    (folder / ABOUT).write_text(json.dumps({**about, "sha256": digest_of(about)}))
    with pytest.raises(ArtifactError, match=r"index\.json: .*; build the index again"):
        Index.load(folder)
    assert fault in check(folder)[0]


def test_deep_nesting_is_damage(folder: Path) -> None:
    (folder / ABOUT).write_text("[" * 5000)
    with pytest.raises(ArtifactError, match=r"index\.json: damaged; expected the JSON of an index"):
        Index.load(folder)


@pytest.mark.parametrize("dead", [np.array([200]), np.array([-1]), np.array([2, 1]), np.array([0.5])])
def test_numbers_of_removed_rows_are_numbers_of_rows(folder: Path, dead: np.ndarray) -> None:
    about = read_about(folder)
    np.save(folder / about["dead"], dead)
    about["files"][about["dead"]]["bytes"] = (folder / about["dead"]).stat().st_size
    (folder / ABOUT).write_text(json.dumps({**about, "sha256": digest_of(about)}))
    with pytest.raises(ArtifactError, match="not rising numbers of its 200 rows"):
        Index.load(folder)
