"""Which lines of a package an input reaches: those that no input reached before make it worth keeping."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_OURS = re.compile(r'File "([^"]*/(?:imageclef|tests/fuzz/targets)/[^"]+)", line ([0-9]+)')
_ANY = re.compile(r'File "([^"]+)", line ([0-9]+)')


class Watch:
    """Watches the lines of some packages, within `with`."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        self._folders = tuple(_folder(package) for package in packages)
        self._followed: dict[CodeType, bool] = {}
        self._seen: set[tuple[CodeType, int]] = set()
        self._hits: set[tuple[CodeType, int]] = set()

    def anything_new(self) -> bool:
        """Whether a line was reached for the first time since this was asked."""
        new = not self._hits <= self._seen
        self._seen |= self._hits
        self._hits.clear()
        return new

    def __enter__(self) -> None:
        sys.settrace(self._call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        followed = self._followed.get(code)
        if followed is None:
            followed = self._followed[code] = code.co_filename.startswith(self._folders)
        return self._line if followed else None

    def _line(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        if event == "line":
            self._hits.add((frame.f_code, frame.f_lineno))
        return self._line


def place_of(fault: BaseException | str) -> str:
    """Where the project's code was, innermost, when an error was raised or the process ended.

    Args:
        fault: the error, or the stack that `faulthandler` wrote, innermost first.
    """
    if isinstance(fault, str):
        found = _OURS.search(fault) or _ANY.search(fault)
        return f"at {_relative(found[1])}:{found[2]}" if found else "somewhere"
    frames = traceback.extract_tb(fault.__traceback__)
    own = [frame for frame in frames if _OURS.match(f'File "{frame.filename}", line 1')] or frames
    what = f": {str(fault)[:120]}" if isinstance(fault, AssertionError) else ""
    return f"at {_relative(own[-1].filename)}:{own[-1].lineno}{what}"


def _relative(path: str) -> str:
    return (
        str(Path(path).relative_to(_ROOT)) if path.startswith(str(_ROOT)) else "/".join(path.split("/")[-2:])
    )


def _folder(package: str) -> str:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise LookupError(f"no package {package}")
    return str(Path(spec.origin).parent)
