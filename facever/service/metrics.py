"""Metrics of a service for Prometheus; they hold no id of a person."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one service.

    Attributes:
        requests: Answered requests by method, route and status.
        seconds: Time from a request's first byte to the end of its answer, by route.
        batches: Images that the model computed together.
        queue: Images that wait for detection or for the model.
        answers: Answers by kind of question and decision.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "facever_requests",
            "Answered requests.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "facever_request_seconds",
            "Time of a request.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "facever_batch_images",
            "Images that the model computed together.",
            buckets=_IMAGES,
            registry=self._registry,
        )
        self.queue = Gauge(
            "facever_queue_images",
            "Images that wait for detection or for the model.",
            registry=self._registry,
        )
        self.answers = Counter(
            "facever_answers",
            "Answers by kind of question and decision.",
            ("kind", "decision"),
            registry=self._registry,
        )

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry)
