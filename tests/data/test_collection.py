from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageclef.data.collection import ImageFile, Refusal, find_images, read_groups
from imageclef.errors import DataError
from imageclef.images.dicom.choice import DicomChoice


def touch(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "groups.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_images_are_found_in_every_subfolder_by_id(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "x/a.JpEg", "x/y/d.v2.webp", "c.tiff", "notes.txt", "x/y/jpg", "e.jpg.bak")
    found = find_images(tmp_path)
    assert found.images == [
        ImageFile("a", "x/a.JpEg"),
        ImageFile("b", "b.PNG"),
        ImageFile("c", "c.tiff"),
        ImageFile("d.v2", "x/y/d.v2.webp"),
    ]
    assert found.refused == []


def test_other_files_are_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("a.png", "b.JP2", "list.csv", "notes.CSV", "Makefile", ".hidden"):
        (tmp_path / name).touch()
    found = find_images(tmp_path, DicomChoice())
    assert [image.image_id for image in found.images] == ["a", "b"]
    assert found.passed_over == {".csv": 2, "": 1}


def test_what_only_its_name_calls_dicom_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.DCM"):
        (tmp_path / name).touch()
    found = find_images(tmp_path, DicomChoice())
    assert [(one.path, one.kind) for one in found.refused] == [("b.DCM", "not an image")]
    assert not found.passed_over


def test_of_one_id_the_first_path_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.png", "a.jpg", "x/a.jpg", "b.jpg")
    found = find_images(tmp_path)
    assert found.images == [ImageFile("a", "a.jpg"), ImageFile("b", "b.jpg")]
    assert found.refused == [
        Refusal("a", "x/a.jpg", "id twice", "has the same id as a.jpg"),
        Refusal("a", "x/a.png", "id twice", "has the same id as a.jpg"),
    ]


def test_ids_that_differ_in_case_are_two(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "A.jpg")
    assert [image.image_id for image in find_images(tmp_path).images] == ["A", "a"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "in/x/a.jpg", "elsewhere/b.jpg", "elsewhere/file")
    (tmp_path / "in/x/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/x/self").symlink_to("self")
    (tmp_path / "in/far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/x/far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "in/x")
    (tmp_path / "in/c.jpg").symlink_to(tmp_path / "elsewhere/file")
    found = find_images(tmp_path / "in")
    assert [image.image_id for image in found.images] == ["a", "b", "c"]
    assert found.refused == []


def test_names_that_a_line_of_text_cannot_hold_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b\nc.jpg", "d\te.jpg", "x\u2028y/f.jpg", "é ü.jpg")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg"))).write_bytes(b"x")
    found = find_images(tmp_path)
    assert [image.image_id for image in found.images] == ["a", "é ü"]
    reasons = {refusal.image_id: refusal.reason for refusal in found.refused}
    assert reasons.pop("\\udcff") == "its name is not UTF-8 text"
    assert set(reasons) == {"b\nc", "d\te", "f"}
    assert set(reasons.values()) == {"its name holds a control character or a line break"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "closed/b.jpg")
    (tmp_path / "closed").chmod(0)
    found = find_images(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert found.refused == [
        Refusal("closed", "closed", "unreadable", "folder cannot be read: Permission denied")
    ]


def test_no_folder_and_no_image_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "full/notes.txt")
    with pytest.raises(DataError, match=r"missing: no such folder; expected a folder of images"):
        find_images(tmp_path / "missing")
    with pytest.raises(DataError, match=r"notes.txt: no such folder"):
        find_images(tmp_path / "full" / "notes.txt")
    with pytest.raises(DataError, match=r"full: no image; expected DICOM files, or others"):
        find_images(tmp_path / "full")


def test_groups_and_metadata_are_read_as_text(tmp_path: Path) -> None:
    path = table(tmp_path, '\ufeffsource,ID,group\r\n"a, b",i1,007\r\n\r\nNA,i2,8\r\n,i3,007')
    groups = read_groups(path)
    assert groups.group_of == {"i1": "007", "i2": "8", "i3": "007"}
    expected = pd.DataFrame({"source": ["a, b", "NA", ""]}, index=pd.Index(["i1", "i2", "i3"], name="ID"))
    pd.testing.assert_frame_equal(groups.metadata, expected.astype(groups.metadata.dtypes))


def test_a_table_with_no_line_has_no_group(tmp_path: Path) -> None:
    assert read_groups(table(tmp_path, "ID,group\n")).group_of == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"groups.csv:1: no column 'ID' among none; expected"),
        ("id,group\na,1\n", r"groups.csv:1: no column 'ID' among id, group; expected"),
        ("ID\tgroup\na\t1\n", r"groups.csv:1: no column 'ID' among"),
        ("ID,patient\na,1\n", r"groups.csv:1: no column 'group' among ID, patient"),
        ("ID,group,ID\na,1,2\n", r"groups.csv:1: a column appears twice"),
        ("ID,group\na,1\n\nb,2\na,3\n", r"groups.csv:5: image 'a' appears twice"),
        ('ID,group,n\na,1,"x\ny"\na,3,\n', r"groups.csv:4: image 'a' appears twice"),
        ("ID,group\na,1,2\n", r"groups.csv:2: 3 cells; expected 2"),
        ("ID,group\na\n", r"groups.csv:2: 1 cells; expected 2"),
        ("ID,group\n,1\n", r"groups.csv:2: empty ID"),
        ("ID,group\na,\n", r"groups.csv:2: image 'a' has no group"),
        ('ID,group\na,"1\n', r"groups.csv:2: unexpected end of data"),
        (b"ID,group\n\xff,1\n", r"groups.csv: not UTF-8 at byte 9"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_groups(table(tmp_path, text))


def test_a_table_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.csv: No such file or directory; expected a CSV file"):
        read_groups(tmp_path / "none.csv")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), header=st.sampled_from([b"", b"ID,group\n"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes, header: bytes) -> None:
    try:
        groups = read_groups(table(tmp_path, header + data))
    except DataError as error:
        message = str(error)
    else:
        message = "groups.csv"
        assert list(groups.metadata.index) == list(groups.group_of)
    assert "groups.csv" in message


def test_the_real_table_of_groups_covers_the_real_images(shared: Path) -> None:
    collection = shared / "real-collection"
    found = find_images(collection / "valid")
    groups = read_groups(collection / "valid-sources.csv")
    assert len(found.images) == 897
    assert found.refused == []
    assert {image.image_id for image in found.images} == groups.group_of.keys()
    assert groups.metadata["source"].value_counts()["vqa-med-2019"] > 0
