from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.pixels import pack_bits
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.images.dicom.made_up import decoded, write

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(
    bits=st.integers(2, 16),
    high=st.integers(0, 15),
    signed=st.booleans(),
    syntax=st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]),
    seed=st.integers(0, 99),
)
def test_values_are_in_their_bits_and_overlays_beside_them(
    tmp_path: Path, bits: int, high: int, signed: bool, syntax: UID, seed: int
) -> None:
    high = max(high, bits - 1)
    random = np.random.default_rng(seed)
    low, most = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = random.integers(low, most, (5, 7))
    shift = high + 1 - bits
    mask = ((1 << bits) - 1) << shift
    overlay = random.integers(0, 2**16, values.shape) & ~mask
    words = ((values << shift) & mask | overlay).astype(np.uint16)
    path = write(
        tmp_path / "a", words, syntax, BitsStored=bits, HighBit=high, PixelRepresentation=int(signed)
    )
    np.testing.assert_array_equal(decoded(path)[0], values)


@quick
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 7),
    count=st.integers(1, 9),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_frames_of_bits_begin_within_bytes(
    tmp_path: Path, rows: int, columns: int, count: int, seed: int, data: st.DataObject
) -> None:
    values = np.random.default_rng(seed).integers(0, 2, (count, rows, columns), dtype=np.uint8)
    path = write(
        tmp_path / "a",
        values,
        PixelData=pack_bits(values.reshape(-1)),
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
    )
    indices = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    np.testing.assert_array_equal(decoded(path, indices), values[indices])


def test_subsampled_colours_that_are_not_subsampled(tmp_path: Path) -> None:
    colours = np.full((4, 4, 3), (120, 128, 128), np.uint8)
    path = write(
        tmp_path / "a",
        colours[..., 0],
        PixelData=colours.tobytes(),
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
    )
    np.testing.assert_array_equal(decoded(path)[0], np.full((4, 4, 3), 120))


def test_colours_of_many_rows_become_rgb(tmp_path: Path) -> None:
    luminance = np.arange(1000, dtype=np.uint16).astype(np.uint8)[:, None].repeat(3, 1)
    colours = np.stack([luminance, np.full_like(luminance, 128), np.full_like(luminance, 128)], axis=2)
    path = write(
        tmp_path / "a",
        luminance,
        PixelData=colours.tobytes(),
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL",
        PlanarConfiguration=0,
    )
    np.testing.assert_array_equal(decoded(path)[0], luminance[..., None].repeat(3, 2))
