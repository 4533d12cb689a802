"""Splits of a collection that never tear a group apart, and that depend on nothing but seed and names.

A group is what must not be in two parts: a patient, a study. An image without a group is its own group.
Groups are drawn by a hash of the seed and their name, so that neither the order of the ids nor images
that are added to other groups change where a group stands in the draw.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from imageclef.errors import DataError

_Group = tuple[str, str]

_BULKY = 0.25
"""Of the held-out part: a larger group is held out only where the smaller ones do not fill it."""


def held_out(
    ids: Sequence[str], groups: Mapping[str, str] | None, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw the part of a collection that is held out.

    Groups are taken in the order of their hash, and one that would miss the wanted number of images by more
    than it does now is passed over. Bulky groups come last: one that made up much of the held-out part would
    leave nothing of its kind to be learned from, and little of the others to be tuned on. Each side gets at
    least one group.

    Args:
        ids: the images, none twice.
        groups: the group of an image; images may be missing.
        fraction: of the images, between 0 and 1.
        seed: another seed is another draw.

    Returns:
        True where an image is held out, (n_images,).

    Raises:
        DataError: there is only one group, or `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise DataError(f"the held-out fraction is {fraction}; expected a number between 0 and 1")
    group_of, sizes = _grouped(ids, groups)
    if len(sizes) < 2:
        raise DataError(f"{len(ids)} images, {len(sizes)} group; expected at least 2 groups to hold one out")
    wanted, taken, held = fraction * len(ids), 0, set[_Group]()
    bulky = wanted * _BULKY
    drawn = sorted(sizes, key=lambda group: (sizes[group] > bulky, _hash(seed, group)))
    for group in drawn:
        if abs(taken + sizes[group] - wanted) < abs(taken - wanted):
            held.add(group)
            taken += sizes[group]
    smallest = min(drawn, key=sizes.__getitem__)
    if not held:
        held.add(smallest)
    elif len(held) == len(sizes):
        held.remove(smallest)
    return np.fromiter((group in held for group in group_of), dtype=np.bool_, count=len(ids))


def group_folds(
    ids: Sequence[str], groups: Mapping[str, str] | None, n_folds: int, seed: int
) -> NDArray[np.int64]:
    """Deal a collection into folds of nearly equal size.

    The largest groups are dealt first, equal ones by their hash, each to the fold with the fewest images.

    Args:
        ids: the images, none twice.
        groups: the group of an image; images may be missing.
        n_folds: at least 2.
        seed: another seed is another draw.

    Returns:
        The fold of each image, 0 to `n_folds` - 1, (n_images,); no fold is empty.

    Raises:
        DataError: there are fewer groups than folds, or fewer than 2 folds.
    """
    group_of, sizes = _grouped(ids, groups)
    if not 2 <= n_folds <= len(sizes):
        raise DataError(f"{n_folds} folds of {len(sizes)} groups; expected 2 folds to one for each group")
    filled, fold_of = [0] * n_folds, dict[_Group, int]()
    for group in sorted(sizes, key=lambda group: (-sizes[group], _hash(seed, group))):
        fold = filled.index(min(filled))
        fold_of[group] = fold
        filled[fold] += sizes[group]
    return np.fromiter((fold_of[group] for group in group_of), dtype=np.int64, count=len(ids))


def group_codes(ids: Sequence[str], group_of: Mapping[str, str]) -> NDArray[np.int64]:
    """Number the groups.

    Args:
        ids: of the images.
        group_of: group by image id; an image that is not in it is a group of its own.

    Returns:
        (n_images,) from 0 without a gap, by first appearance.
    """
    groups, _ = _grouped(ids, group_of)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], dtype=np.int64)


def _grouped(ids: Sequence[str], groups: Mapping[str, str] | None) -> tuple[list[_Group], Counter[_Group]]:
    """The group of each image, and the size of each group."""
    known = groups or {}
    # The kind keeps an image without a group apart from a group that happens to have its name.
    group_of = [("group", known[i]) if i in known else ("image", i) for i in ids]
    return group_of, Counter(group_of)


def _hash(seed: int, group: _Group) -> bytes:
    return hashlib.sha256(f"{seed}\0{group[0]}\0{group[1]}".encode()).digest()
