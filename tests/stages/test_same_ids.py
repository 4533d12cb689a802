from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.config import Config
from imageclef.stages.features import extract
from imageclef.stages.images import ingest
from imageclef.stages.index import index
from imageclef.stages.learner import train
from imageclef.stages.similar import similar

N_TRAIN, N_TEST = 12, 3


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two collections with the same ids and other images and concepts, the first of them indexed."""
    collections = {}
    for name, count, first in (("train", N_TRAIN, 1), ("test", N_TEST, 700)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = np.random.default_rng(first + i).integers(0, 256, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i:03d}.png")
        lines = [f"{i:03d},C{first + i:07d}" for i in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["ID,CUIs", *lines]) + "\n")
        collections[name] = {"images": tmp_path / name, "concepts": tmp_path / f"{name}.csv"}
    config = Config.model_validate(
        {
            "workspace": tmp_path / "ws",
            "collections": collections,
            "learner": {"name": "pixels"},
            "ingest": {"workers": 1},
        }
    )
    for stage in (ingest, train, extract, index):
        stage(config)
    return config


def test_a_query_has_the_concepts_of_its_own_collection(config: Config) -> None:
    query = config.collections["test"].images / "001.png"
    found = similar(config, [query], k=N_TRAIN).figures
    assert found["query"]["concepts"] == ["C0000701"]
    assert found["query"]["concepts_from"] == "the concept list of test"
    concepts = {one["id"]: one["concepts"] for one in found["neighbors"]}
    assert concepts == {f"{i:03d}": [f"C{1 + i:07d}"] for i in range(N_TRAIN)}
