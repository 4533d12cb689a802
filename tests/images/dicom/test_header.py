from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from imageclef.errors import ImageRefused
from imageclef.images.dicom import header
from imageclef.images.dicom.frames import describe, read_frame
from imageclef.images.dicom.header import NoPixels, number_of, opened
from tests.images.dicom.made_up import SR, write

# pydicom warns of what the tests damage; how a command keeps it quiet is tested by itself.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8)


def test_is_recognised_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "picture.png", RAMP)
    assert read_frame(path).pixels.shape == (8, 8)
    (tmp_path / "a.dcm").write_bytes(b"\x89PNG" + bytes(300))
    with pytest.raises(ImageRefused, match="not a DICOM file"), opened(tmp_path / "a.dcm"):
        pass


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, None])
def test_a_bare_data_set_is_read_on_request(tmp_path: Path, syntax: str | None) -> None:
    whole = write(tmp_path / "a", RAMP, **({"syntax": syntax} if syntax else {}))
    data = whole.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(data[data.index(b"\x08\x00\x16\x00", 300) :])
    with pytest.raises(ImageRefused, match="not a DICOM file"):
        read_frame(bare)
    np.testing.assert_array_equal(
        read_frame(bare, headerless=True).pixels, read_frame(whole, headerless=True).pixels
    )


def test_a_deflated_data_set_is_inflated(tmp_path: Path) -> None:
    plain = read_frame(write(tmp_path / "a", RAMP)).pixels
    deflated = write(tmp_path / "b", RAMP, DeflatedExplicitVRLittleEndian)
    np.testing.assert_array_equal(read_frame(deflated).pixels, plain)


def test_a_deflated_data_set_is_inflated_within_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", np.zeros((2000, 2000), np.uint16), DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(header, "MAX_INFLATED", 2**20)
    with pytest.raises(ImageRefused, match="inflates to more than 1 MiB"):
        read_frame(path)


def test_a_deflated_data_set_without_its_end_is_truncated(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP, DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageRefused, match="truncated: its deflated data set has no end"):
        read_frame(path)


def test_objects_without_pixels_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NoPixels, match="no picture in this DICOM object: Comprehensive SR Storage"):
        read_frame(write(tmp_path / "a", None, SOPClassUID=SR))
    with pytest.raises(NoPixels, match="no picture in this DICOM object: an unknown class"):
        read_frame(write(tmp_path / "b", None, SOPClassUID="1.2.3.4.5"))


def test_only_the_elements_of_the_list_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP, PatientName="DOE^JANE", PatientBirthDate="19500101", Rows=8)
    with opened(path) as read:
        assert "PatientName" not in read.dataset
        assert "PatientBirthDate" not in read.dataset
        assert number_of(read.dataset, "Rows") == 8
        with pytest.raises(ImageRefused, match="no BitsGrouped"):
            number_of(read.dataset, "BitsGrouped")


def test_a_long_table_is_read_when_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "_DEFERRED", 100)
    elements = {
        f"{colour}PaletteColorLookupTableDescriptor": [256, 0, 8] for colour in ("Red", "Green", "Blue")
    }
    data = {f"{c}PaletteColorLookupTableData": bytes(range(256)) for c in ("Red", "Green", "Blue")}
    path = write(
        tmp_path / "a", RAMP.astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", **elements, **data
    )
    assert read_frame(path).pixels[..., 0].tolist() == RAMP.tolist()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("sample")
    return write(
        folder / "a", RAMP, WindowCenter="40", WindowWidth="400", PatientName="ZZMARKERZZ^JANE"
    ).read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 1000))
def test_a_file_cut_anywhere_is_refused(sample: bytes, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut"
    path.write_bytes(sample[: min(cut, len(sample) - 1)])
    with pytest.raises(ImageRefused, match=r"truncated|not a DICOM file|damaged|no picture"):
        read_frame(path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(132, 800), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_header_is_read_or_refused(
    sample: bytes, tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    data = bytearray(sample)
    for place, value in places:
        data[place % len(data)] = value
    path = tmp_path / "damaged"
    path.write_bytes(data)
    outcome = outcome_of(path)
    assert "ZZMARKERZZ" not in outcome
    assert "\n" not in outcome


def test_a_header_of_nothing_but_elements_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a", RAMP)
    data = path.read_bytes()
    at = data.index(b"\x28\0\x02\0US")
    element = b"\x09\0\x10\0UN\0\0\0\0\0\0"
    path.write_bytes(data[:at] + element * 2000 + data[at:])
    assert read_frame(path).pixels.shape == RAMP.shape
    monkeypatch.setattr(header, "MOST_READINGS", 1500)
    with pytest.raises(ImageRefused, match="too large: a header of more than 1500 readings"):
        describe(path)
    write(path, RAMP)
    assert describe(path).frames


def outcome_of(path: Path) -> str:
    try:
        frame = read_frame(path)
    except ImageRefused as refusal:
        return str(refusal)
    return f"{frame.pixels.dtype} {frame.frame_name} {frame.applied} {describe(path)}"


def test_neither_warnings_nor_logs_quote_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a", RAMP)
    data = path.read_bytes().replace(b"CS\x02\x00CT", b"CS\x02\x00^z")
    path.write_bytes(data)
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG); from pathlib import Path; "
        "from imageclef.images.dicom.frames import read_frame; print(read_frame(Path(sys.argv[1])).applied)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == "range of its own values\n"
    assert done.stderr == ""
