"""What a report is made from: runs, the truth, groups and sources, brought to matrices of the same images.

The official score is taken from the fields of the run file as they stand, so that it is what `evaluate` says,
to the last quirk. All other figures compare sets of concepts: in upper case, without white space around them,
empty ones dropped. Both are over the images that count officially.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.data.collection import read_groups
from imageclef.data.list_lines import open_concept_list
from imageclef.data.splits import group_codes
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, DataError
from imageclef.reporting.beside import Beside, read_beside
from imageclef.runs.editions import Edition
from imageclef.runs.evaluate import per_image_f1
from imageclef.runs.lines import checked_lines

_MOST_SOURCES = 100
_BARE_ID = ("no separator",)
"""Stands for a bare id, which hits nothing: not even a truth that is empty, as an empty answer does."""

_Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class RunInputs:
    """A run.

    Attributes:
        name: the file's name without the suffix; its path where two runs share a name.
        path: of the file.
        f1: (n_images,) the official F1.
        answers: (n_images, n_concepts).
        beside: what stands beside the run.
    """

    name: str
    path: Path
    f1: NDArray[np.float64]
    answers: csr_array
    beside: Beside


@dataclass(frozen=True)
class Inputs:
    """Everything a report is made from.

    Attributes:
        edition: whose rules.
        truth_path: the concept list.
        ids: the images that count, in the truth's order.
        left_out: number of images that the edition leaves out, as their truth is empty.
        vocabulary: the columns: by the truth's count, then what is only answered.
        labels: (n_images, n_concepts).
        groups: (n_images,) number of each one's group.
        grouped: whether a table of groups was given.
        ungrouped: images that are not in it, each a group of its own.
        sources: names, the most images first; empty where no column was asked for.
        source_of: (n_images,) place in `sources`; empty where there are none.
        runs: in the order given.
    """

    edition: Edition
    truth_path: Path
    ids: tuple[str, ...]
    left_out: int
    vocabulary: Vocabulary
    labels: csr_array
    groups: NDArray[np.int64]
    grouped: bool
    ungrouped: int
    sources: tuple[str, ...]
    source_of: NDArray[np.int64]
    runs: tuple[RunInputs, ...]


def read_inputs(
    runs: Sequence[Path],
    truth: Path,
    edition: Edition,
    groups: Path | None = None,
    sources: str | None = None,
) -> Inputs:
    """Read runs over the same images, and what stands beside them.

    Args:
        runs: run files; what `imageclef.reporting.beside` knows of is read with them.
        truth: a concept list of any edition.
        edition: the form of the runs, and how they are scored.
        groups: a CSV file with the columns ID and group.
        sources: a further column of it.

    Raises:
        RunRefused: the organisers refuse a run.
        DataError: a file cannot be read, no image counts, or scores are of other images.
        ConfigError: no run, or a column that is not in `groups`.
    """
    if not runs:
        raise ConfigError("no run to report on; expected at least one")
    written = _read_truth(truth, edition)
    answers = [_read_answers(path, list(written), edition) for path in runs]
    f1 = [per_image_f1(fields, written, edition) for fields in answers]
    ids = tuple(f1[0])
    if not ids:
        raise DataError(f"{truth}: no image has a concept that counts; expected at least one")
    truths = [_concepts(written[image_id]) for image_id in ids]
    lists = [[_concepts(fields[image_id]) for image_id in ids] for fields in answers]
    vocabulary = _vocabulary(truths, lists)
    group_of, names, source_of = _read_groups(ids, groups, sources)
    return Inputs(
        edition=edition,
        truth_path=truth,
        ids=ids,
        left_out=len(written) - len(ids),
        vocabulary=vocabulary,
        labels=vocabulary.labels(truths),
        groups=group_codes(ids, group_of),
        grouped=groups is not None,
        ungrouped=sum(image_id not in group_of for image_id in ids) if groups else 0,
        sources=names,
        source_of=source_of,
        runs=tuple(
            RunInputs(
                name,
                path,
                np.fromiter(of_run.values(), np.float64, count=len(ids)),
                vocabulary.labels(of_images),
                read_beside(path, ids, truths),
            )
            for name, path, of_run, of_images in zip(_names(runs), runs, f1, lists, strict=True)
        ),
    )


def _read_truth(path: Path, edition: Edition) -> _Fields:
    form, lines = open_concept_list(path)
    written: dict[str, Sequence[str]] = {}
    for line in lines:
        if line.fields is None and edition.empty_truth == "a concept":
            raise DataError(f"{path}:{line.number}: no separator after the id; expected {form.example}")
        written[line.image_id] = line.fields or ()
    return written


def _read_answers(path: Path, ids: Sequence[str], edition: Edition) -> _Fields:
    bare = _BARE_ID if edition.empty_truth == "a concept" else ()
    return {
        line.image_id: bare if line.fields is None else line.fields
        for line in checked_lines(path, ids, edition)
    }


def _concepts(fields: Sequence[str]) -> tuple[str, ...]:
    if fields is _BARE_ID:
        return ()
    return tuple(dict.fromkeys(filter(None, (field.strip().upper() for field in fields))))


def _vocabulary(truths: Sequence[Sequence[str]], runs: Sequence[Sequence[Sequence[str]]]) -> Vocabulary:
    known = Vocabulary.count(truths)
    answered = Vocabulary.count(chain.from_iterable(runs)).concepts
    of_truth = set(known.concepts)
    only_answered = tuple(concept for concept in answered if concept not in of_truth)
    return Vocabulary(known.concepts + only_answered, known.counts + (0,) * len(only_answered))


def _names(paths: Sequence[Path]) -> list[str]:
    seen = Counter(path.stem for path in paths)
    return [path.stem if seen[path.stem] == 1 else str(path) for path in paths]


def _read_groups(
    ids: Sequence[str], path: Path | None, column: str | None
) -> tuple[dict[str, str], tuple[str, ...], NDArray[np.int64]]:
    """Group by image id; names of sources; (n_images,) place of each image's source among them."""
    nothing = np.empty(0, dtype=np.int64)
    if path is None:
        if column is not None:
            raise ConfigError(f"sources '{column}' but no table of groups; expected one with this column")
        return {}, (), nothing
    table = read_groups(path)
    if column is None:
        return table.group_of, (), nothing
    if column not in table.metadata:
        columns = ", ".join(map(str, table.metadata)) or "none"
        raise ConfigError(f"no column '{column}' in {path}; expected one of: {columns}")
    source_of = table.metadata[column].to_dict()
    values = [source_of.get(image_id, "") or "(not given)" for image_id in ids]
    ranked = Vocabulary.count((value,) for value in values).concepts
    if len(ranked) > _MOST_SOURCES:
        raise ConfigError(
            f"column '{column}' of {path} has {len(ranked)} values; expected {_MOST_SOURCES} or fewer"
        )
    places = {name: place for place, name in enumerate(ranked)}
    return table.group_of, ranked, np.array([places[value] for value in values], dtype=np.int64)
