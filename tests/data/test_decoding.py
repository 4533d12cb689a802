from __future__ import annotations

import csv
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from imageclef.data import decoding
from imageclef.data.decoding import decode
from imageclef.errors import ImageRefused

# The module's own filter does not reach here: pytest puts its filters in the place of all others.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

SIZE = 32
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)

Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(image: Image.Image, name: str, **options: object) -> Path:
        path = tmp_path / name
        image.save(path, **options)
        return path

    return write


def block_means(pixels: np.ndarray, size: int) -> np.ndarray:
    """The plain second version of an area average, for sizes that divide."""
    step = len(pixels) // size
    return pixels.astype(float).reshape(size, step, size, step, -1).mean(axis=(1, 3))


def smooth(width: int, height: int) -> np.ndarray:
    """A picture that JPEG keeps nearly unchanged and that no turn leaves as it is."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 120 + 0 * x], axis=2).astype(np.uint8)


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
    monkeypatch.setattr(decoding, "_plain_jpeg", lambda *_: None)
    slow = decode(path, 16, mode)
    np.testing.assert_array_equal(fast.pixels, slow.pixels)
    assert (fast.width, fast.height) == (slow.width, slow.height) == (side, side + 7)


def test_real_images_equal_pillows_and_come_near_a_full_decode(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((shared / "real-collection" / "valid").iterdir())[::30]
    fast = np.stack([decode(path, 64, "rgb").pixels for path in paths])
    monkeypatch.setattr(decoding, "_plain_jpeg", lambda *_: None)
    slow = np.stack([decode(path, 64, "rgb").pixels for path in paths])
    np.testing.assert_array_equal(fast, slow)
    full = [Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BOX) for path in paths]
    assert np.abs(fast.astype(int) - np.stack(full)).mean() < 1.5


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("side", [48, 600])
def test_a_truncated_jpeg_is_refused(
    save: Save, monkeypatch: pytest.MonkeyPatch, keep: float, side: int
) -> None:
    # Some versions of OpenCV fill up what is missing, so it must not be asked.
    monkeypatch.setattr(decoding.cv2, "imdecode", None)
    noise = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), "a.jpg")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ImageRefused, match=r"truncated|Truncated|not an image"):
        decode(path, SIZE, "rgb")


def test_a_jpeg_followed_by_other_bytes_is_read(save: Save) -> None:
    path = save(Image.fromarray(smooth(40, 40)), "a.jpg")
    plain = decode(path, SIZE, "rgb").pixels
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    np.testing.assert_array_equal(decode(path, SIZE, "rgb").pixels, plain)


def test_the_settings_of_pillow_are_left_alone(save: Save) -> None:
    decode(save(Image.fromarray(NOISE), "a.jpg"), SIZE, "rgb")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


def test_a_header_that_promises_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for width, height in ((50_000, 1_000), (2**31 - 1, 2**31 - 1)):
        header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        path.write_bytes(data + struct.pack(">I", 100) + b"IDAT" + b"\0" * 104)
        with pytest.raises(ImageRefused, match=r"50000x1000 pixels; at most 24 million|more pixels than"):
            decode(path, SIZE, "rgb")


@pytest.mark.parametrize(("name", "most"), [("a.png", 2400), ("a.webp", 1090), ("a.jpg", 6000)])
def test_the_limit_depends_on_what_the_decoder_keeps(
    save: Save, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2400)
    assert decode(save(Image.new("RGB", (most // 10, 10)), name), 8, "rgb").height == 10
    with pytest.raises(ImageRefused, match=f"{most // 10 + 1}x10 pixels; at most"):
        decode(save(Image.new("RGB", (most // 10 + 1, 10)), name), 8, "rgb")


def test_large_pictures_are_decoded_by_many_threads_at_once(
    save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2 * SIZE * SIZE)
    path = save(Image.fromarray(NOISE), "a.png")
    with ThreadPoolExecutor(4) as threads:
        for decoded in threads.map(lambda _: decode(path, SIZE, "rgb"), range(20)):
            np.testing.assert_array_equal(decoded.pixels, NOISE)


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
        with pytest.raises(ImageRefused, match=f"^{reason}$"):
            decode(tmp_path / f"{name}.jpg", SIZE, "rgb")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(save: Save) -> None:
    path = save(Image.fromarray(NOISE), "a.png")
    path.chmod(0)
    with pytest.raises(ImageRefused, match=r"^Permission denied$"):
        decode(path, SIZE, "rgb")


@pytest.mark.parametrize(
    "data", [b"", b"text\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xff\xd8"]
)
def test_what_is_not_an_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageRefused, match=r"^(not an image of a known format|Truncated File Read)$"):
        decode(path, SIZE, "rgb")


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


READ_ALL = """
import json, re, sys, time
from pathlib import Path
from imageclef.data.decoding import decode
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
    # Pillow reads none of these; tests/data/dicom holds their values against pydicom's.
    assert len(wrong & dicom) > len(dicom) / 2
