"""Metrics for Prometheus: counts and times of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One server's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "femtosearch_requests",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "femtosearch_request_seconds",
            "Seconds to an answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._running = Gauge(
            "femtosearch_requests_running", "Requests that are being answered.", registry=self._registry
        )
        self._refused = Counter(
            "femtosearch_problems",
            "Answers that are an error, by their kind.",
            ["kind"],
            registry=self._registry,
        )
        self._documents = Gauge(
            "femtosearch_documents", "Documents of an index.", ["index"], registry=self._registry
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count a request while it runs."""
        with self._running.track_inprogress():
            yield

    def answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. A route is a pattern, so that there are few."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refuse(self, kind: str) -> None:
        """Count an answer that is an error."""
        self._refused.labels(kind).inc()

    def watch_waiting(self, count: Callable[[], int]) -> None:
        """Ask how many requests wait whenever the metrics are read."""
        waiting = Gauge(
            "femtosearch_requests_waiting", "Requests that wait for a thread.", registry=self._registry
        )
        waiting.set_function(count)

    def text(self, documents: dict[str, int]) -> bytes:
        """All metrics in Prometheus's format. documents: how many each index holds."""
        for name, count in documents.items():
            self._documents.labels(name).set(count)
        return generate_latest(self._registry)
