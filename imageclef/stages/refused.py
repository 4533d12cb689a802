"""Files that were refused, in one line: how many, why, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from imageclef.data.collection import Refusal
from imageclef.stages.report import count_of, name_some


def by_class(refused: Sequence[Refusal]) -> dict[str, int]:
    """How many there are of each class of reason, the most frequent first."""
    return dict(Counter(refusal.kind for refusal in refused).most_common())


def refused_in_words(refused: Sequence[Refusal]) -> str:
    """``2 files refused: 1 truncated, 1 not an image: a.png (...), b.png (...)``."""
    classes = ", ".join(f"{count:,} {kind}" for kind, count in by_class(refused).items())
    first = name_some([f"{refusal.path} ({refusal.reason})" for refusal in refused])
    return f"{count_of(len(refused), 'file')} refused: {classes}: {first}"
