from __future__ import annotations

from pathlib import Path

from imageclef.data.known import CONCEPTS, GROUPS, read_known


def collection(folder: Path, concepts: str = "", groups: str = "") -> Path:
    folder.mkdir()
    if concepts:
        (folder / CONCEPTS).write_text(concepts)
    if groups:
        (folder / GROUPS).write_text(groups)
    return folder


def test_the_later_collection_counts_where_an_image_is_in_two(tmp_path: Path) -> None:
    one = collection(tmp_path / "a", "i1\tC1\ni2\tC2\n", "ID,group,modality\ni1,g1,CT\ni2,g1,MR\n")
    other = collection(tmp_path / "b", "i2\tC3;C4\n", "ID,group,modality,view\ni2,g9,US,AP\n")
    known = read_known([one, other])
    assert known.concepts == {"i1": ("C1",), "i2": ("C3", "C4")}
    assert known.groups == {"i1": "g1", "i2": "g9"}
    assert known.metadata is not None
    assert known.metadata.loc["i2"].to_dict() == {"modality": "US", "view": "AP"}
    assert known.metadata.loc["i1", "modality"] == "CT"
    assert known.metadata.loc[["i1"], "view"].isna().all()


def test_without_tables_nothing_is_known(tmp_path: Path) -> None:
    known = read_known([collection(tmp_path / "a")])
    assert (known.concepts, known.groups, known.metadata) == ({}, {}, None)
