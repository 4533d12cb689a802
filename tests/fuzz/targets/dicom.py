"""DICOM files: headers described and pictures decoded, by messages that tell nothing of the patient."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from imageclef.errors import ImageRefused
from imageclef.images.decode import decode
from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.frames import describe
from tests.fuzz.target import BrokenPromise, Case, Target
from tests.fuzz.targets.images import SIZE, check, mode_for
from tests.images.dicom.made_up import item, write

T = TypeVar("T")

_SECRET = "SECRET"
_OF_PATIENT = {"PatientName": f"{_SECRET}^NAME", "PatientID": f"{_SECRET}ID", "InstitutionName": _SECRET}
_SALT = b"0123456789abcdef0123456789abcdef"
_HEADER = 332
"""About the preamble and the group of file meta elements: without them a file is headerless."""

_GREY = (np.mgrid[:12, :10].sum(axis=0) * 100).astype(np.int16)
_COLOUR = np.repeat(_GREY.astype(np.uint8)[..., None], 3, axis=2)
_VALUES = (
    *(b"", b"\x00", b"-1", b"0", b"65535", b"1e999", b"nan", b"1\\2", b"\\", b"\xff\xff", b"\x00\x00"),
    *(b"\xff" * 8, b"MONOCHROME2", b"A" * 70000),
)
_TYPES = ("US", "SS", "UL", "OB", "OW", "SQ", "DS", "IS", "CS", "LO", "UN", "FD", "AT", "PN", "UI")


def _seeds() -> list[bytes]:
    entries = np.arange(256, dtype=np.uint16).tobytes()
    table = item(LUTDescriptor=[256, 0, 16], LUTData=entries, LUTExplanation=_SECRET)
    rescale = item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")
    group = item(PixelValueTransformationSequence=[rescale])
    window: dict[str, Any] = {"WindowCenter": [40, 50], "WindowWidth": [400, 10], "PixelPaddingValue": 0}
    groups: dict[str, Any] = {"PerFrameFunctionalGroupsSequence": [group] * 3}
    inverted: dict[str, Any] = {"VOILUTSequence": [table], "PhotometricInterpretation": "MONOCHROME1"}
    return [
        _made(_GREY, RescaleSlope=2, RescaleIntercept=-1024, **window),
        _made(_GREY.astype(np.uint16), ImplicitVRLittleEndian, **inverted),
        _made(_GREY, ExplicitVRBigEndian, ModalityLUTSequence=[table], PixelSpacing=[1, 2]),
        _made(np.stack([_GREY] * 3), **groups),
        _made(_GREY, DeflatedExplicitVRLittleEndian),
        _made(_GREY.astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", **_palette()),
        _in_colour(ExplicitVRBigEndian, _COLOUR.tobytes(), "RGB"),
        _in_colour(JPEGBaseline8Bit, _encapsulated("JPEG"), "YBR_FULL_422"),
        _in_colour(JPEG2000Lossless, _encapsulated("JPEG2000", no_jp2=True), "RGB"),
        _made(None, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33"),
        _made(_GREY)[_HEADER:],
    ]


def _made(
    pixels: NDArray[Any] | bytes | None, syntax: UID = ExplicitVRLittleEndian, **elements: Any
) -> bytes:
    with TemporaryDirectory() as folder:
        return write(Path(folder) / "made.dcm", pixels, syntax, **elements, **_OF_PATIENT).read_bytes()


def _in_colour(syntax: UID, data: bytes, photometric: str) -> bytes:
    rows, columns, samples = _COLOUR.shape
    shape = {"Rows": rows, "Columns": columns, "SamplesPerPixel": samples, "PlanarConfiguration": 0}
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    return _made(data, syntax, PhotometricInterpretation=photometric, **shape, **bits)


def _encapsulated(kind: str, **options: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(_COLOUR).save(file, kind, **options)
    return encapsulate([file.getvalue()])


def _palette() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in ("Red", "Green", "Blue"):
        made[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        made[f"{name}PaletteColorLookupTableData"] = bytes(range(256))
    return made


def _attempt(case: Case) -> None:
    path, mode = case.file("object.dcm"), mode_for(case)
    case.ask(None, _silent, lambda: describe(path, FrameChoice("every-2"), _SALT, headerless=True))
    decoded = case.ask(None, _silent, lambda: decode(path, SIZE, mode))
    check(case, decoded, mode)
    case.require(decoded is None or _SECRET not in decoded.applied, "nothing of the patient is said")


def _silent(read: Callable[[], T]) -> T:
    try:
        return read()
    except ImageRefused as refusal:
        if _SECRET in str(refusal):
            raise BrokenPromise("a refusal tells something of the patient") from refusal
        raise


def _change(rng: Random, data: bytes) -> bytes:
    """A file with an element or two changed: the value, the type, or gone."""
    try:
        dataset = dcmread(BytesIO(data), force=True)
        for _ in range(rng.choice((1, 1, 2))):
            _change_element(rng, dataset)
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=False)
        return file.getvalue()
    except Exception:  # whatever pydicom makes of files that were damaged before
        return data


def _change_element(rng: Random, dataset: Dataset) -> None:
    tag = rng.choice(list(dataset.keys()))
    element = dataset[tag] if rng.random() < 0.5 else dataset.get_item(tag)
    if element.VR == "SQ" and element.value and rng.random() < 0.7:
        _change_element(rng, element.value[0])
    elif rng.random() < 0.2:
        del dataset[tag]
    else:
        value, kind = rng.choice(_VALUES), rng.choice((element.VR, element.VR, *_TYPES))
        dataset[tag] = RawDataElement(tag, kind, len(value), value, 0, False, True)


TARGET = Target(
    "dicom",
    _seeds,
    _attempt,
    tokens=(
        *(b"\xe0\x7f\x10\x00", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\xff\xff\xff\xff"),
        *(b"DICM", b"SQ\x00\x00", b"OW\x00\x00", b"UN\x00\x00", b"MONOCHROME1", b"YBR_FULL"),
        *(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.5"),
    ),
    change=_change,
    follows=("imageclef", "pydicom"),
)
