from __future__ import annotations

from pathlib import Path

import pytest

from imageclef.data.concept_names import read_concept_names
from imageclef.errors import DataError

EXPECTED = {"C1": "Lung, left", "C2": "Heart"}


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "concept\tconcept_name\nC1\tLung, left\nC2\tHeart\nC2\tCor\n",
        'concept,concept_name\nC1,"Lung, left"\nC2,Heart\n',
        "CUI,Canonical name\r\nC1,Lung, left\r\nC2,Heart\r\n",
        "Canonical Name;CUI\nLung, left;C1\nHeart;C2\n",
        "\ufeffNAME\tsource\tConcept_ID\nLung, left\tx\tC1\nHeart\ty\tC2\n\n",
        "C1\tLung, left\nC2\tHeart\n",
        "C1,Lung, left\nC2,Heart",
    ],
)
def test_tables_of_the_task(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "names.csv", text)
    assert read_concept_names(path) == EXPECTED
    assert read_concept_names(path, {"C2", "C9"}) == {"C2": "Heart"}


def test_a_concept_without_a_name_has_none(tmp_path: Path) -> None:
    assert read_concept_names(write(tmp_path / "names.csv", "CUI,name\nC1,\nC2,Heart\n")) == {"C2": "Heart"}


def rrf(
    cui: str, name: str, lat: str = "ENG", ts: str = "P", stt: str = "PF", pref: str = "Y", sup: str = "N"
) -> str:
    return f"{cui}|{lat}|{ts}|L1|{stt}|S1|{pref}|A1||||MADEUP|PT|X|{name}|0|{sup}||\n"


def test_the_preferred_english_name_of_mrconso(tmp_path: Path) -> None:
    lines = [
        rrf("C9000001", "Pulmo", lat="LAT"),
        rrf("C9000001", "Old lung", sup="O"),
        rrf("C9000001", "Lung, a synonym", ts="S"),
        rrf("C9000001", "Lungs", stt="VO"),
        rrf("C9000001", "Lung organ", pref="N"),
        rrf("C9000001", "Lung"),
        rrf("C9000001", "Lung once more"),
        rrf("C9000002", "Cor", lat="LAT", ts="S"),
        rrf("C9000002", "Heart (suppressed)", ts="S", sup="Y"),
        rrf("C9000003", "unwanted"),
        rrf("C9000004", "Herz", lat="GER"),
    ]
    for order in (lines, lines[::-1]):
        path = write(tmp_path / "MRCONSO.RRF", "".join(order))
        found = read_concept_names(path, ["C9000001", "C9000002", "C9000004", "C9000005"])
        best = "Lung" if order is lines else "Lung once more"
        assert found == {"C9000001": best, "C9000002": "Heart (suppressed)", "C9000004": "Herz"}
    assert read_concept_names(path)["C9000003"] == "unwanted"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("concept\tconcept_name\nC1\tLung\nC2\n", r":3: 'C2'; expected a concept and its name"),
        ("concept\tconcept_name\nC1\tLung\nX2\tHeart\n", r":3: 'X2\tHeart'; expected a concept and its name"),
        ("name\tconcept\nLung\tC1\tC2\n", r":2: 'Lung\tC1\tC2'; expected a concept"),
        ("image,caption\n1,Lung\n", r":1: 'image,caption'; expected a header .* or MRCONSO\.RRF"),
        ("", r":1: ''; expected a header"),
        (rrf("C9000001", "Lung") + "C9000002|ENG|P\n", r":2: 3 fields; expected a line of MRCONSO\.RRF"),
    ],
)
def test_refuses_other_files(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names\.csv" + complaint):
        read_concept_names(write(tmp_path / "names.csv", text))


def test_refuses_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: No such file or directory; expected a table"):
        read_concept_names(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"CUI,name\nC1,Herz\xe4\n")
    with pytest.raises(DataError, match=r"latin\.csv: not UTF-8 text"):
        read_concept_names(tmp_path / "latin.csv")


def test_names_of_the_real_collection(shared: Path) -> None:
    names = read_concept_names(shared / "real-collection" / "concept-names.csv")
    assert len(names) == 218
    assert names["C0024485"] == "Magnetic Resonance Imaging"


@pytest.mark.parametrize(
    "text", ["CUI,Name,\nC1,Lung,\nC2,Rib,\n", "CUI,Name\nC1,Lung,\nC2,Rib,,\n", "C1,Lung,\nC2,Rib,\n"]
)
def test_trailing_commas_belong_to_no_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text(text)
    assert read_concept_names(tmp_path / "names.csv") == {"C1": "Lung", "C2": "Rib"}
