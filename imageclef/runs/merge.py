"""Several runs made one: windows of concepts joined, or models that vote.

Every concept of an image gets a vote from each run that names it, of that run's weight. Kept are

- ``union``: all of them (how the windows of a linear run are joined);
- ``intersection``: those that every run names;
- ``majority``: those with more than half of the votes that there are;
- ``vote``: those with the most votes, as many as the runs have on average, the first named among equals.

The order is that of first appearance. Where more are left than the edition allows, those with the fewest
votes go, the last named first. A concept that a run names twice gets one vote from it; a run without a
concept for an image votes for none, and counts in the majority and in the average.

The weights are the caller's; `imageclef.runs.ensemble` finds them on held-out images.

Reference: the AUEB teams at ImageCLEFmed Caption 2020 and 2021 (intersection of models, majority of 20).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal

from imageclef.errors import ConfigError, DataError
from imageclef.runs.editions import Edition

How = Literal["union", "intersection", "majority", "vote"]

_ROUNDING = 1e-9


def merge_runs(
    runs: Sequence[Mapping[str, Sequence[str]]],
    how: How,
    edition: Edition,
    weights: Sequence[float] | None = None,
) -> dict[str, tuple[str, ...]]:
    """Make one run of several.

    Args:
        runs: image id -> concepts, all of the same images.
        how: see above.
        edition: whose limit of concepts holds.
        weights: of the runs' votes, positive and finite; by default all 1.

    Returns:
        A run, its images in the order of the first.

    Raises:
        DataError: two runs are not of the same images.
        ConfigError: no runs, an unknown `how`, or weights that do not fit the runs.
    """
    weights = [1.0] * len(runs) if weights is None else list(weights)
    if not runs:
        raise ConfigError("no runs to merge; expected at least one")
    if len(weights) != len(runs) or not all(weight > 0 and isfinite(weight) for weight in weights):
        raise ConfigError(f"weights {weights} for {len(runs)} runs; expected a positive one for each")
    for number, run in enumerate(runs[1:], start=2):
        for image_id in (key for key in (*runs[0], *run) if (key in runs[0]) != (key in run)):
            raise DataError(
                f"image '{image_id}' is in only one of runs 1 and {number}; expected the same images"
            )
    return {
        image_id: _merged([run[image_id] for run in runs], weights, how, edition.max_concepts)
        for image_id in runs[0]
    }


def _merged(lists: list[Sequence[str]], weights: list[float], how: How, limit: int) -> tuple[str, ...]:
    """One image's concepts."""
    sets = [dict.fromkeys(filter(None, concepts)) for concepts in lists]
    votes: dict[str, float] = {}
    for concepts, weight in zip(sets, weights, strict=True):
        for concept in concepts:
            votes[concept] = votes.get(concept, 0.0) + weight
    if how == "union":
        kept = list(votes)
    elif how == "intersection":
        kept = [concept for concept in votes if all(concept in concepts for concepts in sets)]
    elif how == "majority":
        # Exactly half is no majority, though 0.2 + 0.1 is a little more than half of 0.2 + 0.3 + 0.1.
        more_than_half = sum(weights) / 2 * (1 + _ROUNDING)
        kept = [concept for concept, vote in votes.items() if vote > more_than_half]
    elif how == "vote":
        # Halves are rounded up: of two runs with 1 and 2 concepts, 2 are kept.
        kept = list(votes)
        limit = min(limit, int(sum(map(len, sets)) / len(sets) + 0.5))
    else:
        raise ConfigError(f"no way '{how}' to merge runs; expected union, intersection, majority or vote")
    # The sort is stable: among equal votes the first named stay.
    strongest = set(sorted(kept, key=lambda concept: -votes[concept])[:limit])
    return tuple(concept for concept in kept if concept in strongest)
