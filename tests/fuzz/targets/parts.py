"""Inputs that stand for several files."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

BESIDE = b"\n-----8<-----\n"
"""Between two files."""


def npy(array: NDArray[Any], version: tuple[int, int] = (1, 0)) -> bytes:
    """The bytes of a .npy file."""
    file = BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()
