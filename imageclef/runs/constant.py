"""The constant answer: the most frequent concepts, given to every image. Every table shows its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imageclef.data.vocabulary import Vocabulary


def constant_answer(lists: Mapping[str, Sequence[str]], most: int = 50) -> tuple[str, ...]:
    """The n most frequent concepts, with the n whose mean F1 per image is best on these very lists.

    Args:
        lists: concepts of each image of the training collection.
        most: n is looked for up to here.

    Returns:
        The concepts by falling frequency; none where no image has one.
    """
    truths = [concepts for concepts in lists.values() if concepts]
    if not truths:
        return ()
    frequent = Vocabulary.count(truths).window(most, 0)
    hits = np.cumsum(frequent.labels(truths).toarray(), axis=1, dtype=np.int64)
    n_answered = np.arange(1, len(frequent.concepts) + 1)
    n_truth = np.array([len(concepts) for concepts in truths])
    scores = (2 * hits / (n_answered + n_truth[:, None])).mean(0)
    return frequent.concepts[: int(scores.argmax()) + 1]
