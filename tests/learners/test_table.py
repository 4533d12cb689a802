from __future__ import annotations

import pytest

from imageclef.errors import ConfigError
from imageclef.learners.settings import SETTINGS, choose
from imageclef.learners.table import LEARNERS


@pytest.mark.parametrize("name", list(LEARNERS))
@pytest.mark.parametrize("preset", ["small", "paper"])
def test_every_preset_is_named_by_itself(name: str, preset: str) -> None:
    assert choose({"name": name, "preset": preset}).label == f"{name}-{preset}"


def test_a_setting_overrides_its_preset_and_shows_in_the_label() -> None:
    choice = choose({"name": "aae", "preset": "paper", "latent_dim": 256, "epochs": 2})
    assert choice.settings.model_dump()["latent_dim"] == 256
    assert choice.label == "aae-paper-epochs=2-latent_dim=256"


def test_a_setting_at_its_usual_value_does_not_show() -> None:
    usual = choose({"name": "aae"}).settings.model_dump()
    assert choose({"name": "aae", "epochs": usual["epochs"]}).label == "aae-small"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "vae2"}, r"no learner 'vae2'; there are: aae, faae"),
        ({"name": "aae", "preset": "big"}, r"no preset 'big'; there are: paper, small"),
        ({"name": "aae", "latentdim": 3}, r"unknown setting 'latentdim'; expected one of .*latent_dim"),
        ({"name": "aae", "epochs": -1}, r"epochs = -1: input should be greater than or equal to 0"),
        ({"name": "aae", "crop_size": 80}, r"crop_size 80 is larger than image_size 72"),
        ({"name": "orb", "latent_dim": 3}, r"'latent_dim' is a setting of aae, faae, not of orb"),
    ],
)
def test_a_wrong_table_is_one_line(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        choose(table)
    assert "\n" not in str(caught.value)


def test_a_setting_of_another_learner_is_told_whose_it_is() -> None:
    with pytest.raises(ConfigError, match="'n_components' is a setting of pca, not of aae; expected one of"):
        choose({"name": "aae", "n_components": 3})


def test_every_learner_has_settings_and_a_class() -> None:
    assert list(LEARNERS) == list(SETTINGS)
