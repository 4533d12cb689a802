from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from imageclef.errors import TrainingError
from imageclef.features import extract as bulk
from imageclef.features.extract import ROWS_DONE, begun, extract, features_of, row_ranges, width_of
from imageclef.learners.images import DeviceImages
from imageclef.learners.pixels import Pixels
from imageclef.learners.settings import PixelsSettings, choose
from imageclef.learners.table import create, load_learner, save_learner

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
    learner = create(choose({"name": "aae", **tiny}), 0).eval()
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


def test_ranges_hold_every_row_once_in_whole_batches() -> None:
    for n_rows, n_parts, batch_size in ((7, 3, 2), (7, 1, 2), (3, 5, 2), (64, 4, 8), (1, 2, 256)):
        ranges = row_ranges(n_rows, n_parts, batch_size)
        assert [row for rows in ranges for row in rows] == list(range(n_rows))
        assert all(rows.start % batch_size == 0 for rows in ranges)
        assert len(ranges) <= n_parts


_PART = """
import sys
import numpy as np, torch
from imageclef.features.extract import extract, row_ranges
from imageclef.learners.images import DeviceImages
from imageclef.learners.table import load_learner
folder, part = sys.argv[1], int(sys.argv[2])
from pathlib import Path
images = DeviceImages(torch.from_numpy(np.load(folder + "/images.npy")))
into = np.load(folder + "/features.npy", mmap_mode="r+")
learner = load_learner(Path(folder))[1]
extract(learner, images, into, output="codes", precision="fp32", batch_size=4, advance=lambda n: None,
        rows=row_ranges(len(images), 3, 4)[part])
into.flush()
"""


def test_processes_that_share_the_rows_write_what_one_writes(tmp_path: Path) -> None:
    tiny = {"image_size": 20, "crop_size": 16, "width": 4, "latent_dim": 8, "discriminator_width": 8}
    learner = create(choose({"name": "aae", **tiny}), 0).eval()
    save_learner(tmp_path, "aae", learner)
    images = np.random.default_rng(0).integers(0, 256, (22, 3, 20, 20), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "features.npy", np.zeros((22, 8), np.float32))
    processes = [
        subprocess.Popen([sys.executable, "-c", _PART, str(tmp_path), str(part)]) for part in (2, 0, 1)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    alone = np.zeros((22, 8), np.float32)
    extract(
        load_learner(tmp_path)[1],
        DeviceImages(torch.from_numpy(images)),
        alone,
        output="codes",
        precision="fp32",
        batch_size=4,
        advance=lambda n: None,
    )
    assert np.load(tmp_path / "features.npy").tobytes() == alone.tobytes()


def test_a_range_that_begins_within_a_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple of batch_size = 4"):
        extract(
            Pixels(PixelsSettings(image_size=8)),
            DeviceImages(IMAGES),
            np.zeros((7, 64), np.float32),
            output="codes",
            precision="fp32",
            batch_size=4,
            advance=lambda n: None,
            rows=range(2, 7),
        )


def test_pooled_features_are_the_means_of_quadrants() -> None:
    tiny = {"image_size": 64, "crop_size": 64, "width": 2, "latent_dim": 8, "discriminator_width": 8}
    learner = create(choose({"name": "aae", **tiny}), 0).eval()
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8))
    levels, x = [], images.float() / 127.5 - 1
    with torch.inference_mode():
        for block in learner.encoder.blocks:
            x = block(x)
            half = x.shape[-1] // 2
            quadrants = [
                x[:, :, i : i + half, j : j + half].mean((2, 3)) for i in (0, half) for j in (0, half)
            ]
            levels.append(torch.stack(quadrants, dim=2).flatten(1))
    torch.testing.assert_close(features_of(learner, images, "pooled", "fp32"), torch.cat(levels[-3:], 1))
