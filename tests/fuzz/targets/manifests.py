"""Manifests of artifacts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from imageclef.storage.artifacts import Recipe, building, open_artifact, up_to_date, verify
from imageclef.storage.manifests import MANIFEST
from tests.fuzz.json_trees import changed_json
from tests.fuzz.target import LONGEST_MESSAGE, Case, Target, is_a_line

_RECIPE = Recipe("ingest", {"size": 32, "mode": "rgb"}, {"images": "0" * 64}, seed=1)
_FILES = {"images.npy": b"pixels", "tables/refused.csv": b"ID,path,reason\n"}


def _seeds() -> list[bytes]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        with building(path, _RECIPE, device="cpu", figures={"f1": 0.5}) as made:
            _fill(made)
        return [(path / MANIFEST).read_bytes()]


def _fill(folder: Path) -> None:
    for name, data in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _attempt(case: Case) -> None:
    path = case.folder / "store"
    if not path.exists():
        _fill(path)
    case.file(f"store/{MANIFEST}")
    artifact = case.ask(path, open_artifact, path, "imageclef ingest")
    wrong = verify(path)
    case.require(artifact is not None or bool(wrong), "what cannot be opened is told by the check")
    case.require(all(is_a_line(line) and len(line) < LONGEST_MESSAGE for line in wrong), "a line a fault")
    up_to_date(path, _RECIPE)
    if artifact is not None:
        case.require(len(artifact.digest) == 64, "an artifact has a digest")
        kinds = {"stage": str, "inputs": dict, "settings": dict}
        whole = all(isinstance(artifact.manifest[key], kind) for key, kind in kinds.items())
        case.require(whole, "it says what others ask it for")
        inside = [
            (path / name).resolve().is_relative_to(path.resolve()) for name in artifact.manifest["files"]
        ]
        case.require(all(inside), "its files are its own")


TARGET = Target(
    "manifests",
    _seeds,
    _attempt,
    tokens=(
        *(b'"format": 1', b'"files"', b'"bytes": 6', b'"sha256"', b'"../store/images.npy"'),
        *(b'"\\u0000"', b'"\\ud800"', b"[]", b"{}"),
    ),
    change=changed_json,
)
