"""Drawn sections of magnetic resonance: the brain from above and from the side, the spine from the side.

Some are drawn with bright fluid, some with dark, as the weighting of the real ones has it.
"""

from __future__ import annotations

import numpy as np

from imageclef.data.drawing.canvas import (
    Canvas,
    Drawing,
    Style,
    blank,
    blob,
    chance,
    curve,
    ellipse,
    line,
    mix,
    polygon,
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
    bright_fluid = chance(rng, 0.5)
    grey, white, fluid = (0.62, 0.42, 0.92) if bright_fluid else (0.42, 0.62, 0.12)
    axes = np.array([0.34, 0.42]) * rng.uniform(0.95, 1.05, 2)
    scalp = wobbly(rng, (0.5, 0.5), axes * 1.08, 0.012, lobes=4)
    picture = blank()
    paint(picture, scalp, 1, 0.8)
    paint(picture, 0.5 + (scalp - 0.5) * 0.955, 1, 0.06)
    inside = 0.5 + (scalp - 0.5) * 0.88
    paint(picture, inside, 1, fluid)
    paint(picture, 0.5 + (inside - 0.5) * 0.965, 1.5, _matter(rng, axes, grey, white, fluid))
    line(picture, [(0.5, 0.1), (0.5, 0.33)], 0.010, fluid)
    line(picture, [(0.5, 0.68), (0.5, 0.9)], 0.010, fluid)
    for side in (-1, 1):
        paint(picture, wobbly(rng, (0.5 + side * 0.09, 0.5), (0.035, 0.06), 0.08), 1.5, grey)
    picture = mix(picture, ventricles(rng, 1.8 if finding == "Hydrocephalus" else 1.05), fluid)
    side = int(rng.choice([-1, 1]))
    if finding == "Brain Neoplasms":
        picture = _tumour(rng, picture, (0.5 + side * rng.uniform(0.11, 0.19), rng.uniform(0.3, 0.66)))
    elif finding == "Multiple Sclerosis":
        for _ in range(rng.integers(7, 12)):
            where = (0.5 + int(rng.choice([-1, 1])) * rng.uniform(0.09, 0.16), rng.uniform(0.3, 0.7))
            ellipse(picture, where, rng.uniform(0.012, 0.026, 2), 0.9, rng.uniform(0, 180))
    return Drawing(soft(picture, 0.8), (_MRI, "Axial", "Brain", *((finding,) if finding else ())), _STYLE)


def _matter(rng: np.random.Generator, axes: Canvas, grey: float, white: float, fluid: float) -> Canvas:
    """White matter inside, a folded band of grey matter around it, fluid in the furrows."""
    rows, columns = np.mgrid[:240, :240] / 240 - 0.5
    depth = np.hypot(columns / axes[0], rows / axes[1]) + 0.07 * smooth_noise(rng, 11)
    outside = 1 / (1 + np.exp((0.72 - depth) / 0.02))
    furrow = np.exp(-((smooth_noise(rng, 15) / 0.13) ** 2)) * np.clip((depth - 0.62) / 0.15, 0, 1)
    matter = white + (grey - white) * outside
    return np.asarray(matter + (fluid - matter) * 0.75 * furrow, np.float32)


def _tumour(rng: np.random.Generator, picture: Canvas, centre: tuple[float, float]) -> Canvas:
    """A bright ring around a dark core, in swollen tissue."""
    rim = wobbly(rng, centre, rng.uniform(0.055, 0.095, 2), 0.08)
    paint(picture, centre + (rim - centre) * 1.5, 5, 0.75, 0.6)
    paint(picture, rim, 1, 0.97)
    return mix(picture, blob(np.asarray(centre + (rim - centre) * rng.uniform(0.35, 0.7)), 1.5), 0.3)


def sagittal(rng: np.random.Generator) -> Drawing:
    """A head from the side; sometimes with a tumour of the brain or of the pituitary gland."""
    finding = str(rng.choice(["Brain Neoplasms", "Pituitary Neoplasms"])) if chance(rng, 0.5) else ""
    picture = blank()
    face = curve(
        (0.20, 0.38), (0.16, 0.52), (0.115, 0.56), (0.18, 0.63), (0.17, 0.72), (0.21, 0.83), (0.34, 0.86)
    )
    scalp = curve((0.40, 1.1), (0.34, 0.86))
    crown = wobbly(rng, (0.52, 0.40), (0.385, 0.345), 0.008, lobes=3)
    for value, shrink in ((0.78, 1.0), (0.10, 0.945)):
        mask = blob(np.array([0.52, 0.40]) + (crown - [0.52, 0.40]) * shrink, 1)
        picture = mix(picture, mask, value)
        if value > 0.5:
            flesh = np.concatenate([face, scalp, [(0.80, 1.1), (0.80, 0.62), (0.4, 0.2)]])
            paint(picture, flesh, 1.5, 0.55)
    texture = 0.05 * smooth_noise(rng, 30)
    ellipse(picture, (0.29, 0.63), (0.085, 0.06), 0.12, 15)
    brain = wobbly(rng, (0.515, 0.36), (0.335, 0.265), 0.02)
    furrows = 0.3 * np.exp(-((smooth_noise(rng, 14) / 0.15) ** 2))
    paint(picture, brain, 1, np.asarray(0.6 - furrows, np.float32))
    ellipse(picture, (0.67, 0.63), (0.125, 0.095), 0.12, -20)
    leaves = np.sin(np.mgrid[:240, :240][0] * 0.55 + np.mgrid[:240, :240][1] * 0.25) * 0.12
    paint(
        picture,
        wobbly(rng, (0.68, 0.64), (0.11, 0.08), 0.03, angle=-20),
        1,
        np.asarray(0.5 + leaves, np.float32),
    )
    stem = curve((0.50, 0.45), (0.515, 0.58), (0.555, 0.74), (0.57, 1.1))
    line(picture, stem, 0.065, 0.66)
    ellipse(picture, (0.505, 0.585), (0.045, 0.06), 0.66, 10)
    line(picture, curve((0.37, 0.42), (0.42, 0.30), (0.55, 0.29), (0.63, 0.39)), 0.034, 0.92)
    paint(picture, curve((0.42, 0.42), (0.46, 0.345), (0.56, 0.35), (0.59, 0.42)), 1.2, 0.14)
    for vertebra in range(4):
        y = 0.80 + 0.085 * vertebra
        polygon(picture, [(0.42, y), (0.49, y - 0.01), (0.50, y + 0.055), (0.43, y + 0.065)], 0.5)
    if finding == "Pituitary Neoplasms":
        gland = wobbly(rng, (0.405, 0.53), rng.uniform(0.04, 0.058, 2), 0.08)
        paint(picture, gland, 1.2, 0.95)
    elif finding == "Brain Neoplasms":
        picture = _tumour(rng, picture, (rng.uniform(0.3, 0.7), rng.uniform(0.22, 0.36)))
    picture = np.asarray(soft(picture, 0.8) * (1 + texture), np.float32)
    return Drawing(picture, (_MRI, "Sagittal", "Brain", *((finding,) if finding else ())), _STYLE)


def spine(rng: np.random.Generator) -> Drawing:
    """A lumbar spine from the side; sometimes a disc has slipped into the canal."""
    slipped = int(rng.integers(1, 5)) if chance(rng, 0.45) else -1
    sway = rng.uniform(0.03, 0.09)
    ys = np.linspace(-0.1, 1.1, 40)

    def x(y: float) -> float:
        return float(0.46 - sway * np.cos((y - 0.55) * 4))

    picture = blank(0.3)
    paint(picture, [(0.83, -0.1), (0.9, 0.5), (0.8, 1.1), (1.2, 1.1), (1.2, -0.1)], 2, 0.72)
    paint(picture, [(-0.2, -0.1), (0.22, -0.1), (0.16, 1.1), (-0.2, 1.1)], 6, 0.16)
    picture = np.asarray(picture + 0.04 * smooth_noise(rng, 22), np.float32)
    canal = [(x(y) + 0.145, y) for y in ys]
    line(picture, canal, 0.092, 0.9)
    line(picture, [(px, min(y, 0.6)) for px, y in canal], 0.036, 0.45)
    for vertebra in range(-1, 7):
        y = 0.02 + 0.165 * vertebra
        tilt = np.degrees(np.arctan(x(y + 0.16) - x(y)) / 0.16) * 0.16
        body = wobbly(rng, (x(y + 0.06), y + 0.06), (0.1, 0.062), 0.0)
        square = (
            np.sign(body - body.mean(0))
            * np.abs((body - body.mean(0)) / (0.1, 0.062)) ** 0.35
            * (0.092, 0.058)
        )
        turn = np.radians(-tilt)
        rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        paint(picture, body.mean(0) + square @ rotation, 1, 0.6)
        disc = (x(y + 0.142), y + 0.142)
        worn = vertebra == slipped
        ellipse(picture, disc, (0.092, 0.019), 0.2 if worn else 0.42)
        ellipse(picture, disc, (0.055, 0.010), 0.2 if worn else 0.8)
        if worn:
            ellipse(picture, (disc[0] + 0.118, disc[1]), (0.042, 0.026), 0.2)
        polygon(
            picture,
            [
                (disc[0] + 0.22, y),
                (disc[0] + 0.36, y + 0.07),
                (disc[0] + 0.34, y + 0.12),
                (disc[0] + 0.21, y + 0.07),
            ],
            0.5,
        )
    found = ("Intervertebral Disc Displacement",) if slipped > 0 else ()
    concepts = (_MRI, "Sagittal", "Vertebral column", "Spinal cord", *found)
    return Drawing(soft(picture, 0.9), concepts, _STYLE)
