"""What is wanted of the DICOM files of a collection; pydicom is not needed to say it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imageclef.errors import ConfigError

_EVERY = re.compile(r"every-([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a file are taken.

    Attributes:
        text: ``first``, ``middle``, ``every-N`` (the first and every N-th after it) or ``all``.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text not in ("first", "middle", "all") and not _EVERY.fullmatch(self.text):
            raise ConfigError(
                f"frames '{self.text}': expected first, middle, all, or every-N such as every-10"
            )

    def indices(self, count: int) -> range:
        """The frames from 0, of so many."""
        if self.text == "first":
            return range(min(1, count))
        if self.text == "middle":
            return range((count - 1) // 2, (count - 1) // 2 + 1)
        match = _EVERY.fullmatch(self.text)
        return range(0, count, int(match[1]) if match else 1)


FIRST = FrameChoice("first")


@dataclass(frozen=True)
class DicomChoice:
    """What is wanted of DICOM files.

    Attributes:
        frames: which are taken of a file with several.
        headerless: take bare data sets too.
        salt: a secret for the hash of the patient's id; None leaves pictures without a group.
    """

    frames: FrameChoice = FIRST
    headerless: bool = False
    salt: bytes | None = None
