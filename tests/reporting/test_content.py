from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageclef.reporting.content import work_out
from imageclef.reporting.inputs import read_inputs
from tests.reporting.made_up import EDITION, drawn, inputs_of, write_lists, write_scores


def test_json_has_what_was_worked_out(tmp_path: Path) -> None:
    truth, answers, scores = drawn(5)
    silent = dict.fromkeys(truth, ())
    run, other = write_lists(tmp_path / "run.csv", answers), write_lists(tmp_path / "none.csv", silent)
    write_scores(run, list(truth), [f"C{place:07}" for place in range(6)], scores)
    run.with_suffix(".json").write_text('{"top": 6, "held_out": {"c": 0.30000000001, "cs": [1, 2]}}')
    lines = "".join(f"{image_id},g{place // 2},{'xy'[place % 2]}\n" for place, image_id in enumerate(truth))
    (tmp_path / "groups.csv").write_text("ID,group,source\n" + lines)
    inputs = read_inputs(
        [other, run], write_lists(tmp_path / "t.csv", truth), EDITION, tmp_path / "groups.csv", "source"
    )
    content = work_out(inputs, {"C0000000": "Lung"}, draws=50)
    facts = json.loads(json.dumps(content.as_json(), allow_nan=False))
    assert (facts["images"], facts["left_out"], facts["edition"]) == (
        len(inputs.ids),
        inputs.left_out,
        "2018",
    )
    assert facts["bootstrap"] == {
        "over": "groups",
        "groups": 20,
        "images_without_group": 0,
        "draws": 50,
        "level": 0.95,
    }
    assert {source["name"]: source["images"] for source in facts["sources"]}.keys() == {"x", "y"}
    none, ours = facts["runs"]
    assert (facts["best"], none["number"], ours["number"], ours["name"]) == (2, 1, 2, "run")
    assert (none["f1"]["value"], none["calibration"], none["mean_average_precision"]) == (0, None, None)
    assert ours["f1"]["value"] == content.runs[1].measures.f1.value
    assert ours["f1_by_source"].keys() == {"x", "y"}
    lung = next(one for one in ours["concepts"] if one["concept"] == "C0000000")
    assert lung["name"] == "Lung"
    assert {one["name"] for one in ours["concepts"]} == {"Lung", None}
    assert len(ours["calibration"]["bins"]) > 2
    assert ours["facts"] == {"top": "6", "held_out.c": "0.3", "held_out.cs": "1, 2"}
    assert {(one["run"], one["against"]) for one in facts["comparisons"]} == {(1, 2), (2, 1)}
    assert set(ours["examples"][0]) == {"concept", "right", "missed", "invented"}


def test_confusions_are_named_by_their_concepts(tmp_path: Path) -> None:
    truth = {f"i{place}": ("C1",) if place < 5 else ("C3",) for place in range(10)}
    answers = {f"i{place}": ("C2",) if place < 5 else ("C3",) for place in range(10)}
    content = work_out(inputs_of(tmp_path, truth, answers), {}, draws=10)
    (confusion,) = content.as_json()["runs"][0]["confusions"]
    assert confusion == {"missed": "C1", "invented": "C2", "images": 5, "expected": 2.5, "lift": 2.0}


def test_more_runs_have_examples_of_fewer_concepts(tmp_path: Path) -> None:
    truth, answers, _ = drawn(6, images=60, concepts=80)
    one, three = (work_out(inputs_of(tmp_path, truth, *[answers] * n), {}, draws=10) for n in (1, 3))
    assert [len(run.examples) for run in one.runs] == [60]
    assert [len(run.examples) for run in three.runs] == [20, 20, 20]


def test_one_image_has_no_interval(tmp_path: Path) -> None:
    content = work_out(inputs_of(tmp_path, {"a": ("C1",)}, {"a": ("C1",)}), {}, draws=10)
    assert content.as_json()["runs"][0]["f1"] == {"value": pytest.approx(1), "low": None, "high": None}
