"""The server's counters for Prometheus: `GET /metrics`, if the user has switched it on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lsp_server.engine.api import Engine
from lsp_server.features.outcome import Outcome
from lsp_server.features.reasons import kind_of

# The upper bounds of the buckets for the time of an answer, in seconds.
_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)


class MetricsError(Exception):
    """prometheus-client is not installed. The message is one line, with what to do."""


class Metrics:
    """The metrics of one server, on its event loop. They contain no text, no names from the code and no paths. Raises
    MetricsError."""

    def __init__(self, engine: Engine) -> None:
        try:
            import prometheus_client
            import prometheus_client.core
        except ImportError:
            raise MetricsError(
                "`--metrics` needs the package prometheus-client; install it beside fimble: "
                "pip install prometheus-client"
            ) from None
        self._engine = engine
        self._library: Any = prometheus_client
        self.content_type: str = prometheus_client.CONTENT_TYPE_LATEST
        self._registry = prometheus_client.CollectorRegistry()
        given = {"namespace": "fimble", "registry": self._registry}
        self._requests = prometheus_client.Counter(
            "requests", "Requests: answered by the model, from memory, or why with nothing.", ["result"], **given
        )
        self._seconds = prometheus_client.Histogram(
            "answer_seconds", "Time to a suggestion.", ["source"], buckets=_BUCKETS, **given
        )
        self._parts = prometheus_client.Counter(
            "part_seconds", "Time that requests spent in each part.", ["part"], **given
        )
        self._registry.register(self)

    def answered(self, outcome: Outcome, waited_ms: float) -> None:
        """Counts an answer, and the time until it."""
        if outcome.suggestion is None:
            self._requests.labels(kind_of(outcome)).inc()
        else:
            self._requests.labels(outcome.source).inc()
            self._seconds.labels(outcome.source).observe(waited_ms / 1000)
        for part, ms in outcome.spent.items():
            self._parts.labels(part).inc(ms / 1000)

    def collect(self) -> Iterator[Any]:
        """The engine's own counters, for prometheus_client."""
        core, engine = self._library.core, self._engine
        yield core.CounterMetricFamily("fimble_evaluated_tokens", "Tokens of prompts.", value=engine.evaluated_tokens)
        yield core.CounterMetricFamily("fimble_decoded_tokens", "Tokens written.", value=engine.decoded_tokens)
        yield core.GaugeMetricFamily("fimble_engine_requests", "Requests under way.", value=engine.running)
        yield core.GaugeMetricFamily(
            "fimble_model_ready", "Whether there is a model.", value=float(engine.model.kind == "ready")
        )

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return bytes(self._library.generate_latest(self._registry))
