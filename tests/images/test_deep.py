from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.errors import ImageRefused
from imageclef.images.decode import decode
from tests.images.made_up import Save

SIZE = 32
RISING = np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))
LEVELS = np.rint(RISING * 255)
TYPES = ("int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


def tiff(values: np.ndarray, photometric: int, order: str = "<", packed: bool = False) -> bytes:
    """A TIFF of one strip, of any type of sample."""
    height, width = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    data = zlib.compress(data) if packed else data
    bits, form = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags: list[tuple[int, str, list[int]]] = [
        *((256, "I", [width]), (257, "I", [height]), (258, "H", [bits] * samples)),
        *(
            (259, "H", [8 if packed else 1]),
            (262, "H", [photometric]),
            (273, "I", [8]),
            (277, "H", [samples]),
        ),
        *((278, "I", [height]), (279, "I", [len(data)]), (339, "H", [form] * samples)),
    ]
    data += bytes(len(data) % 2)
    after = 8 + len(data) + 2 + 12 * len(tags) + 4
    entries, more = b"", b""
    for tag, letter, numbers in tags:
        value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(value) > 4:
            value, more = struct.pack(f"{order}I", after + len(more)), more + value
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[letter], len(numbers)) + value.ljust(
            4, b"\0"
        )
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return magic + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + more


def ramp(kind: str, low: float = 0.25, high: float = 0.9) -> np.ndarray:
    """Dark left, bright right, across the sign and beyond what a narrower type would hold."""
    if kind.startswith("f"):
        return (RISING * 2000 - 700).astype(kind)
    about = np.iinfo(kind)
    span = float(about.max) - float(about.min)
    return (float(about.min) + span * (low + RISING * (high - low))).astype(kind)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_tiff_of_any_type_is_dark_where_it_is_dark(
    tmp_path: Path, kind: str, order: str, packed: bool, white_is_zero: bool
) -> None:
    values = ramp(kind)
    if white_is_zero:
        values = values[:, ::-1]
    (tmp_path / "a.tif").write_bytes(tiff(values, 0 if white_is_zero else 1, order, packed))
    found = decode(tmp_path / "a.tif", SIZE, "grey")
    atol = 2 if kind == "int8" else 1
    np.testing.assert_allclose(found.pixels[..., 0], LEVELS, atol=atol)
    assert "shown as 0 to 255" in found.applied
    assert kind == "int8" or ("white is zero" in found.applied) == white_is_zero


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32", "float64", "uint32"])
def test_colour_tiff_of_any_type(tmp_path: Path, kind: str) -> None:
    values = np.stack([ramp(kind), ramp(kind)[:, ::-1], ramp(kind).T], axis=2)
    (tmp_path / "a.tif").write_bytes(tiff(values, 2))
    found = decode(tmp_path / "a.tif", SIZE, "rgb").pixels.astype(float)
    assert found[0, 0, 0] < found[0, -1, 0]
    np.testing.assert_array_equal(found[..., 1], found[:, ::-1, 0])
    np.testing.assert_array_equal(found[..., 2], found[..., 0].T)


def test_a_kind_of_sample_that_nothing_reads_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(ramp("float16"), 1))
    with pytest.raises(ImageRefused, match=r"^damaged: TIFF of float samples of 16 bits") as refused:
        decode(tmp_path / "a.tif", SIZE, "grey")
    assert refused.value.kind == "damaged"


@pytest.mark.parametrize("kind", ["int8", "uint32", "float64"])
def test_a_deep_tiff_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    whole = tiff(ramp(kind), 1)
    broken = whole[:8] + whole[8 + SIZE * SIZE // 2 :]
    (tmp_path / "a.tif").write_bytes(broken)
    with pytest.raises(ImageRefused, match=r"^(damaged|truncated|not an image): "):
        decode(tmp_path / "a.tif", SIZE, "grey")


def png(values: np.ndarray, colour_type: int, transparent: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", transparent) if transparent else b""]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


GREY = np.rint(RISING * 4095).astype(np.uint16)
OPAQUE = np.full_like(GREY, 65535)


@pytest.mark.parametrize(
    ("values", "colour_type"),
    [
        (GREY, 0),
        (np.dstack([GREY, GREY, GREY]), 2),
        (np.dstack([GREY, OPAQUE]), 4),
        (np.dstack([GREY, GREY, GREY, OPAQUE]), 6),
    ],
)
def test_12_bits_in_a_png_of_16_are_spread(tmp_path: Path, values: np.ndarray, colour_type: int) -> None:
    (tmp_path / "a.png").write_bytes(png(values, colour_type))
    found = decode(tmp_path / "a.png", SIZE, "rgb")
    np.testing.assert_array_equal(found.pixels, np.repeat(LEVELS[..., None], 3, axis=2))
    assert found.applied == "0 to 4095 shown as 0 to 255"


def test_colours_of_12_bits_keep_their_hue(tmp_path: Path) -> None:
    values = np.dstack([GREY, GREY // 2, np.full_like(GREY, 1000)])
    (tmp_path / "a.png").write_bytes(png(values, 2))
    found = decode(tmp_path / "a.png", SIZE, "rgb").pixels
    np.testing.assert_allclose(found, values * (255 / 4095), atol=0.51)


def test_colours_of_16_bits_stay_as_they_are(tmp_path: Path) -> None:
    values = np.dstack([GREY * 16, GREY, np.full_like(GREY, 1000)])
    (tmp_path / "a.png").write_bytes(png(values, 2))
    np.testing.assert_allclose(decode(tmp_path / "a.png", SIZE, "rgb").pixels, values / 257, atol=0.51)


def test_deep_alpha_is_composited_on_black_and_hidden_values_are_not_in_the_range(tmp_path: Path) -> None:
    alpha = OPAQUE.copy()
    values = GREY.copy()
    alpha[:8], values[:8] = 0, 60_000
    alpha[8:16] = 32768
    (tmp_path / "a.png").write_bytes(png(np.dstack([values, alpha]), 4))
    found = decode(tmp_path / "a.png", SIZE, "grey").pixels[..., 0]
    assert not found[:8].any()
    np.testing.assert_allclose(found[8:16], LEVELS[8:16] / 2, atol=1)
    np.testing.assert_array_equal(found[16:], LEVELS[16:])


def test_a_transparent_deep_colour_is_black(tmp_path: Path) -> None:
    values = np.dstack([GREY, GREY, GREY])
    values[0, 0] = 60_000, 1, 2
    (tmp_path / "a.png").write_bytes(png(values, 2, struct.pack(">HHH", 60_000, 1, 2)))
    found = decode(tmp_path / "a.png", SIZE, "rgb").pixels
    assert not found[0, 0].any()
    np.testing.assert_allclose(found[1:], LEVELS[1:, :, None].repeat(3, 2), atol=1)


def test_a_damaged_deep_png_is_refused(tmp_path: Path) -> None:
    data = png(np.dstack([GREY, OPAQUE]), 4)
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageRefused, match=r"^(truncated|damaged): "):
        decode(tmp_path / "a.png", SIZE, "grey")


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_deep_images_are_set_upright(save: Save, name: str, turn: int) -> None:
    shallow = np.rint(LEVELS[:20]).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    expected = decode(save(Image.fromarray(shallow), f"plain-{name}", exif=exif), SIZE, "grey").pixels
    deep = shallow.astype(np.uint16) * 257
    image = Image.fromarray(deep)
    found = decode(save(image, name, exif=exif), SIZE, "grey")
    np.testing.assert_allclose(found.pixels.astype(int), expected, atol=1)
    assert (found.width, found.height) == ((20, SIZE) if turn > 4 else (SIZE, 20))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_an_image_without_a_visible_pixel_is_black_and_said_so(save: Save, mode: str) -> None:
    options = {"transparency": 0} if mode == "P" else {}
    found = decode(save(Image.new(mode, (8, 8)), "a.png", **options), 8, "rgb")
    assert not found.pixels.any()
    assert found.applied == "every pixel is transparent: black"


def test_so_is_a_deep_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(np.dstack([GREY, 0 * GREY]), 4))
    found = decode(tmp_path / "a.png", SIZE, "rgb")
    assert (found.pixels.max(), found.applied) == (0, "every pixel is transparent: black")
