"""Charts as plain SVG, coloured by the style sheet of the page, so that they follow its light or dark mode.

Built as trees of elements: whatever a run or a source is called stands in them as text, never as markup.
Every chart has its numbers in a table beside it; its title is read out instead of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from imageclef.reporting.bootstrap import Estimate
from imageclef.reporting.calibration import Calibration

_WIDTH = 440
_MARGIN = 12
_INSET = 24
"""From the edge to the ends of an axis, so that half a tick's label fits."""
_AXIS = 26
"""Below a chart, for its ticks."""
_LETTERS = 38
"""Of a label that fit beside a number."""


@dataclass(frozen=True)
class Mark:
    """A label and its figure."""

    label: str
    estimate: Estimate


def dots(title: str, marks: Sequence[Mark], reference: float | None = None, sign: str = "") -> str:
    """A dot and its interval for each mark, below each other on one axis.

    Args:
        title: read out instead of the picture.
        marks: from the top.
        reference: where a vertical line is drawn.
        sign: "+" to write the sign of every figure.
    """
    ends = [
        end
        for mark in marks
        for end in (mark.estimate.low, mark.estimate.value, mark.estimate.high)
        if end is not None
    ]
    ticks = _ticks(*_span([*ends, *([] if reference is None else [reference])]))
    height = 38 * len(marks) + _AXIS
    svg, scale = _svg(title, height), _Scale(ticks[0], ticks[-1], _INSET, _WIDTH - _INSET)
    _grid(svg, ticks, scale, 4, height - _AXIS)
    if reference is not None:
        _line(svg, "reference", scale(reference), 4, scale(reference), height - _AXIS)
    for place, mark in enumerate(marks):
        top = 38 * place
        _text(svg, "label", _MARGIN, top + 15, _short(mark.label))
        _text(svg, "number", _WIDTH - _MARGIN, top + 15, _words(mark.estimate, sign), anchor="end")
        _whisker(svg, mark.estimate, scale, top + 26)
        if mark.estimate.value is not None:
            ET.SubElement(
                svg,
                "circle",
                {"class": "dot", "cx": _n(scale(mark.estimate.value)), "cy": _n(top + 26), "r": "4"},
            )
    return _written(svg)


def bars(title: str, groups: Sequence[tuple[str, Sequence[Mark]]]) -> str:
    """A bar from 0 to each figure, with its interval, under the name of its group.

    Args:
        title: read out instead of the picture.
        groups: a name, and its marks from the top; figures from 0 to 1.
    """
    head, step = 22, 20
    height = sum(head + step * len(marks) for _, marks in groups) + _AXIS
    svg = _svg(title, height)
    left, right = _MARGIN + 22, _WIDTH - 140
    scale, ticks = _Scale(0, 1, left, right), [0, 0.25, 0.5, 0.75, 1]
    _grid(svg, ticks, scale, 4, height - _AXIS)
    top = 0
    for name, marks in groups:
        _text(svg, "label", _MARGIN, top + 16, _short(name))
        top += head
        for mark in marks:
            _text(svg, "number", left - 6, top + 12, mark.label, anchor="end")
            end = scale(mark.estimate.value or 0)
            box = {"x": _n(left), "y": _n(top + 2), "width": _n(end - left), "height": "12"}
            ET.SubElement(svg, "rect", {"class": "bar", **box})
            _whisker(svg, mark.estimate, scale, top + 8)
            _text(svg, "number", _WIDTH - _MARGIN, top + 12, _words(mark.estimate), anchor="end")
            top += step
    return _written(svg)


def reliability(title: str, calibration: Calibration) -> str:
    """Mean score and share in the truth of each bin, beside the diagonal where they agree.

    Args:
        title: read out instead of the picture.
        calibration: of a run.
    """
    side, left = 300, 56
    height = side + _MARGIN + 44
    svg = _svg(title, height, left + side + _MARGIN)
    across = _Scale(0, 1, left, left + side)
    up = _Scale(0, 1, _MARGIN + side, _MARGIN)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        _line(svg, "grid", across(tick), _MARGIN, across(tick), _MARGIN + side)
        _line(svg, "grid", left, up(tick), left + side, up(tick))
        _text(svg, "tick", across(tick), _MARGIN + side + 16, f"{tick:g}", anchor="middle")
        _text(svg, "tick", left - 6, up(tick) + 4, f"{tick:g}", anchor="end")
    _text(svg, "tick", left + side / 2, height - 8, "mean score", anchor="middle")
    turned = _text(svg, "tick", 14, _MARGIN + side / 2, "share in the truth", anchor="middle")
    turned.set("transform", f"rotate(-90 14 {_n(_MARGIN + side / 2)})")
    _line(svg, "reference", left, _MARGIN + side, left + side, _MARGIN)
    for one in calibration.bins:
        x, observed = across(one.predicted), one.observed
        if observed.low is not None and observed.high is not None:
            _line(svg, "whisker", x, up(observed.low), x, up(observed.high))
        ET.SubElement(
            svg, "circle", {"class": "dot", "cx": _n(x), "cy": _n(up(observed.value or 0)), "r": "4"}
        )
    return _written(svg)


@dataclass(frozen=True)
class _Scale:
    """From figures to places on the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """A little more than the values cover."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = max(0.05 * (high - low), 0.005)
    return low - pad, high + pad


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round figures, as many as fit, that enclose a span."""
    raw = (high - low) / (most - 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    return [step * place for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _svg(title: str, height: float, width: float = _WIDTH) -> ET.Element:
    box = f"0 0 {_n(width)} {_n(height)}"
    svg = ET.Element("svg", {"class": "chart", "viewBox": box, "role": "img", "aria-label": title})
    svg.set("style", f"max-width:{_n(1.25 * width)}px")
    return svg


def _grid(svg: ET.Element, ticks: Sequence[float], scale: _Scale, top: float, bottom: float) -> None:
    digits = next(n for n in range(10) if n == 9 or all(abs(tick - round(tick, n)) < 1e-9 for tick in ticks))
    for tick in ticks:
        _line(svg, "grid", scale(tick), top, scale(tick), bottom)
        _text(svg, "tick", scale(tick), bottom + 16, f"{tick + 0.0:.{digits}f}", anchor="middle")


def _whisker(svg: ET.Element, estimate: Estimate, scale: _Scale, y: float) -> None:
    if estimate.low is not None and estimate.high is not None:
        _line(svg, "whisker", scale(estimate.low), y, scale(estimate.high), y)


def _line(svg: ET.Element, style: str, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": _n(x1), "y1": _n(y1), "x2": _n(x2), "y2": _n(y2)}
    ET.SubElement(svg, "line", {"class": style, **ends})


def _text(svg: ET.Element, style: str, x: float, y: float, words: str, anchor: str = "start") -> ET.Element:
    text = ET.SubElement(svg, "text", {"class": style, "x": _n(x), "y": _n(y), "text-anchor": anchor})
    text.text = words
    return text


def _words(estimate: Estimate, sign: str = "") -> str:
    if estimate.value is None:
        return "no figure"
    value, low, high = (
        "" if figure is None else f"{figure:{sign}.3f}"
        for figure in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}  ({low} to {high})" if low and high else value


def _short(label: str) -> str:
    return label if len(label) <= _LETTERS else label[: _LETTERS - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _written(svg: ET.Element) -> str:
    return ET.tostring(svg, encoding="unicode")
