from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from select import poll
from threading import Event

import numpy as np
import pytest
from PIL import Image
from xxhash import xxh3_128_hexdigest

from imageclef.config import ReadingSettings
from imageclef.data.collection import ImageFile
from imageclef.errors import ConfigError, ImageclefError, ImageRefused
from imageclef.images import bulk
from imageclef.images.bulk import decode_all
from imageclef.images.decode import Decoded, decode, decode_fitting
from imageclef.images.pool import Decoders, decode_fitting_guarded, decode_guarded, decoders
from tests.images.made_up import NOISE, RNG, SIZE, Save, smooth

DEADLY = ("-P", str(Path(__file__).with_name("deadly_worker.py")))
FORM = {"size": 8, "mode": "rgb"}
PATIENT = ReadingSettings(seconds=20)


@pytest.fixture(scope="module")
def deadly() -> Iterator[Decoders]:
    """Decoders that can be told to die by the name of a file."""
    those = Decoders(DEADLY)
    yield those
    those.close()


def drawn(folder: Path, *names: str) -> list[Path]:
    for name in names:
        Image.fromarray(NOISE).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in names]


def verdicts(answers: list[Decoded | ImageRefused]) -> list[str]:
    return [str(answer) if isinstance(answer, ImageRefused) else "read" for answer in answers]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.gif", "a.webp"])
def test_pixels_are_those_of_the_unguarded_decoder(save: Save, name: str) -> None:
    path = save(Image.fromarray(smooth(90, 70)), name)
    for size, mode in ((16, "rgb"), (33, "grey")):
        guarded, plain = decode_guarded(path, size, mode), decode(path, size, mode)
        np.testing.assert_array_equal(guarded.pixels, plain.pixels)
        assert (guarded.width, guarded.height, guarded.applied) == (90, 70, "")
    np.testing.assert_array_equal(decode_fitting_guarded(path, 50).pixels, decode_fitting(path, 50).pixels)


def test_a_picture_larger_than_a_pipe_comes_whole(save: Save) -> None:
    pixels = RNG.integers(0, 256, (1000, 800, 3), dtype=np.uint8)
    path = save(Image.fromarray(pixels), "a.bmp")
    np.testing.assert_array_equal(decode_fitting_guarded(path, 2**31).pixels, pixels)


def test_a_refusal_keeps_its_class(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ImageRefused, match=r"^not an image: of no known format$") as caught:
        decode_guarded(tmp_path / "a.png", 8, "rgb")
    assert (caught.value.kind, caught.value.detail) == ("not an image", "of no known format")
    with pytest.raises(ImageRefused, match=r"^unreadable: No such file or directory$"):
        decode_fitting_guarded(tmp_path / "b.png", 8)


@pytest.mark.parametrize("name", ["line\nbreak.png", "\udcff.png", '"\\ .png', "é" * 100 + ".png"])
def test_any_name_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Image.fromarray(NOISE).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)  # where the process, which is kept, is not
    np.testing.assert_array_equal(decode_guarded(Path(name), SIZE, "rgb").pixels, NOISE)


def test_a_decoder_that_dies_costs_one_file(deadly: Decoders, tmp_path: Path) -> None:
    paths = drawn(tmp_path, "a", "SIGSEGV-b", "c", "SIGKILL-d", "SIGABRT-e")
    crashed = "crashed: its decoder ended by "
    answers = deadly.decode(paths, FORM, PATIENT)
    assert verdicts(answers) == [
        "read",
        crashed + "SIGSEGV",
        "read",
        crashed + "SIGKILL",
        crashed + "SIGABRT",
    ]
    assert [answer.digest for answer in answers] == [xxh3_128_hexdigest(path.read_bytes()) for path in paths]


def test_a_file_at_which_a_process_ended_is_tried_once_more(deadly: Decoders, tmp_path: Path) -> None:
    paths = drawn(tmp_path, "a", "once-b", "once-c", "d")
    assert verdicts(deadly.decode(paths, FORM, PATIENT)) == ["read"] * 4
    assert len(list(tmp_path.glob("*.seen"))) == 2


@pytest.mark.parametrize("fault", ["busy", "asleep"])
def test_a_decoder_that_never_comes_back_is_ended(deadly: Decoders, tmp_path: Path, fault: str) -> None:
    paths = drawn(tmp_path, "a", f"{fault}-b", "c")
    answers = deadly.decode(paths, FORM, ReadingSettings(seconds=0.2))
    before, refused, after = verdicts(answers)
    assert (before, after) == ("read", "read")
    # On a machine that is busy itself, it may be the other limit that is met first.
    assert refused in ("timed out: 0.2 s", "timed out: 1.2 s, most of them waiting")
    assert fault == "busy" or refused.endswith("waiting")


def test_nobody_waits_for_what_is_not_wanted_any_more(deadly: Decoders, tmp_path: Path) -> None:
    stop = Event()
    with ThreadPoolExecutor(1) as threads:
        answers = threads.submit(deadly.decode, drawn(tmp_path, "asleep-a"), FORM, PATIENT, stop)
        stop.set()
        with pytest.raises(CancelledError, match=r"^$"):
            answers.result(20)


def test_memory_is_limited(deadly: Decoders, tmp_path: Path) -> None:
    paths = drawn(tmp_path, "a", "memory-b", "c")
    too_large = "too large: more memory than is kept for one file (ingest.memory)"
    assert verdicts(deadly.decode(paths, FORM, PATIENT)) == ["read", too_large, "read"]


def test_what_decoders_write_is_not_taken_for_an_answer(
    deadly: Decoders, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert verdicts(deadly.decode(drawn(tmp_path, "loud-a", "b"), FORM, PATIENT)) == ["read", "read"]
    assert capfd.readouterr() == ("", "")


def test_a_large_picture_meets_the_limits_of_time_and_memory(save: Save) -> None:
    path = save(Image.new("RGB", (4000, 3000)), "a.png")
    assert decode_guarded(path, 8, "rgb").width == 4000
    with pytest.raises(ImageRefused, match=r"^timed out: "):
        decode_guarded(path, 8, "rgb", ReadingSettings(seconds=0.01))
    with pytest.raises(ImageRefused, match=r"^too large: more memory than is kept"):
        decode_guarded(path, 8, "rgb", ReadingSettings(memory=16))
    assert decode_guarded(path, 8, "rgb").width == 4000


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_a_truncated_picture_is_read_up_to_the_break_on_request(save: Save, name: str) -> None:
    path = save(Image.fromarray(smooth(200, 200)), name)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageRefused, match=r"^truncated: "):
        decode_guarded(path, 200, "rgb")
    read = decode_guarded(path, 200, "rgb", ReadingSettings(accept_truncated=True))
    assert read.applied == "truncated: read up to the break"
    upper, lower = read.pixels[:60], read.pixels[-60:]  # a BMP begins with its last row
    known = smooth(200, 200)
    first = (lower, known[-60:]) if name == "a.bmp" else (upper, known[:60])
    np.testing.assert_allclose(first[0], first[1].astype(int), atol=12)
    with pytest.raises(ImageRefused, match=r"^truncated: "):
        decode_guarded(path, 200, "rgb")
    path.write_bytes(whole)
    assert decode_guarded(path, 200, "rgb", ReadingSettings(accept_truncated=True)).applied == ""


def test_processes_are_kept_and_shared_by_threads(tmp_path: Path) -> None:
    own = Decoders()
    paths = drawn(tmp_path, *map(str, range(40)))
    with ThreadPoolExecutor(3) as threads:
        for read in threads.map(lambda path: own.decode([path], FORM, PATIENT), paths):
            assert verdicts(read) == ["read"]
    started = own.waiting()
    assert 1 <= len(started) <= 3
    own.close()
    for pid in started:
        with pytest.raises(ProcessLookupError, match="No such process"):
            os.kill(pid, 0)


def test_500_files_with_three_killers_among_them(
    deadly: Decoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "decoders", deadly)
    names = [f"{number:03}" for number in range(500)]
    for place, fault in ((0, "SIGSEGV"), (250, "busy"), (499, "SIGABRT")):
        names[place] = f"{fault}-{place}"
    first = drawn(tmp_path, names[0])[0]
    for name in names[1:]:
        os.link(first, tmp_path / f"{name}.png")
    images = [ImageFile(name, f"{name}.png") for name in names]
    chunks = list(decode_all(tmp_path, images, 8, "rgb", 2, ReadingSettings(seconds=0.5)))
    refused = [refusal for chunk in chunks for refusal in chunk.refused]
    assert [(one.path, one.kind) for one in refused] == [
        ("SIGSEGV-0.png", "crashed"),
        ("busy-250.png", "timed out"),
        ("SIGABRT-499.png", "crashed"),
    ]
    read = [original[0] for chunk in chunks for original in chunk.originals]
    assert read == [name for name in names if "-" not in name]
    expected = decode(first, 8, "rgb").pixels
    assert all((chunk.pixels == expected).all() for chunk in chunks)


def test_what_is_no_window_is_said_once(save: Save) -> None:
    with pytest.raises(ConfigError, match=r"^window 'wide': expected"):
        decode_guarded(save(Image.fromarray(NOISE), "a.png"), 8, "rgb", ReadingSettings(window="wide"))


def test_a_program_that_does_not_start_is_one_error() -> None:
    with pytest.raises(ImageclefError, match=r"images did not start \(exit code 3\)"):
        Decoders(("-c", "import sys; sys.exit(3)")).decode([Path("a")], FORM, PATIENT)


def test_a_system_without_room_for_a_process_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/not/there")
    with pytest.raises(ImageclefError, match=r"^no process to decode images can be started: No such file"):
        Decoders().decode([Path("a")], FORM, PATIENT)


PARENT = """
import sys
from pathlib import Path
from imageclef.images.pool import decode_guarded, decoders
decode_guarded(Path(sys.argv[1]), 8, "rgb")
print(*decoders.waiting(), flush=True)
sys.stdin.read()
"""


def gone(pid: int, within: float) -> bool:
    """Wait for a process that is nobody's child here to end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor, closefd=True):
        waiting = poll()
        waiting.register(descriptor)
        return bool(waiting.poll(within * 1000))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs descriptors of processes, as Linux has")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_no_process_outlives_the_one_that_started_it(tmp_path: Path, how: signal.Signals | None) -> None:
    (path,) = drawn(tmp_path, "a")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.stdin.close() if how is None else parent.send_signal(how)
    parent.wait(20)
    assert gone(worker, 20)


def test_an_interrupt_of_the_terminal_does_not_reach_them(save: Save) -> None:
    path = save(Image.fromarray(NOISE), "a.png")
    decode_guarded(path, 8, "rgb")
    kept = decoders.waiting()
    for pid in kept:
        os.kill(pid, signal.SIGINT)
    assert decode_guarded(path, 8, "rgb").width == SIZE
    assert decoders.waiting() == kept


def test_a_forked_process_has_its_own(save: Save) -> None:
    path = save(Image.fromarray(NOISE), "a.png")
    decode_guarded(path, 8, "rgb")
    kept = decoders.waiting()
    child = os.fork()
    if not child:
        decode_guarded(path, 8, "rgb")
        own = decoders.waiting()
        decoders.close()
        os._exit(bool(set(own) & set(kept)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert decode_guarded(path, 8, "rgb").width == SIZE
    assert decoders.waiting() == kept
