"""An index: its tables and what it says of itself, behind a manifest that fits them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from imageclef.retrieval import index_artifact
from imageclef.retrieval.index_artifact import ABOUT, IMAGES, METADATA, SKIPPED
from imageclef.storage.artifacts import Artifact
from imageclef.storage.checksums import facts_of
from imageclef.storage.manifests import MANIFEST
from tests.fuzz.target import Case, Target
from tests.fuzz.targets.parts import BESIDE
from tests.retrieval.made import names, stored

_CHANGED = (ABOUT, IMAGES, SKIPPED, METADATA)


@cache
def _files() -> dict[str, bytes]:
    with TemporaryDirectory() as folder:
        made = stored(Path(folder) / "index", np.eye(4, dtype=np.float32), names(4)).artifact.path
        return {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}


def _seeds() -> list[bytes]:
    return [BESIDE.join(_files()[name] for name in _CHANGED)]


def _attempt(case: Case) -> None:
    parts = dict(zip(_CHANGED, case.data.split(BESIDE), strict=False))
    (case.folder / "index").mkdir(exist_ok=True)
    for name, data in {**_files(), **parts}.items():
        case.file(f"index/{name}", data)
    folder = case.folder / "index"
    # As if the files had been written so: what does not fit its checksum is refused before anything is read.
    facts = {path.name: facts_of(path) for path in folder.iterdir() if path.name != MANIFEST}
    artifact = Artifact(folder, {"files": facts}, "imageclef index")
    opened = case.ask(folder, index_artifact._opened, artifact, "cpu")
    if opened is not None:
        case.ask(folder, lambda: opened.skipped)
        case.ask(folder, lambda: opened.metadata)
        _, rows = opened.index.search(np.eye(4, dtype=np.float32)[:1], 2)
        case.require(rows.shape == (1, min(2, len(opened.index))), "as many results as images")


TARGET = Target(
    "indexes",
    _seeds,
    _attempt,
    tokens=(b'"kind"', b'"l2"', b'"n_images": 4', b"collection,image_id", b"[]", b"{}", BESIDE),
)
