"""Tables as they are written: a TOML file, and ``section.key=value`` on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from imageclef.errors import ConfigError

_MOST_DOTS = 200
_DEEPEST = 10


def read_table(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return _parsed(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a TOML file") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def set_value(table: dict[str, Any], override: str) -> None:
    """Put the value of ``section.key=value`` into a table; what is not TOML is a string.

    Raises:
        ConfigError: it has another form.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected section.key=value")
    *sections, last = key.strip().split(".")
    if len(sections) > _DEEPEST:
        raise ConfigError(f"--set {override}: {len(sections)} sections in each other; at most {_DEEPEST}")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: '{section}' is not a section")
    try:
        value = _parsed(f"value = {text}")
    except (ValueError, RecursionError):
        value = {}
    # A value with a line break in it may have brought keys of its own.
    table[last] = value["value"] if value.keys() == {"value"} else text


def _parsed(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: it is not TOML.
        RecursionError: hundreds of lists in each other.
    """
    # The parser takes time and memory by the square of the parts of a key: gigabytes for one of 20 kB.
    number = next((i for i, line in enumerate(text.split("\n"), 1) if line.count(".") > _MOST_DOTS), None)
    if number is not None:
        raise ValueError(f"more than {_MOST_DOTS} dots (at line {number})")
    return tomllib.loads(text)
