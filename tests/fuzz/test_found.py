"""What fuzzing found, as small as it could be made: each broke a promise of its reader once."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_array

from imageclef.config import load_config
from imageclef.data.concept_list import read_concept_list, read_ids
from imageclef.errors import ArtifactError, ConfigError, DataError, RunRefused
from imageclef.features.exchange import read_npy_with_table
from imageclef.learners.checkpoint import load_tensors, save_tensors
from imageclef.runs import lines
from imageclef.runs.editions import EDITIONS
from imageclef.runs.runfile import read_run
from imageclef.runs.scores import Scores
from tests.fuzz.campaign import replay
from tests.fuzz.target import Case
from tests.fuzz.targets import TARGETS
from tests.fuzz.targets.parts import BESIDE, npy

MANIFEST = {"format": 1, "stage": "", "recipe": "", "settings": {}, "inputs": {}}
FACTS = {"bytes": 6, "sha256": ""}


def manifest(**entries: object) -> bytes:
    return json.dumps({**MANIFEST, "files": {"images.npy": FACTS}, **entries}).encode()


def npy_header(text: bytes, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


def zipped(name: str) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), "ID,CUIs\na1,C1\n", zipfile.ZIP_DEFLATED)
    return packed.getvalue()


FOUND = [
    ("concept-lists", b'ID,CUIs\n"' + b"a" * 140_000 + b'",C1\n', "a field longer than csv reads"),
    ("concept-lists", b"a\tC1\nb\tC2;\x1b[31m\n", "a message that moves the cursor"),
    ("concept-lists", b"a\tC1\n" + b"b" * 600 + b"\n", "a message of a whole file"),
    ("concept-names", b'CUI,name\nC1,"' + b"a" * 140_000 + b'"\n', "a field longer than csv reads"),
    ("concept-names", b"\x0b", "a message of two lines"),
    ("groups", b"ID\x0b,x\n", "a message of two lines"),
    ("run-files", b"a1\tC1\n" + b"\x00" * 300 + b"\tC\n", "a message that grows as it is made printable"),
    (
        "zipped-runs",
        zipped("submission.csv").replace(b"PK\x01\x02\x14\x03", b"PK\x01\x02\xff\x03"),
        "a version",
    ),
    ("zipped-runs", zipped("sub\n.csv"), "a name with a line break"),
    ("zipped-runs", zipped("submission.csv").replace(b"submission.csv", b"submission.cs\xff"), "a name"),
    ("manifests", b"[" * 2000, "deep nesting"),
    ("manifests", manifest().replace(b"recipe", b"x"), "no recipe"),
    ("manifests", manifest(inputs=6), "inputs of another type"),
    ("manifests", manifest(files={"images.npy": {"bytes": 6}}), "no digest"),
    ("manifests", manifest(files={"a" * 300: FACTS}), "a name longer than the system takes"),
    ("manifests", manifest(files={"../store/images.npy": FACTS}), "a file outside the folder"),
    ("manifests", manifest(files={"images.npy/x": FACTS}), "a file for a folder"),
    ("feature-sets", npy_header(b"{f4'," + bytes(59)), "a header that is cut into words and cannot be"),
    (
        "feature-sets",
        npy_header(b"{'cr': '<f4',b'fortran_order': False, 'shape': (3, 4), }\n"),
        "keys of bytes",
    ),
    (
        "feature-sets",
        npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, %d), }\n" % 2**64),
        "a shape beyond all integers",
    ),
    ("feature-sets", npy_header(b"", b"\x03\x00") + b"\x00,", "a header said to be gigabytes long"),
    ("settings", b"a = " + b"[" * 5000, "deep nesting"),
    ("settings", b"seed = " + b"9" * 5000, "a number of 5000 digits"),
    ("settings", b"[index]\nrecall = 0x" + b"f" * 5000, "a number too long to be written"),
    ("settings", b"a." * 20_000 + b"a = 1", "a key of 20,000 parts, which takes gigabytes"),
    ("settings", b"[learner]\n" + b"a." * 199 + b"a = 1", "tables in each other"),
    ("settings", b"\n--set learner.name=[1]", "a learner whose name is a list"),
    ("settings", b"\n--set learner." + b"a." * 5000 + b"a=1", "5000 sections in each other"),
    ("settings", b"\n--set ingest.window='" + b"9" * 40_000 + b"'", "a window that takes the square of time"),
]


@pytest.mark.parametrize(("target", "data", "what"), FOUND, ids=[f"{name}-{what}" for name, _, what in FOUND])
def test_found_once(target: str, data: bytes, what: str, tmp_path: Path) -> None:
    assert not replay(TARGETS[target], data, tmp_path)


def test_a_stray_quotation_mark_swallows_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('ID,CUIs\n"a1,C1\na2,C2\n"a3,C3\n')
    with pytest.raises(DataError, match=r"list\.csv:2: unexpected end of data; expected ID,C0000001"):
        read_concept_list(path)


def test_a_list_of_nothing_but_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("ID,CUIs\n")
    for read in (read_concept_list, read_ids):
        with pytest.raises(DataError, match=r"list\.csv: no image below the header"):
            read(path)


def test_a_line_break_within_quotation_marks_belongs_to_the_id(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_text('ID,CUIs\n"a\nb",C1\n')
    assert read_run(path, EDITIONS["2025"]) == {"a\nb": ("C1",)}


def test_a_zip_that_unpacks_to_much_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MOST_UNZIPPED", 13)
    path = tmp_path / "run.zip"
    path.write_bytes(zipped("submission.csv"))
    with pytest.raises(RunRefused, match=r"run\.zip: 14 bytes unpacked; at most 13 are read"):
        read_run(path, EDITIONS["2026"])


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_damaged_zip_is_refused(method: int, tmp_path: Path) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("submission.csv"), "ID,CUIs\na1,C1;C2\n", method)
    whole, said = packed.getvalue(), set[str]()
    for place in range(len(whole)):
        case = Case(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :], tmp_path)
        TARGETS["zipped-runs"].attempt(case)
        said |= case.behaviours
    assert any(one.startswith("RunRefused at imageclef/runs/lines.py") for one in said)


def test_a_row_without_an_id_is_refused(tmp_path: Path) -> None:
    matrix, table = tmp_path / "a.npy", tmp_path / "a.parquet"
    matrix.write_bytes(npy(np.zeros((3, 2), np.float32)))
    pq.write_table(pa.table({"id": ["a", None, "c"]}), table)
    with pytest.raises(DataError, match=r"a\.parquet: row 1 has no 'id'; expected an id in every row"):
        read_npy_with_table([matrix], [table], "id")


def test_rows_without_numbers_are_refused(tmp_path: Path) -> None:
    matrix, table = tmp_path / "a.npy", tmp_path / "a.parquet"
    matrix.write_bytes(npy(np.zeros((1, 0), np.float32)))
    pq.write_table(pa.table({"id": ["a"]}), table)
    with pytest.raises(DataError, match=r"a\.npy: float32 of shape \(1, 0\); expected floats of shape"):
        read_npy_with_table([matrix], [table], "id")


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("indptr", [0, 1, -(2**53)], "starts that do not rise from 0 to 2"),
        ("indptr", [0, 2**63 - 1, 2], "starts that do not rise from 0 to 2"),
        ("indices", [0, 9], "a column that is none of the 2 concepts"),
        ("indices", [0, 0.5], "indices of float64, not int32"),
        ("ids", list(b"a\na"), "image 'a' appears twice"),
    ],
)
def test_scores_that_would_be_read_outside_of_memory(
    name: str, array: list[float], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.safetensors"
    Scores(["a", "b"], ("C1", "C2"), csr_array(np.eye(2, dtype=np.float32))).write(path)
    tensors, _ = load_tensors(path)
    save_tensors(path, {**tensors, name: torch.tensor(array, dtype=_kind_of(name, array))}, {})
    with pytest.raises(ArtifactError, match=complaint):
        Scores.read(path)


def _kind_of(name: str, array: list[float]) -> torch.dtype:
    if any(isinstance(number, float) for number in array):
        return torch.float64
    return {"indptr": torch.int64, "indices": torch.int32, "ids": torch.uint8}[name]


def test_a_value_brings_no_keys_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "imageclef.toml"
    path.write_text("")
    assert load_config(path, ['device="cpu"\nseed=1']).device == '"cpu"\nseed=1'


def test_a_long_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "imageclef.toml"
    path.write_text("seed = 1\n" + "a." * 201 + "a = 1")
    with pytest.raises(ConfigError, match=r"imageclef\.toml: not TOML: more than 200 dots \(at line 2\)"):
        load_config(path)


def test_parts_of_an_input_are_told_apart() -> None:
    assert BESIDE not in npy(np.zeros((3, 4), np.float32))
