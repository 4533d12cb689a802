"""Drawn ultrasound: a fan with a gallbladder, a breast under a straight probe. All of it is speckle."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from imageclef.data.drawing.canvas import (
    SIDE,
    Canvas,
    Drawing,
    Points,
    Style,
    chance,
    curve,
    ellipse,
    grid,
    line,
    paint,
    scaled,
    smooth_noise,
    wobbly,
)

_STYLE = Style("ultrasound", grain=0.012, turn=2, zoom=(0.94, 1.04))
_APEX, _NEAR, _FAR, _HALF_ANGLE = (0.5, -0.10), 0.17, 1.06, np.radians(37)


def gallbladder(rng: np.random.Generator) -> Drawing:
    """A liver with a gallbladder in a fan; sometimes with stones, which throw shadows."""
    stones = chance(rng, 0.5)
    tissue = np.asarray(0.42 + 0.07 * smooth_noise(rng, 7), np.float32)
    line(tissue, curve((0.0, 0.80), (0.45, 0.86), (1.0, 0.74)), 0.022, 0.95)
    for centre in rng.uniform((0.3, 0.25), (0.7, 0.7), (rng.integers(2, 5), 2)):
        paint(tissue, wobbly(rng, centre, rng.uniform((0.03, 0.01), (0.08, 0.018)), 0.05), 1, 0.10)
    angle = rng.uniform(-50, 20)
    centre = rng.uniform((0.42, 0.42), (0.6, 0.52))
    bag = wobbly(rng, centre, (0.175, 0.085), 0.03, angle)
    paint(tissue, bag + np.array([0, 0.14]), 5, 0.85, 0.55)
    paint(tissue, scaled(bag, 1.09), 1.2, 0.75)
    paint(tissue, bag, 1.2, 0.02)
    if stones:
        along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        for offset in rng.uniform(-0.1, 0.1, rng.integers(1, 4)):
            where = centre + offset * along + np.array([0, 0.045])
            _shadow(tissue, where, 0.03, 0.03)
            ellipse(tissue, where, (0.032, 0.018), 1.0, angle)
    found = ("Cholelithiasis",) if stones else ()
    concepts = ("Ultrasonography", "Abdomen", "Liver", "Gallbladder", *found)
    return Drawing(np.asarray(tissue * _speckle(rng, _to_fan()) * _fan(), np.float32), concepts, _STYLE)


def breast(rng: np.random.Generator) -> Drawing:
    """A breast in layers; sometimes a cyst, which is black and smooth, or a ragged tumour with a shadow."""
    finding = str(rng.choice(["Cyst", "Malignant neoplasm of breast"])) if chance(rng, 0.7) else ""
    tissue = np.asarray(0.34 + 0.05 * smooth_noise(rng, 9), np.float32)
    for y, value, width in ((0.03, 0.8, 0.035), (0.30, 0.62, 0.03), (0.72, 0.7, 0.02), (0.80, 0.6, 0.02)):
        bend = rng.normal(0, 0.02, 3)
        line(tissue, curve((-0.1, y + bend[0]), (0.5, y + bend[1]), (1.1, y + bend[2])), width, value)
    for _ in range(14):
        x, y = rng.uniform(0, 1), rng.uniform(0.32, 0.66)
        streak = curve((x - 0.12, y), (x, y + rng.normal(0, 0.02)), (x + 0.12, y + rng.normal(0, 0.02)))
        line(tissue, streak, 0.014, 0.58)
    centre = (rng.uniform(0.33, 0.67), rng.uniform(0.42, 0.52))
    if finding == "Cyst":
        sac = wobbly(rng, centre, rng.uniform((0.10, 0.07), (0.15, 0.10)), 0.02)
        paint(tissue, sac + np.array([0, 0.2]), 6, 0.8, 0.8)
        paint(tissue, sac, 1.2, 0.02)
    elif finding:
        lump = wobbly(rng, centre, rng.uniform((0.08, 0.08), (0.12, 0.13)), 0.20, lobes=12)
        _shadow(tissue, np.array(centre), 0.09, 0.08)
        paint(tissue, lump, 1.5, np.asarray(0.13 + 0.06 * smooth_noise(rng, 20), np.float32))
    picture = tissue * _speckle(rng, None) * np.linspace(1.1, 0.6, SIDE, dtype=np.float32)[:, None]
    concepts = ("Ultrasonography", "Breast", *((finding,) if finding else ()))
    return Drawing(np.asarray(picture, np.float32), concepts, _STYLE)


def _shadow(tissue: Canvas, where: Points, width: float, value: float) -> None:
    """Darken what lies behind a thing, seen from the probe."""
    away = (where - np.array(_APEX)) / np.hypot(*(where - np.array(_APEX)))
    across = np.array([away[1], -away[0]]) * width
    far = where + away
    paint(tissue, [where - across, where + across, far + 1.6 * across, far - 1.6 * across], 2.5, value, 0.85)


def _speckle(rng: np.random.Generator, to_fan: tuple[Canvas, Canvas] | None) -> Canvas:
    """The amplitude of many scattered waves: Rayleigh-distributed, wider than deep."""
    waves = rng.standard_normal((2, SIDE, SIDE), dtype=np.float32)
    real, imaginary = (cv2.GaussianBlur(wave, (0, 0), sigmaX=1.9, sigmaY=0.9) for wave in waves)
    amplitude = np.hypot(real, imaginary)
    amplitude = 0.15 + 0.85 * amplitude / amplitude.mean()
    if to_fan is not None:
        amplitude = cv2.remap(amplitude, *to_fan, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(amplitude, np.float32)


@cache
def _polar() -> tuple[Canvas, Canvas]:
    """Distance from the apex and angle from straight down, each (SIDE, SIDE)."""
    x, y = grid()
    right, down = x + (0.5 - _APEX[0]), y + (0.5 - _APEX[1])
    return np.hypot(right, down), np.arctan2(right, down)


@cache
def _to_fan() -> tuple[Canvas, Canvas]:
    """Where each pixel of a fan lies in a square of angle by depth."""
    depth, angle = _polar()
    x = (angle / _HALF_ANGLE + 1) / 2 * (SIDE - 1)
    y = (depth - _NEAR) / (_FAR - _NEAR) * (SIDE - 1)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


@cache
def _fan() -> Canvas:
    """1 inside the fan, darker with depth, and 0 outside."""
    depth, angle = _polar()
    inside = (np.abs(angle) < _HALF_ANGLE) & (depth > _NEAR) & (depth < _FAR)
    return np.asarray(np.where(inside, 1.2 - 0.5 * depth, 0), np.float32)
