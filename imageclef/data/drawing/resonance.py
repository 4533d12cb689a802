"""Drawn sections of magnetic resonance: the brain from above and from the side, the spine from the side.

Some brains are drawn with bright fluid and some with dark, as the weighting of the real ones has it.
"""

from __future__ import annotations

import numpy as np

from imageclef.data.drawing.canvas import (
    Canvas,
    Drawing,
    Points,
    Style,
    blank,
    chance,
    curve,
    ellipse,
    grid,
    line,
    mix,
    paint,
    polygon,
    ridges,
    scaled,
    smooth_noise,
    soft,
    wobbly,
)
from imageclef.data.drawing.tomograms import ventricles

_STYLE = Style("mri", grain=0.022, turn=9, zoom=(0.88, 1.08), shading=0.14)
_MRI = "Magnetic Resonance Imaging"


def axial(rng: np.random.Generator) -> Drawing:
    """A brain from above; sometimes with a tumour, spots beside the ventricles, or wide ventricles."""
    kinds = ("Brain Neoplasms", "Multiple Sclerosis", "Hydrocephalus")
    finding = str(rng.choice(kinds)) if chance(rng, 0.6) else ""
    grey, white, fluid = (0.62, 0.42, 0.92) if chance(rng, 0.5) else (0.42, 0.62, 0.12)
    axes = np.array([0.34, 0.42]) * rng.uniform(0.95, 1.05, 2)
    scalp = wobbly(rng, (0.5, 0.5), axes * 1.08, 0.012, lobes=4)
    picture = blank()
    paint(picture, scalp, 1, 0.8)
    paint(picture, scaled(scalp, 0.955), 1, 0.06)
    paint(picture, scaled(scalp, 0.88), 1, fluid)
    paint(picture, scaled(scalp, 0.85), 1.5, _matter(rng, axes, grey, white, fluid))
    for y in (0.1, 0.68):
        line(picture, [(0.5, y), (0.5, y + 0.22)], 0.010, fluid)
    for side in (-1, 1):
        paint(picture, wobbly(rng, (0.5 + side * 0.09, 0.5), (0.035, 0.06), 0.08), 1.5, grey)
    picture = mix(picture, ventricles(rng, 1.8 if finding == "Hydrocephalus" else 1.05), fluid)
    side = int(rng.choice([-1, 1]))
    if finding == "Brain Neoplasms":
        _tumour(rng, picture, (0.5 + side * rng.uniform(0.11, 0.19), rng.uniform(0.3, 0.66)))
    elif finding == "Multiple Sclerosis":
        for _ in range(rng.integers(7, 12)):
            where = (0.5 + int(rng.choice([-1, 1])) * rng.uniform(0.09, 0.16), rng.uniform(0.3, 0.7))
            ellipse(picture, where, rng.uniform(0.012, 0.026, 2), 0.9, rng.uniform(0, 180))
    return Drawing(soft(picture, 0.8), (_MRI, "Axial", "Brain", *((finding,) if finding else ())), _STYLE)


def _matter(rng: np.random.Generator, axes: Points, grey: float, white: float, fluid: float) -> Canvas:
    """White matter inside, a folded band of grey matter around it, fluid in the furrows."""
    x, y = grid()
    depth = np.hypot(x / np.float32(axes[0]), y / np.float32(axes[1])) + 0.07 * smooth_noise(rng, 11)
    matter = white + (grey - white) * np.clip((depth - 0.67) / 0.1, 0, 1)
    furrows = ridges(rng, 15, 0.13) * np.clip((depth - 0.62) / 0.15, 0, 1)
    return np.asarray(matter + (fluid - matter) * 0.75 * furrows, np.float32)


def _tumour(rng: np.random.Generator, picture: Canvas, centre: tuple[float, float]) -> None:
    """A bright ring around a dark core, in swollen tissue."""
    rim = wobbly(rng, centre, rng.uniform(0.055, 0.095, 2), 0.08)
    paint(picture, scaled(rim, 1.5), 5, 0.75, 0.6)
    paint(picture, rim, 1, 0.97)
    paint(picture, scaled(rim, rng.uniform(0.35, 0.7)), 1.5, 0.3)


def sagittal(rng: np.random.Generator) -> Drawing:
    """A head from the side; sometimes with a tumour of the brain or of the pituitary gland."""
    finding = str(rng.choice(["Brain Neoplasms", "Pituitary Neoplasms"])) if chance(rng, 0.5) else ""
    picture = blank()
    crown = wobbly(rng, (0.52, 0.40), (0.385, 0.345), 0.008, lobes=3)
    paint(picture, crown, 1, 0.78)
    profile = [(0.20, 0.38), (0.16, 0.52), (0.115, 0.56), (0.18, 0.63), (0.17, 0.72), (0.21, 0.83)]
    neck = [(0.40, 1.1), (0.80, 1.1), (0.80, 0.62), (0.4, 0.2)]
    paint(picture, np.concatenate([curve(*profile, (0.34, 0.86)), neck]), 1.5, 0.55)
    paint(picture, scaled(crown, 0.945), 1, 0.10)
    ellipse(picture, (0.29, 0.63), (0.085, 0.06), 0.12, 15)
    _brain_from_the_side(rng, picture)
    for y in (0.80, 0.885, 0.97):
        polygon(picture, [(0.42, y), (0.49, y - 0.01), (0.50, y + 0.055), (0.43, y + 0.065)], 0.5)
    if finding == "Pituitary Neoplasms":
        paint(picture, wobbly(rng, (0.405, 0.53), rng.uniform(0.04, 0.058, 2), 0.08), 1.2, 0.95)
    elif finding == "Brain Neoplasms":
        _tumour(rng, picture, (rng.uniform(0.3, 0.7), rng.uniform(0.22, 0.36)))
    picture = np.asarray(soft(picture, 0.8) * (1 + 0.05 * smooth_noise(rng, 30)), np.float32)
    return Drawing(picture, (_MRI, "Sagittal", "Brain", *((finding,) if finding else ())), _STYLE)


def _brain_from_the_side(rng: np.random.Generator, picture: Canvas) -> None:
    """Cerebrum, cerebellum, brain stem and the beam between the halves."""
    cerebrum = wobbly(rng, (0.515, 0.36), (0.335, 0.265), 0.02)
    paint(picture, cerebrum, 1, np.asarray(0.6 - 0.3 * ridges(rng, 14, 0.15), np.float32))
    ellipse(picture, (0.67, 0.63), (0.125, 0.095), 0.12, -20)
    x, y = grid()
    leaves = np.asarray(0.5 + 0.12 * np.sin(132 * y + 60 * x), np.float32)
    paint(picture, wobbly(rng, (0.68, 0.64), (0.11, 0.08), 0.03, angle=-20), 1, leaves)
    line(picture, curve((0.50, 0.45), (0.515, 0.58), (0.555, 0.74), (0.57, 1.1)), 0.065, 0.66)
    ellipse(picture, (0.505, 0.585), (0.045, 0.06), 0.66, 10)
    line(picture, curve((0.37, 0.42), (0.42, 0.30), (0.55, 0.29), (0.63, 0.39)), 0.034, 0.92)
    paint(picture, curve((0.42, 0.42), (0.46, 0.345), (0.56, 0.35), (0.59, 0.42)), 1.2, 0.14)


def spine(rng: np.random.Generator) -> Drawing:
    """A lumbar spine from the side; sometimes a disc has slipped into the canal."""
    slipped = int(rng.integers(1, 5)) if chance(rng, 0.45) else -1
    sway = rng.uniform(0.03, 0.09)
    picture = blank(0.3)
    paint(picture, [(0.83, -0.1), (0.9, 0.5), (0.8, 1.1), (1.2, 1.1), (1.2, -0.1)], 2, 0.72)
    paint(picture, [(-0.2, -0.1), (0.22, -0.1), (0.16, 1.1), (-0.2, 1.1)], 6, 0.16)
    picture = np.asarray(picture + 0.04 * smooth_noise(rng, 22), np.float32)
    y = np.linspace(-0.1, 1.1, 40)
    canal = np.stack([0.605 - sway * np.cos((y - 0.55) * 4), y], axis=1)
    line(picture, canal, 0.092, 0.9)
    line(picture, canal[: rng.integers(20, 26)], 0.036, 0.45)
    for vertebra in range(-1, 7):
        _vertebra(picture, sway, 0.02 + 0.165 * vertebra, vertebra == slipped)
    found = ("Intervertebral Disc Displacement",) if slipped > 0 else ()
    concepts = (_MRI, "Sagittal", "Vertebral column", "Spinal cord", *found)
    return Drawing(soft(picture, 0.9), concepts, _STYLE)


def _vertebra(picture: Canvas, sway: float, y: float, slipped: bool) -> None:
    """A body, the disc below it and the process behind it, on a column that sways."""
    x, slope = 0.46 - sway * np.cos((y - 0.49) * 4), 4 * sway * np.sin((y - 0.49) * 4)
    turn = np.linspace(0, 2 * np.pi, 40)
    corners = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    square = np.sign(corners) * np.abs(corners) ** 0.35 * (0.092, 0.058)
    tilt = np.array([[1, -slope], [slope, 1]])
    paint(picture, (x, y + 0.06) + square @ tilt, 1, 0.6)
    middle = (x + 0.08 * slope, y + 0.142)
    angle = float(-np.degrees(np.arctan(slope)))
    ellipse(picture, middle, (0.092, 0.019), 0.2 if slipped else 0.42, angle)
    ellipse(picture, middle, (0.055, 0.010), 0.2 if slipped else 0.8, angle)
    if slipped:
        ellipse(picture, (middle[0] + 0.118, middle[1]), (0.042, 0.026), 0.2)
    process = np.array([(0.22, 0), (0.36, 0.07), (0.34, 0.12), (0.21, 0.07)])
    polygon(picture, process + np.array([x, y]), 0.5)
