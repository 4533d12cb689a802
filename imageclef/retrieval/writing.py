"""Write an index into a folder, at one instant and no more of it than has changed.

What the files are stands in `imageclef.retrieval.stored`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.retrieval import files
from imageclef.retrieval.contents import Contents, HeldStructure
from imageclef.retrieval.files import Facts, NewFile
from imageclef.retrieval.segments import Segment
from imageclef.retrieval.stored import ABOUT, FORMAT, digest_of, read, read_about

_OURS = (
    *("rows-*.npy", "ids-*.txt", "dead-*.npy", "structure-*.faiss", "attached-*", f".{ABOUT}.partial"),
    *("index.faiss", "ids.txt"),  # of format 1
)
_BLOCK_NUMBERS = 1 << 22


def write(folder: Path, contents: Contents) -> Contents:
    """Put an index in the place of what is in a folder, writing only what is not there.

    Returns:
        The same contents, memory-mapped from the folder.

    Raises:
        ArtifactError: the contents were read from this folder and another process has changed it since.
    """
    here = str(folder.resolve())
    before = _about_or_none(folder)
    origin, generation = contents.read_from or ("", 0)
    if origin == here and (before is None or before["generation"] != generation):
        raise ArtifactError(f"{folder}: another process has changed this index; load it again")
    if before is not None:
        _discard_all_but(folder, set(before["files"]))
    about = _Writing(folder, _next_generation(folder, before), before, contents).all()
    about["sha256"] = digest_of(about)
    files.replace(folder / ABOUT, (json.dumps(about, indent=1) + "\n").encode())
    _discard_all_but(folder, set(about["files"]))
    return replace(read(folder), structure=_moved(contents.structure, folder, about))


class _Writing:
    """One generation of an index, as it is written.

    Attributes:
        files: the facts of every file of it.
    """

    def __init__(
        self, folder: Path, generation: int, before: dict[str, Any] | None, contents: Contents
    ) -> None:
        self.files: dict[str, Facts] = {}
        self._folder = folder
        self._here = str(folder.resolve())
        self._generation = generation
        self._before: dict[str, Facts] = before["files"] if before else {}
        self._contents = contents

    def all(self) -> dict[str, Any]:
        """Write what is not there, and return what index.json has to say."""
        contents = self._contents
        segments = [self._segment(place, segment) for place, segment in enumerate(contents.segments)]
        return {
            "format": FORMAT,
            "generation": self._generation,
            "kind": contents.kind,
            "metric": contents.metric,
            "n_images": contents.n_rows - len(contents.dead),
            "n_features": contents.n_features,
            "dtype": contents.dtype.name,
            "made_with": contents.made_with,
            "segments": segments,
            "dead": self._dead(),
            "structure": self._structure(),
            "recall": None if contents.recall is None else asdict(contents.recall),
            "attached": {name: self._attached(name) for name in contents.attached},
            "files": self.files,
        }

    def _segment(self, place: int, segment: Segment) -> dict[str, Any]:
        if segment.files is not None and segment.folder == self._here:
            rows, ids = map(self._keep, segment.files)
            return {"rows": rows, "ids": ids, "n": len(segment)}
        number = f"{self._generation:06d}-{place}"
        rows, ids = f"rows-{number}.npy", f"ids-{number}.txt"
        self.files[rows] = files.write_array(
            self._folder / rows, segment.rows.shape, self._contents.dtype, _blocks(segment.rows)
        )
        text = "".join(f"{image_id}\n" for image_id in segment.ids)
        self.files[ids] = files.write_bytes(self._folder / ids, text.encode())
        return {"rows": rows, "ids": ids, "n": len(segment)}

    def _dead(self) -> str | None:
        dead, file = self._contents.dead, self._contents.dead_file
        origin, _ = self._contents.read_from or ("", 0)
        if not len(dead):
            return None
        if file is not None and origin == self._here:
            return self._keep(file)
        name = f"dead-{self._generation:06d}.npy"
        self.files[name] = files.write_array(self._folder / name, dead.shape, dead.dtype, [dead])
        return name

    def _structure(self) -> dict[str, Any] | None:
        structure = self._contents.structure
        if structure is None:
            return None
        if structure.path is not None and structure.path.parent.resolve() == Path(self._here):
            return {"file": self._keep(structure.path.name), "n_rows": structure.n_rows}
        name = f"structure-{self._generation:06d}.faiss"
        with NewFile(self._folder / name) as file:
            structure.open().write(file.write)
        self.files[name] = file.facts
        return {"file": name, "n_rows": structure.n_rows}

    def _attached(self, name: str) -> str:
        data = self._contents.attached[name]
        if isinstance(data, Path):
            if data.parent.resolve() == Path(self._here):
                return self._keep(data.name)
            data = data.read_bytes()
        written = f"attached-{self._generation:06d}-{name}"
        self.files[written] = files.write_bytes(self._folder / written, data)
        return written

    def _keep(self, name: str) -> str:
        self.files[name] = self._before[name]
        return name


def _about_or_none(folder: Path) -> dict[str, Any] | None:
    """The manifest that a new index will replace, unless there is none or it is of no use."""
    try:
        return read_about(folder)
    except (MissingArtifact, ArtifactError):
        return None


def _next_generation(folder: Path, before: dict[str, Any] | None) -> int:
    # Above that of any file, too: what a damaged index.json names is not overwritten until it is replaced.
    found = (re.match(r"[a-z]+-(\d+)", path.name) for path in _ours(folder))
    numbers = [int(match[1]) for match in found if match]
    return 1 + max(numbers if before is None else [before["generation"]], default=0)


def _moved(held: HeldStructure | None, folder: Path, about: dict[str, Any]) -> HeldStructure | None:
    """A structure that was just written, still in memory."""
    return held and replace(held, path=folder / about["structure"]["file"])


def _discard_all_but(folder: Path, kept: set[str]) -> None:
    files.discard([path for path in _ours(folder) if path.name not in kept])


def _ours(folder: Path) -> list[Path]:
    return sorted(chain.from_iterable(folder.glob(pattern) for pattern in _OURS))


def _blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, _BLOCK_NUMBERS // max(1, rows.shape[1]))
    return (rows[start : start + step] for start in range(0, len(rows), step))
