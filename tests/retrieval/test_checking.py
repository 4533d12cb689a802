from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import MissingArtifact
from imageclef.retrieval import files
from imageclef.retrieval.checking import check, info
from imageclef.retrieval.index import Index
from imageclef.retrieval.stored import digest_of, read_about


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index with every sort of file."""
    features = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    index = Index.build(features, [f"i{row}" for row in range(300)], "l2", kind="ivf", made_with="aae")
    index.remove(["i1", "i5"])
    index.attach("note", b"something")
    index.save(tmp_path)
    return tmp_path


def files_of(folder: Path) -> list[str]:
    return sorted(read_about(folder)["files"])


def test_a_whole_index_has_nothing_wrong(folder: Path) -> None:
    assert check(folder) == []
    assert [name.split("-")[0] for name in files_of(folder)] == [
        "attached",
        "dead",
        "ids",
        "rows",
        "structure",
    ]
    facts = info(folder)
    assert (facts["kind"], facts["n_images"], facts["removed"], facts["made_with"]) == ("ivf", 298, 2, "aae")
    assert facts["recall"]["measured"] >= facts["recall"]["asked"] == 0.95


@pytest.mark.parametrize("place", range(5))
def test_one_wrong_bit_in_any_file_is_found(folder: Path, place: int) -> None:
    name = files_of(folder)[place]
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert check(folder) == [
        f"{folder / name}: its bytes are not those that were written; build the index again"
    ]


@pytest.mark.parametrize("place", range(5))
def test_a_file_that_is_cut_or_gone_is_named(folder: Path, place: int) -> None:
    path = folder / files_of(folder)[place]
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert check(folder) == [f"{path}: {size - 1} bytes; expected {size}"]
    path.unlink()
    assert check(folder) == [f"{path}: missing; build the index again"]


def test_one_wrong_character_in_the_manifest_is_found(folder: Path) -> None:
    path = folder / "index.json"
    path.write_text(path.read_text().replace('"n_images": 298', '"n_images": 299'))
    assert check(folder) == [f"{path}: damaged, its content does not fit its digest; build the index again"]
    path.unlink()
    with pytest.raises(MissingArtifact, match=r"no index; expected a folder with index\.json"):
        check(folder)


def rewritten(folder: Path, **changes: object) -> None:
    """A manifest that is as its writer wanted it, and wrong."""
    about = {**read_about(folder), **changes}
    (folder / "index.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))


def test_files_that_do_not_fit_each_other_are_found(folder: Path) -> None:
    about = read_about(folder)
    rewritten(folder, n_images=299)
    assert check(folder) == [f"{folder}: 298 images; expected 299"]
    rewritten(folder, n_images=298, n_features=5)
    assert "float32 of shape (300, 4); expected float32 of shape (300, 5)" in check(folder)[0]
    rewritten(folder, n_features=4, structure={**about["structure"], "n_rows": 200})
    assert check(folder)[0].endswith("300 rows; expected 200 of the 300 of the index")
    rewritten(folder, structure=about["structure"], kind="hnsw")
    assert check(folder)[0].endswith("IndexIVFFlat; expected an index of kind hnsw")


def test_an_image_with_two_rows_is_found(folder: Path) -> None:
    about = read_about(folder)
    (name,) = (one["ids"] for one in about["segments"])
    text = (folder / name).read_text().replace("i7\n", "i9\n")
    facts = files.write_bytes(folder / name, text.encode())
    rewritten(folder, files={**about["files"], name: facts})
    assert check(folder) == [f"{folder}: image 'i9' has 2 rows; expected one"]


def test_dead_rows_that_do_not_exist_are_found(folder: Path) -> None:
    about = read_about(folder)
    dead = np.array([5, 300])
    facts = files.write_array(folder / about["dead"], dead.shape, dead.dtype, [dead])
    rewritten(folder, files={**about["files"], about["dead"]: facts})
    assert check(folder)[0].endswith("not rising numbers of its 300 rows")
