"""The image store: every image of a collection decoded once, at one size, in one memory-mapped array.

images.npy    uint8 (n_images, size, size, channels)
ids.txt       row i of the array is line i
images.csv    id, path, width, height: the original of each row; applied: how its values were shown; digest:
              the XXH3-128 of its bytes
refused.csv   id, path, class, reason, digest: what is not in the array
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from imageclef.config import ReadingSettings
from imageclef.data.collection import ImageFile, Refusal
from imageclef.data.ids import read_id_lines, write_id_lines
from imageclef.data.store_writer import StoreWriter
from imageclef.errors import ArtifactError, DataError
from imageclef.images.bulk import cores, decode_all
from imageclef.images.decode import CHANNELS, Mode
from imageclef.images.pool import AS_IT_IS
from imageclef.progress import Advance
from imageclef.storage.artifacts import Artifact
from imageclef.storage.checksums import CheckedArray

if TYPE_CHECKING:  # decoding does without torch, its second of start-up and its 500 MB
    from torch import Tensor

_PIXELS, _IDS, _IMAGES, _REFUSED = "images.npy", "ids.txt", "images.csv", "refused.csv"
FORMAT = 4
"""Of the files below; a store of another is made again."""

_IMAGES_HEADER = ("id", "path", "width", "height", "applied", "digest")
_REFUSED_HEADER = ("id", "path", "class", "reason", "digest")
_AGAIN = "run `imageclef ingest` again"


@dataclass(frozen=True)
class StoreReport:
    """What `build_store` did.

    Attributes:
        n_read: rows of the store.
        refused: everything in ``refused.csv``, by path.
        digests: of the content of each file that was read, by the path of the image.
    """

    n_read: int
    refused: list[Refusal]
    digests: Mapping[str, str]


def build_store(
    folder: Path,
    images: Sequence[ImageFile],
    out: Path,
    size: int,
    mode: Mode,
    workers: int | None = None,
    progress: Advance | None = None,
    refused: Iterable[Refusal] = (),
    reading: ReadingSettings = AS_IT_IS,
) -> StoreReport:
    """Decode a collection into a store; a file that cannot be read is listed and passed over.

    The bytes written do not depend on the number of workers. Memory is bounded by the chunks in flight. Where
    an earlier call for the same images was killed, it goes on where that one stopped.

    Args:
        folder: of the collection.
        images: with paths relative to it; rows keep their order.
        out: an existing folder to write into; it may hold what a call that was killed has done.
        size: side of the stored squares in pixels.
        mode: channels of the stored images.
        workers: processes that decode, by default one for each core.
        progress: told how many files are done.
        refused: found unusable before, to be listed with the rest.
        reading: how files are read, and what one may take.

    Raises:
        DataError: not a single image can be read.
    """
    with StoreWriter(out / _PIXELS, (size, size, CHANNELS[mode]), images) as writer:
        if progress and writer.done:
            progress(writer.done)
        rest = images[writer.done :]
        with closing(decode_all(folder, rest, size, mode, workers or cores(), reading)) as chunks:
            for chunk in chunks:
                writer.add(chunk)
                if progress:
                    progress(len(chunk.originals) + len(chunk.refused))
        writer.finish()
        failed = sorted(chain(refused, writer.refused()), key=lambda refusal: refusal.path)
        if not writer.n_read:
            first = f"; the first is {failed[0].path}: {failed[0]}" if failed else ""
            raise DataError(f"{folder}: none of {len(images)} images can be read{first}")
        write_id_lines(out / _IDS, [original[0] for original in writer.originals()])
        _write_table(out / _IMAGES, _IMAGES_HEADER, writer.originals())
        _write_table(out / _REFUSED, _REFUSED_HEADER, (astuple(refusal) for refusal in failed))
        digests = {original[1]: original[-1] for original in writer.originals()}
        digests |= {refusal.path: refusal.digest for refusal in failed}
        return StoreReport(writer.n_read, failed, digests)


@dataclass(frozen=True)
class ImageStore:
    """A store on disk.

    Attributes:
        folder: where it lies.
        ids: of the rows.
        images: uint8 (n_images, size, size, channels), memory-mapped, read-only; checked as it is read.
        refused: files of the collection that are not in it.
    """

    folder: Path
    ids: list[str]
    images: NDArray[np.uint8] | CheckedArray
    refused: list[Refusal]

    @classmethod
    def open(cls, source: Artifact | Path) -> ImageStore:
        """Open a store that `build_store` wrote.

        Args:
            source: an artifact, whose pixels are checked as they are read; or a folder that is none.

        Raises:
            ArtifactError: a file is missing or damaged, or ids and rows are out of step.
        """
        folder = source if isinstance(source, Path) else source.path
        images = _map_pixels(folder / _PIXELS) if isinstance(source, Path) else source.array(_PIXELS)
        _require_pixels(folder / _PIXELS, images)
        ids = read_id_lines(folder / _IDS)
        if len(ids) != len(images):
            raise ArtifactError(
                f"{folder / _IDS}: {len(ids)} ids for the {len(images)} rows of {_PIXELS}; {_AGAIN}"
            )
        refused = [Refusal(*cells) for cells in _read_table(folder / _REFUSED, _REFUSED_HEADER)]
        return cls(folder, ids, images, refused)

    @property
    def size(self) -> int:
        """Side of an image in pixels."""
        return int(self.images.shape[1])

    @property
    def mode(self) -> Mode:
        """Channels of an image."""
        return "grey" if self.images.shape[3] == 1 else "rgb"

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The rows of these images (n,).

        Raises:
            DataError: one is not in the store.
        """
        try:
            return np.array([self._rows[image_id] for image_id in ids], dtype=np.int64)
        except KeyError as error:
            raise DataError(f"{self.folder}: no image '{error.args[0]}' in the store") from None

    def path_of(self, image_id: str) -> str:
        """POSIX path of an image's file in the folder of its collection.

        Raises:
            DataError: the image is not in the store.
            ArtifactError: the table of files is missing or out of step.
        """
        self.rows_of([image_id])
        return self.files[image_id][0]

    def batch(self, rows: NDArray[np.int64]) -> Tensor:
        """The images of these rows, uint8 (n, 3, h, w), channels last in memory; grey is repeated."""
        import torch

        pixels = torch.from_numpy(np.asarray(self.images[rows]))
        return pixels.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.ids)}

    @cached_property
    def files(self) -> dict[str, tuple[str, str]]:
        """Path and digest of the file of each image.

        Raises:
            ArtifactError: the table of files is missing or out of step.
        """
        table = _read_table(self.folder / _IMAGES, _IMAGES_HEADER)
        files = {cells[0]: (cells[1], cells[5]) for cells in table}
        if list(files) != self.ids:
            raise ArtifactError(f"{self.folder / _IMAGES}: not the images of {_IDS}; {_AGAIN}")
        return files


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _map_pixels(path: Path) -> NDArray[np.uint8]:
    try:
        images: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path}: missing or cut short ({error}); {_AGAIN}") from None
    return images


def _require_pixels(path: Path, images: NDArray[np.uint8] | CheckedArray) -> None:
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise ArtifactError(f"{path}: {images.dtype} {shape}; expected uint8 (n, size, size, 1 or 3)")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); {_AGAIN}") from None


def _read_table(path: Path, header: tuple[str, ...]) -> list[list[str]]:
    table = list(csv.reader(io.StringIO(_read(path))))
    if not table or tuple(table[0]) != header or any(len(cells) != len(header) for cells in table):
        raise ArtifactError(f"{path}: not a table of {', '.join(header)}; {_AGAIN}")
    return table[1:]
