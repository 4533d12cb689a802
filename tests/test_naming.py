from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imageclef.config import IngestSettings
from imageclef.naming import departures, shortened
from imageclef.settings import Settings


class Three(Settings):
    """Settings of three types."""

    number: float = 0.5
    text: str = ""
    several: tuple[int, ...] = (1, 2)


def test_only_what_departs_is_named_and_in_order() -> None:
    assert departures(Three()) == []
    assert departures(Three(text="b", number=2)) == ["number=2.0", "text=b"]
    assert departures(Three(several=(3, 4), number=2), ("several",)) == ["several=3,4"]


@given(one=st.text(max_size=30), other=st.text(max_size=30))
def test_two_values_have_two_names_that_are_plain(one: str, other: str) -> None:
    names = {departures(IngestSettings(window=value), ("window",))[0] for value in (one, other) if value}
    assert len(names) == len({one, other} - {""})
    assert all(
        "/" not in name and "+" not in name and name.isascii() and name.isprintable() for name in names
    )


def test_a_long_name_is_cut_but_stays_its_own() -> None:
    assert shortened("a" * 180) == "a" * 180
    one, other = shortened("a" * 181), shortened("a" * 182)
    assert one != other
    assert len(one.encode()) < 220
