from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.data.concept_list import read_concept_list
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ConfigError, DataError, RunRefused
from imageclef.runs.editions import EDITIONS, Edition, edition_named
from imageclef.runs.evaluate import evaluate_run, official_f1, per_image_f1
from imageclef.runs.runfile import check_run, write_run

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "evaluator"
CASES = sorted(path.name for path in GOLDEN.glob("*-*"))

# Worked out by hand: edition, truth, manual truth, run, and the score, both scores, or what the refusal says.
OWN_CASES = {
    "2018 half, left out, nothing": ("2018", "a\tC1;C2\nb\t\nc\tC3\n", None, "a\tC1;C4\nb\tC9\nc\t\n", 0.25),
    "2018 any order": ("2018", "a\tC1\nb\tC2\n", None, "b\tC2\na\tC1\n", 1.0),
    "2018 a space makes another concept": ("2018", "a\tC1;C2\n", None, "a\tC1; C2\n", 0.5),
    "2018 a trailing separator is a wrong concept": ("2018", "a\tC1\n", None, "a\tC1;\n", 2 / 3),
    "2018 a leading separator is a wrong concept": ("2018", "a\tC1\n", None, "a\t;C1\n", 2 / 3),
    "2018 case is ignored": ("2018", "a\tC1;C2\n", None, "a\tc1;c2\n", 1.0),
    "2018 one concept in two cases is accepted": ("2018", "a\tC1\n", None, "a\tC1;c1\n", 1.0),
    "2018 bare id later": ("2018", "a\tC1\nb\tC2\n", None, "a\tC1\nb\n", 0.5),
    "2018 bare id first": ("2018", "a\tC1\nb\tC2\n", None, "a\nb\tC2\n", ":1: no separator after 'a'"),
    "2018 blank cell": ("2018", "a\tC1\nb\tC2\n", None, "a\t  \nb\tC2\n", 0.5),
    "2018 in the form of 2022": ("2018", "a\tC1\n", None, "a|C1\n", ":1: no separator after 'a|C1'"),
    "2017 comma": ("2017", "a\tC1,C2\n", None, "a\tC1,C3\n", 0.5),
    "2020 too many": (
        "2020",
        "a\tC1\n",
        None,
        "a\t" + ";".join(f"C{i}" for i in range(151)),
        ":1: 151 concepts; 2020 allows 150",
    ),
    "2021 empty truth is left out": ("2021", "a\tC1\nb\t\n", None, "a|C1\nb|\n", 1.0),
    "2022 empty truth counts": (
        "2022",
        "ID\tcuis\na\tC1;C2\nb\t\nc\tC3\n",
        None,
        "a|C1;C4\nb|C9\nc|\n",
        0.5 / 3,
    ),
    "2022 empty truth is hit": ("2022", "ID\tcuis\na\tC1;C2\nb\t\nc\tC3\n", None, "a|C1;C4\nb|\nc|\n", 0.5),
    "2022 empty truth is not hit by a bare id": ("2022", "ID\tcuis\na\tC1\nb\t\n", None, "b\na|C1\n", 0.5),
    "2022 spaces": ("2022", "ID\tcuis\na\tC1;C2\n", None, "a| C1 ; C2\n", 1.0),
    "2022 spaces hide a repetition": ("2022", "ID\tcuis\na\tC1\n", None, "a|C1; C1\n", "'C1' appears twice"),
    "2025 both": (
        "2025",
        "ID,CUIs\na,C1;C0040405\nb,C2\n",
        "ID,CUIs\na,C0040405\nb,\n",
        "b,C2\na,C1\n",
        (5 / 6, 0.0),
    ),
    "2026 both": (
        "2026",
        "ID,CUIs\na,C1;C0040405\nb,C2\n",
        "ID,CUIs\nb,C0002978;C7\na,C0040405\n",
        "ID,CUIs\na,C1;C0040405;C0002978\nb,C2;C0002978\n",
        ((0.8 + 2 / 3) / 2, (2 / 3 + 1) / 2),
    ),
    "2026 quoted": ("2026", "ID,CUIs\na,C1;C2\n", None, '"ID","CUIs"\n"a","C1;C2"\n', 1.0),
    "2026 order": (
        "2026",
        "ID,CUIs\na,C1\nb,C2\n",
        None,
        "ID,CUIs\nb,C2\na,C1\n",
        r":2: image 'b'; expected 'a'",
    ),
    "2026 space after the id": ("2026", "ID,CUIs\na,C1\n", None, "ID,CUIs\na,C1 \n", ":2: white space"),
    "2026 another header": ("2026", "ID,CUIs\na,C1\n", None, "ID,cuis\na,C1\n", ":1: header 'ID,cuis'"),
    "2026 no comma": ("2026", "ID,CUIs\na,\n", None, "ID,CUIs\na\n", ":2: no separator after 'a'"),
    "byte-order mark": ("2018", "a\tC1\n", None, "\ufeffa\tC1\n", ":1: a byte-order mark"),
    "missing": (
        "2022",
        "a\tC1\nb\tC2\nc\tC3\n",
        None,
        "b|C2\n",
        "2 of 3 images are missing; the first is 'a'",
    ),
    "nothing": ("2018", "a\tC1\n", None, "", "1 of 1 images are missing"),
}


@pytest.mark.parametrize("name", CASES or [pytest.param("", marks=pytest.mark.skip("needs ../shared"))])
def test_agrees_with_the_organisers(name: str) -> None:
    case = GOLDEN / name
    expected = json.loads((case / "expected.json").read_text())
    manual = case / "truth_manual.csv"
    edition = edition_named(expected["edition"])

    def evaluate() -> tuple[float, float | None]:
        found = evaluate_run(
            case / "run.csv", case / "truth.csv", edition, manual if manual.exists() else None
        )
        return found.score, found.score_secondary

    if expected.get("refused"):
        with pytest.raises(RunRefused, match=r"run\.csv:(\d+:)? "):
            evaluate()
        with pytest.raises(RunRefused, match=r"run\.csv:(\d+:)? "):
            check_run(case / "run.csv", list(read_concept_list(case / "truth.csv")), edition)
    else:
        assert evaluate()[0] == pytest.approx(expected["score"], abs=1e-9)
        assert evaluate()[1] == pytest.approx(expected.get("score_secondary"), abs=1e-9)


def test_all_golden_cases_are_there(shared: Path) -> None:
    assert len(CASES) == 132


@pytest.mark.parametrize("name", OWN_CASES)
def test_own_cases(name: str, tmp_path: Path) -> None:
    year, truth, manual, run, expected = OWN_CASES[name]
    for file, text in (("truth.csv", truth), ("manual.csv", manual), ("run.csv", run)):
        if text is not None:
            (tmp_path / file).write_bytes(text.encode())
    files = (tmp_path / "run.csv", tmp_path / "truth.csv", EDITIONS[year], manual and tmp_path / "manual.csv")
    if isinstance(expected, str):
        with pytest.raises(RunRefused, match=expected.replace("|", r"\|")):
            evaluate_run(*files)
    else:
        found = evaluate_run(*files)
        both = expected if isinstance(expected, tuple) else (expected, None)
        assert (found.score, found.score_secondary) == pytest.approx(both, abs=1e-12)


def slow_f1(run: dict[str, list[str]], truth: dict[str, list[str]], edition: Edition) -> float | None:
    total, images = 0.0, 0
    for image_id, right in truth.items():
        if not right and edition.empty_truth == "skipped":
            continue
        right = [concept.upper() for concept in right] or [""]
        given = [concept.upper() for concept in run[image_id]]
        if not given and edition.empty_truth == "a concept":
            given = [""]
        hits = sum(1 for concept in given if concept in right)
        false_alarms = sum(1 for concept in given if concept not in right)
        misses = sum(1 for concept in right if concept not in given)
        total += 2 * hits / (2 * hits + false_alarms + misses)
        images += 1
    return total / images if images else None


few_concepts = st.lists(st.sampled_from(["C1", "C2", "C3", "C4", "c5"]), unique=True)
run_and_truth = st.dictionaries(
    st.sampled_from("abcdef"), st.tuples(few_concepts, few_concepts), min_size=1
).map(lambda both: ({i: run for i, (run, _) in both.items()}, {i: truth for i, (_, truth) in both.items()}))


@given(run_and_truth, st.sampled_from(list(EDITIONS.values())))
def test_equals_a_slow_loop(
    both: tuple[dict[str, list[str]], dict[str, list[str]]], edition: Edition
) -> None:
    expected = slow_f1(*both, edition)
    if expected is None:
        with pytest.raises(DataError, match="no image has a concept that counts"):
            official_f1(*both, edition)
    else:
        assert official_f1(*both, edition) == pytest.approx(expected, abs=1e-12)


def test_a_run_in_memory_scores_what_its_file_scores(tmp_path: Path) -> None:
    truth = {"a": ("C1", "C2"), "b": (), "c": ("C3",)}
    run = {"a": ("C2",), "b": (), "c": ()}
    (tmp_path / "truth.csv").write_text("a\tC1;C2\nb\t\nc\tC3\n")
    for edition in EDITIONS.values():
        write_run(tmp_path / "run.csv", run, edition)
        found = evaluate_run(tmp_path / "run.csv", tmp_path / "truth.csv", edition)
        assert found.score == official_f1(run, truth, edition)
        assert found.n_images == len(per_image_f1(run, truth, edition))
        assert found.n_images == (2 if edition.empty_truth == "skipped" else 3)


@pytest.mark.parametrize(("run", "truth"), [({"a": ()}, {"a": (), "x": ()}), ({"a": (), "x": ()}, {"a": ()})])
def test_refuses_other_images(run: dict[str, tuple[str, ...]], truth: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(DataError, match=r"image 'x' is in .* but not in .*; expected the same images"):
        official_f1(run, truth, EDITIONS["2018"])


def test_refuses_a_manual_truth_of_other_images(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("ID,CUIs\na,C1\nb,C2\n")
    (tmp_path / "manual.csv").write_text("ID,CUIs\na,C0040405\n")
    write_run(tmp_path / "run.csv", {"a": ("C1",), "b": ()}, EDITIONS["2026"])
    with pytest.raises(DataError, match=r"image 'b' is in .*truth\.csv but not in .*manual\.csv"):
        evaluate_run(tmp_path / "run.csv", tmp_path / "truth.csv", EDITIONS["2026"], tmp_path / "manual.csv")


def test_refuses_a_manual_truth_where_there_is_no_secondary_score(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edition 2018 has no secondary score"):
        evaluate_run(tmp_path / "run.csv", tmp_path / "t.csv", EDITIONS["2018"], tmp_path / "m.csv")


def test_names_the_line_of_a_bad_truth(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("ID\tcuis\na\tC1\nb\n")
    (tmp_path / "run.csv").write_text("a|C1\nb|\n")
    with pytest.raises(DataError, match=r"truth\.csv:3: no separator after the id"):
        evaluate_run(tmp_path / "run.csv", tmp_path / "truth.csv", EDITIONS["2022"])


def test_constant_answer_on_roco(shared: Path) -> None:
    lists = shared / "concept-lists"
    train = read_concept_list(lists / "roco-validation-radiology-2018-style.csv")
    truth = read_concept_list(lists / "roco-test-radiology-2018-style.csv")
    answer = Vocabulary.count(train.values()).window(18).concepts
    score = official_f1(dict.fromkeys(truth, answer), truth, EDITIONS["2018"])
    assert score == pytest.approx(0.169, abs=5e-4)


def test_unknown_edition() -> None:
    with pytest.raises(ConfigError, match=r"no edition '2016' .* 2017, 2018, .* 2026"):
        edition_named("2016")
