from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.data.annotations import Annotations, ImageKey
from imageclef.errors import ConfigError, DataError
from imageclef.retrieval.filters import Filters, IndexedConcepts, mask_of, parse_where, where
from imageclef.retrieval.index import Index, IndexedImage

IDS = ["a", "b", "c", "d", "e"]
CONCEPTS = {"a": ("C1", "C2"), "b": ("C2",), "c": ("C1", "C3"), "d": ()}
TABLE = pd.DataFrame({"modality": ["CT", "MR", None, None, "CT"], "sex": ["M", "M", None, None, "F"]})


def index_of(ids: list[str]) -> Index:
    images = [IndexedImage("train", one) for one in ids]
    return Index(np.zeros((len(ids), 2), np.float32), images, "l2")


def concepts_of(index: Index, concepts: dict[str, tuple[str, ...]]) -> IndexedConcepts:
    keyed = {ImageKey("train", one): entry for one, entry in concepts.items()}
    # An image of the same id in another collection has nothing to say here.
    keyed[ImageKey("test", "e")] = ("C9",)
    return IndexedConcepts(index, Annotations(keyed, {}, None))


def chosen(filters: Filters, concepts: dict[str, tuple[str, ...]] = CONCEPTS) -> list[str]:
    index = index_of(IDS)
    mask = mask_of(filters, index, concepts_of(index, concepts), TABLE)
    assert mask is not None
    return [image_id for image_id, kept in zip(IDS, mask, strict=True) if kept]


def test_concepts_that_hits_have_and_do_not_have() -> None:
    assert chosen(Filters(having=("C1",))) == ["a", "c"]
    assert chosen(Filters(having=("C1", "C2"))) == ["a"]
    assert chosen(Filters(without=("C2",))) == ["c", "d", "e"]
    assert chosen(Filters(having=("C1",), without=("C2",))) == ["c"]


@given(
    lists=st.lists(st.sets(st.sampled_from("ABCD")), min_size=1, max_size=12),
    having=st.sets(st.sampled_from("ABCD")),
    without=st.sets(st.sampled_from("ABCD")),
)
def test_concepts_agree_with_sets(lists: list[set[str]], having: set[str], without: set[str]) -> None:
    index = index_of([str(row) for row in range(len(lists))])
    keyed = {str(row): tuple(sorted(has)) for row, has in enumerate(lists)}
    filters = Filters(tuple(sorted(having)), tuple(sorted(without)))
    if (having | without) - set().union(*lists):
        with pytest.raises(DataError):
            mask_of(filters, index, concepts_of(index, keyed), None)
    elif having or without:
        mask = mask_of(filters, index, concepts_of(index, keyed), None)
        assert mask is not None
        assert mask.tolist() == [having <= has and not without & has for has in lists]


def test_names_and_columns() -> None:
    assert chosen(Filters(among=("d", "train/a", "d"))) == ["a", "d"]
    assert chosen(Filters(where=(("modality", "CT"),))) == ["a", "e"]
    assert parse_where(" modality = CT=1 ") == ("modality", "CT=1")


def test_all_filters_must_pass() -> None:
    where = (("modality", "CT"), ("sex", "M"))
    assert chosen(Filters(having=("C1",), among=("a", "c", "e"), where=where)) == ["a"]
    assert chosen(Filters(among=())) == []
    index = index_of(IDS)
    assert mask_of(Filters(), index, concepts_of(index, {}), None) is None


def test_an_error_lists_what_there_is() -> None:
    with pytest.raises(DataError, match=r"'C9'.*C1, C2, C3$"):
        chosen(Filters(having=("C9",)))
    with pytest.raises(DataError, match="concept list"):
        chosen(Filters(having=("C1",)), {})
    with pytest.raises(DataError, match=r"1 of 2 ids.*'z'.*a, b, c, d, e"):
        chosen(Filters(among=("a", "z")))
    with pytest.raises(DataError, match=r"'organ'.*modality, sex"):
        chosen(Filters(where=(("organ", "lung"),)))
    with pytest.raises(DataError, match=r"modality = 'US'.*CT, MR"):
        chosen(Filters(where=(("modality", "US"),)))
    with pytest.raises(DataError, match=r"column 'organ'.*`groups`"):
        where(None, "organ", "lung")
    with pytest.raises(ConfigError, match=r"'CT'.*COLUMN=VALUE"):
        parse_where("CT")
    many = {image_id: tuple(f"C{number:02}" for number in range(12)) for image_id in IDS}
    with pytest.raises(DataError, match="C00, C01, C02, C03, C04, C05, C06, C07 and 4 more"):
        chosen(Filters(having=("C99",)), many)
