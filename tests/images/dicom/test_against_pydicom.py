"""Every file that pydicom brings is read, or refused by name, and what is read has the right grey values."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit

from imageclef.errors import ImageRefused
from imageclef.images.dicom import frames as frames_module
from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.frames import read_frames
from imageclef.images.dicom.header import NoPixels

ALL = FrameChoice("all")
FILES = sorted(path for path in map(Path, get_testdata_files()) if path.is_file())

REFUSED = {
    "JPEG-lossy.dcm": "unsupported: no decoder for JPEG Extended .* of 12 bits",
    "JPGExtended.dcm": "unsupported: no decoder for JPEG Extended .* of 12 bits",
    "JPEG2000-embedded-sequence-delimiter.dcm": "damaged: a compressed frame holds",
    "MR_truncated.dcm": "truncated: 8192 bytes of pixels expected, 8130 found",
    "badVR.dcm": "damaged: NumberOfFrames of its header is not a number",
    "meta_missing_tsyntax.dcm": "damaged: no BitsAllocated",
    "nested_priv_SQ.dcm": "damaged: no BitsAllocated",
    "rtplan_truncated.dcm": "truncated",
    **dict.fromkeys(
        ["crayons.icc", "no_meta.dcm", "README", "README.txt", "rtplan.dump", "rtstruct.dump"],
        "not an image: not a DICOM file",
    ),
    **dict.fromkeys(["test1.json", "test_PN.json", "zipMR.gz"], "not an image: not a DICOM file"),
}
FOR_PILLOW = {JPEGBaseline8Bit, JPEG2000, JPEG2000Lossless}
BROKEN_FOR_PILLOW = {"GDCMJ2K_TextGBR.dcm"}
WHOLE = {"emri_small_jpeg_2k_lossless_too_short.dcm": "emri_small.dcm"}
"""Every frame is there, but not the end of the sequence: pydicom then sees no header either."""
WITHOUT_PIXELS = {
    *("ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "UN_sequence.dcm", "empty_charset_LEI.dcm"),
    *("no_meta_group_length.dcm", "priv_SQ.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"),
    *("rtplan.dcm", "rtstruct.dcm", "test-SR.dcm", "waveform_ecg.dcm"),
}


def lacks_pixels(path: Path) -> bool:
    without = path.name in WITHOUT_PIXELS or path.name.startswith("DICOMDIR")
    return without or ("TINY_ALPHA" in path.parts and path.name != "README")


def reference(dataset: Dataset, frame: np.ndarray, index: int) -> np.ndarray:
    """Levels from 0 to 255 in float64, from what the standard says and pydicom's own functions."""
    meaning, bits = dataset.PhotometricInterpretation, dataset.BitsStored
    if meaning == "PALETTE COLOR":
        colours = apply_color_lut(frame, dataset)
        if colours.dtype == np.uint16 and dataset.original_encoding[1] is False:
            colours = colours.byteswap()  # pydicom takes the entries of big-endian files as they lie
        return colours * (255 / np.iinfo(colours.dtype).max)
    if frame.ndim == 3:
        return frame * (255 / (2**bits - 1))
    values = modality(dataset, frame, index)
    brightness = interest(dataset, values, index)
    if brightness is None:
        low, high = (0, 2**bits - 1) if bits <= 8 else (values.min(), values.max())
        brightness = (values - low) / (high - low) if high > low else (values > 0).astype(float)
    if meaning == "MONOCHROME1":
        brightness = 1 - brightness
    if "PixelPaddingValue" in dataset:
        padding = np.int64(dataset.PixelPaddingValue) & 0xFFFF
        brightness = np.where((frame.astype(np.int64) & 0xFFFF) == padding, 0, brightness)
    return brightness * 255


def modality(dataset: Dataset, frame: np.ndarray, index: int) -> np.ndarray:
    if "PerFrameFunctionalGroupsSequence" in dataset:
        for group in (
            dataset.PerFrameFunctionalGroupsSequence[index],
            dataset.SharedFunctionalGroupsSequence[0],
        ):
            if "PixelValueTransformationSequence" in group:
                macro = group.PixelValueTransformationSequence[0]
                return frame.astype(np.float64) * float(macro.RescaleSlope) + float(macro.RescaleIntercept)
    return apply_modality_lut(frame, dataset).astype(np.float64)


def interest(dataset: Dataset, values: np.ndarray, index: int) -> np.ndarray | None:
    if "VOILUTSequence" in dataset:
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(values.astype(np.int64), dataset) / (2**bits - 1)
    holder: Any = dataset
    if "PerFrameFunctionalGroupsSequence" in dataset:
        for group in (
            dataset.SharedFunctionalGroupsSequence[0],
            dataset.PerFrameFunctionalGroupsSequence[index],
        ):
            holder = group.FrameVOILUTSequence[0] if "FrameVOILUTSequence" in group else holder
    if holder.get("WindowCenter") in (None, ""):
        return None
    center, width = (
        float(np.atleast_1d(np.array(holder[k].value, float))[0]) for k in ("WindowCenter", "WindowWidth")
    )
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def frames_by_pydicom(path: Path) -> tuple[Dataset, list[np.ndarray]]:
    path = path.with_name(WHOLE.get(path.name, path.name))
    dataset = dcmread(path, force=True)
    if not dataset.file_meta.get("TransferSyntaxUID"):
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in FOR_PILLOW and path.name not in BROKEN_FOR_PILLOW:
        dataset.pixel_array_options(decoding_plugin="pillow")  # lossy decoders differ by a level or two
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    array = dataset.pixel_array
    return dataset, list(array) if count > 1 else [array]


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_is_read_as_by_pydicom_or_refused_by_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pixels that are not square are compared as they lie: what stretches them is tested with `squared`.
    monkeypatch.setattr(frames_module, "squared", lambda levels, *_: (levels, ""))
    headerless = path.name == "OT-PAL-8-face.dcm" or "NoMeta" in path.name
    if lacks_pixels(path):
        with pytest.raises(NoPixels, match="no picture in this DICOM object: "):
            list(read_frames(path, frames=ALL, headerless=True))
        return
    if path.name in REFUSED:
        with pytest.raises(ImageRefused, match=REFUSED[path.name]) as refusal:
            list(read_frames(path, frames=ALL, headerless=True))
        assert not isinstance(refusal.value, NoPixels)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset, expected = frames_by_pydicom(path)
        found = list(read_frames(path, frames=ALL, headerless=headerless))
        assert len(found) == len(expected)
        for index in {0, len(found) // 2, len(found) - 1}:
            levels = reference(dataset, expected[index], index)
            assert found[index].pixels.shape == levels.shape
            assert np.abs(found[index].pixels - levels).max() <= 0.5 + 1e-9


def test_no_file_of_pydicom_is_left_out() -> None:
    names = {path.name for path in FILES}
    assert len(FILES) > 200
    assert REFUSED.keys() | WITHOUT_PIXELS <= names
    read = [path for path in FILES if path.name not in REFUSED and not lacks_pixels(path)]
    assert len(read) > 150


def test_odd_images_are_read_or_refused(shared: Path) -> None:
    outcomes = {}
    for path in sorted((shared / "odd-images").glob("dicom__*")):
        try:
            outcomes[path.name] = len(list(read_frames(path, frames=ALL)))
        except ImageRefused as refusal:
            outcomes[path.name] = str(refusal)
    assert outcomes
    assert all(outcomes.values())


def test_no_reference_is_trivial() -> None:
    """The comparison would pass on nothing but black."""
    path = next(path for path in FILES if path.name == "MR_small.dcm")
    pixels = next(iter(read_frames(path))).pixels
    assert len(np.unique(pixels)) > 100
    assert math.isclose(pixels.mean(), reference(*_first(path)).mean(), abs_tol=0.5)


def _first(path: Path) -> tuple[Dataset, np.ndarray, int]:
    dataset, frames = frames_by_pydicom(path)
    return dataset, frames[0], 0
