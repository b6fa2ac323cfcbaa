"""What the server counts, as Prometheus text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
"""Upper bounds in seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server; each server has its own registry, so two in one process do not mix.

    Example:
        >>> metrics = Metrics()
        >>> metrics.requests.labels("infer", "200").inc()
        >>> b'gyrfalcon_requests_total{endpoint="infer",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("gyrfalcon_requests", "Requests answered", ["endpoint", "status"], registry=registry)
        self.seconds = Histogram(
            "gyrfalcon_request_seconds", "Seconds a request", ["endpoint"], buckets=BUCKETS, registry=registry
        )
        self.rows = Counter("gyrfalcon_rows", "Rows scored", ["model"], registry=registry)
        self.stages = Histogram(
            "gyrfalcon_stage_seconds",
            "Seconds a stage of a recommendation",
            ["stage"],
            buckets=BUCKETS,
            registry=registry,
        )
        self.dropped = Counter(
            "gyrfalcon_dropped_items", "Items dropped by a stage", ["stage", "reason"], registry=registry
        )

    def text(self) -> bytes:
        """All of them in the text format of Prometheus."""
        return generate_latest(self._registry)
