"""A drawn collection: phantoms of several modalities, with concepts that can be seen in them.

Nothing of it comes from a patient, so it can be drawn anywhere: for the demo, for tests, to try things out.
It is as untidy as a real one: nested folders, six file formats, upper-case names, 16-bit grey, palettes, a
few files that are broken, a line without a file, and a file without a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imageclef.data.drawing import photographs, radiographs, resonance, tomograms, ultrasound
from imageclef.data.drawing.camera import photograph
from imageclef.data.drawing.canvas import Painter

PAINTERS: dict[Painter, float] = {
    radiographs.chest: 0.15,
    radiographs.knee: 0.06,
    radiographs.hand: 0.05,
    tomograms.head: 0.10,
    tomograms.chest: 0.07,
    tomograms.abdomen: 0.08,
    resonance.axial: 0.11,
    resonance.sagittal: 0.06,
    resonance.spine: 0.05,
    ultrasound.gallbladder: 0.05,
    ultrasound.breast: 0.06,
    photographs.skin: 0.06,
    photographs.smear: 0.05,
    photographs.fundus: 0.05,
}
"""Every kind of phantom, and how often it is drawn."""

CONCEPTS = {
    "Abdomen": "C0000726",
    "Anterior-Posterior": "C1999039",
    "Axial": "C0205131",
    "Blood": "C0005767",
    "Blood Platelets": "C0005821",
    "Bone structure of cranium": "C0037303",
    "Brain": "C0006104",
    "Brain Neoplasms": "C0006118",
    "Breast": "C0006141",
    "Cardiomegaly": "C0018800",
    "Cataract": "C0086543",
    "Chest": "C0817096",
    "Cholelithiasis": "C0008350",
    "Cyst": "C0010709",
    "Dermatofibroma": "C0002991",
    "Eosinophil": "C0014467",
    "Erythrocytes": "C0014792",
    "Eye": "C0015392",
    "Fracture": "C0016658",
    "Gallbladder": "C0016976",
    "Hand": "C0018563",
    "Hemorrhage": "C0019080",
    "Hydrocephalus": "C0020255",
    "Infarction": "C0021308",
    "Intervertebral Disc Displacement": "C0021818",
    "Kidney": "C0022646",
    "Knee": "C0022742",
    "Leukocytes": "C0023516",
    "Liver": "C0023884",
    "Lower Extremity": "C0023216",
    "Lung": "C0024109",
    "Lymphocyte": "C0024264",
    "Magnetic Resonance Imaging": "C0024485",
    "Malignant neoplasm of breast": "C0006142",
    "Melanoma": "C0025202",
    "Microscopy": "C0026018",
    "Multiple Sclerosis": "C0026769",
    "Musculoskeletal System": "C0026860",
    "Neoplasm Metastasis": "C0027627",
    "Nephrolithiasis": "C0392525",
    "Neutrophil": "C0027950",
    "Nevus": "C0027960",
    "Osteoarthritis": "C0029408",
    "Pituitary Neoplasms": "C0032019",
    "Plain x-ray": "C1306645",
    "Pleural effusion": "C0032227",
    "Pneumonia": "C0032285",
    "Pneumothorax": "C0032326",
    "Postero-Anterior": "C1996865",
    "Pulmonary nodule": "C0034079",
    "Retina": "C0035298",
    "Sagittal": "C0205129",
    "Skin": "C1123023",
    "Spinal cord": "C0037925",
    "Subdural Hematoma": "C0018946",
    "Ultrasonography": "C0041618",
    "Upper Extremity": "C1140618",
    "Vertebral column": "C0037949",
    "X-Ray Computed Tomography": "C0040405",
}
"""The name of everything that is drawn, and its CUI."""

_FOLDERS = ("a", "b", "b/c")
_GREY = {".jpg": 0.55, ".JPEG": 0.12, ".png": 0.12, ".16.png": 0.09, ".tif": 0.04, ".gif": 0.04, ".bmp": 0.04}
_COLOUR = {".jpg": 0.60, ".JPEG": 0.15, ".png": 0.09, ".tif": 0.06, ".gif": 0.05, ".bmp": 0.05}
_TRAIN, _TEST, _EXTRA = range(3)


@dataclass(frozen=True)
class PhantomCollection:
    """Where a drawn collection lies."""

    train_images: Path
    train_concepts: Path
    train_groups: Path
    test_images: Path
    test_concepts: Path
    concept_names: Path


@dataclass(frozen=True)
class _Shot:
    """A picture of a phantom and what is known of it."""

    image_id: str
    patient: str
    modality: str
    concepts: tuple[str, ...]
    pixels: NDArray[np.uint8]
    rng: np.random.Generator


def draw_collection(
    folder: Path, n_train: int, n_test: int, seed: int, progress: Callable[[int], None] | None = None
) -> PhantomCollection:
    """Draw a collection; the same arguments give the same bytes.

    Train and test share no patient. Beside the `n_train` images, the train folder has three broken files with
    lines in the concept list, and a good file without one; the list also has a line without a file.

    Args:
        folder: made where it is missing.
        n_train: readable images with concepts to learn from.
        n_test: readable images to be answered.
        seed: another seed is another collection.
        progress: told how many images were drawn.

    Returns:
        The folders of images; the concept lists in the form of 2018, `ID<TAB>C1;C2` without a header; the
        groups as CSV with ID, group and modality; the names of the concepts as `concept<TAB>concept_name`.
    """
    drawn = PhantomCollection(
        folder / "train",
        folder / "train-concepts.csv",
        folder / "train-groups.csv",
        folder / "test",
        folder / "test-concepts.csv",
        folder / "concept-names.csv",
    )
    concepts, groups = [], ["ID,group,modality"]
    for shot in _shots(n_train, seed, _TRAIN):
        _store(shot, drawn.train_images)
        concepts.append(_line(shot))
        groups.append(f"{shot.image_id},{shot.patient},{shot.modality}")
        _tell(progress)
    odd_concepts, odd_groups = _store_odd_files(drawn.train_images, seed)
    _write(drawn.train_concepts, concepts + odd_concepts)
    _write(drawn.train_groups, groups + odd_groups)
    truth = []
    for shot in _shots(n_test, seed, _TEST):
        _store(shot, drawn.test_images)
        truth.append(_line(shot))
        _tell(progress)
    _write(drawn.test_concepts, truth)
    _write(
        drawn.concept_names, ["concept\tconcept_name", *(f"{cui}\t{name}" for name, cui in CONCEPTS.items())]
    )
    return drawn


def _shots(n: int, seed: int, part: int) -> Iterator[_Shot]:
    """Pictures of patients, one or two of each."""
    letter, number, patient = "TVX"[part], 0, 0
    painters, shares = list(PAINTERS), np.array(list(PAINTERS.values()))
    while number < n:
        rng = np.random.default_rng([seed, part, patient])
        drawing = painters[int(rng.choice(len(painters), p=shares / shares.sum()))](rng)
        concepts = tuple(CONCEPTS[name] for name in drawing.concepts)
        for _ in range(min(int(rng.integers(1, 3)), n - number)):
            pixels = photograph(drawing, rng)
            name, group = f"PH{letter}_{number:05d}", f"{letter}{patient:05d}"
            yield _Shot(name, group, drawing.style.modality, concepts, pixels, rng)
            number += 1
        patient += 1


def _store(shot: _Shot, images: Path) -> None:
    """Write a picture into one of the folders, in one of the formats."""
    formats = _GREY if shot.pixels.ndim == 2 else _COLOUR
    chosen = str(shot.rng.choice(list(formats), p=list(formats.values())))
    suffix = chosen.removeprefix(".16")
    path = images / _FOLDERS[int(shot.rng.integers(len(_FOLDERS)))] / f"{shot.image_id}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if chosen == ".16.png":
        Image.fromarray(shot.pixels.astype(np.uint16) * 16 + 100).save(path, compress_level=1)
        return
    picture = Image.fromarray(shot.pixels)
    if suffix in (".gif", ".bmp") and picture.mode == "RGB":
        picture = picture.quantize(method=Image.Quantize.FASTOCTREE)
    # Each format takes its own and ignores the other.
    picture.save(path, quality=90, compress_level=1)


def _store_odd_files(images: Path, seed: int) -> tuple[list[str], list[str]]:
    """What goes wrong in real collections; returns lines of the concept list and of the groups."""
    shots = list(_shots(5, seed, _EXTRA))
    text, cut, empty, without_file, without_line = shots
    (images / "b").mkdir(parents=True, exist_ok=True)
    (images / "b" / f"{text.image_id}.jpg").write_text("404: this image is no longer available\n", "utf-8")
    path = images / "b" / f"{cut.image_id}.jpg"
    Image.fromarray(cut.pixels).save(path, quality=90)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    (images / f"{empty.image_id}.png").write_bytes(b"")
    Image.fromarray(without_line.pixels).save(images / f"{without_line.image_id}.png", compress_level=1)
    listed = [text, cut, empty, without_file]
    groups = [f"{shot.image_id},{shot.patient},{shot.modality}" for shot in listed]
    return [_line(shot) for shot in listed], groups


def _line(shot: _Shot) -> str:
    return f"{shot.image_id}\t{';'.join(shot.concepts)}"


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _tell(progress: Callable[[int], None] | None) -> None:
    if progress is not None:
        progress(1)
