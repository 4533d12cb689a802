"""Faults of other writers that leave a picture whole: it is shown right, and what was done is said."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import jpeg_ls
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from imageclef.images.dicom.frames import Frame, read_frame
from tests.images.dicom.made_up import item, write

RAMP = np.tile(np.arange(64, dtype=np.uint16) * 65, (64, 1))
BARS = np.zeros((64, 64, 3), np.uint8) + np.repeat(np.eye(3, dtype=np.uint8), (22, 21, 21), axis=0) * 170 + 30
COLOURS: dict[str, Any] = {"SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
DEEP: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}


def coded(pixels: np.ndarray, form: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def jpeg_of_rgb(ids: bytes) -> bytes:
    """RGB samples without a colour transform and without a marker that says so, under these ids."""
    data = bytearray(coded(BARS, "JPEG", quality=95, subsampling=0, keep_rgb=True))
    adobe = data.find(b"\xff\xee")
    if adobe >= 0:
        del data[adobe : adobe + 2 + int.from_bytes(data[adobe + 2 : adobe + 4])]
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for place in range(3):
        data[frame + 10 + 3 * place] = data[scan + 5 + 2 * place] = ids[place]
    return bytes(data)


def colour_file(path: Path, frame: bytes, syntax: UID, photometric: str, planar: int = 0) -> Frame:
    elements = {"PhotometricInterpretation": photometric, "PlanarConfiguration": planar, **COLOURS}
    write(path, BARS[..., 0], syntax, PixelData=encapsulate([frame]), **elements)
    return read_frame(path)


@pytest.mark.parametrize(
    ("frame", "syntax", "photometric"),
    [
        (coded(BARS, "JPEG", quality=95, subsampling=0), JPEGBaseline8Bit, "YBR_FULL"),
        (coded(BARS, "JPEG", quality=95), JPEGBaseline8Bit, "YBR_FULL_422"),
        (coded(BARS, "JPEG2000", irreversible=False, mct=1), JPEG2000Lossless, "YBR_RCT"),
        (coded(BARS, "JPEG2000", irreversible=False, mct=0), JPEG2000Lossless, "RGB"),
        (jpeg_ls.encode_array(BARS, interleave_mode=2), JPEGLSLossless, "RGB"),
    ],
)
def test_planes_of_compressed_pixels_are_ignored(
    tmp_path: Path, frame: bytes, syntax: UID, photometric: str
) -> None:
    plain = colour_file(tmp_path / "a", frame, syntax, photometric)
    planes = colour_file(tmp_path / "b", frame, syntax, photometric, planar=1)
    np.testing.assert_array_equal(planes.pixels, plain.pixels)
    for column in (8, 32, 56):  # away from the edges, where halved colours mix
        np.testing.assert_allclose(planes.pixels[:, column], BARS[:, column], atol=6)
    assert planes.applied == f"planar configuration 1 ignored; {plain.applied}"


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("ids", [b"RGB", b"\1\2\3"])
def test_component_ids_say_that_a_jpeg_is_rgb(tmp_path: Path, ids: bytes, photometric: str) -> None:
    if ids != b"RGB" and photometric != "RGB":
        pytest.skip("by other ids, the header says what it is")
    found = colour_file(tmp_path / "a", jpeg_of_rgb(ids), JPEGBaseline8Bit, photometric)
    np.testing.assert_allclose(found.pixels, BARS, atol=6)


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_FULL", "YBR_FULL_422", "RGB"])
def test_a_colour_transform_of_jpeg_2000_is_undone_once(tmp_path: Path, photometric: str) -> None:
    frame = coded(BARS, "JPEG2000", irreversible=False, mct=1)
    found = colour_file(tmp_path / "a", frame, JPEG2000Lossless, photometric)
    np.testing.assert_array_equal(found.pixels, BARS)
    assert ("colours are RGB by the codestream" in found.applied) == photometric.startswith("YBR_FULL")


def test_without_a_colour_transform_jpeg_2000_is_what_the_header_says(tmp_path: Path) -> None:
    luminance = np.asarray(Image.fromarray(BARS).convert("YCbCr"))
    frame = coded(luminance, "JPEG2000", irreversible=False, mct=0)
    found = colour_file(tmp_path / "a", frame, JPEG2000Lossless, "YBR_FULL")
    np.testing.assert_allclose(found.pixels, BARS, atol=2)


def words(values: np.ndarray, syntax: UID) -> bytes:
    if syntax == JPEGLSLossless:
        return bytes(jpeg_ls.encode_array(values))
    return coded(values, "JPEG2000", irreversible=False)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000, JPEGLSLossless])
@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_those_stored_are_left_out_of_compressed_words(
    tmp_path: Path, syntax: UID, signed: bool
) -> None:
    values = RAMP.astype(np.int32) - (2048 if signed else 0)
    stored = (values & 0xFFF).astype(np.uint16)
    stored[::2, 32:] |= 0x8000  # an overlay
    about = {"PixelRepresentation": int(signed), "WindowCenter": "1000", "WindowWidth": "3000", **DEEP}
    native = read_frame(write(tmp_path / "a", stored, **about))
    frame = encapsulate([words(stored, syntax)])
    found = read_frame(write(tmp_path / "b", stored, syntax, PixelData=frame, **about))
    np.testing.assert_array_equal(found.pixels, native.pixels)
    np.testing.assert_array_equal(
        found.pixels, np.rint(255 * ((values - 999.5) / 2999 + 0.5).clip(0, 1)).astype(np.uint8)
    )
    assert found.applied == "unused bits left out; window 1000/3000 (linear)"


def table(bits: int, count: int = 4096, entries: int = 4096) -> Any:
    made = item()
    made.add_new("LUTDescriptor", "US", [count, 0, bits])
    made.add_new("LUTData", "US", list(range(entries)))
    return made


def test_a_table_of_12_bits_may_be_declared_as_16(tmp_path: Path) -> None:
    right, other = (
        read_frame(write(tmp_path / str(bits), RAMP, VOILUTSequence=[table(bits)], **DEEP))
        for bits in (12, 16)
    )
    np.testing.assert_array_equal(other.pixels, right.pixels)
    assert right.pixels.max() == 255
    assert other.applied == "table of values of interest of 12 of 16 bits"


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("made", [item(), table(12, entries=4000), table(0), table(12, entries=1)])
def test_an_optional_table_that_is_not_whole_counts_as_absent(
    tmp_path: Path, keyword: str, made: Any
) -> None:
    about: dict[str, Any] = {"WindowCenter": "2048", "WindowWidth": "4096", **DEEP}
    without = read_frame(write(tmp_path / "a", RAMP, **about))
    found = read_frame(write(tmp_path / "b", RAMP, **{keyword: [made]}, **about))
    np.testing.assert_array_equal(found.pixels, without.pixels)
    assert "left out, as it is not whole" in found.applied


def test_of_several_tables_the_first_that_is_whole_is_taken(tmp_path: Path) -> None:
    found = read_frame(write(tmp_path / "a", RAMP, VOILUTSequence=[item(), table(12)], **DEEP))
    assert found.applied == "table of values of interest"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "text", ["1.#QNAN", "-1.#IND", "1.#INF", "none", "nan", "inf", "1_0", "2,048.5", " "]
)
def test_a_window_that_is_no_number_counts_as_missing(tmp_path: Path, text: str) -> None:
    path = numbered(tmp_path, WindowCenter=text, WindowWidth="4096")
    np.testing.assert_array_equal(read_frame(path).pixels, read_frame(numbered(tmp_path)).pixels)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_comma_is_read_as_the_decimal_point(tmp_path: Path) -> None:
    path = numbered(tmp_path, WindowCenter="2048,5", WindowWidth="4096,0")
    assert read_frame(path).applied == "window 2048.5/4096 (linear)"
    path = numbered(tmp_path, RescaleSlope="0,5", RescaleIntercept="-1024,0")
    assert read_frame(path).applied == "rescale 0.5 -1024; range of its own values"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_of_two_values_where_one_is_meant_none_is_taken(tmp_path: Path) -> None:
    path = numbered(tmp_path, RescaleSlope="2\\3", RescaleIntercept="-1024")
    assert read_frame(path).applied == (
        "rescale 1 -1024; range of its own values; rescale not taken in full, as it is not two numbers"
    )
    path = numbered(tmp_path, WindowCenter="none\\40", WindowWidth="100\\400")  # several windows are meant
    assert read_frame(path).applied == "window 40/400 (linear)"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("text", ["12", "0,5", "1\\2\\3"])
def test_a_spacing_of_one_value_is_not_taken_for_two(tmp_path: Path, text: str) -> None:
    assert read_frame(numbered(tmp_path, PixelSpacing=text)).pixels.shape == RAMP.shape


def numbered(folder: Path, **texts: str) -> Path:
    """A ramp with decimal strings as they are, which pydicom would not write."""
    path = write(folder / "a", RAMP, **dict.fromkeys(texts, "8" * 16), **DEEP)
    data = path.read_bytes()
    for keyword in sorted(texts, key=_PLACES.index):
        data = data.replace(b"8" * 16, texts[keyword].ljust(16).encode("ascii"), 1)
    path.write_bytes(data)
    return path


_PLACES = ["PixelSpacing", "WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope"]
"""In the order of their tags."""


@pytest.mark.parametrize("form", ["JPEG", "JPEG2000"])
def test_padding_that_was_blurred_stays_out_of_the_range(tmp_path: Path, form: str) -> None:
    rows, columns = np.mgrid[:64, :64]
    outside = (rows - 32) ** 2 + (columns - 32) ** 2 > 26**2
    body = 120 + columns if form == "JPEG" else 2400 + 20 * columns
    values = np.where(outside, 0, body).astype(np.uint8 if form == "JPEG" else np.uint16)
    options = {"quality": 60} if form == "JPEG" else {"irreversible": True, "quality_layers": [12]}
    syntax = JPEGBaseline8Bit if form == "JPEG" else JPEG2000
    about = {} if form == "JPEG" else DEEP
    frame = encapsulate([coded(values, form, **options)])
    whole = {"RescaleSlope": "2", "RescaleIntercept": "0"} if form == "JPEG" else {}
    path = write(tmp_path / "a", values, syntax, PixelData=frame, PixelPaddingValue=0, **about, **whole)
    found = read_frame(path)
    assert "padding about 0 black" in found.applied
    inside = (rows - 32) ** 2 + (columns - 32) ** 2 < 16**2
    if form == "JPEG2000":  # of 8 bits, it is the range of what can be stored that is shown
        low, high = found.pixels[inside].min(), found.pixels[inside].max()
        assert low < 80
        assert high > 180
    assert np.median(found.pixels[outside]) == 0


def test_run_lengths_keep_their_planes(tmp_path: Path) -> None:
    from pydicom.pixels.encoders.base import EncodeRunner
    from pydicom.pixels.encoders.native import _encode_frame

    runner = EncodeRunner(RLELossless)
    runner.set_options(
        rows=64,
        columns=64,
        samples_per_pixel=3,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="RGB",
        planar_configuration=0,
        number_of_frames=1,
    )
    frame = _encode_frame(BARS.tobytes(), runner)
    for planar in (0, 1):
        found = colour_file(tmp_path / "a", bytes(frame), RLELossless, "RGB", planar)
        np.testing.assert_array_equal(found.pixels, BARS)
