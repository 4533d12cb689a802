from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from imageclef.reporting.bootstrap import Estimate
from imageclef.reporting.calibration import Bin, Calibration
from imageclef.reporting.charts import Mark, _ticks, bars, dots, reliability


def drawn(svg: str, tag: str, style: str) -> list[ET.Element]:
    return [one for one in ET.fromstring(svg).iter(tag) if one.get("class") == style]


def at(one: ET.Element, *names: str) -> list[float]:
    return [float(one.get(name, "nan")) for name in names]


def test_dots_stand_where_their_figures_are() -> None:
    svg = dots(
        "Scores", [Mark("a", Estimate(0.5, 0.4, 0.7)), Mark("b", Estimate(0.6, None, None))], reference=0.4
    )
    places = [at(one, "cx")[0] for one in drawn(svg, "circle", "dot")]
    ((low, high),) = [at(one, "x1", "x2") for one in drawn(svg, "line", "whisker")]
    (reference,) = [at(one, "x1")[0] for one in drawn(svg, "line", "reference")]
    assert reference == low
    # 0.4 to 0.7 is three times 0.5 to 0.6, wherever the axis begins.
    assert high - low == pytest.approx(3 * (places[1] - places[0]), abs=0.2)
    assert places[0] - low == pytest.approx((high - low) / 3, abs=0.2)
    written = [one.text for one in ET.fromstring(svg).iter("text")]
    assert "0.500  (0.400 to 0.700)" in written
    assert "0.600" in written
    assert ET.fromstring(svg).get("aria-label") == "Scores"


def test_differences_have_signs() -> None:
    svg = dots("Differences", [Mark("b", Estimate(0.01, -0.002, 0.022))], 0.0, sign="+")
    assert "+0.010  (-0.002 to +0.022)" in [one.text for one in ET.fromstring(svg).iter("text")]


def test_bars_begin_at_nought() -> None:
    marks = [
        Mark("1", Estimate(1.0, 0.9, 1.0)),
        Mark("2", Estimate(0.25, 0.2, 0.3)),
        Mark("3", Estimate(None, None, None)),
    ]
    svg = bars("Sources", [("chest", marks), ("skin", marks[:1])])
    widths = [at(one, "width")[0] for one in drawn(svg, "rect", "bar")]
    assert widths[1] == pytest.approx(widths[0] / 4, abs=0.2)
    assert widths[2] == 0
    assert len({at(one, "x")[0] for one in drawn(svg, "rect", "bar")}) == 1
    assert {"chest", "skin", "no figure"} <= {one.text for one in ET.fromstring(svg).iter("text")}


def test_a_calibrated_bin_lies_on_the_diagonal() -> None:
    one = Bin(10, 0.2, 0.4, 0.3, Estimate(0.3, 0.2, 0.5))
    svg = reliability("Reliability", Calibration((one,), 0, 10, 1, 1, 1))
    (diagonal,) = drawn(svg, "line", "reference")
    x1, y1, x2, y2 = at(diagonal, "x1", "y1", "x2", "y2")
    x, y = at(drawn(svg, "circle", "dot")[0], "cx", "cy")
    assert (x - x1) / (x2 - x1) == pytest.approx(0.3, abs=0.001)
    assert (y - y1) / (y2 - y1) == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.62, 0.71, [0.62, 0.64, 0.66, 0.68, 0.7, 0.72]), (-0.03, 0.011, [-0.03, -0.02, -0.01, 0, 0.01, 0.02])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert _ticks(low, high) == pytest.approx(expected)


def test_names_are_text_and_long_ones_are_cut() -> None:
    svg = dots(
        "<b>",
        [Mark("</text><script>", Estimate(0.5, None, None)), Mark("x" * 200, Estimate(0.5, None, None))],
    )
    assert "<script" not in svg
    assert "<b>" not in svg
    written = [one.text or "" for one in ET.fromstring(svg).iter("text")]
    assert "</text><script>" in written
    assert max(map(len, written)) < 50


def test_equal_figures_have_an_axis() -> None:
    svg = dots("Equal", [Mark("a", Estimate(0.5, 0.5, 0.5))] * 2)
    assert len({at(one, "cx")[0] for one in drawn(svg, "circle", "dot")}) == 1
    assert dots("None", [Mark("a", Estimate(None, None, None))])
