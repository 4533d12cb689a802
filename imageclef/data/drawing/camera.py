"""From a drawing to a picture: position, brightness, grain, and a letter burned in here and there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from imageclef.data.drawing.canvas import SIDE, Canvas, Drawing, smooth_noise

_SIZES = (200, 256)
_MARKED = 0.25


def photograph(drawing: Drawing, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Take a picture of a drawing, another one each time.

    Args:
        drawing: not changed.
        rng: draws everything that differs between two pictures of one drawing.

    Returns:
        Grey (h, w) or colour (h, w, 3), with sides of 200 to 256 pixels.
    """
    style, pixels = drawing.style, drawing.pixels
    if style.shading:
        light = 1 + style.shading * smooth_noise(rng, 2)
        pixels = pixels * (light if pixels.ndim == 2 else light[..., None])
    picture = _posed(np.asarray(pixels, np.float32), drawing, rng)
    picture = np.maximum(picture, 0) ** np.float32(rng.uniform(0.85, 1.2)) * np.float32(
        rng.uniform(0.9, 1.12)
    )
    picture += np.float32(rng.uniform(-0.02, 0.03))
    grain = np.float32(style.grain * rng.uniform(0.6, 1.5))
    noise = grain * rng.standard_normal(picture.shape[:2], dtype=np.float32)
    picture += noise if picture.ndim == 2 else noise[..., None]
    eight_bits = np.clip(picture * 255, 0, 255).astype(np.uint8)
    if eight_bits.ndim == 2 and rng.random() < _MARKED:
        _mark(eight_bits, rng)
    return eight_bits


def _posed(pixels: Canvas, drawing: Drawing, rng: np.random.Generator) -> Canvas:
    """Turned, zoomed and moved, on a frame of its own size."""
    style = drawing.style
    width, height = (int(side) for side in rng.integers(_SIZES[0], _SIZES[1] + 1, 2))
    zoom = rng.uniform(*style.zoom) * max(width, height) / SIDE
    pose = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-style.turn, style.turn), zoom)
    middle = np.array([width - SIDE, height - SIDE]) / 2
    pose[:, 2] = pose[:, 2] + middle + rng.normal(0, 0.015 * SIDE, 2)
    border = cv2.BORDER_REFLECT_101 if style.background is None else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(pixels, pose, (width, height), flags=cv2.INTER_LINEAR, borderMode=border), np.float32
    )


def _mark(picture: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A letter in a corner: the side of the body, as technicians leave it."""
    height, width = picture.shape
    corner = (int(rng.choice([8, width - 24])), int(rng.choice([22, height - 10])))
    letter = str(rng.choice(["L", "R"]))
    cv2.putText(picture, letter, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 230, 1, cv2.LINE_AA)
