from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.images.made_up import Save


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(image: Image.Image, name: str, **options: object) -> Path:
        path = tmp_path / name
        image.save(path, **options)
        return path

    return write
