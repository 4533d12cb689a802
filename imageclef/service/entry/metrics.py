"""Counts and times of requests, in the text format of Prometheus.

Reference: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram, in seconds."""

Gauge = tuple[str, str, Callable[[], float]]
"""Name, help, and what reads it."""


class Metrics:
    """What happened since the service began. Routes are named by their pattern, never by what was asked."""

    def __init__(self, gauges: tuple[Gauge, ...] = ()) -> None:
        self._gauges = gauges
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._lock = Lock()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        with self._lock:
            self._requests[method, route, status] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds
            buckets = self._buckets.setdefault(route, [0] * (len(BUCKETS) + 1))
            buckets[bisect_left(BUCKETS, seconds)] += 1

    def text(self) -> str:
        """All of it, a sample a line."""
        with self._lock:
            lines = [*self._counters(), *self._histogram()]
        for name, about, read in self._gauges:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", f"{name} {read():g}"]
        return "\n".join(lines) + "\n"

    def _counters(self) -> Iterator[str]:
        name = "imageclef_requests_total"
        yield f"# HELP {name} Requests answered."
        yield f"# TYPE {name} counter"
        for (method, route, status), n in sorted(self._requests.items()):
            yield f"{name}{_labels({'method': method, 'route': route, 'status': str(status)})} {n}"

    def _histogram(self) -> Iterator[str]:
        name = "imageclef_request_seconds"
        yield f"# HELP {name} Time from the head of a request to the end of its answer."
        yield f"# TYPE {name} histogram"
        for route, buckets in sorted(self._buckets.items()):
            n = 0
            for bound, inside in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
                n += inside
                yield f"{name}_bucket{_labels({'route': route, 'le': bound})} {n}"
            yield f"{name}_sum{_labels({'route': route})} {self._seconds[route]:.6f}"
            yield f"{name}_count{_labels({'route': route})} {n}"


def _labels(labels: Mapping[str, str]) -> str:
    escaped = (
        (key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for key, value in labels.items()
    )
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}"
