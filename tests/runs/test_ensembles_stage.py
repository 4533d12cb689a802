from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.concept_list import ConceptLists, write_concept_list
from imageclef.errors import ConfigError, DataError, ImageclefError, MissingArtifact
from imageclef.runs.editions import EDITIONS
from imageclef.runs.evaluate import evaluate_run, official_f1
from imageclef.runs.parts import Part, read_parts, write_parts
from imageclef.runs.runfile import check_run, read_run
from imageclef.runs.scores import Scores
from imageclef.stages.ensembles import ensemble
from imageclef.storage.artifacts import Recipe, building

EDITION = EDITIONS["2018"]
CONCEPTS = tuple(f"C{number:07}" for number in range(20))
KNOWN = {"left": np.arange(20) < 10, "right": np.arange(20) >= 10}


def truth_of(ids: list[str], rng: np.random.Generator) -> NDArray[np.bool_]:
    truth = rng.random((len(ids), 20)) < 0.15
    truth[np.arange(len(ids)), rng.integers(20, size=len(ids))] = True
    return truth


def lists(ids: list[str], matrix: NDArray[np.bool_]) -> ConceptLists:
    return {i: tuple(np.array(CONCEPTS)[row].tolist()) for i, row in zip(ids, matrix, strict=True)}


class House:
    """A workspace with an ingested collection, and runs that know half of the concepts each."""

    def __init__(self, folder: Path, edition: str = "2018", images_of_a_patient: int = 3) -> None:
        self.rng = np.random.default_rng(0)
        self.runs, self.edition = folder / "runs", EDITIONS[edition]
        self.config = Config.model_validate(
            {
                "workspace": folder / "artifacts",
                "edition": edition,
                "collections": {"train": {"images": folder}},
            }
        )
        self.held = [f"h{number}" for number in range(90)]
        self.tests = [f"t{number}" for number in range(60)]
        self.truth_held, self.truth_test = truth_of(self.held, self.rng), truth_of(self.tests, self.rng)
        self.truth_held[7] = False
        everyone = {**lists(self.held, self.truth_held), "fitted": CONCEPTS[:2]}
        with building(folder / "artifacts" / "collections" / "train", Recipe("ingest", {})) as ingested:
            (ingested / "ids.txt").write_text("\n".join(everyone) + "\n")
            write_concept_list(ingested / "concepts.tsv", everyone)
            patients = (f"{image_id},p{n // images_of_a_patient}\n" for n, image_id in enumerate(self.held))
            (ingested / "groups.csv").write_text("ID,group\n" + "".join(patients))

    def scored(self, name: str, ids: list[str], truth: NDArray[np.bool_], scores: bool) -> Part:
        log_odds = np.where(KNOWN[name], 6, 1) * (truth - 0.5) - 1 + 0.7 * self.rng.normal(size=truth.shape)
        probabilities = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        answers = (probabilities >= 0.5) & (KNOWN[name] | scores)
        return Part(lists(ids, answers), Scores.highest(ids, CONCEPTS, probabilities) if scores else None)

    def run(self, name: str, scores: bool = True) -> Path:
        path = self.runs / f"{name}.csv"
        test = self.scored(name, self.tests, self.truth_test, scores)
        write_parts(path, test, self.scored(name, self.held, self.truth_held, scores), self.edition)
        return path

    def score(self, path: Path) -> float:
        truth = lists(self.tests, self.truth_test)
        return official_f1(read_run(path, self.edition), truth, self.edition)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("scores", [(True, True), (False, False), (True, False)])
def test_two_halves_make_a_whole(house: House, scores: tuple[bool, bool]) -> None:
    runs = [house.run(name, with_scores) for name, with_scores in zip(KNOWN, scores, strict=True)]
    out = house.runs / "joined.csv"
    report = ensemble(house.config, runs, out)
    assert report.figures["taken"]
    check_run(out, house.tests, EDITION)
    assert house.score(out) > max(map(house.score, runs)) + 0.05
    assert report.figures["cross_validated"]["gain"] > 0.05
    facts = json.loads(out.with_suffix(".json").read_text())
    files = facts.pop("files")
    assert facts.pop("seal")
    assert set(files) >= {"joined.csv", "joined/held-out.csv"}
    assert facts == report.figures
    assert all(facts["members"][name]["weight"] >= 1 for name in KNOWN)
    assert all(facts["members"][name]["adds"] > 0.05 for name in KNOWN)
    assert [step["added"] for step in facts["steps"][:2]] in (["left", "right"], ["right", "left"])
    held = read_run(out.with_suffix("") / "held-out.csv", EDITION)
    truth = lists(house.held, house.truth_held)
    assert facts["score_held_out"] == pytest.approx(official_f1(held, truth, EDITION))
    # The image without truth is answered, but does not count.
    assert facts["score_held_out"] == pytest.approx(facts["score_found"])
    for name, run in zip(KNOWN, runs, strict=True):
        published = read_run(run.with_suffix("") / "held-out.csv", EDITION)
        assert facts["members"][name]["alone"] == pytest.approx(official_f1(published, truth, EDITION))
    silent = [name for name, with_scores in zip(KNOWN, scores, strict=True) if not with_scores]
    assert any("only the answers vote" in note for note in report.notes) == bool(silent)
    assert report.next == ""  # nothing says whose images these runs answer


def test_the_same_runs_make_the_same_files(house: House) -> None:
    runs = [house.run(name) for name in KNOWN]
    first, second = house.runs / "first.csv", house.runs / "second.csv"
    ensemble(house.config, runs, first)
    ensemble(house.config, runs[::-1], second)
    assert first.read_bytes() == second.read_bytes()
    for name in ("held-out.csv", "scores.safetensors", "held-out-scores.safetensors"):
        assert (first.with_suffix("") / name).read_bytes() == (second.with_suffix("") / name).read_bytes()


def test_the_scores_are_of_the_answers_and_an_ensemble_can_be_joined_again(house: House) -> None:
    left, right = (house.run(name) for name in KNOWN)
    out = house.runs / "joined.csv"
    ensemble(house.config, [left, right], out)
    for part in read_parts(out, EDITION):
        assert part.scores is not None
        matrix = part.scores.matrix.toarray()
        concepts, rows = part.scores.concepts, {image_id: row for row, image_id in enumerate(part.scores.ids)}
        for image_id, answer in part.answers.items():
            named = [matrix[rows[image_id], concepts.index(concept)] for concept in answer]
            others = np.setdiff1d(np.arange(len(concepts)), [concepts.index(concept) for concept in answer])
            assert min(named) > matrix[rows[image_id], others].max(initial=0)
    again = ensemble(house.config, [out, left], house.runs / "again.csv")
    assert again.figures["members"]["joined"]["weight"] >= 1
    assert house.score(house.runs / "again.csv") > house.score(left) + 0.05


def test_where_joining_is_no_better_the_best_run_is_written_as_it_was(house: House) -> None:
    best = house.runs / "best.csv"
    perfect = Part(lists(house.held, house.truth_held), None)
    backwards = dict(reversed(lists(house.tests, house.truth_test).items()))
    write_parts(best, Part(backwards, None), perfect, EDITION)
    out = house.runs / "joined.csv"
    report = ensemble(house.config, [house.run("left"), best], out)
    assert not report.figures["taken"]
    assert report.figures["classifier"] == "the single run best"
    assert any("joined.csv is best" in note for note in report.notes)
    assert read_run(out, EDITION) == read_run(best, EDITION)
    assert list(read_run(out, EDITION)) == house.tests
    beside = out.with_suffix("")
    assert read_run(beside / "held-out.csv", EDITION) == perfect.answers
    assert [file.name for file in beside.iterdir()] == ["held-out.csv"]


def test_images_without_an_answer_join_cleanly(house: House) -> None:
    runs = []
    for name in KNOWN:
        test = house.scored(name, house.tests, house.truth_test, False).answers
        held = house.scored(name, house.held, house.truth_held, False).answers
        test |= dict.fromkeys(house.tests[:5], ())
        held |= dict.fromkeys(house.held[:5], ())
        write_parts(house.runs / f"{name}.csv", Part(test, None), Part(held, None), EDITION)
        runs.append(house.runs / f"{name}.csv")
    out = house.runs / "joined.csv"
    report = ensemble(house.config, runs, out)
    joined = read_run(out, EDITION)
    assert report.figures["taken"]
    assert [joined[image_id] for image_id in house.tests[:5]] == [()] * 5
    assert list(joined) == house.tests
    truth = house.runs / "truth.csv"
    write_concept_list(truth, lists(house.tests, house.truth_test))
    assert evaluate_run(out, truth, EDITION).score == pytest.approx(house.score(out))


def test_an_edition_with_a_zip_and_an_order(tmp_path: Path) -> None:
    house = House(tmp_path, "2026")
    out = house.runs / "joined.csv"
    report = ensemble(house.config, [house.run(name) for name in KNOWN], out)
    check_run(out.with_suffix(".zip"), house.tests, EDITIONS["2026"])
    assert str(out.with_suffix(".zip")) in report.wrote


def test_two_files_of_one_name_are_told_apart(house: House) -> None:
    left = house.run("left")
    other = house.runs / "other" / "left.csv"
    test = house.scored("right", house.tests, house.truth_test, True)
    write_parts(other, test, house.scored("right", house.held, house.truth_held, True), EDITION)
    report = ensemble(house.config, [left, other], house.runs / "joined.csv")
    assert set(report.figures["members"]) == {str(left), str(other)}


@pytest.mark.parametrize(
    ("runs", "out", "complaint"),
    [
        (["left"], "joined.csv", "1 run given, expected two or more"),
        (["left", "left"], "joined.csv", r"left\.csv is given twice"),
        (["left", "right"], "left.csv", r"left\.csv is one of the runs; expected another file"),
        (["left", "right"], "joined", "expected a name that ends in .csv"),
    ],
)
def test_refuses_what_makes_no_sense(house: House, runs: list[str], out: str, complaint: str) -> None:
    paths = {name: house.run(name) for name in KNOWN}
    with pytest.raises(ConfigError, match=complaint):
        ensemble(house.config, [paths[name] for name in runs], house.runs / out)


def test_the_folds_keep_the_groups_of_the_collection(tmp_path: Path) -> None:
    """Of one patient's images, none is unseen."""
    house = House(tmp_path, images_of_a_patient=90)
    with pytest.raises(DataError, match="2 folds of 1 groups"):
        ensemble(house.config, [house.run(name) for name in KNOWN], house.runs / "joined.csv")


def test_refuses_runs_that_do_not_belong_together(house: House) -> None:
    left, right = (house.run(name) for name in KNOWN)
    out = house.runs / "joined.csv"

    def refused(error: type[ImageclefError], complaint: str) -> None:
        with pytest.raises(error, match=complaint):
            ensemble(house.config, [left, right], out)
        assert not out.exists()

    test, held = read_parts(right, EDITION)
    fewer = {image_id: answer for image_id, answer in test.answers.items() if image_id != "t3"}
    write_parts(right, Part(fewer, None), held, EDITION)
    refused(DataError, "image 't3' is in only one of left and right")
    fewer = {image_id: answer for image_id, answer in held.answers.items() if image_id != "h3"}
    write_parts(right, test, Part(fewer, None), EDITION)
    refused(DataError, "held-out image 'h3' is in only one of left and right")
    (right.with_suffix("") / "held-out.csv").unlink()
    refused(MissingArtifact, r"right/held-out\.csv is not there")
    for path in (left, right):
        write_parts(path, test, Part({"stranger": ()}, None), EDITION)
    refused(DataError, "held-out image 'stranger' has no line in the concept list of collection train")
    for path in (left, right):
        write_parts(path, test, Part({"h7": ("C1",)}, None), EDITION)
    refused(DataError, "none of the 1 held-out images has a concept")
