from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imageclef.errors import DataError
from imageclef.reporting.examples import choose_examples, ids_shown, read_thumbnails
from imageclef.reporting.inputs import read_inputs
from tests.reporting.made_up import EDITION, drawn, inputs_of, write_lists, write_scores


def test_examples_are_what_they_say(tmp_path: Path) -> None:
    truth, answers, _ = drawn(4, noise=0.6)
    inputs = inputs_of(tmp_path, truth, answers)
    found = choose_examples(inputs, inputs.runs[0], concepts=5, each=3)
    assert [one.concept for one in found] == list(inputs.vocabulary.concepts[:5])
    for one in found:
        has = {image_id for image_id in inputs.ids if one.concept in truth[image_id]}
        given = {image_id for image_id in inputs.ids if one.concept in answers[image_id]}
        for examples, of_kind in (
            (one.right, has & given),
            (one.missed, has - given),
            (one.invented, given - has),
        ):
            ids = [example.image_id for example in examples]
            assert set(ids) <= of_kind
            assert len(set(ids)) == len(ids) == min(3, len(of_kind))
            assert all(example.score is None for example in examples)


def test_the_draw_is_at_random_and_always_the_same(tmp_path: Path) -> None:
    truth = {f"i{place:03}": ("C1", "C2") for place in range(200)}
    inputs = inputs_of(tmp_path, truth, truth)
    first, second = choose_examples(inputs, inputs.runs[0], 2)
    assert [first, second] == choose_examples(inputs, inputs.runs[0], 2)
    assert first.right != second.right
    assert [example.image_id for example in first.right] != list(truth)[:4]


def test_only_concepts_of_the_truth(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, {"a": ("C1",)}, {"a": ("C8", "C9")})
    assert [one.concept for one in choose_examples(inputs, inputs.runs[0], 10)] == ["C1"]


def test_examples_carry_their_scores(tmp_path: Path) -> None:
    truth = {"a": ("C1", "C2"), "b": ("C1",)}
    run = write_lists(tmp_path / "run.csv", {"a": ("C1",), "b": ()})
    write_scores(run, ["a", "b"], ["C9", "C1"], np.array([[0, 0.75], [0, 0.25]]))
    inputs = read_inputs([run], write_lists(tmp_path / "truth.csv", truth), EDITION)
    c1, c2 = choose_examples(inputs, inputs.runs[0], 5)
    assert [example.score for example in (*c1.right, *c1.missed)] == [0.75, 0.25]
    assert c2.missed[0].score is None
    assert ids_shown([c1, c2]) == ["a", "b", "a"]


def test_thumbnails_keep_the_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((50, 200, 3), np.uint8)
    pixels[:, 100:, 0] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    found = read_thumbnails(["wide"], tmp_path)["wide"]
    assert (found.width, found.height, found.reason) == (96, 24, "")
    head, _, data = found.uri.partition(",")
    assert head == "data:image/jpeg;base64"
    read = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert read.shape == (24, 96, 3)
    assert read[12, 10, 0] < 40
    assert read[12, 85, 0] > 215


def test_what_cannot_be_shown_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    done: list[int] = []
    found = read_thumbnails(["broken", "none", "good", "good"], tmp_path, done.append)
    assert found["broken"].reason == "not an image: of no known format"
    assert found["none"].reason == "no file of this name"
    assert found["good"].uri
    assert sum(done) == 3
    with pytest.raises(DataError, match="no such folder"):
        read_thumbnails([], tmp_path / "elsewhere")


def test_the_page_stays_small(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (96, 96)).save(tmp_path / f"{name}.png")
    size = len(read_thumbnails(["a"], tmp_path)["a"].uri)
    found = read_thumbnails(["a", "b", "c", "a"], tmp_path, budget=3 * size)
    assert [bool(found[name].uri) for name in "abc"] == [True, True, False]
    assert found["c"].reason == "left out, so that the page stays small"
