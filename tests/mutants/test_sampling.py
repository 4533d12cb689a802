from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants import trying
from tests.mutants.sampling import ROOT, _mutants, mutated_files, sampled
from tests.mutants.trying import Copy, list_tests


def test_a_sample_is_the_same_for_the_same_seed_and_changes_code() -> None:
    mutants = sampled(12, seed=1)
    assert mutants == sampled(12, seed=1)
    assert mutants != sampled(12, seed=2)
    assert len(set(mutants)) == 12
    for mutant in mutants:
        ast.parse(mutant.source())
        assert mutant.change().startswith(("- ", "+ "))


@pytest.mark.parametrize("path", mutated_files(), ids=lambda path: path.stem)
def test_every_mutated_file_has_tests(path: object) -> None:
    assert all(list_tests(str(path).removeprefix(f"{ROOT}/")))


def test_tests_that_fail_without_a_mutant_kill_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Copy(tmp_path)
    failing = tmp_path / "tree" / "tests" / "test_failing.py"
    failing.write_text("def test_it():\n    assert False\n")
    monkeypatch.setattr(trying, "list_tests", lambda path: [("tests/test_failing.py",)])
    with pytest.raises(SystemExit, match="fail without any mutant"):
        copy.survives(sampled(1, seed=1)[0])


def test_a_mutant_that_is_no_python_is_not_sampled() -> None:
    mutants = [one for path in mutated_files() if path.stem == "findings" for _, one in _mutants(path)]
    assert not all(mutant.compiles() for mutant in mutants), "cosmic-ray makes %known of **known"
    assert all(mutant.compiles() for mutant in sampled(40, seed=1))
