from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import ConfigError
from imageclef.images.dicom.windows import PRESETS, Function, Window, read_window

VALUES = st.floats(-5000, 5000)


def by_the_standard(x: float, c: float, w: float, function: Function) -> float:
    """The pseudo-code of PS3.3, C.11.2.1.2.1 and C.11.2.1.3, with an output from 0 to 1."""
    if function == "SIGMOID":
        return 1 / (1 + math.exp(-4 * (x - c) / w))
    if function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0.0
        return 1.0 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


@given(VALUES, st.floats(-2000, 2000), st.floats(1, 4000), st.sampled_from(["LINEAR", "LINEAR_EXACT"]))
def test_linear_windows_are_the_standards(x: float, c: float, w: float, function: Function) -> None:
    shown = Window(c, w, function)(np.array([x]))[0]
    assert shown == pytest.approx(by_the_standard(x, c, w, function), abs=1e-6)


@given(VALUES, st.floats(-2000, 2000), st.floats(100, 4000))
def test_sigmoid_windows_are_the_standards(x: float, c: float, w: float) -> None:
    assert Window(c, w, "SIGMOID")(np.array([x]))[0] == pytest.approx(by_the_standard(x, c, w, "SIGMOID"))


def test_a_narrow_sigmoid_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        shown = Window(0, 1e-3, "SIGMOID")(np.array([-1e6, 0, 1e6]))
    assert shown == pytest.approx([0, 0.5, 1])


def test_a_window_of_width_1_is_a_threshold() -> None:
    assert Window(10, 1)(np.array([9.0, 9.5, 9.6, 10])).tolist() == [0, 0, 1, 1]


def test_a_linear_window_narrower_than_1_is_exact() -> None:
    values = np.linspace(0, 1, 11)
    exact = Window(0.5, 0.5, "LINEAR_EXACT")(values)
    np.testing.assert_allclose(Window(0.5, 0.5)(values), exact)
    assert "narrower than 1" in str(Window(0.5, 0.5))


def test_windows_and_presets_are_read() -> None:
    choice = read_window("40/400")
    assert choice.window == Window(40, 400)
    assert not choice.tomography_only
    assert read_window("-600.5/1500").window == Window(-600.5, 1500)
    for name, window in PRESETS.items():
        assert read_window(name).window == window
        assert read_window(name).tomography_only


@pytest.mark.parametrize(
    "text", ["", "40", "40/0", "40/-5", "a/b", "40/400/3", "nan/5", "Lung", "1e3/5", "40/"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected CENTER/WIDTH such as 40/400, or one of abdomen"):
        read_window(text)
