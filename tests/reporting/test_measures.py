from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from imageclef.reporting.bootstrap import Estimate, GroupBootstrap
from imageclef.reporting.inputs import Inputs, read_inputs
from imageclef.reporting.measures import Comparison, RunMeasures, measure_concepts, measure_runs
from imageclef.runs.evaluate import evaluate_run
from tests.reporting.made_up import EDITION, drawn, inputs_of, write_lists, write_scores


def measured(inputs: Inputs) -> tuple[list[RunMeasures], list[Comparison]]:
    concepts = [measure_concepts(inputs, run) for run in inputs.runs]
    return measure_runs(inputs, concepts, GroupBootstrap(inputs.groups, 200))


def test_figures_equal_scikit_learn(tmp_path: Path) -> None:
    truth, answers, scores = drawn(0)
    run = write_lists(tmp_path / "run.csv", answers)
    write_scores(run, list(truth), [f"C{place:07}" for place in range(6)], scores)
    inputs = read_inputs([run], write_lists(tmp_path / "truth.csv", truth), EDITION)
    found, labels, predicted = (
        measured(inputs)[0][0],
        inputs.labels.toarray(),
        inputs.runs[0].answers.toarray(),
    )
    assert found.f1.value == evaluate_run(run, tmp_path / "truth.csv", EDITION).score
    assert found.micro_f1.value == pytest.approx(f1_score(labels, predicted, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    kept = [row for row, image_id in enumerate(truth) if truth[image_id]]
    of_concept = {
        concept: scores[kept, int(concept[1:])].astype(np.float32) for concept in inputs.vocabulary.concepts
    }
    expected = {
        concept: average_precision_score(labels[:, column], of_concept[concept])
        for column, concept in enumerate(inputs.vocabulary.concepts)
    }
    assert found.mean_average_precision == pytest.approx(np.mean(list(expected.values())))
    assert found.averaged_concepts == 6
    assert found.answers_per_image == predicted.sum() / len(kept)
    assert found.unanswered == sum(not row.any() for row in predicted)
    lines = measure_concepts(inputs, inputs.runs[0])
    assert [line.concept for line in lines] == list(inputs.vocabulary.concepts)
    for column, line in enumerate(lines):
        both = labels[:, column], predicted[:, column]
        assert (line.support, line.answered, line.right) == (
            both[0].sum(),
            both[1].sum(),
            (both[0] & both[1]).sum(),
        )
        assert line.precision == pytest.approx(precision_score(*both))
        assert line.recall == pytest.approx(recall_score(*both))
        assert line.f1 == pytest.approx(f1_score(*both))
        assert line.average_precision == pytest.approx(expected[line.concept])


def test_what_is_not_defined_is_none(tmp_path: Path) -> None:
    truth = {"a": ("C1", "C2"), "b": ("C1",)}
    run, other = {"a": ("C1", "C9"), "b": ()}, {"a": ("C5",), "b": ()}
    inputs = inputs_of(tmp_path, truth, run, other)
    c1, c2, c9 = measure_concepts(inputs, inputs.runs[0])
    assert (c1.precision, c1.recall) == (1, 0.5)
    assert (c2.concept, c2.precision, c2.recall, c2.f1) == ("C2", None, 0, 0)
    assert (c9.concept, c9.precision, c9.recall, c9.average_precision) == ("C9", 0, None, None)
    found = measured(inputs)[0][0]
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert (found.mean_average_precision, found.averaged_concepts, found.unanswered) == (None, 0, 1)


def test_scores_of_a_source_are_over_its_images(tmp_path: Path) -> None:
    truth, answers, _ = drawn(3)
    run, path = write_lists(tmp_path / "run.csv", answers), write_lists(tmp_path / "truth.csv", truth)
    source_of = {image_id: "xyz"[place % 3] for place, image_id in enumerate(truth)}
    lines = "".join(f"{image_id},g{image_id},{source}\n" for image_id, source in source_of.items())
    (tmp_path / "groups.csv").write_text("ID,group,source\n" + lines)
    inputs = read_inputs([run], path, EDITION, tmp_path / "groups.csv", "source")
    found = measured(inputs)[0][0].f1_by_source
    for name, estimate in zip(inputs.sources, found, strict=True):
        f1 = [
            f
            for image_id, f in zip(inputs.ids, inputs.runs[0].f1, strict=True)
            if source_of[image_id] == name
        ]
        assert estimate.value == pytest.approx(np.mean(f1))
        assert estimate.low < estimate.value < estimate.high


def test_runs_are_compared_on_the_same_draws(tmp_path: Path) -> None:
    truth, answers, _ = drawn(1)
    worse = {
        image_id: (*concepts, "C99") if place % 2 else concepts
        for place, (image_id, concepts) in enumerate(answers.items())
    }
    inputs = inputs_of(tmp_path, truth, answers, worse, answers)
    measures, comparisons = measured(inputs)
    found = {(one.run, one.against): one for one in comparisons}
    assert len(found) == 6
    # No image is better, and so no draw: though the intervals of the two overlap by far.
    assert measures[0].f1.low < measures[1].f1.high
    assert found[1, 0].difference.high < 0
    assert (found[1, 0].better, found[0, 1].better) == (0, 1)
    assert found[1, 0].difference.value == pytest.approx(measures[1].f1.value - measures[0].f1.value)
    assert found[1, 0].difference.low == pytest.approx(-found[0, 1].difference.high)
    assert found[2, 0].difference == Estimate(0, 0, 0)
    assert found[2, 0].better == 0.5


def test_the_threshold_that_stands_beside_the_run(tmp_path: Path) -> None:
    truth, answers, _ = drawn(2)
    run = write_lists(tmp_path / "run.csv", answers)
    run.with_suffix(".json").write_text('{"held_out": {"threshold": 0.25}}')
    inputs = read_inputs([run], write_lists(tmp_path / "truth.csv", truth), EDITION)
    assert {line.threshold for line in measure_concepts(inputs, inputs.runs[0])} == {0.25}
