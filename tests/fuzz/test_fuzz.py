"""The fuzzer finds what is planted for it; every reader takes a few damaged files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from imageclef.errors import DataError
from tests.fuzz import limits
from tests.fuzz.campaign import Campaign, fuzz
from tests.fuzz.json_trees import changed_json
from tests.fuzz.mutation import MOST_BYTES, mutated
from tests.fuzz.target import BrokenPromise, Case, Target
from tests.fuzz.targets import TARGETS

WORD = b"abc"


@pytest.mark.parametrize("name", TARGETS)
def test_readers_keep_their_promises(name: str, tmp_path: Path) -> None:
    campaign = fuzz(TARGETS[name], seconds=20, seed=0, folder=tmp_path, most=40)
    assert campaign.executions == 40
    assert not campaign.found


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_starts_from_is_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for seed in target.seeds():
        case = Case(seed, tmp_path)
        target.attempt(case)
        assert any(": " in said for said in case.behaviours), f"no reader took {seed[:40]!r}"


def planted(harm: Callable[[], object]) -> Target:
    """A reader that does harm to a word that nobody wrote."""

    def attempt(case: Case) -> None:
        for place in range(len(WORD)):
            if not case.data.startswith(WORD[: place + 1]):
                case.behaviours.add(f"{place} letters")
                return
        harm()

    return Target("planted", lambda: [b"xyz"], attempt, tokens=(b"a", b"b", b"c"))


def found_in(harm: Callable[[], object], tmp_path: Path) -> Campaign:
    return fuzz(planted(harm), seconds=60, seed=0, folder=tmp_path, most=2000)


def test_it_finds_its_way_to_a_word_letter_by_letter(tmp_path: Path) -> None:
    campaign = found_in(lambda: dict[str, int]()["x"], tmp_path)
    ((label, data),) = campaign.found.items()
    assert label.startswith("KeyError at tests/fuzz/test_fuzz.py:")
    assert data == WORD, "shrunk to what is needed"
    assert {"0 letters", "1 letters", "2 letters"} <= campaign.behaviours


def test_it_outlives_a_reader_that_ends_its_process(tmp_path: Path) -> None:
    campaign = found_in(lambda: os.kill(os.getpid(), signal.SIGSEGV), tmp_path)
    label, data = next(iter(campaign.found.items()))
    assert label.startswith("ended by SIGSEGV at tests/fuzz/test_fuzz.py:")
    assert data.startswith(WORD)


def test_it_ends_a_reader_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CPU_SECONDS", 0.05)

    def hang() -> None:
        while True:
            pass

    found = found_in(hang, tmp_path).found
    assert next(iter(found)).startswith("more than 0.05 s at tests/fuzz/test_fuzz.py:")


def test_it_finds_a_reader_that_takes_all_memory(tmp_path: Path) -> None:
    found = found_in(lambda: bytearray(2 * limits.MOST_MEMORY), tmp_path).found
    assert next(iter(found)).startswith("MemoryError at tests/fuzz/test_fuzz.py:")


def test_the_same_seed_tries_the_same_inputs(tmp_path: Path) -> None:
    def tried(seed: int) -> list[bytes]:
        return fuzz(TARGETS["groups"], seconds=60, seed=seed, folder=tmp_path, most=60).corpus

    assert tried(1) == tried(1)
    assert tried(1) != tried(2)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("list.csv:1: two\nlines", "not one line of text"),
        ("list.csv:1: \x1b[31m", "not one line of text"),
        ("list.csv:1: " + "long" * 200, "500 letters or more"),
        ("line 1 is wrong", "does not say where"),
    ],
)
def test_a_bad_refusal_is_a_broken_promise(message: str, complaint: str, tmp_path: Path) -> None:
    class Plain(DataError):
        __str__ = Exception.__str__  # what the base of all errors does to a message would hide it

    def refuse() -> None:
        raise Plain(message)

    with pytest.raises(BrokenPromise, match=complaint):
        Case(b"", tmp_path).ask(("list.csv",), refuse)


def test_changes_are_bounded_and_touch_everything() -> None:
    rng, data, seen = Random(0), b"ID,CUIs\na1,C1;C2\n", set()
    for _ in range(500):
        changed = mutated(rng, data, [data, b'{"a": [1, 2]}'], [b"token"])
        assert len(changed) <= MOST_BYTES
        seen.add(changed)
    assert len(seen) > 400
    assert any(b"token" in one for one in seen)
    assert any(b"a1,a1," in one or one.count(b"a1") > 1 for one in seen)


def test_changed_json_is_json_of_another_value() -> None:
    rng, text = Random(0), b'{"format": 1, "files": {"a.npy": {"bytes": 6}}}'
    changed = {changed_json(rng, text) for _ in range(200)}
    assert len(changed) > 100
    for one in changed:
        json.loads(one)
    assert changed_json(rng, b"no json") == b"no json"
