"""Five drawn shapes that stand for five kinds of medical images, with findings that can be seen in them.

Each shape is a function of a patient's random numbers and of a grid of coordinates. The same patient on
another grid is the same anatomy seen again: turned, shifted and scaled a little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIDE = 160
"""Pixels of every side of a drawn image."""

Plane = NDArray[np.float32]

CONCEPTS = {
    "Abdomen": "C0000726",
    "Axial": "C0205131",
    "Bone structure of cranium": "C0037303",
    "Brain": "C0006104",
    "Brain Neoplasms": "C0006118",
    "Cardiomegaly": "C0018800",
    "Chest": "C0817096",
    "Cholelithiasis": "C0008350",
    "Fracture": "C0016658",
    "Gallbladder": "C0016976",
    "Hemorrhage": "C0019080",
    "Hydrocephalus": "C0020255",
    "Knee": "C0022742",
    "Lower Extremity": "C0023216",
    "Lung": "C0024109",
    "Magnetic Resonance Imaging": "C0024485",
    "Melanoma": "C0025202",
    "Musculoskeletal System": "C0026860",
    "Nevus": "C0027960",
    "Osteoarthritis": "C0029408",
    "Plain x-ray": "C1306645",
    "Pleural effusion": "C0032227",
    "Pulmonary nodule": "C0034079",
    "Skin": "C1123023",
    "Ultrasonography": "C0041618",
    "X-Ray Computed Tomography": "C0040405",
}
"""The name of everything that is drawn, and its CUI."""


@dataclass(frozen=True)
class Grid:
    """Coordinates of every pixel, about -1 to 1; x to the right, y downwards, each of shape (SIDE, SIDE)."""

    x: Plane
    y: Plane

    @classmethod
    def posed(cls, rng: Generator) -> Grid:
        """A grid turned by up to 8 degrees, shifted by up to 6 % and scaled by up to 8 %."""
        y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
        angle, scale = rng.uniform(-0.14, 0.14), rng.uniform(0.92, 1.08)
        right, down = rng.uniform(-0.12, 0.12, 2)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return cls(cos * x - sin * y + right, sin * x + cos * y + down)

    def oval(self, x: float, y: float, width: float, height: float, soft: float = 0.03) -> Plane:
        """1 within an ellipse of these half-axes, 0 outside, with a soft edge."""
        distance = np.hypot((self.x - x) / width, (self.y - y) / height)
        edge: Plane = np.clip((1 - distance) * min(width, height) / soft + 0.5, 0, 1)
        return edge

    def bar(self, x: float, top: float, bottom: float, width: float, lean: float = 0.0) -> Plane:
        """1 within a bar with round ends, from top to bottom; `lean` is how far x moves for each y."""
        across = np.abs(self.x - x - lean * (self.y - top))
        beyond = np.maximum(np.maximum(top - self.y, self.y - bottom), 0)
        edge: Plane = np.clip((width - np.hypot(across, beyond)) / 0.03 + 0.5, 0, 1)
        return edge


@dataclass(frozen=True)
class Drawing:
    """An image between 0 and 1 of shape (SIDE, SIDE) or (SIDE, SIDE, 3), and what it shows."""

    pixels: Plane
    modality: str
    concepts: tuple[str, ...]


Shape = Callable[[Generator, Grid], Drawing]


def texture(rng: Generator, size: float) -> Plane:
    """Smooth noise of mean 0 and standard deviation 1; `size` is that of its grains in pixels."""
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), size).astype(np.float32)
    scaled: Plane = noise / noise.std()
    return scaled


def chest(rng: Generator, grid: Grid) -> Drawing:
    """A radiograph: dark lungs between ribs, the heart; a nodule, a large heart, fluid at the bottom."""
    large, nodule, fluid = rng.random(3) < (0.35, 0.3, 0.3)
    body = grid.oval(0, 0.45, 0.98, 1.4)
    lungs = [grid.oval(side * 0.42, 0, 0.32, 0.66) for side in (-1, 1)]
    ribs = np.clip(np.sin(20 * (grid.y - 0.5 * grid.x**2)), 0, 1) * body
    spine = grid.bar(0, -1, 1, 0.09)
    heart = grid.oval(0.12, 0.34, 0.46 if large else 0.26, 0.3)
    image = body * 0.55 - 0.38 * sum(lungs) + 0.13 * ribs + 0.18 * spine
    image = np.maximum(image, heart * 0.66)
    where = rng.choice((-0.45, 0.45)), rng.uniform(-0.35, 0.05)
    if nodule:
        image += 0.45 * grid.oval(*where, 0.1, 0.1)
    if fluid:
        below = np.clip((grid.y - rng.uniform(0.05, 0.25)) / 0.05, 0, 1)
        image = np.maximum(image, 0.68 * below * lungs[rng.integers(2)])
    image += 0.02 * texture(rng, 1)
    found = {"Cardiomegaly": large, "Pulmonary nodule": nodule, "Pleural effusion": fluid}
    return Drawing(image, "CR", _named(("Plain x-ray", "Chest", "Lung"), found))


def head(rng: Generator, grid: Grid) -> Drawing:
    """A section through the head by CT or MR: blood, a ring-shaped tumour, wide ventricles."""
    by_ct, blood, tumour, wide = rng.random(4) < (0.55, 0.35, 0.3, 0.3)
    side, y = rng.choice((-0.3, 0.3)), rng.uniform(-0.4, 0.4)
    outer, inner = grid.oval(0, 0, 0.72, 0.92), grid.oval(0, 0, 0.63, 0.83)
    width = 0.16 if wide else 0.06
    upper = [grid.bar(sign * 0.22, -0.36, 0.0, width, -0.42 * sign) for sign in (-1, 1)]
    lower = [grid.bar(sign * 0.07, 0.0, 0.36, width, 0.42 * sign) for sign in (-1, 1)]
    ventricles = np.max([*upper, *lower], axis=0)
    skull, brain, fluid, bleeding = (1.0, 0.42, 0.12, 0.85) if by_ct else (0.3, 0.55, 0.95, 0.1)
    image = skull * (outer - inner) + inner * (brain + 0.04 * texture(rng, 4))
    image += ventricles * inner * (fluid - brain)
    if blood:
        image += (bleeding - image) * grid.oval(side, y, 0.22, 0.17)
    if tumour:
        ring = grid.oval(-side, -y, 0.2, 0.2) - grid.oval(-side, -y, 0.11, 0.11)
        image += (0.95 - image) * ring
    image += 0.015 * texture(rng, 0.7)
    always: tuple[str, ...] = ("Axial", "Brain")
    if by_ct:
        always += ("X-Ray Computed Tomography", "Bone structure of cranium")
    else:
        always += ("Magnetic Resonance Imaging",)
    found = {"Hemorrhage": blood, "Brain Neoplasms": tumour, "Hydrocephalus": wide}
    return Drawing(image, "CT" if by_ct else "MR", _named(always, found))


def knee(rng: Generator, grid: Grid) -> Drawing:
    """A radiograph: two bones and the gap between them; a broken shaft, a gap that is gone."""
    broken, worn = rng.random(2) < (0.4, 0.35)
    gap = 0.0 if worn else 0.1
    flesh = grid.bar(0, -1.2, 1.2, 0.62)
    femur = np.maximum(grid.bar(0, -1.2, -0.3, 0.2), grid.oval(0, -0.17 - gap / 2, 0.42, 0.17))
    tibia = np.maximum(grid.bar(-0.05, 0.3, 1.2, 0.18), grid.oval(0, 0.17 + gap / 2, 0.42, 0.15))
    fibula = grid.bar(0.36, 0.42, 1.2, 0.07)
    bones = np.maximum(np.maximum(femur, tibia), fibula)
    y = rng.choice((-0.6, 0.65))
    if broken:
        line = np.abs(grid.y - y - 0.5 * grid.x)
        bones = bones * np.clip(line / 0.04 - 0.5, 0, 1)
    image = 0.22 * flesh + bones * (0.6 + 0.05 * texture(rng, 2)) + 0.015 * texture(rng, 1)
    found = {"Fracture": broken, "Osteoarthritis": worn}
    always = ("Plain x-ray", "Knee", "Lower Extremity", "Musculoskeletal System")
    return Drawing(image, "CR", _named(always, found))


def gallbladder(rng: Generator, grid: Grid) -> Drawing:
    """Ultrasound: a speckled fan and a dark bladder; a stone, bright with a shadow below it."""
    stone = rng.random() < 0.5
    x, y = rng.uniform(-0.2, 0.2), rng.uniform(-0.05, 0.15)
    depth = grid.y + 1.25
    fan = np.clip((0.85 - np.abs(grid.x) / np.maximum(depth, 0.01)) / 0.03, 0, 1)
    fan *= np.clip((2.1 - np.hypot(grid.x, depth)) / 0.03, 0, 1) * (depth > 0.35)
    echo = 0.34 - 0.28 * grid.oval(x, y, 0.42, 0.24)
    if stone:
        echo *= 1 - 0.9 * grid.bar(x, y + 0.15, 1.4, 0.09, x * 0.8)
        echo += 0.75 * grid.oval(x, y + 0.13, 0.13, 0.07)
    image = fan * np.abs(echo * (1 + 0.45 * texture(rng, 1.2)))
    always = ("Ultrasonography", "Gallbladder", "Abdomen")
    return Drawing(image, "US", _named(always, {"Cholelithiasis": stone}))


def skin(rng: Generator, grid: Grid) -> Drawing:
    """A photograph: a round brown nevus, or a melanoma that is dark, ragged and of several colours."""
    melanoma = rng.random() < 0.45
    angle, radius = np.arctan2(grid.y, grid.x), np.hypot(grid.x, grid.y)
    waves = sum(np.sin(n * angle + rng.uniform(0, 6.3)) for n in (2, 3, 5)) / 3
    reach = rng.uniform(0.4, 0.5) * (1 + (0.4 if melanoma else 0.05) * waves)
    spot = np.clip((reach - radius) / (0.05 if melanoma else 0.12) + 0.5, 0, 1)[..., None]
    tone = np.array((0.86, 0.66, 0.55), np.float32) * rng.uniform(0.85, 1.08)
    colour = np.array((0.22, 0.14, 0.14) if melanoma else (0.52, 0.32, 0.2), np.float32)
    patches = 0.08 * texture(rng, 9)[..., None] * (1 if melanoma else 0.2)
    image = tone * (1 + 0.03 * texture(rng, 2)[..., None]) * (1 - spot) + (colour + patches) * spot
    found = {"Melanoma": melanoma, "Nevus": not melanoma}
    return Drawing(image.astype(np.float32), "photograph", _named(("Skin",), found))


SHAPES: dict[Shape, float] = {chest: 0.27, head: 0.33, knee: 0.15, gallbladder: 0.12, skin: 0.13}
"""Every shape, and how often it is drawn."""


def _named(always: tuple[str, ...], found: dict[str, bool]) -> tuple[str, ...]:
    """CUIs of what is shown in every case and of what was found in this one."""
    seen = (name for name, is_there in found.items() if is_there)
    return tuple(CONCEPTS[name] for name in (*always, *seen))
