"""Every command that writes, over thirty drawn images and with the learner that learns nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imageclef import stages
from imageclef.config import Config
from imageclef.data.ids import read_id_lines
from imageclef.demo.drawn import draw_collection
from imageclef.progress import Silent
from imageclef.service.served.projection import project_once
from imageclef.stages.findings_out import Form
from imageclef.workspace import Workspace
from tests.walking import config_of, with_tables

N_TRAIN, N_TEST = 24, 6


@dataclass(frozen=True)
class SmallPath:
    """A folder with images, and the commands that work in it.

    Attributes:
        folder: holds everything.
        config: of the commands.
    """

    folder: Path
    config: Config

    @property
    def place(self) -> Path:
        """The folder that everything is written into."""
        return self.folder / "written"

    @property
    def out(self) -> Path:
        """Where ``--out`` and ``--sheet`` point."""
        return self.place / "out"

    def run(self, command: str, force: bool = False) -> None:
        """Run a command by its name in `COMMANDS`."""
        COMMANDS[command](self, force)

    def keep(self, name: str) -> None:
        """Keep a copy of what was written so far."""
        shutil.copytree(self.place, self.folder / "kept" / name, symlinks=True)

    def restore(self, name: str) -> None:
        """Put back what was kept."""
        shutil.rmtree(self.place, ignore_errors=True)
        # Files of ours are replaced, never written into: links to them are enough, and sooner made.
        shutil.copytree(self.folder / "kept" / name, self.place, symlinks=True, copy_function=os.link)

    @property
    def runs(self) -> list[Path]:
        """The runs of the workspace."""
        return sorted(self.config.workspace.glob("runs/*.csv"))

    @property
    def ann(self) -> Config:
        """With an approximate index."""
        return with_tables(self.config, index={"kind": "hnsw"})


def small_path(folder: Path) -> SmallPath:
    """Draw the images; nothing is run."""
    drawn = draw_collection(folder / "images", N_TRAIN, N_TEST, seed=0)
    # Reports in DICOM's own form are written of DICOM files alone.
    shutil.copy(next(drawn.train_images.rglob("*.dcm")), drawn.test_images / "captured.dcm")
    with drawn.test_concepts.open("a") as truth:
        truth.write("2.25.1\tC0040405\n")
    config = config_of(
        folder / "written",
        drawn,
        learner={"name": "pixels", "image_size": 8},
        classify={"top": 4},
        knn={"ks": (1, 3)},
        ingest={"workers": 1},
        edition="2025",
    )
    synced = folder / "synced"
    synced.mkdir()
    for path in sorted(drawn.test_images.rglob("*.png"))[:2]:
        shutil.copy(path, synced / f"synced-{path.name}")
    (folder / "written" / "out").mkdir(parents=True)
    return SmallPath(folder, config)


def _import(path: SmallPath, force: bool) -> None:
    ids = read_id_lines(Workspace(path.config).collection_path("test") / "ids.txt")
    theirs = path.folder / "theirs.npy"
    if not theirs.exists():
        np.save(theirs, np.random.default_rng(0).normal(size=(len(ids), 5)).astype(np.float32))
        (path.folder / "theirs.txt").write_text("".join(f"{one}\n" for one in ids))
    stages.import_features(path.config, theirs, "theirs", "test", path.folder / "theirs.txt", force=force)


def _draw_map(path: SmallPath, force: bool) -> None:
    stored = Workspace(path.config).index()
    place = path.config.workspace / "maps" / "drawn"
    project_once(stored.index, stored.digest, place, Silent())


def _remove(path: SmallPath, force: bool) -> None:
    images = Workspace(path.config).index().index.images
    stages.index_remove(path.config, [f"{one.collection}/{one.image_id}" for one in images[-2:]])


def _merge(path: SmallPath, force: bool) -> None:
    stages.merge(path.runs[:2], path.out / "merged.csv", "2025", force=force)


def _ensemble(path: SmallPath, force: bool) -> None:
    stages.ensemble(path.config, path.runs[:2], path.out / "joined.csv", force=force)


def _report(path: SmallPath, force: bool) -> None:
    truth = path.config.collection("test").concepts
    assert truth is not None
    stages.report_runs(path.runs[1:2], truth, path.out / "page.html", "2025", force=force)


def _findings(form: Form) -> Callable[[SmallPath, bool], None]:
    def write(path: SmallPath, force: bool) -> None:
        stages.findings(path.config, path.runs[0], path.out / f"findings-{form}", form, force=force)

    return write


def _similar(path: SmallPath, force: bool) -> None:
    image = next(path.config.collection("test").images.rglob("*.png"))
    stages.similar(
        path.config, [image], 3, path.out / "similar.png", out=path.out / "similar.csv", force=force
    )


def _duplicates(path: SmallPath, force: bool) -> None:
    stages.duplicates(
        path.config, within=95.0, out=path.out / "pairs.csv", sheet=path.out / "pairs.png", force=force
    )


COMMANDS: Mapping[str, Callable[[SmallPath, bool], None]] = {
    "ingest": lambda path, force: stages.ingest(path.config, force=force) and None,
    "train": lambda path, force: stages.train(path.config, force=force) and None,
    "extract": lambda path, force: stages.extract(path.config, force=force) and None,
    "import-features": _import,
    "classify": lambda path, force: stages.classify(path.config, "test", force=force) and None,
    "index build": lambda path, force: stages.index(path.config, force=force) and None,
    "index build hnsw": lambda path, force: stages.index(path.ann, force=force) and None,
    "knn": lambda path, force: stages.knn(path.config, "test", force=force) and None,
    "map": _draw_map,
    "index add": lambda path, force: stages.index_add(path.config, "test") and None,
    "index remove": _remove,
    "sync": lambda path, force: stages.sync(path.config, path.folder / "synced") and None,
    "merge": _merge,
    "ensemble": _ensemble,
    "report": _report,
    "findings jsonl": _findings("jsonl"),
    "findings sr": _findings("sr"),
    "similar": _similar,
    "duplicates": _duplicates,
}
"""Every command that writes, in an order in which each finds what it reads."""
