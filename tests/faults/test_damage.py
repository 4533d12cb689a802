"""Damaged artifacts: `check` names what is wrong, and the next stage refuses it or makes it anew."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from imageclef.learners.checkpoint import load_tensors
from imageclef.storage.checksums import facts_of
from imageclef.storage.manifests import MANIFEST
from imageclef.storage.sealed import read_sealed, write_sealed
from tests.faults.ground import Ground, refused_in_one_line
from tests.faults.table import Table

pytestmark = pytest.mark.faults

KINDS = ("collections", "stores", "learners", "features", "classifiers", "indexes", "runs")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[random.Random(path.name).randrange(len(data))] ^= 1 << random.Random(path.name).randrange(8)
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def gone(path: Path) -> None:
    path.unlink()


@contextmanager
def damaged(path: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    data = path.read_bytes()
    damage(path)
    yield
    path.write_bytes(data)


def checked(ground: Ground) -> tuple[int, str]:
    ended = ground.launcher.run(["check", "--json", "--config", ground.commands["ingest"][-1]])
    return ended.code, "\n".join(json.loads(ended.said)["notes"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", [flipped, cut_short, gone])
def test_check_names_it(kind: str, damage: Callable[[Path], None], ground: Ground, table: Table) -> None:
    ground.before("nothing more")
    assert checked(ground) == (0, "")
    files = [path for path in sorted((ground.workspace / kind).rglob("*")) if path.is_file()]
    files = [path for path in files if path.stat().st_size and path.suffix != ".zip"]
    tried = 0
    for path in random.Random(kind).sample(files, min(8, len(files))):
        if path.suffix == ".json" and path.name != "config.json":
            continue  # a manifest; see below
        with damaged(path, damage):
            code, said = checked(ground)
            assert code == 1, f"{damage.__name__} {path}"
            assert path.name in said, f"{damage.__name__} {path}: {said}"
        tried += 1
    assert tried
    table.add(f"a file {damage.__name__.replace('_', ' ')}", kind, "named by check", tried)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("indexes", "runs")])
@pytest.mark.parametrize(
    ("old", "new"), [('"format": 2', '"format": 99'), ('"bytes": ', '"bytes": 7'), ("{", "")]
)
def test_a_manifest_of_another_version_is_named(
    kind: str, old: str, new: str, ground: Ground, table: Table
) -> None:
    ground.before("nothing more")
    manifest = sorted((ground.workspace / kind).rglob("manifest.json"))[0]
    manifest.write_text(manifest.read_text().replace(old, new, 1))
    code, said = checked(ground)
    assert code == 1
    assert re.search(
        rf"{re.escape(str(manifest.parent))}.*: (changed since it was written|made by an earlier)", said
    )
    table.add("a manifest of another version, or damaged", kind, "named by check")


def lines_swapped(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


NEXT = {
    "ids of a collection": ("collections/train/ids.txt", lines_swapped, "train aae", "extract"),
    "pixels of a store": ("stores/train-36-rgb/images.npy", cut_short, "train aae", "extract"),
    "ids of a store": ("stores/train-36-rgb/ids.txt", lines_swapped, "train aae", "extract"),
    "weights of a learner": ("learners/aae-*/model.safetensors", flipped, "extract", "classify"),
    "rows of features": ("features/aae-*/train/features.npy", cut_short, "classify", "knn"),
    "ids of features": ("features/aae-*/train/ids.txt", lines_swapped, "classify", "knn"),
    "manifest of features": ("features/aae-*/train/manifest.json", cut_in_half, "classify", "knn"),
    "rows of an index": ("indexes/*/rows.npy", cut_short, "knn", "merge"),
    "ids of an index": ("indexes/*/images.csv", lines_swapped, "knn", "merge"),
    "manifest of an index": ("indexes/*/manifest.json", flipped, "knn", "merge"),
    "scores of a run": ("runs/aae-*/scores.safetensors", flipped, "ensemble", "report"),
    "held-out run": ("runs/aae-*/held-out.csv", gone, "ensemble", "report"),
}


@pytest.mark.parametrize("what", NEXT)
def test_the_next_stage_refuses_it(what: str, ground: Ground, table: Table) -> None:
    pattern, damage, name, _ = NEXT[what]
    ground.before(name)
    path = sorted(ground.workspace.glob(pattern))[0]
    damage(path)
    said = refused_in_one_line(ground.run(name), what)
    assert str(path.parent) in said, said
    table.add("damaged input", f"{name}: {what}", "refused in one line that names it")


@pytest.mark.parametrize(
    "name", ["ingest", "train aae", "extract", "import-features", "classify", "index build"]
)
def test_a_stage_makes_anew_what_is_damaged_only_when_forced(name: str, ground: Ground, table: Table) -> None:
    """Its own artifact, cut short: the command names it, and with --force makes it anew."""
    ground.before(name)
    before = {path for path in ground.workspace.rglob("*") if path.is_file()}
    assert ground.run(name).code == 0
    made = sorted({path for path in ground.workspace.rglob("*") if path.is_file()} - before)
    made = [path for path in made if path.suffix in (".npy", ".safetensors", ".txt") and path.stat().st_size]
    damaged_file = [path for path in made if "runs" not in path.parts][-1]
    cut_short(damaged_file)
    assert str(damaged_file) in refused_in_one_line(ground.run(name), name)
    forced = ground.launcher.run([*ground.commands[name], "--force"])
    assert forced.code == 0, forced.said
    assert ground.content() == ground.expected[name]
    table.add("damaged result", name, "refused by name, made anew with --force")


@pytest.mark.parametrize("name", ["classify", "knn", "index build", "duplicates"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_number_that_is_not_finite_gets_further(
    name: str, value: float, ground: Ground, table: Table
) -> None:
    """The checksums of the file are those of its new bytes: a network has answered so."""
    ground.before(name)
    runs = sorted(ground.workspace.glob("runs/*"))
    for features in ground.workspace.glob("features/aae-*/*/features.npy"):
        np.load(features, mmap_mode="r+")[3] = value
        manifest = read_sealed(features.parent / MANIFEST)
        manifest["files"][features.name] = facts_of(features)
        write_sealed(features.parent / MANIFEST, manifest)
    said = refused_in_one_line(ground.run(name), name)
    assert re.search(r"not finite|finite numbers", said), said
    assert sorted(ground.workspace.glob("runs/*")) == runs
    table.add("features that are not finite", name, "refused, no run written")


def test_a_training_that_diverges_keeps_its_last_good_state(ground: Ground, table: Table) -> None:
    name = "train aae"
    ground.before(name)
    wild = [*ground.commands[name], "--set", "learner.learning_rate=1e6", "--set", "learner.epochs=30"]
    said = refused_in_one_line(ground.launcher.run(wild), name)
    assert re.search(r"epoch \d+: .* expected a finite number; lower the learning rate", said), said
    assert not [path for path in ground.workspace.glob("learners/*rate*") if path.name[0] != "."]
    for checkpoint in ground.workspace.glob("learners/.*/checkpoint.safetensors"):
        tensors, _ = load_tensors(checkpoint)
        assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
        assert str(checkpoint.parent) in said
    ground.nothing_is_lost(name)
    table.add("a training that diverges", name, "stops with a sentence, its last good state kept")
