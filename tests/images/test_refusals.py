from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imageclef.errors import ImageRefused
from imageclef.images import decode as decoding
from imageclef.images import jpeg
from imageclef.images.decode import decode
from imageclef.images.refusals import refusal_of
from tests.images.made_up import NOISE, SIZE, Save

# The decoder's own filter does not reach here: pytest puts its filters in the place of all others.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("side", [48, 600])
def test_a_truncated_jpeg_is_refused(
    save: Save, monkeypatch: pytest.MonkeyPatch, keep: float, side: int
) -> None:
    # Some versions of OpenCV fill up what is missing, so it must not be asked.
    monkeypatch.setattr(jpeg.cv2, "imdecode", None)
    # A generator of its own: whether four bytes less matter depends on the image.
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), "a.jpg")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ImageRefused, match=r"^(truncated|not an image): "):
        decode(path, SIZE, "rgb")


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    for name, reason in {
        "fifo": "not a regular file",
        "folder": "not a regular file",
        "loop": "Too many levels of symbolic links",
        "dangling": "No such file or directory",
        "missing": "No such file or directory",
    }.items():
        with pytest.raises(ImageRefused, match=f"^unreadable: {reason}$"):
            decode(tmp_path / f"{name}.jpg", SIZE, "rgb")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(save: Save) -> None:
    path = save(Image.fromarray(NOISE), "a.png")
    path.chmod(0)
    with pytest.raises(ImageRefused, match=r"^unreadable: Permission denied$"):
        decode(path, SIZE, "rgb")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image: an empty file"),
        (b"\x89PNG\r\n\x1a\n", "damaged: begins as PNG, but its header cannot be read"),
        (b"text\n", "not an image: of no known format"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "unsupported: begins as EPS, which is not read",
        ),
        (b"\xff\xd8\xff\xe0\x00\x10JF", "truncated: Truncated File Read"),
    ],
)
def test_what_is_not_an_image_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageRefused, match=f"^{reason}$"):
        decode(path, SIZE, "rgb")


def test_a_file_that_shrinks_while_it_is_read_is_refused(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(Image.new("RGB", (3000, 2000)), "a.bmp")  # too large to be read at once
    is_large = decoding._is_large

    def shrink(image: Image.Image, *about: Any) -> bool:
        os.truncate(path, 10**6)
        return is_large(image, *about)

    monkeypatch.setattr(decoding, "_is_large", shrink)
    with pytest.raises(ImageRefused, match=r"^truncated: image file is truncated"):
        decode(path, SIZE, "rgb")


@pytest.mark.parametrize(
    ("error", "kind", "detail"),
    [
        (OSError("image file is truncated (12 bytes not processed)"), "truncated", None),
        (ValueError("Truncated cHRM chunk"), "truncated", None),
        (EOFError(), "truncated", "the file ends too early"),
        (OSError("broken data stream when reading image file"), "damaged", None),
        (SyntaxError("Unknown compression method 120 in zTXt chunk"), "damaged", None),
        (KeyError(7), "damaged", "KeyError: 7"),
        (ZeroDivisionError(), "damaged", "ZeroDivisionError"),
        (OSError("Unsupported BMP compression (6)"), "unsupported", None),
        (NotImplementedError("unknown PCX mode"), "unsupported", "NotImplementedError: unknown PCX mode"),
        (MemoryError(), "too large", "more memory than is kept for one file (ingest.memory)"),
        (OSError(5, "Input/output error", "/a/path"), "unreadable", "Input/output error"),
        (OSError("two\nlines \x00 " + "x" * 300), "damaged", "two lines " + "x" * 190),
    ],
)
def test_each_error_is_of_a_class(error: Exception, kind: str, detail: str | None) -> None:
    refusal = refusal_of(error)
    assert (refusal.kind, refusal.detail) == (kind, detail or str(error))
    assert str(refusal) == f"{refusal.kind}: {refusal.detail}"


def encoded(suffix: str) -> bytes:
    file = BytesIO()
    Image.fromarray(NOISE).save(file, suffix)
    return file.getvalue()


WHOLE = [encoded(suffix) for suffix in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.sampled_from(WHOLE),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
)
def test_damage_is_read_or_refused_with_one_line(
    tmp_path: Path, data: bytes, changes: list[tuple[float, int]], keep: float
) -> None:
    damaged = bytearray(data)
    for where, value in changes:
        damaged[int(where * len(data))] = value
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged[: int(keep * len(data)) + 1])
    try:
        reason = ""
        assert decode(path, 8, "rgb").pixels.shape == (8, 8, 3)
    except ImageRefused as refusal:
        reason = str(refusal) or "\n"
    assert reason.isprintable()
    assert str(tmp_path) not in reason
