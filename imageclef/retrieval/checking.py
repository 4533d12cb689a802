"""Whether an index on disk is whole, and what is in it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from imageclef.errors import ArtifactError
from imageclef.retrieval.faiss_index import Structure
from imageclef.retrieval.stored import digest_of, open_rows, read_about, read_dead, read_lines
from imageclef.storage.checksums import file_digest


def info(folder: Path) -> dict[str, Any]:
    """What an index is: its kind, metric, sizes, features, recall and digest, as JSON values.

    The digest changes with every change; a reader that holds an index compares it to know when to load again.

    Raises:
        MissingArtifact: there is none.
        ArtifactError: its manifest is damaged.
    """
    about = read_about(folder)
    stored = sum(one["n"] for one in about["segments"])
    shown = ("kind", "metric", "n_images", "n_features", "dtype", "made_with", "recall", "generation")
    return {
        **{key: about[key] for key in shown},
        "segments": len(about["segments"]),
        "removed": stored - about["n_images"],
        "bytes": sum(facts["bytes"] for facts in about["files"].values()),
        "digest": digest_of(about),
    }


def check(folder: Path) -> list[str]:
    """Read every byte of an index, and compare it with what its manifest says.

    Returns:
        What is wrong, one line each; nothing if the index is whole. Files that the manifest does not name
        do no harm and are not told: a change that was killed leaves some, the next change deletes them.

    Raises:
        MissingArtifact: there is no index.
    """
    try:
        about = read_about(folder)
    except ArtifactError as error:
        return [str(error)]
    damaged = _damaged(folder, about)
    # What is damaged is not looked into: one fault, one line.
    return list(damaged.values()) or _misfits(folder, about)


def _damaged(folder: Path, about: dict[str, Any]) -> dict[str, str]:
    """Files that are not as they were written, and why."""
    found: dict[str, str] = {}
    for name, facts in about["files"].items():
        path = folder / name
        if not path.is_file():
            found[name] = f"{path}: missing; build the index again"
        elif path.stat().st_size != facts["bytes"]:
            found[name] = f"{path}: {path.stat().st_size} bytes; expected {facts['bytes']}"
        elif file_digest(path) != facts["sha256"]:
            found[name] = f"{path}: its bytes are not those that were written; build the index again"
    return found


def _misfits(folder: Path, about: dict[str, Any]) -> list[str]:
    """What does not fit each other, though every file is as it was written."""
    wrong: list[str] = []
    ids: list[str] = []
    for segment in about["segments"]:
        try:
            open_rows(folder / segment["rows"], (segment["n"], about["n_features"]), about["dtype"])
            ids += read_lines(folder / segment["ids"], segment["n"])
        except ArtifactError as error:
            wrong.append(str(error))
    if wrong:
        return wrong
    try:
        dead = read_dead(folder / about["dead"], len(ids)).tolist() if about["dead"] else []
    except ArtifactError as error:
        return [str(error)]
    live = set(range(len(ids))).difference(dead)
    if len(live) != about["n_images"]:
        wrong.append(f"{folder}: {len(live)} images; expected {about['n_images']}")
    wrong += [
        f"{folder}: image '{image_id}' has {count} rows; expected one"
        for image_id, count in Counter(ids[row] for row in live).items()
        if count > 1
    ]
    return wrong + _structure_misfits(folder, about, len(ids))


def _structure_misfits(folder: Path, about: dict[str, Any], n_rows: int) -> list[str]:
    told = about["structure"]
    if told is None:
        return []
    path = folder / told["file"]
    try:
        structure = Structure.read(about["kind"], path)
    except ArtifactError as error:
        return [str(error)]
    if len(structure) != told["n_rows"] or len(structure) > n_rows:
        return [f"{path}: {len(structure)} rows; expected {told['n_rows']} of the {n_rows} of the index"]
    return []
