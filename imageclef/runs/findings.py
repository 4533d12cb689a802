"""What is said of an image outside of the project: its findings, and the model that made them; as JSON lines.

One line for each image. No line holds anything of a DICOM header but the image's id.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imageclef.data.list_lines import CONCEPT
from imageclef.errors import DataError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_CODE = 16
"""Characters of a code in DICOM (PS3.5, SH)."""


@dataclass(frozen=True)
class Finding:
    """A concept in an image.

    Attributes:
        concept: its UMLS identifier.
        score: how certain it is, from 0 to 1; None where that is not known.
        name: of the concept; its identifier where that is empty.
        threshold: the score from which the concept was answered; None where that is not known.
    """

    concept: str
    score: float | None = None
    name: str = ""
    threshold: float | None = None


@dataclass(frozen=True)
class Model:
    """What made the answers.

    Attributes:
        name: of the run or model.
        version: of the program.
        digest: sha256 of the model's files, in hexadecimal.
        made: when it gave the answers, in whole seconds, with a time zone.
    """

    name: str
    version: str
    digest: str
    made: datetime

    def as_json(self) -> dict[str, str]:
        """As JSON values."""
        made = self.made.astimezone(UTC).isoformat(timespec="seconds")
        return {"name": self.name, "version": self.version, "sha256": self.digest, "made": made}


def check_findings(findings: Sequence[Finding], model: Model) -> None:
    """Check what is to be said of an image.

    Raises:
        DataError: a finding is no UMLS concept, appears twice, or has a score that is none; or the model's
            digest is no sha256.
    """
    if not _DIGEST.fullmatch(model.digest):
        raise DataError(f"model '{model.name}': digest '{model.digest}'; expected 64 hexadecimal digits")
    seen: set[str] = set()
    for finding in findings:
        concept = finding.concept
        if not CONCEPT.fullmatch(concept) or len(concept) > _LONGEST_CODE:
            raise DataError(f"finding '{concept}'; expected a UMLS concept such as C0040405")
        if concept in seen:
            raise DataError(f"finding '{concept}' appears twice")
        seen.add(concept)
        for what, number in (("score", finding.score), ("threshold", finding.threshold)):
            if number is not None and not (math.isfinite(number) and 0 <= number <= 1):
                raise DataError(f"finding '{concept}': {what} {number}; expected 0 to 1")


def write_json_lines(out: Path, answers: Iterable[tuple[str, Sequence[Finding]]], model: Model) -> int:
    """Write one line for each image: its id, its findings, and the model's digest.

    Args:
        out: the file, made anew.
        answers: image id and findings.
        model: what made them.

    Returns:
        The number of lines.

    Raises:
        DataError: a finding or the model cannot be written so.
    """
    count = 0
    with out.open("w", encoding="utf-8", newline="\n") as file:
        for image_id, findings in answers:
            check_findings(findings, model)
            line = {
                "image": image_id,
                "findings": [_as_json(finding) for finding in findings],
                "model": model.as_json(),
            }
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def _as_json(finding: Finding) -> dict[str, Any]:
    named = {"name": finding.name} if finding.name else {}
    numbers = {"score": finding.score, "threshold": finding.threshold}
    known = {key: round(float(number), 6) for key, number in numbers.items() if number is not None}
    return {"scheme": "UMLS", "concept": finding.concept, **named, **known}
