from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from imageclef.demo.shapes import CONCEPTS, SHAPES, SIDE, Drawing, Grid, Shape

shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)


def drawn(shape: Shape, patient: int, view: int = 0) -> Drawing:
    return shape(np.random.default_rng(patient), Grid.posed(np.random.default_rng(view)))


def test_shares_of_shapes_add_up() -> None:
    assert sum(SHAPES.values()) == pytest.approx(1)
    assert len(SHAPES) == 5


@shapes
def test_every_shape_has_what_it_always_shows_and_what_it_sometimes_shows(shape: Shape) -> None:
    drawings = [drawn(shape, patient) for patient in range(25)]
    seen = Counter(concept for drawing in drawings for concept in drawing.concepts)
    assert set(seen) <= set(CONCEPTS.values())
    assert max(seen.values()) == 25
    assert 0 < min(seen.values()) < 25
    assert all(len(set(drawing.concepts)) == len(drawing.concepts) for drawing in drawings)
    assert len({drawing.pixels.tobytes() for drawing in drawings}) == 25


@shapes
def test_a_drawing_has_contrast_and_another_view_is_another_image_of_the_same(shape: Shape) -> None:
    one, again, other = drawn(shape, 0), drawn(shape, 0), drawn(shape, 0, view=1)
    assert one.pixels.shape[:2] == (SIDE, SIDE)
    assert one.pixels.std() > 0.06
    assert (one.pixels > 0.99).mean() < 0.35
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert one.concepts == other.concepts
    assert np.abs(one.pixels - other.pixels).mean() > 0.01


def test_an_oval_and_a_bar_are_where_they_are_said_to_be() -> None:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j].astype(np.float32)
    grid = Grid(x, y)
    oval, bar = grid.oval(0.2, 0, 0.5, 0.25), grid.bar(0.0, -0.5, 0.5, 0.1)
    assert oval.sum() * (2 / SIDE) ** 2 == pytest.approx(np.pi * 0.5 * 0.25, rel=0.03)
    assert bar.sum() * (2 / SIDE) ** 2 == pytest.approx(0.2 + np.pi * 0.01, rel=0.1)
    assert (oval * x).sum() / oval.sum() == pytest.approx(0.2, abs=0.01)
