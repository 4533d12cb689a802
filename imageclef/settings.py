"""What every settings object is, and how a table is checked against it."""

from __future__ import annotations

from reprlib import Repr
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from imageclef.errors import ConfigError

_short = Repr()
_short.maxstring = _short.maxother = 100


class Settings(BaseModel):
    """The base of every settings object: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def parse_settings(kind: type[S], table: dict[str, Any], where: str) -> S:
    """Check a table against its settings.

    Raises:
        ConfigError: one line that names the first key that is wrong.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            parent = kind if len(first["loc"]) == 1 else None
            known = f"; expected one of {', '.join(sorted(parent.model_fields))}" if parent else ""
            raise ConfigError(f"{where}: unknown setting '{key}'{known}") from None
        raise ConfigError(f"{where}: {key} = {_shown(first['input'])}: {first['msg'].lower()}") from None


def _shown(value: Any) -> str:
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"a huge {type(value).__name__}"
