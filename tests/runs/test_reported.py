from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import DataError
from imageclef.runs.reported import Reported, read_structured_report
from imageclef.runs.structured_report import write_structured_report
from tests.images.dicom.made_up import UID_OF_IMAGE, write
from tests.runs.reports import FINDINGS, MODEL, UIDS


def test_a_report_is_read_back_as_it_was_written(image: Path, tmp_path: Path) -> None:
    write_structured_report(image, FINDINGS, MODEL, tmp_path / "a.dcm")
    assert read_structured_report(tmp_path / "a.dcm") == Reported(UID_OF_IMAGE, None, tuple(FINDINGS), MODEL)


def test_a_report_without_findings_says_what_was_looked_at(tmp_path: Path) -> None:
    many = write(tmp_path / "many", np.zeros((3, 4, 4), np.uint16), **UIDS)
    write_structured_report(many.with_name("many#2"), [], MODEL, tmp_path / "a.dcm")
    assert read_structured_report(tmp_path / "a.dcm") == Reported(UID_OF_IMAGE, 2, (), MODEL)


def test_findings_of_another_scheme_are_refused(image: Path, tmp_path: Path) -> None:
    write_structured_report(image, FINDINGS, MODEL, tmp_path / "a.dcm")
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(data.replace(b"UMLS", b"XXLS"))
    with pytest.raises(DataError, match=r"b.dcm: ValueError; expected a report of findings"):
        read_structured_report(tmp_path / "b.dcm")


def test_a_file_that_is_no_report_is_refused(image: Path, tmp_path: Path) -> None:
    for path, reason in ((image, "expected a report"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(DataError, match=reason):
            read_structured_report(path)
