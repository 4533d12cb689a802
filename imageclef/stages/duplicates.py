"""Duplicates: images that are nearly the same, within a collection or across two (leakage)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from imageclef.config import Config
from imageclef.data.sheets import Tile, write_pairs
from imageclef.errors import ImageRefused
from imageclef.images.pool import decode_guarded
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.duplicates import near_duplicates
from imageclef.stages.report import Report, count_of, shown
from imageclef.storage.outputs import output_file, require_writable
from imageclef.workspace import TRAIN, Workspace

_SHEET_SIZE, _SHEET_PAIRS = 160, 40


def duplicates(
    config: Config,
    collection: str = TRAIN,
    against: str | None = None,
    within: float = 0.02,
    out: Path | None = None,
    sheet: Path | None = None,
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Find near-duplicate pairs by the features of the configuration.

    Args:
        config: names the features and, in ``index.metric``, the distance.
        collection: whose images are compared.
        against: another collection to compare them with; by default themselves.
        within: the most that two images may be apart: Euclidean distance, or 1 - cosine similarity.
        out: a CSV file to write, with all pairs.
        sheet: a PNG to write, with the nearest pairs.
        reporter: told about the progress.
        force: whether a file of ours that was changed since may be replaced.

    Raises:
        MissingArtifact: features have not been extracted.
    """
    workspace, report = Workspace(config), Report("duplicates")
    for path in filter(None, (out, sheet)):
        require_writable(path, force=force)
    features = workspace.features(collection, unit=True)
    others = features if against is None else workspace.features(against, unit=True)
    metric = config.index.metric
    with (reporter or Silent()).progress("comparing", len(features), "images") as advance:
        pairs = near_duplicates(
            features.features, None if against is None else others.features, metric, within, progress=advance
        )
    found = [
        (features.ids[left], others.ids[right], float(1 - distance if metric == "cosine" else distance))
        for left, right, distance in zip(
            pairs.left.tolist(), pairs.right.tolist(), pairs.distances.tolist(), strict=True
        )
    ]
    report.read.append(f"{workspace.features_label} of {collection}: {count_of(len(features), 'row')}")
    if out is not None:
        with output_file(out, force=force) as hidden, hidden.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("image", "other", "distance"), *found])
        report.wrote.append(shown(out))
    if sheet is not None:
        _draw(workspace, collection, against or collection, found[:_SHEET_PAIRS], sheet, force)
        report.wrote += [shown(sheet)] if found else []
    report.figures = {
        "pairs": len(found),
        "images_with_a_duplicate": len(
            {pair[0] for pair in found} | ({pair[1] for pair in found} if against is None else set())
        ),
        "within": within,
        "nearest": [{"image": one, "other": other, "distance": far} for one, other, far in found[:20]],
    }
    return report.done()


def _draw(
    workspace: Workspace, left: str, right: str, pairs: list[tuple[str, str, float]], sheet: Path, force: bool
) -> None:
    """The nearest pairs, decoded from their files; without a pair there is nothing to draw."""
    config = workspace.config

    def tile(collection: str, image_id: str, caption: str) -> Tile:
        path = config.collection(collection).images / workspace.store(collection).path_of(image_id)
        try:
            pixels = decode_guarded(path, _SHEET_SIZE, "rgb", config.ingest).pixels
        except ImageRefused as refusal:
            pixels, caption = np.zeros((_SHEET_SIZE, _SHEET_SIZE, 3), np.uint8), str(refusal)
        return Tile(pixels, (image_id, caption))

    if pairs:
        tiles = [(tile(left, one, f"{far:.4f}"), tile(right, other, "")) for one, other, far in pairs]
        with output_file(sheet, force=force) as hidden:
            write_pairs(hidden, tiles)
