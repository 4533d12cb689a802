"""A decoded frame becomes 8-bit grey or RGB, its pixels square.

Overlays and colour profiles are not applied: the first are drawn over a picture, the second are of a screen.

Reference: DICOM PS3.3, C.7.6.3.1.2 (photometric interpretation), C.7.6.3.1.5 (palettes), C.7.6.3.1.7
(aspect).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imageclef.errors import ImageRefused
from imageclef.images.dicom.greys import read_greys
from imageclef.images.dicom.groups import item_with
from imageclef.images.dicom.header import is_little_endian, numbers_of, value_of
from imageclef.images.dicom.samples import blocks
from imageclef.images.dicom.stored import Stored
from imageclef.images.dicom.tables import Table, read_segmented, read_table
from imageclef.images.dicom.windows import WindowChoice
from imageclef.images.refusals import MAX_PIXELS

_CHANNELS = ("Red", "Green", "Blue")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")

_SQUARE = 0.01
"""Sides of a pixel that differ by less are the same: rounding in the header."""
_MOST_ASPECT = 16.0
"""Sides that differ by more are an error in the header."""


def picture(
    frame: NDArray[Any],
    photometric: str,
    dataset: Dataset,
    pixels: Stored,
    index: int,
    choice: WindowChoice | None,
) -> tuple[NDArray[np.uint8], str]:
    """Bring a frame to 8 bits.

    Args:
        frame: stored values (rows, columns) or (rows, columns, 3).
        photometric: what they are now, after decoding.
        dataset: the header.
        pixels: what it says of the pixels.
        index: of the frame, from 0.
        choice: a window in place of the file's own, for grey pictures.

    Returns:
        Grey (rows, columns) or RGB (rows, columns, 3), and what was applied.

    Raises:
        ImageRefused: a table is damaged.
    """
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        greys = read_greys(dataset, pixels, index, choice)
        return greys.levels(frame), str(greys)
    if photometric == "PALETTE COLOR":
        return _coloured(frame, dataset), "palette"
    if photometric != "RGB" or frame.ndim != 3:
        raise ImageRefused("unsupported", "its colours did not become RGB")
    bits = pixels.bits_stored
    applied = "RGB" if pixels.photometric == "RGB" else f"{pixels.photometric} to RGB"
    return _eight_bits(frame, bits), applied if bits == 8 else f"{applied}; {bits} to 8 bits"


def squared(levels: NDArray[np.uint8], dataset: Dataset, index: int) -> tuple[NDArray[np.uint8], str]:
    """Stretch a picture whose pixels are not square along the axis in which they are longer.

    Args:
        levels: grey (rows, columns) or RGB (rows, columns, 3).
        dataset: the header.
        index: of the frame, from 0.

    Returns:
        The picture, and what was done: nothing where the pixels are square or it is not known.
    """
    tall = _aspect(dataset, index)
    if tall is None:
        return levels, ""
    rows, columns = levels.shape[:2]
    size = (columns, round(rows * tall)) if tall > 1 else (round(columns / tall), rows)
    if size[0] * size[1] > MAX_PIXELS:
        return levels, f"pixels {tall:.4g} times as tall as wide left so, as the picture is large"
    stretched = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(stretched, np.uint8), f"pixels {tall:.4g} times as tall as wide made square"


def _aspect(dataset: Dataset, index: int) -> float | None:
    """Height of a pixel by its width; None where it is square, unknown or impossible."""
    places: list[tuple[Dataset | None, str]] = [(dataset, "PixelAspectRatio")]
    places.append((item_with(dataset, index, "PixelMeasuresSequence", "PixelSpacing"), "PixelSpacing"))
    places += [(dataset, keyword) for keyword in _SPACINGS[1:]]
    for item, keyword in places:
        sides = numbers_of(item, keyword) if item is not None else []
        if len(sides) != 2 or not all(side is not None and side > 0 for side in sides):
            continue
        ratio = (sides[0] or 0) / (sides[1] or 1)
        if abs(ratio - 1) < _SQUARE or not 1 / _MOST_ASPECT <= ratio <= _MOST_ASPECT:
            return None
        return ratio
    return None


def _coloured(frame: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """The palette's colours."""
    tables = [_palette(dataset, channel) for channel in _CHANNELS]
    peak = max(table.peak for table in tables)
    # Palettes of 8 bits that are declared, and stored, as 16 would come out black.
    if peak > 255 and max(int(table.entries.max()) for table in tables) <= 255:
        peak = 255
    colours = np.empty((*frame.shape, 3), np.uint8)
    for channel, table in enumerate(tables):
        shades = np.rint(table.entries.astype(np.float64) * 255 / peak).astype(np.uint8)
        for rows in blocks(frame):
            index = frame[rows].astype(np.int64) - table.first
            colours[rows, :, channel] = shades[np.clip(index, 0, len(shades) - 1)]
    return colours


def _palette(dataset: Dataset, channel: str) -> Table:
    little = is_little_endian(dataset)
    name = f"{channel}PaletteColorLookupTable"
    if value_of(dataset, f"{name}Data") is not None:
        return read_table(dataset, f"{name}Descriptor", f"{name}Data", little)
    return read_segmented(dataset, f"{name}Descriptor", f"Segmented{name}Data", little)


def _eight_bits(frame: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Samples of so many bits."""
    if frame.dtype == np.uint8 and bits == 8:
        return frame
    levels = np.empty(frame.shape, np.uint8)
    for rows in blocks(frame):
        levels[rows] = np.rint(frame[rows].clip(0, 2**bits - 1) * (255 / (2**bits - 1)))
    return levels
