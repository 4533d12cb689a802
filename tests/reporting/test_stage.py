from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from imageclef.errors import ArtifactError, ConfigError
from imageclef.runs.evaluate import evaluate_run
from imageclef.stages.reporting import report_runs
from tests.reporting.made_up import EDITION, drawn, write_lists


def test_a_report_is_two_files(tmp_path: Path) -> None:
    truth, answers, _ = drawn(9)
    runs = [
        write_lists(tmp_path / "runs" / f"{name}.csv", of) for name, of in (("one", answers), ("two", truth))
    ]
    truth_path = write_lists(tmp_path / "truth.csv", truth)
    (tmp_path / "images").mkdir()
    for image_id in truth:
        Image.new("L", (20, 10)).save(tmp_path / "images" / f"{image_id}.png")
    (tmp_path / "images" / f"{next(iter(truth))}.png").unlink()
    (tmp_path / "names.csv").write_text("CUI,name\nC0000000,Lung\n")
    (tmp_path / "groups.csv").write_text(
        "ID,group,source\n" + "".join(f"{i},g{i},s\n" for i in list(truth)[:-1])
    )
    report = report_runs(
        runs,
        truth_path,
        tmp_path / "new" / "report.html",
        images=tmp_path / "images",
        groups=tmp_path / "groups.csv",
        sources="source",
        concept_names=tmp_path / "names.csv",
    )
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    facts = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    assert [Path(path).name for path in report.wrote] == ["report.html", "report.json"]
    assert page.startswith("<!DOCTYPE html>")
    assert "data:image/jpeg;base64," in page
    assert "Lung" in page
    assert sorted(path.name for path in (tmp_path / "new").glob("[!.]*")) == ["report.html", "report.json"]
    for run, of_run in zip(runs, facts["runs"], strict=True):
        score = evaluate_run(run, truth_path, EDITION).score
        assert of_run["f1"]["value"] == score == report.figures["runs"][run.stem]["f1"]
    assert "names of 1 of 6 concepts" in " ".join(report.read)
    assert report.notes[0].startswith("1 image not in ")
    assert "1 image without a group: each is one of its own" in page
    before = page
    report_runs(runs, truth_path, tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") != before


def test_the_same_inputs_make_the_same_bytes(tmp_path: Path) -> None:
    truth, answers, _ = drawn(10)
    run, path = write_lists(tmp_path / "run.csv", answers), write_lists(tmp_path / "truth.csv", truth)
    made = []
    for name in ("a", "b"):
        report_runs([run], path, tmp_path / f"{name}.html")
        made.append([(tmp_path / f"{name}{suffix}").read_bytes() for suffix in (".html", ".json")])
    assert made[0] == made[1]


def test_nothing_that_was_read_is_overwritten(tmp_path: Path) -> None:
    run, truth = (
        write_lists(tmp_path / "run.csv", {"a": ("C1",)}),
        write_lists(tmp_path / "t.csv", {"a": ("C1",)}),
    )
    run.with_suffix(".json").write_text("{}")
    for name in ("run.html", "t.csv"):
        with pytest.raises((ArtifactError, ConfigError), match=r"run\.json: |t\.csv: "):
            report_runs([run], truth, tmp_path / name, force=True)
    assert run.with_suffix(".json").read_text() == "{}"
    with pytest.raises(
        ConfigError, match=r"report\.json: a report is a page; expected a name that ends in \.html"
    ):
        report_runs([run], truth, tmp_path / "report.json")


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run, truth = (
        write_lists(tmp_path / "run.csv", {"a": ("C1",)}),
        write_lists(tmp_path / "t.csv", {"a": ("C1",)}),
    )
    with pytest.raises(ArtifactError, match=r"run\.csv: .*; expected a folder that x\.html can"):
        report_runs([run], truth, run / "x.html")
