"""Disks that are full, limited or read-only: one line, the earlier artifact untouched, and no harm done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground, refused_in_one_line
from tests.faults.table import Table
from tests.faults.test_kills import KILLS

pytestmark = pytest.mark.faults

WRITING = [name for name in KILLS if not name.startswith("ingest for")]
_PAGE = 4096


@pytest.fixture
def small_disk(ground: Ground) -> Iterator[Path]:
    """The trial folder as a disk of its own."""
    shutil.rmtree(ground.trial, ignore_errors=True)
    ground.trial.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(ground.trial)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("needs root, and the right to mount a tmpfs")
    yield ground.trial
    subprocess.run(["umount", "--lazy", str(ground.trial)], check=True)


def filled(disk: Path, before: Path, free: int) -> None:
    """What stands before a command, and little room beside it."""
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(before, disk, dirs_exist_ok=True)
    used = shutil.disk_usage(disk).used
    resized(disk, f"size={max(_PAGE, used + free)}")


def resized(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


@pytest.mark.parametrize("name", WRITING)
def test_a_full_disk(name: str, ground: Ground, small_disk: Path, table: Table) -> None:
    for free in sorted({0, ground.largest[name] // 2 // _PAGE * _PAGE}):
        resized(small_disk, "size=64m")
        filled(small_disk, ground.folder / "before" / name, free)
        said = refused_in_one_line(ground.run(name), f"{name} with {free} bytes free")
        assert str(small_disk) in said
        assert re.search(r"No space left on device|needed", said), said
        ground.nothing_is_lost(name)
        resized(small_disk, "size=64m")
        ground.ends_as_expected(name)
        table.add("full disk", name, "one line, nothing lost; then as uninterrupted")


@pytest.mark.parametrize("name", WRITING)
def test_a_read_only_disk(name: str, ground: Ground, small_disk: Path, table: Table) -> None:
    filled(small_disk, ground.folder / "before" / name, 1 << 20)
    resized(small_disk, "ro")
    said = refused_in_one_line(ground.run(name), f"{name}, read-only")
    assert str(small_disk) in said
    assert "Read-only file system" in said
    resized(small_disk, "rw,size=64m")
    ground.nothing_is_lost(name)
    ground.ends_as_expected(name)
    table.add("read-only disk", name, "one line, nothing lost; then as uninterrupted")


_SENTENCE = 600
"""Bytes that the limit leaves for what the command says, since that goes into a file as well."""


@pytest.mark.parametrize("name", WRITING)
def test_a_limit_on_the_size_of_files(name: str, ground: Ground, table: Table) -> None:
    for share in (0.2, 0.9):
        ground.before(name)
        ended = ground.run(name, largest_file=max(_SENTENCE, int(ground.largest[name] * share)))
        said = refused_in_one_line(ended, f"{name}, {share} of the largest file")
        assert "File too large" in said, said
        assert str(ground.trial) in said, said
        ground.nothing_is_lost(name)
        ground.ends_as_expected(name)
        table.add("limit on the size of files", name, "one line, nothing lost; then as uninterrupted")
