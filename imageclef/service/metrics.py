"""Counts and times of requests, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram, in seconds."""


@dataclass(frozen=True)
class Reading:
    """A number that is read when it is asked for."""

    name: str
    about: str
    read: Callable[[], float]


class Metrics:
    """What happened since the service started. Routes are named by their pattern, never by what was asked."""

    def __init__(self, *readings: Reading) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "imageclef_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "imageclef_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self._registry,
        )
        for one in readings:
            Gauge(one.name, one.about, registry=self._registry).set_function(one.read)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self._registry)
