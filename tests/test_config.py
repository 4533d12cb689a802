from __future__ import annotations

import re
from pathlib import Path

import pytest

from imageclef.config import load_config
from imageclef.errors import ConfigError

TOML = """
workspace = "work"
[collections.train]
images = "data/train"
concepts = "data/train.csv"
[learner]
name = "aae"
preset = "paper"
latent_dim = 256
[classify]
top = 50
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "imageclef.toml"
    path.write_text(TOML)
    return path


def test_a_file_is_read(file: Path) -> None:
    config = load_config(file)
    assert config.workspace == file.parent / "work"
    assert config.collection("train").concepts == file.parent / "data/train.csv"
    assert config.learner == {"name": "aae", "preset": "paper", "latent_dim": 256}
    assert config.classify.top == 50


def test_the_working_directory_has_the_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load_config().classify.top == 50


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config().workspace == Path("artifacts")


def test_set_overrides_the_file(file: Path) -> None:
    overrides = [
        "classify.top=7",
        "learner.name=orb",
        "collections.test.images=/x y",
        "extract.precision='fp32'",
    ]
    config = load_config(file, overrides)
    assert config.classify.top == 7
    assert config.learner["name"] == "orb"
    assert config.collection("test").images == Path("/x y")
    assert config.extract.precision == "fp32"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("classify.topp=3", r"unknown setting 'classify\.topp'"),
        ("workspaces=3", r"unknown setting 'workspaces'; expected one of .*workspace"),
        ("classify.top=zero", r"classify\.top = 'zero': input should be a valid integer"),
        ("classify.top=0", r"classify\.top = 0: input should be greater than or equal to 1"),
        ("classify.rule=best", r"classify\.rule = 'best': input should be 'auto'"),
        ("classify", r"--set classify: expected section\.key=value"),
        ("seed.x=1", r"'seed' is not a section|seed = "),
        ("workspace.x=1", r"'workspace' is not a section"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file, [override])
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_config(tmp_path / "none.toml")


def test_a_file_that_is_not_toml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("a = 1\nb = = 2\n")
    with pytest.raises(ConfigError, match=r"bad\.toml: not TOML: .*line 2"):
        load_config(path)


def test_an_unknown_collection_lists_those_there_are(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no collection 'test' in the configuration; there are: train"):
        load_config(file).collection("test")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('[collections.train]\nimagse = "a"\n', "'collections.train.imagse'; .*did you mean 'images'"),
        ('[colections.train]\nimages = "a"\n', "'colections'; .*did you mean 'collections'"),
        ("[classify]\ntopp = 3\n", "'classify.topp'; .*did you mean 'top'"),
    ],
)
def test_a_misspelt_key_is_told_the_near_one(text: str, near: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError, match=near):
        load_config(tmp_path / "c.toml")


def test_an_edition_may_be_a_number(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("edition = 2024\n")
    assert load_config(tmp_path / "c.toml").edition == "2024"


@pytest.mark.parametrize("setting", ["knn.ks=[]", "knn.ks=[0]", "classify.cs=[]", "classify.cs=[-1.0]"])
def test_a_choice_among_nothing_is_refused(file: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {setting.split('=')[0]}")):
        load_config(file, [setting])
