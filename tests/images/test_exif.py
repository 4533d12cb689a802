from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imageclef.images.decode import decode
from tests.images.made_up import RNG, SIZE, Save, smooth

# The decoder's own filter does not reach here: pytest puts its filters in the place of all others.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(image: Image.Image, orientation: int) -> tuple[Image.Image, dict[str, object]]:
    """What a camera stores of an upright picture, and the options that save its orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    method = STORED[orientation]
    return (image if method is None else image.transpose(method)), {"exif": exif}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_oriented_picture_equals_the_upright_one(save: Save, name: str, orientation: int) -> None:
    upright = Image.fromarray(RNG.integers(0, 256, (150, 101, 3), dtype=np.uint8))
    plain = decode(save(upright, f"upright-{name}"), SIZE, "rgb")
    stored, options = turned(upright, orientation)
    decoded = decode(save(stored, name, **options), SIZE, "rgb")
    np.testing.assert_array_equal(decoded.pixels, plain.pixels)
    assert (decoded.width, decoded.height) == (101, 150)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("side", [48, 600])
def test_an_oriented_jpeg_equals_the_upright_one(save: Save, orientation: int, side: int) -> None:
    upright = Image.fromarray(smooth(side, side * 3 // 2))
    plain = decode(save(upright, "upright.jpg", quality=95), SIZE, "rgb")
    stored, options = turned(upright, orientation)
    decoded = decode(save(stored, "a.jpg", quality=95, **options), SIZE, "rgb")
    np.testing.assert_allclose(decoded.pixels, plain.pixels.astype(int), atol=6)
    assert (decoded.width, decoded.height) == (side, side * 3 // 2)


@pytest.mark.parametrize(
    "block",
    [
        b"MM\0\x2a\xff\xff\xff\xff\xff",
        b"no TIFF header",
        b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04top\0\0\0\0\0",  # orientation: 'top'
    ],
)
def test_a_damaged_exif_block_is_passed_over(save: Save, block: bytes) -> None:
    path = save(Image.fromarray(smooth(40, 40)), "a.jpg", exif=b"Exif\0\0" + block)
    assert decode(path, SIZE, "rgb").width == 40
