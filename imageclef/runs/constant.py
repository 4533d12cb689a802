"""The constant answer: the most frequent concepts, given to every image. Every table shows its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from imageclef.runs.editions import Edition
from imageclef.runs.evaluate import official_f1


def constant_answer(lists: Mapping[str, Sequence[str]], edition: Edition, most: int = 50) -> tuple[str, ...]:
    """The n most frequent concepts with the n that scores best on these very lists.

    Args:
        lists: concepts of each image of the training collection.
        edition: whose score decides.
        most: n is looked for up to here, or to the edition's limit.
    """
    counts = Counter(concept for concepts in lists.values() for concept in concepts)
    ranked = sorted(counts, key=lambda concept: (-counts[concept], concept))
    answers = [tuple(ranked[:n]) for n in range(1, min(most, edition.max_concepts, len(ranked)) + 1)]
    return max(
        answers, key=lambda answer: official_f1(dict.fromkeys(lists, answer), lists, edition), default=()
    )
