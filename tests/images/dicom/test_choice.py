from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import ConfigError
from imageclef.images.dicom.choice import FrameChoice


@given(st.integers(1, 10_000), st.integers(1, 500))
def test_choices_lie_within_the_file(count: int, step: int) -> None:
    assert list(FrameChoice("all").indices(count)) == list(range(count))
    assert list(FrameChoice("first").indices(count)) == [0]
    (middle,) = FrameChoice("middle").indices(count)
    assert middle <= count - 1 - middle <= middle + 1
    assert list(FrameChoice(f"every-{step}").indices(count)) == list(range(0, count, step))


@pytest.mark.parametrize("text", ["", "last", "every-0", "every-", "every--1", "every-9999999", "All"])
def test_other_choices_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected first, middle, all, or every-N"):
        FrameChoice(text)
