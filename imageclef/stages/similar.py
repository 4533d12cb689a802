"""Similar: the indexed images that are most similar to one or several images, with what they share."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.concept_list import read_ids
from imageclef.data.concept_names import read_concept_names
from imageclef.data.ids import composed
from imageclef.errors import ImageRefused
from imageclef.images.pool import decode_guarded
from imageclef.retrieval.filters import Filters, parse_where
from imageclef.retrieval.similar import Hit, Join, Query
from imageclef.retrieval.similar import Similar as Found
from imageclef.similarity import similarity_search
from imageclef.stages.report import Report, command, shown
from imageclef.storage.outputs import output_file, require_writable
from imageclef.workspace import Workspace

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
    concept_names: Path | None = None,
    force: bool = False,
) -> Report:
    """Search the index for the images most similar to others.

    Args:
        config: the configuration.
        images: image files, of a collection or not.
        k: number of hits.
        sheet: a PNG to write, with the first query and the hits.
        ids: indexed images that ask, by id or COLLECTION/ID; they are not among the hits.
        join: how to combine several queries: near their mean, or near any of them.
        having: concepts that every hit has.
        without: concepts that no hit has.
        where: ``column=value`` in the tables of groups.
        among: a file of ids that are searched.
        leave_out_same: whether images that are the same as a query are left out.
        out: a CSV file to write.
        why: whether each hit says in which regions it and the first query agree, as heatmaps in `figures` and
            on the sheet.
        concept_names: a table of concept names, by default that of the configuration.
        force: whether a file of ours that was changed since may be replaced.

    Raises:
        DataError: an image cannot be read, an id is in several collections, or a filter names what there is
            not.
        MissingArtifact: the index or the learner is not there.
        ConfigError: nothing is asked, or the index is of other features than the configured ones.
    """
    ids = tuple(map(composed, ids))
    workspace, report = Workspace(config), Report("similar", read=[*map(str, images), *ids])
    read = [*images, *([among] if among else [])]
    for path in filter(None, (out, sheet)):
        require_writable(path, read, force)
    filters = Filters(
        tuple(having),
        tuple(without),
        tuple(map(parse_where, where)),
        tuple(read_ids(among)) if among else None,
    )
    search = similarity_search(workspace, workspace.index())
    encoder = workspace.encoder() if images else None
    encoded = [encoder.encode(path) for path in images] if encoder else []
    found = search.search(Query(encoded, ids, k, join, filters, leave_out_same, why))
    table = concept_names or config.concept_names
    names = read_concept_names(table, _concepts_in(found)) if table else {}
    report.figures = _figures(found, images, ids, search.index.metric, names)
    if found.explained and not any(hit.regions for hit in found.hits):
        report.notes.append(found.explained)
    if len(found.hits) < k:
        report.notes.append(f"{len(found.hits)} images pass, fewer than the {k} that were asked for")
    if out is not None:
        with output_file(out, read, force) as hidden:
            _write_table(hidden, report.figures["neighbors"])
        report.wrote.append(shown(out))
    if sheet is not None:
        query = images[0] if images else workspace.file_of(search.index.images[search.index.row_of(ids[0])])
        with output_file(sheet, read, force) as hidden:
            _draw(workspace, query, found, names, hidden)
        report.wrote.append(shown(sheet))
    asked: list[str | Path] = [*images, *(part for image_id in ids for part in ("--id", image_id))]
    plain = not (having or without or where or among or leave_out_same or sheet)
    return report.done(command("similar", *asked, "-k", str(k), "--sheet", "similar.png") if plain else "")


def _concepts_in(found: Found) -> set[str]:
    return {*found.concepts, *(concept for hit in found.hits for concept in hit.concepts)}


def _figures(
    found: Found, images: Sequence[Path], ids: Sequence[str], metric: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """The hits as JSON values; `names` are those of the concepts that have one."""
    asked = (
        {"path": str(images[0])}
        if len(images) == 1 and not ids
        else {"paths": list(map(str, images)), "ids": list(ids)}
    )
    query = {**asked, "concepts": list(found.concepts), "concepts_from": found.concepts_from}
    neighbors = [_neighbor(hit) for hit in found.hits]
    named = {"concept_names": dict(sorted(names.items()))} if names else {}
    return {"query": query, "metric": metric, "neighbors": neighbors, **named}


def _neighbor(hit: Hit) -> dict[str, Any]:
    regions = {"query": hit.regions.query, "image": hit.regions.image} if hit.regions else None
    return {
        "rank": hit.rank,
        "id": hit.image.image_id,
        "collection": hit.image.collection,
        "path": hit.image.path,
        "distance": hit.distance,
        **({} if hit.similarity is None else {"similarity": hit.similarity}),
        "concepts": list(hit.concepts),
        "shared": list(hit.shared),
        **({"regions": regions} if regions else {}),
    }


def _write_table(path: Path, neighbors: Sequence[Mapping[str, Any]]) -> None:
    """One line for each hit; concepts are joined by semicolons."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ["rank", "id", "collection", "path", "distance"]
        writer.writerow([*columns, "concepts", "shared"])
        for one in neighbors:
            texts = (";".join(one["concepts"]), ";".join(one["shared"]))
            writer.writerow([*(one[column] for column in columns), *texts])


def _draw(workspace: Workspace, query: Path, found: Found, names: Mapping[str, str], sheet: Path) -> None:
    """Draw the query and its hits, decoded from their files at a size that shows something."""
    from imageclef.data.heat import with_heat
    from imageclef.data.sheets import Tile, write_contact_sheet

    def tile(path: Path, *caption: str, heatmap: list[list[float]] | None = None) -> Tile:
        try:
            pixels = decode_guarded(path, _SHEET_SIZE, "rgb", workspace.config.ingest).pixels
            pixels = pixels if heatmap is None else with_heat(pixels, np.array(heatmap, np.float32))
        except ImageRefused as refusal:
            pixels, caption = _blank(), (*caption, str(refusal))
        return Tile(pixels, caption)

    def said(concepts: Sequence[str]) -> str:
        named = [names.get(concept, concept) for concept in concepts]
        return ", ".join(named) if names else " ".join(named)

    tiles = [
        tile(
            workspace.file_of(hit.image),
            hit.name,
            f"{hit.distance:.3f}",
            said(hit.shared),
            heatmap=hit.regions.image if hit.regions else None,
        )
        for hit in found.hits
    ]
    write_contact_sheet(sheet, tile(query, query.name, "query", said(found.concepts)), tiles, columns=5)


def _blank() -> NDArray[np.uint8]:
    return np.zeros((_SHEET_SIZE, _SHEET_SIZE, 3), np.uint8)
