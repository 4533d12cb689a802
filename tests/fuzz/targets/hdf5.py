"""Features of others: HDF5, damaged byte by byte, and whole files of another shape, type or layout."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from random import Random

import h5py
import numpy as np

from imageclef.features.exchange import copy_rows, read_hdf5, write_hdf5
from tests.fuzz.target import Case, Target

_ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
_IDS = ["a1", "\u00e4 2", "a3"]
_TEXTS = h5py.string_dtype("utf-8")
_MOST_NUMBERS = 1 << 20

_SHAPES = ((), (0,), (3,), (0, 4), (3, 0), (3, 4), (3, 4, 1))
_HUGE = ((2**40,), (3, 2**40), (2**40, 4))
_TYPES = ("f4", "f8", "i4", "?", "c8", ">f4", "S4", "V3")
_ODD_IDS = ("a1", "", "\n", "x" * 600, "\u2028", "a\tb", "\ufeff")
_NO_TEXTS = (b"a", b"\xff\xfe", b"\xed\xa0\x80")
_NUMBERS = (np.nan, np.inf, 1e308, 0, -1)
_LINKS = (h5py.SoftLink("/data"), h5py.SoftLink("/id"), h5py.ExternalLink("features.h5", "/data"))


def _seeds() -> list[bytes]:
    return [_file(fill) for fill in (_plain, _packed, _growing)]


def _file(fill: Callable[[h5py.File], None]) -> bytes:
    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        fill(file)
    return memory.getvalue()


def _plain(file: h5py.File) -> None:
    file["data"] = _ROWS
    file.create_dataset("id", data=_IDS, dtype=_TEXTS)


def _packed(file: h5py.File) -> None:
    packed = {"chunks": (2, 2), "compression": "gzip", "shuffle": True, "fletcher32": True}
    file.create_dataset("data", data=_ROWS.astype("f8"), **packed)
    file.create_dataset("id", data=["a1", "a2", "a3"], dtype=h5py.string_dtype("ascii", 4))
    file["data"].attrs["learner"] = "aae"


def _growing(file: h5py.File) -> None:
    file.create_dataset("data", data=_ROWS.astype("f2"), maxshape=(None, 4), chunks=(1, 4))
    file.create_dataset("id", data=_IDS, maxshape=(None,), dtype=_TEXTS)


def _attempt(case: Case) -> None:
    path, written = case.file("features.h5"), case.folder / "written.h5"
    found = case.ask(path, read_hdf5, path)
    if found is not None and np.prod(found[1].shape, dtype=float) <= _MOST_NUMBERS:
        features = case.ask(("row", str(case.folder)), copy_rows, case.folder / "set", *found)
        if features is not None:
            write_hdf5(written, features.ids, features.features)
            case.require(read_hdf5(written)[0] == features.ids == found[0], "the ids come back")


def _change(rng: Random, data: bytes) -> bytes:
    """Another file, whole, that is hardly what was meant."""

    def fill(file: h5py.File) -> None:
        for name in rng.sample(("data", "id", "x"), 2):
            _odd(rng, file, name)

    try:
        return _file(fill)
    except (OSError, ValueError, TypeError, RuntimeError):
        return data


def _odd(rng: Random, file: h5py.File, name: str) -> None:
    match rng.randrange(8):
        case 0:
            file.create_group(name)
        case 1:
            file[name] = rng.choice(_LINKS)
        case 2:
            file.create_dataset(name, shape=rng.choice(_SHAPES), dtype=rng.choice(_TYPES))
        case 3:
            file.create_dataset(name, shape=rng.choice(_HUGE), dtype="f4", chunks=True)
        case 4:
            file.create_dataset(name, data=h5py.Empty("f4"))
        case 5:
            file.create_dataset(name, data=[rng.choice(_ODD_IDS) for _ in range(3)], dtype=_TEXTS)
        case 6:
            encoding = rng.choice(("utf-8", "ascii"))
            file.create_dataset(name, data=list(_NO_TEXTS), dtype=h5py.string_dtype(encoding))
        case _:
            file.create_dataset(name, data=np.full((3, 4), rng.choice(_NUMBERS)))


TARGET = Target(
    "hdf5",
    _seeds,
    _attempt,
    tokens=(b"data", b"id", b"\x89HDF\r\n\x1a\n", b"TREE", b"SNOD", b"HEAP", b"GCOL", b"OHDR"),
    change=_change,
)
