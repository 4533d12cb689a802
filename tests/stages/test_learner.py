"""Training from the command's side: who is given concepts, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from imageclef import stages
from imageclef.config import Config
from imageclef.data.concept_list import read_concept_list
from imageclef.demo.drawn import DrawnCollection, draw_collection
from imageclef.learners import settings, table
from imageclef.learners.base import Training
from imageclef.learners.images import TrainingImages
from imageclef.learners.pixels import Pixels
from imageclef.learners.settings import PixelsSettings
from imageclef.stages.labelled import held_out_rows
from imageclef.workspace import TRAIN, Workspace
from tests.walking import config_of


class LabelReaderSettings(PixelsSettings):
    """The settings of `LabelReader`."""

    uses_labels: ClassVar[bool] = True


class LabelReader(Pixels):
    """Grey pixels, which remember the concepts that they were given."""

    settings_type = LabelReaderSettings
    given: list[np.ndarray]

    def fit(self, images: TrainingImages, training: Training) -> None:
        self.given.append(images.labels(np.arange(len(images))).toarray())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    monkeypatch.setattr(LabelReader, "given", [], raising=False)
    monkeypatch.setitem(table.LEARNERS, "reader", LabelReader)
    monkeypatch.setitem(settings.SETTINGS, "reader", LabelReaderSettings)
    return LabelReader.given


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnCollection:
    return draw_collection(tmp_path, 24, 4, seed=0)


def ingested(folder: Path, drawn: DrawnCollection, learner: str) -> Config:
    config = config_of(folder, drawn, learner={"name": learner, "image_size": 16})
    stages.ingest(config)
    return config


def rename_a_concept(path: Path) -> None:
    listed = path.read_text()
    concept = listed.split("\t")[1].split(";")[0].split("\n")[0].split(",")[0].strip()
    path.write_text(listed.replace(concept, "C9999999"))


def test_a_learner_of_concepts_is_given_them_and_the_report_says_so(
    tmp_path: Path, drawn: DrawnCollection, given: list[np.ndarray]
) -> None:
    config = ingested(tmp_path, drawn, "reader")
    report = stages.train(config)
    (labels,) = given
    assert (np.diff(labels.sum(0, dtype=np.int64)) <= 0).all()  # the most frequent first
    workspace, listed = Workspace(config), read_concept_list(drawn.train_concepts)
    ids = workspace.store(TRAIN).ids
    held_out = held_out_rows(workspace, workspace.collection(TRAIN), ids)
    learnt = [image_id for image_id, out in zip(ids, held_out, strict=True) if not out]
    assert labels.sum(1).tolist() == [len(listed.get(image_id, ())) for image_id in learnt]
    assert any("reader learns from the concepts" in note for note in report.notes)


def test_other_concepts_are_another_training_only_of_a_learner_of_concepts(
    tmp_path: Path, drawn: DrawnCollection, given: list[np.ndarray]
) -> None:
    reader, pixels = (ingested(tmp_path, drawn, name) for name in ("reader", "pixels"))
    assert not any("concepts" in note for note in stages.train(pixels).notes)
    stages.train(reader)
    assert stages.train(reader).skipped
    rename_a_concept(drawn.train_concepts)
    stages.ingest(reader)
    assert not stages.train(reader).skipped
    assert len(given) == 2
    assert stages.train(pixels).skipped
