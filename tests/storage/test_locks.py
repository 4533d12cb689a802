from __future__ import annotations

import os
from pathlib import Path

import pytest

from imageclef.errors import ArtifactError
from imageclef.storage.locks import held


def test_one_holds_it_and_others_are_told_who(tmp_path: Path) -> None:
    expected = rf"a: process {os.getpid()} on \S+, since \S+, is making it; wait until it is done"
    with held(tmp_path / "a"):
        with held(tmp_path / "b"):
            pass
        with pytest.raises(ArtifactError, match=expected), held(tmp_path / "a"):
            raise AssertionError("held twice")
        with pytest.raises(ArtifactError, match=expected), held(tmp_path / "a", wait=0.05):
            raise AssertionError("held twice")
    with held(tmp_path / "a"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_holder_that_cannot_be_read_is_another_process(tmp_path: Path) -> None:
    with held(tmp_path / "a"):
        (tmp_path / ".a.holder").write_text('{"process": ')
        with pytest.raises(ArtifactError, match=r"a: another process is making it"), held(tmp_path / "a"):
            raise AssertionError("held twice")
