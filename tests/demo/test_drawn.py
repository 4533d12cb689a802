from __future__ import annotations

import csv
import hashlib
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.demo.drawn import DrawnCollection, draw_collection
from imageclef.demo.shapes import CONCEPTS

N_TRAIN, N_TEST = 200, 60


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnCollection:
    return draw_collection(tmp_path_factory.mktemp("drawn"), N_TRAIN, N_TEST, seed=3)


def lists(path: Path) -> dict[str, list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {image_id: concepts.split(";") for image_id, concepts in (line.split("\t") for line in lines)}


def files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.rglob("*") if path.is_file()}


def mode_of(path: Path) -> str:
    """The mode of the image that a file holds; nothing where it holds none."""
    try:
        with Image.open(path) as image:
            image.load()
            return image.mode
    except (OSError, SyntaxError):
        return ""


def digests(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_there_are_as_many_images_as_asked_for(drawn: DrawnCollection) -> None:
    listed, found = lists(drawn.train_concepts), files(drawn.train_images)
    assert sum(1 for image_id in listed if image_id in found and mode_of(found[image_id])) == N_TRAIN
    truth, tested = lists(drawn.test_concepts), files(drawn.test_images)
    assert set(truth) == set(tested)
    assert len(truth) == N_TEST
    assert all(map(mode_of, tested.values()))
    assert not set(tested) & set(listed)


def test_odd_files_are_there(drawn: DrawnCollection) -> None:
    listed, found = lists(drawn.train_concepts), files(drawn.train_images)
    damaged = [path for image_id, path in found.items() if image_id in listed and not mode_of(path)]
    assert sorted(path.suffix for path in damaged) == [".jpg", ".jpg", ".png"]
    assert sorted(path.stat().st_size == 0 for path in damaged) == [False, False, True]
    assert len(set(listed) - set(found)) == 1, "a line without a file"
    unlisted = [found[image_id] for image_id in set(found) - set(listed)]
    modes = {path.suffix: mode_of(path) for path in unlisted}
    assert modes[".jpg"] == "CMYK"
    assert modes[".png"].startswith("I"), "16-bit grey"
    assert (".dcm" in modes) == (find_spec("pydicom") is not None)


def test_formats_and_folders_are_mixed(drawn: DrawnCollection) -> None:
    paths = list(files(drawn.train_images).values())
    assert {path.suffix for path in paths} >= {".jpg", ".JPEG", ".png", ".tif", ".gif", ".bmp"}
    folders = {path.parent.relative_to(drawn.train_images).as_posix() for path in paths}
    assert folders >= {"a", "b", "b/c"}
    modes = Counter(map(mode_of, paths))
    assert modes["L"] > modes["RGB"] > 0
    assert modes["P"] > 0


def test_a_group_is_a_patient_with_one_anatomy_seen_once_or_twice(drawn: DrawnCollection) -> None:
    with drawn.train_groups.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = lists(drawn.train_concepts)
    assert [row["ID"] for row in rows] == list(listed)
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(row["ID"])
    assert {len(ids) for ids in groups.values()} == {1, 2}
    assert all(len({tuple(listed[image_id]) for image_id in ids}) == 1 for ids in groups.values())
    assert {row["modality"] for row in rows} == {"CR", "CT", "MR", "US", "photograph"}


def test_concepts_are_cuis_with_names(drawn: DrawnCollection) -> None:
    header, *lines = drawn.concept_names.read_text(encoding="utf-8").splitlines()
    named = dict(line.split("\t") for line in lines)
    used = {concept for concepts in lists(drawn.train_concepts).values() for concept in concepts}
    assert header == "concept\tconcept_name"
    assert used == set(named) == set(CONCEPTS.values())


def test_names_of_concepts_are_those_of_the_real_collection(shared: Path) -> None:
    lines = (shared / "real-collection" / "concept-names.csv").read_text(encoding="utf-8").splitlines()[1:]
    real = dict(line.split("\t") for line in lines)
    assert {name: real.get(concept) for name, concept in CONCEPTS.items()} == {n: n for n in CONCEPTS}


def test_the_same_seed_draws_the_same_bytes(tmp_path: Path) -> None:
    done: list[int] = []
    draw_collection(tmp_path / "one", 30, 8, seed=5, progress=done.append)
    draw_collection(tmp_path / "two", 30, 8, seed=5)
    draw_collection(tmp_path / "other", 30, 8, seed=6)
    one, other = digests(tmp_path / "one"), digests(tmp_path / "other")
    assert one == digests(tmp_path / "two")
    assert len(set(one.values()) & set(other.values())) <= 3  # the names, the text, the empty file
    assert sum(done) == 38


def test_more_images_leave_those_before_them_as_they_are(tmp_path: Path) -> None:
    draw_collection(tmp_path / "few", 10, 2, seed=1)
    draw_collection(tmp_path / "many", 20, 2, seed=1)
    few, many = digests(tmp_path / "few"), digests(tmp_path / "many")
    same = [name for name in few if name.startswith(("train/", "test/"))]
    assert {name: few[name] for name in same} == {name: many[name] for name in same}


def test_concepts_can_be_learned_from_pixels_but_not_all_of_them(drawn: DrawnCollection) -> None:
    listed, truth = lists(drawn.train_concepts), lists(drawn.test_concepts)
    train = {image_id: path for image_id, path in files(drawn.train_images).items() if image_id in listed}
    train = {image_id: path for image_id, path in train.items() if mode_of(path)}
    matrix, names = np.stack([_small(path) for path in train.values()]), list(train)

    def f1(predicted: list[str], true: list[str]) -> float:
        return 2 * len(set(predicted) & set(true)) / (len(predicted) + len(true))

    def nearest(path: Path) -> list[str]:
        return listed[names[int(((matrix - _small(path)) ** 2).sum(axis=1).argmin())]]

    tested = files(drawn.test_images)
    score = np.mean([f1(nearest(tested[image_id]), truth[image_id]) for image_id in truth])
    counts = Counter(concept for concepts in listed.values() for concept in concepts)
    baselines = [
        np.mean([f1([concept for concept, _ in counts.most_common(n)], true) for true in truth.values()])
        for n in range(1, 10)
    ]
    assert max(baselines) < 0.5
    assert 0.7 < score < 0.97


def _small(path: Path) -> np.ndarray:
    """24 x 24 RGB between 0 and 1, flat."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((24, 24)), np.float32).ravel() / 255
