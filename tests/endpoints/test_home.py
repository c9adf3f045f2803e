"""Models of other programs: what each kind of server is sent, what comes of its answers, and of its faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import anyio
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.endpoints.home import RemoteHome
from lsp_server.endpoints.http import busy_error
from lsp_server.engine.api import LOCAL, Finished, FinishReason, Priority, TextDelta
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import Kind
from lsp_server.engine.request import EngineLost, Event, Load, ModelReady, Working
from lsp_server.features.outcome import Trigger
from tests.core.test_secrets import SECRETS, joined
from tests.endpoints.server import KINDS, MODELS, PATHS, Server, response, serving, stream
from tests.endpoints.switched import SECONDS, SOURCE, switched
from tests.engine.harness import BLOCK, ask
from tests.support.cursor import parse_cursor

COMPLETES = [kind for kind in KINDS if kind != "chat"]


class Remote:
    """The engine for one endpoint, and all that it has told."""

    def __init__(self, server: Server, environ: dict[str, str] | None = None, **more: Any) -> None:
        self.changed = anyio.Event()
        self.endpoint = server.endpoint(**more)
        home = RemoteHome("team", self.endpoint, environ=environ or {})
        self.engine = EngineClient({"in-process": lambda: home}, self._on_model)

    def _on_model(self, *_: Any) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def load(self) -> str:
        """Loads the model. Returns why it failed, or an empty string."""
        self.engine.load(ModelSpec(self.endpoint.url))
        while self.engine.model.kind == "loading":
            await self.changed.wait()
        return self.engine.model.message

    async def ask(self, prompt: FimPrompt | None = None, **more: Any) -> tuple[Finished, list[TextDelta]]:
        deltas: list[TextDelta] = []
        done = anyio.Event()
        ends: list[Finished] = []

        def take(event: TextDelta | Finished) -> None:
            if isinstance(event, TextDelta):
                deltas.append(event)
            else:
                ends.append(event)
                done.set()

        self.engine.submit(prompt or fim(), more.pop("stop", BLOCK), more.pop("max_tokens", 20), take, **more)
        await done.wait()
        (end,) = ends
        return end, deltas


@asynccontextmanager
async def remote(server: Server, **more: Any) -> AsyncIterator[Remote]:
    client = Remote(server, **more)
    client.engine.start()
    try:
        with anyio.fail_after(SECONDS):
            yield client
    finally:
        await client.engine.stop()


def fim(
    typed: str = "    return (", before: str = "def area(width):\n", after: str = "\nprint(area(2))\n"
) -> FimPrompt:
    parts = ("marker", "<|fim_prefix|>"), ("before", before), ("marker", "<|fim_suffix|>"), ("after", after)
    segments = [Segment(kind, text.encode()) for kind, text in (*parts, ("marker", "<|fim_middle|>"), ("typed", typed))]
    return FimPrompt("qwen", tuple(segment for segment in segments if segment.text))


# What is sent, and what comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COMPLETES)
async def test_each_kind_completes_as_it_is_documented(kind: Kind) -> None:
    async with serving(kind, pieces=["wid", "th * 2", "\n\n"]) as server, remote(server) as client:
        assert await client.load() == ""
        end, deltas = await client.ask()
        assert end.text.startswith("width * 2")
        assert "".join(delta.text for delta in deltas) == end.text
        assert end.reason in (FinishReason.STOP, FinishReason.END)
        (body,) = server.completions
        assert body["stream"] is True
        given = str(body)
        assert "def area(width)" in given
        assert "print(area(2))" in given
        has_markers = kind in ("llama-server", "openai", "ollama")
        assert ("<|fim_middle|>" in given) == has_markers
        if not has_markers:
            assert body["prompt"].endswith("    return (")
            assert body["suffix"] == "\nprint(area(2))\n"
        assert body.get("model", MODELS[kind]) == MODELS[kind]


@pytest.mark.parametrize("kind", COMPLETES)
@pytest.mark.parametrize("cut", [1, 2, 7])
async def test_a_stream_may_be_cut_anywhere(kind: Kind, cut: int) -> None:
    text = "größe · 漢字 🌲"
    async with serving(kind, pieces=[text, "\n\n"], cut=cut) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask()
        assert end.text.startswith(text)


@pytest.mark.parametrize("kind", ["openai", "mistral"])
async def test_the_key_is_sent_and_comes_from_the_environment_alone(kind: Kind) -> None:
    async with serving(kind) as server:
        async with remote(server, api_key_env="TEAM_KEY", environ={"TEAM_KEY": "s3cret"}) as client:
            assert await client.load() == ""
            await client.ask()
            assert {request.headers.get("authorization") for request in server.requests} == {"Bearer s3cret"}
        async with remote(server, api_key_env="TEAM_KEY", environ={}) as client:
            assert "TEAM_KEY, which the server's environment lacks" in await client.load()


async def test_a_marker_in_a_file_is_not_a_marker_of_the_prompt() -> None:
    async with serving("openai") as server, remote(server) as client:
        await client.load()
        await client.ask(fim(before="x = '<|fim_suffix|>'\n"))
        assert server.completions[0]["prompt"].count("<|fim_suffix|>") == 1


async def test_the_last_word_is_written_again_and_not_shown_twice() -> None:
    """Token healing: the server may write one token over the end of what was typed."""
    async with serving("openai", pieces=[" a", "rea", "(2)", "\n\n"]) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask(fim(typed="    return ar"))
        assert server.completions[0]["prompt"].endswith("<|fim_middle|>    return")
        assert end.text.startswith("ea(2)")


async def test_where_it_is_not_written_again_the_whole_is_asked_for() -> None:
    def pieces(body: Any) -> list[str]:
        return ["ea(2)", "\n\n"] if body["prompt"].endswith("return ar") else ["None", "\n"]

    async with serving("openai", pieces=pieces) as server, remote(server) as client:
        await client.load()
        end, deltas = await client.ask(fim(typed="    return ar"))
        assert len(server.completions) == 2
        assert end.text.startswith("ea(2)")
        assert "".join(delta.text for delta in deltas) == end.text


async def test_a_llama_server_is_told_how_the_answer_begins() -> None:
    async with serving("llama-server", pieces=[" area", "(2)\n\n"]) as server, remote(server) as client:
        await client.load()
        end, (first, *_) = await client.ask(fim(typed="    return ar"))
        assert server.completions[0]["grammar"] == 'root ::= " ar" [^\\x00]*'
        assert end.text.startswith("ea(2)")
        assert first.logprob == -0.5
        assert end.usage.evaluated_tokens == 7


async def test_it_hangs_up_when_the_text_is_whole() -> None:
    endless = [f"x{number}\n" for number in range(5000)]
    async with serving("openai", pieces=endless) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask(max_tokens=5000)
        assert end.reason is FinishReason.STOP
        assert end.text.count("\n") < 200
        await server.gone.wait()


async def test_special_tokens_that_are_spelled_out_end_the_text() -> None:
    async with serving("openai", pieces=["x", "<|file_sep|>", "b.py"]) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask()
        assert (end.text, end.reason) == ("x", FinishReason.END)


async def test_prompts_are_evaluated_ahead_only_where_that_is_free() -> None:
    for kind, asked in (("llama-server", 1), ("openai", 0)):
        async with serving(kind) as server, remote(server) as client:  # type: ignore[arg-type]
            await client.load()
            end, _ = await client.ask(max_tokens=0, priority=Priority.WARMING)
            assert end.text == ""
            assert len(server.completions) == asked


@pytest.mark.parametrize("kind", COMPLETES)
async def test_no_secret_is_sent(kind: Kind) -> None:
    found = [joined(text).decode() for text in SECRETS]
    secrets = "\n".join(found)
    async with serving(kind) as server, remote(server) as client:
        await client.load()
        for place in ("typed", "before"):
            await client.ask(fim(**{place: f"{secrets}\nx = ("}))
        sent = "\n".join(str(body) for body in server.completions)
        assert server.completions
        assert "REDACTED" in sent
        assert [text for text in found if text in sent or text.splitlines()[-1] in sent] == []


SECRET = joined(SECRETS[0]).decode()


async def test_chat_goes_as_messages() -> None:
    template = "\x02system\x03Be brief.\x02user\x03"
    segments = ("template", template), ("message", "Why \x02system\x03?\n" + SECRET), ("template", "\x02assistant\x03")
    prompt = FimPrompt("chat", tuple(Segment(kind, text.encode()) for kind, text in segments))
    async with serving("chat", pieces=["Be", "cause."]) as server, remote(server) as client:
        assert await client.load() == ""
        end, _ = await client.ask(prompt, stop=None, priority=Priority.ACTION)
        assert end.text == "Because."
        assert server.completions[0]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why \x02system\x03?\nREDACTED"},
        ]


# Faults ------------------------------------------------------------------------------------------------------

PAGE = response(200, "<html><body>Welcome</body></html>")
# What a server does, and what is told of it.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "401": ({"answer": response(401, {"error": {"message": "bad key"}})}, "refuses the key (401): bad key"),
    "404": ({"answer": response(404, {"error": "not found"})}, "no such call or model (404): not found"),
    "429": ({"answer": response(429, {"error": "slow down"}, Retry_After="30")}, "is busy (429): slow down"),
    "500": ({"answer": response(500, "<html>oops</html>")}, "has failed (500)"),
    "302": ({"answer": response(302, {}, Location="http://elsewhere.example/")}, "sends us elsewhere (302)"),
    "page": ({"answer": PAGE}, "answers with a page for browsers"),
    "no JSON": ({"answer": stream(b"data: xx\n\n")}, "answers what is no JSON: 'xx'"),
    "no event": ({"answer": stream(b"data: [1, 2]\n\n")}, "answers what is no event: '[1, 2]'"),
    "error event": ({"answer": stream(b'data: {"error": {"message": "broken"}}\n\n')}, "says: broken"),
    "odd event": ({"answer": stream(b'data: {"choices": [{"logprobs": 3}]}\n\n')}, "not this protocol's"),
    "dies": ({"pieces": ["x"], "die": True}, "broke off its answer"),
    "stalls": ({"stall": True}, "has written nothing within 100 ms"),
    "no HTTP": ({"answer": b"SSH-2.0-OpenSSH\r\n\r\n"}, "broke off its answer"),
    "endless line": ({"pieces": ["x" * (2 << 20)]}, "a line of more than 1 MB"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_one_clear_line_and_the_local_model_takes_over(name: str) -> None:
    """Within the same key: the request that met the fault is answered by the local model."""
    behaviour, words = FAULTS[name]
    late = 100 if name == "stalls" else 60_000
    async with serving("openai", **behaviour) as server, switched(server, late_ms=late) as (switch, completer):
        while switch.places("completion")[0][1].kind != "ready" or switch.places("completion")[1][1].kind != "ready":
            await anyio.sleep(0.005)
        outcome = await completer.complete(*parse_cursor(SOURCE, path="a.py"))
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == "ea(width)"
        (_, state, used), (_, _, local) = switch.places("completion")
        assert words in state.message
        assert state.message.startswith("endpoint `team` (127.0.0.1) ")
        assert "\n" not in state.message
        assert (used, local) == (False, True)


async def test_an_endpoint_that_works_again_is_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.engine.retry.PASSING_PAUSE_S", 0.0)
    fault = response(500, {"error": "oops"})
    async with serving("openai", answer=fault, pieces=[" area", "(width)", "\n"]) as server:  # noqa: SIM117
        async with switched(server) as (switch, completer):
            while switch.places("completion")[0][1].kind != "ready":
                await anyio.sleep(0.005)
            await completer.complete(*parse_cursor(SOURCE, path="a.py"))
            server.answer = None
            while not switch.places("completion")[0][2]:
                await completer.complete(*parse_cursor(SOURCE.replace("ar$0", "a$0"), path="a.py"), Trigger.INVOKED)
                await anyio.sleep(0.005)
            before = len(server.completions)
            outcome = await completer.complete(*parse_cursor(SOURCE, path="a.py"))
            assert outcome.suggestion is not None
            assert outcome.suggestion.text == "ea(width)"
            assert len(server.completions) > before


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (response(401, {}), "refuses the key (401)"),
        (response(500, {}), "answers /v1/models with 500"),
        (PAGE, "something else than JSON"),
        (response(301, {}, Location="http://x.example"), "sends us elsewhere"),
        (response(200, {"data": [{"id": "a"}, {"id": "b"}]}), "has no model Qwen/Qwen2.5-Coder-7B; it has a, b"),
    ],
)
async def test_a_server_that_cannot_be_used_says_why(probe: bytes, words: str) -> None:
    async with serving("openai", probe=probe) as server, remote(server) as client:
        assert words in await client.load()


async def test_a_model_whose_format_nobody_knows_is_refused_with_the_cure() -> None:
    models = response(200, {"data": [{"id": "mystery"}]})
    async with serving("openai", probe=models) as server:
        async with remote(server, model="mystery") as client:
            assert "whose FIM format is not known; set `fim_format`" in await client.load()
        async with remote(server, model="mystery", fim_format="qwen") as client:
            assert await client.load() == ""


async def test_nobody_listens() -> None:
    async with serving("openai") as server:
        closed = server.endpoint(url="http://127.0.0.1:9")
    server.port = 9
    async with remote(server) as client:
        assert closed.url == client.endpoint.url
        assert "cannot be reached" in await client.load()


async def test_a_busy_server_is_left_alone_as_long_as_it_asks() -> None:
    busy = response(429, {"error": "slow down"}, Retry_After="30")
    async with serving("openai", answer=busy) as server, remote(server) as client:
        await client.load()
        await client.ask()
        before = len(server.requests)
        assert "asks to be left alone for 30 s" in await client.load()
        assert len(server.requests) == before


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_is_busy_when_it_is_asked_what_it_is_is_left_alone_too(status: int) -> None:
    async with serving("openai", probe=response(status, {}, Retry_After="30")) as server, remote(server) as client:
        assert f"is busy ({status})" in await client.load()
        before = len(server.requests)
        assert "asks to be left alone for 30 s" in await client.load()
        assert len(server.requests) == before


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        (lambda: "7", 7, 7),
        (lambda: formatdate(time.time() + 100, usegmt=True), 90, 101),
        (lambda: formatdate(time.time() - 100, usegmt=True), 1, 1),
        (lambda: "soon", 1, 1),
        (lambda: "", 1, 1),
    ],
)
def test_how_long_a_busy_server_asks_to_be_left_alone(told: Callable[[], str], least: float, most: float) -> None:
    busy = busy_error(503, told())
    assert busy is not None
    assert least <= busy.wait <= most


async def test_no_more_requests_than_allowed_are_in_flight_and_keys_go_first() -> None:
    async with serving("openai", stall=True) as server, remote(server, concurrency=1, late_ms=60_000) as client:
        await client.load()
        ends: list[Finished] = []

        def take(event: TextDelta | Finished) -> None:
            if isinstance(event, Finished):
                ends.append(event)

        first = client.engine.submit(fim(), BLOCK, 5, take)
        client.engine.submit(fim("later"), BLOCK, 5, take, priority=Priority.ACTION)
        client.engine.submit(fim("next"), BLOCK, 5, take)
        while not server.completions:
            await anyio.sleep(0.005)
        client.engine.cancel(first)
        while len(server.completions) < 2:
            await anyio.sleep(0.005)
        assert server.completions[1]["prompt"].endswith("<|fim_middle|>")  # of `next`, whose word is healed
        assert [end.reason for end in ends] == [FinishReason.CANCELLED]


async def test_when_it_stops_no_waiting_request_is_sent() -> None:
    async with serving("openai", stall=True) as server:
        events: list[Event | EngineLost] = []
        endpoint = server.endpoint(concurrency=1, late_ms=60_000)
        home = RemoteHome("team", endpoint, environ={})
        home.start(events.append)
        home.send(Load(ModelSpec(endpoint.url), 1))
        with anyio.fail_after(SECONDS):
            while not any(isinstance(event, ModelReady) for event in events):
                await anyio.sleep(0.005)
            for id in (1, 2, 3):
                home.send(ask(id, fim()))
            while not server.completions:
                await anyio.sleep(0.005)
            began = len(events)
            await home.stop()
        await anyio.sleep(0.02)
        assert [event.id for event in events[began:] if isinstance(event, Finished)] == [1]
        assert all(isinstance(event, Finished | Working) and event != Working("writing") for event in events[began:])


async def test_a_cancelled_request_hangs_up() -> None:
    async with serving("openai", stall=True) as server, remote(server, late_ms=60_000) as client:
        await client.load()
        ends: list[Any] = []
        id = client.engine.submit(fim(), BLOCK, 5, ends.append)
        while not server.completions:
            await anyio.sleep(0.005)
        client.engine.cancel(id)
        await server.gone.wait()
        await asyncio.sleep(0)
        assert [end.reason for end in ends] == [FinishReason.CANCELLED]


@pytest.mark.parametrize("priority", [Priority.EDIT, Priority.ACTION])
async def test_an_edit_that_takes_too_long_tells_nothing_of_the_server(priority: Priority) -> None:
    async with serving("openai", stall=True) as server, remote(server, late_ms=60_000) as client:
        await client.load()
        end, _ = await client.ask(priority=priority, deadline=time.monotonic() + 0.05)
        assert end.reason is FinishReason.DEADLINE
        assert client.engine.model.kind == ("ready" if priority is Priority.EDIT else "failed")


async def test_requests_that_are_cancelled_at_once_have_their_answers_too() -> None:
    async with serving("openai") as server, remote(server, concurrency=2) as client:
        await client.load()
        ends: list[Any] = []
        for _ in range(6):
            client.engine.cancel(client.engine.submit(fim(), BLOCK, 5, ends.append))
        while client.engine.running:
            await anyio.sleep(0.005)
        assert [end.reason for end in ends] == [FinishReason.CANCELLED] * 6
        end, _ = await client.ask()
        assert end.text


async def test_lateness_is_seen_though_each_key_cancels_the_request_before_it() -> None:
    async with serving("openai", stall=True) as server, remote(server, late_ms=200) as client:
        await client.load()
        while client.engine.model.kind == "ready":
            id = client.engine.submit(fim(), BLOCK, 5, lambda _: None)
            await anyio.sleep(0.03)
            client.engine.cancel(id)
            await anyio.sleep(0)
        assert "has written nothing within 200 ms" in client.engine.model.message


async def test_a_prompt_that_is_only_evaluated_is_not_late() -> None:
    """It has no text to wait for, and keys cancel it as a matter of course."""
    async with serving("llama-server", stall=True) as server, remote(server, late_ms=50) as client:
        await client.load()
        for _ in range(5):
            id = client.engine.submit(fim(), BLOCK, 0, lambda _: None, priority=Priority.WARMING)
            await anyio.sleep(0.03)
            client.engine.cancel(id)
        while client.engine.running:
            await anyio.sleep(0.005)
        assert client.engine.model.kind == "ready"


async def test_a_place_is_asked_once_what_it_is() -> None:
    async with serving("openai") as server, switched(server) as (switch, _):
        switch.route({"team": server.endpoint()}, {"completion": ["team"], "chat": [LOCAL]})
        switch.load(ModelSpec(""))
        while switch.model.kind != "ready":
            await anyio.sleep(0.005)
        assert len([request for request in server.requests if request.path == "/v1/models"]) == 1


async def test_an_action_waits_for_a_local_model_that_comes_first() -> None:
    """A key does not: until the local model is loaded, the place behind it answers."""
    async with serving("openai", pieces=["x"]) as server, switched(server) as (switch, _):
        order = [LOCAL, "team"]
        switch.route({"team": server.endpoint()}, {"completion": order, "chat": order})
        while switch.places("chat")[1][1].kind != "ready":
            await anyio.sleep(0.005)
        assert [used for _, _, used in switch.places("chat")] == [True, False]
        switch.load(ModelSpec(""), "chat")
        while switch.models["chat"].kind != "ready":
            await anyio.sleep(0.005)
        assert switch.models["chat"].info is not None
        assert switch.models["chat"].info.place == ""


async def test_a_place_is_asked_by_its_name_alone() -> None:
    async with serving("openai", pieces=["x"]) as server, switched(server) as (switch, _):
        changes: list[None] = []
        switch.on_place = lambda: changes.append(None)
        roles = ("completion", "chat")
        switch.route({"team": server.endpoint()}, {role: [LOCAL] for role in roles}, by_name=["team"])
        assert switch.at("nobody") is None
        assert switch.at(LOCAL) is not None
        team = switch.at("team")
        assert team is not None
        assert server.requests == [] or len(switch.places("completion")) == 1
        team.load(ModelSpec(""), "chat")
        while team.models["chat"].kind != "ready":
            await anyio.sleep(0.005)
        assert changes
        assert team.models["chat"].info is not None
        assert team.models["chat"].info.place == "team"
        assert [name for name, _, _ in switch.places("chat")] == [LOCAL]
        switch.route({}, {role: [LOCAL] for role in roles})
        assert switch.at("team") is None


async def test_one_failure_that_many_requests_meet_counts_once() -> None:
    async with serving("openai", answer=response(500, {"error": "oops"})) as server, remote(server) as client:
        await client.load()
        failed: list[str] = []
        client.engine.on_model = lambda role, state: failed.append(state.message)
        ends: list[Any] = []
        for _ in range(10):
            client.engine.submit(fim(), BLOCK, 5, ends.append)
        while client.engine.running:
            await anyio.sleep(0.005)
        assert [end.reason for end in ends] == [FinishReason.FAILED] * 10
        assert len(failed) == 1
        assert len(server.completions) <= client.endpoint.concurrency
        end, _ = await client.ask()
        assert "does not work now" in end.message


@pytest.mark.parametrize("place", ["answer", "probe"])
async def test_no_key_and_no_header_is_told_though_the_server_repeats_them(place: str) -> None:
    echo = response(401, {"error": {"message": "wrong key s3cret-key, x-team: blue\x1b[31m\u202e"}})
    environ = {"TEAM_KEY": "s3cret-key\n"}
    async with (
        serving("openai", **{place: echo}) as server,
        remote(server, api_key_env="TEAM_KEY", environ=environ, headers={"X-Team": "blue-header"}) as client,
    ):
        told = await client.load()
        if place == "answer":
            end, _ = await client.ask()
            told = end.message
        assert "refuses the key" in told
        assert "s3cret-key" not in told
        assert told.isprintable()


@pytest.mark.parametrize(
    ("kind", "event", "text"),
    [
        ("llama-server", b'data: {"content": null, "stop": false}\n\ndata: {"content": "x", "stop": true}\n\n', "x"),
        ("ollama", b'{"response": "x", "done": false}\n{"response": null, "done": true}\n', "x"),
        ("openai", b'data: {"error": null, "usage": {"prompt_tokens": null}, "choices": [{"text": "x"}]}\n\n', "x"),
    ],
)
async def test_null_is_nothing(kind: Kind, event: bytes, text: str) -> None:
    async with serving(kind, answer=stream(event)) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask()
        assert (end.text, end.message) == (text, "")


async def test_a_server_need_not_keep_to_the_number_of_tokens() -> None:
    async with serving("chat", pieces=["word " * 40] * 500) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask(stop=None, max_tokens=16, priority=Priority.ACTION)
        assert end.reason is FinishReason.LENGTH
        assert len(end.text) < 2000


@pytest.mark.parametrize("body", [b"", b'{"choices": []}'])
async def test_an_answer_that_says_nothing_is_a_failure(body: bytes) -> None:
    async with serving("openai", answer=stream(body)) as server, remote(server) as client:
        await client.load()
        end, _ = await client.ask()
        assert "answers without saying anything" in end.message


async def test_no_more_is_read_of_what_a_server_says_of_itself_than_it_may_have() -> None:
    async with serving("openai", probe=response(200, "x" * (5 << 20))) as server, remote(server) as client:
        assert "more than a server says of itself" in await client.load()


async def test_a_url_may_end_with_v1() -> None:
    async with serving("openai") as server, remote(server, url=f"http://127.0.0.1:{server.port}/v1/") as client:
        assert await client.load() == ""
        await client.ask()
        assert len(server.completions) == 1


async def test_all_places_can_be_exchanged_at_once() -> None:
    async with serving("openai") as one, serving("openai") as two, switched(one) as (switch, completer):
        roles = ("completion", "chat")
        switch.route({"team": one.endpoint()}, {role: ["team", LOCAL] for role in roles})
        seen: list[Any] = []
        switch.on_model = lambda role, state: seen.append(dict(switch.models))
        switch.route({"two": two.endpoint()}, {role: ["two"] for role in roles})
        while switch.places("completion") != [("two", switch.model, True)] or switch.model.kind != "ready":
            await anyio.sleep(0.005)
        outcome = await completer.complete(*parse_cursor(SOURCE, path="a.py"))
        assert outcome.suggestion is not None
        assert len(two.completions) > 0
        assert seen


def test_every_kind_has_a_path_in_the_protocol_server() -> None:
    assert set(PATHS) == {*KINDS, "mercury"} == set(MODELS)
