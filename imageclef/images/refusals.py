"""Why a file cannot be read: whatever a decoder raises becomes one line, and a class of reason."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from struct import error as StructError

from PIL import Image

from imageclef.errors import ImageRefused, RefusalKind

MAX_PIXELS = 24_000_000
"""Most pixels of a picture (6000x4000, a full camera frame), looked up in its header before it is decoded.
With conversion they take up to 9 bytes each. The worst files that two workers can meet then take 420 MB, so
that with torch, OpenCV and pandas loaded (600 MB) a process stays at 1 GiB."""

_LONGEST = 200
_ENOUGH = 16

_BY_WORDS: Sequence[tuple[RefusalKind, str]] = (
    ("truncated", "truncated|incomplete|not enough (image )?data|reached eof|unexpected end"),
    ("too large", "too large|out of memory"),
    ("unsupported", "unsupported|not (yet )?supported|not implemented|unknown (\\w+ )?mode"),
)
"""What Pillow and its decoders say; whatever is none of this is damaged."""


def refusal_of(error: Exception) -> ImageRefused:
    """What is said of a file at which a decoder raised this; the path is not in it."""
    if isinstance(error, ImageRefused):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return ImageRefused("too large", "more pixels than are decoded")
    if isinstance(error, MemoryError):
        return ImageRefused("too large", "more memory than is kept for one file (ingest.memory)")
    if isinstance(error, OSError) and error.strerror:
        return ImageRefused("unreadable", _line(error.strerror))
    line = _line(str(error))
    if isinstance(error, EOFError):
        return ImageRefused("truncated", line or "the file ends too early")
    kind: RefusalKind = "damaged"
    kind = next((kind for kind, words in _BY_WORDS if re.search(words, line, re.IGNORECASE)), kind)
    # Of other errors, what they say means little without their name: a key, an index.
    speaks = line and isinstance(error, OSError | SyntaxError | ValueError)
    return ImageRefused(kind, line if speaks else f"{type(error).__name__}: {line}".removesuffix(": "))


def refusal_of_unknown(first: bytes, read: Collection[str]) -> ImageRefused:
    """What is said of a file that Pillow cannot open.

    Args:
        first: its first bytes, 16 or more where it has them.
        read: names of the formats that are read.
    """
    if not first:
        return ImageRefused("not an image", "an empty file")
    claimed = [name for name in Image.OPEN if _begins_as(name, first)]
    if known := [name for name in claimed if name in read]:
        return ImageRefused("damaged", f"begins as {known[0]}, but its header cannot be read")
    if claimed:
        return ImageRefused("unsupported", f"begins as {claimed[0]}, which is not read")
    return ImageRefused("not an image", "of no known format")


def _begins_as(name: str, first: bytes) -> bool:
    accept = Image.OPEN[name][1]
    try:
        return accept is not None and bool(accept(first[:_ENOUGH]))
    except (SyntaxError, IndexError, TypeError, StructError):  # as Pillow does it itself
        return False


def _line(text: str) -> str:
    """Printable, without line breaks, not too long."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST]
