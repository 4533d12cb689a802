"""`POST /preview`: what a browser cannot draw itself."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.service.rest.asking import post, sentence

RAMP = np.tile(np.arange(0, 4000, 4, dtype=np.uint16), (500, 1))


def drawn(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(BytesIO(response.content)).convert("L")).astype(int)


@pytest.mark.parametrize("suffix", ["tiff", "png"])
def test_sixteen_bits_are_shown_over_their_whole_range(client: httpx.Client, suffix: str) -> None:
    written = BytesIO()
    Image.fromarray(RAMP).save(written, suffix)
    seen = drawn(post(client, "/preview", written.getvalue()))
    assert seen.shape == (256, 512)
    assert seen[:, :5].max() < 10
    assert seen[:, -5:].min() > 245


def test_dicom_is_shown(client: httpx.Client, tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    from tests.images.dicom.made_up import write

    write(tmp_path / "IM1", RAMP, PatientName="DOE^JANE")
    response = post(client, "/preview", tmp_path / "IM1")
    assert b"DOE" not in response.content
    seen = drawn(response)
    assert seen[:, :5].max() < 10
    assert seen[:, -5:].min() > 245


@pytest.mark.parametrize("data", [b"", b"I am no picture"])
def test_what_cannot_be_read_is_a_sentence(client: httpx.Client, data: bytes) -> None:
    response = post(client, "/preview", data)
    assert response.status_code == 422
    assert "expected an image" in sentence(response)
