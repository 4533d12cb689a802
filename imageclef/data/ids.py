"""Image ids: the form in which they are compared, what cannot be one, and files with one id on each line.

An id is compared in Unicode's composed form (NFC) wherever ids from different sources meet. File systems and
archives of macOS decompose names: the same name then has other code points than in the concept list.

Reference: Unicode Standard Annex 15, "Unicode Normalization Forms".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from imageclef.errors import ArtifactError, DataError

_BYTE_ORDER_MARK = "\ufeff"


def composed(text: str) -> str:
    """The text in composed form (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fault_in_text(text: str) -> str:
    """Why a text cannot stand in one line of a UTF-8 file, or an empty string."""
    if text.isascii() and text.isprintable():
        return ""
    if text != printable(text):
        return "its name is not UTF-8 text"
    if any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in text):
        return "its name holds a control character or a line break"
    return ""


def fault_in_id(image_id: str, separator: str = "") -> str:
    """Why a name cannot be the id of an image, or an empty string.

    An id stands first in a line of a run file and must be read back as it was. The forms of the editions
    share all rules but one: an id cannot hold what separates it from its concepts.

    Args:
        image_id: the name.
        separator: what stands after the id in a run of the edition in question.
    """
    if not image_id:
        return "its name is empty"
    if fault := fault_in_text(image_id):
        return fault
    if image_id != image_id.strip():
        return "its name begins or ends with a blank"
    if image_id.startswith(_BYTE_ORDER_MARK):
        return "its name begins with a byte-order mark (U+FEFF)"
    if '"' in image_id:
        return "its name holds a quotation mark"
    if separator and separator in image_id:
        sign = "a tab" if separator == "\t" else f"'{separator}'"
        return f"its name holds {sign}, which ends the id in a run file of this edition"
    return ""


def first_fault(ids: Iterable[str]) -> tuple[int, str] | None:
    """The first of several ids that cannot stand, counted from 1, and why; None if all can."""
    seen: set[str] = set()
    for number, image_id in enumerate(ids, start=1):
        if fault := fault_in_id(image_id):
            return number, f"{image_id!r} cannot be an image id: {fault}"
        if image_id in seen:
            return number, f"image '{image_id}' appears twice"
        seen.add(image_id)
    return None


def check_ids(where: str, ids: Sequence[str], n_rows: int) -> None:
    """Check that there is one id for each row, and none twice.

    Args:
        where: the place of the ids, for the message.
        ids: the image of each row.
        n_rows: the number of rows.

    Raises:
        DataError: there are more or fewer ids, one appears twice, or one cannot be an id.
    """
    if len(ids) != n_rows:
        raise DataError(f"{where}: {len(ids)} ids; expected {n_rows}, one for each row of features")
    if fault := first_fault(ids):
        raise DataError(f"{where}: row {fault[0] - 1}: {fault[1]}; expected a different id in every row")


def read_id_lines(path: Path) -> list[str]:
    """Read a file of an artifact with one id on each line.

    Raises:
        ArtifactError: the file is missing or not text, or an id appears twice or cannot be one.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; expected one image id a line") from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path}: not UTF-8 text; expected one image id a line") from None
    # Not splitlines(): it also splits at characters that no line of ours ends with.
    ids = text.removesuffix("\n").split("\n") if text else []
    if fault := first_fault(ids):
        raise ArtifactError(f"{path}:{fault[0]}: {fault[1]}; expected one image id a line, none twice")
    return ids


def write_id_lines(path: Path, ids: Sequence[str]) -> None:
    """Write one id on each line.

    Raises:
        DataError: an id appears twice or cannot be one.
    """
    if fault := first_fault(ids):
        raise DataError(f"row {fault[0] - 1}: {fault[1]}; expected a different id in every row")
    path.write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8", newline="\n")


def printable(text: str) -> str:
    """Write bytes that are not UTF-8, which Python keeps in names as lone surrogates, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
