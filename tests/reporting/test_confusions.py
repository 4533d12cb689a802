from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from imageclef.reporting import confusions as module
from imageclef.reporting.confusions import Confusion, top_confusions


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 6))
def test_equals_a_slow_loop(seed: int, images: int, concepts: int) -> None:
    rng = np.random.default_rng(seed)
    answers, labels = rng.random((2, images, concepts)) < 0.4
    expected = {}
    for missed in range(concepts):
        for invented in range(concepts):
            misses = [bool(labels[i, missed] and not answers[i, missed]) for i in range(images)]
            invents = [bool(answers[i, invented] and not labels[i, invented]) for i in range(images)]
            both = sum(a and b for a, b in zip(misses, invents, strict=True))
            chance = sum(misses) * sum(invents) / images
            if both >= 2 and both > chance:
                expected[missed, invented] = (both, pytest.approx(chance), pytest.approx(both / chance))
    found = top_confusions(csr_array(answers.astype(np.uint8)), csr_array(labels.astype(np.uint8)), 100)
    assert {(one.missed, one.invented): (one.images, one.expected, one.lift) for one in found} == expected
    excess = [one.images - one.expected for one in found]
    assert excess == sorted(excess, reverse=True)


def test_one_thing_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns 0 and 1 are mixed up in 4 of 10 images; column 2 is invented everywhere, which says nothing."""
    labels, answers = np.zeros((10, 3), np.uint8), np.zeros((10, 3), np.uint8)
    labels[:8, 0], answers[4:8, 0], answers[:4, 1], answers[:, 2] = 1, 1, 1, 1
    found = top_confusions(csr_array(answers), csr_array(labels))
    assert found == [Confusion(missed=0, invented=1, images=4, expected=1.6, lift=2.5)]
    monkeypatch.setattr(module, "_CONSIDERED", 1)
    assert top_confusions(csr_array(answers), csr_array(labels)) == []


def test_perfect_answers_confuse_nothing() -> None:
    labels = csr_array(np.eye(4, dtype=np.uint8))
    assert top_confusions(labels, labels) == []
