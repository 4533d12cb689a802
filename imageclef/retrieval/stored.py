"""An index in a folder.

    index.json                  names the files below with their digests; the only file that is ever replaced
    rows-000003-0.npy           the rows of a segment, float32 or float16, (n, n_features)
    ids-000003-0.txt            their ids, one a line
    dead-000005.npy             the numbers of rows that were removed, int64
    structure-000003.faiss      what an approximate kind searches
    attached-000005-NAME        what else belongs to the index

The number in a name is the generation that wrote the file. A change writes what is new and then replaces
index.json; files that are still right are not written again. A folder without index.json is not an index.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.features.feature_set import DamagedNpy, open_npy
from imageclef.retrieval.contents import Contents, HeldStructure
from imageclef.retrieval.kinds import Effort
from imageclef.retrieval.manifest import fault_in
from imageclef.retrieval.recall import Recall
from imageclef.retrieval.segments import Segment

ABOUT = "index.json"
FORMAT = 2

_ATTEMPTS = 5


def read(folder: Path) -> Contents:
    """Open an index; rows are memory-mapped, the structure is left for when it is needed.

    Raises:
        MissingArtifact: there is none.
        ArtifactError: a file is missing or does not fit what index.json says of it.
    """
    for _ in range(_ATTEMPTS):
        about = read_about(folder)
        try:
            return _opened(folder, about)
        except ArtifactError:
            # Another process may have put a new generation in its place in the meantime.
            if read_about(folder)["generation"] == about["generation"]:
                raise
    raise ArtifactError(f"{folder}: another process keeps changing this index; try again")


def read_about(folder: Path) -> dict[str, Any]:
    """The manifest of an index.

    Raises:
        MissingArtifact: the folder has none.
        ArtifactError: it is damaged, or of another version of the program.
    """
    path = folder / ABOUT
    try:
        about = json.loads(path.read_bytes())
        if about["format"] != FORMAT:
            raise ArtifactError(f"{path}: format {about['format']}, expected {FORMAT}; build the index again")
        claimed = about.pop("sha256")
    except FileNotFoundError:
        raise MissingArtifact(f"{folder}: no index; expected a folder with {ABOUT}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArtifactError(f"{path}: damaged; expected the JSON of an index") from None
    if claimed != digest_of(about):
        raise ArtifactError(f"{path}: damaged, its content does not fit its digest; build the index again")
    if fault := fault_in(about):
        raise ArtifactError(f"{path}: {fault}; build the index again")
    return dict(about)


def open_rows(path: Path, shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    """Map the rows of a segment.

    Raises:
        ArtifactError: the file is missing, damaged, or holds something else.
    """
    try:
        rows = open_npy(path)
    except (FileNotFoundError, DamagedNpy) as error:
        raise ArtifactError(f"{path}: {error}; expected the rows of an index") from None
    if rows.shape != shape or rows.dtype != np.dtype(dtype):
        raise ArtifactError(f"{path}: {rows.dtype} of shape {rows.shape}; expected {dtype} of shape {shape}")
    return np.asarray(rows)


def read_dead(path: Path, n_rows: int) -> NDArray[np.int64]:
    """Read the numbers of removed rows.

    Raises:
        ArtifactError: the file is missing or damaged, or they are not rising numbers of the rows.
    """
    try:
        dead = np.array(open_npy(path))
    except (FileNotFoundError, DamagedNpy) as error:
        raise ArtifactError(f"{path}: {error}; expected the numbers of removed rows") from None
    rising = dead.ndim == 1 and dead.dtype == np.int64 and bool((dead[1:] > dead[:-1]).all())
    if not rising or (len(dead) and not 0 <= dead[0] <= dead[-1] < n_rows):
        raise ArtifactError(f"{path}: not rising numbers of its {n_rows} rows")
    return dead


def read_lines(path: Path, n: int) -> list[str]:
    """Read n ids, one a line.

    Raises:
        ArtifactError: the file is missing, is not text, or has more or fewer.
    """
    try:
        # Not splitlines(): that also splits at characters which may stand in an id.
        ids = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n") if n else []
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: {error}; expected {n} ids, one a line") from None
    if len(ids) != n:
        raise ArtifactError(f"{path}: {len(ids)} ids; expected {n}")
    return ids


def _opened(folder: Path, about: dict[str, Any]) -> Contents:
    for name, facts in about["files"].items():
        path = folder / name
        size = path.stat().st_size if path.exists() else None
        if size is None:
            raise ArtifactError(f"{path}: missing; build the index again")
        if size != facts["bytes"]:
            raise ArtifactError(f"{path}: {size} bytes; expected {facts['bytes']}; build the index again")
    here, width = str(folder.resolve()), about["n_features"]
    segments = tuple(
        Segment(
            open_rows(folder / one["rows"], (one["n"], width), about["dtype"]),
            read_lines(folder / one["ids"], one["n"]),
            (one["rows"], one["ids"]),
            here,
        )
        for one in about["segments"]
    )
    contents = Contents(
        about["kind"], about["metric"], width, np.dtype(about["dtype"]), about["made_with"], segments
    )
    dead = read_dead(folder / about["dead"], contents.n_rows) if about["dead"] else contents.dead
    held, recall = about["structure"], about["recall"]
    return replace(
        contents,
        dead=dead,
        dead_file=about["dead"],
        structure=held and HeldStructure(about["kind"], held["n_rows"], folder / held["file"]),
        recall=recall and Recall(**{**recall, "effort": Effort(**recall["effort"])}),
        attached={name: folder / file for name, file in about["attached"].items()},
        read_from=(here, about["generation"]),
    )


def digest_of(about: dict[str, Any]) -> str:
    """Of all that a manifest says."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
