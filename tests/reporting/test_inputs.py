from __future__ import annotations

import json
from pathlib import Path

import pytest

from imageclef.errors import ConfigError, DataError, RunRefused
from imageclef.reporting.inputs import read_inputs
from imageclef.runs.editions import EDITIONS, edition_named
from imageclef.runs.evaluate import evaluate_run
from tests.reporting.made_up import EDITION, write_lists

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "evaluator"
TRUTH = {"a": ("C1", "C2"), "b": (), "c": ("C2",), "d": ("C3",)}
RUN = {"a": ("C2", "C9"), "b": ("C1",), "c": ("C2",), "d": ()}


def test_the_official_score_is_what_evaluate_says_in_every_golden_case(shared: Path) -> None:
    compared = 0
    for case in sorted(GOLDEN.glob("*-*")):
        expected = json.loads((case / "expected.json").read_text())
        files, edition = (case / "run.csv", case / "truth.csv"), edition_named(expected["edition"])
        if expected.get("refused"):
            with pytest.raises(RunRefused, match=r"run\.csv"):
                read_inputs([files[0]], files[1], edition)
            continue
        found = read_inputs([files[0]], files[1], edition).runs[0].f1
        score = evaluate_run(*files, edition)
        assert (found.mean(), len(found)) == (pytest.approx(score.score, abs=1e-12), score.n_images), (
            case.name
        )
        compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    ("year", "truth", "run"),
    [
        ("2018", "a\tC1\nb\tc2\n", "a\tC1;\nb\tC2\n"),  # a trailing separator is a wrong concept
        ("2018", "a\tC1\nb\tC2\n", "a\tC1\nb\n"),  # a bare id
        ("2022", "ID\tcuis\na\tC1\nb\t\n", "b\na|C1\n"),  # a bare id does not hit an empty truth
        ("2022", "ID\tcuis\na\tC1\nb\t\n", "b|\na| c1 \n"),  # an empty answer does
    ],
)
def test_the_official_score_is_what_evaluate_says_of_quirks(
    year: str, truth: str, run: str, tmp_path: Path
) -> None:
    (tmp_path / "run.csv").write_text(run)
    (tmp_path / "truth.csv").write_text(truth)
    found = read_inputs([tmp_path / "run.csv"], tmp_path / "truth.csv", EDITIONS[year])
    score = evaluate_run(tmp_path / "run.csv", tmp_path / "truth.csv", EDITIONS[year])
    assert found.runs[0].f1.mean() == score.score


def test_matrices_have_the_images_that_count(tmp_path: Path) -> None:
    run, truth = write_lists(tmp_path / "run.csv", RUN), write_lists(tmp_path / "truth.csv", TRUTH)
    found = read_inputs([run], truth, EDITION)
    assert (found.ids, found.left_out) == (("a", "c", "d"), 1)
    assert found.vocabulary.concepts == ("C2", "C1", "C3", "C9")
    assert found.vocabulary.counts == (2, 1, 1, 0)
    assert found.labels.toarray().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert found.runs[0].answers.toarray().tolist() == [[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.runs[0].f1.tolist() == [0.5, 1, 0]
    assert found.groups.tolist() == [0, 1, 2]
    assert (found.grouped, found.ungrouped) == (False, 0)
    assert found.sources == ()


def test_sets_are_compared_without_case_and_white_space(tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text("a\tc1; C2;\n")
    found = read_inputs([tmp_path / "run.csv"], write_lists(tmp_path / "t.csv", {"a": ("C1", "C2")}), EDITION)
    assert found.runs[0].answers.toarray().tolist() == [[1, 1]]


def test_groups_and_sources(tmp_path: Path) -> None:
    run, truth = write_lists(tmp_path / "run.csv", RUN), write_lists(tmp_path / "truth.csv", TRUTH)
    (tmp_path / "groups.csv").write_text(
        "ID,group,hospital,city\na,p,north,\nd,p,south,\nb,q,west,\nz,r,south,\n"
    )
    found = read_inputs([run], truth, EDITION, tmp_path / "groups.csv", "hospital")
    assert found.groups.tolist() == [0, 1, 0]
    assert (found.grouped, found.ungrouped) == (True, 1)
    assert found.sources == ("(not given)", "north", "south")
    assert found.source_of.tolist() == [1, 0, 2]
    with pytest.raises(
        ConfigError, match=r"no column 'ward' in .*groups\.csv; expected one of: hospital, city"
    ):
        read_inputs([run], truth, EDITION, tmp_path / "groups.csv", "ward")
    with pytest.raises(
        ConfigError, match="sources 'city' but no table of groups; expected one with this column"
    ):
        read_inputs([run], truth, EDITION, None, "city")


def test_a_column_of_too_many_sources_is_refused(tmp_path: Path) -> None:
    truth = {f"i{place}": ("C1",) for place in range(101)}
    run, path = write_lists(tmp_path / "run.csv", truth), write_lists(tmp_path / "truth.csv", truth)
    lines = "".join(f"{image_id},g,{image_id}\n" for image_id in truth)
    (tmp_path / "groups.csv").write_text("ID,group,name\n" + lines)
    with pytest.raises(ConfigError, match=r"column 'name' of .* has 101 values; expected 100 or fewer"):
        read_inputs([run], path, EDITION, tmp_path / "groups.csv", "name")


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    truth = write_lists(tmp_path / "truth.csv", TRUTH)
    runs = [write_lists(tmp_path / name, RUN) for name in ("x/r.csv", "y/r.csv", "x/s.csv")]
    found = read_inputs(runs, truth, EDITION).runs
    assert [run.name for run in found] == [str(runs[0]), str(runs[1]), "s"]


def test_refuses_nothing_to_report_on(tmp_path: Path) -> None:
    truth = write_lists(tmp_path / "truth.csv", {"a": ()})
    with pytest.raises(ConfigError, match="no run to report on"):
        read_inputs([], truth, EDITION)
    with pytest.raises(DataError, match=r"truth\.csv: no image has a concept that counts"):
        read_inputs([write_lists(tmp_path / "run.csv", {"a": ()})], truth, EDITION)
    with pytest.raises(RunRefused, match="image 'b' is not among the 1"):
        read_inputs([write_lists(tmp_path / "run.csv", {"a": (), "b": ()})], truth, EDITION)
