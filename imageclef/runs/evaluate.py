"""The official score: the mean over images of the F1 of two concept sets.

A concept counts in upper case. What an empty truth means, and whether white space makes another concept,
is the edition's: see `imageclef.runs.editions`. Inputs are, everywhere here:

- a run or a truth in memory: image id -> concepts, of the same images; no concepts is an empty sequence;
- a run file in its edition's form, which is refused as the organisers refuse it;
- a truth file: a concept list of any edition's form.

Checked against the organisers' programs of 2018, 2022 and 2026 on 132 made-up runs. One thing is not
followed: the program of 2025 and 2026 takes every line with "ID" in the image's name for a header.

Reference: Seco de Herrera et al., "Overview of the ImageCLEF 2018 Caption Prediction Tasks", CLEF 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imageclef.data.list_lines import open_concept_list
from imageclef.errors import ConfigError, DataError
from imageclef.runs.editions import Edition
from imageclef.runs.lines import checked_lines

_Sets = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Score:
    """What a run reaches.

    Attributes:
        score: mean F1, from 0 to 1.
        score_secondary: the same over the edition's manual concepts; None where none was asked for.
        n_images: the number of images in the mean.
    """

    score: float
    score_secondary: float | None
    n_images: int


def official_f1(
    run: Mapping[str, Sequence[str]], truth: Mapping[str, Sequence[str]], edition: Edition
) -> float:
    """The score of a run in memory: what its file would score.

    Raises:
        DataError: run and truth are not of the same images, or no image counts.
    """
    return _mean(per_image_f1(run, truth, edition), "the truth")


def per_image_f1(
    run: Mapping[str, Sequence[str]], truth: Mapping[str, Sequence[str]], edition: Edition
) -> dict[str, float]:
    """The F1 of every image that counts, in the truth's order.

    Raises:
        DataError: run and truth are not of the same images.
    """
    _same_images(run, truth)
    return _f1_of_images(
        {image_id: _concept_set(concepts or ("",), edition) for image_id, concepts in run.items()},
        {image_id: _concept_set(concepts or ("",), edition) for image_id, concepts in truth.items()},
    )


def evaluate_run(
    run_path: Path, truth_path: Path, edition: Edition, manual_path: Path | None = None
) -> Score:
    """Score a run file against a truth file.

    Args:
        run_path: the run.
        truth_path: a concept list of the same images.
        edition: whose rules.
        manual_path: the truth of the secondary score, for editions that have one.

    Raises:
        RunRefused: the organisers refuse the run.
        DataError: a truth cannot be read, or no image counts.
        ConfigError: `manual_path` for an edition without a secondary score.
    """
    if manual_path is not None and not edition.secondary:
        raise ConfigError(f"edition {edition.name} has no secondary score; leave out {manual_path}")
    truth = _read_truth(truth_path, edition)
    answers = {
        line.image_id: _concept_set(line.fields, edition)
        for line in checked_lines(run_path, list(truth), edition)
    }
    primary = _f1_of_images(answers, truth)
    score = _mean(primary, str(truth_path))
    if manual_path is None:
        return Score(score, None, len(primary))
    manual = _read_truth(manual_path, edition)
    _same_images(truth, manual, str(truth_path), str(manual_path))
    secondary = _f1_of_images(_only(answers, edition.secondary), _only(manual, edition.secondary))
    return Score(score, _mean(secondary, str(manual_path)), len(primary))


def _read_truth(path: Path, edition: Edition) -> dict[str, frozenset[str]]:
    form, lines = open_concept_list(path)
    truth = {}
    for line in lines:
        if line.fields is None and edition.empty_truth == "a concept":
            raise DataError(f"{path}:{line.number}: no separator after the id; expected {form.example}")
        truth[line.image_id] = _concept_set(line.fields, edition)
    return truth


def _concept_set(fields: Sequence[str] | None, edition: Edition) -> frozenset[str]:
    """The set that is compared; None is a bare id, [""] the written form of no concepts."""
    if fields is None:
        return frozenset()
    if edition.empty_truth == "skipped" and len(fields) == 1 and not fields[0].strip():
        return frozenset()
    if edition.strips:
        fields = [field.strip() for field in fields]
    return frozenset(map(str.upper, fields))


def _f1_of_images(answers: _Sets, truth: _Sets) -> dict[str, float]:
    return {image_id: _f1(answers[image_id], concepts) for image_id, concepts in truth.items() if concepts}


def _f1(answer: frozenset[str], truth: frozenset[str]) -> float:
    return 2 * len(answer & truth) / (len(answer) + len(truth))


def _only(sets: _Sets, concepts: frozenset[str]) -> dict[str, frozenset[str]]:
    return {image_id: of_image & concepts for image_id, of_image in sets.items()}


def _mean(f1_of: Mapping[str, float], where: str) -> float:
    if not f1_of:
        raise DataError(f"{where}: no image has a concept that counts; expected at least one")
    return sum(f1_of.values()) / len(f1_of)


def _same_images(
    ours: Mapping[str, object], theirs: Mapping[str, object], our: str = "the run", their: str = "the truth"
) -> None:
    for image_id in theirs:
        if image_id not in ours:
            raise DataError(f"image '{image_id}' is in {their} but not in {our}; expected the same images")
    for image_id in ours:
        if image_id not in theirs:
            raise DataError(f"image '{image_id}' is in {our} but not in {their}; expected the same images")
