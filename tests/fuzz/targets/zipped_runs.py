"""Run files in a zip, as the editions from 2024 on take them."""

from __future__ import annotations

import zipfile
from io import BytesIO

from imageclef.runs.editions import EDITIONS
from tests.fuzz.target import Case, Target
from tests.fuzz.targets.run_files import TABLE, check

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def _seeds() -> list[bytes]:
    return [_zipped(method) for method in _METHODS]


def _zipped(method: int) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("submission.csv"), TABLE, method)
    return packed.getvalue()


def _attempt(case: Case) -> None:
    path = case.file("run.zip")
    for year in ("2018", "2025", "2026"):
        check(case, path, EDITIONS[year])


TARGET = Target(
    "zipped-runs",
    _seeds,
    _attempt,
    tokens=(
        *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"),
        *(b"submission.csv", b"../", b"\x01\x00"),
    ),
    follows=("imageclef", "zipfile"),
)
