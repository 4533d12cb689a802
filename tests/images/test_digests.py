from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xxhash
from PIL import Image

from imageclef.errors import ImageRefused
from imageclef.images import digests as module
from imageclef.images.digests import Digests
from imageclef.images.pool import decode_guarded
from tests.images.dicom.made_up import write


def digest_of(path: Path) -> str:
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


def test_an_image_that_was_read_has_the_digest_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (4, 4), 9).save(path)
    assert decode_guarded(path, 4, "rgb").digest == digest_of(path)


@pytest.mark.parametrize("data", [b"nothing to see", b"", b"\x89PNG\r\n\x1a\n" + bytes(30)])
def test_so_has_one_that_was_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with pytest.raises(ImageRefused, match=r"^(not an image|damaged): ") as refused:
        decode_guarded(path, 4, "rgb")
    assert refused.value.digest == xxhash.xxh3_128_hexdigest(data)


def test_what_has_no_bytes_to_read_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing"):
        assert Digests().of(path) == ""


def test_the_frames_of_a_file_are_read_once_and_a_changed_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.dcm", np.zeros((2, 4, 4), np.uint8))
    readings = []
    read = module._digest
    monkeypatch.setattr(module, "_digest", lambda path: readings.append(path) or read(path))
    digests = Digests()
    found = {digests.of(tmp_path / name) for name in ("a.dcm", "a.dcm#1", "a.dcm#2")}
    assert found == {digest_of(path)}
    assert readings == [path]
    path.write_bytes(b"other")
    assert digests.of(path) == digest_of(path)


def test_a_huge_file_is_refused_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    os.truncate(path, 2**40)
    with pytest.raises(ImageRefused, match=r"^not an image: ") as refused:
        decode_guarded(path, 4, "rgb")
    assert refused.value.digest == ""
