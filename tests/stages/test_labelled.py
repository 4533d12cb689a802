"""Lists with hardly any positives: one line that helps, or a classifier; never a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef import stages
from imageclef.config import Config
from imageclef.errors import DataError
from imageclef.stages.labelled import required_concepts
from imageclef.workspace import Collection, Workspace

N = 40
ONE_SIDED = r"1 of 40 images have a concept, none.*(training|validation) part.*split\.seed"


def workspace(folder: Path, lists: Mapping[int, str]) -> Config:
    """Forty images with features of noise; the second concept list is that of the train collection."""
    collections = {}
    for name in ("train", "valid"):
        images = folder / name
        images.mkdir()
        for number in range(N):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{name}{number}.png")
        lines = (f"{name}{number}\t{lists.get(number, '')}\n" for number in range(N))
        (folder / f"{name}.txt").write_text("".join(lines))
        collections[name] = {"images": images, "concepts": folder / f"{name}.txt"}
    learner = {"name": "pca", "image_size": 8, "n_components": 4}
    config = Config.model_validate(
        {"workspace": folder / "work", "collections": collections, "learner": learner}
    )
    stages.ingest(config)
    stages.train(config)
    stages.extract(config)
    return config


def test_one_positive_in_all_is_named_with_its_part(tmp_path: Path) -> None:
    config = workspace(tmp_path, {3: "C1"})
    with pytest.raises(DataError, match=ONE_SIDED):
        stages.classify(config)
    stages.index(config)
    with pytest.raises(DataError, match=ONE_SIDED):
        stages.knn(config)


def test_a_missing_list_and_a_list_without_concepts_are_told_apart() -> None:
    with pytest.raises(DataError, match=r"set collections\.train\.concepts"):
        required_concepts(Collection("train", ["a"], None, {}))
    with pytest.raises(DataError, match="train: none of the 2 images of its concept list has a concept"):
        required_concepts(Collection("train", ["a", "b"], {"a": (), "b": ()}, {}))
    concepts = {"a": ("C1",), "b": ()}
    assert required_concepts(Collection("train", ["a", "b"], concepts, {})) == concepts


def test_every_image_has_the_concept_and_one_has_another(tmp_path: Path) -> None:
    lists = dict.fromkeys(range(N), "C1") | {5: "C1;C2"}
    figures = stages.classify(workspace(tmp_path, lists)).figures
    assert figures["held_out"]["score"] > 0.9


def test_few_positives_give_a_classifier_or_a_line(tmp_path: Path) -> None:
    """Some seeds put all of them into one part, some into one fold of the validation part."""
    config = workspace(tmp_path, {3: "C1", 4: "C1", 9: "C1"})
    config = config.model_copy(update={"features": (Workspace(config).extracted_label,)})
    found = []
    for seed in range(6):
        seeded = config.model_copy(update={"split": config.split.model_copy(update={"seed": seed})})
        stages.train(seeded)
        stages.extract(seeded)
        with suppress(DataError):
            found.append(stages.classify(seeded).figures["held_out"])
    assert 0 < len(found) < 6
    json.dumps(found, allow_nan=False)
