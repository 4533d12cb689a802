from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
import httpx
import uvicorn
from fastapi import FastAPI

from imageclef import stages
from imageclef.config import Config
from imageclef.data.phantoms import CONCEPTS, draw_collection
from imageclef.service.access import Gate
from imageclef.service.app import create_app
from imageclef.service.archive import Archive
from imageclef.service.door import Bounds
from imageclef.service.opening import open_archive
from imageclef.stages.serving import TOKEN_VARIABLE
from imageclef.workspace import Workspace

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
    config = Config.model_validate(
        {
            "workspace": folder / "artifacts",
            "device": "cpu",
            "collections": {
                "train": {
                    "images": drawn.train_images,
                    "concepts": drawn.train_concepts,
                    "groups": drawn.train_groups,
                },
                "test": {"images": drawn.test_images, "concepts": drawn.test_concepts},
            },
            "learner": {"name": "pixels"},
            "index": {"metric": "cosine"},
            "classify": {"top": 20, "cs": [0.01], "rule": "per-concept"},
        }
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
    from imageclef.progress import Silent
    from imageclef.stages.indexed import files_of, open_index

    index = open_index(walked.workspace)
    paths = {image_id: Path(file.folder) / file.path for image_id, file in files_of(index).items()}
    return open_archive(walked.workspace, index, paths, walked.names, Silent())


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The address of a real server on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
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
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    with running(app) as address, httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def address(archive: Archive) -> Iterator[str]:
    """A service on loopback, without a token."""
    with running(create_app(archive, Gate("127.0.0.1", None))) as address:
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def guarded(archive: Archive) -> Iterator[str]:
    """A service that could be reached by others, with a token."""
    with running(create_app(archive, Gate("0.0.0.0", TOKEN))) as address:
        yield address


@pytest.fixture
def tight(archive: Archive) -> Callable[[Bounds], object]:
    """Services with bounds that a test can meet."""
    return lambda bounds: client_of(create_app(archive, Gate("127.0.0.1", None), bounds))


@pytest.fixture(autouse=True)
def no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
