"""Drawn radiographs: chest, knee, hand. What is thicker or denser is brighter."""

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
    polygon,
    smooth_noise,
    soft,
    wobbly,
)

_STYLE = Style("radiograph", grain=0.018, turn=5, zoom=(0.92, 1.12), shading=0.10)

_CHEST_FINDINGS = ("Pulmonary nodule", "Pleural effusion", "Pneumothorax", "Pneumonia", "Cardiomegaly")
_LIMB = ("Plain x-ray", "Musculoskeletal System")


def chest(rng: np.random.Generator) -> Drawing:
    """A chest from the front: two lungs, a heart, ribs; and sometimes a finding or two."""
    findings = [finding for finding in _CHEST_FINDINGS if chance(rng, 0.16)]
    sides = {finding: int(rng.integers(2)) for finding in findings}
    body = blank()
    torso = [(0.41, -0.1), (0.42, 0.06), (0.16, 0.15), (0.03, 0.36), (0.06, 1.1)]
    polygon(body, [*torso, *((1 - x, y) for x, y in reversed(torso))], 0.5)
    body = soft(body, 4)
    lungs = [_lung(rng, side) for side in (0, 1)]
    for side, lung in enumerate(lungs):
        paint(body, lung, 2.5, 0.13)
        if sides.get("Pneumothorax") == side:
            body = _collapsed(rng, body, lung, side)
    body = _mediastinum(rng, body, "Cardiomegaly" in findings)
    if "Pneumonia" in findings:
        body = _patches(rng, body, sides["Pneumonia"])
    if "Pleural effusion" in findings:
        body = _fluid(rng, body, lungs[sides["Pleural effusion"]], sides["Pleural effusion"])
    picture = body + soft(_bones(rng), 1.4)
    if "Pulmonary nodule" in findings:
        x = 0.22 + 0.14 * rng.random()
        centre = (x if sides["Pulmonary nodule"] == 0 else 1 - x, rng.uniform(0.25, 0.6))
        nodule = wobbly(rng, centre, np.full(2, rng.uniform(0.032, 0.05)), 0.08)
        picture = picture + 0.34 * blob(nodule, 2)
    return Drawing(
        np.asarray(picture + 0.012 * smooth_noise(rng, 40), np.float32),
        ("Plain x-ray", "Chest", "Lung", "Postero-Anterior", *findings),
        _STYLE,
    )


def _mirrored(points: Points, side: int) -> Points:
    return points if side == 0 else np.asarray([1, 0] + points * [-1, 1])


def _lung(rng: np.random.Generator, side: int) -> Points:
    """The outline of one lung, on the left of the picture for side 0."""
    base = 0.74 + rng.uniform(-0.03, 0.03)
    outer = curve((0.36, 0.13), (0.20, 0.24), (0.12, 0.48), (0.10, base + 0.05))
    inner = curve((0.12, base + 0.04), (0.26, base - 0.05), (0.40, base + 0.02))
    middle = curve((0.42, base - 0.05), (0.41, 0.45), (0.43, 0.22), (0.36, 0.13))
    return _mirrored(np.concatenate([outer, inner, middle]) + rng.normal(0, 0.006, 2), side)


def _mediastinum(rng: np.random.Generator, body: Canvas, large: bool) -> Canvas:
    """Spine, vessels, heart and diaphragm."""
    size = rng.uniform(0.95, 1.05) * (1.6 if large else 1.0)
    mask = blank()
    polygon(mask, [(0.445, -0.1), (0.555, -0.1), (0.565, 0.9), (0.435, 0.9)], 0.8)
    ellipse(mask, (0.47, 0.38), (0.085, 0.10), 0.8)
    ellipse(mask, (0.55, 0.36), (0.07, 0.07), 0.8)
    ellipse(mask, (0.50 + 0.055 * size, 0.62), (0.15 * size, 0.12 * size**0.7), 1.0, 30)
    ellipse(mask, (0.27, 0.93), (0.26, 0.20 + rng.uniform(-0.02, 0.02)), 1.0)
    ellipse(mask, (0.74, 0.95), (0.26, 0.20 + rng.uniform(-0.02, 0.02)), 0.95)
    return mix(body, soft(mask, 3), 0.68)


def _bones(rng: np.random.Generator) -> Canvas:
    """Ribs, collar bones and vertebrae, to be added."""
    bones = blank()
    slope = rng.uniform(0.02, 0.05)
    for side in (0, 1):
        for rib in range(9):
            y = 0.14 + 0.073 * rib
            reach = 0.09 + 0.05 * max(0, 3 - rib)
            arc = curve((0.46, y), (0.28, y - slope), (reach, y + 0.09), (reach + 0.03, y + 0.17))
            line(bones, _mirrored(arc, side), 0.021, 0.10)
        line(bones, _mirrored(curve((0.45, 0.17), (0.32, 0.13), (0.17, 0.10)), side), 0.03, 0.16)
    for vertebra in range(13):
        y = 0.05 + 0.07 * vertebra
        polygon(bones, [(0.455, y), (0.545, y), (0.545, y + 0.05), (0.455, y + 0.05)], 0.05)
    return bones


def _collapsed(rng: np.random.Generator, body: Canvas, lung: Points, side: int) -> Canvas:
    """Air between chest wall and lung: black and without markings, then the lung's edge."""
    paint(body, lung, 1.5, 0.03)
    hilum = np.array([0.41 if side == 0 else 0.59, 0.47])
    smaller = hilum + (lung - hilum) * rng.uniform(0.52, 0.68)
    paint(body, smaller, 1.5, 0.27)
    edge = blank()
    line(edge, smaller, 0.008, 0.25)
    return np.asarray(body + soft(edge, 0.8), dtype=np.float32)


def _patches(rng: np.random.Generator, body: Canvas, side: int) -> Canvas:
    haze = blank()
    x, y = rng.uniform(0.22, 0.32), rng.uniform(0.38, 0.62)
    for _ in range(6):
        spot = np.array([[x, y]]) + rng.normal(0, 0.045, 2)
        where = _mirrored(spot, side)[0].tolist()
        ellipse(haze, where, (rng.uniform(0.03, 0.08), rng.uniform(0.03, 0.07)), 1.0, rng.uniform(0, 180))
    texture = np.clip(1 + 0.45 * smooth_noise(rng, 16), 0, 2)
    return np.asarray(body + 0.3 * soft(haze, 6) * texture, dtype=np.float32)


def _fluid(rng: np.random.Generator, body: Canvas, lung: Points, side: int) -> Canvas:
    """Fluid at the base of a lung, higher at the chest wall."""
    level = rng.uniform(0.52, 0.66)
    wall = [(0.06, level - 0.12), (0.10, 0.95), (0.45, 0.95)]
    top = curve((0.44, level + 0.1), (0.28, level + 0.04), (0.12, level - 0.12))
    pool = blob(_mirrored(np.concatenate([wall, top]), side), 2.5) * np.maximum(blob(lung, 4), 0.2)
    return mix(body, np.asarray(pool, np.float32), 0.66)


def knee(rng: np.random.Generator) -> Drawing:
    """A knee from the front; sometimes a broken shaft or a worn joint."""
    fracture, worn = chance(rng, 0.35), chance(rng, 0.3)
    gap = 0.006 if worn else rng.uniform(0.030, 0.042)
    leg = blank()
    flesh = curve((0.22, -0.1), (0.24, 0.3), (0.27, 0.5), (0.25, 0.75), (0.30, 1.1))
    polygon(leg, np.concatenate([flesh, _mirrored(flesh[::-1], 1)]), 0.33)
    leg = soft(leg, 4)
    top, low = 0.5 - gap / 2, 0.5 + gap / 2
    width = rng.uniform(0.075, 0.09)
    femur = curve((0.5 - width, -0.1), (0.5 - width, 0.22), (0.34, 0.40), (0.335, top - 0.04), (0.39, top))
    tibia = curve((0.35, low), (0.34, low + 0.07), (0.42, 0.72), (0.5 - width * 0.9, 1.1))
    bones = blank()
    _bone(bones, np.concatenate([femur, [(0.48, top), (0.5, top - 0.05)], _mirrored(femur[::-1], 1)]))
    _bone(bones, np.concatenate([tibia, _mirrored(tibia[::-1], 1)]))
    if worn:
        for x in (0.33, 0.67):
            ellipse(bones, (x, 0.5), (0.028, 0.022), 0.5)
    _bone(bones, np.array([(0.67, 0.6), (0.657, 0.7), (0.665, 1.1), (0.71, 1.1), (0.70, 0.7), (0.72, 0.6)]))
    ellipse(bones, (0.5, 0.40), (0.085, 0.075), 0.50)
    if fracture:
        bones = _broken(rng, bones, rng.choice([rng.uniform(0.12, 0.24), rng.uniform(0.74, 0.86)]))
    picture = leg + soft(bones, 1.2) * (1 + 0.05 * smooth_noise(rng, 50))
    seen = [name for name, there in (("Fracture", fracture), ("Osteoarthritis", worn)) if there]
    concepts = (*_LIMB, "Lower Extremity", "Knee", "Anterior-Posterior", *seen)
    return Drawing(np.asarray(picture, np.float32), concepts, _STYLE)


def _bone(canvas: Canvas, outline: Points) -> None:
    """A bone whose rim is denser than its inside."""
    polygon(canvas, outline, 0.36)
    line(canvas, np.concatenate([outline, outline[:1]]), 0.017, 0.52)


def _broken(rng: np.random.Generator, bones: Canvas, y: float) -> Canvas:
    """Bones broken along a slanting line, what is beyond it moved aside."""
    slant = rng.uniform(-0.25, 0.25)
    across, down = grid()
    beyond = (down + 0.5 - y - slant * across) * (1 if y > 0.5 else -1)
    aside = np.roll(bones, int(rng.choice([-1, 1]) * rng.integers(7, 15)), axis=1)
    broken = np.where(beyond > 0, aside, bones)
    return np.where(np.abs(beyond) < 0.011, 0.0, broken).astype(np.float32)


def hand(rng: np.random.Generator) -> Drawing:
    """A hand: five rays of bones; sometimes one of them is broken."""
    fracture = chance(rng, 0.4)
    broken = int(rng.integers(1, 5)) if fracture else -1
    flesh, bones = blank(), blank()
    wrist, spread = np.array([0.5, 0.72]), rng.uniform(0.85, 1.15)
    polygon(flesh, [(0.33, 0.45), (0.66, 0.45), (0.66, 0.7), (0.60, 1.1), (0.40, 1.1), (0.36, 0.72)], 0.3)
    for ray, (degrees, length) in enumerate([(-50, 0.46), (-17, 0.60), (-3, 0.64), (11, 0.60), (27, 0.51)]):
        turn = np.radians(degrees * spread)
        along = np.array([np.sin(turn), -np.cos(turn)])
        line(flesh, [wrist + 0.1 * along, wrist + length * along], 0.095 if ray else 0.11, 0.3)
        parts = [(0.13, 0.36), (0.385, 0.53), (0.55, 0.62), (0.64, 0.69)]
        for part, (start, stop) in enumerate(parts[: 3 if ray == 0 else 4]):
            ends = wrist + np.outer(np.array([start, stop]) * length / 0.7, along)
            _phalanx(rng, bones, ends, 0.034 - 0.005 * part, part == 0 and ray == broken)
    for _ in range(9):
        ellipse(bones, wrist + rng.normal(0, (0.055, 0.028)), (0.026, 0.022), 0.42, rng.uniform(0, 180))
    line(bones, [(0.465, 0.81), (0.455, 1.1)], 0.075, 0.45)
    line(bones, [(0.555, 0.82), (0.56, 1.1)], 0.05, 0.45)
    picture = soft(flesh, 4) + soft(bones, 1.1) * (1 + 0.06 * smooth_noise(rng, 60))
    concepts = (*_LIMB, "Upper Extremity", "Hand", *(("Fracture",) if fracture else ()))
    return Drawing(np.asarray(picture, np.float32), concepts, _STYLE)


def _phalanx(rng: np.random.Generator, bones: Canvas, ends: Points, width: float, broken: bool) -> None:
    """One tubular bone; a broken one is bent at the break."""
    middle = ends.mean(axis=0)
    if broken:
        across = np.array([ends[1, 1] - ends[0, 1], ends[0, 0] - ends[1, 0]])
        middle = middle + across * rng.choice([-1, 1]) * rng.uniform(0.16, 0.24)
    path = np.stack([ends[0], middle, ends[1]])
    line(bones, path, width, 0.5)
    line(bones, path, width * 0.4, 0.38)
    for end in ends:
        ellipse(bones, end, (width * 0.72, width * 0.6), 0.48)
    if broken:
        ellipse(bones, middle, (0.014, 0.014), 0.05)
