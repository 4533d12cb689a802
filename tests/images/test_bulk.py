from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imageclef.config import ReadingSettings
from imageclef.data.collection import ImageFile, Refusal
from imageclef.errors import ImageRefused
from imageclef.images import bulk
from imageclef.images.bulk import cores, decode_all
from imageclef.images.decode import Decoded
from imageclef.images.process import Form

IMAGES = [ImageFile(str(i), f"x/{i}") for i in range(200)]


class Numbered:
    """Instead of decoding: pixels that say which file they are, and every seventh refused."""

    def decode(
        self, paths: Sequence[Path], form: Form, reading: ReadingSettings, stop: threading.Event
    ) -> list[Decoded | ImageRefused]:
        shape = (int(form["size"]), int(form["size"]), 3)
        return [
            Decoded(np.full(shape, number % 256, np.uint8), number, number + 1)
            if number % 7
            else ImageRefused("damaged", "a seventh")
            for number in (int(path.name) for path in paths)
        ]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [4, 200])
def test_files_come_in_order_with_their_pixels(
    monkeypatch: pytest.MonkeyPatch, size: int, workers: int
) -> None:
    monkeypatch.setattr(bulk, "decoders", Numbered())
    chunks = list(decode_all(Path("folder"), IMAGES, size, "rgb", workers))
    read = [number for number in range(200) if number % 7]
    originals = [original for chunk in chunks for original in chunk.originals]
    assert originals == [(str(number), f"x/{number}", number, number + 1, "", "") for number in read]
    pixels = np.concatenate([chunk.pixels for chunk in chunks])
    assert pixels.shape == (len(read), size, size, 3)
    assert pixels[:, 0, 0, 0].tolist() == read
    refused = [refusal for chunk in chunks for refusal in chunk.refused]
    assert refused == [
        Refusal(str(number), f"x/{number}", "damaged", "a seventh") for number in range(0, 200, 7)
    ]
    assert max(chunk.pixels.nbytes for chunk in chunks) <= 2**20


def test_decoding_runs_only_a_bounded_way_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path] = []
    first = threading.Event()

    class SlowFirst(Numbered):
        def decode(
            self, paths: Sequence[Path], form: Form, reading: ReadingSettings, stop: threading.Event
        ) -> list[Decoded | ImageRefused]:
            started.extend(paths)
            if paths[0].name == "1":
                assert first.wait(10), "the first was never let go"
            return super().decode(paths, form, reading, stop)

    monkeypatch.setattr(bulk, "decoders", SlowFirst())
    images = [ImageFile(str(7 * i + 1), str(7 * i + 1)) for i in range(5000)]
    threading.Timer(0.3, first.set).start()
    chunks = decode_all(Path(), images, 64, "rgb", 2)
    chunk = next(chunks)
    ahead = len(started)
    assert chunk.originals[0] == ("1", "1", 1, 2, "", "")
    assert ahead <= 2 * 4 * 32
    assert sum(len(chunk.originals) for chunk in chunks) == 5000 - len(chunk.originals)


def test_the_cores_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
