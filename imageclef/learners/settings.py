"""The settings of every learner, and the choice of one of them.

They stand apart from the learners so that a command can find what a learner has made without importing
PyTorch, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from imageclef.errors import ConfigError
from imageclef.settings import Settings, parse_settings

Prior = Literal["sphere", "normal", "uniform", "rectified-normal", "bernoulli"]
Schedule = Literal["constant", "cosine"]


class LearnerSettings(Settings):
    """The settings of every learner.

    Attributes:
        image_size: side of the square images in the store, in pixels.
        small: what the preset ``small`` changes, so that two cores train it in minutes. The defaults are the
            published sizes, the preset ``paper``.
        mode: how the store keeps images for the learner.
        uses_labels: whether it learns from concepts. Only a learner that declares it can read labels.
    """

    small: ClassVar[Mapping[str, Any]] = {}
    mode: ClassVar[Literal["rgb", "grey"]] = "rgb"
    uses_labels: ClassVar[bool] = False

    image_size: int


class GradientSettings(LearnerSettings):
    """The settings of every learner that is trained by gradient.

    Attributes:
        epochs: passes over the images; 0 leaves the network as it was drawn.
        batch_size: images in one update; with several processes, of all of them together.
        warmup: share of the training over which learning rates rise to their full value.
        schedule: learning rates after that: constant, or half a cosine to zero.
        clip: largest norm of the gradient of an update, over all its parameters; None does not clip.
        averaging: decay of the exponential average of the weights, which then replaces them when the
            training ends; 0 keeps the last weights.
    """

    epochs: int = Field(default=50, ge=0)
    batch_size: int = Field(default=32, ge=2)
    warmup: float = Field(default=0.0, ge=0, le=1)
    schedule: Schedule = "constant"
    clip: float | None = Field(default=None, gt=0)
    averaging: float = Field(default=0.0, ge=0, lt=1)


class EncoderSettings(GradientSettings):
    """The settings of every learner with an encoder.

    Attributes:
        crop_size: side of the network's input; training takes a random window of the stored image,
            extraction the whole image at this size.
        width: channels of the encoder's first level.
        latent_dim: length of a code.
    """

    image_size: int = Field(default=72, ge=16)
    crop_size: int = Field(default=64, ge=16, multiple_of=16)
    width: int = Field(default=64, ge=1)
    latent_dim: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _window_fits(self) -> EncoderSettings:
        if self.crop_size > self.image_size:
            raise ValueError(f"crop_size {self.crop_size} is larger than image_size {self.image_size}")
        return self


class AAESettings(EncoderSettings):
    """Settings of `AAE`.

    Attributes:
        prior: the distribution that the codes are driven to.
        discriminator_width: units of the code discriminator's three layers.
        dropout: in the code discriminator.
        drift: penalty on the variance of the discriminator's output.
        learning_rate: of the reconstruction and of the discriminator.
        regularisation_rate: learning rate of the encoder against the discriminator.
        betas: of all three optimizers.
    """

    prior: Prior = "sphere"
    discriminator_width: int = Field(default=1024, ge=1)
    dropout: float = Field(default=0.25, ge=0, lt=1)
    drift: float = Field(default=1e-3, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    regularisation_rate: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.99)

    small: ClassVar[Mapping[str, Any]] = {
        "width": 32,
        "latent_dim": 512,
        "prior": "normal",
        "epochs": 12,
        "batch_size": 64,
        "learning_rate": 4e-4,
        "regularisation_rate": 4e-5,
    }


class FAAESettings(EncoderSettings):
    """Settings of `FAAE`.

    Attributes:
        generator_width: channels of the generator's finest level; the others follow from it.
        critic_width: channels of the critic's first level.
        prior: the distribution of the codes.
        dropout: behind the generator's linear layer.
        gradient_penalty: weight of the penalty that keeps the critic smooth.
        penalty_every: batches from one penalty to the next, which then weighs as many times more: the
            "lazy regularisation" of Karras et al. 2020, for it costs as much as all the rest.
        drift: penalty on the square of the critic's output for real images.
        cosine: weight of the cosine distance in the encoder's loss.
        learning_rate: of the generator and the encoder.
        critic_learning_rate: of the critic.
        betas: of all three optimizers.
    """

    generator_width: int = Field(default=32, ge=1)
    critic_width: int = Field(default=32, ge=1)
    prior: Prior = "sphere"
    dropout: float = Field(default=0.5, ge=0, lt=1)
    gradient_penalty: float = Field(default=10.0, ge=0)
    penalty_every: int = Field(default=1, ge=1)
    drift: float = Field(default=1e-3, ge=0)
    cosine: float = Field(default=1e-3, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    critic_learning_rate: float = Field(default=3e-4, gt=0)
    betas: tuple[float, float] = (0.5, 0.99)

    small: ClassVar[Mapping[str, Any]] = {
        "width": 32,
        "latent_dim": 512,
        "generator_width": 16,
        "critic_width": 16,
        "penalty_every": 4,
        "epochs": 6,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "critic_learning_rate": 2e-3,
    }


class ORBSettings(LearnerSettings):
    """Settings of `ORB`.

    Attributes:
        image_size: ORB finds next to nothing in images smaller than about 200 pixels.
        n_words: size of the vocabulary.
        n_keypoints: most keypoints kept in an image, the strongest first.
        fast_threshold: contrast that makes a corner; lower finds more in flat images.
        edge_threshold: pixels from the border within which nothing is looked for.
        sample_images: images whose descriptors the vocabulary is learned from.
        sample_descriptors: descriptors it is learned from.
        weighting: none (counts); max (by the largest count); tf-idf (Euclidean length one); sqrt (square root
            of the shares).
    """

    image_size: int = Field(default=256, ge=64)
    n_words: int = Field(default=512, ge=2)
    n_keypoints: int = Field(default=1000, ge=1)
    fast_threshold: int = Field(default=5, ge=1)
    edge_threshold: int = Field(default=16, ge=0)
    sample_images: int = Field(default=25_000, ge=1)
    sample_descriptors: int = Field(default=500_000, ge=2)
    weighting: Literal["none", "max", "tf-idf", "sqrt"] = "sqrt"

    small: ClassVar[Mapping[str, Any]] = {"sample_descriptors": 100_000}
    mode: ClassVar[Literal["rgb", "grey"]] = "grey"


class PCASettings(LearnerSettings):
    """Settings of `PCA`.

    Attributes:
        n_components: number of components.
        iterations: passes of subspace iteration after the first; each sharpens the trailing components.
    """

    image_size: int = Field(default=64, ge=1)
    n_components: int = Field(default=1024, ge=1)
    iterations: int = Field(default=4, ge=0)

    small: ClassVar[Mapping[str, Any]] = {"n_components": 128}


class PixelsSettings(LearnerSettings):
    """Settings of `Pixels`."""

    image_size: int = Field(default=32, ge=1)

    mode: ClassVar[Literal["rgb", "grey"]] = "grey"


SETTINGS: Mapping[str, type[LearnerSettings]] = {
    "aae": AAESettings,
    "faae": FAAESettings,
    "orb": ORBSettings,
    "pca": PCASettings,
    "pixels": PixelsSettings,
}


@dataclass(frozen=True)
class Choice:
    """A learner and its checked settings.

    Attributes:
        name: its name in `SETTINGS`.
        label: a name for its artifacts: the preset, and every setting that departs from it.
        settings: checked.
    """

    name: str
    label: str
    settings: LearnerSettings

    @property
    def uses_labels(self) -> bool:
        """Whether the learner learns from concepts."""
        return self.settings.uses_labels


def choose(table: Mapping[str, Any], where: str = "[learner]") -> Choice:
    """Resolve the table ``[learner]``: a name, a preset, and any single setting.

    Raises:
        ConfigError: an unknown name, preset or setting, or a value of the wrong type.
    """
    own = dict(table)
    name, preset = own.pop("name", "aae"), own.pop("preset", "small")
    if not isinstance(name, str) or name not in SETTINGS:
        raise ConfigError(f"{where}: no learner '{name}'; there are: {', '.join(SETTINGS)}")
    kind = SETTINGS[name]
    presets: dict[str, Mapping[str, Any]] = {"paper": {}, "small": kind.small}
    if not isinstance(preset, str) or preset not in presets:
        raise ConfigError(f"{where}: no preset '{preset}'; there are: {', '.join(presets)}")
    usual = parse_settings(kind, dict(presets[preset]), where).model_dump()
    _require_own(name, own, where)
    settings = parse_settings(kind, {**presets[preset], **own}, where)
    departures = {key: value for key, value in settings.model_dump().items() if value != usual[key]}
    label = "-".join([name, preset, *(f"{key}={value}" for key, value in sorted(departures.items()))])
    return Choice(name, label, settings)


def _require_own(name: str, table: Mapping[str, Any], where: str) -> None:
    """Check that no setting is one of other learners only."""
    for key in table.keys() - SETTINGS[name].model_fields.keys():
        owners = [other for other, kind in SETTINGS.items() if key in kind.model_fields]
        if owners:
            fields = ", ".join(sorted(SETTINGS[name].model_fields))
            raise ConfigError(
                f"{where}: '{key}' is a setting of {', '.join(owners)}, not of {name}; "
                f"expected one of {fields}"
            )
