"""Runs against the truth: one figure for each run, differences of runs, one line for each concept.

All are over the images that count officially:

- official F1: the mean over images; by source, over its images;
- micro F1: of all (image, concept) pairs together;
- macro F1: the mean over the concepts that the truth has, so that it is the same set for every run;
- mean average precision: over the concepts that the truth has and that the run gives scores for.

Precision without an answer and recall without a positive are not defined, and None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from imageclef.detectors.metrics import average_precision, concept_counts, macro_f1
from imageclef.reporting.beside import RunScores
from imageclef.reporting.bootstrap import Estimate, Floats, GroupBootstrap, estimates
from imageclef.reporting.inputs import Inputs, RunInputs

_BLOCK = 64
"""Concepts whose scores are made dense at once."""


@dataclass(frozen=True)
class RunMeasures:
    """What a run reaches.

    Attributes:
        f1: official, mean over images.
        f1_by_source: in the order of the sources.
        micro_f1: see above.
        macro_f1: see above.
        mean_average_precision: None without scores.
        averaged_concepts: number of concepts in that mean.
        answers_per_image: mean number of concepts answered.
        unanswered: number of images with no concept in the answer.
    """

    f1: Estimate
    f1_by_source: tuple[Estimate, ...]
    micro_f1: Estimate
    macro_f1: float
    mean_average_precision: float | None
    averaged_concepts: int
    answers_per_image: float
    unanswered: int


@dataclass(frozen=True)
class Comparison:
    """One run against another, on the same draws of groups.

    Attributes:
        run: place of the run.
        against: place of the other.
        difference: of their official F1; positive where `run` is better.
        better: share of the draws in which it is better, ties counted half; None without draws.
    """

    run: int
    against: int
    difference: Estimate
    better: float | None


@dataclass(frozen=True)
class ConceptMeasures:
    """One concept in one run.

    Attributes:
        concept: its CUI.
        support: images that have it.
        answered: images that were given it.
        right: images that have it and were given it.
        precision: None if never answered.
        recall: None if no image has it.
        f1: of these.
        average_precision: None without scores, or if no image has it.
        threshold: above which it was answered, where known.
    """

    concept: str
    support: int
    answered: int
    right: int
    precision: float | None
    recall: float | None
    f1: float
    average_precision: float | None
    threshold: float | None


def measure_runs(
    inputs: Inputs, concepts: Sequence[Sequence[ConceptMeasures]], bootstrap: GroupBootstrap
) -> tuple[list[RunMeasures], list[Comparison]]:
    """The figures of every run, and every ordered pair of runs compared.

    Args:
        inputs: what was read.
        concepts: what `measure_concepts` says of each run.
        bootstrap: over the groups of the images.
    """
    parts = _parts(inputs)
    n_parts = parts.shape[1]
    above, below = [], []
    for run in inputs.runs:
        hits = run.answers.multiply(inputs.labels)
        above += [parts * run.f1[:, None], 2 * _row_sums(hits)[:, None]]
        below += [parts, (_row_sums(run.answers) + _row_sums(inputs.labels))[:, None]]
    numerators, denominators = np.hstack(above), np.hstack(below)
    with np.errstate(invalid="ignore"):
        values = numerators.sum(axis=0) / denominators.sum(axis=0)
    width = n_parts + 1
    # Summed in this order, it is what `evaluate` says, to the last bit.
    values[::width] = [sum(run.f1.tolist()) / len(inputs.ids) for run in inputs.runs]
    draws = bootstrap.ratios(numerators, denominators)
    found = estimates(values, draws)
    measures = [
        _of_run(inputs, run, of_concepts, found[place * width : (place + 1) * width])
        for place, (run, of_concepts) in enumerate(zip(inputs.runs, concepts, strict=True))
    ]
    return measures, _compared(values[::width], draws[:, ::width])


def measure_concepts(inputs: Inputs, run: RunInputs) -> list[ConceptMeasures]:
    """Every concept that the truth or this run has, by falling support."""
    support, answered, right = concept_counts(run.answers, inputs.labels)
    precisions = _average_precisions(run.beside.scores)
    return [
        ConceptMeasures(
            concept=concept,
            support=n,
            answered=given,
            right=hits,
            precision=hits / given if given else None,
            recall=hits / n if n else None,
            f1=2 * hits / (n + given),
            average_precision=precisions.get(concept),
            threshold=run.beside.threshold_of(concept),
        )
        for concept, n, given, hits in zip(
            inputs.vocabulary.concepts, support.tolist(), answered.tolist(), right.tolist(), strict=True
        )
        if n or given
    ]


def _parts(inputs: Inputs) -> Floats:
    """(n_images, 1 + n_sources): 1 where an image belongs to the whole, and to a source."""
    whole = np.ones((len(inputs.ids), 1))
    if not inputs.sources:
        return whole
    return np.hstack([whole, inputs.source_of[:, None] == np.arange(len(inputs.sources))])


def _row_sums(matrix: csr_array) -> Floats:
    return np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()


def _of_run(
    inputs: Inputs, run: RunInputs, concepts: Sequence[ConceptMeasures], found: list[Estimate]
) -> RunMeasures:
    """`found` has the official F1, that of each source, and micro F1."""
    of_truth = np.flatnonzero(np.array(inputs.vocabulary.counts))
    precisions = [one.average_precision for one in concepts if one.average_precision is not None]
    per_image = _row_sums(run.answers)
    return RunMeasures(
        f1=found[0],
        f1_by_source=tuple(found[1:-1]),
        micro_f1=found[-1],
        macro_f1=macro_f1(run.answers[:, of_truth], inputs.labels[:, of_truth]),
        mean_average_precision=float(np.mean(precisions)) if precisions else None,
        averaged_concepts=len(precisions),
        answers_per_image=float(per_image.mean()),
        unanswered=int(np.count_nonzero(per_image == 0)),
    )


def _compared(values: NDArray[np.float64], draws: Floats) -> list[Comparison]:
    """`values` (n_runs,) and `draws` (n_draws, n_runs) of the official F1."""
    places = range(len(values))
    pairs = [(run, against) for against in places for run in places if run != against]
    found = []
    for run, against in pairs:
        differences = draws[:, run] - draws[:, against]
        estimate = estimates(values[[run]] - values[[against]], differences[:, None])[0]
        better = float(np.mean((np.sign(differences) + 1) / 2))
        found.append(Comparison(run, against, estimate, better if np.isfinite(better) else None))
    return found


def _average_precisions(scores: RunScores | None) -> dict[str, float]:
    """By concept, for those with a positive; dense only for a few concepts at a time."""
    if scores is None:
        return {}
    found: dict[str, float] = {}
    matrix, labels = scores.matrix.tocsc(), scores.labels.tocsc()
    positive = np.flatnonzero(np.diff(labels.indptr))
    for start in range(0, len(positive), _BLOCK):
        columns = positive[start : start + _BLOCK]
        values = average_precision(matrix[:, columns].toarray(), labels[:, columns].tocsr())
        found |= zip((scores.concepts[column] for column in columns), values.tolist(), strict=True)
    return found
