"""Similar: the images of the index that are most like one or several images, with what they share."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.annotations import Annotations, ImageKey
from imageclef.data.concept_list import read_ids
from imageclef.data.heat import with_heat
from imageclef.data.ids import composed
from imageclef.data.sheets import Tile, write_contact_sheet
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, ImageRefused
from imageclef.features.regions import Regions
from imageclef.images.pool import decode_guarded
from imageclef.retrieval.filters import Filters, parse_where
from imageclef.retrieval.index import Index
from imageclef.retrieval.questions import Answer, Join, Question, ask
from imageclef.retrieval.voting import most_frequent
from imageclef.stages.encoding import encode, pixels_of
from imageclef.stages.indexed import IndexedFile, files_of, open_index, row_keys
from imageclef.stages.report import Report, shown
from imageclef.storage.outputs import output_file, require_writable
from imageclef.workspace import TRAIN, Workspace

_SHEET_SIZE = 192


def similar(
    config: Config,
    images: Sequence[Path] = (),
    k: int = 10,
    sheet: Path | None = None,
    *,
    ids: Sequence[str] = (),
    join: Join = "mean",
    having: Sequence[str] = (),
    without: Sequence[str] = (),
    where: Sequence[str] = (),
    among: Path | None = None,
    leave_out_same: bool = False,
    out: Path | None = None,
    why: bool = False,
    force: bool = False,
) -> Report:
    """Search the index for the neighbours of images.

    The concepts of a query are those of its line in a concept list, if it is an image of a collection of
    the configuration; otherwise those that its neighbours vote for. `figures["query"]` says which.

    Args:
        config: the configuration.
        images: image files, of the collection or not.
        k: number of neighbours.
        sheet: a PNG to write, the first query and the neighbours.
        ids: images of the index that ask; they are not answered.
        join: of several queries, near their mean, or near any of them.
        having: concepts that every answer has.
        without: concepts that no answer has.
        where: ``column=value`` in the tables of groups.
        among: a file of ids that are searched.
        leave_out_same: whether images that are the same as a query are left out.
        out: a CSV file to write.
        why: whether each answer says which of its regions, and of the first query's, agree: heat maps in
            `figures`, and on the sheet.
        force: whether a file of ours that was changed since may be replaced.

    Raises:
        DataError: an image cannot be read, or a filter names what there is not.
        MissingArtifact: the index or the learner is not there.
        ConfigError: nothing is asked, the index is of other features than the learner's, or `why` is asked of
            a learner whose features have no place in the picture.
    """
    ids = tuple(map(composed, ids))
    workspace, report = Workspace(config), Report("similar", read=[*map(str, images), *ids])
    read = [*images, *([among] if among else [])]
    for path in filter(None, (out, sheet)):
        require_writable(path, read, force)
    index = open_index(workspace)
    index.require(workspace.made_with)
    filters = Filters(
        tuple(having),
        tuple(without),
        tuple(read_ids(among)) if among else None,
        tuple(map(parse_where, where)),
    )
    annotations = workspace.annotations()
    keys = row_keys(workspace, index, annotations)
    concepts = {key.image_id: annotations.concepts[key] for key in keys if key in annotations.concepts}
    metadata = annotations.metadata_of(keys)
    mask = filters.mask(
        index.ids, concepts, None if metadata is None else metadata.set_index(pd.Index(index.ids))
    )
    question = Question(_vectors(workspace, index, images, ids), join, tuple(ids), not leave_out_same)
    answers = ask(index, question, k, mask)
    files = files_of(index)
    query = _query(workspace, images, ids, answers, concepts, annotations)
    report.figures["query"] = query
    report.figures["metric"] = config.index.metric
    report.figures["neighbors"] = [
        _neighbor(answer, config.index.metric, files.get(answer.image_id), concepts, query["concepts"])
        for answer in answers
    ]
    if why:
        _explain(workspace, _first_query(images, ids, files), report.figures["neighbors"], files)
    if len(answers) < k:
        report.notes.append(f"{len(answers)} images pass, fewer than the {k} that were asked for")
    if out is not None:
        with output_file(out, read, force) as hidden:
            _write_table(hidden, report.figures["neighbors"])
        report.wrote.append(shown(out))
    if sheet is not None:
        with output_file(sheet, read, force) as hidden:
            _draw(config, _first_query(images, ids, files), report.figures, files, hidden)
        report.wrote.append(shown(sheet))
    asked = " ".join([*map(str, images), *(f"--id {image_id}" for image_id in ids)])
    return report.done("" if sheet else f"imageclef similar {asked} -k {k} --sheet similar.png")


def _vectors(
    workspace: Workspace, index: Index, images: Sequence[Path], ids: Sequence[str]
) -> NDArray[np.float32]:
    """The features of the queries, (n_queries, n_features)."""
    if not images and not ids:
        raise ConfigError(
            "similar: nothing is asked; expected an image file, or --id with an image of the index"
        )
    rows = [index.vectors(index.rows_of(ids))] if ids else []
    if images:
        rows.append(encode(workspace, images))
    return np.concatenate(rows)


def _query(
    workspace: Workspace,
    images: Sequence[Path],
    ids: Sequence[str],
    answers: Sequence[Answer],
    concepts: Mapping[str, tuple[str, ...]],
    annotations: Annotations,
) -> dict[str, Any]:
    """The queries' own concepts, or their neighbours' vote.

    Args:
        workspace: names the collections that a query file may belong to.
        images: query files.
        ids: queries by their id in the index.
        answers: the neighbours.
        concepts: of the images of the index, by id.
        annotations: of every collection.
    """
    listed = [concepts[image_id] for image_id in ids if image_id in concepts]
    source = "the concept lists" if listed else "the vote of its neighbours"
    for image in images:
        key = _key_of(workspace, image, annotations)
        if key is not None:
            listed.append(annotations.concepts[key])
            source = f"the list of {key.collection}"
    own: Iterable[str] = dict.fromkeys(concept for entry in listed for concept in entry)
    if not listed and concepts and answers:
        vocabulary = Vocabulary.count(concepts.values())
        labels = vocabulary.labels([concepts.get(answer.image_id, ()) for answer in answers])
        own = vocabulary.concepts_of(most_frequent(np.arange(len(answers))[None], labels, None))[0]
    asked = (
        {"path": str(images[0])}
        if len(images) == 1 and not ids
        else {"paths": list(map(str, images)), "ids": list(ids)}
    )
    return {**asked, "concepts": list(own), "concepts_from": source}


def _key_of(workspace: Workspace, image: Path, annotations: Annotations) -> ImageKey | None:
    """The image with concepts that a file is, by the collection in whose folder it lies."""
    for name, settings in workspace.config.collections.items():
        key = ImageKey(name, composed(image.stem))
        if key in annotations.concepts and image.resolve().is_relative_to(settings.images.resolve()):
            return key
    return None


def _neighbor(
    answer: Answer,
    metric: str,
    file: IndexedFile | None,
    concepts: Mapping[str, tuple[str, ...]],
    wanted: Sequence[str],
) -> dict[str, Any]:
    own = concepts.get(answer.image_id, ())
    similarity = {"similarity": answer.distance} if metric == "cosine" else {}
    return {
        "rank": answer.rank,
        "id": answer.image_id,
        "path": file.path if file else "",
        "distance": 1 - answer.distance if metric == "cosine" else answer.distance,
        **similarity,
        "concepts": list(own),
        "shared": [concept for concept in wanted if concept in own],
    }


def _explain(
    workspace: Workspace, query: Path, neighbors: list[dict[str, Any]], files: Mapping[str, IndexedFile]
) -> None:
    """Add to each neighbour where it and the query agree: `regions` of its picture, `query_regions`."""
    if workspace.feature_sets != (workspace.extracted_label,):
        raise ConfigError(
            f"features = {list(workspace.feature_sets)}: regions are those of one learner; leave out --why"
        )
    output = workspace.config.extract.output
    try:
        regions = Regions.of(workspace.learners(), output, lambda _: workspace.store(TRAIN))
    except ConfigError as error:
        raise ConfigError(f"{error}, or leave out --why") from None
    paths = [query, *(_path_of(files, found["id"]) for found in neighbors)]
    asked, *others = (pixels_of(path, *regions.size, workspace.config.ingest) for path in paths)
    of_query, of_neighbors = regions.between(asked, others)
    for found, one, other in zip(neighbors, of_query, of_neighbors, strict=True):
        found["query_regions"], found["regions"] = one.tolist(), other.tolist()


def _path_of(files: Mapping[str, IndexedFile], image_id: str) -> Path:
    file = files.get(image_id)
    return Path(file.folder) / file.path if file else Path(image_id)


def _write_table(path: Path, neighbors: Sequence[Mapping[str, Any]]) -> None:
    """One line for each neighbour; concepts are joined by semicolons."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rank", "id", "path", "distance", "concepts", "shared"])
        for one in neighbors:
            texts = (";".join(one["concepts"]), ";".join(one["shared"]))
            writer.writerow([one["rank"], one["id"], one["path"], one["distance"], *texts])


def _first_query(images: Sequence[Path], ids: Sequence[str], files: Mapping[str, IndexedFile]) -> Path:
    if images:
        return images[0]
    return _path_of(files, ids[0])


def _draw(
    config: Config,
    query: Path,
    figures: Mapping[str, Any],
    files: Mapping[str, IndexedFile],
    sheet: Path,
) -> None:
    """The query and its neighbours at a size that shows something, decoded from their files."""

    def tile(path: Path, *caption: str, heat: list[list[float]] | None = None) -> Tile:
        try:
            pixels = decode_guarded(path, _SHEET_SIZE, "rgb", config.ingest).pixels
            pixels = pixels if heat is None else with_heat(pixels, np.array(heat, np.float32))
        except ImageRefused as refusal:
            pixels, caption = np.zeros((_SHEET_SIZE, _SHEET_SIZE, 3), np.uint8), (*caption, str(refusal))
        return Tile(pixels, caption)

    tiles = [
        tile(
            _path_of(files, found["id"]),
            found["id"],
            f"{found['distance']:.3f}",
            " ".join(found["shared"]),
            heat=found.get("regions"),
        )
        for found in figures["neighbors"]
    ]
    asked = tile(query, query.name, "query", " ".join(figures["query"]["concepts"]))
    write_contact_sheet(sheet, asked, tiles, columns=5)
