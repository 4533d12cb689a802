"""What is fuzzed: valid files to start from, and what must hold of whatever becomes of a damaged one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import ParamSpec, TypeVar

from imageclef.errors import ImageclefError, ImageRefused
from tests.fuzz.watching import place_of

LONGEST_MESSAGE = 500

P = ParamSpec("P")
T = TypeVar("T")


class BrokenPromise(AssertionError):
    """A reader returned a value or a message that it must not."""


@dataclass
class Case:
    """One damaged input.

    Attributes:
        data: its bytes.
        folder: for its files; never emptied, so that a target may keep whole files beside the damaged one.
        behaviours: what readers did with it, in words: kinds of refusal and of success.
    """

    data: bytes
    folder: Path
    behaviours: set[str] = field(default_factory=set)

    def file(self, name: str, data: bytes | None = None) -> Path:
        """The input, or a part of it, as a file."""
        path = self.folder / name
        path.write_bytes(self.data if data is None else data)
        return path

    def ask(
        self, named: Path | tuple[str, ...] | None, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T | None:
        """What a reader returns, or None where it refuses in one line.

        Args:
            named: what a refusal has to name, one of several; None for readers of pictures, whose callers do.
            read: the reader.
            *args: of the reader.
            **kwargs: likewise.

        Raises:
            BrokenPromise: the refusal is not one short line, or does not say where.
        """
        try:
            value = read(*args, **kwargs)
        except ImageclefError as refusal:
            if named is None and not isinstance(refusal, ImageRefused):
                raise
            self._judge(refusal, (str(named),) if isinstance(named, Path) else named)
            return None
        self.behaviours.add(f"{read.__qualname__}: {type(value).__name__}")
        return value

    def require(self, holds: bool, promise: str) -> None:
        """Raise unless a promise about what was read holds."""
        if not holds:
            raise BrokenPromise(promise)

    def _judge(self, refusal: ImageclefError, named: tuple[str, ...] | None) -> None:
        message = str(refusal)
        what = f"{type(refusal).__name__} {place_of(refusal)}"
        if not is_a_line(message):
            raise BrokenPromise(f"not one line of text: {what}")
        if len(message) >= LONGEST_MESSAGE:
            raise BrokenPromise(f"{LONGEST_MESSAGE} letters or more: {what}")
        if named is not None and not any(name in message for name in named):
            raise BrokenPromise(f"does not say where: {what}")
        # Pictures are refused at one place for all reasons; of others the place is the reason.
        self.behaviours.add(what if named is not None else re.sub(r"[^a-z :]+", "", message)[:24])


def is_a_line(message: str) -> bool:
    """Whether a terminal shows all of it in one line, as it stands."""
    return bool(message) and message.replace("\t", "").isprintable()


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        name: on the command line.
        seeds: valid inputs, made by the project's own writers or drawn.
        attempt: gives the input to its readers and checks their promises.
        tokens: words of the format, to insert.
        change: a change that knows the format; half of all changes are of this kind where there is one.
        follows: packages whose lines are watched: an input that reaches a new one is kept.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    attempt: Callable[[Case], None]
    tokens: tuple[bytes, ...] = ()
    change: Callable[[Random, bytes], bytes] | None = None
    follows: tuple[str, ...] = ("imageclef",)
