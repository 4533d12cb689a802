"""Serve the similarity page and its REST interface until stopped."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from imageclef.config import Config, with_profile
from imageclef.data.concept_names import read_concept_names
from imageclef.errors import ConfigError
from imageclef.progress import Reporter, Silent
from imageclef.stages.report import Report, shown
from imageclef.workspace import Workspace

if TYPE_CHECKING:
    from fastapi import FastAPI

    from imageclef.service.limits import Limits

TOKEN_VARIABLE = "IMAGECLEF_TOKEN"
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def serve(
    config: Config,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    concept_names: Path | None = None,
    reporter: Reporter | None = None,
    proxies: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
) -> Report:
    """Answer questions about the indexed images, from a browser or a program, until stopped by a signal.

    The server reloads the index when it changes. Visitors can choose between the profiles of the
    configuration whose index has been built.

    Args:
        config: the configuration; with a profile, that one is what visitors see first.
        host: the address to listen on.
        port: likewise; 0 for any that is free.
        token: required of every request; by default that of the environment variable `IMAGECLEF_TOKEN`.
            There must be one wherever others can reach the server.
        concept_names: a table of names, as the task publishes it, or MRCONSO.RRF.
        reporter: told where to look.
        proxies: addresses or networks of reverse proxies, whose X-Forwarded headers are believed.
        allowed_hosts: further host names under which browsers reach the server.
        root_path: the path under which a reverse proxy serves the page.

    Raises:
        ConfigError: the extra is not installed, the token is missing, or the port cannot be used.
        MissingArtifact: the index, the learner or the store is not there.
    """
    reporter, report = reporter or Silent(), Report("serve")
    try:
        import uvicorn

        from imageclef.service.connections import server_config
        from imageclef.service.hosts import is_loopback
        from imageclef.service.limits import Limits, raise_file_limit
    except ImportError:
        raise ConfigError(_MISSING) from None
    token = token or os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not (is_loopback(host) and not proxies and not allowed_hosts):
        why = f"--host {host}" if not is_loopback(host) else "--proxy and --allowed-host"
        raise ConfigError(f"{why}: others can reach the server; expected --token or {TOKEN_VARIABLE}")
    if not _ROOT_PATH.fullmatch(root_path := root_path.rstrip("/")):
        raise ConfigError(f"--root-path {root_path!r}: not a path; expected one such as /imageclef")
    limits = Limits().fitted(raise_file_limit())
    with _stopped_by_signals(), _bound(host, port) as listening:
        app = application(config, host, token, concept_names, reporter, allowed_hosts, limits)
        server = uvicorn.Server(server_config(app, limits, proxies, root_path))
        port = listening.getsockname()[1]
        reporter.say(f"serving   http://{f'[{host}]' if ':' in host else host}:{port}   (Ctrl-C stops it)")
        server.run(sockets=[listening])
    report.read.append(shown(Workspace(config).index_path))
    return report.done()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is inside, and nothing more: a server has no work to go on with."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


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
    allowed_hosts: Sequence[str] = (),
    limits: Limits | None = None,
) -> FastAPI:
    """The application that `serve` runs, for another ASGI server.

    Raises:
        ConfigError: the extra is not installed, or a feature set is not of a learner.
        MissingArtifact: the index, the learner or the store is not there.
        DataError: the table of names cannot be read.
    """
    try:
        from imageclef.service.app import create_app
        from imageclef.service.auth import Auth
        from imageclef.service.hosts import Hosts
    except ImportError:
        raise ConfigError(_MISSING) from None
    from imageclef.service.reload import Archives
    from imageclef.service.served.opening import Opener

    # Questions run beside each other, one thread each: more for one would only take them from the others.
    torch.set_num_threads(1)
    names = read_concept_names(concept_names) if concept_names else {}
    opens = {name: Opener(one, names, reporter or Silent()) for name, one in _profiles(config).items()}
    archives = Archives(opens)
    archives.open()
    return create_app(archives, Auth(token), Hosts(host, allowed_hosts), limits)


def _profiles(config: Config) -> dict[str, Config]:
    """What is served by its name: first the configuration as it is, then with each of its other profiles.

    Raises:
        ConfigError: a profile has not as many weights as feature sets.
    """
    asked = (config.features, config.weights)
    own = next((n for n, one in config.profiles.items() if (one.features, one.weights) == asked), "")
    others = {name: with_profile(config, name) for name in config.profiles if name != own}
    for one in others.values():
        Workspace(one)
    return {own: config, **others}


_MISSING = "the service needs the extra [serve]; install it: pip install 'imageclef[serve]'"
