from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from imageclef.stages import walk


def test_the_demo_walks_the_path_and_beats_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "_N_TRAIN", 120)
    monkeypatch.setattr(walk, "_N_TEST", 24)
    tiny = "image_size = 36\ncrop_size = 32\nbatch_size = 16\n"
    small = walk._CONFIG.replace("width = 16", "width = 8").replace("epochs = 10", "epochs = 3")
    monkeypatch.setattr(walk, "_CONFIG", small + tiny)
    report = walk.demo(tmp_path / "demo")
    baseline = report.figures["constant answer"]["score"]
    assert report.figures["linear classifier"]["score"] > baseline + 0.2
    assert report.figures["nearest neighbours"]["score"] > baseline + 0.2
    assert len(list((tmp_path / "demo" / "artifacts" / "runs").glob("*.csv"))) == 2
    with Image.open(tmp_path / "demo" / "similar.png") as sheet:
        assert sheet.size[0] > sheet.size[1] > 300
