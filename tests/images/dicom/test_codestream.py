from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from imageclef.images.dicom.codestream import CodestreamSize, size_in_codestream

COLOURS = np.zeros((30, 50, 3), np.uint8)


def coded(format: str, pixels: np.ndarray, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"\xff\xc0" * 20}])
def test_the_size_of_a_jpeg(options: dict[str, object]) -> None:
    assert size_in_codestream(coded("JPEG", COLOURS, **options)) == CodestreamSize(30, 50, 3, 8)
    assert size_in_codestream(coded("JPEG", COLOURS[..., 0], **options)) == CodestreamSize(30, 50, 1, 8)


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
@pytest.mark.parametrize("options", [{"no_jp2": True}, {"no_jp2": False}])
def test_the_size_of_a_jpeg_2000(options: dict[str, object]) -> None:
    assert size_in_codestream(coded("JPEG2000", COLOURS, **options)) == CodestreamSize(30, 50, 3, 8)


def test_fill_bytes_and_tables_are_passed_over() -> None:
    jpeg = coded("JPEG", COLOURS)
    assert size_in_codestream(jpeg[:2] + b"\xff\xff\xff" + jpeg[3:]) == CodestreamSize(30, 50, 3, 8)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51"]))
def test_no_bytes_are_too_odd(data: bytes, start: bytes) -> None:
    found = size_in_codestream(start + data)
    assert found is None or (found.components >= 0 and len(start + data) > 8)


@pytest.mark.parametrize("cut", [0, 1, 3, 10, 20, 100])
def test_a_frame_that_ends_before_it_says_has_no_size(cut: int) -> None:
    assert size_in_codestream(coded("JPEG", COLOURS)[:cut]) is None


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_bits_of_deep_samples() -> None:
    deep = coded("JPEG2000", np.zeros((30, 50), np.uint16), no_jp2=True)
    assert size_in_codestream(deep) == CodestreamSize(30, 50, 1, 16)
    jpeg = bytearray(coded("JPEG", COLOURS))
    jpeg[jpeg.index(b"\xff\xc0") + 4] = 60
    assert size_in_codestream(bytes(jpeg)) == CodestreamSize(30, 50, 3, 60)
