"""From a run to what the archive gets: `imageclef.stages.findings_out`."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_array

from imageclef import stages
from imageclef.config import Config
from imageclef.errors import ArtifactError, ConfigError, DataError, MissingArtifact
from imageclef.runs.reported import read_structured_report
from imageclef.runs.scores import SCORES, Scores
from imageclef.stages import findings_out as module
from imageclef.stages.findings_out import findings
from tests.images.dicom.made_up import write

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)
UIDS = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5"}
DIGEST = "0123456789abcdef" * 4
RUN = "1.1\tC0000001;C0000002\n1.2#1\tC0000002\n1.2#2\t\nplain\tC0000001\n1.9\t\n"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """An ingested collection: a file of one frame, one of two, one of no study, and a picture."""
    folder = tmp_path_factory.mktemp("dicom")
    images = folder / "images"
    images.mkdir()
    write(images / "IM1", RAMP, SOPInstanceUID="1.1", PatientName="DOE^JANE", PatientID="77", **UIDS)
    write(images / "IM2", np.stack([RAMP, RAMP]), SOPInstanceUID="1.2", **UIDS)
    write(images / "IM3", RAMP, SOPInstanceUID="1.3")
    Image.fromarray(RAMP.astype(np.uint8)).save(images / "plain.png")
    config = Config.model_validate(
        {
            "workspace": folder / "artifacts",
            "device": "cpu",
            "collections": {"test": {"images": images}},
            "learner": {"name": "pixels"},
            "ingest": {"workers": 1, "frames": "all", "salt": folder / "salt"},
        }
    )
    stages.ingest(config)
    return config


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with its scores and thresholds."""
    path = tmp_path / "aae.csv"
    path.write_text(RUN)
    facts = {"run": "aae-2-o0", "collection": "test", "made_from": {"classifier": DIGEST, "features": "x"}}
    path.with_suffix(".json").write_text(json.dumps(facts))
    path.with_suffix("").mkdir()
    scores = csr_array(np.array([[0.75, 0.5], [0.125, 0.625]], np.float32))
    Scores(["1.1", "1.2#1"], ("C0000001", "C0000002"), scores).write(path.with_suffix("") / SCORES)
    (path.with_suffix("") / "concepts.csv").write_text("concept,threshold\nC0000001,0.25\nC0000002,0.375\n")
    return path


def said(path: Path) -> tuple[str, int | None, list[tuple[str, float | None, float | None]]]:
    report = read_structured_report(path)
    assert (report.model.name, report.model.digest) == ("aae-2-o0", DIGEST)
    return (
        report.instance,
        report.frame,
        [(finding.concept, finding.score, finding.threshold) for finding in report.findings],
    )


def test_every_dicom_image_gets_its_report(config: Config, run: Path, tmp_path: Path) -> None:
    report = findings(config, run, tmp_path / "out")
    reports = sorted(path.name for path in (tmp_path / "out").glob("*.dcm"))
    assert reports == ["1.1.dcm", "1.2#1.dcm", "1.2#2.dcm"]
    expected = [("C0000001", 0.75, 0.25), ("C0000002", 0.5, 0.375)]
    assert said(tmp_path / "out" / "1.1.dcm") == ("1.1", None, expected)
    assert said(tmp_path / "out" / "1.2#1.dcm") == ("1.2", 1, [("C0000002", 0.625, 0.375)])
    assert said(tmp_path / "out" / "1.2#2.dcm") == ("1.2", 2, [])
    assert report.figures == {"images": 5, "form": "sr", "model": DIGEST, "reports": 3, "left_out": 2}
    assert "2 images without a report: plain (no DICOM file), 1.9 (no DICOM file)" in report.notes[0]


def test_what_cannot_have_a_report_is_named_and_the_others_have_theirs(
    config: Config, run: Path, tmp_path: Path
) -> None:
    run.write_text("1.3\tC0000001\n1.1\tC0000001\n")
    findings(config, run, tmp_path / "out")
    with (tmp_path / "out" / "left-out.csv").open() as file:
        ((image_id, reason),) = list(csv.reader(file))[1:]
    assert image_id == "1.3"
    assert reason.endswith("IM3: no StudyInstanceUID; expected an image from an archive")
    assert (tmp_path / "out" / "1.1.dcm").is_file()


def test_json_lines_are_of_any_image(config: Config, run: Path, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("concept,name\nC0000002,Computed tomography\n")
    report = findings(config, run, tmp_path / "out", form="jsonl", concept_names=tmp_path / "names.csv")
    lines = [json.loads(line) for line in (tmp_path / "out" / "findings.jsonl").read_text().splitlines()]
    assert [line["image"] for line in lines] == ["1.1", "1.2#1", "1.2#2", "plain", "1.9"]
    assert lines[1]["findings"] == [
        {
            "scheme": "UMLS",
            "concept": "C0000002",
            "name": "Computed tomography",
            "score": 0.625,
            "threshold": 0.375,
        }
    ]
    assert lines[3]["findings"] == [{"scheme": "UMLS", "concept": "C0000001", "threshold": 0.25}]
    assert lines[0]["model"]["sha256"] == DIGEST
    assert report.figures == {"images": 5, "form": "jsonl", "model": DIGEST}


def test_a_bare_run_is_its_own_model(config: Config, run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text(RUN)
    with pytest.raises(ConfigError, match=r"bare.csv: nothing says whose images it answers; expected --coll"):
        findings(config, bare, tmp_path / "out")
    findings(config, bare, tmp_path / "out", collection="test")
    report = read_structured_report(tmp_path / "out" / "1.1.dcm")
    assert (report.model.name, len(report.model.digest)) == ("bare", 64)
    assert [finding.score for finding in report.findings] == [None, None]
    bare.write_text(RUN.replace("1.9\t\n", ""))
    findings(config, bare, tmp_path / "out", collection="test")
    assert read_structured_report(tmp_path / "out" / "1.1.dcm").model.digest != report.model.digest


def test_the_same_command_again_writes_nothing(config: Config, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    findings(config, run, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    again = findings(config, run, out)
    assert again.wrote == []
    assert again.figures["reports"] == 3
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    run.write_text(RUN.replace("C0000001;", ""))
    assert findings(config, run, out).wrote
    assert said(out / "1.1.dcm")[2] == [("C0000002", 0.5, 0.375)]


def test_reports_of_a_process_that_was_stopped_are_kept(
    config: Config, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imageclef.runs import structured_report

    really, written = structured_report.write_structured_report, []

    def second_stops(image: Path, *rest: Any) -> str:
        written.append(image.name)
        if len(written) == 2:
            rest[-1].write_bytes(b"half")
            raise KeyboardInterrupt("stopped")
        return really(image, *rest)

    monkeypatch.setattr(structured_report, "write_structured_report", second_stops)
    with pytest.raises(KeyboardInterrupt, match="stopped"):
        findings(config, run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    findings(config, run, tmp_path / "out")
    assert written == ["IM1", "IM2#1", "IM2#1", "IM2#2"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1.1.dcm", "1.2#1.dcm", "1.2#2.dcm", "left-out.csv", "manifest.json"]


def test_a_folder_of_something_else_is_left_alone(config: Config, run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    findings(config, run, tmp_path / "out")
    for place in (tmp_path, run, config.workspace / "collections" / "test"):
        with pytest.raises(ArtifactError, match=re.escape(f"{place}: ")):
            findings(config, run, place)
    assert run.read_text() == RUN


def test_a_disk_that_is_full_ends_the_stage(
    config: Config, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from highdicom.sr import ComprehensiveSR

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ComprehensiveSR, "save_as", full)
    with pytest.raises(ArtifactError, match="No space left on device"):
        findings(config, run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said(config: Config, run: Path, tmp_path: Path) -> None:
    (run.with_suffix("") / SCORES).unlink()
    run.write_text("plain\tC0000001\n")
    with pytest.raises(DataError, match=r"none of its 1 images is a DICOM file of collection test; expected"):
        findings(config, run, tmp_path / "out")
    with pytest.raises(ConfigError, match="no collection 'valid' in the configuration"):
        findings(config, run, tmp_path / "out", collection="valid")
    with pytest.raises(ConfigError, match="findings: form 'pdf'; expected sr or jsonl"):
        findings(config, run, tmp_path / "out", form="pdf")  # type: ignore[arg-type]
    elsewhere = config.model_copy(update={"workspace": tmp_path / "none"})
    with pytest.raises(MissingArtifact, match="imageclef ingest"):
        findings(elsewhere, run, tmp_path / "out")


def test_a_run_by_other_means_is_known_by_what_it_was_made_from(run: Path) -> None:
    digests = {
        module._digest(run, {"made_from": made_from})
        for made_from in ({"index": "a"}, {"index": "b"}, {"one": "a", "two": "b"}, {})
    }
    assert len(digests) == 4
    assert module._digest(run, {"made_from": {"classifier": DIGEST, "features": "x"}}) == DIGEST
