"""Import features: a matrix that others computed becomes a feature set of this workspace."""

from __future__ import annotations

from pathlib import Path

from imageclef.config import Config, checked_name
from imageclef.data.concept_list import read_ids
from imageclef.errors import ArtifactError, ConfigError, DataError, MissingArtifact
from imageclef.features.exchange import Note, copy_rows, read_hdf5, read_npy, read_npy_with_table
from imageclef.features.rows import Rows
from imageclef.progress import Reporter, Silent
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.storage.artifacts import Recipe, building, open_artifact, up_to_date
from imageclef.storage.checksums import file_digest
from imageclef.workspace import Workspace

_HDF5, _NPY = (".h5", ".hdf5"), ".npy"


def import_features(
    config: Config,
    file: Path,
    name: str,
    collection: str,
    ids: Path | None = None,
    id_column: str = "id",
    reporter: Reporter | None = None,
    *,
    force: bool = False,
) -> Report:
    """Copy a feature file into the workspace, where ``features = ["NAME"]`` finds it.

    Args:
        config: the configuration.
        file: HDF5 with /data and /id, or a .npy matrix of floats.
        name: of the feature set.
        collection: whose images the rows are.
        ids: for .npy, which row is which image: a parquet table, a concept list, or a file of ids.
        id_column: of the parquet table.
        reporter: told about the progress.
        force: whether it is made again although it is up to date, or was changed after it was written.

    Raises:
        ConfigError: the name is taken by a learner, or cannot be one.
        DataError: a file cannot be read, or none of its images is of the collection.
        MissingArtifact: the collection has not been ingested.
    """
    workspace, report = Workspace(config), Report("import-features", read=[str(file)])
    path = workspace.features_path(collection, _checked(name))
    _require_free(path, name)
    known = set(workspace.collection(collection).ids)
    named, rows = _read(file, ids, id_column, report.notes.append)
    strange = [image_id for image_id in named if image_id not in known]
    if len(strange) == len(named):
        raise DataError(
            f"{file}: none of its {count_of(len(named), 'image')} is of collection {collection}; "
            f"expected ids such as '{next(iter(sorted(known)), '')}', got '{named[0] if named else ''}'"
        )
    if strange:
        report.notes.append(
            f"{count_of(len(strange), 'row')} of images outside collection {collection}: {name_some(strange)}"
        )
    if missing := sorted(known.difference(named)):
        report.notes.append(f"{count_of(len(missing), 'image')} without features: {name_some(missing)}")
    inputs = {"file": file_digest(file), **({"ids": file_digest(ids)} if ids else {})}
    recipe = Recipe("import-features", {"id_column": id_column}, inputs)
    if not force and up_to_date(path, recipe):
        report.skipped.append(f"{shown(path)}: up to date")
    else:
        bar = (reporter or Silent()).progress(f"importing {name}", len(named), "rows")
        needs = 4 * len(named) * rows.shape[1]
        with building(path, recipe, needs=needs, force=force, file=str(file)) as folder, bar as advance:
            copy_rows(folder, named, rows, advance)
        report.wrote.append(f"{shown(path)}: {count_of(len(named), 'row')} of {rows.shape[1]}")
    return report.done(f"imageclef classify --set features='[\"{name}\"]'")


def _checked(name: str) -> str:
    try:
        return checked_name(name)
    except ValueError as error:
        raise ConfigError(f"feature set '{name}': {error}") from None


def _require_free(path: Path, name: str) -> None:
    try:
        made_by = open_artifact(path, "imageclef import-features").manifest["stage"]
    except (MissingArtifact, ArtifactError):  # what is damaged is made anew
        return
    if made_by == "extract":
        raise ConfigError(f"feature set '{name}' is what a learner extracted; expected another name")


def _read(file: Path, ids: Path | None, id_column: str, note: Note) -> tuple[list[str], Rows]:
    if file.suffix.lower() in _HDF5:
        if ids is not None:
            raise ConfigError(f"{file}: has its own /id; leave out {ids}")
        return read_hdf5(file, note)
    if file.suffix.lower() != _NPY:
        raise DataError(f"{file}: expected a file named .h5, .hdf5 or .npy")
    if ids is None:
        raise ConfigError(f"{file}: says nothing of its images; expected --ids with a table or a list of ids")
    if ids.suffix.lower() == ".parquet":
        return read_npy_with_table([file], [ids], id_column, note)
    return read_npy(file, read_ids(ids), note)
