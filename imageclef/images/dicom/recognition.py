"""Which files are DICOM, told by their content; and the path of a frame in one.

This is all that is needed to look at files of every kind: pydicom is loaded for those that are DICOM.

Reference: DICOM PS3.10, 7.1 (the preamble and ``DICM``); PS3.5, 7.1 (how elements begin).
"""

from __future__ import annotations

import re
from pathlib import Path
from struct import Struct

_PREAMBLE, _MAGIC = 128, b"DICM"
FIRST_BYTES = _PREAMBLE + len(_MAGIC)
"""How much of a file `is_dicom` has to see."""

_FIRST_GROUPS = (0x0002, 0x0008)
_LONGEST_FIRST = 2**16
_VRS = frozenset(b"AE AS AT CS DA DS DT IS LO LT OB OW PN SH SQ ST TM UI UL UN US UT".split())
"""Value representations of the elements that a file may begin with."""

_FRAME = re.compile(r"(.+)#([1-9][0-9]{0,8})")


def frame_path(path: str, number: int | None) -> str:
    """The path of a frame: its file's, with ``#3`` for the third; the file's own where there is but one."""
    return path if number is None else f"{path}#{number}"


def file_and_frame(path: Path) -> tuple[Path, int]:
    """The file that a path of `frame_path` means, and the number of the frame, 1 where it has none.

    A file that really is called so is taken as it is.
    """
    match = _FRAME.fullmatch(path.name)
    if match is None or path.exists():
        return path, 1
    return path.with_name(match[1]), int(match[2])


def holds_dicom(path: Path, headerless: bool) -> bool:
    """Whether a file begins as DICOM; one that cannot be opened is left to whoever reads it.

    Args:
        path: the file.
        headerless: count bare data sets too.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            return False
        with path.open("rb") as file:
            first = file.read(FIRST_BYTES)
    except OSError:
        return False
    return is_dicom(first) or (headerless and is_headerless(first))


def is_dicom(first: bytes) -> bool:
    """Whether a file that begins so is DICOM: ``DICM`` after a preamble of 128 bytes.

    Args:
        first: `FIRST_BYTES` or more.
    """
    return first[_PREAMBLE:FIRST_BYTES] == _MAGIC


def is_headerless(first: bytes) -> bool:
    """Whether a file may be a bare data set: it begins with an element of group 0002 or 0008.

    This is a guess, which is why such files are looked for only on request.
    """
    if len(first) < 8:
        return False
    for order in "<>":
        group, _, vr, short = Struct(f"{order}HH2sH").unpack(first[:8])
        if group not in _FIRST_GROUPS:
            continue
        length = Struct(f"{order}I").unpack(first[4:8])[0]
        explicit = vr in _VRS
        if explicit or (order == "<" and 0 < length < _LONGEST_FIRST):
            return not explicit or short < _LONGEST_FIRST
    return False
