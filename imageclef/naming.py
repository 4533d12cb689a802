"""Names of files and folders that say which settings made them."""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256
from typing import Any

from imageclef.settings import Settings

_MOST_LETTERS = 180
"""The longest name that is not cut: file systems take 255 bytes, and hidden siblings have longer names."""


def departures(settings: Settings, among: Collection[str] | None = None) -> list[str]:
    """Name the settings that are not at their defaults, as ``key=value``, for the name of a file.

    Args:
        settings: any.
        among: the keys that count; by default all.
    """
    usual = {key: field.get_default() for key, field in type(settings).model_fields.items()}
    keys = sorted(usual if among is None else among)
    return [f"{key}={_as_name(value)}" for key in keys if (value := getattr(settings, key)) != usual[key]]


def _as_name(value: Any) -> str:
    """A value as part of a file name; where signs had to go, a digest keeps two values apart."""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    plain = re.sub(r"[^A-Za-z0-9.,_-]", "_", text)
    return plain if plain == text else f"{plain}_{sha256(text.encode()).hexdigest()[:6]}"


def shortened(name: str) -> str:
    """A name that file systems take: a long one ends with a digest of what was cut off."""
    if len(name) <= _MOST_LETTERS:
        return name
    return f"{name[:_MOST_LETTERS]}_{sha256(name.encode()).hexdigest()[:12]}"
