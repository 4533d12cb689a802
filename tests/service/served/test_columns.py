from __future__ import annotations

import pandas as pd
import pytest

from imageclef.data.annotations import Annotations, ImageKey
from imageclef.service.served.columns import MOST_VALUES, counted, offered

IDS = [f"i{row}" for row in range(80)]
KEYS = [ImageKey("train", image_id) for image_id in IDS]
GROUPS = {key: f"g{row // 4}" for row, key in enumerate(KEYS)}


def shown(**columns: list[str]) -> list[str]:
    table = pd.DataFrame(columns, index=pd.MultiIndex.from_tuples(KEYS), dtype=str)
    return list(offered(Annotations({}, GROUPS, table), KEYS).columns)


def of(*values: str) -> list[str]:
    """The values in turn over the groups of four images."""
    return [values[row // 4 % len(values)] for row in range(len(IDS))]


def test_columns_with_few_values_are_shown() -> None:
    assert shown(modality=of("CT", "MR"), view=of("AP", "")) == ["modality", "view"]


@pytest.mark.parametrize(
    "name",
    [
        "PatientID",
        "patient",
        "group_id",
        "StudyInstanceUID",
        "Patient Name",
        "birth-date",
        "hash",
        "PatientAge",
    ],
)
def test_columns_named_for_who_or_when_are_not(name: str) -> None:
    assert shown(**{name: of("a", "b")}) == []


@pytest.mark.parametrize(
    "values",
    [
        ["0123456789abcdef01", "aa23456789abcdef01"],
        ["1.2.840.10008.1", "1.2.840.10008.2"],
        ["20240131", "20240201"],
        ["2024-01-31", "2024-02-01"],
    ],
)
def test_columns_of_codes_are_not(values: list[str]) -> None:
    assert shown(code=of(*values)) == []


def test_another_name_of_the_groups_is_not_shown() -> None:
    assert shown(nickname=[GROUPS[key].replace("g", "person-") for key in KEYS]) == []
    assert shown(ward=[f"ward-{row // 8}" for row in range(80)]) == ["ward"]


def test_too_many_values_or_none_to_choose_between_are_not_shown() -> None:
    assert shown(many=[f"v{row % (MOST_VALUES + 1)}" for row in range(80)]) == []
    assert shown(most=[f"v{row % MOST_VALUES}" for row in range(80)]) == ["most"]
    assert shown(same=of("x"), empty=of("")) == []


def test_values_are_counted_over_the_index_alone() -> None:
    table = pd.DataFrame({"modality": of("CT", "MR", "")}, index=pd.MultiIndex.from_tuples(KEYS), dtype=str)
    found = offered(Annotations({}, GROUPS, table), [*KEYS[:40], ImageKey("other", "i0")])
    assert list(found.index) == [*IDS[:40], "i0"]
    assert counted(found) == {"modality": [("CT", 16), ("MR", 12)]}


def test_without_a_table_nothing_is_shown() -> None:
    found = offered(Annotations({}, {}, None), KEYS)
    assert list(found.index) == IDS
    assert counted(found) == {}
