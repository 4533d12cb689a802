from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.data import decoding
from imageclef.data.decoding import decode
from tests.data.made_up import SIZE, Save, smooth


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


def test_a_jpeg_followed_by_other_bytes_is_read(save: Save) -> None:
    path = save(Image.fromarray(smooth(40, 40)), "a.jpg")
    plain = decode(path, SIZE, "rgb").pixels
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    np.testing.assert_array_equal(decode(path, SIZE, "rgb").pixels, plain)
