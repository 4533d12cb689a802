"""The nine runs of the UA.PT team for ImageCLEF caption 2018, on a collection of your own, and their table.

    python pipelines/uapt_2018.py FOLDER [--preset small|paper] [--workspace artifacts/uapt-2018]

FOLDER holds train/, valid/, train-concepts.csv, valid-concepts.csv and, if there are groups,
train-sources.csv with the columns ID and group (with a column source in valid-sources.csv, --source adds a
column of scores). Everything is fitted and tuned on train; valid is answered, scored, and looked at in the
table only. A pipeline that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer

from imageclef import stages
from imageclef.config import Config
from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.progress import Reporter
from imageclef.runs.constant import constant_answer
from imageclef.runs.editions import EDITIONS
from imageclef.runs.evaluate import per_image_f1
from imageclef.runs.runfile import merged_run_name, read_run
from imageclef.stages.report import Report
from imageclef.terminal import reporter

TARGET = "valid"
EDITION = EDITIONS["2018"]
N_WINDOWS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        run: what the run is called in 2018, without its date; empty for a plain row.
        features: the learner.
        classifier: how concepts follow from features.
        f1_2018: the official F1 of the run of 2018.
    """

    run: str
    features: str
    classifier: str
    f1_2018: float | None = None


Answer = tuple[Row, dict[str, tuple[str, ...]]]


class Pipeline:
    """The order of things; the numbers come from the preset."""

    def __init__(
        self, data: Path, workspace: Path, preset: str, device: str, seed: int, say: Reporter
    ) -> None:
        self.data, self.say = data, say
        self.base = {
            "workspace": workspace,
            "device": device,
            "seed": seed,
            "collections": {"train": self._collection("train"), TARGET: self._collection(TARGET)},
            # As in 2018: one cut for all concepts, and nothing fitted to the part that it was tuned on.
            "classify": {"rule": "global", "refit": False},
        }
        self.preset = preset
        self.train = read_concept_list(data / "train-concepts.csv")
        self.seconds: dict[str, float] = {}

    def answers(self) -> Iterator[Answer]:
        """Every row of the table with its run."""
        n = len(Vocabulary.count(self.train.values()).concepts)
        window = min(500, -(-n // N_WINDOWS))
        constant = constant_answer(self.train)
        truth = read_concept_list(self.data / f"{TARGET}-concepts.csv")
        yield Row("", "none", f"the {len(constant)} most frequent concepts"), dict.fromkeys(truth, constant)

        pixels = self.prepared("pixels")
        nearest = {**self._table("knn"), "vote": "union", "ks": (1,)}
        yield (
            Row("", "32x32 grey pixels", "nearest neighbour, cosine"),
            self.knn(pixels, "cosine", knn=nearest),
        )
        yield Row("", "PCA of pixels", "linear, 500"), self.linear(self.prepared("pca"))
        for name, features in (("aae", "AAE, untrained"), ("faae", "F-AAE, untrained")):
            yield Row("", features, "linear, 500"), self.linear(self.prepared(name, epochs=0))

        aae = self.prepared("aae")
        yield Row("aae-500-o0", "AAE", "linear, 500", 0.1102), self.linear(aae)
        merged = f"linear, {N_WINDOWS} windows of {window} merged"
        yield Row("aae-2500-merge", "AAE", merged, 0.1082), self.windows(aae, window, n)
        orb = self.prepared("orb")
        yield Row("lin-orb-500-o0", "ORB words", "linear, 500", 0.0978), self.linear(orb)
        faae = self.prepared("faae")
        yield Row("faae-500-o0", "F-AAE", "linear, 500", 0.0825), self.linear(faae)
        yield Row("knn-ip-aae-train", "AAE", "k-NN, cosine", 0.0570), self.knn(aae, "cosine")
        yield Row("knn-aae-all", "AAE", "k-NN, L2", 0.0559), self.knn(aae, "l2")
        yield Row("knn-orb-all", "ORB words", "k-NN, L2", 0.0314), self.knn(orb, "l2")
        yield Row("knn-ip-faae-all", "F-AAE", "k-NN, cosine", 0.0280), self.knn(faae, "cosine")
        yield Row("knn-faae-all", "F-AAE", "k-NN, L2", 0.0272), self.knn(faae, "l2")

    def prepared(self, learner: str, **settings: object) -> Config:
        """Ingest for, train and extract with a learner."""
        table = {"name": learner, "preset": self.preset, **settings}
        config = Config.model_validate({**self.base, "learner": table})
        for stage in (stages.ingest, stages.train, stages.extract):
            self._timed(f"{stage.__name__} {learner}", lambda stage=stage: stage(config, reporter=self.say))
        return config

    def linear(self, config: Config, top: int = 500, offset: int = 0) -> dict[str, tuple[str, ...]]:
        """The run of the linear classifier."""
        call = lambda: stages.classify(config, TARGET, top, offset, reporter=self.say)  # noqa: E731
        return self._run(self._timed(f"classify {config.learner['name']}", call))

    def windows(self, config: Config, window: int, n: int) -> dict[str, tuple[str, ...]]:
        """The run of several classifiers over consecutive ranks of concepts, merged."""
        parts = []
        for offset in range(0, min(n, N_WINDOWS * window), window):
            report = stages.classify(config, TARGET, window, offset, reporter=self.say)
            parts.append(self._path(report))
        name = merged_run_name("aae", window * N_WINDOWS, datetime.now(UTC))
        out = config.workspace / "runs" / f"{name}.csv"
        stages.merge(parts, out)
        return read_run(out, EDITION)

    def knn(
        self, config: Config, metric: str, knn: dict[str, object] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """The run of the nearest neighbours."""
        tables = {**config.model_dump(), "index": {"metric": metric}, **({"knn": knn} if knn else {})}
        config = Config.model_validate(tables)
        stages.index(config, reporter=self.say)
        call = lambda: stages.knn(config, TARGET, reporter=self.say)  # noqa: E731
        return self._run(self._timed(f"knn {config.learner['name']}", call))

    def _collection(self, name: str) -> dict[str, Path]:
        tables = {"concepts": self.data / f"{name}-concepts.csv", "groups": self.data / f"{name}-sources.csv"}
        return {"images": self.data / name, **{key: path for key, path in tables.items() if path.exists()}}

    def _table(self, section: str) -> dict[str, object]:
        return dict(getattr(Config.model_validate(self.base), section).model_dump())

    def _timed(self, what: str, call: Callable[[], Report]) -> Report:
        report = call()
        self.seconds[what] = self.seconds.get(what, 0.0) + report.seconds
        self.say.say(f"{report.seconds:8.1f} s  peak {_peak_memory():.2f} GB  {what}")
        return report

    def _path(self, report: Report) -> Path:
        return Path(report.runs[0])

    def _run(self, report: Report) -> dict[str, tuple[str, ...]]:
        return read_run(self._path(report), EDITION)


def main(
    data: Annotated[Path, typer.Argument(help="Holds train, valid and their concept lists.")],
    preset: Annotated[str, typer.Option(help="small or paper.")] = "small",
    workspace: Annotated[Path, typer.Option(help="Where artifacts and the table go.")] = Path(
        "artifacts/uapt-2018"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the learners.")] = 0,
    source: Annotated[
        list[str] | None, typer.Option(help="A further column for the images of a source.")
    ] = None,
) -> None:
    """Make the runs and write table.md and table.json into the workspace."""
    started = time.monotonic()
    pipeline = Pipeline(data, workspace, preset, device, seed, reporter(silent=False))
    truth = read_concept_list(data / f"{TARGET}-concepts.csv")
    masks = {TARGET: set(truth)}
    for name in source or []:
        table = pd.read_csv(data / f"{TARGET}-sources.csv", dtype=str)
        masks[name] = set(table.loc[table["source"] == name, "ID"])
    rows = []
    for row, run in pipeline.answers():
        scores = per_image_f1(run, truth, EDITION)
        means = {name: _mean([scores[i] for i in scores if i in mask]) for name, mask in masks.items()}
        rows.append({**vars(row), **means})
        typer.echo(f"{row.run or 'plain':18} {row.features:18} {row.classifier:32} {means[TARGET]:.4f}")
    facts = {
        "preset": preset,
        "seed": seed,
        "images": {"train": len(pipeline.train), TARGET: len(truth)},
        "minutes": round((time.monotonic() - started) / 60, 1),
        "minutes_of_all_artifacts": round(_seconds_spent(workspace) / 60, 1),
        "peak_memory_gb": round(_peak_memory(), 2),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{_processor()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("imageclef", "torch", "scikit-learn")},
        "python": platform.python_version(),
        "seconds": pipeline.seconds,
    }
    (workspace / "table.json").write_text(json.dumps({"rows": rows, **facts}, indent=2) + "\n")
    text = _markdown(rows, list(masks))
    (workspace / "table.md").write_text(text)
    typer.echo(f"\n{text}\n{json.dumps({key: facts[key] for key in facts if key != 'seconds'})}")


def _peak_memory() -> float:
    """The most this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _seconds_spent(workspace: Path) -> float:
    """What every artifact took to make, in this run or in one that was stopped."""
    manifests = [json.loads(path.read_text()) for path in workspace.glob("**/manifest.json")]
    return float(sum(manifest["seconds"] for manifest in manifests))


def _processor() -> str:
    """The GPU, else the first processor's model name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpus = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpus.read_text().splitlines() if "model name" in line]
    return models[0] if models else platform.processor()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _markdown(rows: list[dict[str, object]], columns: list[str]) -> str:
    head = ["run", "features", "classifier", *(f"F1 on {name}" for name in columns), "F1 in 2018"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        scores = [f"{row[name]:.3f}" for name in columns]
        past = f"{row['f1_2018']:.4f}" if row["f1_2018"] else ""
        lines.append(
            "| "
            + " | ".join([f"{row['run']}", f"{row['features']}", f"{row['classifier']}", *scores, past])
            + " |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
