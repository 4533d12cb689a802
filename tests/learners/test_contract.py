"""Small promises that every learner keeps; a new learner joins by standing in the table."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from imageclef.errors import ArtifactError, TrainingError
from imageclef.learners.base import Learner, Training
from imageclef.learners.gradient import GradientLearner
from imageclef.learners.history import HISTORY
from imageclef.learners.images import DeviceImages
from imageclef.learners.settings import choose
from imageclef.learners.table import LEARNERS, create, load_learner, save_learner
from tests.learners.drawing import blobs


def tiny(name: str) -> dict[str, object]:
    """Settings that train in a second, from the learner's own test file."""
    return dict(importlib.import_module(f"tests.learners.test_{name}").TINY)


def lowered(name: str) -> str | None:
    """The loss that a few epochs are bound to lower; adversarial losses rise and fall."""
    return getattr(importlib.import_module(f"tests.learners.test_{name}"), "LOWERED", None)


def fitted(name: str, seed: int = 0, folder: Path | None = None, **changes: object) -> Learner:
    choice = choose({"name": name, "preset": "small", **tiny(name), **changes})
    learner = create(choice, seed)
    learner.fit(DeviceImages(blobs(40, choice.settings.image_size)), Training(seed=seed, folder=folder))
    return learner.eval()


def features(learner: Learner, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return learner.transform(images)


@pytest.fixture(scope="module", params=list(LEARNERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def learner(name: str) -> Learner:
    return fitted(name)


@pytest.fixture(scope="module")
def images(learner: Learner) -> torch.Tensor:
    return blobs(12, learner.settings.image_size, seed=1)


def test_a_network_names_the_loss_that_training_lowers(name: str) -> None:
    assert (lowered(name) is not None) == issubclass(LEARNERS[name], GradientLearner)


def test_features_have_the_announced_width_and_are_finite_float32(
    learner: Learner, images: torch.Tensor
) -> None:
    found = features(learner, images)
    assert found.shape == (len(images), learner.n_features)
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())


def test_different_images_have_different_features(learner: Learner, images: torch.Tensor) -> None:
    assert len(torch.unique(features(learner, images), dim=0)) == len(images)


def test_a_row_does_not_depend_on_its_batch(learner: Learner, images: torch.Tensor) -> None:
    together = features(learner, images)
    alone = torch.cat([features(learner, image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_input_is_left_alone(learner: Learner, images: torch.Tensor) -> None:
    before = images.clone()
    features(learner, images)
    assert torch.equal(images, before)


def test_the_same_seed_gives_the_same_bits(name: str, learner: Learner, images: torch.Tensor) -> None:
    assert torch.equal(features(fitted(name), images), features(learner, images))


def test_another_seed_gives_other_features(name: str, learner: Learner, images: torch.Tensor) -> None:
    if name in ("pca", "pixels"):
        pytest.skip("the answer does not depend on chance")
    assert not torch.equal(features(fitted(name, seed=1), images), features(learner, images))


def test_state_survives_disk(name: str, learner: Learner, images: torch.Tensor, tmp_path: Path) -> None:
    save_learner(tmp_path, name, learner)
    found, loaded = load_learner(tmp_path)
    assert found == name
    assert loaded.settings == learner.settings
    assert torch.equal(features(loaded, images), features(learner, images))


def test_a_cut_file_is_named(name: str, learner: Learner, tmp_path: Path) -> None:
    save_learner(tmp_path, name, learner)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    with pytest.raises(ArtifactError, match=r"model\.safetensors: not a checkpoint"):
        load_learner(tmp_path)


def test_the_module_cites_its_paper(name: str) -> None:
    if name == "pixels":
        pytest.skip("the plain row has no paper")
    module = importlib.import_module(LEARNERS[name].__module__)
    assert "Reference:" in (module.__doc__ or "")


def test_pictures_are_rows_of_as_many_images(learner: Learner, images: torch.Tensor) -> None:
    with torch.inference_mode():
        rows = learner.sheet(images[:4], torch.Generator().manual_seed(0))
    assert "images" in rows
    for row in rows.values():
        assert row.shape[:2] == (4, 3)
        assert row.dtype == torch.uint8


def test_training_lowers_its_loss(name: str, tmp_path: Path) -> None:
    loss = lowered(name)
    if loss is None:
        pytest.skip("not trained by gradient")
    fitted(name, folder=tmp_path, epochs=12)
    history = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [entry["epoch"] for entry in history] == list(range(1, 13))
    assert history[-1][loss] < 0.9 * history[0][loss]


def test_no_epochs_leave_the_network_as_drawn(name: str) -> None:
    if not issubclass(LEARNERS[name], GradientLearner):
        pytest.skip("not a network")
    drawn = create(choose({"name": name, **tiny(name)}), 0).state_dict()
    for key, tensor in fitted(name, epochs=0).state_dict().items():
        assert torch.equal(tensor, drawn[key]), key


def test_a_training_that_was_cut_short_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    if not issubclass(LEARNERS[name], GradientLearner):
        pytest.skip("not a network")
    fitted(name, folder=tmp_path, epochs=2)
    resumed = fitted(name, folder=tmp_path, epochs=4)
    for key, tensor in fitted(name, epochs=4).state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key
    assert len((tmp_path / HISTORY).read_text().splitlines()) == 4


def test_too_few_images_are_refused(name: str) -> None:
    if name in ("pixels", "orb"):
        pytest.skip("one image is enough")
    choice = choose({"name": name, **tiny(name)})
    with pytest.raises(TrainingError, match=r"^3 images"):
        create(choice, 0).fit(DeviceImages(blobs(3, choice.settings.image_size)), Training())


def test_a_loss_that_is_not_finite_stops_training(name: str) -> None:
    if not issubclass(LEARNERS[name], GradientLearner):
        pytest.skip("not a network")
    with pytest.raises(TrainingError, match=r"loss is (nan|inf|-inf)"):
        fitted(name, learning_rate=1e30)


@pytest.mark.gpu
def test_cuda_gives_the_features_of_the_cpu(learner: Learner, images: torch.Tensor) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_cpu = features(learner, images)
    on_cuda = features(learner.to("cuda"), images.to("cuda")).cpu()
    learner.to("cpu")
    torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4)
