from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imageclef.errors import DataError
from imageclef.runs.findings import Finding, Model, check_findings, write_json_lines

MADE = datetime(2018, 4, 30, 12, 17, 5, tzinfo=UTC)
MODEL = Model("aae-500-o0", "0.5.0", "0123456789abcdef" * 4, MADE)
FINDINGS = [Finding("C0040405", 0.875, "X-Ray Computed Tomography"), Finding("C0817096", 0.25)]


def test_json_lines(tmp_path: Path) -> None:
    answers: list[tuple[str, list[Finding]]] = [("1.2.3#4", FINDINGS), ("ä", [])]
    assert write_json_lines(tmp_path / "a.jsonl", answers, MODEL) == 2
    lines: list[Any] = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    model = {"name": MODEL.name, "version": MODEL.version, "sha256": MODEL.digest}
    model["made"] = "2018-04-30T12:17:05+00:00"
    assert lines == [
        {
            "image": "1.2.3#4",
            "findings": [
                {
                    "scheme": "UMLS",
                    "concept": "C0040405",
                    "name": "X-Ray Computed Tomography",
                    "score": 0.875,
                },
                {"scheme": "UMLS", "concept": "C0817096", "score": 0.25},
            ],
            "model": model,
        },
        {"image": "ä", "findings": [], "model": model},
    ]


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (Finding("pneumonia"), "finding 'pneumonia'; expected a UMLS concept such as C0040405"),
        (Finding("C0040405"), "finding 'C0040405' appears twice"),
        (Finding("C1", -0.1), "finding 'C1': score -0.1; expected 0 to 1"),
        (Finding("C1", float("inf")), "finding 'C1': score inf; expected 0 to 1"),
    ],
)
def test_what_is_no_finding_is_refused(tmp_path: Path, finding: Finding, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        check_findings([*FINDINGS, finding], MODEL)
    with pytest.raises(DataError, match=reason):
        write_json_lines(tmp_path / "a.jsonl", [("a", [*FINDINGS, finding])], MODEL)


def test_a_score_may_be_missing(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "a.jsonl", [("a", [Finding("C1")])], MODEL)
    (line,) = (tmp_path / "a.jsonl").read_text().splitlines()
    assert json.loads(line)["findings"] == [{"scheme": "UMLS", "concept": "C1"}]
