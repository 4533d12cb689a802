"""The canvas that phantoms are drawn on, and the random shapes that make no two of them alike.

A canvas is float32, (SIDE, SIDE) for grey and (SIDE, SIDE, 3) for colour, from 0 (black) to 1. Coordinates
and lengths are in units of the canvas's side, x to the right and y down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

SIDE = 240

Canvas = NDArray[np.float32]
Points = NDArray[np.float64]
Pair = Sequence[float] | Points
Colour = float | Sequence[float] | Points


@dataclass(frozen=True)
class Style:
    """How a modality's pictures come out of the machine.

    Attributes:
        modality: a word for the table of groups.
        grain: standard deviation of the noise.
        turn: the largest rotation, in degrees.
        zoom: the smallest and the largest scale.
        shading: strength of the slow change of brightness over the picture.
        background: what the picture shows beyond the canvas.
    """

    modality: str
    grain: float
    turn: float
    zoom: tuple[float, float] = (0.9, 1.1)
    shading: float = 0.0
    background: float | None = 0.0


@dataclass(frozen=True)
class Drawing:
    """A drawn anatomy and what is on it.

    Attributes:
        pixels: grey (SIDE, SIDE) or colour (SIDE, SIDE, 3).
        concepts: names of what can be seen: modality, plane, anatomy, findings.
        style: of its modality.
    """

    pixels: Canvas
    concepts: tuple[str, ...]
    style: Style


Painter = Callable[[np.random.Generator], Drawing]


def blank(value: Colour = 0.0) -> Canvas:
    """A canvas of one grey, or of one colour."""
    shape = (SIDE, SIDE) if isinstance(value, float) else (SIDE, SIDE, 3)
    return np.full(shape, value, dtype=np.float32)


def ellipse(canvas: Canvas, centre: Pair, axes: Pair, value: Colour, angle: float = 0.0) -> None:
    """Fill an ellipse with the half axes `axes`, turned clockwise by `angle` degrees."""
    where, size = _fixed(centre), _fixed(axes)
    cv2.ellipse(canvas, where, size, angle, 0, 360, _value(value), -1, cv2.LINE_8, _SHIFT)


def polygon(canvas: Canvas, points: ArrayLike, value: Colour) -> None:
    """Fill a polygon, (n_points, 2)."""
    corners = np.rint(np.asarray(points) * SIDE * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], _value(value), cv2.LINE_8, _SHIFT)


def line(canvas: Canvas, points: ArrayLike, width: float, value: Colour) -> None:
    """Draw a line of a width through points, (n_points, 2)."""
    corners = np.rint(np.asarray(points) * SIDE * (1 << _SHIFT)).astype(np.int32)
    thickness = max(1, round(width * SIDE))
    cv2.polylines(canvas, [corners], False, _value(value), thickness, cv2.LINE_8, _SHIFT)


def soft(canvas: Canvas, sigma: float) -> Canvas:
    """Blur with a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma), dtype=np.float32)


def blob(points: ArrayLike, sigma: float) -> Canvas:
    """A soft mask of a polygon, (n_points, 2): grey, from 0 to 1."""
    mask = blank()
    polygon(mask, points, 1.0)
    return soft(mask, sigma)


def mix(canvas: Canvas, mask: Canvas, value: Colour | Canvas) -> Canvas:
    """The canvas with `value` where the grey mask is 1, and between the two where it is between."""
    weight = mask if canvas.ndim == 2 else mask[..., None]
    return np.asarray(canvas + weight * (np.asarray(value, dtype=np.float32) - canvas), dtype=np.float32)


def paint(
    canvas: Canvas, points: ArrayLike, sigma: float, value: Colour | Canvas, strength: float = 1.0
) -> None:
    """Fill a polygon, (n_points, 2), with soft edges.

    Args:
        canvas: changed in place.
        points: the outline.
        sigma: of the edge, in pixels.
        value: a grey, a colour, or a whole canvas that shows through the polygon.
        strength: how much of it, from 0 to 1.
    """
    outline = np.asarray(points, dtype=np.float64)
    # Only the box that the polygon touches: most things drawn are small.
    reach = 3 * sigma / SIDE
    low = np.clip((outline.min(axis=0) - reach) * SIDE, 0, SIDE - 1).astype(int)
    high = np.clip((outline.max(axis=0) + reach) * SIDE + 2, low + 1, SIDE).astype(int)
    box = slice(low[1], high[1]), slice(low[0], high[0])
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), dtype=np.float32)
    polygon(mask, outline - low / SIDE, strength)
    shown = value[box] if isinstance(value, np.ndarray) and value.ndim > 1 else value
    canvas[box] = mix(canvas[box], soft(mask, sigma), shown)


def wobbly(
    rng: np.random.Generator,
    centre: Pair,
    axes: Pair,
    roughness: float,
    angle: float = 0.0,
    lobes: int = 7,
) -> Points:
    """The outline of an ellipse whose radius wanders, (64, 2).

    Args:
        rng: draws the waves of the outline.
        centre: of the ellipse.
        axes: half axes.
        roughness: standard deviation of the radius, relative to it.
        angle: in degrees, clockwise.
        lobes: the shortest wave of the outline, in waves to a turn.
    """
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    waves = np.arange(2, lobes + 1)
    strengths = rng.normal(size=len(waves)) / waves
    phases = rng.uniform(0, 2 * np.pi, len(waves))
    wander = (strengths * np.sin(np.outer(turn, waves) + phases)).sum(axis=1)
    radius = np.maximum(0.3, 1 + roughness * wander / max(float(wander.std()), 1e-6))
    x, y = axes[0] * radius * np.cos(turn), axes[1] * radius * np.sin(turn)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.stack([centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y], axis=1)


def scaled(outline: Points, scale: float) -> Points:
    """An outline, (n_points, 2), made larger or smaller about its middle."""
    middle = outline.mean(axis=0)
    return np.asarray(middle + (outline - middle) * scale)


def curve(*points: Pair) -> Points:
    """A smooth line through a few points, (32, 2): the polynomial through all of them."""
    return _between(len(points)) @ np.asarray(points, dtype=np.float64)


def smooth_noise(rng: np.random.Generator, cells: int) -> Canvas:
    """Noise that changes over 1 / `cells` of the side, about 0 with a deviation near 1."""
    coarse = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


@cache
def grid() -> tuple[Canvas, Canvas]:
    """Where every pixel lies from the middle, x and y, each (SIDE, SIDE), from -0.5 to 0.5."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE - 0.5
    return columns, rows


def ridges(rng: np.random.Generator, cells: int, width: float) -> Canvas:
    """Thin winding lines, 1 on the line and 0 away from it; `width` relative to the lines' distance."""
    return np.asarray(np.exp(-((smooth_noise(rng, cells) / width) ** 2)), dtype=np.float32)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


@cache
def _between(n: int) -> Points:
    """What takes n equally spaced points of a polynomial of degree n - 1 to 32 of it, (32, n)."""
    given, fine = np.vander(np.linspace(0, 1, n)), np.vander(np.linspace(0, 1, 32), n)
    return np.asarray(fine @ np.linalg.inv(given))


_SHIFT = 4


def _fixed(pair: Pair) -> tuple[int, int]:
    scale = SIDE * (1 << _SHIFT)
    return round(pair[0] * scale), round(pair[1] * scale)


def _value(value: Colour) -> tuple[float, ...]:
    return tuple(np.atleast_1d(np.asarray(value, dtype=np.float64)).tolist())
