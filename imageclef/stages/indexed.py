"""What an index of the workspace is made of: which features, and from which file each row came."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from imageclef.config import CollectionSettings
from imageclef.data.annotations import Annotations, ImageKey
from imageclef.data.collection import fingerprint
from imageclef.errors import ArtifactError, MissingArtifact
from imageclef.images.dicom.recognition import file_and_frame
from imageclef.retrieval.index import Index
from imageclef.stages.found import found_images
from imageclef.workspace import TRAIN, Workspace

_FILES, _SOURCES = "files.csv", "sources.json"


@dataclass(frozen=True)
class IndexedFile:
    """A file that was looked at for the index.

    Attributes:
        image_id: of its row.
        folder: where it was found.
        path: relative to the folder, POSIX.
        size: in bytes; -1 where what was indexed may be older than the file.
        changed: time of its last change, in nanoseconds.
        refused: why it has no row; empty if it has one.
    """

    image_id: str
    folder: str
    path: str
    size: int = -1
    changed: int = -1
    refused: str = ""

    def as_now(self) -> IndexedFile:
        """With the size and time that the file has now; unknown where it cannot be looked at."""
        try:
            status = file_and_frame(Path(self.folder) / self.path)[0].stat()
        except OSError:
            return replace(self, size=-1, changed=-1)
        return replace(self, size=status.st_size, changed=status.st_mtime_ns)


def collection_files(workspace: Workspace, name: str, ids: Iterable[str]) -> list[IndexedFile]:
    """The files of images of a collection, as they were when it was ingested.

    A file is taken to be what was ingested if nothing in the folder has changed since.
    """
    settings, store = workspace.config.collection(name), workspace.store(name)
    folder = settings.images
    known = set(store.ids)
    files = [IndexedFile(i, str(folder.resolve()), store.path_of(i) if i in known else "") for i in ids]
    ingested = workspace.artifact("store", name).manifest["inputs"]["images"]
    unchanged = folder.is_dir() and _state(workspace, settings) == ingested
    return [file.as_now() for file in files] if unchanged else files


def _state(workspace: Workspace, settings: CollectionSettings) -> str:
    found = found_images(workspace.config, settings.images, settings.listing)
    return fingerprint(settings.images, found.images)


def keep_files(index: Index, files: Iterable[IndexedFile]) -> None:
    """Write the table of files into an index."""
    text = io.StringIO(newline="")
    names = [field.name for field in fields(IndexedFile)]
    csv.writer(text, lineterminator="\n").writerows([names, *(astuple(file) for file in files)])
    index.attach(_FILES, text.getvalue().encode("utf-8", "surrogateescape"))


def files_of(index: Index) -> dict[str, IndexedFile]:
    """The table of files of an index, by image.

    Raises:
        ArtifactError: it is damaged.
    """
    data = index.attached(_FILES)
    if data is None:
        return {}
    try:
        _, *rows = csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
        files = [
            IndexedFile(image_id, folder, path, int(size), int(changed), refused)
            for image_id, folder, path, size, changed, refused in rows
        ]
    except (ValueError, IndexError, csv.Error) as error:
        raise ArtifactError(
            f"the table of files of the index is damaged ({error}); build the index again"
        ) from None
    return {file.image_id: file for file in files}


def row_keys(workspace: Workspace, index: Index, annotations: Annotations) -> list[ImageKey]:
    """The collection and id of each row, by the folder its file was found in.

    An image from a folder of no collection has the key of a collection without a name. Where several
    collections share a folder, the first of them that annotates the image is taken.
    """
    files, folders = files_of(index), _collections_by_folder(workspace)

    def key_of(image_id: str) -> ImageKey:
        names = folders.get(files[image_id].folder, [""]) if image_id in files else [TRAIN]
        keys = [ImageKey(name, image_id) for name in names]
        return next(
            (key for key in keys if key in annotations.concepts or key in annotations.groups), keys[0]
        )

    return [key_of(image_id) for image_id in index.ids]


def _collections_by_folder(workspace: Workspace) -> dict[str, list[str]]:
    folders: dict[str, list[str]] = {}
    for name in sorted(workspace.config.collections, key=lambda name: name != TRAIN):
        folder = str(workspace.config.collections[name].images.resolve())
        folders.setdefault(folder, []).append(name)
    return folders


def keep_sources(index: Index, sources: dict[str, str]) -> None:
    """Write down which features an index was made of: a digest by collection."""
    index.attach(_SOURCES, json.dumps(sources).encode())


def sources_of(index: Index) -> dict[str, str]:
    """What `keep_sources` wrote."""
    return dict(json.loads(index.attached(_SOURCES) or b"{}"))


def open_index(workspace: Workspace) -> Index:
    """The index of the configuration.

    Raises:
        MissingArtifact: it has not been built; the message names the command.
    """
    try:
        return Index.load(workspace.index_path, str(workspace.device))
    except MissingArtifact:
        raise MissingArtifact(f"{workspace.index_path} is not there; `imageclef index` makes it") from None
