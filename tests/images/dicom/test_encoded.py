from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    HTJ2K,
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from imageclef.errors import ImageRefused
from tests.images.dicom.made_up import decoded, write

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
NOISE = np.random.default_rng(0)


def jpeg(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_jpegs(path: Path, frames: list[bytes], **elements: Any) -> Path:
    shape = np.zeros((8, 8), np.uint8)
    elements = {"NumberOfFrames": len(frames), "PixelData": encapsulate(frames), **elements}
    return write(path, shape, JPEGBaseline8Bit, **elements)


@pytest.mark.parametrize("shape", [(5, 3, 3), (4, 2, 4)])
def test_bytes_stored_as_words_are_swapped_in_big_endian_files(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    values = NOISE.integers(0, 256, shape, dtype=np.uint8)
    flat = values.tobytes() + bytes(values.size % 2)
    swapped = np.frombuffer(flat, "<u2").astype(">u2").tobytes()
    path = write(tmp_path / "a", values, ExplicitVRBigEndian, PixelData=swapped)
    dataset = dcmread(path)
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path)
    for indices in ([0], [1, 3], list(range(shape[0]))):
        np.testing.assert_array_equal(decoded(path, indices), values[indices])


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_lie_by_pixel_or_by_plane(tmp_path: Path, planar: int) -> None:
    colours = NOISE.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    data = colours if planar == 0 else colours.transpose(2, 0, 1)
    path = write(
        tmp_path / "a",
        colours[..., 0],
        PixelData=data.tobytes(),
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=planar,
    )
    np.testing.assert_array_equal(decoded(path)[0], colours)


def test_only_the_wanted_frames_are_decoded(tmp_path: Path) -> None:
    values = NOISE.integers(0, 2**16, (7, 4, 4), dtype=np.uint16)
    path = write(tmp_path / "a", values)
    np.testing.assert_array_equal(decoded(path, [1, 4, 6]), values[[1, 4, 6]])
    # The bytes of a frame that is not wanted may be anything.
    data = path.read_bytes()
    path.write_bytes(data[: -values.nbytes] + bytes(32) + data[-values.nbytes + 32 :])
    np.testing.assert_array_equal(decoded(path, [1])[0], values[1])


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_compressed_frames_are_found_with_any_table(tmp_path: Path, table: str) -> None:
    frames = [jpeg(np.full((8, 8), 20 * n, np.uint8)) for n in range(6)]
    elements: dict[str, Any] = {"PixelData": encapsulate(frames, has_bot=table == "basic")}
    if table == "extended":
        data, offsets, lengths = encapsulate_extended(frames)
        elements = {"PixelData": data, "ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    path = write_jpegs(tmp_path / "a", frames, **elements)
    for indices in ([0], [2], [1, 3, 5], list(range(6))):
        assert [int(frame.mean()) for frame in decoded(path, indices)] == [20 * n for n in indices]


def test_run_lengths_of_deep_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP)
    dataset = dcmread(path)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset.save_as(path)
    np.testing.assert_array_equal(decoded(path)[0], RAMP)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 9}, "truncated: 144 bytes of pixels expected, 128 found"),
        ({"NumberOfFrames": 1000}, "truncated: 128000 bytes of pixels expected, 128 found"),
    ],
)
def test_fewer_pixels_than_promised_are_refused(
    tmp_path: Path, elements: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ImageRefused, match=reason):
        decoded(write(tmp_path / "a", RAMP, **elements))


def test_a_frame_larger_than_the_header_says_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a", [jpeg(np.zeros((64, 900), np.uint8))])
    with pytest.raises(
        ImageRefused, match="holds 900x64 pixels of 1 samples of 8 bits; its header promises 8x8"
    ):
        decoded(path)


def test_a_frame_of_more_bits_than_there_is_room_for_is_refused(tmp_path: Path) -> None:
    frame = bytearray(jpeg(np.zeros((8, 8), np.uint8)))
    frame[frame.index(b"\xff\xc0") + 4] = 60  # at which GDCM ends the process
    with pytest.raises(
        ImageRefused, match="of 60 bits; its header promises 8x8 pixels of 1 samples of 8 bits"
    ):
        decoded(write_jpegs(tmp_path / "a", [bytes(frame)]))


def test_a_frame_without_its_end_is_truncated(tmp_path: Path) -> None:
    frame = jpeg(NOISE.integers(0, 256, (8, 8), dtype=np.uint8))
    with pytest.raises(ImageRefused, match="truncated: a compressed frame has no end"):
        decoded(write_jpegs(tmp_path / "a", [frame[:-10]]))


def test_fewer_frames_than_promised_are_truncated(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a", [jpeg(np.zeros((8, 8), np.uint8))] * 3, NumberOfFrames=5)
    with pytest.raises(ImageRefused, match="truncated: 3 compressed frames; expected 5"):
        decoded(path, [0])


def test_a_file_that_ends_within_a_frame_is_truncated(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "a", [jpeg(np.zeros((8, 8), np.uint8))] * 3)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageRefused, match="truncated: the file ends within its compressed pixels"):
        decoded(path, [0])


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match=r"a compressed frame is not JPEG Baseline \(Process 1\)"):
        decoded(write_jpegs(tmp_path / "a", [b"hello, this is text." * 4]))
    with pytest.raises(ImageRefused, match="a compressed frame of 100000 bytes, more than its pixels"):
        decoded(write_jpegs(tmp_path / "b", [bytes(100_000)]))


def test_a_damaged_frame_is_refused_with_what_the_decoders_say(tmp_path: Path) -> None:
    frame = bytearray(jpeg(NOISE.integers(0, 256, (8, 8), dtype=np.uint8)))
    start = frame.index(b"\xff\xc4")
    frame[start + 4 : start + 60] = b"\xee" * 56
    with pytest.raises(ImageRefused, match=r"pixels cannot be decoded \(pillow: "):
        decoded(write_jpegs(tmp_path / "a", [bytes(frame)]))


def test_a_syntax_without_decoder_is_refused_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP, HTJ2K, PixelData=encapsulate([bytes(20)]))
    with pytest.raises(ImageRefused, match="no decoder for High-Throughput JPEG 2000"):
        decoded(path)
