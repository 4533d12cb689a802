from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.frames import Frame, read_frame, read_frames
from imageclef.images.dicom.windows import read_window
from tests.images.dicom.made_up import item, write

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = np.array([[0, 10, 20], [30, 40, 50]], np.uint16)


def shown(path: Path, window: str | None = None) -> Frame:
    return read_frame(path, window=read_window(window) if window else None)


def table(first: int, entries: list[int], bits: int) -> Any:
    made = item()
    made.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    made.add_new("LUTData", "US", entries)
    return made


@quick
@given(
    slope=st.floats(-50, 50).filter(lambda slope: abs(slope) > 1e-3),
    intercept=st.floats(-3000, 3000),
    center=st.floats(-2000, 2000),
    width=st.floats(2, 4000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID", ""]),
    inverted=st.booleans(),
    signed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_rescale_and_window_are_the_standards(
    tmp_path: Path,
    slope: float,
    intercept: float,
    center: float,
    width: float,
    function: str,
    inverted: bool,
    signed: bool,
    seed: int,
) -> None:
    slope, intercept, center, width = (float(f"{n:.8g}") for n in (slope, intercept, center, width))
    limits = (-(2**15), 2**15) if signed else (0, 2**16)
    stored = np.random.default_rng(seed).integers(*limits, (6, 5)).astype(np.int16 if signed else np.uint16)
    path = write(
        tmp_path / "a",
        stored,
        RescaleSlope=f"{slope:.8g}",
        RescaleIntercept=f"{intercept:.8g}",
        WindowCenter=f"{center:.8g}",
        WindowWidth=f"{width:.8g}",
        PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        **({"VOILUTFunction": function} if function else {}),
    )
    values = stored * slope + intercept
    if function == "SIGMOID":
        expected = 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    elif function == "LINEAR_EXACT":
        expected = np.clip((values - (center - width / 2)) / width, 0, 1)
    else:
        expected = np.clip((values - (center - width / 2)) / (width - 1), 0, 1)
    expected = 255 * (1 - expected if inverted else expected)
    assert np.abs(shown(path).pixels - expected).max() <= 0.5 + 1e-6


def test_without_a_window_the_range_is_spread(tmp_path: Path) -> None:
    frame = shown(write(tmp_path / "a", VALUES + 1000))
    np.testing.assert_array_equal(frame.pixels, np.rint(VALUES * 5.1))
    assert frame.applied == "range of its own values"


def test_eight_bits_without_a_window_stay_as_they_are(tmp_path: Path) -> None:
    frame = shown(write(tmp_path / "a", VALUES.astype(np.uint8)))
    np.testing.assert_array_equal(frame.pixels, VALUES)
    assert frame.applied == "range of the stored bits"
    signed = shown(write(tmp_path / "b", (VALUES - 20).astype(np.int8)))
    np.testing.assert_array_equal(signed.pixels, VALUES - 20 + 128)


@pytest.mark.parametrize(("value", "level"), [(0, 0), (7, 255)])
def test_one_value_is_black_or_white(tmp_path: Path, value: int, level: int) -> None:
    path = write(tmp_path / "a", np.full((4, 4), value, np.uint16))
    assert np.unique(shown(path).pixels).tolist() == [level]


def test_monochrome1_is_inverted_after_the_window(tmp_path: Path) -> None:
    elements = {"WindowCenter": "20.5", "WindowWidth": "52"}
    plain = shown(write(tmp_path / "a", VALUES, **elements))
    inverted = shown(write(tmp_path / "b", VALUES, PhotometricInterpretation="MONOCHROME1", **elements))
    np.testing.assert_allclose(inverted.pixels, 255 - plain.pixels.astype(float), atol=1)  # halves
    assert inverted.applied == "window 20.5/52 (linear); inverted"


def test_the_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    elements = {"WindowCenter": ["40", "1"], "WindowWidth": ["400", "2"]}
    assert shown(write(tmp_path / "a", VALUES, **elements)).applied == "window 40/400 (linear)"


@pytest.mark.parametrize("width", ["0", "-5"])
def test_an_impossible_window_is_none(tmp_path: Path, width: str) -> None:
    path = write(tmp_path / "a", VALUES, WindowCenter="40", WindowWidth=width)
    assert shown(path).applied == (
        "range of its own values; window left out, as it is not a center and a width above 0"
    )


def test_a_slope_of_0_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a", VALUES, RescaleSlope="0", RescaleIntercept="5")
    assert len(np.unique(shown(path).pixels)) == VALUES.size


def test_the_users_window_comes_before_the_files(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a",
        VALUES,
        WindowCenter="1",
        WindowWidth="2",
        VOILUTSequence=[table(0, [5, 9], 8)],
        RescaleSlope="1",
        RescaleIntercept="-10",
    )
    frame = shown(path, "20.5/31")
    np.testing.assert_array_equal(frame.pixels, [[0, 0, 43], [128, 212, 255]])
    assert frame.applied == "rescale 1 -10; window 20.5/31 (linear)"


def test_a_preset_is_for_tomography_only(tmp_path: Path) -> None:
    assert shown(write(tmp_path / "a", VALUES), "lung").applied == "window -600/1500 (linear)"
    other = shown(write(tmp_path / "b", VALUES, Modality="MR"), "lung")
    assert other.applied == "range of its own values"
    assert shown(write(tmp_path / "c", VALUES, Modality="MR"), "40/400").applied == "window 40/400 (linear)"


def test_tables_come_before_slopes_and_windows(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a",
        VALUES,
        RescaleSlope="3",
        RescaleIntercept="3",
        ModalityLUTSequence=[table(10, [-5 & 0xFFFF, 100, 200], 16)],
        WindowCenter="1",
        WindowWidth="1",
        VOILUTSequence=[table(100, [0, *[50] * 99, 255], 8)],
    )
    # 0 and 10 have the first entry, all others the last.
    frame = shown(path)
    assert frame.pixels.tolist() == [[255, 255, 255], [255, 255, 255]]
    assert frame.applied == "modality table; table of values of interest"
    path = write(
        tmp_path / "b", np.array([[9, 11, 12]], np.uint16), ModalityLUTSequence=[table(10, [1, 2, 4], 16)]
    )
    assert shown(path).pixels.tolist() == [[0, 85, 255]]


def test_a_table_of_12_bits_is_scaled_by_its_bits(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a", np.array([[0, 1, 2]], np.uint16), VOILUTSequence=[table(0, [0, 2048, 4095], 12)]
    )
    assert shown(path).pixels.tolist() == [[0, 128, 255]]


def test_padding_is_black_and_out_of_the_range(tmp_path: Path) -> None:
    values = np.array([[-2000, -1000], [0, 1000]], np.int16)
    path = write(tmp_path / "a", values)
    with_padding = write(tmp_path / "b", values)
    dataset = dcmread(with_padding)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.save_as(with_padding)
    assert shown(path).pixels.tolist() == [[0, 85], [170, 255]]
    frame = shown(with_padding)
    assert frame.pixels.tolist() == [[0, 0], [128, 255]]
    assert frame.applied == "range of its own values; padding -2000 black"


def test_padding_is_black_where_small_is_white(tmp_path: Path) -> None:
    path = write(tmp_path / "a", VALUES, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    assert shown(path).pixels.tolist() == [[0, 255, 191], [128, 64, 0]]


@pytest.mark.parametrize("limits", [(10, 30), (30, 10)])
def test_padding_may_be_a_range(tmp_path: Path, limits: tuple[int, int]) -> None:
    path = write(tmp_path / "a", VALUES, PixelPaddingValue=limits[0], PixelPaddingRangeLimit=limits[1])
    frame = shown(path)
    assert frame.pixels.tolist() == [[0, 0, 0], [0, 204, 255]]
    assert frame.applied.endswith("padding 10 to 30 black")


def test_padding_written_unsigned_beside_signed_values(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.array([[-2000, 0, 100]], np.int16))
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    dataset.save_as(path)
    assert shown(path).pixels.tolist() == [[0, 0, 255]]


def test_nothing_but_padding_is_black(tmp_path: Path) -> None:
    path = write(tmp_path / "a", np.full((3, 3), 7, np.uint16), PixelPaddingValue=7)
    assert not shown(path).pixels.any()


def test_frames_have_their_own_slopes_and_windows(tmp_path: Path) -> None:
    def group(slope: str, center: str) -> Any:
        return item(
            PixelValueTransformationSequence=[
                item(RescaleSlope=slope, RescaleIntercept="-1", RescaleType="HU")
            ],
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth="101")],
        )

    path = write(
        tmp_path / "a",
        np.stack([VALUES] * 3),
        RescaleSlope="7",
        RescaleIntercept="7",
        SharedFunctionalGroupsSequence=[group("3", "70.5")],
        PerFrameFunctionalGroupsSequence=[group("1", "50.5"), group("2", "60.5"), item()],
    )
    frames = list(read_frames(path, frames=FrameChoice("all")))
    for frame, slope, center in zip(frames, (1, 2, 3), (50, 60, 70), strict=True):
        values = VALUES.astype(float) * slope - 1
        expected = np.clip((values - center) / 100 + 0.5, 0, 1) * 255
        assert np.abs(frame.pixels - expected).max() <= 0.5 + 1e-9
    assert frames[1].applied == "rescale 2 -1; window 60.5/101 (linear); frame 2 of 3"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_spread_and_what_is_none_is_black(tmp_path: Path, dtype: Any) -> None:
    values = np.array([[-1, 0, 1], [np.nan, np.inf, -np.inf]], dtype)
    path = write(tmp_path / "a", VALUES)
    dataset = dcmread(path)
    del dataset.PixelData, dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit
    dataset.BitsAllocated = values.dtype.itemsize * 8
    if dtype == np.float32:
        dataset.FloatPixelData = values.tobytes()
    else:
        dataset.DoubleFloatPixelData = values.tobytes()
    dataset.save_as(path)
    assert shown(path).pixels.tolist() == [[0, 128, 255], [0, 0, 0]]


def test_values_of_32_bits(tmp_path: Path) -> None:
    values = np.array([[0, 2**31], [2**30, 2**32 - 1]], np.uint32)
    expected = np.rint(values.astype(float) * 255 / (2**32 - 1))
    np.testing.assert_array_equal(shown(write(tmp_path / "a", values)).pixels, expected)


def test_a_large_frame_is_shown_in_blocks(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2**16, (1500, 900), dtype=np.uint16)
    path = write(tmp_path / "a", values, WindowCenter="30000", WindowWidth="20000")
    expected = np.clip((values - 29999.5) / 19999 + 0.5, 0, 1) * 255
    assert np.abs(shown(path).pixels - expected).max() <= 0.5 + 1e-9
