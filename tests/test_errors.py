from __future__ import annotations

import pytest

from imageclef.errors import DataError, ImageclefError


def test_a_message_is_as_it_was_written() -> None:
    message = "list.csv:17: image 'ä1\tC1' appears twice"
    assert str(DataError(message)) == message


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\u2028", "\u202e", "\udcff"])
def test_signs_that_are_no_text_are_written_out(sign: str) -> None:
    assert str(ImageclefError(f"a{sign}b")) == f"a{ascii(sign)[1:-1]}b"


@pytest.mark.parametrize("middle", ["x" * 10_000, "\x00" * 390, "\n" * 10_000])
def test_a_long_message_keeps_its_place_and_what_was_expected(middle: str) -> None:
    text = str(DataError(f"list.csv:17: '{middle}'; expected C and digits"))
    assert len(text) < 500
    assert text.isprintable()
    assert text.startswith("list.csv:17: '")
    assert text.endswith("'; expected C and digits")
