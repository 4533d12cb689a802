"""Drawn colour pictures: a lesion of the skin, a blood smear, the back of an eye."""

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
    line,
    mix,
    paint,
    scaled,
    smooth_noise,
    soft,
    wobbly,
)

_SKIN = Style("dermoscopy", grain=0.02, turn=180, zoom=(1.0, 1.25), shading=0.04, background=None)
_SMEAR = Style("microscopy", grain=0.02, turn=180, zoom=(1.0, 1.2), shading=0.03, background=None)
_FUNDUS = Style("fundus", grain=0.02, turn=6, zoom=(0.92, 1.02), shading=0.04)

_PURPLE = (0.42, 0.22, 0.55)
_VESSEL = (0.52, 0.13, 0.08)


def skin(rng: np.random.Generator) -> Drawing:
    """A spot on the skin: an even one, a ragged one of several colours, or one with a pale middle."""
    finding = str(rng.choice(["Nevus", "Melanoma", "Dermatofibroma"]))
    tone = np.array([0.90, 0.70, 0.60]) + rng.normal(0, 0.03) + rng.normal(0, 0.012, 3)
    ground = _toned(tone, 0.02 * smooth_noise(rng, 40) + 0.025 * smooth_noise(rng, 5))
    centre = rng.uniform(0.44, 0.56, 2)
    brown = np.array([0.46, 0.28, 0.19]) * rng.uniform(0.85, 1.25)
    if finding == "Nevus":
        spot = wobbly(rng, centre, rng.uniform(0.16, 0.25, 2), 0.04, rng.uniform(0, 180), lobes=4)
        paint(ground, spot, 5, _toned(brown, 0.02 * smooth_noise(rng, 9)), 0.85)
        paint(ground, scaled(spot, 0.55), 8, brown * 0.8, 0.6)
    elif finding == "Melanoma":
        _melanoma(rng, ground, centre, brown)
    else:
        spot = wobbly(rng, centre, rng.uniform(0.15, 0.2, 2), 0.05)
        paint(ground, spot, 9, brown * 1.35, 0.6)
        paint(ground, scaled(spot, 0.4), 5, (0.95, 0.84, 0.80), 0.9)
    for _ in range(rng.integers(1, 7) if chance(rng, 0.4) else 0):
        root, way = rng.uniform(0, 1, 2), rng.normal(0, 0.25, 2)
        line(
            ground, curve(root, root + way, root + 2 * way + rng.normal(0, 0.08, 2)), 0.005, (0.2, 0.14, 0.11)
        )
    return Drawing(soft(ground, 0.7), ("Skin", finding), _SKIN)


def _toned(colour: Points, shade: Canvas) -> Canvas:
    """A colour that is lighter and darker by a grey canvas."""
    return np.asarray(colour.astype(np.float32) + shade[..., None], dtype=np.float32)


def _melanoma(rng: np.random.Generator, ground: Canvas, centre: Points, brown: Points) -> None:
    """Ragged, uneven, with black, blue and red parts."""
    spot = wobbly(rng, centre, rng.uniform(0.23, 0.33, 2), 0.17, rng.uniform(0, 180), lobes=9)
    inside = ground.copy()
    paint(inside, spot, 2.5, _toned(brown * 0.75, 0.10 * smooth_noise(rng, 9)), 0.95)
    for colour in ((0.10, 0.07, 0.08), (0.36, 0.38, 0.46), (0.62, 0.28, 0.22)):
        part = wobbly(rng, centre + rng.normal(0, 0.08, 2), rng.uniform(0.06, 0.13, 2), 0.2)
        paint(inside, part, 3, colour, 0.85)
    paint(ground, scaled(spot, 1.02), 2.5, inside)


def smear(rng: np.random.Generator) -> Drawing:
    """Red cells, and sometimes a white cell of one of three kinds, or platelets."""
    white = str(rng.choice(["Neutrophil", "Lymphocyte", "Eosinophil"])) if chance(rng, 0.75) else ""
    platelets = chance(rng, 0.4)
    light = rng.uniform(0.9, 0.97)
    field = blank((light, light * 0.95, light * 0.94))
    red = np.array([0.86, 0.56, 0.56]) + rng.normal(0, 0.02, 3)
    middle = rng.uniform(0.4, 0.6, 2)
    for spot in _scattered(rng, 50, 0.092):
        if white and np.hypot(*(spot - middle)) < 0.2:
            continue
        size = rng.uniform(0.046, 0.054)
        ellipse(field, spot, (size, size * rng.uniform(0.88, 1.0)), red * 0.94, rng.uniform(0, 180))
        ellipse(field, spot, (size * 0.86, size * 0.86), red)
        ellipse(field, spot, (size * 0.42, size * 0.42), red * 0.5 + 0.45)
    field = soft(field, 1.4)
    if white:
        _white_cell(rng, field, middle, white)
    if platelets:
        for spot in rng.uniform(0.05, 0.95, (rng.integers(9, 16), 2)):
            ellipse(field, spot, rng.uniform(0.012, 0.02, 2), (0.55, 0.36, 0.62), rng.uniform(0, 180))
    cells = ("Leukocytes", white) if white else ()
    concepts = ("Microscopy", "Blood", "Erythrocytes", *cells, *(("Blood Platelets",) if platelets else ()))
    return Drawing(soft(field, 0.8), concepts, _SMEAR)


def _scattered(rng: np.random.Generator, most: int, apart: float) -> Points:
    """Points that keep a distance from each other, (n, 2)."""
    spots = rng.uniform(-0.05, 1.05, (4 * most, 2))
    near = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) < apart
    chosen: list[int] = []
    for spot in range(len(spots)):
        if len(chosen) < most and not near[spot, chosen].any():
            chosen.append(spot)
    return np.asarray(spots[chosen])


def _white_cell(rng: np.random.Generator, field: Canvas, centre: Points, kind: str) -> None:
    """A cell with the nucleus and the granules of its kind."""
    size = rng.uniform(0.12, 0.14)
    plasm = {
        "Neutrophil": (0.90, 0.80, 0.86),
        "Lymphocyte": (0.72, 0.78, 0.92),
        "Eosinophil": (0.94, 0.62, 0.52),
    }
    paint(field, wobbly(rng, centre, (size * 1.15, size * 1.1), 0.03), 1.2, plasm[kind])
    if kind == "Lymphocyte":
        paint(field, wobbly(rng, centre, (size * 0.9, size * 0.87), 0.03), 1.2, _PURPLE)
        return
    n_lobes = 2 if kind == "Eosinophil" else int(rng.integers(3, 6))
    if kind == "Eosinophil":
        for way, reach in zip(rng.uniform(0, 2 * np.pi, 60), rng.uniform(0, 1, 60) ** 0.5, strict=True):
            granule = centre + size * reach * np.array([np.cos(way), np.sin(way)])
            ellipse(field, granule, (0.010, 0.010), (0.90, 0.40, 0.30))
    turns = rng.uniform(0, 2 * np.pi) + np.arange(n_lobes) * (2.6 if n_lobes == 2 else 1.25)
    lobes = centre + size * 0.52 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    line(field, lobes, 0.022, _PURPLE)
    for lobe in lobes:
        paint(field, wobbly(rng, lobe, (size * 0.36, size * 0.31), 0.08), 1, _PURPLE)


def fundus(rng: np.random.Generator) -> Drawing:
    """The back of an eye: disc and vessels; sometimes with bleeding, or seen through a cloudy lens."""
    bleeding, cataract = chance(rng, 0.35), chance(rng, 0.3)
    side = int(rng.choice([-1, 1]))
    eye = _toned(np.array([0.78, 0.36, 0.16]) * rng.uniform(0.88, 1.08), 0.03 * smooth_noise(rng, 6))
    disc = np.array([0.5 + side * 0.22, 0.5 + rng.uniform(-0.03, 0.03)])
    paint(eye, wobbly(rng, (0.5 - side * 0.05, 0.5), (0.09, 0.09), 0.05), 10, (0.45, 0.14, 0.07), 0.55)
    paint(eye, wobbly(rng, disc, (0.062, 0.07), 0.03), 2, (0.98, 0.80, 0.50))
    paint(eye, wobbly(rng, disc, (0.030, 0.034), 0.03), 2, (1.0, 0.93, 0.74))
    for up in (-1, 1):
        _vessels(rng, eye, disc, np.array([-side, up]))
    if bleeding:
        for spot in 0.5 + rng.normal(0, 0.16, (rng.integers(6, 12), 2)):
            paint(eye, wobbly(rng, spot, rng.uniform(0.012, 0.04, 2), 0.2), 1, (0.36, 0.03, 0.03))
    eye = soft(eye, 1.0)
    if cataract:
        eye = mix(soft(eye, 4.5), blank(0.5), (0.80, 0.62, 0.48))
    rim = blob(wobbly(rng, (0.5, 0.5), (0.46, 0.46), 0.0), 2)[..., None]
    seen = [name for name, there in (("Hemorrhage", bleeding), ("Cataract", cataract)) if there]
    return Drawing(np.asarray(eye * rim, np.float32), ("Eye", "Retina", *seen), _FUNDUS)


def _vessels(rng: np.random.Generator, eye: Canvas, disc: Points, way: Points) -> None:
    """Arches from the disc to the middle and beyond, with forks, in one half of an eye."""
    for reach, width in ((0.30, 0.017), (0.17, 0.012), (0.42, 0.011)):
        bend = disc + way * (rng.uniform(0.08, 0.16), reach)
        tip = bend + way * (rng.uniform(0.28, 0.42), -rng.uniform(0.0, 0.12))
        line(eye, curve(disc, bend, tip), width, _VESSEL)
        line(eye, curve(bend, bend + way * (0.1, 0.05), bend + way * (0.22, 0.18)), width * 0.6, _VESSEL)
    line(eye, curve(disc, disc + way * (-0.08, 0.14), disc + way * (-0.16, 0.30)), 0.012, _VESSEL)
