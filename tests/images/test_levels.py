from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from imageclef.images.decode import decode
from tests.images.made_up import Save

# Read through files, as the formats decide which mode and which transparency a picture arrives with.

SIZE = 32
NOISE = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
RAMP = np.tile(np.arange(SIZE) * 4095 // (SIZE - 1), (SIZE, 1))


def scaled(values: np.ndarray) -> np.ndarray:
    return np.rint((values - values.min()) * 255.0 / (values.max() - values.min()))


@pytest.mark.parametrize(
    ("mode", "values", "name"),
    [
        ("I;16", RAMP.astype("<u2"), "a.png"),
        ("I;16", (RAMP + 30_000).astype("<u2"), "a.tif"),
        ("I;16B", RAMP.astype(">u2"), "a.tif"),
        ("I", (RAMP * 1000 - 500_000).astype("<i4"), "a.tif"),
        ("F", (RAMP / 1000 - 2).astype("<f4"), "a.tif"),
    ],
)
def test_deep_grey_is_scaled_from_its_own_range(save: Save, mode: str, values: np.ndarray, name: str) -> None:
    image = Image.frombytes(mode, (SIZE, SIZE), values.tobytes())
    decoded = decode(save(image, name), SIZE, "grey")
    np.testing.assert_array_equal(decoded.pixels[..., 0], scaled(values.astype(float)))


def test_deep_grey_is_scaled_alike_across_tiles(save: Save) -> None:
    wide = np.tile(np.linspace(0, 4095, 2200).astype(np.uint16), (4, 1))
    decoded = decode(save(Image.fromarray(wide), "a.png"), 4, "grey")
    quarters = scaled(wide.astype(float))[0].reshape(4, -1).mean(axis=1)
    np.testing.assert_allclose(decoded.pixels[0, :, 0], quarters, atol=1)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_floats_that_are_not_finite_leave_the_range_alone(save: Save) -> None:
    values = np.tile(np.linspace(0, 1, SIZE, dtype=np.float32), (SIZE, 1))
    values[0, :3] = np.nan, np.inf, -np.inf
    pixels = decode(save(Image.fromarray(values), "a.tif"), SIZE, "grey").pixels[..., 0]
    assert pixels[0, :3].tolist() == [0, 255, 0]
    np.testing.assert_array_equal(pixels[1], np.rint(values[1] * 255))


@pytest.mark.parametrize(("value", "level"), [(0, 0), (65535, 255), (7, 255)])
def test_deep_grey_of_one_value_is_black_or_white(save: Save, value: int, level: int) -> None:
    path = save(Image.fromarray(np.full((8, 8), value, np.uint16)), "a.png")
    assert np.unique(decode(path, 8, "grey").pixels).tolist() == [level]


def test_floats_without_a_finite_value_are_black(save: Save) -> None:
    path = save(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "a.tif")
    assert not decode(path, 8, "grey").pixels.any()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_alpha_is_composited_on_black(save: Save, name: str) -> None:
    alpha = np.tile(np.arange(SIZE, dtype=np.uint8) * 8, (SIZE, 1))
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    path = save(Image.fromarray(np.dstack([NOISE, alpha])), name, **options)
    expected = NOISE * (alpha[..., None] / 255)
    np.testing.assert_allclose(decode(path, SIZE, "rgb").pixels, expected, atol=1)


def test_grey_with_alpha_is_composited_on_black(save: Save) -> None:
    image = Image.merge("LA", [Image.fromarray(NOISE[..., i]) for i in (0, 1)])
    expected = NOISE[..., 0] * (NOISE[..., 1] / 255)
    np.testing.assert_allclose(decode(save(image, "a.png"), SIZE, "grey").pixels[..., 0], expected, atol=1)


@pytest.mark.parametrize("transparency", [2, bytes([255, 255, 0])])
@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_transparent_entries_of_a_palette_are_black(save: Save, name: str, transparency: int | bytes) -> None:
    if name == "a.gif" and isinstance(transparency, bytes):
        pytest.skip("GIF has one transparent entry, not a table")
    image = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 8)[:, None].repeat(SIZE, 1), "P")
    colours = [(255, 0, 0), (0, 255, 0), (9, 9, 200), (40, 50, 60)]
    image.putpalette([level for colour in colours for level in colour])
    pixels = decode(save(image, name, transparency=transparency), SIZE, "rgb").pixels
    assert pixels[::8, 0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 0], [40, 50, 60]]


@pytest.mark.parametrize(
    ("pixels", "key", "black"),
    [
        (np.full((8, 8, 3), (10, 20, 30), np.uint8), (10, 20, 30), True),
        (np.full((8, 8, 3), (10, 20, 30), np.uint8), (10, 20, 31), False),
        (np.full((8, 8), 200, np.uint8), 200, True),
    ],
)
def test_a_transparent_colour_is_black(
    save: Save, pixels: np.ndarray, key: int | tuple[int, ...], black: bool
) -> None:
    decoded = decode(save(Image.fromarray(pixels), "a.png", transparency=key), 8, "rgb").pixels
    assert decoded.any() != black


def test_the_transparent_value_of_deep_grey_is_black_and_out_of_the_range(save: Save) -> None:
    values = np.tile(np.array([60_000, 100, 200, 300], np.uint16), (4, 1))
    path = save(Image.fromarray(values), "a.png")
    chunk = b"tRNS" + struct.pack(">H", 60_000)
    extra = struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = path.read_bytes()
    at = data.index(b"IDAT") - 4
    path.write_bytes(data[:at] + extra + data[at:])
    assert decode(path, 4, "grey").pixels[0, :, 0].tolist() == [0, 0, 128, 255]


def test_cmyk(save: Save) -> None:
    inks = np.repeat(np.array([[0, 255, 255, 0], [255, 0, 255, 0], [0, 0, 0, 255]], np.uint8), 8, 0)
    image = Image.fromarray(inks[:, None].repeat(24, 1), "CMYK")
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 0]]
    assert decode(save(image, "a.tif"), 24, "rgb").pixels[4::8, 4].tolist() == expected
    jpeg = decode(save(image, "a.jpg", quality=100, subsampling=0), 24, "rgb").pixels[4::8, 4]
    np.testing.assert_allclose(jpeg, expected, atol=3)


def test_lab(save: Save) -> None:
    image = Image.new("LAB", (8, 8), (255, 128, 128))
    np.testing.assert_allclose(decode(save(image, "a.tif"), 8, "rgb").pixels, 255, atol=2)


def test_one_bit(save: Save) -> None:
    bits = NOISE[..., 0] > 127
    pixels = decode(save(Image.fromarray(bits), "a.png"), SIZE, "grey").pixels[..., 0]
    np.testing.assert_array_equal(pixels, bits * np.uint8(255))
