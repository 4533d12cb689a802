from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from imageclef.data.pictures import write_picture_rows


def test_every_picture_is_drawn_in_its_row_and_column(tmp_path: Path) -> None:
    colours = np.arange(1, 7, dtype=np.uint8).reshape(2, 3) * 40
    rows = {
        name: np.broadcast_to(shades[:, None, None, None], (3, 16, 16, 3)).copy()
        for name, shades in zip(("images", "samples"), colours, strict=True)
    }
    write_picture_rows(tmp_path / "sheet.png", rows)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))
    centres = [[sheet[30 + 48 + row * 122, 8 + 48 + column * 100] for column in range(3)] for row in range(2)]
    np.testing.assert_array_equal(centres, colours)


def test_rows_may_differ_in_length(tmp_path: Path) -> None:
    rows = {"one": np.zeros((1, 8, 8, 3), np.uint8), "four": np.zeros((4, 8, 8, 3), np.uint8)}
    write_picture_rows(tmp_path / "sheet.png", rows)
    assert Image.open(tmp_path / "sheet.png").size[0] > 4 * 96
