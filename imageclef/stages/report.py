"""What a stage says when it is done."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OR = "   or   "
"""Between the commands of a hint."""


@dataclass
class Report:
    """What a stage read, skipped, wrote and found.

    Attributes:
        stage: its name.
        read: what it was made from, a line each.
        skipped: what was up to date, a line each.
        wrote: paths of what it made.
        runs: run files of this call, made now or up to date.
        notes: what the user ought to know, such as refused images, a line each.
        figures: numbers by name; JSON values.
        next: the command to type next, or several with `OR` between them; empty if there is none.
        seconds: it took.
        ok: False if what was looked for was found wanting; the command line then exits with 1.
    """

    stage: str
    read: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    next: str = ""
    seconds: float = 0.0
    ok: bool = True
    _started: float = field(default_factory=time.monotonic, repr=False)

    def done(self, next_command: str = "") -> Report:
        """Stop the clock and name the next command."""
        self.seconds = round(time.monotonic() - self._started, 2)
        self.next = next_command
        return self

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}


def name_some(names: list[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count_of(n: int, noun: str) -> str:
    """``1 image``, ``2 images``, with thousands apart."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def command(stage: str, *arguments: str | Path) -> str:
    """A command as it is typed in a shell."""
    return shlex.join(
        ["imageclef", stage, *(shown(one) if isinstance(one, Path) else one for one in arguments)]
    )


def shown(path: Path) -> str:
    """A path as the user would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
