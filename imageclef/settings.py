"""What every settings object is, and how a table is checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, TypeVar, get_args

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
        # A misspelt key also leaves the right one missing: the misspelling is the cause.
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{where}: unknown setting '{key}'{_expected(kind, first['loc'])}") from None
        raise ConfigError(f"{where}: {key} = {_shown(first['input'])}: {first['msg'].lower()}") from None


def _expected(kind: type[BaseModel], place: Sequence[int | str]) -> str:
    """The settings that stand at the place of an unknown one, and the nearest in spelling."""
    *sections, key = place
    parent: type[BaseModel] | None = kind
    for section in sections:
        if parent is None:
            return ""
        field = parent.model_fields.get(str(section))
        # Below a table of tables, such as [collections.NAME], a name leads to the same settings.
        parent = _settings_in(field.annotation) if field else parent
    names = sorted(parent.model_fields) if parent else []
    near = get_close_matches(str(key), names, n=1)
    return f"; expected one of {', '.join(names)}" + (f"; did you mean '{near[0]}'?" if near else "")


def _settings_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_settings_in, get_args(annotation))), None)


def _shown(value: Any) -> str:
    try:
        return _short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return f"a huge {type(value).__name__}"
