from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import xxhash
from PIL import Image

from imageclef.data.collection import ImageFile, Refusal, find_images
from imageclef.data.store import ImageStore, StoreReport, build_store
from imageclef.errors import ArtifactError, DataError
from imageclef.images.decode import Mode, decode

SIZE = 8
FILES = ("images.npy", "ids.txt", "images.csv", "refused.csv")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """70 drawn images, so that there are several chunks, and broken files at both ends and between."""
    folder = tmp_path / "collection"
    (folder / "x").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(70):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("x" if i % 2 else ".") / f"image{i:02}.png")
    for name in ("aaa.jpg", "image33a.png", "x/image40b.tif", "zzz.gif"):
        (folder / name).write_text("nothing to see")
    return folder


def build(collection: Path, out: Path, mode: Mode = "rgb", workers: int | None = 2) -> StoreReport:
    out.mkdir()
    return build_store(collection, find_images(collection).images, out, SIZE, mode, workers)


@pytest.fixture
def store(collection: Path, tmp_path: Path) -> ImageStore:
    build(collection, tmp_path / "store")
    return ImageStore.open(tmp_path / "store")


@pytest.mark.parametrize("mode", ["rgb", "grey"])
def test_each_row_is_the_image_of_its_line(collection: Path, tmp_path: Path, mode: Mode) -> None:
    report = build(collection, tmp_path / "store", mode)
    store = ImageStore.open(tmp_path / "store")
    assert store.ids == [f"image{i:02}" for i in range(70)]
    assert (report.n_read, len(store), store.size, store.mode) == (70, 70, SIZE, mode)
    for image_id, pixels in zip(store.ids, store.images, strict=True):
        decoded = decode(collection / store.path_of(image_id), SIZE, mode)
        np.testing.assert_array_equal(pixels, decoded.pixels)


def test_files_that_cannot_be_read_are_listed_with_their_reason(collection: Path, tmp_path: Path) -> None:
    report = build(collection, tmp_path / "store")
    reason = ("not an image", "of no known format", xxhash.xxh3_128_hexdigest(b"nothing to see"))
    assert report.refused == [
        Refusal("aaa", "aaa.jpg", *reason),
        Refusal("image33a", "image33a.png", *reason),
        Refusal("image40b", "x/image40b.tif", *reason),
        Refusal("zzz", "zzz.gif", *reason),
    ]
    assert ImageStore.open(tmp_path / "store").refused == report.refused


def test_what_was_refused_before_is_listed_by_path_with_the_rest(collection: Path, tmp_path: Path) -> None:
    earlier = [
        Refusal("z", 'zzzz, \n"/z.png', "id twice", 'has the same "id"'),
        Refusal("m", "m.png", "odd", "no, \n"),
    ]
    images = [ImageFile("zzz", "zzz.gif"), ImageFile("image00", "image00.png")]
    report = build_store(collection, images, tmp_path, SIZE, "rgb", refused=earlier)
    assert [refusal.image_id for refusal in report.refused] == ["m", "zzz", "z"]
    assert ImageStore.open(tmp_path).refused == report.refused


def test_the_tables_can_be_read_by_others(collection: Path, tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(collection / "x" / "image01.png")
    build(collection, tmp_path / "store")
    lines = (tmp_path / "store" / "images.csv").read_text().splitlines()
    assert lines[0] == "id,path,width,height,applied,digest"
    digests = [
        xxhash.xxh3_128_hexdigest((collection / path).read_bytes())
        for path in ("image00.png", "x/image01.png")
    ]
    assert lines[1:3] == [
        f"image00,image00.png,8,8,,{digests[0]}",
        f"image01,x/image01.png,30,20,,{digests[1]}",
    ]
    lines = (tmp_path / "store" / "refused.csv").read_text().splitlines()
    nothing = xxhash.xxh3_128_hexdigest(b"nothing to see")
    assert lines[:2] == [
        "id,path,class,reason,digest",
        f"aaa,aaa.jpg,not an image,of no known format,{nothing}",
    ]
    assert np.load(tmp_path / "store" / "images.npy").shape == (70, SIZE, SIZE, 3)


def test_the_array_is_the_one_that_numpy_would_save(store: ImageStore, tmp_path: Path) -> None:
    np.save(tmp_path / "again.npy", store.images)
    assert (store.folder / "images.npy").read_bytes() == (tmp_path / "again.npy").read_bytes()


def test_the_bytes_do_not_depend_on_the_workers(collection: Path, tmp_path: Path) -> None:
    for workers in (1, 4, None):
        build(collection, tmp_path / str(workers), workers=workers)
    for name in FILES:
        one = (tmp_path / "1" / name).read_bytes()
        assert one == (tmp_path / "4" / name).read_bytes() == (tmp_path / "None" / name).read_bytes()


def test_every_file_is_counted_as_progress(collection: Path, tmp_path: Path) -> None:
    done: list[int] = []
    build_store(collection, find_images(collection).images, tmp_path, SIZE, "rgb", 2, done.append)
    assert sum(done) == 74
    assert len(done) > 2


def test_a_partial_store_of_an_earlier_try_is_written_over(collection: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    build(collection, out)
    whole = {name: (out / name).read_bytes() for name in FILES}
    for name in FILES:
        (out / name).write_bytes(whole[name] * 2)
    build_store(collection, find_images(collection).images, out, SIZE, "rgb")
    assert {name: (out / name).read_bytes() for name in FILES} == whole


def test_a_store_that_was_stopped_goes_on_where_it_was(collection: Path, tmp_path: Path) -> None:
    def stop(n: int) -> None:
        if sum(done := [*first, n]) > 40:
            raise InterruptedError("somebody pressed Ctrl-C")
        first[:] = done

    first: list[int] = []
    second: list[int] = []
    images = find_images(collection).images
    build(collection, tmp_path / "whole")
    (tmp_path / "stopped").mkdir()
    with pytest.raises(InterruptedError, match="pressed"):
        build_store(collection, images, tmp_path / "stopped", SIZE, "rgb", 2, stop)
    build_store(collection, images, tmp_path / "stopped", SIZE, "rgb", 2, second.append)
    assert second[0] > 40  # of the first time
    assert sum(second) == 74
    for name in FILES:
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_no_readable_image_is_an_error(collection: Path, tmp_path: Path) -> None:
    images = [ImageFile("zzz", "zzz.gif"), ImageFile("gone", "gone.jpg")]
    message = r"collection: none of 2 images can be read; the first is gone.jpg: unreadable"
    with pytest.raises(DataError, match=message):
        build_store(collection, images, tmp_path, SIZE, "rgb")
    with pytest.raises(DataError, match=r"collection: none of 0 images can be read$"):
        build_store(collection, [], tmp_path, SIZE, "rgb")


def test_an_error_of_the_reader_stops_the_threads(collection: Path, tmp_path: Path) -> None:
    def give_up(n: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        build_store(collection, find_images(collection).images, tmp_path, SIZE, "rgb", 2, give_up)
    assert threading.active_count() == before


def test_a_batch_is_images_as_learners_take_them(store: ImageStore) -> None:
    rows = np.array([5, 0, 5])
    batch = store.batch(rows)
    assert (batch.dtype, tuple(batch.shape)) == (torch.uint8, (3, 3, SIZE, SIZE))
    np.testing.assert_array_equal(batch.numpy(), store.images[rows].transpose(0, 3, 1, 2))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    batch.zero_()
    assert store.images[5].any()


def test_a_batch_of_grey_has_three_equal_channels(collection: Path, tmp_path: Path) -> None:
    build(collection, tmp_path / "store", "grey")
    store = ImageStore.open(tmp_path / "store")
    batch = store.batch(np.array([1, 2])).numpy()
    for channel in range(3):
        np.testing.assert_array_equal(batch[:, channel], store.images[1:3, :, :, 0])
    assert tuple(store.batch(np.array([], np.int64)).shape) == (0, 3, SIZE, SIZE)


def test_rows_and_paths_are_found_by_id(store: ImageStore) -> None:
    rows = store.rows_of(["image69", "image00"])
    assert (rows.tolist(), rows.dtype) == ([69, 0], np.int64)
    assert store.path_of("image69") == "x/image69.png"
    with pytest.raises(DataError, match=r"store: no image 'zzz' in the store"):
        store.rows_of(["image00", "zzz"])
    with pytest.raises(DataError, match=r"no image 'zzz'"):
        store.path_of("zzz")


def test_a_damaged_store_is_refused_by_file(store: ImageStore) -> None:
    pixels, ids, images, refused = (store.folder / name for name in FILES)
    whole = {path: path.read_bytes() for path in (pixels, ids, images, refused)}

    def opening(path: Path, data: bytes | None, message: str) -> None:
        path.unlink() if data is None else path.write_bytes(data)
        with pytest.raises(ArtifactError, match=message):
            ImageStore.open(store.folder).path_of("image00")
        path.write_bytes(whole[path])

    for keep in (0, 5, 100, len(whole[pixels]) - 1):
        opening(pixels, whole[pixels][:keep], r"images\.npy: missing or cut short")
    opening(pixels, None, r"images\.npy: missing or cut short .*run `imageclef ingest` again")
    np.save(pixels, np.zeros((70, SIZE, SIZE), np.uint8))
    opening(pixels, pixels.read_bytes(), r"images\.npy: uint8 \(70, 8, 8\); expected uint8 \(n, size")
    opening(
        ids, b"".join(whole[ids].splitlines(True)[1:]), r"ids\.txt: 69 ids for the 70 rows of images\.npy"
    )
    opening(ids, b"", r"ids\.txt: 0 ids for the 70 rows")
    opening(ids, b"\xff" + whole[ids], r"ids\.txt: not UTF-8")
    opening(ids, None, r"ids\.txt: No such file")
    opening(refused, None, r"refused\.csv: cannot be read")
    opening(refused, b"id,path\n", r"refused\.csv: not a table of id, path, class, reason")
    opening(images, whole[images].replace(b"image07,", b"other,"), r"images\.csv: not the images of ids\.txt")
    assert ImageStore.open(store.folder).path_of("image00") == "image00.png"


def test_a_sample_of_the_real_collection(shared: Path, tmp_path: Path) -> None:
    folder = shared / "real-collection" / "valid"
    images = find_images(folder).images[::9]
    report = build_store(folder, images, tmp_path, 64, "rgb", 2)
    store = ImageStore.open(tmp_path)
    assert (report.n_read, report.refused, len(store)) == (100, [], 100)
    assert store.ids == [image.image_id for image in images]
    assert np.asarray(store.images).std(axis=(1, 2, 3)).min() > 5


MEASURE = """
import os, re, sys
from pathlib import Path
from imageclef.data.collection import ImageFile
from imageclef.images.pool import decoders
from imageclef.data.store import build_store

def peak(pid):
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024

for count in (50, 600):
    images = [ImageFile(str(i), "a.png") for i in range(count)]
    build_store(Path(sys.argv[1]), images, Path(sys.argv[1]), 256, "rgb", 2)
    print(sum(peak(pid) for pid in (os.getpid(), *decoders.waiting())))
"""


def test_memory_is_bounded_by_the_chunks_not_by_the_collection(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    measured = subprocess.check_output([sys.executable, "-c", MEASURE, str(tmp_path)], text=True)
    few, many = map(float, measured.split())
    assert (tmp_path / "images.npy").stat().st_size > 115e6
    assert many < few + 20
