from __future__ import annotations

import numpy as np

from imageclef.data.heat import with_heat


def test_the_picture_is_warm_where_the_map_is_high_and_itself_elsewhere() -> None:
    pixels = np.full((40, 60, 3), 100, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 2.0
    drawn = with_heat(pixels, heat)
    assert drawn.shape == (40, 60, 3)
    assert drawn[4, 52, 0] > 170
    assert drawn[4, 52, 2] < 60
    assert (drawn[30:, :20] == 100).all()


def test_a_cold_map_leaves_the_picture_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 1), dtype=np.uint8)
    drawn = with_heat(pixels, np.full((2, 2), -1, np.float32))
    np.testing.assert_array_equal(drawn, np.repeat(pixels, 3, axis=2))
