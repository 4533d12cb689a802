from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageclef.data.ids import (
    check_ids,
    composed,
    fault_in_id,
    fault_in_text,
    first_fault,
    printable,
    read_id_lines,
    write_id_lines,
)
from imageclef.errors import ArtifactError, DataError

anything = st.text(max_size=12)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a b/ä,\"'.png", ""),
        ("a\nb", "its name holds a control character or a line break"),
        ("a\u2028b", "its name holds a control character or a line break"),
        ("a\udcffb", "its name is not UTF-8 text"),
    ],
)
def test_texts_that_a_line_cannot_hold(path: str, reason: str) -> None:
    assert fault_in_text(path) == reason
    assert printable(path).encode().decode() == path.replace("\udcff", "\\udcff")


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        " a",
        "a\u00a0",
        "\ufeffa",
        'a"b',
        *(f"a{sign}b" for sign in "\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"),
    ],
)
def test_names_that_cannot_be_ids(image_id: str) -> None:
    assert fault_in_id(image_id)
    assert first_fault(["a", image_id]) == (2, f"{image_id!r} cannot be an image id: {fault_in_id(image_id)}")


@pytest.mark.parametrize("image_id", ["a b", "Tórax", "a;b", "a,b", "a|b", "1.2", "a\ufeffb", "漢字", "'"])
def test_names_that_can_be_ids(image_id: str) -> None:
    assert fault_in_id(image_id) == ""


@pytest.mark.parametrize("separator", [",", "|", "\t"])
def test_an_id_cannot_hold_what_ends_it(separator: str) -> None:
    assert fault_in_id(f"a{separator}b", separator)
    assert fault_in_id("a;b", separator) == ""


def test_ids_are_composed() -> None:
    assert composed("To\u0301rax") == "T\u00f3rax"
    assert composed("plain") == "plain"


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        (["a", "b"], r"f: 2 ids; expected 3"),
        (["a", "b", "a"], r"f: row 2: image 'a'"),
        (["", "b", "a"], r"f: row 0"),
    ],
)
def test_there_is_one_id_for_each_row(ids: list[str], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        check_ids("f", ids, 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(anything))
def test_what_is_written_is_read_back_or_refused(tmp_path: Path, ids: list[str]) -> None:
    path = tmp_path / "ids.txt"
    try:
        write_id_lines(path, ids)
    except DataError:
        assert first_fault(ids) is not None
    else:
        assert read_id_lines(path) == ids


def test_damaged_files_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    for text, place in (
        (b"a\nb\na\n", r"ids.txt:3: "),
        (b"a\n\nb\n", r"ids.txt:2: "),
        (b"\xff\n", r"not UTF-8"),
    ):
        path.write_bytes(text)
        with pytest.raises(ArtifactError, match=place):
            read_id_lines(path)
    with pytest.raises(ArtifactError, match="No such file"):
        read_id_lines(tmp_path / "none")


@given(anything)
def test_composing_twice_is_composing_once(text: str) -> None:
    assert composed(composed(text)) == composed(text) == unicodedata.normalize("NFC", text)
