from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imageclef.data.collection import ImageFile
from imageclef.errors import DataError
from imageclef.features.encoding import Encoder, as_image
from imageclef.images.digests import Digests
from imageclef.images.pool import decode_guarded
from imageclef.learners.pixels import Pixels
from imageclef.learners.settings import PixelsSettings


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 30, 3)).astype(np.uint8)
        paths.append(tmp_path / f"i{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def learners() -> list[Pixels]:
    return [Pixels(PixelsSettings(image_size=size)) for size in (8, 6)]


def test_a_file_and_an_upload_of_it_are_the_same(images: list[Path]) -> None:
    encoder = Encoder(learners()[:1])
    by_file, by_upload = encoder.encode(images[0]), encoder.encode_upload(BytesIO(images[0].read_bytes()))
    np.testing.assert_array_equal(by_file.compared, by_upload.compared)
    assert by_file.digest == by_upload.digest == Digests().of(images[0])
    np.testing.assert_array_equal(by_file.compared, by_file.side_by_side)
    learner = learners()[0]
    pixels = decode_guarded(images[0], 8, learner.mode).pixels
    np.testing.assert_array_equal(by_file.at(8, learner.mode), pixels)
    expected = learner.transform(as_image(pixels)[None]).numpy()
    np.testing.assert_array_equal(by_file.compared, expected)


def test_several_learners_are_compared_at_the_length_of_their_weights(images: list[Path]) -> None:
    encoded = Encoder(learners(), weights=(3, 1)).encode(images[1])
    alone = [Encoder([learner]).encode(images[1]).compared for learner in learners()]
    np.testing.assert_array_equal(encoded.side_by_side, np.hstack(alone))
    unit = [rows / np.linalg.norm(rows) for rows in alone]
    np.testing.assert_allclose(encoded.compared, np.hstack([3**0.5 * unit[0], unit[1]]), rtol=1e-5)


def test_many_files_are_encoded_as_one_is(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(images[0].read_bytes()[:200])
    files = [ImageFile(path.stem, path.name) for path in [*images[:2], tmp_path / "cut.png", *images[2:]]]
    encoder, done = Encoder(learners(), weights=(3, 1)), []
    ids, rows, refused = encoder.encode_all(tmp_path, files, 1, done.append)
    assert ids == [path.stem for path in images]
    assert [one.image_id for one in refused] == ["cut"]
    assert sum(done) == 6
    expected = np.concatenate([encoder.encode(path).compared for path in images])
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    nothing = encoder.encode_all(tmp_path, files[2:3], 1, done.append)
    assert nothing[0] == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    encoder = Encoder(learners()[:1])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png", "missing.png"):
        with pytest.raises(DataError, match=rf"{name}.*expected an image"):
            encoder.encode(tmp_path / name)
    with pytest.raises(DataError, match=r"^the file cannot be read.*expected an image"):
        encoder.encode_upload(BytesIO(b"no image"))
    with pytest.raises(DataError, match=r"^the file is empty"):
        encoder.encode_upload(BytesIO())


def test_pixels_become_what_learners_take() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    image = as_image(grey)
    assert image.shape == (3, 2, 3)
    assert torch.equal(image[0], image[2])
