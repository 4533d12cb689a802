from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.data.concept_list import (
    read_concept_list,
    read_ids,
    write_concept_list,
)
from imageclef.data.ids import composed, fault_in_id
from imageclef.data.list_lines import open_concept_list
from imageclef.errors import ConfigError, DataError

EXPECTED = {"a1": ("C0000001", "C0000002"), "a2": (), "a3": ("C3",)}
FORMS = {
    "2017": "a1\tC0000001,C0000002\na2\t\na3\tC3\n",
    "2018": "a1\tC0000001;C0000002\na2\t\na3\tC3\n",
    "2022": "ID\tcuis\na1\tC0000001;C0000002\na2\t\na3\tC3\n",
    "2024": "ID,CUIs\na1,C0000001;C0000002\na2,\na3,C3\n",
    "roco": "a1\t\tC0000001\tC0000002\na2\t\na3\t\tC3\n",
}


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("edition", FORMS)
def test_reads_every_form(edition: str, forced: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", FORMS[edition])
    found = read_concept_list(path, edition if forced else None)
    assert found == EXPECTED
    assert list(found) == list(EXPECTED)


@pytest.mark.parametrize("edition", FORMS)
@pytest.mark.parametrize(
    "odd",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.replace("\n", "\r\n", 1),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n \n",
        lambda text: text.replace("a1", " a1 ").replace("C0000002", " C0000002 "),
        lambda text: text.replace("C0000002", "C0000002{0}C0000001{0}C0000002"),
    ],
    ids=["bom", "crlf", "cr", "mixed", "no-final-newline", "blank-end", "spaces", "repeated-concept"],
)
def test_reads_odd_files(edition: str, odd: object, tmp_path: Path) -> None:
    separator = {"2017": ",", "roco": "\t"}.get(edition, ";")
    text = odd(FORMS[edition]).replace("{0}", separator)  # type: ignore[operator]
    assert read_concept_list(write(tmp_path / "list.csv", text)) == EXPECTED


@pytest.mark.parametrize(
    "header", ["ID,CUIs", "id,cuis", "ID,cui_codes", '"ID","CUIs"', "image_id,labels", "Name,UMLS concepts"]
)
def test_knows_other_spellings_of_the_header(header: str, tmp_path: Path) -> None:
    for separator in (",", "\t"):
        text = header.replace(",", separator) + f"\na1{separator}C1;C2\n"
        assert read_concept_list(write(tmp_path / "list.csv", text)) == {"a1": ("C1", "C2")}


def test_reads_quoted_fields(tmp_path: Path) -> None:
    text = 'ID,CUIs\n"a1","C1;C2"\n"a,2",""\n'
    assert read_concept_list(write(tmp_path / "list.csv", text)) == {"a1": ("C1", "C2"), "a,2": ()}


@pytest.mark.parametrize("first", ["img_1", "image_2", "id7", "name-1", "id"])
def test_an_image_with_a_telling_name_is_no_header(first: str, tmp_path: Path) -> None:
    for cell, concepts in (("C1", ("C1",)), ("", ())):
        path = write(tmp_path / "list.csv", f"{first}\t{cell}\nb\tC2\n")
        assert read_concept_list(path) == {first: concepts, "b": ("C2",)}
    if first != "id":
        assert read_ids(write(tmp_path / "ids.txt", f"{first}\nb\n")) == [first, "b"]
    assert read_ids(write(tmp_path / "ids.txt", f"{first}\n")) == [first]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a1\tC1\na2\tC2\na1\tC3\n", r":3: image 'a1' appears twice; expected one line"),
        ("a1\tC1\na2\tC2;X123\n", r":2: 'X123' is not a concept; expected C and digits"),
        ("a1\tC1\na2\tc0000002\n", r":2: 'c0000002' is not a concept"),
        ("a1\tC1\na2\tC1;\n", r":2: '' is not a concept"),
        ("a1\tC1\na2\t;C1\n", r":2: '' is not a concept"),
        ("a1\tC1\na2 C2\n", r":2: no separator after 'a2 C2'; expected ID<TAB>C0000001;C0000002"),
        ("a1 C1\na2 C2\n", r":1: no separator after 'a1 C1'; expected ID<TAB>C0000001;C0000002"),
        ("a1\tC1\na2\tC2\tC3\n", r":2: more than two fields; expected ID<TAB>C0000001;C0000002"),
        ("a1\tC1\n\na2\tC2\n", r":2: blank line; expected an image id first"),
        ("a1\tC1\n\tC2\n", r":2: no image id; expected an image id first"),
        ("X123\tX456\na2\tC2\n", r":1: 'X456' is not a concept"),
        ("a1\tC1,C2\na2\tC1;C2\na3\tC1,C4\n", r":2: 'C1;C2' is not a concept; .* ID<TAB>C0000001,C0000002"),
        ("a1\t\tC1\tC2\na2\tC3\na3\t\tC3\n", r":2: second field is not empty; expected ID<TAB><TAB>C0000001"),
        ("ID,CUIs\na1,C1\na2\n", r":3: no separator after 'a2'; expected ID,C0000001"),
        ("ID,CUIs\na1,C1,C2\n", r":2: more than two fields; expected ID,C0000001"),
        ("ID,CUIs\na1,C1\n\na2,C1\n", r":3: blank line"),
        (b"a1\tC1\na2\xff\tC2\n", r":2: byte 0xff; expected UTF-8 text"),
        ("a1\tC1\n".encode("utf-16"), r":1: byte 0xff; expected UTF-8 text"),
        ("ID;CUIs\r\nT\u00f3rax;C0000001\r\n".encode("cp1252"), r":2: byte 0xf3; .* semicolons .* cp1252"),
        ("", r": empty; expected lines such as ID<TAB>"),
        ("\n \n", r": empty; expected lines such as ID<TAB>"),
    ],
)
def test_refuses_with_file_line_and_what_was_expected(
    text: str | bytes, complaint: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "list.csv", text)
    with pytest.raises(DataError, match=r"list\.csv" + complaint):
        read_concept_list(path)


@pytest.mark.parametrize(
    ("edition", "written", "complaint"),
    [
        ("2018", "2022", r":1: 'cuis' is not a concept"),
        ("2022", "2018", r":1: no header; a list of 2022-2023 begins with ID<TAB>cuis"),
        ("2026", "2018", r":1: no header; a list of 2024-2026 begins with ID,CUIs"),
        ("2018", "2017", r":1: 'C0000001,C0000002' is not a concept"),
        ("2020", "2024", r":1: no separator after 'ID,CUIs'"),
        ("2018", "roco", r":1: more than two fields"),
        ("roco", "2018", r":1: second field is not empty"),
    ],
)
def test_a_named_edition_allows_no_other_form(
    edition: str, written: str, complaint: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "list.csv", FORMS[written])
    with pytest.raises(DataError, match=complaint):
        read_concept_list(path, edition)


def test_refuses_an_unknown_edition_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no edition '2016' of concept lists; expected one of 2017, 2018"):
        read_concept_list(write(tmp_path / "list.csv", FORMS["2018"]), "2016")
    with pytest.raises(DataError, match=r"none\.csv: No such file .*; expected a concept list"):
        read_concept_list(tmp_path / "none.csv")


@pytest.mark.parametrize("edition", FORMS)
def test_ids_of_a_concept_list(edition: str, tmp_path: Path) -> None:
    assert read_ids(write(tmp_path / "list.csv", FORMS[edition])) == list(EXPECTED)


@pytest.mark.parametrize("text", ["b\na 1\nc\n", "\ufeffID\r\nb\r\na 1\r\nc", "b\na 1\nc\n\n"])
def test_ids_of_a_plain_file(text: str, tmp_path: Path) -> None:
    assert read_ids(write(tmp_path / "ids.txt", text)) == ["b", "a 1", "c"]


@pytest.mark.parametrize(
    ("text", "complaint"), [("a\nb\na\n", r":3: image 'a' appears twice"), ("a\n\nb\n", r":2: blank line")]
)
def test_refuses_plain_ids(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        read_ids(write(tmp_path / "ids.txt", text))


names = st.text(st.characters(codec="utf-8"), min_size=1).map(composed)
ids = names.filter(lambda name: not fault_in_id(name))
concept_lists = st.dictionaries(
    ids,
    st.lists(st.integers(0, 10**8).map("C{:07}".format), unique=True, max_size=5).map(tuple),
    min_size=1,
    max_size=6,
)


@given(concept_lists)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, concepts: dict[str, tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    write_concept_list(path, concepts)
    found = read_concept_list(path)
    assert found == concepts
    assert list(found) == list(concepts) == read_ids(path)


@pytest.mark.parametrize(
    ("concepts", "complaint"),
    [
        ({"a\tb": ()}, r"image id 'a\\tb'"),
        ({" a": ()}, "image id ' a'"),
        ({"a": ("X1",)}, "'X1' of image 'a' is not a concept; expected C and digits"),
    ],
)
def test_refuses_to_write(concepts: dict[str, tuple[str, ...]], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=complaint):
        write_concept_list(tmp_path / "list.csv", concepts)


@pytest.mark.parametrize(
    ("name", "form", "images", "concepts"),
    [
        ("ImageCLEFmedical_Caption_2023_concept_detection_valid_labels.csv", "2022-2023", 10437, 40042),
        ("roco-test-radiology-2018-style.csv", "2018-2021", 8179, 71369),
        ("roco-validation-radiology-2018-style.csv", "2018-2021", 8180, 70547),
        ("roco-validation-radiology-cuis.txt", "roco", 8180, 70547),
    ],
)
def test_real_lists(shared: Path, name: str, form: str, images: int, concepts: int) -> None:
    path = shared / "concept-lists" / name
    found = read_concept_list(path)
    assert open_concept_list(path)[0].name == form
    assert (len(found), sum(map(len, found.values()))) == (images, concepts)


def test_both_forms_of_roco_say_the_same(shared: Path) -> None:
    lists = shared / "concept-lists"
    ours = read_concept_list(lists / "roco-validation-radiology-2018-style.csv")
    assert ours == read_concept_list(lists / "roco-validation-radiology-cuis.txt")


@pytest.mark.parametrize(
    "text",
    [
        'ID;CUIs\r\na;"C1;C2"\r\nb;C3\r\nc;\r\n',
        '\ufeffID;CUIs\r\n"a";"C1;C2"\r\n"b";"C3"\r\n"c";""\r\n',
        "ID;CUIs\na;C1,C2\nb;C3\nc;\n",
        'a;"C1;C2"\nb;C3\nc;\n',
    ],
)
def test_columns_between_semicolons_are_read(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "list.csv", text)
    assert read_concept_list(path) == {"a": ("C1", "C2"), "b": ("C3",), "c": ()}
    assert read_ids(path) == ["a", "b", "c"]


def test_concepts_between_unquoted_semicolons_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.csv:2: .*semicolons"):
        read_concept_list(write(tmp_path / "list.csv", "ID;CUIs\na;C1;C2\nb;C3\n"))
    with pytest.raises(DataError, match=r"list\.csv:1: .*semicolons"):
        read_concept_list(write(tmp_path / "list.csv", "ID;CUIs\na;C1\nb;C3\n"), "2024")
