"""Everything that a report says, worked out before any of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from imageclef.reporting.bootstrap import DRAWS, LEVEL, GroupBootstrap
from imageclef.reporting.calibration import Calibration, calibrate
from imageclef.reporting.confusions import Confusion, top_confusions
from imageclef.reporting.examples import ConceptExamples, choose_examples
from imageclef.reporting.inputs import Inputs, RunInputs
from imageclef.reporting.measures import (
    Comparison,
    ConceptMeasures,
    RunMeasures,
    measure_concepts,
    measure_runs,
)

_EXAMPLES = 60
"""Concepts with examples, over all runs."""


@dataclass(frozen=True)
class Source:
    """A value of the column of sources, with its number of images and of groups."""

    name: str
    images: int
    groups: int


@dataclass(frozen=True)
class RunContent:
    """One run.

    Attributes:
        number: from 1, in the order given.
        name: to show.
        path: of the file, as given.
        measures: its figures.
        concepts: its concepts, by falling support.
        confusions: the pairs that meet most above chance.
        calibration: None without scores.
        examples: of the concepts with most support.
        facts: of the JSON file beside it, one level deep.
    """

    number: int
    name: str
    path: str
    measures: RunMeasures
    concepts: tuple[ConceptMeasures, ...]
    confusions: tuple[Confusion, ...]
    calibration: Calibration | None
    examples: tuple[ConceptExamples, ...]
    facts: dict[str, str]


@dataclass(frozen=True)
class Content:
    """A report.

    Attributes:
        inputs: what it is about.
        sources: the most images first; empty where no column was asked for.
        runs: in the order given.
        comparisons: every ordered pair of runs.
        names: of concepts, where known.
        best: place of the run with the highest official F1.
        draws: of the bootstrap.
        n_groups: drawn from.
    """

    inputs: Inputs
    sources: tuple[Source, ...]
    runs: tuple[RunContent, ...]
    comparisons: tuple[Comparison, ...]
    names: Mapping[str, str]
    best: int
    draws: int
    n_groups: int

    def concept(self, column: int) -> str:
        """The CUI of a column."""
        return self.inputs.vocabulary.concepts[column]

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values; what is not defined is null."""
        inputs = self.inputs
        return {
            "imageclef": version("imageclef"),
            "edition": inputs.edition.name,
            "truth": str(inputs.truth_path),
            "images": len(inputs.ids),
            "left_out": inputs.left_out,
            "concepts_of_truth": sum(count > 0 for count in inputs.vocabulary.counts),
            "concepts_per_image": sum(inputs.vocabulary.counts) / len(inputs.ids),
            "bootstrap": {
                "over": "groups" if inputs.grouped else "images",
                "groups": self.n_groups,
                "images_without_group": inputs.ungrouped,
                "draws": self.draws,
                "level": LEVEL,
            },
            "sources": [asdict(source) for source in self.sources],
            "best": self.runs[self.best].number,
            "runs": [self._run_json(run) for run in self.runs],
            "comparisons": [
                {**asdict(one), "run": self.runs[one.run].number, "against": self.runs[one.against].number}
                for one in self.comparisons
            ],
        }

    def _run_json(self, run: RunContent) -> dict[str, Any]:
        facts = asdict(run)
        facts |= facts.pop("measures")
        by_source = zip(self.sources, facts["f1_by_source"], strict=True)
        facts["f1_by_source"] = {source.name: estimate for source, estimate in by_source}
        facts["concepts"] = [{"name": self.names.get(one.concept), **asdict(one)} for one in run.concepts]
        for one in facts["confusions"]:
            one |= {"missed": self.concept(one["missed"]), "invented": self.concept(one["invented"])}
        return facts


def work_out(inputs: Inputs, names: Mapping[str, str], draws: int = DRAWS) -> Content:
    """All figures of a report.

    Args:
        inputs: what was read.
        names: of concepts, where known.
        draws: of the bootstrap.
    """
    bootstrap = GroupBootstrap(inputs.groups, draws)
    concepts = [measure_concepts(inputs, run) for run in inputs.runs]
    measures, comparisons = measure_runs(inputs, concepts, bootstrap)
    runs = tuple(
        _run(inputs, run, place, measures[place], concepts[place], bootstrap)
        for place, run in enumerate(inputs.runs)
    )
    return Content(
        inputs=inputs,
        sources=_sources(inputs),
        runs=runs,
        comparisons=tuple(comparisons),
        names=names,
        best=max(range(len(runs)), key=lambda place: runs[place].measures.f1.value or 0.0),
        draws=draws,
        n_groups=bootstrap.n_groups,
    )


def _run(
    inputs: Inputs,
    run: RunInputs,
    place: int,
    measures: RunMeasures,
    concepts: Sequence[ConceptMeasures],
    bootstrap: GroupBootstrap,
) -> RunContent:
    scores = run.beside.scores
    return RunContent(
        number=place + 1,
        name=run.name,
        path=str(run.path),
        measures=measures,
        concepts=tuple(concepts),
        confusions=tuple(top_confusions(run.answers, inputs.labels)),
        calibration=calibrate(scores, sum(inputs.vocabulary.counts), bootstrap) if scores else None,
        examples=tuple(choose_examples(inputs, run, max(3, _EXAMPLES // len(inputs.runs)))),
        facts=dict(_flat(run.beside.facts)),
    )


def _sources(inputs: Inputs) -> tuple[Source, ...]:
    found = []
    for place, name in enumerate(inputs.sources):
        groups = inputs.groups[inputs.source_of == place]
        found.append(Source(name, len(groups), len(np.unique(groups))))
    return tuple(found)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Facts one level deep: ``held_out.threshold``."""
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            lines += _flat(value, f"{name}.")
        elif isinstance(value, list):
            lines.append((name, ", ".join(map(str, value))))
        else:
            lines.append((name, f"{value:.6g}" if isinstance(value, float) else str(value)))
    return lines
