"""Demo: a drawn collection, and the whole path over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imageclef.config import Config, load_config
from imageclef.demo.drawn import DrawnCollection, draw_collection
from imageclef.progress import Reporter, Silent
from imageclef.runs.constant import constant_answer
from imageclef.runs.evaluate import official_f1
from imageclef.stages.classifier import classify
from imageclef.stages.features import extract
from imageclef.stages.images import ingest
from imageclef.stages.index import index
from imageclef.stages.knn import knn
from imageclef.stages.labelled import required_concepts
from imageclef.stages.learner import train
from imageclef.stages.report import Report
from imageclef.stages.similar import similar
from imageclef.storage.artifacts import Recipe, building, up_to_date
from imageclef.storage.outputs import output_file, require_writable
from imageclef.workspace import Workspace

_N_TRAIN, _N_TEST, _SEED = 800, 200, 0

_CONFIG = """\
# The demo's configuration: what `imageclef demo` drew, and a learner that two cores train in half a minute.
workspace = "artifacts"

[collections.train]
images = "{train_images}"
concepts = "{train_concepts}"
groups = "{train_groups}"

[collections.test]
images = "{test_images}"
concepts = "{test_concepts}"

[learner]
name = "aae"
preset = "small"
width = 16
latent_dim = 128
epochs = 10
"""


def demo(folder: Path = Path("demo"), reporter: Reporter | None = None) -> Report:
    """Draw a collection, then ingest, train, extract, classify, index, k-NN and a similarity query.

    Args:
        folder: for the collection, the configuration and everything made; what is up to date is kept.
        reporter: told about the progress, and each stage's outcome.
    """
    reporter, report = reporter or Silent(), Report("demo")
    config_path, sheet = folder / "imageclef.toml", folder / "similar.png"
    require_writable(sheet)
    config = _prepared(folder, config_path, reporter)

    def walk(line: str, stage: Callable[[], Report]) -> Report:
        reporter.say(line)
        done = stage()
        for note in done.notes:
            reporter.say(f"          {note}")
        return done

    walk("ingest    images and concept lists -> store", lambda: ingest(config, reporter=reporter))
    walk("train     store -> learner (labels are not used)", lambda: train(config, reporter))
    walk("extract   learner -> features", lambda: extract(config, reporter=reporter))
    linear = walk("classify  features -> run", lambda: classify(config, reporter=reporter))
    walk("index     features -> index", lambda: index(config, reporter=reporter))
    nearest = walk("knn       index -> run", lambda: knn(config, reporter=reporter))
    query = _query(config)
    walk(f"similar   {query} -> {sheet}", lambda: similar(config, [query], k=10, sheet=sheet))
    report.read.append(str(config_path))
    report.runs += linear.runs + nearest.runs
    report.wrote += [*report.runs, str(sheet)]
    report.figures = {
        "linear classifier": {"score": linear.figures["test"]["score"]},
        "nearest neighbours": {"score": nearest.figures["test"]["score"]},
        "constant answer": {"score": _constant_score(config)},
    }
    return report.done(f"imageclef similar {query} -k 10 --config {config_path}")


def _prepared(folder: Path, config_path: Path, reporter: Reporter) -> Config:
    """Draw the collection and write its configuration, unless both are there.

    Raises:
        ArtifactError: the folder has a configuration or data of others.
    """
    data, recipe = folder / "data", Recipe("demo", {"train": _N_TRAIN, "test": _N_TEST}, seed=_SEED)
    if not up_to_date(data, recipe):
        require_writable(config_path)
        reporter.say(f"draw      {_N_TRAIN + _N_TEST} images -> {data}")
        with building(data, recipe) as partial:
            draw_collection(partial, _N_TRAIN, _N_TEST, _SEED)
    if not config_path.exists():
        drawn = vars(DrawnCollection.within(Path("data")))
        with output_file(config_path) as hidden:
            hidden.write_text(
                _CONFIG.format(**{name: path.as_posix() for name, path in drawn.items()}), "utf-8"
            )
    return load_config(config_path)


def _query(config: Config) -> Path:
    """The first of the test images that show the most."""
    truth = required_concepts(Workspace(config).collection("test"))
    query = max(sorted(truth), key=lambda image_id: len(truth[image_id]))
    return next(config.collection("test").images.rglob(f"{query}.*"))


def _constant_score(config: Config) -> float:
    """What the constant answer of the training collection scores on the test collection."""
    workspace = Workspace(config)
    truth = required_concepts(workspace.collection("test"))
    answer = constant_answer(required_concepts(workspace.collection("train")))
    return official_f1(dict.fromkeys(truth, answer), truth, workspace.edition)
