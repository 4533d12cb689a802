"""Files that cannot be read, or end too soon: images are refused by name, artifacts in one line."""

from __future__ import annotations

import pytest

from tests.faults.ground import Ground, refused_in_one_line
from tests.faults.table import Table
from tests.faults.tracing import require_strace, traced

pytestmark = pytest.mark.faults

FAULTS = {
    "EIO when opened": "inject=openat:error=EIO",
    "EIO when read": "inject=read,pread64:error=EIO",
    "a read that ends at once": "inject=read,pread64:retval=0",
}
READ = {
    "train aae": ("stores/train-36-rgb/manifest.json", "stores/train-36-rgb/images.npy",
                  "stores/train-36-rgb/ids.txt"),
    "extract": ("learners/aae-*/manifest.json", "stores/test-36-rgb/images.npy"),
    "classify": ("features/aae-*/train/features.npy", "features/aae-*/train/ids.txt",
                 "collections/train/concepts.tsv"),
    "knn": ("indexes/*/index.json", "indexes/*/images.csv"),
    "index add": ("indexes/*/index.json", "features/aae-*/test/ids.txt"),
    "ensemble": ("runs/aae-*.csv", "runs/aae-*/held-out.csv"),
}  # fmt: skip
"""Files that a command reads."""


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    require_strace()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_image_that_cannot_be_read_is_refused_by_name(fault: str, ground: Ground, table: Table) -> None:
    good = (
        (ground.folder / "before" / "train aae/artifacts/stores/train-36-rgb/ids.txt")
        .read_text()
        .splitlines()
    )
    n_good, folder = len(good), ground.folder / "images" / "train"
    images = [path for path in sorted(folder.rglob("*.png")) if path.stem in good]
    for image in (images[0], images[-1]):
        ground.before("ingest")
        ended = traced(ground.launcher, ground.commands["ingest"], FAULTS[fault], path=image)
        assert ended.code == 0, ended.said
        store = ground.workspace / "stores" / "train-36-rgb"
        assert " refused" in ended.said, ended.said
        assert image.name in (store / "refused.csv").read_text()
        ids = (store / "ids.txt").read_text().splitlines()
        assert len(ids) == n_good - 1
        assert image.stem not in ids
        table.add(fault, "ingest: an image", "refused by name, all others read")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", READ)
def test_an_artifact_that_cannot_be_read_is_named(
    name: str, fault: str, ground: Ground, table: Table
) -> None:
    for pattern in READ[name]:
        ground.before(name)
        (path, *_) = sorted(ground.workspace.glob(pattern))
        ended = traced(ground.launcher, ground.commands[name], FAULTS[fault], path=path)
        said = refused_in_one_line(ended, f"{name}: {fault}: {path.name}")
        assert str(path.parent) in said, said
        ground.nothing_is_lost(name)
        ground.ends_as_expected(name)
        table.add(fault, f"{name}: an artifact", "one line that names it; then as uninterrupted")
