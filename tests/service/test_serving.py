"""The stage: what it refuses to begin with, and a real process that is asked and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageclef.config import Config, with_profile
from imageclef.errors import ConfigError, MissingArtifact
from imageclef.stages.serving import _profiles, serve
from tests.service.conftest import Walked
from tests.walking import with_tables


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.3", "example.org"])
def test_others_are_not_served_without_a_token(walked: Walked, host: str) -> None:
    with pytest.raises(ConfigError, match=r"expected --token or IMAGECLEF_TOKEN"):
        serve(walked.config, host=host)


def test_without_an_index_it_says_how_to_make_one(walked: Walked, tmp_path: Path) -> None:
    config = Config.model_validate({**walked.config.model_dump(), "workspace": tmp_path})
    with pytest.raises(MissingArtifact, match="imageclef"):
        serve(config)


def test_the_index_of_several_feature_sets_is_named(walked: Walked) -> None:
    config = with_tables(walked.config, features=["pixels-small", "orb-small"])
    with pytest.raises(MissingArtifact, match=r"pixels-small\+orb-small-cosine is not there"):
        serve(config)


def test_a_profile_that_cannot_be_is_refused_before_it_is_asked_for(walked: Walked) -> None:
    config = with_tables(walked.config, profiles={"odd": {"features": ["a", "b"], "weights": [1]}})
    with pytest.raises(ConfigError, match=r"weights = \[1.0\] for features = \['a', 'b'\]; expected as many"):
        serve(config)


def test_the_profile_that_was_chosen_comes_first(walked: Walked) -> None:
    both = {"features": ["pixels-small", "orb-small"]}
    profiles = {"one": {"features": ["pixels-small"]}, "both": both}
    config = with_tables(walked.config, profiles=profiles)
    names = {name: one.features for name, one in _profiles(config).items()}
    assert names == {"": (), "one": ("pixels-small",), "both": ("pixels-small", "orb-small")}
    assert list(_profiles(with_profile(config, "both"))) == ["both", "one"]


def test_without_the_extra_it_says_what_to_install(walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'imageclef\[serve\]'"):
        serve(walked.config)


def test_a_port_that_is_taken_is_one_line(walked: Walked) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigError, match="in use; expected a free port"),
    ):
        serve(walked.config, port=taken.getsockname()[1])


_PROCESS = """
import sys
from imageclef.cli import main
sys.argv[0] = "imageclef"
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_answers_until_it_is_stopped(walked: Walked, tmp_path: Path, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "IMAGECLEF_TOKEN": "of the environment", "OMP_NUM_THREADS": "1"}
    settings = written(walked.config, tmp_path / "imageclef.toml")
    command = [sys.executable, "-c", _PROCESS, "serve", "--quiet", "-c", str(settings), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{address}/health", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert httpx.get(f"{address}/images", trust_env=False).status_code == 401
        token = {"Authorization": "Bearer of the environment"}
        assert httpx.get(f"{address}/images", headers=token, trust_env=False).status_code == 200
    finally:
        process.send_signal(number)
        process.wait(20)
    assert process.stderr is not None
    assert process.stderr.read() == "", "there is no work that would go on"
    assert process.returncode == 0


def written(config: Config, path: Path) -> Path:
    """A configuration as a file: JSON's values are TOML's, but for null and tables."""
    lines = list[str]()

    def put(table: str, values: dict[str, Any]) -> None:
        plain = {key: one for key, one in values.items() if not isinstance(one, dict) and one is not None}
        lines.extend([f"[{table}]"] if table else [])
        lines.extend(f"{key} = {json.dumps(one)}" for key, one in plain.items())
        for key, one in values.items():
            if isinstance(one, dict):
                put(f"{table}.{key}" if table else key, one)

    put("", config.model_dump(mode="json"))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"proxies": ["127.0.0.1"]}, "expected --token"),
        ({"allowed_hosts": ["images.example.org"]}, "expected --token"),
        ({"proxies": ["localhost"], "token": "x"}, "--proxy"),
        ({"allowed_hosts": ["a:80"], "token": "x"}, "--allowed-host"),
        ({"root_path": "imageclef"}, "--root-path"),
        ({"root_path": "/a b"}, "--root-path"),
    ],
)
def test_what_is_said_of_a_proxy_is_checked(walked: Walked, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        serve(walked.config, port=0, **arguments)
