from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageclef.data.collection import ImageFile, Refusal
from imageclef.data.store_writer import LOG, StoreWriter
from imageclef.images.bulk import Chunk

SHAPE = (2, 2, 3)
IMAGES = [ImageFile("0-0", "ü\udcff.png"), ImageFile("0-1", "b.png")]


def chunk(number: int, n_read: int, n_refused: int) -> Chunk:
    rows = np.arange(n_read * 12, dtype=np.uint8).reshape(n_read, *SHAPE) + np.uint8(number)
    originals = [
        (f"{number}-{row}", f"ü,{number}/{row}\udcff.png", 3, 4, "window", "d1") for row in range(n_read)
    ]
    refused = [Refusal(f"{number}-r{row}", "path", "truncated", "an end", "d2") for row in range(n_refused)]
    return Chunk(rows, originals, refused)


def written(folder: Path, chunks: list[Chunk]) -> StoreWriter:
    folder.mkdir(exist_ok=True)
    with StoreWriter(folder / "images.npy", SHAPE, IMAGES) as writer:
        for one in chunks:
            writer.add(one)
            writer.keep()
        writer.finish()
    return writer


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    chunks = [chunk(0, 3, 1), chunk(1, 0, 2), chunk(2, 4, 0)]
    writer = written(tmp_path / "store", chunks)
    np.testing.assert_array_equal(
        np.load(tmp_path / "store" / "images.npy"), np.concatenate([one.pixels for one in chunks])
    )
    assert list(writer.originals()) == [original for one in chunks for original in one.originals]
    assert list(writer.refused()) == [refusal for one in chunks for refusal in one.refused]
    assert (writer.done, writer.n_read) == (10, 7)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)).filter(any), min_size=1, max_size=5),
    pixels_cut=st.floats(0, 1),
    log_cut=st.floats(0, 1),
)
def test_whatever_a_kill_left_it_goes_on_to_the_same_bytes(
    tmp_path: Path, sizes: list[tuple[int, int]], pixels_cut: float, log_cut: float
) -> None:
    chunks = [chunk(number, *size) for number, size in enumerate(sizes)]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        shutil.rmtree(folder, ignore_errors=True)
        written(folder, chunks)
    for name, cut in (("images.npy", pixels_cut), (LOG, log_cut)):
        data = (broken / name).read_bytes()
        (broken / name).write_bytes(data[: round(cut * len(data))])
    with StoreWriter(broken / "images.npy", SHAPE, IMAGES) as writer:
        ends = np.cumsum([0, *(read + refused for read, refused in sizes)])
        assert writer.done in ends
        first = int(np.flatnonzero(ends == writer.done)[-1])
        for one in chunks[first:]:
            writer.add(one)
        writer.finish()
    for name in ("images.npy", LOG):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_what_was_whole_is_not_cut_off(tmp_path: Path) -> None:
    chunks = [chunk(number, 2, 1) for number in range(4)]
    written(tmp_path, chunks)
    log = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(log[:-3])
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
        assert (writer.done, writer.n_read) == (9, 6)


def test_work_that_is_stopped_by_an_error_is_kept(tmp_path: Path) -> None:
    def stopped() -> None:
        with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
            writer.add(chunk(0, 2, 0))
            raise InterruptedError("somebody pressed Ctrl-C")

    with pytest.raises(InterruptedError, match="pressed"):
        stopped()
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
        assert writer.done == 2


def test_a_log_of_something_else_is_not_believed(tmp_path: Path) -> None:
    written(tmp_path, [chunk(0, 2, 0)])
    first = (tmp_path / LOG).read_bytes().split(b"\n")[0] + b"\n"
    for text in (b'{"rows": 3}\n', b"[1]\n", b"no json\n", b"\xff\n"):
        (tmp_path / LOG).write_bytes(first + text)
        with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
            assert writer.done == 0
    shorter = replace(chunk(0, 2, 0), pixels=np.zeros((1, *SHAPE), np.uint8))
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
        writer.add(shorter)
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
        assert writer.done == 0  # fewer pixels than the log says


def test_what_was_done_of_other_files_is_begun_anew(tmp_path: Path) -> None:
    written(tmp_path, [chunk(0, 2, 0)])
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES[:1]) as writer:
        assert (writer.done, writer.n_read) == (0, 0)
    with StoreWriter(tmp_path / "images.npy", SHAPE, IMAGES) as writer:
        assert writer.done == 0
