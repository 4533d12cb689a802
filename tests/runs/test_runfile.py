from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.data.ids import composed, fault_in_id
from imageclef.errors import DataError, RunRefused
from imageclef.runs.editions import EDITIONS, Edition
from imageclef.runs.runfile import (
    check_run,
    knn_run_name,
    merged_run_name,
    read_run,
    run_name,
    write_run,
    write_submission_zip,
)

RUN = {"b": ("C0000002", "C0000001"), "a": (), "c": ("C3",)}
editions = pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)


@pytest.mark.parametrize(
    ("year", "text"),
    [
        ("2017", "b\tC0000002,C0000001\na\t\nc\tC3\n"),
        ("2018", "b\tC0000002;C0000001\na\t\nc\tC3\n"),
        ("2020", "b\tC0000002;C0000001\na\t\nc\tC3\n"),
        ("2021", "b|C0000002;C0000001\na|\nc|C3\n"),
        ("2023", "b|C0000002;C0000001\na|\nc|C3\n"),
        ("2025", "ID,CUIs\nb,C0000002;C0000001\na,\nc,C3\n"),
        ("2026", "ID,CUIs\nb,C0000002;C0000001\na,\nc,C3\n"),
    ],
)
def test_bytes_of_a_run(year: str, text: str, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "run.csv", RUN, EDITIONS[year])
    assert (tmp_path / "runs" / "run.csv").read_bytes() == text.encode()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["run.csv"]


names = st.text(st.characters(codec="utf-8"), min_size=1).map(composed)
ids = names.filter(
    lambda name: not any(fault_in_id(name, edition.separator) for edition in EDITIONS.values())
)
runs = st.dictionaries(
    ids,
    st.lists(st.integers(0, 10**8).map("C{:07}".format), unique=True, max_size=5).map(tuple),
    min_size=1,
)


@editions
@given(run=runs)
def test_what_is_written_is_accepted_and_read(
    tmp_path_factory: pytest.TempPathFactory, edition: Edition, run: dict[str, tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    write_run(path, run, edition)
    check_run(path, list(run), edition)
    assert read_run(path, edition) == run


LIMITS = {
    "2017": 1286,
    "2018": 1286,
    "2019": 150,
    "2020": 150,
    **dict.fromkeys(map(str, range(2021, 2027)), 100),
}


@editions
def test_exactly_the_limit_is_accepted(edition: Edition, tmp_path: Path) -> None:
    path, most = tmp_path / "run.csv", LIMITS[edition.name]
    write_run(path, {"a": tuple(f"C{i}" for i in range(most))}, edition)
    check_run(path, ["a"], edition)
    path.write_text(path.read_text().replace("C0", f"C0{edition.concept_separator}C{most}", 1))
    with pytest.raises(RunRefused, match=rf"{most + 1} concepts; {edition.name} allows {most}"):
        check_run(path, ["a"], edition)


def test_a_run_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.csv"
    path.write_text("the run before")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("imageclef.storage.disk.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_run(path, RUN, EDITIONS["2018"])
    assert path.read_text() == "the run before"


@editions
def test_a_repeated_concept_is_written_once(edition: Edition, tmp_path: Path) -> None:
    write_run(tmp_path / "run.csv", {"a": ("C2", "C1", "C2")}, edition)
    assert read_run(tmp_path / "run.csv", edition) == {"a": ("C2", "C1")}


@editions
@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        ({"a{0}b": ()}, "image id .* cannot stand in a run of"),
        ({"a\nb": ()}, "image id .* cannot stand in a run of"),
        ({"": ()}, "image id '' cannot stand in a run of"),
        ({"a": ("",)}, "'' of image 'a' is not C and digits"),
        ({"a": ("C1;C2",)}, "'C1;C2' of image 'a' is not C and digits"),
        ({"a": tuple(f"C{i}" for i in range(1287))}, "image 'a' has 1287 concepts; edition .* allows"),
    ],
)
def test_refuses_to_write_what_would_be_refused(
    edition: Edition, run: dict[str, tuple[str, ...]], complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.csv"
    path.write_text("the run before")
    with pytest.raises(DataError, match=complaint):
        write_run(path, {key.format(edition.separator): run[key] for key in run}, edition)
    assert path.read_text() == "the run before"


def test_a_run_in_hand_has_no_empty_concepts(tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text("a\t;C1; C2 ;C2\nb\nc\t\n")
    assert read_run(tmp_path / "run.csv", EDITIONS["2018"]) == {"a": ("C1", "C2"), "b": (), "c": ()}


@pytest.mark.parametrize(
    ("year", "text", "complaint"),
    [
        ("2018", "a\nb\tC1\n", r":1: no separator after 'a'"),
        ("2018", "a\tC1\nb\tC1\tC2\n", r":2: 3 columns; expected ID<TAB>C0000001;C0000002"),
        ("2018", "a\tC1\n \nb\tC1\n", r":2: blank line"),
        ("2018", "a\tC1\nb\tC1\n\n", r":3: blank line"),
        ("2018", "a\tC1\na\tC1\n", r":2: image 'a' appears twice"),
        ("2018", "a\tC1;C2;C1\nb\t\n", r":1: concept 'C1' appears twice"),
        ("2018", "a\tC1;;C2;\nb\t\n", r":1: concept '' appears twice"),
        ("2018", "a\tC1\nB\tC1\n", r":2: image 'B' is not among the 2 of the test part"),
        ("2018", "a\tC1\n", r": 1 of 2 images are missing; the first is 'b'"),
        ("2018", b"a\tC1\nb\t\xe4\n", r":2: byte 0xe4; expected UTF-8 text"),
        ("2022", "a|" + ";".join(f"C{i}" for i in range(101)), r":1: 101 concepts; 2022 allows 100"),
        ("2022", "a|C1|C2\nb|\n", r":1: 3 columns; expected ID|C0000001;C0000002"),
        ("2022", "\ufeffa|C1\nb|\n", r":1: a byte-order mark; expected UTF-8 without one"),
        ("2025", "ID,CUIs\na,C1,C2\nb,\n", r":2: 3 columns; expected ID,C0000001;C0000002"),
        ("2026", "a,C1\nb,\n", r":1: header 'a,C1'; expected exactly 'ID,CUIs'"),
        ("2026", "ID,CUIs,x\na,C1\nb,\n", r":1: header 'ID,CUIs,x'; expected exactly"),
        ("2026", "", r":1: header ''; expected exactly"),
        ("2026", "ID,CUIs\nb,C1\na,\n", r":2: image 'b'; expected 'a' \(the truth's order\)"),
        ("2026", "ID,CUIs\na, C1\nb,\n", r":2: white space at the edge of a column"),
        ("2026", "ID,CUIs\n a,C1\nb,\n", r":2: white space at the edge of a column"),
        ("2026", "ID,CUIs\na,C1;X2\nb,\n", r":2: 'X2' is not a concept"),
        ("2026", "ID,CUIs\na,C1;\nb,\n", r":2: '' is not a concept"),
        ("2026", "ID,CUIs\na,C1\nb\n", r":3: no separator after 'b'"),
    ],
)
def test_refuses(year: str, text: str | bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunRefused, match=r"run\.csv" + complaint.replace("|", r"\|")):
        check_run(path, ["a", "b"], EDITIONS[year])


@pytest.mark.parametrize(
    ("year", "text"),
    [
        ("2018", "b\t\r\na"),
        ("2018", "a\tC1; C1;\nb\tanything"),
        ("2022", "a\nb|c1;C1"),
        ("2025", "b,C1\na\n"),
        ("2025", "ID,Concepts\na, X1 \nb,\n"),
        ("2026", "ID,CUIs\ra,C1; C2\rb,"),
    ],
)
def test_accepts_what_the_organisers_accept(year: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_bytes(text.encode())
    check_run(tmp_path / "run.csv", ["a", "b"], EDITIONS[year])


def test_no_such_run(tmp_path: Path) -> None:
    for name in ("run.csv", "run.zip"):
        with pytest.raises(DataError, match=rf"{name}: No such file .*; expected a run file"):
            check_run(tmp_path / name, ["a"], EDITIONS["2026"])


def test_a_zip_holds_the_run_and_nothing_else(tmp_path: Path) -> None:
    edition = EDITIONS["2026"]
    write_run(tmp_path / "aae.csv", RUN, edition)
    write_submission_zip(tmp_path / "aae.csv", tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.namelist() == ["submission.csv"]
        assert archive.getinfo("submission.csv").date_time == (1980, 1, 1, 0, 0, 0)
        assert archive.read("submission.csv") == (tmp_path / "aae.csv").read_bytes()
    check_run(tmp_path / "one.zip", list(RUN), edition)
    assert read_run(tmp_path / "one.zip", EDITIONS["2025"]) == RUN
    with pytest.raises(RunRefused, match=r"one\.zip:2: image 'b'; expected 'a'"):
        check_run(tmp_path / "one.zip", sorted(RUN), edition)
    with pytest.raises(RunRefused, match=r"one\.zip: a zip; edition 2018 takes the plain file"):
        check_run(tmp_path / "one.zip", list(RUN), EDITIONS["2018"])


def test_refuses_a_zip_with_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    for names in (["run.csv"], ["submission.csv", "notes.txt"], ["runs/submission.csv"], []):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, "ID,CUIs\na,C1\n")
        with pytest.raises(RunRefused, match=r"run\.zip: holds .*; expected only submission\.csv"):
            check_run(path, ["a"], EDITIONS["2026"])
    path.write_text("ID,CUIs\na,C1\n")
    with pytest.raises(RunRefused, match=r"run\.zip: cannot be unpacked: File is not a zip file"):
        check_run(path, ["a"], EDITIONS["2026"])


def test_zips_only_a_run_of_the_new_form(tmp_path: Path) -> None:
    write_run(tmp_path / "run.csv", RUN, EDITIONS["2018"])
    with pytest.raises(RunRefused, match=r"run\.csv:1: header 'b\tC0000002;C0000001'; expected exactly"):
        write_submission_zip(tmp_path / "run.csv", tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_names_of_2018() -> None:
    when = datetime(2018, 4, 30, 12, 17, 59, tzinfo=UTC)
    assert run_name("aae", 500, 0, when) == "aae-500-o0-2018-04-30_1217"
    assert run_name("aae", "all", 2000, when) == "aae-all-o2000-2018-04-30_1217"
    assert merged_run_name("aae", 2500, when) == "aae-2500-merge-2018-04-30_1217"
    assert knn_run_name("aae", "l2", "all", when) == "knn-aae-all-2018-04-30_1217"
    assert knn_run_name("aae", "cosine", "train", when) == "knn-ip-aae-train-2018-04-30_1217"
    lisbon = when.astimezone(timezone(timedelta(hours=1)))
    assert run_name("aae", 500, 0, lisbon) == "aae-500-o0-2018-04-30_1217"
