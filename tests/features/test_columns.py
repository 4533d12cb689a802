from __future__ import annotations

import numpy as np
import pytest

from imageclef.detectors.moments import FeatureRows
from imageclef.errors import DataError
from imageclef.features.columns import side_by_side
from imageclef.features.feature_set import FeatureSet

RANDOM = np.random.default_rng(0)
A = FeatureSet(list("abcd"), RANDOM.normal(size=(4, 3)).astype(np.float32))
B = FeatureSet(list("dxab"), RANDOM.normal(size=(4, 2)).astype(np.float32) * 100)


def test_the_images_of_all_sets_stand_beside_each_other() -> None:
    both = side_by_side([A, B])
    assert both.ids == ["a", "b", "d"]
    expected = np.hstack([A.features[np.array([0, 1, 3])], B.features[np.array([2, 3, 0])]])
    assert both.features.shape == (3, 5)
    assert both.n_features == 5
    np.testing.assert_array_equal(both.features[:], expected)
    np.testing.assert_array_equal(both.features[1:], expected[1:])
    np.testing.assert_array_equal(both.features[np.array([2, 0])], expected[[2, 0]])


def test_one_set_is_itself_and_strangers_cannot_be_joined() -> None:
    assert side_by_side([A]) is A
    with pytest.raises(DataError, match="2 feature sets have no image in common"):
        side_by_side([A, FeatureSet(["z"], np.ones((1, 2), np.float32))])


def test_unit_rows_give_every_set_one_say() -> None:
    zero = FeatureSet(list("abcd"), np.vstack([np.zeros(2), RANDOM.normal(size=(3, 2)) * 1e25]).astype("f4"))
    both = side_by_side([A, zero], unit=True)
    rows = both.features[:]
    np.testing.assert_allclose(np.linalg.norm(rows[:, :3], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[:, 3:], axis=1), [0, 1, 1, 1], rtol=1e-6)
    cosines = [
        one[2].astype(float)
        @ one[3]
        / np.linalg.norm(one[2].astype(float))
        / np.linalg.norm(one[3].astype(float))
        for one in (A.features, zero.features)
    ]
    assert rows[2] @ rows[3] / 2 == pytest.approx(np.mean(cosines), abs=1e-6)


def test_a_classifier_reads_them_in_blocks_as_they_are() -> None:
    both = side_by_side([A, B])
    taken: list[object] = []

    class Watched(type(both.features)):  # type: ignore[misc]
        def __getitem__(self, rows: object, /) -> np.ndarray:
            taken.append(rows)
            return super().__getitem__(rows)

    watched = Watched(both.features.parts, both.features.n_images)
    blocks = [block.numpy().copy() for _, block in FeatureRows(watched, None, "cpu", 2).blocks()]
    np.testing.assert_array_equal(np.concatenate(blocks), both.features[:])
    assert taken == [slice(0, 2), slice(2, 3)]
