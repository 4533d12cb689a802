from __future__ import annotations

from pathlib import Path

from imageclef.data.annotations import CONCEPTS, GROUPS, ImageKey, read_annotations


def collection(folder: Path, concepts: str = "", groups: str = "") -> Path:
    folder.mkdir()
    if concepts:
        (folder / CONCEPTS).write_text(concepts)
    if groups:
        (folder / GROUPS).write_text(groups)
    return folder


def test_the_same_id_in_two_collections_is_two_images(tmp_path: Path) -> None:
    one = collection(tmp_path / "a", "i1\tC1\ni2\tC2\n", "ID,group,modality\ni1,g1,CT\ni2,g1,MR\n")
    other = collection(tmp_path / "b", "i2\tC3;C4\n", "ID,group,modality,view\ni2,g9,US,AP\n")
    annotations = read_annotations({"one": one, "other": other})
    assert annotations.concepts == {
        ("one", "i1"): ("C1",),
        ("one", "i2"): ("C2",),
        ("other", "i2"): ("C3", "C4"),
    }
    assert annotations.groups == {("one", "i1"): "g1", ("one", "i2"): "g1", ("other", "i2"): "g9"}
    keys = [ImageKey("other", "i2"), ImageKey("one", "i2"), ImageKey("other", "i1")]
    assert annotations.concepts_of(keys) == [("C3", "C4"), ("C2",), ()]
    assert annotations.groups_of(keys) == ["g9", "g1", ""]
    metadata = annotations.metadata_of(keys)
    assert metadata is not None
    assert metadata["modality"].tolist()[:2] == ["US", "MR"]
    assert metadata["view"].tolist()[0] == "AP"
    assert metadata["view"].isna().tolist() == [False, True, True]
    assert metadata.index.tolist() == [0, 1, 2]


def test_without_tables_there_are_no_annotations(tmp_path: Path) -> None:
    annotations = read_annotations({"one": collection(tmp_path / "a")})
    assert (annotations.concepts, annotations.groups, annotations.metadata) == ({}, {}, None)
    assert annotations.metadata_of([ImageKey("one", "i1")]) is None
