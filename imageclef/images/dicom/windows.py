"""Windows: which values become black and white, and how those between them are spread.

Reference: DICOM PS3.3, C.11.2.1.2 "Window Center and Window Width" and C.11.2.1.3 "VOI LUT Function".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import ConfigError

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_CENTER_WIDTH = re.compile(rf"({_NUMBER})/({_NUMBER})")


@dataclass(frozen=True)
class Window:
    """A window.

    Attributes:
        center: the value that becomes mid-grey.
        width: from black to white, above 0.
        function: how values between are spread.
    """

    center: float
    width: float
    function: Function = "LINEAR"

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Brightness from 0 (black) to 1 (white) of values of any shape."""
        if self.function == "SIGMOID":
            # Beyond 500 the exponential is 0 to every digit, and above 709 it overflows.
            exponent = np.clip(-4 * (values - self.center) / self.width, -500, 500)
            return np.asarray(1 / (1 + np.exp(exponent)))
        center, width = self.center, self.width
        if self.function == "LINEAR" and width >= 1:
            center, width = center - 0.5, width - 1
            if width == 0:
                return np.asarray(values > center, np.float64)
        return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))

    def __str__(self) -> str:
        exact = self.function == "LINEAR" and self.width < 1
        function = "linear_exact, as it is narrower than 1" if exact else self.function.lower()
        return f"window {self.center:g}/{self.width:g} ({function})"


PRESETS: Mapping[str, Window] = {
    "abdomen": Window(40, 400),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
    "liver": Window(30, 150),
    "lung": Window(-600, 1500),
    "mediastinum": Window(50, 350),
    "stroke": Window(40, 40),
    "subdural": Window(75, 215),
    "temporal-bone": Window(600, 2800),
}
"""Customary windows of computed tomography, in Hounsfield units."""


@dataclass(frozen=True)
class WindowChoice:
    """A window that the user wants in place of the file's own.

    Attributes:
        window: the window.
        tomography_only: it is in Hounsfield units, which only computed tomography has.
    """

    window: Window
    tomography_only: bool


def read_window(text: str) -> WindowChoice:
    """Read ``CENTER/WIDTH``, such as ``40/400``, which holds for every grey picture, or the name of a preset.

    Raises:
        ConfigError: it is neither.
    """
    if text in PRESETS:
        return WindowChoice(PRESETS[text], tomography_only=True)
    if match := _CENTER_WIDTH.fullmatch(text):
        center, width = (float(number) for number in match.groups())
        if width > 0 and math.isfinite(center) and math.isfinite(width):
            return WindowChoice(Window(center, width), tomography_only=False)
    raise ConfigError(
        f"window '{text}': expected CENTER/WIDTH such as 40/400, or one of {', '.join(PRESETS)}"
    )
