"""Artifacts are identified by content: the same bytes are up to date wherever and whenever they came."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from imageclef import stages
from imageclef.config import Config, load_config
from imageclef.demo.drawn import draw_collection
from imageclef.storage.artifacts import open_artifact
from imageclef.workspace import Workspace
from tests.walking import LEARNER, with_tables

STAGES = ("ingest", "train", "extract", "classify", "index", "knn")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    drawn = draw_collection(folder / "data", 40, 10, seed=0)
    paths = {key: value.relative_to(folder).as_posix() for key, value in vars(drawn).items()}
    learner = {**LEARNER, "epochs": 1}
    (folder / "imageclef.toml").write_text(
        'workspace = "artifacts"\ndevice = "cpu"\n'
        f'[collections.train]\nimages = "{paths["train_images"]}"\nconcepts = "{paths["train_concepts"]}"\n'
        f'groups = "{paths["train_groups"]}"\n'
        f'[collections.test]\nimages = "{paths["test_images"]}"\nconcepts = "{paths["test_concepts"]}"\n'
        "[learner]\n" + "".join(f"{key} = {value!r}\n" for key, value in learner.items())
    )
    return folder


def walk(config: Config) -> dict[str, list[str]]:
    """What each stage wrote."""
    return {stage: getattr(stages, stage)(config).wrote for stage in STAGES}


def test_nothing_runs_again_for_files_that_hold_the_same(project: Path) -> None:
    assert all(walk(load_config(project / "imageclef.toml")).values())

    # Touched.
    for path in (project / "data").rglob("*"):
        os.utime(path, (1, 1))
    assert not any(walk(load_config(project / "imageclef.toml")).values())

    # The images moved within the project.
    (project / "data" / "train").rename(project / "elsewhere")
    toml = project / "imageclef.toml"
    toml.write_text(toml.read_text().replace('images = "data/train"', 'images = "elsewhere"'))
    assert not any(walk(load_config(toml)).values())

    # The whole project copied, with new times, and used from another folder.
    copied = shutil.copytree(project, project.with_name("copied"), copy_function=shutil.copyfile)
    shutil.rmtree(project)
    config = load_config(copied / "imageclef.toml")
    wrote = walk(config)
    assert not any(wrote.values()), wrote

    # One image that changed makes everything run that depends on it.
    first = min((copied / "elsewhere").rglob("*.png"))
    second = max((copied / "elsewhere").rglob("*.png"))
    shutil.copyfile(second, first)
    assert all(walk(config).values())


def test_trainings_with_the_same_weights_are_interchangeable(project: Path) -> None:
    config = load_config(project / "imageclef.toml")
    walk(config)
    learner = Workspace(config).learner_path
    before = open_artifact(learner, "imageclef train").digest
    assert stages.train(config, force=True).wrote
    assert open_artifact(learner, "imageclef train").digest == before
    assert not any(walk(config).values())


def test_a_run_that_was_changed_is_not_up_to_date(project: Path) -> None:
    config = load_config(project / "imageclef.toml")
    walk(config)
    (run,) = map(Path, stages.classify(config).runs)
    run.write_text(run.read_text() + "more\t\n")
    (other,) = map(Path, stages.classify(config).runs)
    assert other != run
    assert stages.classify(config).runs == [str(other)]


def test_other_groups_are_another_training(project: Path) -> None:
    """The groups decide which images are held out, and only that."""
    config = load_config(project / "imageclef.toml")
    walk(config)
    groups = project / "data" / "train-groups.csv"
    lines = groups.read_text().splitlines()
    groups.write_text(
        "\n".join([lines[0], *(f"{line.split(',')[0]},g{n},x" for n, line in enumerate(lines[1:]))])
    )
    assert not [path for path in stages.ingest(config).wrote if "stores" in path]
    assert stages.train(config).wrote


def test_settings_that_change_a_result_have_a_place_of_their_own(project: Path) -> None:
    config = load_config(project / "imageclef.toml")
    walk(config)
    folder = config.workspace / "classifiers"
    others = [
        with_tables(config, classify={"c": 0.1}),
        with_tables(config, classify={"rule": "global"}),
        with_tables(config, split={"fraction": 0.3}),
        with_tables(config, edition="2023"),
    ]
    for n, other in enumerate(others[:2], start=2):
        assert stages.classify(other).wrote
        assert len(list(folder.glob("[!.]*"))) == n
    assert not stages.classify(config).wrote
    labels = {Workspace(one).classifier_path(500, 0) for one in [config, *others]}
    assert len(labels) == len(others) + 1
    runs = sorted(path.stem for path in (config.workspace / "runs").glob("*.csv"))
    assert len({name.rsplit("-20", 1)[0] for name in runs}) == 4, runs
    assert stages.classify(config, force=True).wrote
