"""The table of detectors: adding one is one file, one line here, and one test file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imageclef.detectors.averaged import Averaged
from imageclef.detectors.base import Detector
from imageclef.detectors.imported import Imported
from imageclef.detectors.linear import Linear
from imageclef.detectors.nearest_neighbours import NearestNeighbours
from imageclef.errors import ConfigError
from imageclef.settings import Settings, parse_settings

DETECTORS: dict[str, type[Detector]] = {
    "linear": Linear,
    "neighbours": NearestNeighbours,
    "imported": Imported,
    "ensemble": Averaged,
}


def choose(table: Mapping[str, Any], where: str = "[detector]") -> tuple[str, Settings]:
    """Resolve the table ``[detector]``: a name of `DETECTORS`, and the detector's own settings.

    Raises:
        ConfigError: an unknown name or setting, or a value of the wrong type.
    """
    own = dict(table)
    name = own.pop("name", "linear")
    if not isinstance(name, str) or name not in DETECTORS:
        raise ConfigError(f"{where}: no detector '{name}'; there are: {', '.join(DETECTORS)}")
    return name, parse_settings(DETECTORS[name].settings_type, own, where)
