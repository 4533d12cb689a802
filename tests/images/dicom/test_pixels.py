from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from imageclef.images.dicom.frames import read_frame
from tests.images.dicom.made_up import item, write

RAMP = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOURS = ("Red", "Green", "Blue")


def palette(entries: list[list[int]], bits: int, first: int = 0, order: str = "<") -> dict[str, Any]:
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, column in zip(COLOURS, entries, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        elements[f"{name}Descriptor"] = [len(column), first, bits]
        elements[f"{name}Data"] = np.array(column, f"{order}u2" if bits > 8 else "u1").tobytes()
    return elements


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_palette_of_16_bits(tmp_path: Path, syntax: UID) -> None:
    order = "<" if syntax.is_little_endian else ">"
    entries = [[0, 257, 514, 65535], [65535, 0, 0, 257], [0, 0, 25700, 0]]
    pixels = read_frame(write(tmp_path / "a", RAMP, syntax, **palette(entries, 16, order=order))).pixels
    # Values beyond the table have its last entry.
    assert pixels[0].tolist() == [[0, 255, 0], [1, 0, 0], [2, 0, 100]]
    assert pixels[1].tolist() == [[255, 1, 0]] * 3


def test_a_palette_of_8_bits_for_values_of_16(tmp_path: Path) -> None:
    entries = [list(range(250, 256)) + [0] * 300] * 3
    values = np.array([[1000, 1005, 1301]], np.uint16)
    frame = read_frame(write(tmp_path / "a", values, **palette(entries, 8, first=1000)))
    assert frame.pixels[0, :, 0].tolist() == [250, 255, 0]
    assert frame.applied == "palette"


def test_a_palette_of_8_bits_declared_as_16(tmp_path: Path) -> None:
    frame = read_frame(write(tmp_path / "a", RAMP, **palette([[0, 50, 100, 150, 200, 255]] * 3, 16)))
    assert frame.pixels[..., 2].tolist() == [[0, 50, 100], [150, 200, 255]]


def test_a_segmented_palette(tmp_path: Path) -> None:
    elements = palette([[0] * 6] * 3, 16)
    for colour in COLOURS:
        del elements[f"{colour}PaletteColorLookupTableData"]
        data = np.array([0, 1, 0, 1, 5, 65535], "<u2").tobytes()
        elements[f"Segmented{colour}PaletteColorLookupTableData"] = data
    frame = read_frame(write(tmp_path / "a", RAMP, **elements))
    assert frame.pixels[..., 0].tolist() == [[0, 51, 102], [153, 204, 255]]


def test_deep_colours_are_scaled_by_their_bits(tmp_path: Path) -> None:
    colours = np.array([[[0, 2048, 4095]]], np.uint16)
    path = write(
        tmp_path / "a",
        colours[..., 0],
        PixelData=colours.tobytes(),
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsStored=12,
        HighBit=11,
    )
    frame = read_frame(path)
    assert frame.pixels.tolist() == [[[0, 128, 255]]]
    assert frame.applied == "RGB; 12 to 8 bits"


def test_luminance_and_chrominance_become_rgb(tmp_path: Path) -> None:
    colours = np.array([[[76, 85, 255], [150, 44, 21]]], np.uint8)
    path = write(
        tmp_path / "a",
        colours[..., 0],
        PixelData=colours.tobytes(),
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL",
        PlanarConfiguration=0,
    )
    frame = read_frame(path)
    assert np.abs(frame.pixels.astype(int) - [[[255, 0, 0], [0, 255, 0]]]).max() <= 2
    assert frame.applied == "YBR_FULL to RGB"


@pytest.mark.parametrize(
    ("elements", "shape"),
    [
        ({"PixelAspectRatio": ["2", "1"]}, (80, 60)),
        ({"PixelAspectRatio": ["1", "2"]}, (40, 120)),
        ({"PixelSpacing": ["0.5", "0.25"]}, (80, 60)),
        ({"ImagerPixelSpacing": ["0.1", "0.3"]}, (40, 180)),
        ({"NominalScannedPixelSpacing": ["3", "2"]}, (60, 60)),
        ({"PixelSpacing": ["1.000", "1.001"]}, (40, 60)),
        ({"PixelSpacing": ["0", "0"]}, (40, 60)),
        ({"PixelSpacing": ["1", "1000"]}, (40, 60)),
        ({"PixelSpacing": ["1"]}, (40, 60)),
        ({}, (40, 60)),
    ],
)
def test_pixels_become_square(tmp_path: Path, elements: dict[str, Any], shape: tuple[int, int]) -> None:
    values = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    frame = read_frame(write(tmp_path / "a", values, **elements))
    assert frame.pixels.shape == shape
    assert ("made square" in frame.applied) == (shape != (40, 60))
    corners = frame.pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()
    assert corners == [0, 59, 39, 98]


def test_pixels_of_a_frame_become_square(tmp_path: Path) -> None:
    groups = [item(PixelMeasuresSequence=[item(PixelSpacing=["2", "1"])]), item()]
    values = np.zeros((2, 10, 10), np.uint8)
    path = write(tmp_path / "a", values, PerFrameFunctionalGroupsSequence=groups)
    assert [read_frame(path, number).pixels.shape for number in (1, 2)] == [(20, 10), (10, 10)]
