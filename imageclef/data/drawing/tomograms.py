"""Drawn sections of CT: head, chest, abdomen. Air is black, fluid dark, bone white."""

from __future__ import annotations

import numpy as np

from imageclef.data.drawing.canvas import (
    Canvas,
    Drawing,
    Points,
    Style,
    blank,
    blob,
    chance,
    curve,
    ellipse,
    grid,
    line,
    mix,
    paint,
    ridges,
    scaled,
    smooth_noise,
    soft,
    wobbly,
)

_STYLE = Style("ct", grain=0.028, turn=8, zoom=(0.86, 1.04))
_CT = ("X-Ray Computed Tomography", "Axial")


def head(rng: np.random.Generator) -> Drawing:
    """A head: a white rim, the brain and its ventricles; and sometimes blood, or a part without it."""
    kinds = ("Hemorrhage", "Subdural Hematoma", "Infarction", "Hydrocephalus")
    finding = str(rng.choice(kinds)) if chance(rng, 0.6) else ""
    skull = wobbly(rng, (0.5, 0.5), np.array([0.33, 0.42]) * rng.uniform(0.95, 1.05, 2), 0.012, lobes=4)
    inside = scaled(skull, 0.91)
    picture = blank()
    paint(picture, scaled(skull, 1.07), 1.2, 0.36)
    paint(picture, skull, 0.8, 0.98)
    x, y = grid()
    surface = np.clip(2 * np.hypot(x / np.float32(0.33), y / np.float32(0.42)) - 1, 0, 1)
    furrows = 0.05 * surface * ridges(rng, 13, 0.16)
    paint(picture, inside, 0.8, np.asarray(0.44 + 0.018 * smooth_noise(rng, 14) - furrows, np.float32))
    for top in (0.13, 0.7):
        line(picture, [(0.5, top), (0.5, top + 0.17)], 0.008, 0.52)
    picture = mix(picture, ventricles(rng, 1.75 if finding == "Hydrocephalus" else 1.0), 0.2)
    picture = _injury(rng, picture, inside, finding)
    concepts = (*_CT, "Brain", "Bone structure of cranium", *((finding,) if finding else ()))
    return Drawing(soft(picture, 0.7), concepts, _STYLE)


def _injury(rng: np.random.Generator, picture: Canvas, inside: Points, finding: str) -> Canvas:
    """Blood in the brain, blood between brain and skull, or a part that gets none."""
    side = int(rng.choice([-1, 1]))
    if finding == "Hemorrhage":
        centre = (0.5 + side * rng.uniform(0.08, 0.17), rng.uniform(0.33, 0.66))
        blood = wobbly(rng, centre, rng.uniform(0.05, 0.09, 2), 0.16)
        paint(picture, scaled(blood, 1.3), 3, 0.33)
        paint(picture, blood, 1.2, 0.74)
    elif finding == "Subdural Hematoma":
        pushed = blob(inside - np.array([side * rng.uniform(0.045, 0.075), 0]), 1.5)
        return mix(picture, np.clip(blob(inside, 1.0) - pushed, 0, 1), 0.7)
    elif finding == "Infarction":
        turn = rng.uniform(-0.7, 0.7)
        turns = turn + np.linspace(-0.5, 0.5, 6)
        rim = np.stack([0.5 + side * 0.4 * np.cos(turns), 0.5 + 0.46 * np.sin(turns)], axis=1)
        tip = (0.5 + side * 0.1, 0.5 + 0.12 * np.sin(turn))
        return mix(picture, np.minimum(blob([tip, *rim], 3), blob(inside, 1)), 0.3)
    return picture


def ventricles(rng: np.random.Generator, size: float) -> Canvas:
    """The fluid inside a brain that is cut across, a grey mask."""
    fluid = blank()
    for side in (-1, 1):
        front = curve((0.5 + side * 0.015, 0.46), (0.5 + side * 0.05, 0.42), (0.5 + side * 0.075, 0.34))
        back = curve((0.5 + side * 0.02, 0.5), (0.5 + side * 0.07, 0.57), (0.5 + side * 0.11, 0.68))
        line(fluid, front, 0.030 * size * rng.uniform(0.9, 1.1), 1.0)
        line(fluid, back, 0.032 * size * rng.uniform(0.9, 1.1), 1.0)
        if size > 1.3:
            ellipse(fluid, (0.5 + side * 0.08, 0.36), (0.05, 0.07), 1.0, -side * 20)
            ellipse(fluid, (0.5 + side * 0.12, 0.67), (0.06, 0.08), 1.0, -side * 20)
    ellipse(fluid, (0.5, 0.55), (0.010 * size, 0.05), 1.0)
    return soft(fluid, 1.2)


def _body(rng: np.random.Generator, axes: tuple[float, float]) -> Canvas:
    """A trunk that is cut across, on its table: skin, fat, muscle."""
    outline = wobbly(rng, (0.5, 0.5), np.array(axes) * rng.uniform(0.95, 1.04, 2), 0.012, lobes=4)
    picture = blank()
    paint(picture, outline, 1, 0.42)
    paint(picture, scaled(outline, 0.975), 1, 0.25)
    paint(picture, scaled(outline, rng.uniform(0.82, 0.91)), 1.2, 0.45)
    line(picture, curve((0.08, 0.90), (0.5, 0.97), (0.92, 0.90)), 0.012, 0.45)
    return picture


def _spine(picture: Canvas, y: float) -> None:
    """A vertebra with its arch, processes and canal."""
    line(picture, [(0.5, y), (0.5, y + 0.17)], 0.03, 0.85)
    line(picture, [(0.40, y + 0.10), (0.60, y + 0.10)], 0.028, 0.85)
    ellipse(picture, (0.5, y), (0.068, 0.055), 0.95)
    ellipse(picture, (0.5, y), (0.055, 0.042), 0.78)
    ellipse(picture, (0.5, y + 0.075), (0.042, 0.033), 0.92)
    ellipse(picture, (0.5, y + 0.075), (0.028, 0.022), 0.45)


def _ribs(rng: np.random.Generator, picture: Canvas, axes: tuple[float, float]) -> None:
    for turn in np.radians([-60, -25, 10, 42, 138, 170, 205, 240]) + rng.normal(0, 0.06, 8):
        where = (0.5 + axes[0] * np.cos(turn), 0.5 + axes[1] * np.sin(turn))
        along = float(np.degrees(np.arctan2(np.cos(turn), -np.sin(turn))))
        ellipse(picture, where, (0.035, 0.013), 0.92, along)


def chest(rng: np.random.Generator) -> Drawing:
    """A chest: two black lungs, the heart between them; sometimes a nodule, or fluid behind a lung."""
    nodule, fluid = chance(rng, 0.35), chance(rng, 0.3)
    picture = _body(rng, (0.45, 0.34))
    centres = [(0.5 + side * 0.205, 0.47 + rng.uniform(-0.01, 0.01)) for side in (-1, 1)]
    lungs = [wobbly(rng, centre, (0.15, 0.225), 0.03, 16 * centre[0] - 8) for centre in centres]
    air = np.asarray(0.05 + 0.16 * ridges(rng, 17, 0.12), np.float32)
    for lung in lungs:
        paint(picture, lung, 1.2, air)
    paint(picture, wobbly(rng, (0.535, 0.45), (0.125, 0.105), 0.05, angle=25), 1.2, 0.52)
    ellipse(picture, (0.49, 0.36), (0.05, 0.045), 0.55)
    ellipse(picture, (0.55, 0.605), (0.033, 0.033), 0.55)
    ellipse(picture, (0.495, 0.55), (0.016, 0.020), 0.03)
    _spine(picture, 0.67)
    _ribs(rng, picture, (0.375, 0.262))
    sick = int(rng.integers(2))
    if fluid:
        level = rng.uniform(0.55, 0.62)
        pool = blob([*curve((0, level), (0.5, level + 0.02), (1, level)), (1, 1), (0, 1)], 1)
        picture = mix(picture, pool * blob(lungs[sick], 1), 0.4)
    if nodule:
        across = rng.uniform(0.17, 0.26)
        centre = (0.5 - across if sick else 0.5 + across, rng.uniform(0.34, 0.58))
        paint(picture, wobbly(rng, centre, np.full(2, rng.uniform(0.025, 0.045)), 0.12), 1, 0.55)
    seen = [name for name, there in (("Pulmonary nodule", nodule), ("Pleural effusion", fluid)) if there]
    return Drawing(soft(picture, 0.7), (*_CT, "Chest", "Lung", *seen), _STYLE)


def abdomen(rng: np.random.Generator) -> Drawing:
    """A belly: liver, spleen, kidneys, gut; sometimes a cyst or metastases in the liver, or a stone."""
    finding = str(rng.choice(["Cyst", "Neoplasm Metastasis", "Nephrolithiasis"])) if chance(rng, 0.6) else ""
    picture = _body(rng, (0.44, 0.35))
    paint(picture, wobbly(rng, (0.5, 0.47), (0.345, 0.245), 0.02), 1.2, 0.28)
    for centre in rng.uniform((0.42, 0.28), (0.78, 0.56), (9, 2)):
        gut = wobbly(rng, centre, rng.uniform(0.03, 0.06, 2), 0.08)
        paint(picture, gut, 0.8, 0.46)
        paint(picture, scaled(gut, 0.6), 0.8, float(rng.choice([0.03, 0.36])))
    dome = curve((0.60, 0.30), (0.40, 0.235), (0.23, 0.33), (0.165, 0.50), (0.24, 0.65))
    liver = np.concatenate([dome, curve((0.36, 0.60), (0.44, 0.48), (0.60, 0.36))]) + rng.normal(0, 0.008, 2)
    paint(picture, liver, 1, np.asarray(0.56 + 0.015 * smooth_noise(rng, 25), np.float32))
    paint(picture, wobbly(rng, (0.785, 0.50), (0.055, 0.115), 0.04, angle=-12), 1, 0.58)
    for side in (-1, 1):
        x = 0.5 + side * rng.uniform(0.17, 0.19)
        ellipse(picture, (x, 0.645), (0.055, 0.072), 0.64, side * 25)
        ellipse(picture, (x - side * 0.02, 0.645), (0.022, 0.035), 0.34, side * 25)
    ellipse(picture, (0.53, 0.575), (0.032, 0.032), 0.62)
    _spine(picture, 0.67)
    _ribs(rng, picture, (0.37, 0.275))
    if finding == "Cyst":
        where = (rng.uniform(0.24, 0.36), rng.uniform(0.36, 0.52))
        ellipse(picture, where, np.full(2, rng.uniform(0.035, 0.06)), 0.26)
    elif finding == "Neoplasm Metastasis":
        for where in rng.uniform((0.24, 0.32), (0.40, 0.50), (rng.integers(4, 8), 2)):
            paint(picture, wobbly(rng, where, (0.026, 0.026), 0.1), 1.2, 0.40)
    elif finding == "Nephrolithiasis":
        ellipse(picture, (0.5 + int(rng.choice([-1, 1])) * 0.165, 0.645), rng.uniform(0.012, 0.02, 2), 1.0)
    concepts = (*_CT, "Abdomen", "Liver", "Kidney", *((finding,) if finding else ()))
    return Drawing(soft(picture, 0.7), concepts, _STYLE)
