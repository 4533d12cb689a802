from __future__ import annotations

import csv
import json
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from imageclef.errors import ImageRefused
from imageclef.images import decode as decoding
from imageclef.images.decode import decode, decode_fitting
from tests.images.made_up import NOISE, RNG, SIZE, Save, smooth

# The module's own filter does not reach here: pytest puts its filters in the place of all others.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")


def block_means(pixels: np.ndarray, size: int) -> np.ndarray:
    """The plain second version of an area average, for sizes that divide."""
    step = len(pixels) // size
    return pixels.astype(float).reshape(size, step, size, step, -1).mean(axis=(1, 3))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "tga"])
def test_a_picture_of_the_right_size_is_kept_as_it_is(save: Save, suffix: str) -> None:
    decoded = decode(save(Image.fromarray(NOISE), f"a.{suffix}"), SIZE, "rgb")
    np.testing.assert_array_equal(decoded.pixels, NOISE)
    assert (decoded.width, decoded.height) == (SIZE, SIZE)


def test_grey_is_shown_in_three_equal_channels_or_kept(save: Save) -> None:
    path = save(Image.fromarray(NOISE[..., 0]), "a.png")
    np.testing.assert_array_equal(decode(path, SIZE, "grey").pixels, NOISE[..., :1])
    np.testing.assert_array_equal(decode(path, SIZE, "rgb").pixels, np.repeat(NOISE[..., :1], 3, axis=2))


def test_colours_become_grey_by_luma(save: Save) -> None:
    grey = decode(save(Image.fromarray(NOISE), "a.png"), SIZE, "grey").pixels[..., 0]
    np.testing.assert_allclose(grey, NOISE @ [0.299, 0.587, 0.114], atol=1)


@pytest.mark.parametrize("times", [2, 3, 4, 12])
def test_shrinking_averages_areas(save: Save, times: int) -> None:
    pixels = RNG.integers(0, 256, (SIZE * times, SIZE * times, 3), dtype=np.uint8)
    decoded = decode(save(Image.fromarray(pixels), "a.png"), SIZE, "rgb")
    np.testing.assert_allclose(decoded.pixels, block_means(pixels, SIZE), atol=1)


def test_a_strip_is_stretched_to_the_square(save: Save) -> None:
    column = np.repeat(np.arange(0, 250, 10, dtype=np.uint8), 200)[:, None]
    decoded = decode(save(Image.fromarray(column), "a.png"), 25, "grey")
    assert (decoded.width, decoded.height) == (1, 5000)
    np.testing.assert_array_equal(decoded.pixels[..., 0], np.repeat(column[::200], 25, axis=1))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_the_first_of_several_frames_is_taken(save: Save, name: str) -> None:
    red, blue = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 250))
    path = save(red, name, save_all=True, append_images=[blue])
    assert np.array(decode(path, 8, "rgb").pixels).mean(axis=(0, 1)).argmax() == 0


def test_the_settings_of_pillow_are_left_alone(save: Save) -> None:
    decode(save(Image.fromarray(NOISE), "a.jpg"), SIZE, "rgb")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


def test_a_header_that_promises_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    reason = "^too large: (50000x1000 pixels; at most 24 million|more pixels than)"
    for width, height in ((50_000, 1_000), (2**31 - 1, 2**31 - 1)):
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        path.write_bytes(data + struct.pack(">I", 100) + b"IDAT" + b"\0" * 104)
        with pytest.raises(ImageRefused, match=reason):
            decode(path, SIZE, "rgb")


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [
        *(("a.png", 2, 240), ("a.webp", 2, 109)),
        *(("a.jpg", 2, 600), ("a.jpg", 3, 240)),  # large enough to be reduced while it is decoded, and not
    ],
)
def test_the_limit_depends_on_what_the_decoder_keeps(
    save: Save, monkeypatch: pytest.MonkeyPatch, name: str, size: int, most: int
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2400)
    assert decode(save(Image.new("RGB", (most, 10)), name), size, "rgb").height == 10
    with pytest.raises(ImageRefused, match=f"^too large: {most + 1}x10 pixels; at most"):
        decode(save(Image.new("RGB", (most + 1, 10)), name), size, "rgb")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_fitting_picture_keeps_its_proportions(save: Save, name: str) -> None:
    path = save(Image.fromarray(smooth(900, 300)), name)
    for longest, shape in ((450, (150, 450, 3)), (90, (30, 90, 3)), (1, (1, 1, 3))):
        decoded = decode_fitting(path, longest)
        assert (decoded.pixels.shape, decoded.width, decoded.height) == (shape, 900, 300)
    small = decode_fitting(path, 90).pixels.astype(float)
    np.testing.assert_allclose(small, smooth(900, 300).reshape(30, 10, 90, 10, 3).mean(axis=(1, 3)), atol=4)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_fitting_picture_is_upright_and_never_enlarged(save: Save, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    decoded = decode_fitting(save(Image.fromarray(pixels), "a.png", exif=exif), 2**31)
    expected = pixels if orientation == 1 else np.rot90(pixels, -1)
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert (decoded.height, decoded.width) == expected.shape[:2]


def test_grey_is_fitted_in_colour(save: Save) -> None:
    path = save(Image.fromarray(NOISE[..., 0]), "a.png")
    np.testing.assert_array_equal(decode_fitting(path, SIZE).pixels, np.repeat(NOISE[..., :1], 3, axis=2))


def test_large_pictures_are_decoded_by_many_threads_at_once(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2 * SIZE * SIZE)
    path = save(Image.fromarray(NOISE), "a.png")
    with ThreadPoolExecutor(4) as threads:
        for decoded in threads.map(lambda _: decode(path, SIZE, "rgb"), range(20)):
            np.testing.assert_array_equal(decoded.pixels, NOISE)


READ_ALL = """
import json, re, sys, time
from pathlib import Path
from imageclef.images.decode import decode
from imageclef.errors import ImageRefused
for name in sys.stdin.read().splitlines():
    started, verdict = time.monotonic(), ""
    for size, mode in ((64, "rgb"), (256, "grey")):
        try:
            decode(Path(sys.argv[1]) / name, size, mode)
        except ImageRefused as refusal:
            verdict = str(refusal)
    print(json.dumps([name, verdict, time.monotonic() - started]))
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""

# Icons hold files of their own, whose size the icon's directory does not tell.
REFUSED_THOUGH_PILLOW_READS = {"pil_python.ico"}


def test_every_odd_image_is_read_or_refused_quickly_and_in_little_memory(shared: Path) -> None:
    with (shared / "odd-images" / "index.csv").open() as file:
        readable = {row["file"]: row["pillow_to_rgb"] == "yes" for row in csv.DictReader(file)}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", READ_ALL, str(shared / "odd-images")],
        input="\n".join(readable),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning:" not in done.stderr.replace("Warning: unknown JFIF", "")
    *verdicts, memory = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(readable)
    assert max(seconds for _, _, seconds in verdicts) < 5
    assert memory < 400
    wrong = {name for name, verdict, _ in verdicts if (verdict == "") != readable[name]}
    dicom = {name for name in readable if name.endswith(".dcm")}
    assert wrong - dicom == REFUSED_THOUGH_PILLOW_READS
    # Pillow reads none of these; tests/images/dicom holds their values against pydicom's.
    assert len(wrong & dicom) > len(dicom) / 2
