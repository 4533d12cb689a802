from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.config import ReadingSettings
from imageclef.errors import DataError
from imageclef.service.served.gallery import Gallery


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def test_nothing_but_pixels_is_served(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010E] = "DOE^JANE 1970-01-01"
    Image.new("RGB", (60, 40), "red").save(path, exif=exif, comment=b"DOE^JANE")
    gallery = Gallery({"a": path})
    for data in (gallery.original("a"), gallery.thumbnail("a", 64)):
        assert b"DOE" not in data
        assert not opened(data).getexif()


def test_a_turned_photograph_is_served_upright(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    gallery = Gallery({"a": path})
    assert opened(gallery.original("a")).size == (40, 60)
    assert opened(gallery.thumbnail("a", 64)).size == (40, 60)


def test_deep_grey_becomes_eight_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    deep = np.linspace(1000, 3000, 600).reshape(20, 30).astype(np.uint16)
    Image.fromarray(deep).save(path)
    served = np.asarray(opened(Gallery({"a": path}).original("a")))
    assert served.dtype == np.uint8
    assert np.array_equal(served, np.rint((deep - 1000.0) * 255 / 2000).astype(np.uint8))


def test_a_format_that_the_exact_reader_leaves_out_comes_by_the_decoder(tmp_path: Path) -> None:
    path = tmp_path / "a.tga"
    Image.linear_gradient("L").resize((80, 40)).save(path)
    served = opened(Gallery({"a": path}).original("a"))
    assert served.size == (80, 40)


@pytest.mark.parametrize("damage", ["gone", "text", "cut"])
def test_a_file_that_can_no_longer_be_read_is_a_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((200, 200), 90).save(path)
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"text" if damage == "text" else data[: len(data) // 2])
    gallery = Gallery({"a": path})
    for serve in (gallery.original, lambda image_id: gallery.thumbnail(image_id, 64)):
        with pytest.raises(DataError, match="the file of image 'a' cannot be read any more"):
            serve("a")


def test_a_file_that_grew_since_it_was_ingested_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (6000, 4001)).save(path)
    with pytest.raises(DataError, match="cannot be read any more"):
        Gallery({"a": path}).original("a")


def test_another_file_in_its_place_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("L", (64, 64), 10).save(path)
    gallery = Gallery({"a": path})
    before, tag = gallery.thumbnail("a", 64), gallery.tag("a")
    assert gallery.tag("a") == tag
    Image.new("L", (64, 64), 200).save(tmp_path / "new.png")
    (tmp_path / "new.png").replace(path)
    assert gallery.tag("a") != tag
    assert opened(gallery.thumbnail("a", 64)).getpixel((5, 5)) == 200
    assert gallery.thumbnail("a", 64) != before


def test_a_dicom_picture_is_windowed_and_keeps_its_shape(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra [dicom]")
    from tests.images.dicom.made_up import write

    ramp = np.tile(np.arange(0, 4000, 50, dtype=np.uint16), (20, 1))
    write(tmp_path / "IM1", ramp, PatientName="DOE^JANE")
    gallery = Gallery({"a": tmp_path / "IM1"}, ReadingSettings(window="2000/1000"))
    whole = gallery.original("a")
    assert b"DOE" not in whole
    served = np.asarray(opened(whole))
    assert served.shape == (20, 80)
    assert opened(gallery.thumbnail("a", 64)).size == (64, 16)
    # The window spans the values from 1500 to 2500: 0 below, 255 above.
    assert served[:, :30].max() == 0
    assert served[:, 51:].min() == 255
