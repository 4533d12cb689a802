from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.runs.constant import constant_answer
from imageclef.runs.editions import EDITIONS
from imageclef.runs.evaluate import official_f1

CONCEPTS = st.lists(st.sampled_from([f"C{n:07}" for n in range(6)]), unique=True, max_size=4)


@given(st.lists(CONCEPTS, min_size=1, max_size=8).filter(any))
def test_no_other_cut_of_the_ranking_scores_more(truths: list[list[str]]) -> None:
    lists = {str(row): concepts for row, concepts in enumerate(truths)}
    ranked = Vocabulary.count(truths).concepts
    scores = {
        ranked[:n]: official_f1(dict.fromkeys(lists, ranked[:n]), lists, EDITIONS["2018"])
        for n in range(1, len(ranked) + 1)
    }
    assert scores[constant_answer(lists)] == pytest.approx(max(scores.values()), abs=1e-12)


def test_without_concepts_there_is_no_answer() -> None:
    assert constant_answer({"a": (), "b": ()}) == ()


def test_the_constant_answer_of_roco_scores_what_it_is_known_to(shared: Path) -> None:
    lists = shared / "concept-lists"
    answer = constant_answer(read_concept_list(lists / "roco-validation-radiology-2018-style.csv"))
    truth = read_concept_list(lists / "roco-test-radiology-2018-style.csv")
    assert 15 <= len(answer) <= 25
    score = official_f1(dict.fromkeys(truth, answer), truth, EDITIONS["2018"])
    assert score == pytest.approx(0.169, abs=1e-3)
