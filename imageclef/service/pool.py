"""Threads for work that takes time, with a queue that ends: the event loop only ever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Busy(Exception):
    """All threads are at work and the queue is full."""


class Pool:
    """Some threads, and room for so many jobs that wait for them."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting
        self._jobs = 0
        self._lock = Lock()

    @property
    def jobs(self) -> int:
        """At work and waiting."""
        return self._jobs

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do work in a thread.

        A job that was given up while it waited is not begun; one that runs keeps its place until it ends.

        Raises:
            Busy: there is no room.
        """
        with self._lock:
            if self._jobs >= self._most:
                raise Busy(self.name)
            self._jobs += 1
        try:
            job = self._threads.submit(work, *args, **kwargs)
        except BaseException:
            self._leave()
            raise
        job.add_done_callback(self._leave)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Let running jobs end; those that wait are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _leave(self, job: Future[R] | None = None) -> None:
        with self._lock:
            self._jobs -= 1
