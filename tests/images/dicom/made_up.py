"""Small DICOM files, written as the standard has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from imageclef.images.dicom.encoded import decoded_frame, find_frames
from imageclef.images.dicom.header import opened
from imageclef.images.dicom.stored import stored_pixels

UID_OF_IMAGE = "1.2.826.0.1.3680043.8.498.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
SR = "1.2.840.10008.5.1.4.1.1.88.33"


def write(
    path: Path, pixels: np.ndarray | bytes | None, syntax: UID = ExplicitVRLittleEndian, **elements: Any
) -> Path:
    """Write a file of grey pixels, (rows, columns) or (frames, rows, columns); elements replace or add.

    An element that is None is left out.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(elements.get("SOPClassUID", CT))
    meta.MediaStorageSOPInstanceUID = UID(UID_OF_IMAGE)
    meta.TransferSyntaxUID = syntax
    dataset = FileDataset(
        path, {}, bytes(128), meta, syntax.is_implicit_VR, is_little_endian=syntax.is_little_endian
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CT, UID_OF_IMAGE, "CT"
    if isinstance(pixels, np.ndarray):
        bits = pixels.dtype.itemsize * 8
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        if pixels.ndim == 3:
            dataset.NumberOfFrames = len(pixels)
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        order = "<" if syntax.is_little_endian else ">"
        pixels = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    if pixels is not None:
        dataset.PixelData = pixels + bytes(len(pixels) % 2)
        dataset["PixelData"].VR = "OW" if dataset.get("BitsAllocated", 16) > 8 else "OB"
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    if syntax.is_encapsulated:
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    return path


def item(**elements: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def decoded(path: Path, indices: list[int] | None = None) -> list[np.ndarray]:
    """The frames of a file as they are stored."""
    with opened(path) as header:
        pixels = stored_pixels(header)
        wanted = range(pixels.frames) if indices is None else indices
        encoded = find_frames(header, pixels)
        return [decoded_frame(header.file, encoded, index).values for index in wanted]
