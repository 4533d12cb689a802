from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.processing import _expand_segmented_lut

from imageclef.errors import ImageRefused
from imageclef.images.dicom.tables import Table, read_segmented, read_table
from tests.images.dicom.made_up import item


def table(descriptor: list[int], data: bytes | list[int], little: bool = True) -> Table:
    made = item()
    made.add_new("LUTDescriptor", "SS" if descriptor[1] < 0 else "US", descriptor)
    made.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return read_table(made, "LUTDescriptor", "LUTData", little)


def test_values_outside_get_the_first_and_last_entry() -> None:
    made = table([4, 10, 8], [5, 6, 7, 8])
    values = np.array([-1e9, 9, 10, 10.4, 10.6, 13, 14, 1e9, np.nan])
    assert made(values).tolist() == [5, 5, 5, 5, 6, 8, 8, 8, 5]


def test_the_first_value_may_be_negative() -> None:
    assert table([3, -1024, 16], [1, 2, 3])(np.array([-1024.0, -1023, 0])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("little", [True, False])
def test_entries_are_words_in_the_order_of_the_file(little: bool) -> None:
    data = np.array([1, 256, 65535], "<u2" if little else ">u2").tobytes()
    assert table([3, 0, 16], data, little).entries.tolist() == [1, 256, 65535]


def test_entries_may_be_bytes_two_to_a_word() -> None:
    assert table([5, 0, 8], bytes([1, 2, 3, 4, 5, 0])).entries.tolist() == [1, 2, 3, 4, 5]
    assert table([5, 0, 8], bytes([1, 2, 3, 4, 5])).entries.tolist() == [1, 2, 3, 4, 5]
    assert table([4, 0, 8], [0x0201, 0x0403]).entries.tolist() == [1, 2, 3, 4]


def test_bytes_of_a_big_endian_file_are_swapped_within_words() -> None:
    assert table([4, 0, 8], bytes([2, 1, 4, 3]), little=False).entries.tolist() == [1, 2, 3, 4]


def test_bytes_may_stand_one_to_a_word() -> None:
    assert table([3, 0, 8], np.array([7, 8, 9], "<u2").tobytes()).entries.tolist() == [7, 8, 9]


def test_0_entries_are_65536() -> None:
    made = table([0, 0, 16], np.arange(65536, dtype="<u2").tobytes())
    assert made(np.array([65535.0])).tolist() == [65535]


def test_the_peak_is_what_the_bits_hold() -> None:
    assert table([2, 0, 12], [0, 100]).peak == 4095
    assert table([2, 0, 8], [0, 1023]).peak == 1023


@pytest.mark.parametrize(
    ("descriptor", "data", "reason"),
    [
        ([4, 0, 16], [1, 2, 3], "3 of 4 entries in LUTData"),
        ([4, 0, 0], [1, 2, 3, 4], "0 bits in LUTDescriptor"),
        ([4, 0, 17], [1, 2, 3, 4], "17 bits in LUTDescriptor"),
        ([4, 0], [1, 2, 3, 4], "LUTDescriptor is not three numbers"),
        ([4, 0, 16], [], "no LUTData"),
    ],
)
def test_a_damaged_table_is_refused(descriptor: list[int], data: list[int], reason: str) -> None:
    with pytest.raises(ImageRefused, match=reason):
        table(descriptor, data)


def segmented(words: list[int], count: int, bits: int = 16) -> list[int]:
    made = item()
    made.add_new("RedPaletteColorLookupTableDescriptor", "US", [count, 0, bits])
    data = np.array(words, "<u2" if bits == 16 else "u1").tobytes()
    made.add_new("SegmentedRedPaletteColorLookupTableData", "OW", data + bytes(len(data) % 2))
    names = ("RedPaletteColorLookupTableDescriptor", "SegmentedRedPaletteColorLookupTableData")
    return read_segmented(made, *names, little_endian=True).entries.tolist()


def test_segments_are_expanded() -> None:
    assert segmented([0, 2, 10, 20, 1, 4, 60], 6) == [10, 20, 30, 40, 50, 60]
    # The indirect segment copies two segments from byte 0: the run, and the slope after it.
    copied = [0, 1, 7, 1, 2, 9, 2, 2, 0, 0]
    assert segmented(copied, 6) == [7, 8, 9, 7, 8, 9]


def test_an_indirect_segment_counts_bytes() -> None:
    assert segmented([0, 1, 7, 0, 2, 1, 2, 2, 1, 6, 0], 5) == [7, 1, 2, 1, 2]
    assert segmented([0, 1, 7, 0, 2, 1, 2, 2, 1, 3, 0, 0, 0], 5, bits=8) == [7, 1, 2, 1, 2]


@given(
    st.lists(
        st.one_of(
            st.lists(st.integers(0, 65535), min_size=1, max_size=5).map(lambda run: [0, len(run), *run]),
            st.tuples(st.integers(1, 9), st.integers(0, 65535)).map(lambda slope: [1, *slope]),
        ),
        max_size=6,
    )
)
def test_runs_and_slopes_are_pydicoms(segments: list[list[int]]) -> None:
    words = [0, 1, 100, *(word for segment in segments for word in segment)]
    expected = _expand_segmented_lut(tuple(words), "<H")
    found = segmented(words, len(expected))
    assert np.abs(np.array(found) - expected).max() <= 1  # halves are rounded either way


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([1, 3, 9, 0], "begins with a slope"),
        ([0, 9, 1, 2], "2 of 4 entries"),
        ([0, 1, 5, 7, 1, 1], "segment of kind 7"),
        ([0, 1, 5, 2, 1], "ends within a segment"),
        ([0, 1, 5, 2, 1, 6, 0], "segment of kind 2"),
    ],
)
def test_damaged_segments_are_refused(words: list[int], reason: str) -> None:
    with pytest.raises(ImageRefused, match=reason):
        segmented(words, 4)
