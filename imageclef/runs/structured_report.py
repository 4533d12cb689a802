"""Answers go back to the archive: a DICOM Structured Report for each image.

A report is a measurement report (TID 1500) with one group for each finding: its UMLS concept, how certain it
is, the image and frame it was found in, and the model with its digest and threshold. It is complete, and
neither verified nor final: nobody has looked at it. Its times are those of the answers, and its instance,
series and tracking UIDs follow from what it says, so that the same answers make the same bytes.

A Structured Report belongs to a patient, whose name and dates DICOM has it repeat from the image: it is for
the archive that the image is from. What `imageclef.runs.findings` writes holds no such thing.

Reference: DICOM PS3.16, TID 1500 and TID 1501; table 8-1 (UMLS as a coding scheme).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import dcmread
from pydicom.dataset import Dataset

from imageclef.errors import ArtifactError, DataError
from imageclef.images.dicom.recognition import file_and_frame
from imageclef.runs.findings import Finding, Model, check_findings

_MAKER = "imageclef"
DIGEST_NAME, THRESHOLD_NAME = "model sha256 ", "threshold "
_LONGEST_MEANING = 64
_DEFERRED = 2**16
_SERIES_NUMBER = 9000
"""High, so that reports come after the series of the scanner."""

_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")
_DEVICE = CodedConcept("121007", "DCM", "Device")
CERTAINTY = CodedConcept("111012", "DCM", "Certainty of Finding")
_PERCENT = CodedConcept("%", "UCUM", "Percent")

# highdicom warns of what the image's own header lacks, and quotes it.
warnings.filterwarnings("ignore", module="highdicom")


def write_structured_report(image: Path, findings: Sequence[Finding], model: Model, out: Path) -> str:
    """Write the report of one image.

    Args:
        image: the DICOM file, whose patient and study the report has; with ``#3`` for its third frame.
        findings: of the image; none makes a report without findings.
        model: what made them.
        out: the file to write.

    Returns:
        The report's SOP Instance UID.

    Raises:
        DataError: a finding or the model cannot be written so, or the image cannot be read.
        ArtifactError: `out` cannot be written.
    """
    check_findings(findings, model)
    file, number = file_and_frame(image)
    header = _header(file)
    frame = _frame(image, header, number)
    said = _lines(header, frame, findings, model)
    try:
        report = ComprehensiveSR(
            evidence=[header],
            content=_content(header, frame, findings, model, said),
            series_instance_uid=_uid("series", str(header.StudyInstanceUID), model.digest),
            series_number=_SERIES_NUMBER,
            sop_instance_uid=_uid("report", said),
            instance_number=frame or 1,
            manufacturer=_MAKER,
            is_complete=True,
            is_verified=False,
            is_final=False,
        )
        # highdicom writes Latin-1, in which neither every patient's name nor every concept's can be written.
        report.SpecificCharacterSet = "ISO_IR 192"
        _date(report, model.made)
        report.save_as(out)
    except OSError as error:
        raise ArtifactError(f"{out}: {error.strerror}; expected a place for a report") from None
    except Exception as error:  # highdicom lets through whatever it misses in the header
        raise DataError(f"{image}: no report can be made of it ({type(error).__name__})") from None
    return str(report.SOPInstanceUID)


def _header(image: Path) -> Dataset:
    """The header of the image, as highdicom needs it."""
    try:
        header = dcmread(image, _DEFERRED, stop_before_pixels=True)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            if not header.get(keyword):
                raise DataError(f"{image}: no {keyword}; expected an image from an archive")
    except DataError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise DataError(f"{image}: {reason}; expected a DICOM image") from None
    # What a report takes over may be missing from files that have been through other hands.
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID"):
        if keyword not in header:
            setattr(header, keyword, "")
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"):
        if keyword not in header:
            setattr(header, keyword, "")
    return header


def _frame(image: Path, header: Dataset, number: int) -> int | None:
    """The number of the frame that is meant, None for an image of one frame."""
    count = int(header.get("NumberOfFrames") or 1)
    if number > count:
        raise DataError(f"{image}: no frame {number} among {count}; expected a frame of the image")
    return number if count > 1 else None


def _lines(header: Dataset, frame: int | None, findings: Sequence[Finding], model: Model) -> str:
    """Everything that a report says, as text."""
    parts = [str(header.SOPInstanceUID), str(frame), *model.as_json().values()]
    parts += [f"{one.concept}\t{one.name}\t{one.score!r}\t{one.threshold!r}" for one in findings]
    return "\n".join(parts)


def _date(report: Dataset, made: datetime) -> None:
    """Put the time of the answers, in that of the place, where highdicom put that of the writing."""
    local = made.astimezone()
    for kind in ("Content", "InstanceCreation"):
        setattr(report, f"{kind}Date", f"{local:%Y%m%d}")
        setattr(report, f"{kind}Time", f"{local:%H%M%S}")
    for equipment in report.get("ContributingEquipmentSequence", ()):
        equipment.ContributionDateTime = f"{local:%Y%m%d%H%M%S}"


def _content(
    header: Dataset, frame: int | None, findings: Sequence[Finding], model: Model, said: str
) -> MeasurementReport:
    device = DeviceObserverIdentifyingAttributes(
        uid=_uid("model", model.digest), name=_MAKER, manufacturer_name=_MAKER, model_name=model.name[:64]
    )
    observer = ObservationContext(
        observer_device_context=ObserverContext(observer_type=_DEVICE, observer_identifying_attributes=device)
    )
    source = SourceImageForMeasurementGroup(
        str(header.SOPClassUID), str(header.SOPInstanceUID), [frame] if frame is not None else None
    )
    subjects: list[Finding | None] = list(findings) or [None]
    groups = [_group(subject, source, model, said) for subject in subjects]
    return MeasurementReport(
        observation_context=observer, procedure_reported=_PROCEDURE, imaging_measurements=groups
    )


def _group(
    finding: Finding | None, source: SourceImageForMeasurementGroup, model: Model, said: str
) -> MeasurementsAndQualitativeEvaluations:
    """The group of a finding; without one it says which image was looked at, and by what."""
    concept = finding.concept if finding else "no finding"
    parameters = [DIGEST_NAME + model.digest]
    if finding and finding.threshold is not None:
        parameters.append(f"{THRESHOLD_NAME}{finding.threshold:.7g}")
    algorithm = AlgorithmIdentification(name=model.name[:64], version=model.version, parameters=parameters)
    kind, certainty = None, None
    if finding:
        kind = CodedConcept(concept, "UMLS", (finding.name or concept)[:_LONGEST_MEANING])
    if finding and finding.score is not None:
        percent = float(f"{100 * finding.score:.7g}")
        certainty = [Measurement(name=CERTAINTY, value=percent, unit=_PERCENT)]
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=_uid("finding", concept, said), identifier=concept),
        finding_type=kind,
        algorithm_id=algorithm,
        measurements=certainty,
        source_images=[source],
    )


def _uid(*parts: str) -> str:
    """A UID that follows from the parts, of the form that is made of a UUID (PS3.5, B.2)."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
