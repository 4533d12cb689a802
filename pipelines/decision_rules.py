"""Every decision rule on several feature sets, and the runs joined: a table on images never tuned on.

    python pipelines/decision_rules.py FOLDER --workspace WORKSPACE --features aae-small --features orb-small

FOLDER is as for `uapt_2018.py`, WORKSPACE one that has the feature sets of these names; a + puts sets beside
each other. Everything is fitted and tuned on train, by groups; the rule that is chosen is chosen there too.
valid is answered, scored, and looked at in the table only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from imageclef import stages
from imageclef.config import Config
from imageclef.detectors.selection import CANDIDATES, PLAIN
from imageclef.stages.report import Report

TARGET = "valid"


class Experiment:
    """Runs of classifiers and neighbours over the same images."""

    def __init__(self, data: Path, workspace: Path) -> None:
        collections = {name: self._collection(data, name) for name in ("train", TARGET)}
        self.base: dict[str, Any] = {"workspace": workspace, "collections": collections}
        self.truth, self.groups = data / f"{TARGET}-concepts.csv", data / f"{TARGET}-sources.csv"
        self.folder = workspace / "decision-rules"
        self.folder.mkdir(exist_ok=True)

    def linear(self, features: str, **classify: object) -> Report:
        """A run of the linear classifier."""
        return stages.classify(self._config(features, classify=classify), TARGET)

    def neighbours(self, features: str) -> Report:
        """A run of the nearest neighbours by cosine."""
        config = self._config(features, index={"metric": "cosine"})
        stages.index(config)
        return stages.knn(config, TARGET)

    def joined(self, name: str, runs: list[Path]) -> tuple[Path, dict[str, Any]]:
        """The ensemble of runs, and its figures."""
        out = self.folder / f"{name}.csv"
        return out, stages.ensemble(self._config(""), runs, out).figures

    def compared(self, name: str, runs: list[Path]) -> dict[str, Any]:
        """Scores of runs with intervals over groups, and what each gains over the first."""
        page = self.folder / f"{name}.html"
        stages.report_runs(runs, self.truth, page, groups=self.groups if self.groups.exists() else None)
        facts = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
        gains = [one for one in facts["comparisons"] if one["against"] == 1]
        return {"runs": [{"run": run["name"], "f1": run["f1"]} for run in facts["runs"]], "gains": gains}

    def _config(self, features: str, **tables: object) -> Config:
        return Config.model_validate(
            {**self.base, "features": tuple(filter(None, features.split("+"))), **tables}
        )

    @staticmethod
    def _collection(data: Path, name: str) -> dict[str, Path]:
        tables = {"concepts": data / f"{name}-concepts.csv", "groups": data / f"{name}-sources.csv"}
        return {"images": data / name, **{key: path for key, path in tables.items() if path.exists()}}


def run_of(report: Report) -> Path:
    """The run file of a stage, made now or before."""
    return Path(report.runs[0])


def main(
    data: Annotated[Path, typer.Argument(help="Holds train, valid and their concept lists.")],
    workspace: Annotated[Path, typer.Option(help="With the feature sets.")],
    features: Annotated[list[str], typer.Option(help="Feature sets; repeatable.")],
) -> None:
    """Print the tables and write them as JSON into the workspace."""
    experiment, rows, best_runs = Experiment(data, workspace), {}, []
    for name in features:
        chosen = experiment.linear(name)
        held_out = chosen.figures["held_out"]
        scores = {}
        for rule in CANDIDATES:
            report = experiment.linear(name, rule=rule, c=held_out["c"])
            scores[rule] = report.figures[TARGET]["score"]
            typer.echo(f"{name:32} {rule:22} {held_out['rules'][rule]['score']:.4f} {scores[rule]:.4f}")
            if rule == PLAIN:
                plain = run_of(report)
        own = experiment.linear(name, c="per-concept")
        neighbours = experiment.neighbours(name)
        best_runs += [run_of(chosen), run_of(neighbours)]
        facts = experiment.compared(name, [plain, run_of(chosen), run_of(own), run_of(neighbours)])
        rows[name] = {
            "c": held_out["c"],
            "held_out": held_out["rules"],
            TARGET: scores,
            "chosen": held_out["rule"],
            "per_concept_c": own.figures[TARGET]["score"],
            "knn": neighbours.figures[TARGET]["score"],
            "intervals": facts,
        }
    joined, figures = experiment.joined("all", best_runs)
    score = stages.evaluate(joined, experiment.truth).figures["score"]
    typer.echo(f"{'joined':32} {figures['classifier']:22} {score:.4f}")
    facts = experiment.compared("joined", [*best_runs, joined])
    result = {
        "features": rows,
        "joined": {"score": score, "figures": figures, "intervals": facts},
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("imageclef", "torch", "scikit-learn")},
    }
    out = experiment.folder / "table.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    typer.echo(out)


if __name__ == "__main__":
    typer.run(main)
