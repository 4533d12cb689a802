from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.errors import ImageRefused
from imageclef.images.rendering import MAX_SIDE, jpeg_preview
from tests.images.dicom.made_up import write
from tests.images.made_up import Save, smooth


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=["JPEG"])
    image.load()
    return image


def test_a_dicom_file_can_be_shown(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 60, (48, 1))
    shown = opened(jpeg_preview(write(tmp_path / "query", ramp)))
    assert (shown.mode, shown.size) == ("L", (64, 48))
    np.testing.assert_allclose(np.asarray(shown)[20], np.linspace(0, 255, 64), atol=4)


def test_a_frame_can_be_shown(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16), level, np.uint8) for level in (10, 200)])
    write(tmp_path / "query", frames)
    assert abs(float(np.asarray(opened(jpeg_preview(tmp_path / "query#2"))).mean()) - 200) < 2


def test_a_deep_tiff_can_be_shown(save: Save) -> None:
    values = np.tile(np.arange(64, dtype=np.uint16) * 10, (64, 1))
    assert np.asarray(opened(jpeg_preview(save(Image.fromarray(values), "a.tif")))).max() > 250


def test_colours_and_proportions_stay(save: Save) -> None:
    path = save(Image.fromarray(smooth(300, 150)), "a.bmp")
    shown = opened(jpeg_preview(path, 100))
    assert (shown.mode, shown.size) == ("RGB", (100, 50))


def test_a_preview_is_bounded(save: Save) -> None:
    path = save(Image.new("L", (3000, 200)), "a.png")
    assert max(opened(jpeg_preview(path, 10**6)).size) == MAX_SIDE


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("text")
    with pytest.raises(ImageRefused, match=r"^not an image: ") as refused:
        jpeg_preview(tmp_path / "a.dcm")
    assert refused.value.kind == "not an image"
