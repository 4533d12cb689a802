from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from imageclef.config import Config
from imageclef.data.concept_list import read_concept_list
from imageclef.data.ids import fault_in_id
from imageclef.errors import DataError
from imageclef.runs.editions import EDITIONS
from imageclef.runs.runfile import check_run, read_run, write_run
from imageclef.stages.images import ingest
from imageclef.workspace import Workspace


def decomposed(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def config(folder: Path, edition: str = "2018", groups: bool = False) -> Config:
    train = {"images": folder / "images", "concepts": folder / "list.csv"}
    if groups:
        train["groups"] = folder / "groups.csv"
    return Config.model_validate(
        {
            "workspace": folder / "ws",
            "edition": edition,
            "collections": {"train": train},
            "learner": {"name": "pixels"},
            "ingest": {"workers": 1},
        }
    )


def draw(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        Image.new("L", (8, 8), i).save(folder / f"{name}.png")


def test_decomposed_file_names_match_a_composed_list(tmp_path: Path) -> None:
    names = ["T\u00f3rax", "plain"]
    draw(tmp_path / "images", [decomposed(name) for name in names])
    (tmp_path / "list.csv").write_text("ID,CUIs\n" + "".join(f"{name},C0000001\n" for name in names))
    (tmp_path / "groups.csv").write_text(
        "ID,group\n" + "".join(f"{decomposed(name)},g{i}\n" for i, name in enumerate(names))
    )
    report = ingest(config(tmp_path, groups=True))
    assert report.figures["train"]["without_concepts"] == report.figures["train"]["without_image"] == 0
    assert [note for note in report.notes if "NFC" in note and "T\u00f3rax" in note]
    workspace = Workspace(config(tmp_path, groups=True))
    assert workspace.collection("train").ids == names
    assert workspace.collection("train").groups == {name: f"g{i}" for i, name in enumerate(names)}
    assert sorted(workspace.store("train").ids) == sorted(names)


def test_two_files_that_fall_together_are_one_line_that_names_both(tmp_path: Path) -> None:
    composed, other = "T\u00f3rax", decomposed("T\u00f3rax")
    draw(tmp_path / "images", [composed, other])
    if len(list((tmp_path / "images").iterdir())) < 2:
        pytest.skip("this file system composes names itself")
    (tmp_path / "list.csv").write_text(f"ID,CUIs\n{composed},C0000001\n")
    report = ingest(config(tmp_path))
    assert [note for note in report.notes if f"{composed}.png" in note and f"{other}.png" in note]
    assert report.figures["train"]["by_class"] == {"id twice": 1}


@pytest.mark.parametrize("edition", ["2018", "2022", "2026"])
def test_a_name_that_cannot_stand_in_a_run_is_left_out_alone(tmp_path: Path, edition: str) -> None:
    separator = EDITIONS[edition].separator
    bad = ['a"b', "\ufeffa", "a\u2028b", "a\u2029b", "a\x85b", "a\nb", " a", "a ", f"a{separator}b"]
    draw(tmp_path / "images", ["good", "also;good", *bad])
    (tmp_path / "list.csv").write_text('good\tC0000001\nalso;good\tC0000002\na"b\tC0000003\n')
    report = ingest(config(tmp_path, edition))
    assert report.figures["train"]["by_class"] == {"unusable name": len(bad)}
    workspace = Workspace(config(tmp_path, edition))
    assert workspace.collection("train").ids == ["good", "also;good"]
    assert [note for note in report.notes if 'a"b' in note and "left out" in note]
    assert {refusal.kind for refusal in workspace.store("train").refused} == {"unusable name"}


ids = st.text(min_size=1, max_size=10).map(lambda text: unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("edition", list(EDITIONS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(names=st.lists(ids, min_size=1, max_size=4, unique=True))
def test_every_accepted_id_comes_back(tmp_path: Path, edition: str, names: list[str]) -> None:
    rules, run = EDITIONS[edition], dict.fromkeys(names, ("C0000001", "C0000002"))
    path = tmp_path / "run.csv"
    if any(fault_in_id(name, rules.separator) for name in names):
        with pytest.raises(DataError):
            write_run(path, run, rules)
        return
    write_run(path, run, rules)
    check_run(path, names, rules)
    assert list(read_run(path, rules)) == names
    if rules.separator != "|":  # the lists of 2021 to 2023 have a tab there, their runs have not
        assert list(read_concept_list(path, edition)) == names
