from __future__ import annotations

import pytest

from imageclef.errors import DataError
from imageclef.stages.labelled import required_concepts
from imageclef.workspace import Collection


def test_a_missing_list_and_a_list_without_concepts_are_told_apart() -> None:
    with pytest.raises(DataError, match=r"set collections\.train\.concepts"):
        required_concepts(Collection("train", ["a"], None, {}))
    with pytest.raises(DataError, match="train: none of the 2 images of its concept list has a concept"):
        required_concepts(Collection("train", ["a", "b"], {"a": (), "b": ()}, {}))
    concepts = {"a": ("C1",), "b": ()}
    assert required_concepts(Collection("train", ["a", "b"], concepts, {})) == concepts
