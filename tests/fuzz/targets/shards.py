"""Features of others: a .npy shard beside a parquet table."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imageclef.features.exchange import copy_rows, read_npy_with_table, write_parquet
from tests.fuzz.target import Case, Target
from tests.fuzz.targets.parts import BESIDE, npy

_ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
_IDS = ["a1", "\u00e4 2", "a3"]
_MOST_NUMBERS = 1 << 20


def _seeds() -> list[bytes]:
    texts = pa.table({"id": _IDS, "url": ["", None, "x"]})
    numbers = pa.table({"id": pa.array([1, 2, 3]).dictionary_encode()})
    return [
        *(npy(_ROWS) + BESIDE + _parquet(texts, compression) for compression in ("snappy", "zstd", "none")),
        npy(_ROWS.astype(np.float16)) + BESIDE + _parquet(numbers, "none"),
    ]


def _parquet(table: pa.Table, compression: str) -> bytes:
    file = BytesIO()
    pq.write_table(table, file, compression=compression)
    return file.getvalue()


def _attempt(case: Case) -> None:
    matrix, _, table = case.data.partition(BESIDE)
    shard, names = case.file("shard.npy", matrix), case.file("shard.parquet", table)
    found = case.ask(case.folder, read_npy_with_table, [shard], [names], "id")
    if found is None or np.prod(found[1].shape, dtype=float) > _MOST_NUMBERS:
        return
    features = case.ask(("row", str(case.folder)), copy_rows, case.folder / "set", *found)
    if features is not None:
        written = case.folder / "written.parquet"
        write_parquet(written, features.ids, features.features)
        ids = pq.ParquetFile(written).read(columns=["id"]).column("id").to_pylist()
        case.require(ids == features.ids == found[0], "the ids come back")


TARGET = Target(
    "shards",
    _seeds,
    _attempt,
    tokens=(b"PAR1", b"id", BESIDE, b"'<f4'", b"'|O'", b"(3, 4)", b"\x15\x00", b"schema"),
    follows=("imageclef", "numpy.lib"),
)
