"""A drawn collection on disk: images, concept lists, groups, names, and what goes wrong in real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from imageclef.demo.shapes import CONCEPTS, SHAPES, Grid

_FOLDERS = ("a", "b", "b/c")
_FORMATS = {".jpg": 0.5, ".JPEG": 0.12, ".png": 0.18, ".tif": 0.08, ".gif": 0.06, ".bmp": 0.06}
_TRAIN, _TEST, _EXTRA = range(3)


@dataclass(frozen=True)
class DrawnCollection:
    """The files of a drawn collection."""

    train_images: Path
    train_concepts: Path
    train_groups: Path
    test_images: Path
    test_concepts: Path
    concept_names: Path

    @classmethod
    def within(cls, folder: Path) -> DrawnCollection:
        """The places in a folder."""
        train = ("train", "train-concepts.csv", "train-groups.csv")
        parts = (*train, "test", "test-concepts.csv", "concept-names.csv")
        return cls(*(folder / part for part in parts))


@dataclass(frozen=True)
class _Shot:
    """An image of a drawn patient, uint8 of shape (SIDE, SIDE) or (SIDE, SIDE, 3), and what it shows."""

    image_id: str
    patient: str
    modality: str
    concepts: tuple[str, ...]
    pixels: NDArray[np.uint8]
    rng: Generator

    @property
    def listed(self) -> str:
        return f"{self.image_id}\t{';'.join(self.concepts)}"

    @property
    def grouped(self) -> str:
        return f"{self.image_id},{self.patient},{self.modality}"


def draw_collection(
    folder: Path, n_train: int, n_test: int, seed: int, progress: Callable[[int], None] | None = None
) -> DrawnCollection:
    """Draw a collection; the same arguments give the same bytes.

    Train and test share no patient; each patient has one or two images. Beside the `n_train` images, the
    train folder has three damaged files with lines in the concept list, and good files without one: a 16-bit
    PNG, a CMYK JPEG and, where pydicom is installed, a DICOM object. The list also has a line without a file.

    Args:
        folder: made where it is missing.
        n_train: readable images with concepts to learn from.
        n_test: readable images to be predicted.
        seed: another seed is another collection.
        progress: told how many images were drawn.

    Returns:
        The folders of images; the concept lists in the form of 2018, `ID<TAB>C1;C2` without a header; the
        groups as CSV with ID, group and modality; the names of the concepts as `concept<TAB>concept_name`.
    """
    drawn = DrawnCollection.within(folder)
    listed: dict[int, list[str]] = {_TRAIN: [], _TEST: []}
    grouped = ["ID,group,modality"]
    for part, n, images in ((_TRAIN, n_train, drawn.train_images), (_TEST, n_test, drawn.test_images)):
        for shot in _shots(n, seed, part):
            _store(shot, images)
            listed[part].append(shot.listed)
            if part == _TRAIN:
                grouped.append(shot.grouped)
            if progress is not None:
                progress(1)
    odd = _store_odd_files(drawn.train_images, seed)
    _write(drawn.train_concepts, listed[_TRAIN] + [shot.listed for shot in odd])
    _write(drawn.train_groups, grouped + [shot.grouped for shot in odd])
    _write(drawn.test_concepts, listed[_TEST])
    names = [f"{concept}\t{name}" for name, concept in CONCEPTS.items()]
    _write(drawn.concept_names, ["concept\tconcept_name", *names])
    return drawn


def _shots(n: int, seed: int, part: int) -> Iterator[_Shot]:
    """Images of patients, one or two of each."""
    letter, number, patient = "TVX"[part], 0, 0
    shapes, shares = list(SHAPES), list(SHAPES.values())
    while number < n:
        rng = np.random.default_rng([seed, part, patient])
        shape = shapes[int(rng.choice(len(shapes), p=shares))]
        anatomy, *views = rng.spawn(3)
        start = anatomy.bit_generator.state
        for view in views[: min(int(rng.integers(1, 3)), n - number)]:
            anatomy.bit_generator.state = start  # the same patient again
            drawing = shape(anatomy, Grid.posed(view))
            noisy = drawing.pixels + 0.01 * view.standard_normal(drawing.pixels.shape)
            pixels = (noisy * 255).clip(0, 255).astype(np.uint8)
            name, group = f"{letter}{number:05d}", f"{letter}-{patient:05d}"
            yield _Shot(name, group, drawing.modality, drawing.concepts, pixels, view)
            number += 1
        patient += 1


def _store(shot: _Shot, images: Path) -> None:
    """Write an image into one of the folders, in one of the formats."""
    suffix = str(shot.rng.choice(list(_FORMATS), p=list(_FORMATS.values())))
    path = images / _FOLDERS[int(shot.rng.integers(len(_FOLDERS)))] / f"{shot.image_id}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(shot.pixels)
    if suffix == ".gif" and image.mode == "RGB":
        image = image.quantize(method=Image.Quantize.FASTOCTREE)
    # Each format takes its own option and ignores the other.
    image.save(path, quality=90, compress_level=1)


def _store_odd_files(images: Path, seed: int) -> list[_Shot]:
    """Write what a real collection has of odd files; the shots that have lines in the lists."""
    text, cut, empty, without_file, deep, inks, dicom = _shots(7, seed, _EXTRA)
    (images / "b").mkdir(parents=True, exist_ok=True)
    (images / "b" / f"{text.image_id}.jpg").write_text("404: this image is no longer available\n", "utf-8")
    path = images / "b" / f"{cut.image_id}.jpg"
    Image.fromarray(cut.pixels).save(path, quality=90)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    (images / f"{empty.image_id}.png").write_bytes(b"")
    twelve_bits = _grey(deep.pixels).astype(np.uint16) * 16 + 100
    Image.fromarray(twelve_bits).save(images / f"{deep.image_id}.png", compress_level=1)
    Image.fromarray(inks.pixels).convert("RGB").convert("CMYK").save(images / f"{inks.image_id}.jpg")
    if find_spec("pydicom") is not None:
        _store_dicom(images / f"{dicom.image_id}.dcm", _grey(dicom.pixels))
    return [text, cut, empty, without_file]


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _store_dicom(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a secondary capture of 8-bit grey, whose identifiers are always the same."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.1"
    made.Modality, made.PatientID = "OT", "drawn"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.PixelData = pixels.tobytes()
    made.save_as(path, enforce_file_format=True)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
