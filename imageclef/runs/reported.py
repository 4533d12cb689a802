"""Structured Reports are read back as what they say, with highdicom's own reader.

Reference: DICOM PS3.16, TID 1500 and TID 1501.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from highdicom.sr import CodedConcept, MeasurementReport, MeasurementsAndQualitativeEvaluations, srread
from pydicom.dataset import Dataset

from imageclef.errors import DataError
from imageclef.runs.findings import Finding, Model
from imageclef.runs.structured_report import CERTAINTY, DIGEST_NAME, THRESHOLD_NAME


@dataclass(frozen=True)
class Reported:
    """What a report says.

    Attributes:
        instance: SOP Instance UID of the image.
        frame: its number, from 1; None for an image of one frame.
        findings: in the report's order.
        model: what made them.
    """

    instance: str
    frame: int | None
    findings: tuple[Finding, ...]
    model: Model


def read_structured_report(path: Path) -> Reported:
    """Read a report that `imageclef.runs.structured_report` wrote.

    Raises:
        DataError: it cannot be read, or is not such a report.
    """
    try:
        report = srread(path)
        content = report.content
        if not isinstance(content, MeasurementReport):
            raise DataError(f"{path}: another kind of report; expected a report of findings")
        groups = content.get_image_measurement_groups()
        sources = [source for group in groups for source in group.source_images]
        frames = sources[0].referenced_frame_numbers
        model = _model_of(groups[0], _made(report))
        kinds = [(group, group.finding_type) for group in groups]
        findings = tuple(_finding_of(group, kind) for group, kind in kinds if kind is not None)
        return Reported(
            str(sources[0].referenced_sop_instance_uid), int(frames[0]) if frames else None, findings, model
        )
    except DataError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise DataError(f"{path}: {reason}; expected a report of findings") from None


def _finding_of(group: MeasurementsAndQualitativeEvaluations, kind: CodedConcept) -> Finding:
    if kind.scheme_designator != "UMLS":
        raise ValueError("a finding of another coding scheme")
    certainty = group.get_measurements(CERTAINTY)
    score = float(certainty[0].value) / 100 if certainty else None
    name = "" if kind.meaning == kind.value else str(kind.meaning)
    cuts = [text for text in _texts(group, "Algorithm Parameters") if text.startswith(THRESHOLD_NAME)]
    return Finding(str(kind.value), score, name, float(cuts[0].split()[1]) if cuts else None)


def _made(report: Dataset) -> datetime:
    return datetime.strptime(f"{report.ContentDate}{report.ContentTime}", "%Y%m%d%H%M%S").astimezone()


def _model_of(group: MeasurementsAndQualitativeEvaluations, made: datetime) -> Model:
    (name,), (version,) = _texts(group, "Algorithm Name"), _texts(group, "Algorithm Version")
    digest = _texts(group, "Algorithm Parameters")[0].removeprefix(DIGEST_NAME)
    return Model(name, version, digest, made)


def _texts(group: MeasurementsAndQualitativeEvaluations, meaning: str) -> list[str]:
    """What a group says as text under a name."""
    return [
        str(item.TextValue)
        for item in group[0].ContentSequence
        if item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]
