"""The errors a caller may catch.

Every message is one line that says what is wrong, where, and what was expected:
``concepts.csv:17: image 'a1' appears twice``. The command line prints it and exits with 1.
"""

from __future__ import annotations

from typing import Literal

_MOST_LETTERS = 400


class ImageclefError(Exception):
    """The base of every error that imageclef raises on purpose.

    Messages quote what stands in files, and that may be anything: so the text is made one line of at most
    400 letters here, once for all of them. The middle is left out, not the place or what was expected.
    """

    def __str__(self) -> str:
        return _one_line(super().__str__())


class ConfigError(ImageclefError):
    """A setting is unknown, has the wrong type, or contradicts another."""


class DataError(ImageclefError):
    """A file that the user gave cannot be used: a concept list, a table of groups, a folder."""


RefusalKind = Literal[
    "not an image",
    "truncated",
    "damaged",
    "too large",
    "unsupported",
    "timed out",
    "unreadable",
    "crashed",
]
"""Why an image file cannot be read, by class. "unreadable": the file system does not give it, or it is no
regular file. "crashed": the process that decoded it was ended by it."""


class ImageRefused(ImageclefError):
    """One image file cannot be read; the message is the class of reason and the reason, without the path.

    Attributes:
        kind: class of reason.
        detail: the reason.
        digest: XXH3-128 of the file's bytes, in hexadecimal digits; empty where they could not be read, or
            were not asked for.
    """

    digest: str = ""

    def __init__(self, kind: RefusalKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


class MissingArtifact(ImageclefError):
    """A stage needs an artifact that is not there; the message names the command that makes it."""


class ArtifactError(ImageclefError):
    """An artifact on disk is damaged or is not what its manifest says."""


class RunRefused(ImageclefError):
    """A run file that the organisers of its edition would refuse."""


class TrainingError(ImageclefError):
    """A fit that cannot go on: a loss that is not finite, too few images."""


def _one_line(text: str) -> str:
    text = _shortened(text)
    if text.isprintable():
        return text
    # Signs that break a line, move the cursor or turn the writing round, and bytes that are no text.
    return _shortened("".join(s if s.isprintable() or s == "\t" else ascii(s)[1:-1] for s in text))


def _shortened(text: str) -> str:
    half = _MOST_LETTERS // 2
    return text if len(text) <= _MOST_LETTERS else f"{text[:half]} ... {text[-half:]}"
