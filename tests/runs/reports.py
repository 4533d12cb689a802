"""What a report says, and of which image."""

from __future__ import annotations

from datetime import UTC, datetime

from imageclef.runs.findings import Finding, Model

MADE = datetime(2018, 4, 30, 12, 17, 5, tzinfo=UTC)
MODEL = Model("aae-500-o0", "0.5.0", "0123456789abcdef" * 4, MADE)
FINDINGS = [
    Finding("C0040405", 0.875, "X-Ray Computed Tomography", threshold=0.3125),
    Finding("C0817096", 0.25),
]
UIDS = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5"}
