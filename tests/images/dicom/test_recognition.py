from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imageclef.images.dicom.recognition import file_and_frame, frame_path, is_dicom, is_headerless


def test_the_letters_stand_after_the_preamble() -> None:
    assert is_dicom(bytes(128) + b"DICM")
    assert is_dicom(b"II*\0" + bytes(124) + b"DICM\2\0")  # a TIFF in the preamble
    assert not is_dicom(b"DICM" + bytes(200))
    assert not is_dicom(bytes(128) + b"DIC")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\0\x05\0CS\x0a\0",
        b"\x08\0\x08\0\x16\0\0\0",
        b"\0\x08\0\x05CS\0\x0a",
        b"\x02\0\0\0UL\4\0",
    ],
)
def test_a_bare_data_set_begins_with_an_early_group(data: bytes) -> None:
    assert is_headerless(data)


@pytest.mark.parametrize(
    "data", [b"", b"\x08\0\x05\0", b"hello world, text", b"\x89PNG\r\n\x1a\n", bytes(200)]
)
def test_what_is_no_data_set_is_not_taken_for_one(data: bytes) -> None:
    assert not is_headerless(data)


def test_a_frame_has_its_files_path_and_its_number(tmp_path: Path) -> None:
    file = tmp_path / "a#2"
    assert file_and_frame(tmp_path / frame_path("b.dcm", 3)) == (tmp_path / "b.dcm", 3)
    assert file_and_frame(tmp_path / frame_path("b.dcm", None)) == (tmp_path / "b.dcm", 1)
    assert file_and_frame(file) == (tmp_path / "a", 2)
    file.touch()
    assert file_and_frame(file) == (file, 1)
    assert file_and_frame(tmp_path / frame_path("a#2", 5)) == (file, 5)
    for name in ("#3", "a#", "a#0", "a#x", "a#3.dcm"):
        assert file_and_frame(tmp_path / name) == (tmp_path / name, 1)


def test_recognition_does_without_pydicom() -> None:
    program = "import sys; import imageclef.images.dicom.recognition; sys.exit('pydicom' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
