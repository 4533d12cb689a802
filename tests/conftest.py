from __future__ import annotations

import os
from pathlib import Path

# Tiny networks would spend their time on waking threads, here and in the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from imageclef import stages
from imageclef.config import Config
from imageclef.demo.drawn import draw_collection
from tests.walking import LEARNER, Reports, config_of

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden cases beside the checkout; not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared beside the checkout (real images, golden cases)")
    return SHARED


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("drawn")
    drawn = draw_collection(folder, 160, 40, seed=0)
    (drawn.test_images / "unreadable.png").write_text("no image")
    with drawn.test_concepts.open("a") as truth:
        truth.write("unreadable\tC0040405\n")
    return config_of(folder, drawn, learner=LEARNER)


@pytest.fixture(scope="session")
def walked(config: Config) -> Reports:
    """Every stage once, in order."""
    return {
        "ingest": stages.ingest(config),
        "train": stages.train(config),
        "extract": stages.extract(config),
        "classify": stages.classify(config, "test"),
        "index": stages.index(config),
        "knn": stages.knn(config, "test"),
    }
