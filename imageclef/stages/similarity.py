"""Similar: the images of the index that are most like an image, as a table and as a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.decoding import decode
from imageclef.data.sheets import Tile, write_contact_sheet
from imageclef.data.store import ImageStore
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, DataError, ImageRefused
from imageclef.features.extract import features_of
from imageclef.progress import Reporter
from imageclef.retrieval.index import Index
from imageclef.retrieval.voting import most_frequent
from imageclef.stages.report import Report, shown
from imageclef.workspace import TRAIN, Workspace

_SHEET_SIZE = 192


def similar(
    config: Config, image: Path, k: int = 10, sheet: Path | None = None, reporter: Reporter | None = None
) -> Report:
    """Search the index of the training collection for the neighbours of an image.

    The concepts of the query are those of its line in a concept list, if it is an image of a collection of
    the configuration; otherwise those that its neighbours vote for. `figures["query"]` says which.

    Args:
        config: the configuration.
        image: an image file, of the collection or not.
        k: number of neighbours.
        sheet: a PNG to write, the query and its neighbours.
        reporter: unused; nothing here takes long.

    Raises:
        DataError: the image cannot be read.
        ConfigError: the index is of other features than the learner's.
        MissingArtifact: the index or the learner is not there.
    """
    workspace, report = Workspace(config), Report("similar", read=[str(image)])
    if workspace.feature_sets != (workspace.extracted_label,):
        raise ConfigError(
            f"features = {list(workspace.feature_sets)}: an image is asked about with the features of the "
            f"learner alone; expected ['{workspace.extracted_label}'], or leave it out"
        )
    index = Index.load(workspace.artifact("index").path)
    train, store = workspace.collection(TRAIN), workspace.store(TRAIN)
    concepts = train.concepts or {}
    distances, rows = index.search(_features(workspace, image), k)
    query = _query(workspace, image, index, rows, concepts)
    report.figures["query"] = query
    report.figures["metric"] = config.index.metric
    report.figures["neighbors"] = [
        _neighbor(rank, index.ids[row], distance, config.index.metric, store, concepts, query["concepts"])
        for rank, (distance, row) in enumerate(zip(distances[0], rows[0], strict=True), start=1)
    ]
    if sheet is not None:
        _draw(image, report.figures, config.collection(TRAIN).images, sheet)
        report.wrote.append(shown(sheet))
    return report.done("" if sheet else f"imageclef similar {image} -k {k} --sheet similar.png")


def _features(workspace: Workspace, image: Path) -> NDArray[np.float32]:
    size = workspace.choice.settings.image_size
    try:
        decoded = decode(image, size, workspace.mode)
    except ImageRefused as refusal:
        raise DataError(f"{image}: {refusal}; expected an image file") from None
    pixels = torch.from_numpy(decoded.pixels).permute(2, 0, 1).expand(3, -1, -1)[None]
    learner = workspace.learner()
    batch = pixels.to(workspace.device)
    return features_of(learner, batch, workspace.config.extract.output, workspace.precision).cpu().numpy()


def _query(
    workspace: Workspace,
    image: Path,
    index: Index,
    rows: NDArray[np.int64],
    concepts: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """The query's own concepts, or its neighbours' vote."""
    for name, settings in workspace.config.collections.items():
        inside = image.resolve().is_relative_to(settings.images.resolve())
        if not inside or not workspace.collection_path(name).is_dir():
            continue
        listed = workspace.collection(name).concepts or {}
        if image.stem in listed:
            return {
                "path": str(image),
                "concepts": list(listed[image.stem]),
                "concepts_from": f"the list of {name}",
            }
    vocabulary = Vocabulary.count(concepts.values())
    labels = vocabulary.labels([concepts.get(image_id, ()) for image_id in index.ids])
    voted = vocabulary.concepts_of(most_frequent(rows, labels, None))[0] if concepts else ()
    return {"path": str(image), "concepts": list(voted), "concepts_from": "the vote of its neighbours"}


def _neighbor(
    rank: int,
    image_id: str,
    distance: float,
    metric: str,
    store: ImageStore,
    concepts: Mapping[str, tuple[str, ...]],
    wanted: list[str],
) -> dict[str, Any]:
    own = concepts.get(image_id, ())
    similarity = {"similarity": float(distance)} if metric == "cosine" else {}
    return {
        "rank": rank,
        "id": image_id,
        "path": store.path_of(image_id),
        "distance": float(1 - distance if metric == "cosine" else distance),
        **similarity,
        "concepts": list(own),
        "shared": [concept for concept in wanted if concept in own],
    }


def _draw(image: Path, figures: dict[str, Any], folder: Path, sheet: Path) -> None:
    """The query and its neighbours at a size that shows something, decoded from their files."""

    def tile(path: Path, *caption: str) -> Tile:
        try:
            pixels = decode(path, _SHEET_SIZE, "rgb").pixels
        except ImageRefused as refusal:
            pixels, caption = np.zeros((_SHEET_SIZE, _SHEET_SIZE, 3), np.uint8), (*caption, str(refusal))
        return Tile(pixels, caption)

    tiles = [
        tile(folder / found["path"], found["id"], f"{found['distance']:.3f}", " ".join(found["shared"]))
        for found in figures["neighbors"]
    ]
    query = tile(image, image.name, "query", " ".join(figures["query"]["concepts"]))
    write_contact_sheet(sheet, query, tiles, columns=5)
