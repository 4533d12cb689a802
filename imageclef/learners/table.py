"""The table of learners: adding one is one file, one line here, and one test file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from imageclef.errors import ArtifactError, ConfigError
from imageclef.learners.aae import AAE
from imageclef.learners.base import Learner, LearnerSettings
from imageclef.learners.checkpoint import load_tensors, restore, save_tensors
from imageclef.learners.faae import FAAE
from imageclef.learners.orb import ORB
from imageclef.learners.pca import PCA
from imageclef.learners.pixels import Pixels
from imageclef.settings import parse_settings

LEARNERS: Mapping[str, type[Learner]] = {
    "aae": AAE,
    "faae": FAAE,
    "orb": ORB,
    "pca": PCA,
    "pixels": Pixels,
}

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Choice:
    """A learner and its settings, before any work.

    Attributes:
        name: its name in `LEARNERS`.
        label: a name for its artifacts: the preset, and every setting that departs from it.
        settings: checked.
    """

    name: str
    label: str
    settings: LearnerSettings

    @property
    def uses_labels(self) -> bool:
        """Whether the learner learns from concepts."""
        return LEARNERS[self.name].uses_labels

    def create(self, seed: int) -> Learner:
        """A learner as it is drawn before training; the same seed draws the same."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _create(self.name, self.settings)


def choose(table: Mapping[str, Any], where: str = "[learner]") -> Choice:
    """Resolve the table ``[learner]``: a name, a preset, and any single setting.

    Raises:
        ConfigError: an unknown name, preset or setting, or a value of the wrong type.
    """
    own = dict(table)
    name, preset = own.pop("name", "aae"), own.pop("preset", "small")
    if not isinstance(name, str) or name not in LEARNERS:
        raise ConfigError(f"{where}: no learner '{name}'; there are: {', '.join(LEARNERS)}")
    kind = LEARNERS[name]
    presets: dict[str, Mapping[str, Any]] = {"paper": {}, "small": kind.small}
    if not isinstance(preset, str) or preset not in presets:
        raise ConfigError(f"{where}: no preset '{preset}'; there are: {', '.join(presets)}")
    usual = parse_settings(kind.settings_type, dict(presets[preset]), where).model_dump()
    _require_own(name, own, where)
    settings = parse_settings(kind.settings_type, {**presets[preset], **own}, where)
    departures = {key: value for key, value in settings.model_dump().items() if value != usual[key]}
    label = "-".join([name, preset, *(f"{key}={value}" for key, value in sorted(departures.items()))])
    return Choice(name, label, settings)


def _require_own(name: str, table: Mapping[str, Any], where: str) -> None:
    """Check that no setting is one of other learners only."""
    for key in table.keys() - LEARNERS[name].settings_type.model_fields.keys():
        owners = [other for other, kind in LEARNERS.items() if key in kind.settings_type.model_fields]
        if owners:
            fields = ", ".join(sorted(LEARNERS[name].settings_type.model_fields))
            raise ConfigError(
                f"{where}: '{key}' is a setting of {', '.join(owners)}, not of {name}; "
                f"expected one of {fields}"
            )


def save_learner(folder: Path, name: str, learner: Learner) -> None:
    """Write a learner's weights and settings."""
    meta = {"learner": name, "settings": learner.settings.model_dump()}
    save_tensors(folder / WEIGHTS, learner.state_dict(), meta)


def load_learner(folder: Path) -> tuple[str, Learner]:
    """Read a learner: its name, and the module in evaluation mode on the CPU.

    Raises:
        ArtifactError: the file is damaged, or of a learner that this version does not have.
    """
    weights, meta = load_tensors(folder / WEIGHTS)
    name = str(meta.get("learner"))
    if name not in LEARNERS:
        raise ArtifactError(f"{folder / WEIGHTS}: learner {name!r}, expected one of {', '.join(LEARNERS)}")
    settings = parse_settings(LEARNERS[name].settings_type, meta["settings"], str(folder / WEIGHTS))
    learner = _create(name, settings)
    restore(learner, weights, folder / WEIGHTS)
    return name, learner.eval()


def _create(name: str, settings: LearnerSettings) -> Learner:
    """A learner whose convolutions keep channels last: twice as fast on a CPU, and the store's own layout."""
    constructor: Any = LEARNERS[name]
    learner: Learner = constructor(settings).to(memory_format=torch.channels_last)
    return learner
