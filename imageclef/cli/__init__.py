"""The command line: one thin command for each stage, with the arguments of its function.

`calling.py` gives every command the options they share and runs its stage; the commands stand in `path.py`
(from images to runs), `archive.py` (the index and its questions) and `runs.py` (what is done with run files).
Heavy imports wait for the stage, so that ``imageclef --help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from imageclef.cli import archive, path, runs
from imageclef.cli.calling import new_group
from imageclef.errors import ImageclefError
from imageclef.threads import wait_passively

app = new_group(
    help="Concept detection and similarity search in medical images.",
    epilog="The path: ingest, train, extract, classify (or index and knn), evaluate. First: imageclef demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_stopped_by: list[int] = []
"""The signal that asked the command to stop, once one has."""

for module in (path, archive, runs):
    module.add_to(app)


def main() -> None:
    """Run a command: an error that imageclef raises is one line and exit code 1."""
    wait_passively()
    _on_signals(_stop)
    try:
        app()
    except Exception as error:
        if _stopped_by:  # an extension that was being imported makes an ImportError of the exit
            sys.exit(128 + _stopped_by[-1])
        _tell(error)
    finally:
        if signal.getsignal(signal.SIGINT) is _stop:  # all is done but the end
            _on_signals(signal.SIG_IGN)


def _tell(error: Exception) -> NoReturn:
    """End with the sentence of an error that is expected; any other is a fault of ours, and shown whole."""
    match error:
        case ImageclefError():
            _fail(str(error))
        case OSError():
            _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
        case MemoryError():
            _fail("out of memory; a smaller extract.batch_size or learner may fit")
        case _:
            raise error


def _on_signals(handler: Callable[[int, object], NoReturn] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _stop(signum: int, frame: object) -> NoReturn:
    _on_signals(_leave)
    _stopped_by.append(signum)
    # Not through Python's buffers, in whose middle the signal may have come.
    os.write(sys.stderr.fileno(), b"imageclef: stopped; the same command goes on from here\n")
    sys.exit(128 + signum)


def _leave(signum: int, frame: object) -> NoReturn:
    """Asked twice: at once, since a kill at any moment does no harm."""
    os._exit(128 + signum)


def _fail(message: str) -> NoReturn:
    typer.echo(f"imageclef: {' '.join(message.split())}", err=True)
    sys.exit(1)
