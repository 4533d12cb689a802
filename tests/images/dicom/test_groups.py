from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from imageclef.images.dicom.groups import item_with, items_of
from tests.images.dicom.made_up import item


def slope(value: float) -> list[Dataset]:
    return [item(RescaleSlope=value, RescaleIntercept=0)]


@pytest.fixture
def enhanced() -> Dataset:
    frames = [item(PixelValueTransformationSequence=slope(2)), item()]
    shared = [item(PixelValueTransformationSequence=slope(3))]
    return item(
        RescaleSlope=5, PerFrameFunctionalGroupsSequence=frames, SharedFunctionalGroupsSequence=shared
    )


def found(dataset: Dataset, index: int) -> float | None:
    holder = item_with(dataset, index, "PixelValueTransformationSequence", "RescaleSlope")
    return None if holder is None else float(holder.RescaleSlope)


def test_the_frame_comes_before_all_frames_and_these_before_the_object(enhanced: Dataset) -> None:
    assert [found(enhanced, index) for index in (0, 1, 2)] == [2, 3, 3]
    del enhanced.SharedFunctionalGroupsSequence
    assert [found(enhanced, index) for index in (0, 1)] == [2, 5]
    del enhanced.RescaleSlope
    assert found(enhanced, 1) is None


def test_an_item_without_the_element_is_passed_over(enhanced: Dataset) -> None:
    del enhanced.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence[0].RescaleSlope
    assert found(enhanced, 0) == 3


def test_a_missing_sequence_has_no_items(enhanced: Dataset) -> None:
    assert items_of(enhanced, "VOILUTSequence") == []
    assert len(items_of(enhanced, "PerFrameFunctionalGroupsSequence")) == 2
