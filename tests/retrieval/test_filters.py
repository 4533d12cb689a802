from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.filters import Filters, of_ids, parse_where, where, with_concepts

IDS = ["a", "b", "c", "d", "e"]
CONCEPTS = {"a": ("C1", "C2"), "b": ("C2",), "c": ("C1", "C3"), "d": (), "elsewhere": ("C9",)}
TABLE = pd.DataFrame(
    {"modality": ["CT", "MR", "CT", "US"], "sex": ["F", "M", "M", "F"]}, index=["e", "b", "a", "x"]
)


def chosen(mask: np.ndarray) -> list[str]:
    return [image_id for image_id, kept in zip(IDS, mask, strict=True) if kept]


def test_required_and_forbidden_concepts() -> None:
    assert chosen(with_concepts(IDS, CONCEPTS, ["C1"])) == ["a", "c"]
    assert chosen(with_concepts(IDS, CONCEPTS, ["C1", "C2"])) == ["a"]
    assert chosen(with_concepts(IDS, CONCEPTS, (), ["C2"])) == ["c", "d", "e"]
    assert chosen(with_concepts(IDS, CONCEPTS, ["C1"], ["C2"])) == ["c"]


@given(
    lists=st.lists(st.sets(st.sampled_from("ABCD")), min_size=1, max_size=12),
    required=st.sets(st.sampled_from("ABCD")),
    forbidden=st.sets(st.sampled_from("ABCD")),
)
def test_concepts_as_sets_say(lists: list[set[str]], required: set[str], forbidden: set[str]) -> None:
    ids = [str(row) for row in range(len(lists))]
    concepts = {image_id: tuple(sorted(has)) for image_id, has in zip(ids, lists, strict=True)}
    unknown = (required | forbidden) - set().union(*lists)
    if unknown:
        with pytest.raises(DataError, match="no image of the index has concept"):
            with_concepts(ids, concepts, sorted(required), sorted(forbidden))
    else:
        mask = with_concepts(ids, concepts, sorted(required), sorted(forbidden))
        assert mask.tolist() == [required <= has and not forbidden & has for has in lists]


def test_ids_and_columns() -> None:
    assert chosen(of_ids(IDS, ["d", "a", "d"])) == ["a", "d"]
    assert chosen(where(IDS, TABLE, "modality", "CT")) == ["a", "e"]
    assert parse_where(" modality = CT=1 ") == ("modality", "CT=1")


def test_all_filters_must_pass() -> None:
    filters = Filters(required=("C1",), ids=("a", "c", "e"), where=(("modality", "CT"), ("sex", "M")))
    mask = filters.mask(IDS, CONCEPTS, TABLE)
    assert mask is not None
    assert chosen(mask) == ["a"]
    assert Filters().mask(IDS, None, None) is None
    nobody = Filters(ids=()).mask(IDS, None, None)
    assert nobody is not None
    assert not nobody.any()


def test_what_is_unknown_is_said_with_what_there_is() -> None:
    with pytest.raises(DataError, match=r"no image of the index has concept 'C9'; it has C1, C2, C3$"):
        with_concepts(IDS, CONCEPTS, ["C9"])
    with pytest.raises(DataError, match="the collection has no concepts to filter by"):
        with_concepts(IDS, None, ["C1"])
    with pytest.raises(DataError, match="1 of 2 ids are not in the index, such as 'z'; it has a, b, c, d, e"):
        of_ids(IDS, ["a", "z"])
    with pytest.raises(DataError, match="no column 'organ' in the metadata; it has modality, sex"):
        where(IDS, TABLE, "organ", "lung")
    with pytest.raises(DataError, match="no image of the index has modality = 'US'; it has CT, MR"):
        where(IDS, TABLE, "modality", "US")
    with pytest.raises(DataError, match="no table of metadata with a column 'organ'"):
        where(IDS, None, "organ", "lung")
    with pytest.raises(ConfigError, match="where 'CT'; expected COLUMN=VALUE, such as modality=CT"):
        parse_where("CT")
    many = {image_id: tuple(f"C{number:02}" for number in range(12)) for image_id in IDS}
    with pytest.raises(DataError, match="it has C00, C01, C02, C03, C04, C05, C06, C07 and 4 more"):
        with_concepts(IDS, many, ["C99"])
