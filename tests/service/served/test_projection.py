from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imageclef.errors import ArtifactError
from imageclef.progress import Silent
from imageclef.retrieval.index import Index
from imageclef.service.served.projection import Projection, project, project_once


def index_of(features: np.ndarray) -> Index:
    ids = [f"i{row}" for row in range(len(features))]
    return Index.of(features.astype(np.float32), ids, "l2")


@pytest.mark.parametrize("shape", [(50, 7), (9, 40), (3, 2), (2, 3)])
def test_the_axes_are_those_of_the_singular_value_decomposition(shape: tuple[int, int]) -> None:
    features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    projection = project(index_of(features))
    centred = features.astype(np.float64) - features.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    shares = values**2 / (values**2).sum()
    assert projection.explained == pytest.approx(shares[:2], abs=1e-6)
    plain = centred @ axes[:2].T
    for axis in range(2):
        if shares[axis] > 1e-6:
            order = np.argsort(plain[:, axis])
            along = np.diff(projection.points[order, axis])
            assert (along >= 0).all() or (along <= 0).all()


def test_outliers_stay_inside_and_do_not_press_the_others_together() -> None:
    features = np.random.default_rng(0).normal(size=(400, 4)) * [5, 3, 1, 1]
    features[0] = 5000
    points = project(index_of(features)).points
    assert np.abs(points).max() <= 1
    assert (points[1:].max(0) - points[1:].min(0)).min() > 0.8


@pytest.mark.parametrize("shape", [(1, 5), (4, 1)])
def test_too_little_for_two_axes_is_still_a_map(shape: tuple[int, int]) -> None:
    points = project(index_of(np.arange(shape[0] * shape[1]).reshape(shape))).points
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_equal_images_make_a_point() -> None:
    projection = project(index_of(np.ones((5, 3))))
    assert np.isfinite(projection.points).all()
    assert (projection.points == projection.points[0]).all()


def test_it_is_drawn_once_and_again_for_another_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import imageclef.service.served.projection as module

    features, drawn = np.random.default_rng(0).normal(size=(20, 4)), []
    monkeypatch.setattr(module, "project", lambda *args: drawn.append(1) or project(*args))
    first = project_once(index_of(features), "one", tmp_path / "map", Silent())
    again = project_once(index_of(features), "one", tmp_path / "map", Silent())
    assert len(drawn) == 1
    assert np.array_equal(first.points, again.points)
    assert first.ids == again.ids
    project_once(index_of(features[:-1]), "other", tmp_path / "map", Silent())
    assert len(drawn) == 2


def test_a_damaged_map_is_refused(tmp_path: Path) -> None:
    Projection(["a", "b"], np.zeros((2, 2), np.float32), (0.5, 0.1)).save(tmp_path)
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(ArtifactError, match="2\\) points for 1 ids"):
        Projection.load(tmp_path)
    (tmp_path / "points.npy").write_bytes(b"no")
    with pytest.raises(ArtifactError, match="not a map"):
        Projection.load(tmp_path)
