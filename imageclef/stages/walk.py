"""Demo: a drawn collection, and the whole path over it."""

from __future__ import annotations

from pathlib import Path

from imageclef.config import Config, load_config
from imageclef.data.phantoms import draw_collection
from imageclef.progress import Reporter, Silent
from imageclef.stages.classify import classify
from imageclef.stages.extract import extract
from imageclef.stages.index import index
from imageclef.stages.ingest import ingest
from imageclef.stages.knn import knn
from imageclef.stages.report import Report, shown
from imageclef.stages.similar import similar
from imageclef.stages.train import train

_N_TRAIN, _N_TEST, _SEED = 900, 200, 0

_CONFIG = """\
# The demo's configuration: what `imageclef demo` drew, and a learner that two cores train in half a minute.
workspace = "{folder}/artifacts"

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
    """Draw phantoms, then ingest, train, extract, classify, index, k-NN and a similarity query.

    Args:
        folder: for the collection, the configuration and everything made; what is there and up to date is kept.
        reporter: told about the progress, and each stage's outcome.
    """
    reporter, report = reporter or Silent(), Report("demo")
    config_path = folder / "imageclef.toml"
    config = _prepared(folder, config_path, reporter)
    reporter.say("ingest    images -> store")
    ingested = ingest(config, reporter=reporter)
    for note in ingested.notes:
        reporter.say(f"          {note}")
    reporter.say("train     store -> learner")
    train(config, reporter=reporter)
    reporter.say("extract   learner -> features")
    extract(config, reporter=reporter)
    reporter.say("classify  features -> run")
    linear = classify(config, reporter=reporter)
    reporter.say("index     features -> index -> run")
    index(config, reporter=reporter)
    neighbours = knn(config, reporter=reporter)
    query = next(path for path in sorted((folder / "test").rglob("*.png")))
    sheet = folder / "similar.png"
    reporter.say(f"similar   {query} -> {sheet}")
    similar(config, query, k=10, sheet=sheet)
    report.read.append(str(config_path))
    report.wrote += [*(path for path in linear.wrote + neighbours.wrote if path.endswith(".csv")), shown(sheet)]
    report.figures = {
        "linear": _scores(linear),
        "knn": _scores(neighbours),
        "constant": {"score_held_out": linear.figures["held_out"]["score_held_out_constant"]},
    }
    return report.done(f"imageclef similar {query} -k 10 --config {config_path}")
