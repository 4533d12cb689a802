"""How the library says what it does, without printing: the caller hands in a `Reporter`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of items just finished."""


class Reporter(Protocol):
    """What a stage tells its caller while it works."""

    def say(self, message: str) -> None:
        """One line about what is read, skipped, refused or written."""

    def progress(self, label: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A bar over `total` items."""


class Silent:
    """A reporter that says nothing: the default of every stage."""

    def say(self, message: str) -> None:
        """Nothing."""

    @contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """No bar."""
        yield lambda n: None
