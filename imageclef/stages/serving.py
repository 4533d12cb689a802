"""Serve: the similarity page and its REST interface, until it is stopped."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from imageclef.config import Config
from imageclef.errors import ConfigError
from imageclef.progress import Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.stages.indexed import files_of, open_index
from imageclef.stages.report import Report, shown
from imageclef.workspace import TRAIN, Workspace

if TYPE_CHECKING:
    from fastapi import FastAPI

TOKEN_VARIABLE = "IMAGECLEF_TOKEN"


def serve(
    config: Config,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    concept_names: Path | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Answer questions about the indexed images, from a browser or a program, until stopped by a signal.

    Args:
        config: the configuration.
        host: the address to listen on.
        port: likewise; 0 for any that is free.
        token: demanded of every request; by default that of the environment variable `IMAGECLEF_TOKEN`.
            Anywhere but on a loopback address there must be one.
        concept_names: a table of names, as the task publishes it, or MRCONSO.RRF.
        reporter: told where to look.

    Raises:
        ConfigError: the extra is not installed, the token is missing, or the port cannot be used.
        MissingArtifact: the index, the learner or the store is not there.
    """
    reporter, report = reporter or Silent(), Report("serve")
    try:
        import uvicorn

        from imageclef.service.access import is_loopback
    except ImportError:
        raise ConfigError(_MISSING) from None
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"--host {host}: others can reach this address; expected --token or {TOKEN_VARIABLE}, "
            "or the host 127.0.0.1"
        )
    with _bound(host, port) as listening:
        app = application(config, host, token, concept_names, reporter)
        port = listening.getsockname()[1]
        reporter.say(f"serving   http://{f'[{host}]' if ':' in host else host}:{port}   (Ctrl-C stops it)")
        settings = uvicorn.Config(
            app, log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=5
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(settings).run(sockets=[listening])
    report.read.append(shown(Workspace(config).index_path))
    return report.done()


def _bound(host: str, port: int) -> socket.socket:
    """A socket at an address; nobody is answered before the server listens."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{host}:{port}: {reason}; expected a free port at an address of this machine"
        ) from None
    return bound


def application(
    config: Config,
    host: str = "127.0.0.1",
    token: str | None = None,
    concept_names: Path | None = None,
    reporter: Reporter | None = None,
) -> FastAPI:
    """The application that `serve` runs, for another ASGI server.

    Raises:
        ConfigError: the extra is not installed.
        MissingArtifact: the index, the learner or the store is not there.
    """
    try:
        from imageclef.service.access import Gate
        from imageclef.service.app import create_app
    except ImportError:
        raise ConfigError(_MISSING) from None
    from imageclef.service.opening import open_archive

    # Questions run beside each other, one thread each: more for one would only take them from the others.
    torch.set_num_threads(1)
    workspace = Workspace(config)
    index = open_index(workspace)
    index.require(workspace.made_with)
    paths = _paths(workspace, index)
    archive = open_archive(workspace, index, paths, concept_names, reporter or Silent())
    return create_app(archive, Gate(host, token))


def _paths(workspace: Workspace, index: Index) -> dict[str, Path]:
    """The file of each image: as the index knows it, else as the training collection was ingested."""
    known = {image_id: Path(file.folder) / file.path for image_id, file in files_of(index).items()}
    if known:
        return known
    folder, store = workspace.config.collection(TRAIN).images, workspace.store(TRAIN)
    return {image_id: folder / store.path_of(image_id) for image_id in store.ids}


_MISSING = (
    "the service needs fastapi, uvicorn and python-multipart; install them: pip install 'imageclef[serve]'"
)
