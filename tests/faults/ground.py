"""A drawn collection, the commands that are disturbed on it, and what each of them makes undisturbed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imageclef.demo.drawn import draw_collection
from tests.faults.launcher import Ended, Launcher
from tests.walking import LEARNER

EPOCHS = 3

_CONFIG = """\
workspace = "{trial}/artifacts"
device = "cpu"

[collections.train]
images = "{train_images}"
concepts = "{train_concepts}"
groups = "{train_groups}"

[collections.test]
images = "{test_images}"
concepts = "{test_concepts}"

[ingest]
workers = 1

[classify]
top = 8

[knn]
ks = [1, 3]

[learner]
{learner}
"""

LEARNERS: dict[str, dict[str, object]] = {
    "faae": {"name": "faae", "image_size": 36, "crop_size": 32, "latent_dim": 16, "width": 4,
             "generator_width": 4, "critic_width": 4, "epochs": 2, "batch_size": 16},
    "orb": {"name": "orb", "image_size": 96, "n_words": 8, "n_keypoints": 40},
    "pca": {"name": "pca", "image_size": 24, "n_components": 8},
    "pixels": {"name": "pixels"},
}  # fmt: skip

STAMP = re.compile(r"\d{4}-\d\d-\d\d_\d{4}(-\d+)?")
_NOT_COMPARED = {"created", "seconds", "threads", "version", "seal"}
_STAYS = re.compile(r"\.imageclef$|\.digests\.json$|\.\d+-\d+\.partial$")


@dataclass
class Ground:
    """The collection, and one folder that every command works in.

    Attributes:
        folder: holds the images and all else.
        trial: the folder that is restored before each try.
        launcher: starts the commands.
        commands: by name, in the order of the path.
        expected: by name, what the trial folder holds after the command, undisturbed.
        seconds: by name, how long it took.
        largest: by name, the bytes of the largest file that it made.
    """

    folder: Path
    launcher: Launcher
    commands: dict[str, list[str]] = field(default_factory=dict)
    expected: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    largest: dict[str, int] = field(default_factory=dict)

    @property
    def trial(self) -> Path:
        return self.folder / "trial"

    @property
    def workspace(self) -> Path:
        return self.trial / "artifacts"

    def run(self, name: str, **options: Any) -> Ended:
        """A command as it is."""
        return self.launcher.run(self.commands[name], **options)

    def before(self, name: str) -> None:
        """Put the trial folder back to where it is before a command."""
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(self.folder / "before" / name, self.trial)

    def content(self) -> dict[str, str]:
        """What the trial folder holds, by name; without dates, and without what is hidden."""
        return content_of(self.trial)

    def nothing_is_lost(self, name: str) -> None:
        """What was there before a command is there, as it was or as the command makes it."""
        now, expected = self.content(), self.expected[name]
        for key, digest in content_of(self.folder / "before" / name).items():
            if name == "sync" and "/indexes/" in key:
                continue  # it takes out what is gone, then adds: in between the index is another whole one
            assert now.get(key) in (digest, expected.get(key)), f"{name}: {key} is not what it was"
        if name == "sync":
            self.index_is_whole(name)

    def ends_as_expected(self, name: str) -> None:
        """The same command, now left alone: the same bytes as if it had never been disturbed."""
        ended = self.run(name)
        # What had been done before a kill is no error for commands that ask for a change.
        done = name == "index remove" and "is not in the index" in ended.said
        assert ended.code == 0 or done, f"{name}: {ended.said}"
        assert self.content() == self.expected[name]
        assert self.hidden() == []

    def index_is_whole(self, name: str) -> None:
        """What can be loaded is what was written; before the first build there is nothing."""
        checked = self.launcher.run(["index", "check", "--config", self.commands[name][-1]])
        absent = name == "index build" and "is not there" in checked.said
        assert checked.code == 0 or absent, checked.said

    def hidden(self) -> list[str]:
        """What was left behind in it.

        Sidecars and the table of `sync` stay on purpose. A file of one kill keeps its own name for ever: we
        delete no file that we only know by its name.
        """
        hidden = (path for path in self.trial.rglob(".*") if not _STAYS.search(path.name))
        return sorted(str(path.relative_to(self.trial)) for path in hidden)


def prepared(folder: Path, launcher: Launcher) -> Ground:
    """Draw a collection and run every command once, undisturbed, keeping what was there before each."""
    ground = Ground(folder, launcher)
    drawn = draw_collection(folder / "images", 60, 16, seed=0)
    (drawn.test_images / "unreadable.png").write_text("no image")
    with drawn.test_concepts.open("a") as truth:
        truth.write("unreadable\tC0040405\n")
    paths = {name: path.as_posix() for name, path in vars(drawn).items()}
    learner = {**LEARNER, "latent_dim": 16, "epochs": EPOCHS}
    for name, settings in {"aae": learner, **LEARNERS}.items():
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        text = _CONFIG.format(trial=ground.trial.as_posix(), learner=lines, **paths)
        (folder / f"{name}.toml").write_text(text)
    ground.trial.mkdir()
    _folder_to_sync(folder, drawn.train_images)
    for name, arguments in _walk(ground, drawn.test_concepts, drawn.test_images):
        ground.commands[name] = arguments
        shutil.copytree(ground.trial, folder / "before" / name)
        ended = launcher.run(arguments)
        assert ended.code == 0, f"{name}: {ended.said}"
        ground.seconds[name] = ended.seconds
        ground.largest[name] = _largest_new(folder / "before" / name, ground.trial)
        ground.expected[name] = ground.content()
        assert ground.hidden() == [], name
    shutil.copytree(ground.trial, folder / "before" / "nothing more")
    return ground


def _walk(ground: Ground, truth: Path, images: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command in its turn; a generator, for some are known only when others are done."""
    folder, trial = ground.folder, ground.trial

    def on(command: str, *more: object, learner: str = "aae") -> list[str]:
        toml = str(folder / f"{learner}.toml")
        return [*command.split(), *map(str, more), "--config", toml]

    yield "ingest", on("ingest")
    yield "train aae", on("train")
    for learner in LEARNERS:
        yield f"ingest for {learner}", on("ingest", learner=learner)
        yield f"train {learner}", on("train", learner=learner)
    yield "extract", on("extract")
    ids = (trial / "artifacts/collections/test/ids.txt").read_text().split()
    np.save(folder / "theirs.npy", np.random.default_rng(0).normal(size=(len(ids), 5)).astype(np.float32))
    (folder / "theirs.txt").write_text("\n".join(ids) + "\n")
    theirs = (
        folder / "theirs.npy",
        "--name",
        "theirs",
        "--collection",
        "test",
        "--ids",
        folder / "theirs.txt",
    )
    yield "import-features", on("import-features", *theirs)
    yield "classify", on("classify", "--collection", "test")
    yield "index build", on("index build")
    yield "index add", on("index add", "--collection", "test")
    yield "index remove", on("index remove", *(i for i in ids[:3] if i != "unreadable"))
    yield "sync", on("sync", folder / "synced")
    yield "knn", on("knn", "--collection", "test")
    runs = sorted((trial / "artifacts/runs").glob("*.csv"))
    yield "merge", ["merge", *map(str, runs), "--out", str(trial / "merged.csv")]
    yield "ensemble", on("ensemble", *runs, "--out", trial / "joined.csv")
    page = ("--truth", truth, "--images", images, "--out", trial / "page.html")
    yield "report", ["report", *map(str, runs), *map(str, page)]
    pairs = ("--within", 0.5, "--out", trial / "pairs.csv", "--sheet", trial / "pairs.png")
    yield "duplicates", on("duplicates", *pairs)


def _largest_new(before: Path, after: Path) -> int:
    files = (path for path in after.rglob("*") if path.is_file())
    new = (path for path in files if not (before / path.relative_to(after)).exists())
    return max((path.stat().st_size for path in new), default=0)


def refused_in_one_line(ended: Ended, where: str) -> str:
    """Exit code 1 and a sentence, no trace of Python; the sentence."""
    assert ended.code == 1, f"{where}: exit code {ended.code}: {ended.said}"
    lines = [line for line in ended.said.splitlines() if line.startswith("imageclef: ")]
    assert len(lines) == 1, f"{where}: {ended.said}"
    assert "Traceback" not in ended.said, f"{where}: {ended.said}"
    assert not re.match(r"imageclef: \w+: \[Errno", lines[0]), f"{where}: {ended.said}"
    return lines[0]


def _folder_to_sync(folder: Path, images: Path) -> None:
    (folder / "synced").mkdir()
    for path in sorted(images.rglob("*.png"))[:6]:
        shutil.copy(path, folder / "synced" / f"synced-{path.name}")


def content_of(folder: Path) -> dict[str, str]:
    """By name what each file holds; a run is called the same whenever it was written."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        if "tensorboard" in name.parts:
            continue
        plain = STAMP.sub("DATE", name.as_posix())
        digest = _digest_of(path)
        assert found.setdefault(plain, digest) == digest, f"{name}: not what another of its name holds"
    return found


def _digest_of(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".json":
        data = json.dumps(_dateless(json.loads(data)), sort_keys=True).encode()
    if path.suffix == ".html":
        data = STAMP.sub("DATE", data.decode()).encode()
    return hashlib.sha256(data).hexdigest()


def _dateless(value: Any) -> Any:
    """Without dates, and without the digests of TensorBoard's files, whose names are dates."""
    if isinstance(value, Mapping):
        return {
            STAMP.sub("DATE", key): _dateless(item)
            for key, item in value.items()
            if key not in _NOT_COMPARED and not key.startswith("tensorboard/")
        }
    if isinstance(value, list):
        return [_dateless(item) for item in value]
    return STAMP.sub("DATE", value) if isinstance(value, str) else value
