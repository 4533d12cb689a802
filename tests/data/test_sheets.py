from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from imageclef.data import sheets
from imageclef.data.sheets import Tile, contact_sheet, write_contact_sheet

Pixels = NDArray[np.uint8]
COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (250, 0, 250)]


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 40) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def boxes(sheet: Image.Image) -> dict[tuple[int, int, int], tuple[int, int, int, int]]:
    """Where each colour stands: left, top, width, height."""
    pixels = np.asarray(sheet)
    found = {}
    for colour in COLOURS:
        rows, columns = np.nonzero((pixels == colour).all(axis=2))
        if len(rows):
            corner = int(columns.min()), int(rows.min())
            found[colour] = (*corner, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    return found


def test_the_query_is_on_the_left_and_its_neighbours_follow_in_rows() -> None:
    query, *neighbors = [Tile(plain(colour), ("id", "0.5")) for colour in COLOURS]
    places = [boxes(contact_sheet(query, neighbors, columns=2))[colour] for colour in COLOURS]
    assert all(size == (40, 40) for _, _, *rest in places for size in [tuple(rest)])
    lefts, tops = [place[0] for place in places], [place[1] for place in places]
    assert lefts[0] < lefts[1] < lefts[2]
    assert (lefts[1], lefts[2]) == (lefts[3], lefts[4])
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4] < tops[5]


def test_only_the_query_is_framed() -> None:
    pixels = np.asarray(contact_sheet(Tile(plain(COLOURS[0])), [Tile(plain(COLOURS[1]))], 1))
    sheet = Image.fromarray(pixels)
    for colour, framed in ((COLOURS[0], True), (COLOURS[1], False)):
        left, top, width, height = boxes(sheet)[colour]
        around = [pixels[top - 2, left + 5], pixels[top + height + 1, left + 5], pixels[top + 5, left - 2]]
        around.append(pixels[top + 5, left + width + 1])
        assert all(tuple(pixel) == (217, 72, 15) for pixel in around) == framed


def test_pictures_of_other_shapes_are_fitted_into_the_square() -> None:
    query, wide, tall = (
        Tile(plain(COLOURS[0])),
        Tile(plain(COLOURS[1], 20, 80)),
        Tile(plain(COLOURS[2], 30, 15)),
    )
    places = boxes(contact_sheet(query, [wide, tall], 2))
    assert places[COLOURS[0]][2:] == (80, 80)
    assert places[COLOURS[1]][2:] == (80, 20)
    assert places[COLOURS[2]][2:] == (40, 80)


def test_every_line_of_a_caption_fits_below_its_tile() -> None:
    tile = Tile(plain(COLOURS[0]), ("an_identifier_without_a_space", " ".join(["C0040405"] * 9)))
    bare = Tile(plain(COLOURS[1]))
    pixels = np.asarray(contact_sheet(bare, [tile, bare], 2))
    left, top, width, height = boxes(Image.fromarray(pixels))[COLOURS[0]]
    # Below the picture there is ink within its width, and white left and right of that.
    assert (pixels[top + height :, left : left + width] < 150).any()
    below = pixels[top + height :]
    assert (below[:, left - 10 : left - 1] == 255).all()
    assert (below[:, left + width + 1 : left + width + 10] == 255).all()
    assert (below[-15:] == 255)[:, left : left + width].all()


def test_wrapping_keeps_the_words_and_the_width() -> None:
    font = ImageFont.load_default(sheets._SIZE)
    text = "C0040405 C0024485 anIdentifierThatIsFarTooLongForOneLine end"
    lines = sheets._wrapped(text, 110)
    assert all(font.getlength(line) <= 110 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert sheets._wrapped("", 110) == []
    cut = sheets._wrapped(" ".join(["C0040405"] * 40), 110)
    assert len(cut) == sheets._MOST_LINES
    assert cut[-1].endswith(" ...")
    assert font.getlength(cut[-1]) <= 110


def test_a_sheet_is_written_as_png(tmp_path: Path) -> None:
    query, neighbors = Tile(plain(COLOURS[0])), [Tile(plain(COLOURS[1]), ("µ", "0.1"))] * 3
    path = tmp_path / "sheet.png"
    write_contact_sheet(path, query, neighbors, 2)
    with Image.open(path) as written:
        assert written.format == "PNG"
        np.testing.assert_array_equal(np.asarray(written), np.asarray(contact_sheet(query, neighbors, 2)))


def test_a_query_without_neighbours_is_still_a_sheet() -> None:
    assert COLOURS[0] in boxes(contact_sheet(Tile(plain(COLOURS[0])), [], 5))
