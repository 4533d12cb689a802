from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imageclef.data.drawing.camera import photograph
from imageclef.data.drawing.canvas import SIDE, Painter
from imageclef.data.phantoms import CONCEPTS, PAINTERS, PhantomCollection, draw_collection

N_TRAIN, N_TEST = 220, 60


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> PhantomCollection:
    return draw_collection(tmp_path_factory.mktemp("drawn"), N_TRAIN, N_TEST, seed=3)


def lists(path: Path) -> dict[str, list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {image_id: concepts.split(";") for image_id, concepts in (line.split("\t") for line in lines)}


def files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.rglob("*") if path.is_file()}


def small(path: Path) -> NDArray[np.float32]:
    """24 x 24 RGB between 0 and 1, flat."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) / 17).clip(0, 255).astype(np.uint8))
        return np.asarray(image.convert("RGB").resize((24, 24)), np.float32).ravel() / 255


def readable(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_there_are_as_many_pictures_as_asked_for(drawn: PhantomCollection) -> None:
    listed, found = lists(drawn.train_concepts), files(drawn.train_images)
    good = {image_id for image_id in listed if image_id in found and readable(found[image_id])}
    assert len(good) == N_TRAIN
    truth, tested = lists(drawn.test_concepts), files(drawn.test_images)
    assert len(truth) == N_TEST
    assert set(truth) == set(tested)
    assert all(map(readable, tested.values()))
    assert not set(tested) & set(listed)


def test_what_goes_wrong_is_there(drawn: PhantomCollection) -> None:
    listed, found = lists(drawn.train_concepts), files(drawn.train_images)
    broken = [path for image_id, path in found.items() if image_id in listed and not readable(path)]
    assert sorted(path.suffix for path in broken) == [".jpg", ".jpg", ".png"]
    assert sorted(path.stat().st_size == 0 for path in broken) == [False, False, True]
    assert len(set(listed) - set(found)) == 1
    (without_line,) = set(found) - set(listed)
    assert readable(found[without_line])


def test_formats_depths_and_folders_are_mixed(drawn: PhantomCollection) -> None:
    paths = list(files(drawn.train_images).values())
    assert {path.suffix for path in paths} == {".jpg", ".JPEG", ".png", ".tif", ".gif", ".bmp"}
    inside = {path.parent.relative_to(drawn.train_images).as_posix() for path in paths}
    assert {"a", "b", "b/c"} <= inside
    modes: Counter[str] = Counter()
    for path in filter(readable, paths):
        with Image.open(path) as image:
            assert all(200 <= side <= 256 for side in image.size)
            modes[image.mode] += 1
    assert modes["L"] > modes["RGB"] > 0
    assert modes["P"] > 0
    assert any(mode.startswith("I") for mode in modes), "16-bit grey"


def test_groups_are_patients_with_one_or_two_images_and_one_anatomy(drawn: PhantomCollection) -> None:
    with drawn.train_groups.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = lists(drawn.train_concepts)
    assert list(rows[0]) == ["ID", "group", "modality"]
    assert [row["ID"] for row in rows] == list(listed)
    sizes = Counter(row["group"] for row in rows)
    assert set(sizes.values()) == {1, 2}
    for group in sizes:
        concepts = {tuple(listed[row["ID"]]) for row in rows if row["group"] == group}
        assert len(concepts) == 1
    assert len({row["modality"] for row in rows}) == 7
    found = files(drawn.train_images)
    by_group = {row["group"]: [r["ID"] for r in rows if r["group"] == row["group"]] for row in rows}
    pairs = [ids for ids in by_group.values() if len(ids) == 2 and all(readable(found[i]) for i in ids)]
    apart = [np.abs(small(found[one]) - small(found[other])).mean() for one, other in pairs]
    assert min(apart) > 0.005, "two pictures of one patient are two pictures"


def test_concepts_are_cuis_with_names(drawn: PhantomCollection) -> None:
    header, *lines = drawn.concept_names.read_text(encoding="utf-8").splitlines()
    assert header == "concept\tconcept_name"
    named = dict(line.split("\t") for line in lines)
    used = {concept for concepts in lists(drawn.train_concepts).values() for concept in concepts}
    assert used <= set(named)
    assert len(used) > 45
    assert all(concept[0] == "C" and len(concept) == 8 and concept[1:].isdigit() for concept in named)
    assert len(set(CONCEPTS.values())) == len(CONCEPTS)


def test_names_of_concepts_are_those_of_the_real_collection(shared: Path) -> None:
    lines = (shared / "real-collection" / "concept-names.csv").read_text(encoding="utf-8").splitlines()[1:]
    real = dict(line.split("\t") for line in lines)
    assert {name: real.get(concept) for name, concept in CONCEPTS.items()} == {
        name: name for name in CONCEPTS
    }


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


@pytest.mark.parametrize(
    "painter", PAINTERS, ids=lambda painter: f"{painter.__module__.split('.')[-1]}.{painter.__name__}"
)
def test_every_painter_draws_what_it_names(painter: Painter) -> None:
    seen: Counter[str] = Counter()
    pictures = set()
    for seed in range(25):
        drawing = painter(np.random.default_rng(seed))
        assert drawing.pixels.dtype == np.float32
        assert drawing.pixels.shape[:2] == (SIDE, SIDE)
        assert np.isfinite(drawing.pixels).all()
        assert len(set(drawing.concepts)) == len(drawing.concepts)
        seen.update(drawing.concepts)
        pictures.add(drawing.pixels.tobytes())
    assert set(seen) <= set(CONCEPTS)
    assert len(pictures) == 25
    assert 0 < min(seen.values()) < 25, "no finding that is sometimes there"
    assert max(seen.values()) == 25, "no modality"


@pytest.mark.parametrize(
    "painter", PAINTERS, ids=lambda painter: f"{painter.__module__.split('.')[-1]}.{painter.__name__}"
)
def test_a_picture_has_contrast_and_no_two_are_alike(painter: Painter) -> None:
    drawing = painter(np.random.default_rng(0))
    before = drawing.pixels.copy()
    one, other = (photograph(drawing, np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(drawing.pixels, before)
    assert one.dtype == np.uint8
    assert one.ndim == drawing.pixels.ndim
    assert one.std() > 15
    assert (one == 255).mean() < 0.35
    assert one.shape != other.shape or (one != other).any()


def test_concepts_can_be_learned_from_pixels_but_not_all_of_them(drawn: PhantomCollection) -> None:
    listed, truth = lists(drawn.train_concepts), lists(drawn.test_concepts)
    train = {
        i: small(path) for i, path in files(drawn.train_images).items() if i in listed and readable(path)
    }
    test = {image_id: small(path) for image_id, path in files(drawn.test_images).items()}
    matrix, names = np.stack(list(train.values())), list(train)

    def f1(answer: list[str], true: list[str]) -> float:
        return 2 * len(set(answer) & set(true)) / (len(answer) + len(true))

    nearest = {i: names[int(((matrix - pixels) ** 2).sum(axis=1).argmin())] for i, pixels in test.items()}
    score = np.mean([f1(listed[nearest[image_id]], truth[image_id]) for image_id in truth])
    frequent = Counter(concept for concepts in listed.values() for concept in concepts)
    constant = np.mean(
        [f1([concept for concept, _ in frequent.most_common(7)], true) for true in truth.values()]
    )
    assert constant < 0.4
    assert 0.7 < score < 0.97
