"""The whole path on drawn images, from the command line, as a user walks it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from imageclef import stages
from imageclef.cli import app
from imageclef.config import Config, load_config
from imageclef.data.concept_list import read_concept_list, read_ids
from imageclef.errors import ConfigError, DataError, MissingArtifact
from imageclef.features.exchange import write_hdf5
from imageclef.runs.constant import constant_answer
from imageclef.runs.editions import EDITIONS
from imageclef.runs.evaluate import official_f1
from imageclef.runs.parts import read_parts
from imageclef.runs.runfile import check_run
from imageclef.stages.labelled import held_out_rows
from imageclef.workspace import Workspace
from tests.walking import LEARNER, Reports, runs_of, with_tables


def write_toml(config: Config, path: Path) -> None:
    lines = [f'workspace = "{config.workspace}"', 'device = "cpu"']
    for name, collection in config.collections.items():
        lines += [f"[collections.{name}]"]
        lines += [f'{key} = "{value}"' for key, value in collection.model_dump().items() if value is not None]
    lines += ["[learner]", *(f"{key} = {json.dumps(value)}" for key, value in config.learner.items())]
    path.write_text("\n".join(lines) + "\n")


def test_broken_files_and_missing_partners_are_named(walked: Reports) -> None:
    notes = "\n".join(walked["ingest"].notes)
    assert "refused" in notes
    assert "without a file" in notes
    assert "without a line in the concept list" in notes


def test_every_stage_is_skipped_the_second_time(config: Config, walked: Reports) -> None:
    for stage in (stages.ingest, stages.train, stages.extract, stages.index):
        again = stage(config)
        assert again.skipped
        assert not again.wrote
    assert stages.classify(config, "test").skipped


@pytest.mark.parametrize("stage", ["classify", "knn"])
def test_the_runs_beat_the_constant_answer(config: Config, walked: Reports, stage: str) -> None:
    train = read_concept_list(config.collection("train").concepts)
    truth = read_concept_list(config.collection("test").concepts)
    answer = constant_answer(train)
    constant = official_f1(dict.fromkeys(truth, answer), truth, EDITIONS["2018"])
    assert walked[stage].figures["test"]["score"] > constant + 0.05


@pytest.mark.parametrize("stage", ["classify", "knn"])
def test_the_score_in_the_json_is_that_of_the_evaluator(config: Config, walked: Reports, stage: str) -> None:
    (run,) = runs_of(walked[stage])
    facts = json.loads(run.with_suffix(".json").read_text())
    scored = stages.evaluate(run, config.collection("test").concepts)
    assert facts["score"] == pytest.approx(scored.figures["score"], abs=1e-12)


@pytest.mark.parametrize("edition", list(EDITIONS))
@pytest.mark.parametrize("stage", ["classify", "knn"])
def test_every_run_passes_the_rules_of_every_edition(
    config: Config, walked: Reports, stage: str, edition: str
) -> None:
    report = getattr(stages, stage)(with_tables(config, edition=edition), "test")
    ids = read_ids(config.collection("test").concepts)
    for run in runs_of(report):
        check_run(run, ids, EDITIONS[edition])


def test_run_names_are_those_of_2018(walked: Reports) -> None:
    (linear,), (nearest,) = runs_of(walked["classify"]), runs_of(walked["knn"])
    assert Workspace(Config()).run_label == "aae"
    assert re.fullmatch(r"aae-.*width=8-500-o0-20\d\d-\d\d-\d\d_\d{4}(-\d+)?", linear.stem)
    assert re.fullmatch(r"knn-aae-.*width=8-all-20\d\d-\d\d-\d\d_\d{4}(-\d+)?", nearest.stem)


def test_an_image_that_cannot_be_read_is_answered_with_nothing(config: Config, walked: Reports) -> None:
    (run,) = runs_of(walked["classify"])
    assert stages.ingest(config).figures["test"]["refused"] == 1
    assert "unreadable\t" in run.read_text().splitlines()
    assert walked["classify"].notes == ["1 image could not be read, answered with no concept: unreadable"]


def test_the_rule_is_chosen_or_asked_for(config: Config, walked: Reports) -> None:
    figures = walked["classify"].figures["held_out"]
    assert figures["score"] == pytest.approx(figures["rules"][figures["rule"]]["score"])
    assert figures["score"] >= figures["rules"]["global"]["score"]
    asked = stages.classify(with_tables(config, classify={"rule": "fixed-k+nearest"}), "test")
    assert asked.figures["held_out"]["rule"] == "fixed-k+nearest"
    assert asked.figures["held_out"]["k"] >= 1
    with pytest.raises(ConfigError, match="a window that will be joined with others is decided by one cut"):
        stages.classify(with_tables(config, classify={"rule": "fixed-k", "offset": 4}), "test")


@pytest.mark.parametrize("stage", ["classify", "knn"])
def test_a_run_keeps_its_scores_and_its_answers_for_held_out_images(
    config: Config, walked: Reports, stage: str
) -> None:
    workspace, (run,) = Workspace(config), runs_of(walked[stage])
    test, held = read_parts(run, EDITIONS["2018"])
    train, ids = workspace.collection("train"), workspace.features("train").ids
    out = held_out_rows(workspace, train, ids)
    assert set(held.answers) == {i for i, is_out in zip(ids, out, strict=True) if is_out} & set(
        train.concepts
    )
    truth = {image_id: train.concepts[image_id] for image_id in held.answers}
    assert official_f1(held.answers, truth, EDITIONS["2018"]) > 0.5
    for part in (test, held):
        rows = {image_id: row for row, image_id in enumerate(part.scores.ids)}
        rank = {concept: column for column, concept in enumerate(part.scores.concepts)}
        scored = part.scores.matrix.toarray()
        for image_id in rows:
            assert all(scored[rows[image_id], rank[concept]] > 0 for concept in part.answers[image_id])


def test_features_of_others_answer_as_our_own(config: Config, walked: Reports, tmp_path: Path) -> None:
    workspace = Workspace(config)
    for name in ("train", "test"):
        ours = workspace.features(name)
        write_hdf5(tmp_path / f"{name}.h5", ours.ids, ours.features)
        report = stages.import_features(config, tmp_path / f"{name}.h5", "theirs", name)
        assert any("without features" in note for note in report.notes)
    assert stages.import_features(config, tmp_path / "test.h5", "theirs", "test").skipped
    theirs = with_tables(config, features=("theirs",))
    (run,) = runs_of(stages.classify(theirs, "test"))
    assert run.name.startswith("theirs-500-o0")
    assert run.read_text() == runs_of(walked["classify"])[0].read_text()
    stages.index(theirs)
    assert runs_of(stages.knn(theirs, "test"))[0].read_text() == runs_of(walked["knn"])[0].read_text()
    with pytest.raises(ConfigError, match="features 'theirs': no learner of that name is here to encode"):
        stages.similar(theirs, [next(config.collection("test").images.rglob("*.png"))])


def test_feature_sets_stand_beside_each_other(config: Config, walked: Reports) -> None:
    """The same features twice change neither the order of neighbours nor what can be told apart."""
    own = Workspace(config).extracted_label
    twice = with_tables(config, features=(own, own))
    report = stages.classify(twice, "test")
    assert runs_of(report)[0].name.startswith(f"{own}+{own}"[:150])
    alone = walked["classify"].figures["held_out"]["score"]
    assert report.figures["held_out"]["score"] == pytest.approx(alone, abs=0.03)
    missing = with_tables(config, features=(own, "nobody"))
    with pytest.raises(MissingArtifact, match=r"nobody/train is not there; .* `imageclef import-features"):
        stages.classify(missing, "test")


def test_wrong_imports_are_refused(config: Config, walked: Reports, tmp_path: Path) -> None:
    own = Workspace(config).extracted_label
    write_hdf5(tmp_path / "a.h5", ["nowhere"], np.zeros((1, 3), np.float32))
    with pytest.raises(DataError, match="none of its 1 image is of collection test; expected ids such as"):
        stages.import_features(config, tmp_path / "a.h5", "a", "test")
    with pytest.raises(ConfigError, match="is what a learner extracted; expected another name"):
        stages.import_features(config, tmp_path / "a.h5", own, "test")
    with pytest.raises(ConfigError, match="expected a name without"):
        stages.import_features(config, tmp_path / "a.h5", "../a", "test")
    np.save(tmp_path / "a.npy", np.zeros((1, 3), np.float32))
    with pytest.raises(ConfigError, match="expected --ids with a table or a list of ids"):
        stages.import_features(config, tmp_path / "a.npy", "a", "test")


def test_runs_are_joined_and_reported(config: Config, walked: Reports, tmp_path: Path) -> None:
    runs = [runs_of(walked[stage])[0] for stage in ("classify", "knn")]
    joined = stages.ensemble(config, runs, tmp_path / "joined.csv")
    assert joined.figures["images"] == len(read_ids(config.collection("test").concepts))
    truth = config.collection("test").concepts
    check_run(tmp_path / "joined.csv", read_ids(truth), EDITIONS["2018"])
    page = tmp_path / "report.html"
    stages.report_runs([*runs, tmp_path / "joined.csv"], truth, page, images=config.collection("test").images)
    facts = json.loads(page.with_suffix(".json").read_text())
    assert len(facts["runs"]) == 3


def test_windows_merge_into_one_run(config: Config, walked: Reports, tmp_path: Path) -> None:
    parts = [runs_of(stages.classify(config, "test", 4, offset))[0] for offset in (0, 4)]
    out = tmp_path / "merged.csv"
    stages.merge(parts, out)
    check_run(out, read_ids(config.collection("test").concepts), EDITIONS["2018"])
    merged = stages.evaluate(out, config.collection("test").concepts).figures["score"]
    first = stages.evaluate(parts[0], config.collection("test").concepts).figures["score"]
    assert merged > first


def test_a_window_beyond_the_last_concept_is_refused(config: Config, walked: Reports) -> None:
    with pytest.raises(DataError, match=r"offset"):
        stages.classify(config, "test", 500, 5000)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_an_indexed_image_is_its_own_nearest_neighbour(
    config: Config, walked: Reports, metric: str, tmp_path: Path
) -> None:
    config = with_tables(config, index={"metric": metric})
    stages.index(config)
    image = next(path for path in sorted(config.collection("train").images.rglob("[TV]*.png")))
    sheet = tmp_path / "sheet.png"
    report = stages.similar(config, [image], k=5, sheet=sheet)
    first = report.figures["neighbors"][0]
    assert first["id"] == image.stem
    assert first["distance"] == pytest.approx(0, abs=1e-3)
    assert first["shared"] == first["concepts"] == report.figures["query"]["concepts"]
    assert [neighbor["rank"] for neighbor in report.figures["neighbors"]] == [1, 2, 3, 4, 5]
    distances = [neighbor["distance"] for neighbor in report.figures["neighbors"]]
    assert distances == sorted(distances)
    assert Image.open(sheet).size[0] > 400


def test_an_unknown_image_gets_the_concepts_of_the_classifier(
    config: Config, walked: Reports, tmp_path: Path
) -> None:
    known = next(path for path in sorted(config.collection("train").images.rglob("[TV]*.png")))
    unknown = tmp_path / known.name  # the name of a listed image, but not that image
    with Image.open(known) as picture:
        picture.rotate(1).save(unknown)
    query = stages.similar(config, [unknown], k=3).figures["query"]
    assert query["concepts_from"] == "the classifier"
    assert query["concepts"]


def test_a_query_that_is_no_image_is_refused(config: Config, walked: Reports, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("not an image")
    with pytest.raises(DataError, match=r"notes\.png.*not an image"):
        stages.similar(config, [text])


def test_a_stage_names_the_command_that_makes_what_it_needs(config: Config, tmp_path: Path) -> None:
    empty = with_tables(config, workspace=tmp_path)
    for stage, command in (
        (stages.train, "imageclef ingest"),
        (stages.extract, "imageclef train"),
        (stages.classify, "imageclef extract"),
        (stages.index, "imageclef extract"),
        (stages.knn, "imageclef index"),
    ):
        with pytest.raises(MissingArtifact, match=command):
            stage(empty)


def test_a_typo_stops_every_stage_before_any_work(config: Config, tmp_path: Path) -> None:
    for stage in (stages.ingest, stages.train, stages.extract, stages.classify, stages.index, stages.knn):
        with pytest.raises(ConfigError, match="latentdim"):
            stage(with_tables(config, workspace=tmp_path, learner={"name": "aae", "latentdim": 3}))
    assert not list(tmp_path.iterdir())


def test_the_learner_and_the_classifier_are_fitted_to_the_same_part_only(
    config: Config, walked: Reports
) -> None:
    workspace = Workspace(config)
    store, train = workspace.store("train"), workspace.collection("train")
    held = held_out_rows(workspace, train, store.ids)
    listed = np.array([image_id in train.concepts for image_id in store.ids])
    assert 0.1 < held.mean() < 0.2
    assert f": {(~held).sum()} images to learn from" in walked["train"].read[0]
    figures = walked["classify"].figures["held_out"]
    assert figures["fitted_on"] == (~held & listed).sum()
    assert figures["tuned_on"] == (held & listed).sum()
    parts: dict[bool, set[str]] = {True: set(), False: set()}
    for image_id, out in zip(store.ids, held, strict=True):
        parts[bool(out)].add(train.groups.get(image_id, image_id))
    assert not parts[True] & parts[False]


def test_the_command_line_speaks_json(config: Config, walked: Reports, tmp_path: Path) -> None:
    toml = tmp_path / "imageclef.toml"
    write_toml(config, toml)
    runner, truth = CliRunner(), str(config.collection("test").concepts)
    made = runner.invoke(
        app, ["classify", "--top", "500", "--collection", "test", "--config", str(toml), "--json"]
    )
    assert made.exit_code == 0, made.output
    (run,) = json.loads(made.output)["runs"]
    scored = runner.invoke(app, ["evaluate", run, truth, "--edition", "2018", "--json"])
    assert json.loads(scored.output)["score"] == json.loads(made.output)["test"]["score"]
    valid = runner.invoke(app, ["validate", run, "--edition", "2018", "--ids", truth])
    assert valid.exit_code == 0
    image = next(path for path in sorted(config.collection("test").images.rglob("[TV]*.png")))
    found = runner.invoke(app, ["similar", str(image), "-k", "4", "--json", "--config", str(toml)])
    assert len(json.loads(found.output)["neighbors"]) == 4


@pytest.mark.parametrize("learner", ["orb", "pca", "pixels"])
def test_the_path_is_the_same_for_every_learner(config: Config, learner: str) -> None:
    sizes = {
        "orb": {"n_words": 24, "image_size": 160},
        "pca": {"image_size": 24, "n_components": 16},
        "pixels": {},
    }
    config = with_tables(config, learner={"name": learner, **sizes[learner]})
    stages.ingest(config)
    stages.train(config)
    stages.extract(config)
    (run,) = runs_of(stages.classify(config, "test"))
    assert run.name.startswith(f"{learner}-")
    stages.index(config)
    assert stages.knn(config, "test").figures["test"]["score"] > 0


def test_pooled_levels_are_features_too(config: Config, walked: Reports) -> None:
    pooled = with_tables(config, extract={"output": "pooled"})
    assert "rows of" in stages.extract(pooled).wrote[0]
    (run,) = runs_of(stages.classify(pooled, "test"))
    assert "-pooled-500-o0-" in run.name


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(config: Config, tmp_path: Path) -> None:
    """A real SIGKILL on a real process, after its first checkpoint; then the same command again."""
    toml = tmp_path / "imageclef.toml"
    killed = with_tables(config, workspace=tmp_path / "killed", learner={**LEARNER, "epochs": 30})
    stages.ingest(killed)
    write_toml(killed, toml)
    command = [sys.executable, "-m", "imageclef", "train", "--config", str(toml)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    partial = tmp_path / "killed" / "learners"
    deadline = time.monotonic() + 60
    while not list(partial.glob(".*.partial/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(partial.glob("aae*"))
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    (resumed,) = partial.glob("aae*/model.safetensors")
    history = (resumed.parent / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == list(range(1, 31))

    whole = with_tables(killed, workspace=tmp_path / "whole")
    stages.ingest(whole)
    write_toml(whole, toml)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    (uninterrupted,) = (tmp_path / "whole" / "learners").glob("aae*/model.safetensors")
    assert resumed.read_bytes() == uninterrupted.read_bytes()


def test_features_do_not_depend_on_the_size_of_a_batch(config: Config, walked: Reports) -> None:
    fp32 = {"precision": "fp32"}
    rows = []
    for batch_size in (256, 7):
        changed = with_tables(config, extract={**fp32, "batch_size": batch_size})
        folder = Workspace(changed).features_path("test")
        stages.extract(changed, "test", force=True)
        rows.append(np.load(folder / "features.npy"))
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-4, atol=1e-5)


def test_the_defaults_of_the_configuration_are_checked_settings() -> None:
    assert load_config(Path(os.devnull)).learner["name"] == "aae"


def test_check_names_what_is_damaged(config: Config, walked: Reports, tmp_path: Path) -> None:
    workspace = tmp_path / "copy"
    shutil.copytree(config.workspace, workspace)
    copied = with_tables(config, workspace=workspace)
    whole = stages.check(copied)
    assert whole.ok
    assert whole.figures["damaged"] == 0
    assert whole.figures["artifacts"] >= 8
    weights = next(workspace.glob("learners/*/*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    features = next(workspace.glob("features/*/train/features.npy"))
    features.write_bytes(features.read_bytes()[:-4])
    (features.parent / "stray").write_text("")
    store = next(workspace.glob("stores/train-*"))
    (store / "ids.txt").unlink()
    (store.parent / ".half.partial").mkdir()
    report = stages.check(copied)
    assert not report.ok
    assert report.figures["damaged"] == 3
    assert report.figures["stopped"] == 1
    notes = "\n".join(report.notes)
    for expected in (
        r"learners/.*safetensors: changed since",
        r"train/features\.npy: [\d,]+ bytes; expected",
        r"ids\.txt: missing",
        r"\.half\.partial: was stopped",
    ):
        assert re.search(expected, notes)
    done = CliRunner().invoke(app, ["check", "--set", f"workspace={workspace}"])
    assert done.exit_code == 1
