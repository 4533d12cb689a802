from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
import httpx
import uvicorn
from fastapi import FastAPI

from imageclef import stages
from imageclef.config import Config, with_profile
from imageclef.data.concept_names import read_concept_names
from imageclef.demo.drawn import draw_collection
from imageclef.demo.shapes import CONCEPTS
from imageclef.service.answers import Profile
from imageclef.service.app import create_app
from imageclef.service.auth import Auth
from imageclef.service.connections import server_config
from imageclef.service.hosts import Hosts
from imageclef.service.limits import Limits
from imageclef.service.reload import Archives
from imageclef.service.served.archive import Archive
from imageclef.service.served.opening import Opener
from imageclef.stages.serving import TOKEN_VARIABLE, application
from imageclef.workspace import Workspace
from tests.walking import LEARNER, config_of, with_tables

TOKEN = "a token with a blank, ümlaut"


@dataclass(frozen=True)
class Walked:
    """A drawn collection of which everything was made that can be served."""

    folder: Path
    config: Config
    names: Path

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.config)

    @property
    def queries(self) -> list[Path]:
        """Images that are not in the index."""
        return sorted(path for path in (self.folder / "test").rglob("*.jpg") if path.stat().st_size > 1000)


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walked:
    folder = tmp_path_factory.mktemp("served")
    drawn = draw_collection(folder, 120, 24, seed=1)
    config = config_of(
        folder,
        drawn,
        learner={"name": "pixels"},
        index={"metric": "cosine"},
        classify={"top": 20, "cs": [0.01], "rule": "per-concept"},
    )
    for stage in (stages.ingest, stages.train, stages.extract, stages.classify, stages.index):
        stage(config)
    names = folder / "names.csv"
    names.write_text(
        "concept\tconcept_name\n" + "".join(f"{cui}\t{name}\n" for name, cui in CONCEPTS.items())
    )
    return Walked(folder, config, names)


@pytest.fixture(scope="session")
def archive(walked: Walked) -> Archive:
    return opener(walked.config, walked.names).open()


def opener(config: Config, names: Path | None = None) -> Opener:
    """What opens the archive of a configuration, as the stage has it."""
    return Opener(config, read_concept_names(names) if names else {})


class Opened:
    """An archive that stays as it is."""

    there, about = True, Profile(name="", features=["as opened"], weights=[1.0])

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def stamp(self) -> int:
        return 0

    def open(self) -> Archive:
        return self._archive


def app_of(
    archive: Archive, token: str | None = None, limits: Limits | None = None, hosts: Hosts | None = None
) -> FastAPI:
    """The service over one archive; by default without a token, and on loopback."""
    archives = Archives({"": Opened(archive)})
    archives.open()
    hosts = hosts or Hosts("0.0.0.0" if token else "127.0.0.1")
    return create_app(archives, Auth(token), hosts, limits)


@contextmanager
def running(
    app: FastAPI, limits: Limits | None = None, proxies: Sequence[str] = (), root_path: str = ""
) -> Iterator[str]:
    """The address of a real server on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(server_config(app, limits or Limits(), proxies, root_path))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@contextmanager
def client_of(app: FastAPI, limits: Limits | None = None) -> Iterator[httpx.Client]:
    with (
        running(app, limits) as address,
        httpx.Client(base_url=address, timeout=20, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def address(archive: Archive) -> Iterator[str]:
    """A service on loopback, without a token."""
    with running(app_of(archive)) as address:
        yield address


@dataclass(frozen=True)
class Profiled:
    """A service whose own features have places in the picture; two more profiles, and one without index."""

    config: Config
    address: str


@pytest.fixture(scope="session")
def profiled(walked: Walked) -> Iterator[Profiled]:
    own = with_tables(walked.config, learner={**LEARNER, "epochs": 0})
    names = [Workspace(one).extracted_label for one in (own, walked.config)]
    profiles = {
        "both": {"features": names, "weights": [3, 1]},
        "pixels": {"features": names[1:]},
        "never": {"features": ["orb-small"]},
    }
    config = with_tables(own, profiles=profiles)
    for stage in (stages.ingest, stages.train, stages.extract, stages.index):
        stage(config)
    stages.index(with_profile(config, "both"))
    with running(application(config, concept_names=walked.names)) as address:
        yield Profiled(config, address)


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def guarded(archive: Archive) -> Iterator[str]:
    """A service that could be reached by others, with a token."""
    with running(app_of(archive, TOKEN)) as address:
        yield address


@pytest.fixture
def tight(archive: Archive) -> Callable[[Limits], object]:
    """Services with limits that a test can meet."""
    return lambda limits: client_of(app_of(archive, limits=limits), limits)


@pytest.fixture(autouse=True)
def no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
