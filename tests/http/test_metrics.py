"""`/metrics`: what Prometheus reads, for those who know the token, and only where the user asks for it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from lsp_server.cli import run
from lsp_server.http.metrics import Metrics, MetricsError
from lsp_server.http.serve import serve_http
from tests.http.clients import llama_vim
from tests.http.harness import knowing, serving

KNOWN = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3))\n"
TEXT = KNOWN.replace("width * height", "wid$0")


def values(text: str) -> dict[str, float]:
    """Each sample by its name with its labels, by Prometheus' own parser."""
    parser = pytest.importorskip("prometheus_client.parser")
    found = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_it_tells_requests_times_and_tokens() -> None:
    pytest.importorskip("prometheus_client")
    async with serving(knowing(KNOWN), tells_metrics=True) as client:
        for _ in range(2):
            assert (await client.infill(llama_vim(TEXT))).json()["content"]
        reply = await client.request("GET", "/metrics")
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/plain; version=")
        found = values(reply.body.decode())
    assert found["fimble_requests_total{result=model}"] + found["fimble_requests_total{result=memory}"] == 2
    assert found["fimble_answer_seconds_count{source=model}"] == 1
    assert found["fimble_part_seconds_total{part=prompt}"] > 0
    assert found["fimble_decoded_tokens_total"] == client.engine.decoded_tokens > 0
    assert (found["fimble_engine_requests"], found["fimble_model_ready"]) == (0, 1)
    assert "width" not in reply.body.decode()


async def test_who_does_not_know_the_token_and_pages_are_refused() -> None:
    pytest.importorskip("prometheus_client")
    async with serving(knowing(KNOWN), tells_metrics=True) as client:
        assert (await client.request("GET", "/metrics", headers={"Authorization": None})).status == 401
        assert (await client.request("GET", "/metrics", headers={"Origin": "http://x"})).status == 403
        assert (await client.post("/metrics", {})).status == 405


async def test_without_the_option_there_is_no_such_path() -> None:
    async with serving() as client:
        assert (await client.request("GET", "/metrics")).status == 404


def test_what_is_missing_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    engine: Any = None
    with pytest.raises(MetricsError, match="pip install prometheus-client"):
        Metrics(engine)
    assert serve_http(engine, {}, "127.0.0.1:0", None, tells_metrics=True) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_belongs_to_http(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--metrics"]) == 2
    assert capsys.readouterr().err == "fimble: `--metrics` is for `fimble serve --http`\n"
