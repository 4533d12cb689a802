from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imageclef.images import decode as decoding
from imageclef.images.decode import decode
from imageclef.images.jpeg import plain_jpeg
from tests.images.made_up import SIZE, Save, smooth


@pytest.mark.parametrize("mode", ["rgb", "grey"])
@pytest.mark.parametrize(
    ("side", "options"),
    [
        (9, {}),
        (40, {"progressive": True}),
        (100, {"quality": 40}),
        (200, {"subsampling": 0}),
        (900, {"quality": 50}),
    ],
)
@pytest.mark.parametrize("colour", [True, False])
def test_opencv_gives_the_same_pixels_as_pillow(
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
    side: int,
    options: dict[str, object],
    colour: bool,
    mode: decoding.Mode,
) -> None:
    picture = smooth(side, side + 7)
    picture[:: side // 7 + 1] = 255
    path = save(Image.fromarray(picture if colour else picture[..., 0]), "a.jpg", **options)
    fast = decode(path, 16, mode)
    monkeypatch.setattr(decoding, "plain_jpeg", lambda *_: None)
    slow = decode(path, 16, mode)
    np.testing.assert_array_equal(fast.pixels, slow.pixels)
    assert (fast.width, fast.height) == (slow.width, slow.height) == (side, side + 7)


def test_real_images_equal_pillows_and_come_near_a_full_decode(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((shared / "real-collection" / "valid").iterdir())[::30]
    fast = np.stack([decode(path, 64, "rgb").pixels for path in paths])
    monkeypatch.setattr(decoding, "plain_jpeg", lambda *_: None)
    slow = np.stack([decode(path, 64, "rgb").pixels for path in paths])
    np.testing.assert_array_equal(fast, slow)
    full = [Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BOX) for path in paths]
    assert np.abs(fast.astype(int) - np.stack(full)).mean() < 1.5


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("CMYK", {}),
        ("RGB", {"exif": b"Exif\0\0"}),
        ("RGB", {"progressive": True}),
        ("RGB", {"icc_profile": b"x"}),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_pillow(
    save: Save, mode: str, options: dict[str, object]
) -> None:
    data = save(Image.fromarray(smooth(40, 50)).convert(mode), "a.jpg", **options).read_bytes()
    found = plain_jpeg(data, lambda width, height: (8, 8), True, 1e6)
    assert (found is None) == (mode == "CMYK" or "exif" in options)
    assert plain_jpeg(data, lambda width, height: (8, 8), True, 1999) is None
    assert plain_jpeg(data[:-1], lambda width, height: (8, 8), True, 1e6) is None


@given(place=st.integers(0, 700), value=st.integers(0, 255))
def test_a_damaged_header_is_no_error(place: int, value: int) -> None:
    written = BytesIO()
    Image.fromarray(smooth(20, 20)).save(written, "JPEG")
    data = bytearray(written.getvalue())
    data[place % len(data)] = value
    found = plain_jpeg(bytes(data), lambda width, height: (8, 8), True, 1e6)
    assert found is None or found[0].shape[:2] == (found[2], found[1])


def test_a_jpeg_followed_by_other_bytes_is_read(save: Save) -> None:
    path = save(Image.fromarray(smooth(40, 40)), "a.jpg")
    plain = decode(path, SIZE, "rgb").pixels
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    np.testing.assert_array_equal(decode(path, SIZE, "rgb").pixels, plain)
