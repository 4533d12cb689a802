"""The header of a DICOM file: how it is recognised and read, and that only named elements ever are.

pydicom is asked for a fixed list of elements. All others, with whatever names, dates and free text they hold,
are passed over unread. Three that identify are read to be hashed (`imageclef.images.dicom.identity`) and kept
nowhere.

Reference: DICOM PS3.10 "Media Storage and File Format", section 7; PS3.5 "Data Structures and Encoding".
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from imageclef.errors import ImageRefused
from imageclef.images.dicom.identity import HASHED, KEPT
from imageclef.images.dicom.recognition import FIRST_BYTES, is_dicom, is_headerless

MAX_INFLATED = 2**28
"""Most bytes of a file whose data set is deflated as a whole, which has to be inflated in memory."""

MOST_READINGS = 2**22
"""Of a header, one or two for each element, nested ones too: several seconds, and a gigabyte of objects."""

_DEFERRED = 2**20
"""Longer elements are read when they are asked for."""

_DECIMAL = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
"""As the standard writes a decimal string; Python's ``float`` takes more, such as ``nan`` and ``1_000``."""
_WITH_COMMA = re.compile(r"[-+]?\d*,\d*(?:[eE][-+]?\d+)?", re.ASCII)

_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)

_OF_PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "LossyImageCompression"),
    *("ModalityLUTSequence", "RescaleIntercept", "RescaleSlope"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *(
        f"{c}PaletteColorLookupTable{part}"
        for c in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
_READ = sorted(
    {*_OF_PIXELS, *(kept.keyword for kept in KEPT.values()), *HASHED, "SOPInstanceUID", "SOPClassUID"}
)
_TAGS: list[Any] = [tag_for_keyword(keyword) for keyword in _READ]


class _Counted(BufferedReader):
    """A file that is read a bounded number of times: nothing else ends a header of nothing but elements."""

    readings = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.readings += 1
        if self.readings > MOST_READINGS:
            raise ImageRefused("too large", f"a header of more than {MOST_READINGS} readings")
        return super().read(size)


class NoPixels(ImageRefused):
    """A DICOM object that is no picture (a report, a presentation state, a plan): skipped, not damaged."""

    def __init__(self, kind: str) -> None:
        super().__init__("not an image", f"no picture in this DICOM object: {kind}")
        self.of = kind


@dataclass(frozen=True)
class Opened:
    """A file whose header has been read.

    Attributes:
        dataset: the elements of the fixed list, with the file's transfer syntax.
        file: at the element that holds the pixels.
        size: bytes of `file`.
        inflated: whether `file` is not that on disk, but what was deflated in it.
    """

    dataset: Dataset
    file: BinaryIO
    size: int
    inflated: bool = False


@contextmanager
def opened(path: Path, headerless: bool = False) -> Iterator[Opened]:
    """Read the header of a file and leave the file at its pixels.

    Args:
        path: the file; its name is not looked at.
        headerless: take a bare data set too.

    Raises:
        NoPixels: it is DICOM but no picture.
        ImageRefused: it is not DICOM, or cut short, or damaged.
    """
    status = path.stat()
    if not S_ISREG(status.st_mode):
        raise ImageRefused("unreadable", "not a regular file")
    with _Counted(path.open("rb", buffering=0)) as file:
        first = file.read(FIRST_BYTES)
        if not (is_dicom(first) or (headerless and is_headerless(first))):
            raise ImageRefused("not an image", "not a DICOM file")
        file.seek(0)
        try:
            inflated = _inflated(file) if is_dicom(first) else None
            header = inflated or Opened(_read_header(file), file, status.st_size)
        except ImageRefused:
            raise
        except OSError as error:
            if error.errno is not None:  # of the system; pydicom's own have none
                raise
            raise ImageRefused("damaged", "its header is cut short or damaged") from None
        except Exception as error:  # pydicom lets through whatever a damaged element makes of it
            raise ImageRefused("damaged", f"DICOM header ({type(error).__name__})") from None
        _check_pixels(header)
        yield header


def value_of(dataset: Dataset, keyword: str, default: Any = None) -> Any:
    """The value of an element, or the default where it is missing or empty.

    Raises:
        ImageRefused: it is not of its type; the value is not quoted, as it may hold anything.
    """
    try:
        value = dataset.get(keyword)
    except Exception:
        raise ImageRefused("damaged", f"{keyword} of its header cannot be read") from None
    return default if value is None or value == "" or value == [] or value == b"" else value


def number_of(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """The value of an element that holds one whole number.

    Args:
        dataset: with the element.
        keyword: its name.
        default: where it is missing; with None it has to be there.

    Raises:
        ImageRefused: it is missing or not a whole number.
    """
    value = value_of(dataset, keyword, default)
    if value is None:
        raise ImageRefused("damaged", f"no {keyword} in its header")
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise ImageRefused("damaged", f"{keyword} of its header is not a number") from None


def numbers_of(dataset: Dataset, keyword: str) -> list[float | None]:
    """The numbers of an optional element; a comma is read as the decimal point.

    Returns:
        None for each value that is not a finite number, such as ``1.#QNAN``; no values where the element is
        missing or cannot be read.
    """
    try:
        value = value_of(dataset, keyword)
    except ImageRefused:
        return []
    if value is None:
        return []
    several = not isinstance(value, str | bytes) and hasattr(value, "__iter__")
    return [_number(one) for one in (value if several else [value])]


def only_number_of(dataset: Dataset, keyword: str) -> float | None:
    """The number of an optional element that holds one; None where it holds none, or several."""
    numbers = numbers_of(dataset, keyword)
    return numbers[0] if len(numbers) == 1 else None


def _number(value: Any) -> float | None:
    text = str(value).strip(" \0")
    if _WITH_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not _DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def is_little_endian(dataset: Dataset) -> bool:
    """Whether numbers begin with their lowest byte, as in all files but retired ones."""
    return dataset.original_encoding[1] is not False


def _read_header(file: BinaryIO) -> Dataset:
    dataset = dcmread(file, _DEFERRED, stop_before_pixels=True, force=True, specific_tags=_TAGS)
    if not getattr(dataset, "file_meta", None):
        dataset.file_meta = FileMetaDataset()
    return dataset


def _inflated(file: BinaryIO) -> Opened | None:
    """The data set of a deflated file, inflated within the limit; None where the file is not deflated."""
    file.seek(FIRST_BYTES)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    compressed = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    if not compressed:
        file.seek(0)
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(file.read(MAX_INFLATED), MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise ImageRefused("too large", f"inflates to more than {MAX_INFLATED >> 20} MiB")
    if not inflater.eof:
        raise ImageRefused("truncated", "its deflated data set has no end")
    inside = BytesIO(data)
    # Nothing is deferred: that would go back to the file, where the bytes are still deflated.
    dataset = read_dataset(
        inside,
        False,
        True,
        stop_when=lambda tag, vr, length: tag in _PIXEL_TAGS,
        specific_tags=_TAGS,
    )
    dataset.file_meta = FileMetaDataset(meta)
    dataset.set_original_encoding(False, True)
    return Opened(dataset, inside, len(data), inflated=True)


def _check_pixels(header: Opened) -> None:
    """Refuse a file that does not stand at an element with pixels."""
    dataset, where = header.dataset, header.file.tell()
    ahead = header.file.read(4)
    header.file.seek(where)
    if len(ahead) == 4:
        return
    if where > header.size:
        raise ImageRefused("truncated", "the file ends before its pixels")
    kind = value_of(dataset, "SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    name = getattr(kind, "name", "")
    # Of a UID that pydicom does not know, the name is what stands in the file.
    known = name if name and name != str(kind) else "an unknown class"
    raise NoPixels(known)
