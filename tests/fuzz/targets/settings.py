"""TOML files with `--set` overrides, a learner's own settings among them."""

from __future__ import annotations

from imageclef.config import load_config, with_profile
from imageclef.images.dicom.choice import FrameChoice
from imageclef.images.dicom.windows import read_window
from imageclef.learners.settings import choose
from tests.fuzz.target import Case, Target

_SET = b"\n--set "
"""Before each override, after the file."""

_TOML = b"""workspace = "artifacts"
seed = 3
edition = "2022"
features = ["aae"]
weights = [0.5]
[learner]
name = "faae"
preset = "small"
[collections.train]
images = "train"
concepts = "train.csv"
[ingest]
workers = 2
frames = "every-10"
window = "40/400"
[classify]
c = "auto"
cs = [0.1, 1e0]
class_weight = "balanced"
[index]
kind = "ivf"
recall = 0.9
[profiles.both]
features = ["aae", "pca"]
weights = [1, 2.5]
"""


def _seeds() -> list[bytes]:
    return [
        _TOML,
        b"",
        _SET.join([b"", b"seed=1", b"learner.name=orb", b"classify.c=0.5", b"knn.ks=[1, 2]"]),
        _SET.join([_TOML, b"index.metric=cosine", b"profiles.one={features=['x']}"]),
        b"[learner]\nname = 'pca'\nimage_size = 32\n",
        b"[learner]\nname = 'pixels'\n[learner.deep]\nx = 1979-05-27T07:32:00Z\n",
    ]


def _attempt(case: Case) -> None:
    text, *overrides = case.data.split(_SET)
    path = case.file("imageclef.toml", text)
    said = [override.decode("utf-8", "replace") for override in overrides]
    config = case.ask((str(path), "--set"), load_config, path, said)
    if config is None:
        return
    # As text: a learner's settings, not judged yet, may hold a NaN.
    case.require(repr(load_config(path, said)) == repr(config), "the same file makes the same settings")
    case.ask(("[learner]",), choose, config.learner)
    case.ask(("frames",), FrameChoice, config.ingest.frames)
    case.ask(("window",), read_window, config.ingest.window)
    for name in config.profiles:
        with_profile(config, name)


TARGET = Target(
    "settings",
    _seeds,
    _attempt,
    tokens=(
        *(b"[a]", b"[[a]]", b"a.b.c=", b"{a=1}", b"'''", b'"""', b"\\u0000", b"inf", b"nan"),
        *(b"0x7f", b"1_000", b"07:32:00", _SET),
    ),
    follows=("imageclef", "tomllib"),
)
