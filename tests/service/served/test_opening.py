"""From a workspace to an archive: what is read anew, and what is kept."""

from __future__ import annotations

from typing import Any

import cv2
import pytest
from PIL import Image

from imageclef.config import Config
from imageclef.errors import ConfigError, MissingArtifact
from imageclef.retrieval.index_artifact import StoredIndex
from imageclef.service.served.archive import Archive
from imageclef.stages.serving import _profiles
from imageclef.workspace import Workspace
from tests.service.conftest import Walked, opener
from tests.walking import with_tables


def test_learners_are_kept_until_they_change(walked: Walked) -> None:
    opens = opener(walked.config)
    first, again = opens.open(), opens.open()
    assert again.index is not first.index
    assert again.encoder is first.encoder
    assert again.search.regions == first.search.regions
    assert opens._kept is not None
    opens._kept.features = "a learner that was trained before"
    assert opens.open().encoder is not first.encoder


def test_the_stamp_changes_with_the_classifier(walked: Walked) -> None:
    window = {**walked.config.classify.model_dump(), "top": 19}
    without = with_tables(walked.config, classify=window)
    stamps = opener(walked.config).stamp(), opener(without).stamp()
    assert stamps[0][:-1] == stamps[1][:-1]
    assert None not in stamps[0]
    assert stamps[1][-1] is None
    assert opener(without).open().detector is None


def test_what_is_not_there_is_named(walked: Walked) -> None:
    never = opener(with_tables(walked.config, features=["pixels-small", "orb-small"]))
    assert not never.there
    assert never.about.weights == [1.0, 1.0]
    with pytest.raises(MissingArtifact, match="`imageclef index` makes it"):
        never.open()


def test_a_set_of_no_learner_cannot_encode_uploads(walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    config: Config = with_tables(walked.config, features=["imported"])
    index = Workspace(walked.config).index_path
    monkeypatch.setattr(Workspace, "index_path", index)
    monkeypatch.setattr(Workspace, "features_identity", "imported")
    monkeypatch.setattr(StoredIndex, "require_features", lambda *_: None)
    with pytest.raises(ConfigError, match="'imported': no learner of that name is here to encode an image"):
        opener(config).open()
    assert list(_profiles(config)) == [""]


def test_no_picture_is_decoded_in_the_process_that_serves(
    archive: Archive, walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded in the process that serves")

    for module, name in ((Image, "open"), (cv2, "imdecode"), (cv2, "imread")):
        monkeypatch.setattr(module, name, refused)
    image_id = archive.index.names[0]
    assert archive.gallery.thumbnail(image_id, 64)
    assert archive.gallery.original(image_id)
    pixels = archive.search.pixels(0, 32, "rgb")
    assert pixels is not None
    assert pixels.shape == (32, 32, 3)
    with walked.queries[0].open("rb") as upload:
        assert archive.encoder.encode_upload(upload).compared.shape[0] == 1
