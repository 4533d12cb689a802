"""A detector that looks at pixels takes the whole way: fit, rule, artifact, run, report, page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef import stages
from imageclef.config import ClassifySettings, Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.detectors.classifier import Classifier
from imageclef.detectors.detection import Annotator as OneImage
from imageclef.detectors.fitting import fit_classifier
from imageclef.detectors.table import DETECTORS
from imageclef.detectors.task import Rows, Task
from imageclef.errors import ConfigError, DataError
from imageclef.features.encoding import Encoded
from imageclef.features.labelled import Labelled
from tests.detectors.pixel_detector import Brightness, BrightnessSettings

CONCEPTS = [f"C{number:07}" for number in range(4)]
N = 120


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DETECTORS, "brightness", Brightness)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose quadrants are bright where the concept is, (n, 8, 8, 1), and which are, (n, 4)."""
    random = np.random.default_rng(seed)
    labels = random.random((n, 4)) < [0.6, 0.5, 0.4, 0.3]
    bright = np.where(labels, 150, 90).reshape(n, 2, 1, 2, 1) + random.integers(-20, 20, (n, 2, 4, 2, 4))
    return bright.reshape(n, 8, 8, 1).astype(np.uint8), labels


def lists_of(labels: np.ndarray) -> list[tuple[str, ...]]:
    return [tuple(np.array(CONCEPTS)[row]) for row in labels]


def task() -> tuple[Task, Rows]:
    pixels, labels = drawn(N, 0)
    lists = lists_of(labels)
    vocabulary = Vocabulary.count(lists)
    # The quadrant of each concept follows its rank in this drawing.
    assert vocabulary.concepts == tuple(CONCEPTS)
    groups = np.arange(N)
    held = np.arange(N) % 4 == 0
    data = Labelled(groups, held, vocabulary.labels(lists), labels.sum(1), groups, groups // 4 % 5)
    rows = Rows([f"i{number}" for number in range(N)], of_pixels=pixels)
    return Task(rows, data, vocabulary, settings=BrightnessSettings()), rows


def test_calibration_and_rules_ask_for_nothing_but_its_log_odds(tmp_path: Path) -> None:
    asked, rows = task()
    fit = fit_classifier("brightness", asked)
    assert fit.metrics["score"] > 0.9
    assert fit.metrics["epochs"] == 1
    fit.classifier.save(tmp_path)
    again = Classifier.load(tmp_path)
    assert isinstance(again.detector, Brightness)
    np.testing.assert_array_equal(again.detector.log_odds(rows), fit.classifier.detector.log_odds(rows))
    before, after = (list(one.answers(rows, None, 100)) for one in (fit.classifier, again))
    assert [lists for lists, _ in before] == [lists for lists, _ in after]


def test_a_rule_for_one_image_on_the_page() -> None:
    asked, rows = task()
    classifier = fit_classifier("brightness", asked).classifier
    (lists, _), *_ = classifier.answers(rows, None, 100)
    nothing = np.zeros((1, 2), np.float32)
    image = Encoded(nothing, nothing, {(8, "grey"): rows.pixels[:][7]})
    found = OneImage(classifier, 100, decoded_at=(8, "grey")).detect(image)
    assert tuple(np.array(classifier.vocabulary.concepts)[found.answer]) == lists[7]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    collections = {}
    for seed, (name, n) in enumerate({"train": 200, "valid": 60}.items()):
        pixels, labels = drawn(n, seed)
        folder = tmp_path / name
        folder.mkdir()
        lines = []
        for number, (image, concepts) in enumerate(zip(pixels, lists_of(labels), strict=True)):
            Image.fromarray(image[:, :, 0]).save(folder / f"{name}{number}.png")
            lines.append(f"{name}{number}\t{';'.join(concepts)}\n")
        (tmp_path / f"{name}.txt").write_text("".join(lines))
        collections[name] = {"images": folder, "concepts": tmp_path / f"{name}.txt"}
    return Config.model_validate(
        {
            "workspace": tmp_path / "work",
            "collections": collections,
            "learner": {"name": "pca", "image_size": 8, "n_components": 4},
            "detector": {"name": "brightness", "sharpness": 3.0},
        }
    )


def test_it_writes_a_run_like_any_other_without_any_features(config: Config, tmp_path: Path) -> None:
    stages.ingest(config)
    report = stages.classify(config)
    run = Path(report.runs[0])
    facts = json.loads(run.with_suffix(".json").read_text())
    assert facts["score"] > 0.9
    assert facts["classifier"] == "brightness"
    assert stages.evaluate(run, tmp_path / "valid.txt").figures["score"] == pytest.approx(facts["score"])
    again = stages.classify(config)
    assert any("up to date" in line for line in again.skipped)
    sharper = config.model_copy(update={"detector": {"name": "brightness", "sharpness": 5.0}})
    assert not any("up to date" in line for line in stages.classify(sharper).skipped)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"name": "nonsense"}, "linear"),
        ({"name": "linear", "sharpness": 2}, "sharpness"),
        ({"name": "brightness", "sharpness": "very"}, "sharpness"),
    ],
)
def test_a_wrong_table_is_an_error_before_any_work(config: Config, table: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        stages.classify(config.model_copy(update={"detector": table}))


def test_a_rule_that_copies_needs_features(config: Config) -> None:
    rule = ClassifySettings(rule="calibrated+nearest")
    with pytest.raises(ConfigError, match="brightness"):
        stages.classify(config.model_copy(update={"classify": rule}))


def test_rows_without_what_a_detector_reads_say_so() -> None:
    asked, _ = task()
    with pytest.raises(DataError, match="120 images without pixels"):
        fit_classifier("brightness", replace(asked, rows=Rows(asked.rows.ids, np.zeros((N, 2)))))
    with pytest.raises(DataError, match="120 images without features"):
        fit_classifier("linear", asked)
