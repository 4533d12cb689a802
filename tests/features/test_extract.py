from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from imageclef.errors import TrainingError
from imageclef.features import extract as bulk
from imageclef.features.extract import ROWS_DONE, begun, extract, width_of
from imageclef.learners.images import DeviceImages
from imageclef.learners.pixels import Pixels, PixelsSettings
from imageclef.learners.table import choose

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, 3, 8, 8), dtype=np.uint8))


def extracted(batch_size: int, told: list[int]) -> np.ndarray:
    learner, images = Pixels(PixelsSettings(image_size=8)), DeviceImages(IMAGES)
    into = np.full((7, 64), np.nan, np.float32)
    extract(
        learner, images, into, output="codes", precision="fp32", batch_size=batch_size, advance=told.append
    )
    return into


def test_every_row_is_filled_whatever_the_batch() -> None:
    told: list[int] = []
    grey = IMAGES.float().mean(1).flatten(1)
    np.testing.assert_allclose(extracted(3, told), grey - grey.mean(1, keepdim=True), atol=1e-3)
    assert told == [3, 3, 1]
    np.testing.assert_array_equal(extracted(3, told), extracted(100, told))


def test_a_learner_without_levels_cannot_pool() -> None:
    with pytest.raises(TrainingError, match=r"Pixels has no pooled levels; set extract\.output = 'codes'"):
        width_of(Pixels(PixelsSettings(image_size=8)), DeviceImages(IMAGES), "pooled")


def test_pooled_levels_are_as_wide_as_they_say() -> None:
    tiny = {"image_size": 20, "crop_size": 16, "width": 4, "latent_dim": 8, "discriminator_width": 8}
    learner = choose({"name": "aae", **tiny}).create(0).eval()
    images = DeviceImages(torch.zeros(2, 3, 20, 20, dtype=torch.uint8))
    assert width_of(learner, images, "codes") == 8
    assert width_of(learner, images, "pooled") == 4 * 4 * (4 + 8 + 8)


def test_a_feature_that_is_not_finite_is_named_with_its_row() -> None:
    class Broken(Pixels):
        def transform(self, images: torch.Tensor) -> torch.Tensor:
            features = super().transform(images)
            features[images[:, 0, 0, 0] == IMAGES[5, 0, 0, 0], 2] = torch.nan
            return features

    into = np.zeros((7, 64), np.float32)
    with pytest.raises(TrainingError, match=r"features of row 5 are not finite"):
        extract(
            Broken(PixelsSettings(image_size=8)),
            DeviceImages(IMAGES),
            into,
            output="codes",
            precision="fp32",
            batch_size=4,
            advance=lambda n: None,
        )


def test_a_stopped_extraction_goes_on_with_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every batch took longer than what a kill may cost."""
    monkeypatch.setattr(bulk, "SAVED_EVERY", -1.0)
    seen: list[int] = []

    class Stopping(Pixels):
        def transform(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            if len(seen) == 3:
                raise KeyboardInterrupt
            return super().transform(images)

    def run(learner: Pixels) -> np.ndarray:
        rows = begun(tmp_path, [f"i{row}" for row in range(7)], 64)
        extract(
            learner,
            DeviceImages(IMAGES),
            rows,
            output="codes",
            precision="fp32",
            batch_size=2,
            advance=told.append,
            folder=tmp_path,
        )
        return np.array(rows)

    told: list[int] = []
    settings = PixelsSettings(image_size=8)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        run(Stopping(settings))
    assert (tmp_path / ROWS_DONE).read_text() == "4"
    told.clear()
    np.testing.assert_array_equal(run(Pixels(settings)), extracted(2, []))
    assert told == [4, 2, 1]
    begun(tmp_path, ["another"], 64)
    assert not (tmp_path / ROWS_DONE).exists()
