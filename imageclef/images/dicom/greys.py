"""The grey values of a frame: from stored values over the modality's to brightness.

    stored value -> modality: its table, or slope and intercept -> interest: the user's window, the file's
    table or window, or else the range of the values -> inverted if MONOCHROME1 -> 0 to 255; padding is black

Every step depends on the stored value only, so that it is taken once for each value, not for each pixel.

Reference: DICOM PS3.3, C.7.6.3.1.2 (photometric interpretation), C.7.5.1.1.2 (padding), C.11.1 (modality),
C.11.2 (values of interest), C.7.6.16.2.9 and C.7.6.16.2.10 (of a frame); PS3.4, N.2 (their order).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from imageclef.errors import ImageRefused
from imageclef.images.dicom.encoded import LOSSY
from imageclef.images.dicom.groups import item_with, items_of
from imageclef.images.dicom.header import is_little_endian, numbers_of, only_number_of, value_of
from imageclef.images.dicom.samples import blocks
from imageclef.images.dicom.stored import Stored
from imageclef.images.dicom.tables import Table, read_table
from imageclef.images.dicom.windows import Function, Window, WindowChoice

_FUNCTIONS: tuple[Function, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_MOST_VALUES = 2**17
"""Frames whose values span more are computed pixel by pixel."""
_SHALLOW = 8
_BLUR, _REACH = 64, 8
"""Lossy compression blurs padding: values within this part of the range of it count as padding, and pixels
within a block of JPEG around it are left out of the range."""


@dataclass(frozen=True)
class Rescale:
    """Slope and intercept."""

    slope: float
    intercept: float

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The modality's values of stored ones."""
        return values * self.slope + self.intercept


@dataclass(frozen=True)
class Greys:
    """What is done with the stored values of a frame.

    Attributes:
        modality: to the modality's values; None leaves them.
        interest: to brightness; None spreads the range of the values.
        inverted: the smallest value is white.
        padding: the least and greatest stored value that stand for no measurement.
        stored_range: all that can be stored, where that is the range to be spread; None takes the range of
            what is there.
        lossy: values were compressed with loss, so that padding is blurred.
        left_out: what of the header cannot be used, in words.
    """

    modality: Table | Rescale | None
    interest: Table | Window | None
    inverted: bool
    padding: tuple[int, int] | None
    stored_range: tuple[int, int] | None
    lossy: bool = False
    left_out: tuple[str, ...] = ()

    def levels(self, frame: NDArray[Any]) -> NDArray[np.uint8]:
        """Levels from 0 to 255 of stored values, both (rows, columns)."""
        if self.lossy and self.padding is not None:
            return self._levels_of_blurred(frame)
        low, high = self._bounds(frame)
        return self._between(frame, low, high)

    def _levels_of_blurred(self, frame: NDArray[Any]) -> NDArray[np.uint8]:
        """As `levels`, of a frame in which lossy compression has blurred the edges of the padding.

        What is almost padding counts as padding, and pixels near it are left out of the range.
        """
        assert self.padding is not None
        least, most = int(frame.min()), int(frame.max())
        slack = max(1, (most - least) // _BLUR)
        low, high = self.padding
        if (
            low > least + slack and high < most - slack
        ):  # among the values, padding has no neighbours to spare
            return replace(self, lossy=False).levels(frame)
        wider = replace(self, lossy=False, padding=(low - slack, high + slack))
        padded = np.asarray((frame >= low - slack) & (frame <= high + slack), np.uint8)
        side = 2 * _REACH + 1
        near = cv2.dilate(padded, np.ones((side, side), np.uint8)).astype(np.bool_)
        inside = frame[~near] if not near.all() else frame[~padded.astype(np.bool_)]
        return wider._between(frame, *wider._bounds(inside.reshape(-1, 1) if inside.size else frame))

    def _between(self, frame: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
        """Levels, where values from low to high are spread if there is no window."""
        if frame.dtype.kind == "f":
            return self._each(frame, low, high)
        least, most = int(frame.min()), int(frame.max())
        if most - least >= min(_MOST_VALUES, frame.size):
            return self._each(frame, low, high)
        of_value = self._shown(np.arange(least, most + 1, dtype=np.float64), low, high)
        levels = np.empty(frame.shape, np.uint8)
        for rows in blocks(frame):
            levels[rows] = of_value[frame[rows].astype(np.int64) - least]
        return levels

    def __str__(self) -> str:
        done = []
        if isinstance(self.modality, Table):
            done.append("modality table")
        elif self.modality is not None:
            done.append(f"rescale {self.modality.slope:g} {self.modality.intercept:+g}")
        if isinstance(self.interest, Table):
            note = f" of {self.interest.note}" if self.interest.note else ""
            done.append(f"table of values of interest{note}")
        elif self.interest is not None:
            done.append(str(self.interest))
        else:
            done.append("range of the stored bits" if self.stored_range else "range of its own values")
        if self.inverted:
            done.append("inverted")
        done += self.left_out
        if self.padding:
            low, high = self.padding
            about = "about " if self.lossy else ""
            done.append(
                f"padding {about}{low} black" if low == high else f"padding {about}{low} to {high} black"
            )
        return "; ".join(done)

    def _values(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.modality(stored) if self.modality is not None else stored

    def _is_padding(self, stored: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self.padding is None:
            return np.zeros(stored.shape, np.bool_)
        return np.asarray((stored >= self.padding[0]) & (stored <= self.padding[1]))

    def _bounds(self, frame: NDArray[Any]) -> tuple[float, float]:
        """The values that become 0 and 255 where no window says so."""
        if self.interest is not None:
            return 0.0, 1.0
        if self.stored_range is not None:
            ends = self._values(np.array(self.stored_range, np.float64))
            return float(ends.min()), float(ends.max())
        low, high = math.inf, -math.inf
        for rows in blocks(frame):
            stored = frame[rows].astype(np.float64)
            values = self._values(stored)
            values = values[np.isfinite(values) & ~self._is_padding(stored)]
            low = min(low, float(values.min(initial=math.inf)))
            high = max(high, float(values.max(initial=-math.inf)))
        return low, high

    def _each(self, frame: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
        levels = np.empty(frame.shape, np.uint8)
        for rows in blocks(frame):
            levels[rows] = self._shown(frame[rows].astype(np.float64), low, high)
        return levels

    def _shown(self, stored: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
        values = self._values(stored)
        if isinstance(self.interest, Table):
            brightness = self.interest(values) / self.interest.peak
        elif self.interest is not None:
            brightness = self.interest(values)
        elif low < high:
            brightness = np.clip((values - low) / (high - low), 0, 1)
        else:  # one value, or none: as for other formats, white where it is positive
            brightness = np.asarray(values > 0, np.float64)
        if self.inverted:
            brightness = 1 - brightness
        shown = np.where(np.isfinite(values) & ~self._is_padding(stored), brightness, 0)
        return np.asarray(np.rint(shown * 255), np.uint8)


def read_greys(dataset: Dataset, pixels: Stored, index: int, choice: WindowChoice | None) -> Greys:
    """What the header, and the user, want done with a frame.

    Args:
        dataset: the header.
        pixels: what it says of the pixels.
        index: of the frame, from 0.
        choice: a window in place of the file's own.

    Raises:
        ImageRefused: a table is damaged.
    """
    left_out: list[str] = []
    interest = _chosen(dataset, choice) or _interest(dataset, index, left_out)
    shallow = pixels.bits_stored <= _SHALLOW and not pixels.floating
    return Greys(
        modality=_modality(dataset, index, left_out),
        interest=interest,
        inverted=pixels.photometric == "MONOCHROME1",
        padding=_padding(dataset, pixels),
        stored_range=_range(pixels) if shallow and interest is None else None,
        lossy=pixels.syntax in LOSSY or value_of(dataset, "LossyImageCompression") == "01",
        left_out=tuple(left_out),
    )


def _table(dataset: Dataset, keyword: str, name: str, left_out: list[str]) -> Table | None:
    """The first whole table of a sequence: it is optional, so one that is empty or short counts as absent."""
    items = items_of(dataset, keyword)
    for item in items:
        try:
            return read_table(item, "LUTDescriptor", "LUTData", is_little_endian(dataset))
        except ImageRefused:
            continue
    if items:
        left_out.append(f"{name} left out, as it is not whole")
    return None


def _modality(dataset: Dataset, index: int, left_out: list[str]) -> Table | Rescale | None:
    if table := _table(dataset, "ModalityLUTSequence", "modality table", left_out):
        return table
    macro = "PixelValueTransformationSequence"
    item = item_with(dataset, index, macro, "RescaleSlope") or item_with(
        dataset, index, macro, "RescaleIntercept"
    )
    if item is None:
        return None
    slope, intercept = only_number_of(item, "RescaleSlope"), only_number_of(item, "RescaleIntercept")
    # A slope of 0 would make every pixel the same; the standard has none.
    if None in (slope, intercept):
        left_out.append("rescale not taken in full, as it is not two numbers")
    rescale = Rescale(slope or 1.0, intercept or 0.0)
    return None if slope == 0 or rescale == Rescale(1, 0) else rescale


def _chosen(dataset: Dataset, choice: WindowChoice | None) -> Window | None:
    if choice is None or (choice.tomography_only and value_of(dataset, "Modality") != "CT"):
        return None
    return choice.window


def _interest(dataset: Dataset, index: int, left_out: list[str]) -> Table | Window | None:
    """The first table, else the first window that is one."""
    if table := _table(dataset, "VOILUTSequence", "table of values of interest", left_out):
        return table
    item = item_with(dataset, index, "FrameVOILUTSequence", "WindowCenter")
    if item is None:
        return None
    named = str(value_of(item, "VOILUTFunction", "")).strip()
    function: Function = next((one for one in _FUNCTIONS if one == named), "LINEAR")
    centers, widths = numbers_of(item, "WindowCenter"), numbers_of(item, "WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        if center is not None and width is not None and width > 0:
            return Window(center, width, function)
    left_out.append("window left out, as it is not a center and a width above 0")
    return None


def _padding(dataset: Dataset, pixels: Stored) -> tuple[int, int] | None:
    value = _as_stored(dataset, "PixelPaddingValue", pixels)
    if value is None or pixels.floating:
        return None
    limit = _as_stored(dataset, "PixelPaddingRangeLimit", pixels)
    ends = value, value if limit is None else limit
    return min(ends), max(ends)


def _as_stored(dataset: Dataset, keyword: str, pixels: Stored) -> int | None:
    """A padding value among stored ones: writers take US for SS and the other way round."""
    value: Any = value_of(dataset, keyword)
    if isinstance(value, bytes):
        number = int.from_bytes(value[:2], "little" if is_little_endian(dataset) else "big")
    elif (only := only_number_of(dataset, keyword)) is not None:
        number = int(only)
    else:
        return None
    if pixels.signed and number >= 2**15 and pixels.bits_allocated == 16:
        return number - 2**16
    if not pixels.signed and number < 0:
        return number + 2**16
    return number


def _range(pixels: Stored) -> tuple[int, int]:
    bits = pixels.bits_stored
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if pixels.signed else (0, (1 << bits) - 1)
