from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, ExplicitVRBigEndian, ImplicitVRLittleEndian

from imageclef.errors import ImageRefused
from imageclef.images.dicom.header import opened
from imageclef.images.dicom.stored import stored_pixels
from imageclef.images.refusals import MAX_PIXELS
from tests.images.dicom.made_up import write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


def stored(path: Path) -> Any:
    with opened(path) as header:
        return stored_pixels(header)


def test_what_the_header_says(tmp_path: Path) -> None:
    pixels = stored(write(tmp_path / "a", RAMP.astype(np.int16).reshape(2, 8, 4), BitsStored=12, HighBit=11))
    assert (pixels.rows, pixels.columns, pixels.frames, pixels.samples) == (8, 4, 2, 1)
    assert (pixels.bits_allocated, pixels.bits_stored, pixels.high_bit, pixels.signed) == (16, 12, 11, True)
    assert pixels.keyword == "PixelData"
    assert not pixels.floating


def test_missing_numbers_have_their_defaults(tmp_path: Path) -> None:
    pixels = stored(write(tmp_path / "a", RAMP, BitsStored=None, HighBit=None, SamplesPerPixel=None))
    assert (pixels.bits_stored, pixels.high_bit, pixels.samples, pixels.frames) == (16, 15, 1, 1)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_file_stays_at_its_pixels(tmp_path: Path, syntax: Any) -> None:
    with opened(write(tmp_path / "a", RAMP, syntax)) as header:
        where = header.file.tell()
        assert stored_pixels(header).syntax == syntax
        assert header.file.tell() == where
        assert len(header.file.read()) == (8 if syntax == ImplicitVRLittleEndian else 12) + RAMP.nbytes


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": None}, "no Rows"),
        ({"Columns": None}, "no Columns"),
        ({"BitsAllocated": None}, "no BitsAllocated"),
        ({"Rows": 0}, "8x0 pixels in 1 frames; expected 1 or more"),
        ({"NumberOfFrames": "-3"}, "8x8 pixels in -3 frames"),
        ({"Rows": 65535, "Columns": 65535}, "65535x65535 pixels; at most 24 million are decoded"),
        (
            {"PhotometricInterpretation": "HSV"},
            "unsupported: photometric interpretation; known are MONOCHROME1",
        ),
        ({"PhotometricInterpretation": None}, "unsupported: photometric interpretation"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples of a pixel do not go with RGB"),
        ({"SamplesPerPixel": 4}, "4 samples of a pixel do not go with MONOCHROME2"),
        (
            {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3, "PlanarConfiguration": 112},
            "planar configuration of 112; expected 0 or 1",
        ),
        ({"BitsAllocated": 12}, "12 bits allocated; expected 1, 8, 16, 32 or 64"),
        ({"BitsStored": 17}, "17 bits stored in 16 allocated"),
        ({"BitsStored": 0}, "0 bits stored in 16 allocated"),
        (
            {"PhotometricInterpretation": "YBR_FULL", "SamplesPerPixel": 3, "PlanarConfiguration": 0},
            "unsupported: YBR_FULL of 16 bits",
        ),
    ],
)
def test_impossible_pixels_are_refused(tmp_path: Path, elements: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageRefused, match=reason):
        stored(write(tmp_path / "a", RAMP, **elements))


def test_an_unknown_photometric_interpretation_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="unsupported: photometric") as refusal:
        stored(write(tmp_path / "a", RAMP, PhotometricInterpretation="DOE JANE"))
    assert "DOE" not in str(refusal.value)


def test_the_bound_is_that_of_other_pictures(tmp_path: Path) -> None:
    rows = MAX_PIXELS // 6000
    assert stored(write(tmp_path / "a", RAMP, Rows=rows, Columns=6000)).rows == rows
    with pytest.raises(ImageRefused, match="at most 24 million"):
        stored(write(tmp_path / "b", RAMP, Rows=rows + 1, Columns=6000))


def test_a_transfer_syntax_of_no_standard_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP)
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10009.1.2.1\0"))
    with pytest.raises(ImageRefused, match="no decoder for its transfer syntax"):
        stored(path)


def test_a_frame_of_compressed_pixels_is_counted_as_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP, JPEG2000, PixelData=encapsulate([bytes(20)]))
    assert stored(path).frame_bits == 64 * 16
