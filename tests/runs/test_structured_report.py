from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from highdicom.sr import srread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.sr.coding import Code

from imageclef.errors import ArtifactError, DataError
from imageclef.runs.findings import Finding, Model
from imageclef.runs.reported import read_structured_report
from imageclef.runs.structured_report import write_structured_report
from tests.images.dicom.made_up import UID_OF_IMAGE, write
from tests.runs.reports import FINDINGS, MADE, MODEL, UIDS


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=st.dictionaries(
        st.integers(0, 9_999_999).map(lambda n: f"C{n:07}"),
        st.one_of(st.none(), st.floats(0, 1)),
        max_size=5,
    ),
    frame=st.one_of(st.none(), st.integers(1, 500)),
)
def test_any_findings_are_read_back(
    tmp_path: Path, scores: dict[str, float | None], frame: int | None
) -> None:
    name = "one" if frame is None else f"many#{frame}"
    write(tmp_path / "one", np.zeros((4, 4), np.uint16), **UIDS)
    write(tmp_path / "many", np.zeros((4, 4), np.uint16), NumberOfFrames=500, **UIDS)
    findings = [Finding(concept, score) for concept, score in scores.items()]
    write_structured_report(tmp_path / name, findings, MODEL, tmp_path / "a.dcm")
    read = read_structured_report(tmp_path / "a.dcm")
    assert (read.instance, read.frame, read.model) == (UID_OF_IMAGE, frame, MODEL)
    assert [finding.concept for finding in read.findings] == list(scores)
    for finding in read.findings:
        expected = scores[finding.concept]
        assert finding.score == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_the_same_answers_make_the_same_bytes(image: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_structured_report(image, FINDINGS, MODEL, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    later = replace(MODEL, made=MADE + timedelta(seconds=1))
    first = write_structured_report(image, FINDINGS, MODEL, tmp_path / "a")
    assert write_structured_report(image, FINDINGS, later, tmp_path / "b") != first
    assert read_structured_report(tmp_path / "b").model.made == later.made


def test_findings_are_coded_in_umls(image: Path, tmp_path: Path) -> None:
    write_structured_report(image, FINDINGS, MODEL, tmp_path / "a.dcm")
    report = srread(tmp_path / "a.dcm")
    assert report.SOPClassUID.name == "Comprehensive SR Storage"
    first, second = report.content.get_image_measurement_groups()
    assert first.finding_type == Code("C0040405", "UMLS", "X-Ray Computed Tomography")
    assert (second.finding_type.value, second.finding_type.meaning) == ("C0817096", "C0817096")
    (certainty,) = first.get_measurements()
    assert (certainty.name.meaning, certainty.value, certainty.unit.value) == (
        "Certainty of Finding",
        87.5,
        "%",
    )
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_a_report_is_of_the_images_patient_and_not_verified(tmp_path: Path) -> None:
    image = write(
        tmp_path / "image",
        np.zeros((4, 4), np.uint16),
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Ünal^山田",
        PatientID="77",
        AccessionNumber="A1",
        **UIDS,
    )
    write_structured_report(image, [Finding("C0040405", 1.0, "β")], MODEL, tmp_path / "a.dcm")
    report = dcmread(tmp_path / "a.dcm")
    assert (report.PatientName, report.PatientID, report.AccessionNumber) == ("Ünal^山田", "77", "A1")
    assert report.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert report.SeriesInstanceUID != UIDS["SeriesInstanceUID"]
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == UID_OF_IMAGE
    assert read_structured_report(tmp_path / "a.dcm").findings[0].name == "β"


def test_uids_follow_from_what_is_said(image: Path, tmp_path: Path) -> None:
    many = write(tmp_path / "many", np.zeros((2, 4, 4), np.uint16), **UIDS)

    def uid(*findings: Finding, of: Path = image, model: Model = MODEL) -> str:
        return write_structured_report(of, findings, model, tmp_path / "a.dcm")

    other = replace(MODEL, digest="f" * 64)
    first = uid(*FINDINGS)
    assert uid(*FINDINGS) == first
    different = [uid(), uid(*FINDINGS[:1]), uid(*FINDINGS, of=many), uid(*FINDINGS, model=other)]
    different += [uid(*FINDINGS, of=many.with_name("many#2"))]
    assert len({first, *different}) == 6
    assert all(len(each) <= 64 for each in (first, *different))
    uid(*FINDINGS, model=other)
    series = dcmread(tmp_path / "a.dcm").SeriesInstanceUID
    uid(*FINDINGS)
    assert dcmread(tmp_path / "a.dcm").SeriesInstanceUID != series


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "eCT_Supplemental.dcm", "US1_UNCR.dcm"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_reports_of_real_images(tmp_path: Path, name: str) -> None:
    image = Path(str(get_testdata_file(name)))
    write_structured_report(image, FINDINGS, MODEL, tmp_path / "a.dcm")
    assert read_structured_report(tmp_path / "a.dcm").findings == tuple(FINDINGS)


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (Finding("pneumonia"), "finding 'pneumonia'; expected a UMLS concept such as C0040405"),
        (Finding("C00404050000000000"), "expected a UMLS concept"),
        (Finding("C1", 1.5), "finding 'C1': score 1.5; expected 0 to 1"),
        (Finding("C1", float("nan")), "score nan; expected 0 to 1"),
        (Finding("C0040405"), "finding 'C0040405' appears twice"),
    ],
)
def test_what_is_no_finding_is_refused(image: Path, tmp_path: Path, finding: Finding, reason: str) -> None:
    out = tmp_path / "a.dcm"
    with pytest.raises(DataError, match=reason):
        write_structured_report(image, [*FINDINGS, finding], MODEL, out)
    assert not out.exists()


def test_a_model_without_its_digest_is_refused(image: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digest 'abc'; expected 64 hexadecimal digits"):
        write_structured_report(image, [], replace(MODEL, digest="abc"), tmp_path / "a.dcm")


def test_images_that_no_archive_holds_are_refused(tmp_path: Path) -> None:
    def refused(image: Path, reason: str) -> None:
        with pytest.raises(DataError, match=reason):
            write_structured_report(image, FINDINGS, MODEL, tmp_path / "a.dcm")

    refused(write(tmp_path / "b", np.zeros((4, 4), np.uint16)), "b: no StudyInstanceUID; expected an image")
    (tmp_path / "c").write_text("text")
    refused(tmp_path / "c", "c: InvalidDicomError; expected a DICOM image")
    refused(tmp_path / "d", "d: No such file or directory; expected a DICOM image")


def test_a_folder_that_cannot_be_written_is_named(image: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"none/a.dcm: No such file or directory; expected a place"):
        write_structured_report(image, FINDINGS, MODEL, tmp_path / "none" / "a.dcm")


def test_a_frame_that_the_image_has_not_is_refused(image: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image.dcm#2: no frame 2 among 1; expected a frame of the image"):
        write_structured_report(image.with_name("image.dcm#2"), FINDINGS, MODEL, tmp_path / "a.dcm")


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs dcmtk's dsrdump")
@pytest.mark.parametrize("findings", [FINDINGS, []])
def test_dcmtk_reads_reports(tmp_path: Path, findings: list[Finding]) -> None:
    image = write(
        tmp_path / "image",
        np.zeros((2, 4, 4), np.uint16),
        SpecificCharacterSet="ISO_IR 192",
        PatientName="Ünal^山田",
        **UIDS,
    )
    write_structured_report(image.with_name("image#2"), findings, MODEL, tmp_path / "a.dcm")
    command = ["dsrdump", "--print-all-codes", "--print-long-values", tmp_path / "a.dcm"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # It knows no more of Unicode than that it is not checked.
    assert [line for line in done.stderr.splitlines() if "ISO_IR 192" not in line] == []
    text = done.stdout
    for finding in findings:
        assert f'({finding.concept},UMLS,"{finding.name or finding.concept}")' in text
    assert f"model sha256 {MODEL.digest}" in text
    assert text.count("(CT image,,2)") == max(1, len(findings))
