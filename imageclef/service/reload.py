"""Archives that follow what is on the disk, and one for each profile.

An index that is changed beside the service (`index add`, `sync`) is opened beside the one that is served, and
put in its place once it is ready to answer. Questions that are at work end on the one that they began with,
which then goes. A state that cannot be opened is left alone, and tried again later.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Protocol

from imageclef.errors import ImageclefError
from imageclef.service.answers import Profile
from imageclef.service.served.archive import Archive

PAUSE = 1.0
"""Seconds between two looks at the disk, while there are questions."""
PAUSE_AFTER_FAILURE = 5.0
"""Seconds until a state that could not be opened is tried again."""

_log = logging.getLogger(__name__)


class Opens(Protocol):
    """What opens an archive; asked by one thread at a time."""

    @property
    def there(self) -> bool:
        """Whether there is an index to open."""

    @property
    def about(self) -> Profile:
        """The feature sets, without the name."""

    def stamp(self) -> Hashable:
        """Changes with what the archive is opened from; costs next to nothing."""

    def open(self) -> Archive:
        """Open it, ready to answer."""


class NoProfile(Exception):
    """There is no profile of that name, or it has no index."""


class Unopened(Exception):
    """The index of a profile is there and cannot be opened."""


class Live:
    """One archive, opened when it is first asked for, and again whenever its stamp has changed."""

    def __init__(self, opens: Opens, thread: Executor) -> None:
        """Take what opens it, and the thread in which that is done."""
        self.opens, self._thread = opens, thread
        self._lock = Lock()
        self._archive: Archive | None = None
        self._stamp: Hashable = None
        self._next_look = 0.0
        self._complaint = ""

    def now(self) -> Archive | None:
        """What is served at this moment, None before `open`; now and then the disk is looked at meanwhile."""
        with self._lock:
            due = self._archive is not None and time.monotonic() >= self._next_look
            if due:
                self._next_look = math.inf
        if due:
            with suppress(RuntimeError):  # the service is about to end
                self._thread.submit(self._look)
        return self._archive

    def open(self) -> Archive:
        """Open it, unless it is open; before the first question, or in the thread.

        Raises:
            ImageclefError: it cannot be opened.
        """
        if (archive := self._archive) is None:
            archive = self._take(self.opens.stamp())
            self._next_look = time.monotonic() + PAUSE
        return archive

    def _look(self) -> None:
        pause = PAUSE
        try:
            if (stamp := self.opens.stamp()) != self._stamp:
                self._take(stamp)
                _log.info("the index has changed; what is served is up to date with it")
        except Exception as error:  # whatever it is, what is served stays
            pause = PAUSE_AFTER_FAILURE
            if str(error) != self._complaint:
                _log.warning(
                    "the index has changed and cannot be opened: %s; the one before is served on", error
                )
            self._complaint = str(error)
        self._next_look = time.monotonic() + pause

    def _take(self, stamp: Hashable) -> Archive:
        # The stamp is from before: what changes while the archive is opened is seen at the next look.
        archive = self._archive = self.opens.open()
        self._stamp, self._complaint = stamp, ""
        return archive


class Archives:
    """The archives of a service, by the name of their profile."""

    def __init__(self, opens: Mapping[str, Opens]) -> None:
        """Take what opens each; the first is the one that is served where no profile is named."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._live = {name: Live(one, self._thread) for name, one in opens.items()}
        self._first = next(iter(self._live))

    def open(self) -> None:
        """Open the first archive now, so that a service which cannot answer does not begin.

        Raises:
            ImageclefError: it cannot be opened.
        """
        self._live[self._first].open()

    def now(self) -> Archive | None:
        """What the first profile serves at this moment."""
        return self._live[self._first].now()

    async def of(self, name: str | None) -> Archive:
        """What is served under a name; by default the first.

        Raises:
            NoProfile: there is none of that name.
            Unopened: it cannot be opened.
        """
        live = self._live.get(self._first if name is None else name)
        if live is None:
            raise NoProfile(name)
        if archive := live.now():
            return archive
        if not live.opens.there:
            raise NoProfile(name)
        try:
            return await asyncio.wrap_future(self._thread.submit(live.open))
        except ImageclefError as error:
            _log.warning("profile '%s' cannot be opened: %s", name, error)
            raise Unopened(name) from None

    def listed(self) -> Sequence[Profile]:
        """The profiles whose index is there, the first one first."""
        return [
            live.opens.about.model_copy(update={"name": name})
            for name, live in self._live.items()
            if live.now() or live.opens.there
        ]

    def close(self) -> None:
        """Begin no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
