"""The files that a collection was decoded from: a cache of what each held when it had some size and time.

A collection is identified by the content of its files. So that nothing has to be read to find it unchanged,
the size and the time of change of each file are kept beside the digest of its content. A file that was
touched, copied or moved is read again, found to be the same, and not decoded again. The cache may be deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imageclef.data.collection import ImageFile
from imageclef.images.dicom.recognition import file_and_frame
from imageclef.images.digests import Digests
from imageclef.progress import Advance
from imageclef.storage.sealed import BrokenSeal, read_sealed, write_sealed

_READERS = 4
"""Threads that read files at once; a disk answers several sooner than one after the other."""


@dataclass(frozen=True)
class Source:
    """A file when it was read.

    Attributes:
        size: in bytes; -1 where it cannot be looked at.
        changed: time of change, in nanoseconds.
        digest: XXH3-128 of its bytes, in hexadecimal; empty where they cannot be read, or were not yet.
    """

    size: int
    changed: int
    digest: str = ""


def file_of(path: str) -> str:
    """The file that an image's path names, without the frame."""
    return file_and_frame(Path(path))[0].as_posix()


def look_at(folder: Path, images: Iterable[ImageFile]) -> dict[str, Source]:
    """Size and time of change of each file, by its POSIX path in the folder; nothing is read."""
    found = {}
    for path in dict.fromkeys(file_of(image.path) for image in images):
        try:
            status = (folder / path).stat()
            found[path] = Source(status.st_size, status.st_mtime_ns)
        except OSError:
            found[path] = Source(-1, 0)
    return found


def with_digests(
    folder: Path, now: Mapping[str, Source], known: Mapping[str, Source], advance: Advance
) -> dict[str, Source]:
    """Find the digest of each file: from the cache where size and time are the same, else by reading it."""
    stale = [path for path, source in now.items() if not _is_same(known.get(path), source)]
    advance(len(now) - len(stale))
    digests = {path: known[path].digest for path in now.keys() - set(stale)}

    def read(path: str) -> tuple[str, str]:
        return path, Digests().of(folder / path)

    with ThreadPoolExecutor(_READERS) as readers:
        for path, digest in readers.map(read, stale):
            digests[path] = digest
            advance(1)
    return {path: Source(source.size, source.changed, digests[path]) for path, source in now.items()}


def content_of(images: Sequence[ImageFile], sources: Mapping[str, Source]) -> str:
    """A sha256 in hexadecimal of the ids, paths and contents of a collection's images."""
    digest = hashlib.sha256()
    for image in images:
        content = sources[file_of(image.path)].digest
        digest.update(f"{image.image_id}\0{image.path}\0{content}\n".encode())
    return digest.hexdigest()


def state_of(images: Sequence[ImageFile], sources: Mapping[str, Source]) -> str:
    """A sha256 in hexadecimal of the ids, paths, sizes and times: it costs no reading."""
    digest = hashlib.sha256()
    for image in images:
        source = sources[file_of(image.path)]
        digest.update(f"{image.image_id}\0{image.path}\0{source.size}\0{source.changed}\n".encode())
    return digest.hexdigest()


def read_sources(cache: Path) -> dict[str, Source]:
    """Read the cache; an absent or damaged one is empty."""
    try:
        files = read_sealed(cache, compact=True)["files"]
        return {
            path: Source(int(size), int(changed), str(digest))
            for path, (size, changed, digest) in files.items()
        }
    except (OSError, BrokenSeal, KeyError, TypeError, ValueError, AttributeError):
        return {}


def write_sources(cache: Path, sources: Mapping[str, Source]) -> None:
    """Write the cache; where the disk does not take it, or a file of others stands there, there is none."""
    try:
        if cache.exists():
            read_sealed(cache, compact=True)
        cache.parent.mkdir(parents=True, exist_ok=True)
        files = {path: [one.size, one.changed, one.digest] for path, one in sources.items()}
        write_sealed(cache, {"files": files}, compact=True)
    except (OSError, BrokenSeal):
        return


def _is_same(known: Source | None, now: Source) -> bool:
    if known is None or not known.digest:
        return False
    return (known.size, known.changed) == (now.size, now.changed)
