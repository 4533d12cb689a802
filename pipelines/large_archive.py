"""A large archive with damaged files: is every good one stored, every bad one named, memory flat?

    python pipelines/large_archive.py FOLDER [--files 100000] [--picture memory.png]

FOLDER is made: drawn images of 64 to 128 pixels in six formats, one file in a hundred damaged. Then the
command `imageclef ingest` runs as a user's would, while the memory of all its processes (the proportional
set size, in which a shared page counts once) is looked at five times a second. Ends with an error if a good
file is missing, or a damaged one is not refused by its class. The last line is JSON.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from imageclef.demo.drawn import draw_collection

_DRAWN = 300
_DAMAGED_EVERY = 100
_IN_A_FOLDER = 1000
_INTERVAL = 0.2
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")

Damage = Callable[[Path, bytes], object]


def _half(path: Path, data: bytes) -> None:
    path.with_suffix(".jpg").write_bytes(data[: len(data) // 2])


def _bomb(path: Path, data: bytes) -> None:
    sides = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", sides) + _chunk(b"IDAT", zlib.compress(bytes(1000)))
    path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


DAMAGES: tuple[tuple[str, Damage], ...] = (
    ("truncated", _half),
    ("not an image", lambda path, data: path.with_suffix(".png").write_text("no image")),
    ("not an image", lambda path, data: path.with_suffix(".jpg").touch()),
    ("too large", _bomb),
    ("unreadable", lambda path, data: path.with_suffix(".tif").symlink_to("nowhere.tif")),
    ("unreadable", lambda path, data: os.mkfifo(path.with_suffix(".gif"))),
)
"""The class by which each is to be refused, and what is done."""


def small_pictures(folder: Path) -> dict[str, list[bytes]]:
    """Drawn images at several sizes, as files of each format."""
    drawn = draw_collection(folder, _DRAWN, 1, seed=0)
    random = np.random.default_rng(0)
    files: dict[str, list[bytes]] = {name: [] for name in _FORMATS}
    for path in sorted(drawn.train_images.rglob("*.*")):
        try:
            image = Image.open(path).convert("RGB")
        except OSError:
            continue  # a drawn collection has a few broken files
        small = image.resize(tuple(random.integers(64, 129, 2).tolist()))
        for name in _FORMATS:
            written = io.BytesIO()
            small.save(written, name)
            files[name].append(written.getvalue())
    return files


def make_archive(folder: Path, n: int) -> tuple[set[str], dict[str, str]]:
    """Write the files; the ids of the good ones, and the class of each damaged one."""
    pictures = small_pictures(folder / "drawn")
    good, damaged = set(), {}
    for number in range(n):
        path = folder / "images" / f"{number // _IN_A_FOLDER:03}" / f"{number:06}"
        if number % _IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        name = _FORMATS[number % len(_FORMATS)]
        if number % _DAMAGED_EVERY == _DAMAGED_EVERY - 1:
            kind, damage = DAMAGES[number // _DAMAGED_EVERY % len(DAMAGES)]
            damage(path, pictures["JPEG"][number % len(pictures["JPEG"])])
            damaged[path.name] = kind
        else:
            path.with_suffix(f".{name.lower()}").write_bytes(pictures[name][number % len(pictures[name])])
            good.add(path.name)
    return good, damaged


def processes_of(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from processes_of(int(child))


def memory_of(pid: int) -> float:
    """Megabytes of a process and all that it started."""
    total = 0
    for one in processes_of(pid):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        total += int(rollup.split("\nPss:")[1].split()[0])
    return total / 1024


@dataclass
class Watched:
    """What was seen of a command.

    Attributes:
        times: in seconds.
        memory: in megabytes, at each of them.
        decoding: whether pixels were being written.
        seconds: until it ended.
    """

    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    decoding: list[bool] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def growth(self) -> float:
        """Megabytes from the first tenth of the decoding to its end, by a straight line."""
        during = np.flatnonzero(self.decoding)
        during = during[len(during) // 10 :]
        times, memory = np.array(self.times)[during], np.array(self.memory)[during]
        return float(np.polyfit(times, memory, 1)[0] * (times[-1] - times[0]))


def watched_ingest(folder: Path) -> Watched:
    """Run the command, and watch it."""
    settings = folder / "imageclef.toml"
    settings.write_text(
        'workspace = "artifacts"\nlearner = {name = "pixels"}\n[collections.train]\nimages = "images"\n'
    )
    started, seen = time.perf_counter(), Watched()
    process = subprocess.Popen([sys.executable, "-m", "imageclef", "ingest", "-c", str(settings)])
    while process.poll() is None:
        try:
            memory = memory_of(process.pid)
        except OSError:
            continue  # a process ended while it was looked at
        seen.memory.append(memory)
        seen.times.append(time.perf_counter() - started)
        seen.decoding.append(any(folder.glob("artifacts/stores/.*/images.npy")))
        time.sleep(_INTERVAL)
    if process.returncode:
        sys.exit(f"imageclef ingest ended with {process.returncode}")
    seen.seconds = time.perf_counter() - started
    return seen


def check(folder: Path, good: set[str], damaged: dict[str, str]) -> Counter[str]:
    """Hold the store against what was made; the number of files refused by each class."""
    (store,) = (folder / "artifacts" / "stores").iterdir()
    stored = set((store / "ids.txt").read_text().split())
    with (store / "refused.csv").open(newline="") as file:
        refused = {row["id"]: row["class"] for row in csv.DictReader(file)}
    if stored != good:
        sys.exit(f"{len(good - stored)} good files are missing, {len(stored - good)} are too many")
    if refused != damaged:
        wrong = {key for key in refused.keys() | damaged.keys() if refused.get(key) != damaged.get(key)}
        first = min(wrong)
        sys.exit(f"{len(wrong)} are not refused as they should be: {first}: {refused.get(first)}")
    return Counter(refused.values())


def draw(path: Path, seen: Watched, n: int) -> None:
    """Memory over time."""
    mpl.use("svg" if path.suffix == ".svg" else "agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    axes.plot(seen.times, seen.memory, color="#1f6f8b")
    first = seen.times[seen.decoding.index(True)]
    axes.axvline(first, color="#888", linewidth=1)
    axes.text(first, 20, " files are decoded", color="#555", fontsize=9)
    axes.set(xlabel="seconds", ylabel="MB, all processes", ylim=(0, 1.15 * max(seen.memory)))
    axes.set_title(f"imageclef ingest, {n:,} small files, 1 % damaged", loc="left", fontsize=10)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Make, ingest, check, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="made; must not be there")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--picture", type=Path, help="a PNG or SVG of memory over time")
    given = parser.parse_args()
    good, damaged = make_archive(given.folder, given.files)
    seen = watched_ingest(given.folder)
    refused = check(given.folder, good, damaged)
    if given.picture:
        draw(given.picture, seen, given.files)
    result = {
        "files": given.files,
        "stored": len(good),
        "refused": dict(refused),
        "seconds": round(seen.seconds, 1),
        "peak_mb": round(max(seen.memory)),
        "growth_while_decoding_mb": round(seen.growth, 1),
    }
    for key, value in result.items():
        print(f"{key:24} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
