from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from imageclef.errors import DataError, MissingArtifact
from imageclef.features.encoding import Encoding, as_image
from imageclef.features.regions import Regions
from imageclef.images.decode import Mode
from imageclef.learners.base import Learner
from imageclef.learners.images import DeviceImages
from imageclef.learners.table import choose
from imageclef.service.served import explaining
from imageclef.service.served.explaining import Explainer

SIZE = 64
PICTURES = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 3), np.uint8)
SETTINGS = {"name": "aae", "image_size": SIZE, "crop_size": SIZE, "width": 8, "latent_dim": 16, "epochs": 0}


def images(learner: Learner) -> DeviceImages:
    import torch

    return DeviceImages(torch.stack([as_image(picture) for picture in PICTURES]))


def at(row: int, size: int, mode: Mode) -> NDArray[np.uint8]:
    assert size == SIZE
    if row < 0:
        raise DataError("gone")
    return PICTURES[row]


def ask(explainer: Explainer, *rows: int) -> explaining.Explained:
    query, *others = (partial(at, row) for row in rows)
    return explainer.explain(query, others)


@pytest.fixture(scope="module")
def learner() -> Learner:
    return choose(SETTINGS).create(0).eval()


def test_grids_are_the_shares_with_the_largest_as_one(learner: Learner) -> None:
    explained = ask(Explainer(Encoding([learner]), images), 0, 1, 2)
    assert explained.said == explaining.SAID
    maps = Regions.of([learner], "codes", images).between(PICTURES[0], list(PICTURES[1:3]))
    for pair, of_query, of_image in zip(explained.pairs, *maps, strict=True):
        assert pair is not None
        for grid, shares in ((pair.query, of_query), (pair.image, of_image)):
            warm = shares.clip(0)
            np.testing.assert_allclose(grid, warm / warm.max(), atol=6e-4)


def test_a_file_that_is_gone_has_no_grid(learner: Learner) -> None:
    explained = ask(Explainer(Encoding([learner]), images), 0, 1, -1, 2)
    assert [pair is None for pair in explained.pairs] == [False, True, False]
    assert ask(Explainer(Encoding([learner]), images), -1, 1).pairs == [None]
    assert ask(Explainer(Encoding([learner]), images), 0).pairs == []


def test_only_the_nearest_are_looked_at(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "MOST_EXPLAINED", 2)
    explained = ask(Explainer(Encoding([learner]), images), 0, 1, 2, 3)
    assert [pair is None for pair in explained.pairs] == [False, False, True]


def test_the_mean_image_is_found_once(learner: Learner) -> None:
    asked = []

    def counting(learner: Learner) -> DeviceImages:
        asked.append(learner)
        return images(learner)

    explainer = Explainer(Encoding([learner]), counting)
    for _ in range(3):
        ask(explainer, 0, 1)
    assert asked == [learner]


def gone(learner: Learner) -> DeviceImages:
    raise MissingArtifact("/secret/stores/train is not there; `imageclef ingest` makes it")


@pytest.mark.parametrize(
    ("settings", "source", "said"),
    [
        ([{"name": "pixels", "image_size": SIZE}], images, "its features have no place in the picture"),
        ([SETTINGS, SETTINGS], images, "features of 2 learners: regions are those of one"),
        ([SETTINGS], gone, "the store of the training collection is not there any more"),
    ],
)
def test_without_regions_a_sentence_says_why(
    settings: list[dict[str, object]], source: Callable[[Learner], DeviceImages], said: str
) -> None:
    encoding = Encoding([choose(one).create(0).eval() for one in settings])
    explained = ask(Explainer(encoding, source), 0, 1)
    assert said in explained.said
    assert explained.said.endswith("the concepts that are shared can.")
    assert "secret" not in explained.said
    assert explained.pairs == [None]
