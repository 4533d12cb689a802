from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.storage.disk import megabytes, require_room, whole_file, writing_into


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, r"No space left on device: 2.5 MB needed for weights, .* free; make room"),
        (errno.EDQUOT, r"quota exceeded: 2.5 MB needed for weights"),
        (errno.EFBIG, r"File too large: weights needs larger files than the limit allows"),
        (errno.EROFS, r"Read-only file system; expected a folder that weights can be written into"),
        (errno.EIO, r"Input/output error; the disk fails while weights is made"),
    ],
)
def test_what_a_disk_refuses_is_one_line_on_the_folder(number: int, expected: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ArtifactError, match=rf"^{tmp_path}.*: .*{expected}") as caught,
        writing_into(tmp_path, "weights", 2_500_000),
    ):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))
    assert "\n" not in str(caught.value)


def test_errors_of_other_files_pass(tmp_path: Path) -> None:
    elsewhere = str(tmp_path.parent / "elsewhere" / "image.png")
    for error in (PermissionError(errno.EACCES, "Permission denied", elsewhere), FileNotFoundError("gone")):
        with pytest.raises(type(error), match=r"Permission denied|gone"), writing_into(tmp_path, "weights"):
            raise error


def test_the_room_is_checked_less_what_is_there(tmp_path: Path) -> None:
    require_room(tmp_path, "weights", 10**18, there=10**18)
    with pytest.raises(
        ArtifactError, match=r"1,000,000,000,000.0 MB needed for weights, .* MB free; make room"
    ):
        require_room(tmp_path, "weights", 10**18)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_file(tmp_path / "deep" / "a.csv") as hidden:
        hidden.write_text("first")
        assert not (tmp_path / "deep" / "a.csv").exists()
    with pytest.raises(RuntimeError, match="stop"), whole_file(tmp_path / "deep" / "a.csv") as hidden:
        hidden.write_text("second")
        raise RuntimeError("stop")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.csv"]
    assert (tmp_path / "deep" / "a.csv").read_text() == "first"


def test_sizes_are_told_as_far_as_they_say_something() -> None:
    assert megabytes(999_999) == "999,999 bytes"
    assert megabytes(2_540_000_000) == "2,540.0 MB"
