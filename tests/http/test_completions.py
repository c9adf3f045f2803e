"""Completions over HTTP, as llama.vim, llama.vscode and Zed ask for them: right answers, and what a key costs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
import pytest

from lsp_server.backends.scripted import ScriptedBackend
from tests.features.harness import Gate
from tests.http.clients import VIM_FIELDS, ZED_FORMATS, llama_vim, llama_vim_ring, llama_vscode, zed
from tests.http.harness import PATIENT, SECONDS, Client, knowing, serving

KNOWN = "def area(width, height):\n    return width * height\n\n\nprint(area(2, 3))\n"
AT = KNOWN.replace("width * height", "width$0", 1)
REST = " * height"
# A text that the model does not know: whatever is typed there, it writes something else.
LINES = "".join(f"def function_{n}(value):\n    return value + {n}\n\n\n" for n in range(300))


async def test_llama_vim_gets_the_text_and_what_it_asks_to_be_told() -> None:
    async with serving(knowing(KNOWN)) as client:
        reply = await client.infill(llama_vim(AT))
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        found = reply.json()
        assert found["content"] == REST
        assert list(found) == VIM_FIELDS
        assert found["timings/prompt_n"] == found["tokens_cached"] - found["timings/predicted_n"] > 0
        # The plug-in looks for this spelling before it decodes the answer.
        assert b'"content":"' in reply.body


async def test_llama_vscode_gets_the_whole_answer() -> None:
    async with serving(knowing(KNOWN)) as client:
        found = (await client.infill(llama_vscode(AT))).json()
        assert found["content"] == REST
        assert found["timings"]["predicted_n"] == len(REST) + 1
        assert found["truncated"] is False


@pytest.mark.parametrize("form", ZED_FORMATS)
async def test_zed_gets_the_text_in_each_of_its_formats(form: str) -> None:
    async with serving(knowing(KNOWN)) as client:
        reply = await client.complete(zed(AT, form))
        assert reply.status == 200
        found = reply.json()
        # All that Zed's RawCompletionResponse must have.
        assert found["choices"][0] == {"index": 0, "text": REST, "finish_reason": "stop", "logprobs": None}
        assert found["object"] == "text_completion"
        assert found["id"].startswith("cmpl-")
        assert found["model"] == "scripted"
        assert isinstance(found["created"], int)
        usage = found["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_a_prompt_and_a_suffix_or_a_prompt_alone_do_too() -> None:
    left, right = AT.split("$0")
    async with serving(knowing(KNOWN)) as client:
        beside = await client.complete({"prompt": [left], "suffix": right})
        alone = await client.complete({"prompt": left})
        assert beside.json()["choices"][0]["text"] == REST
        assert alone.json()["choices"][0]["text"].startswith(REST)


async def test_a_marker_in_the_text_itself_is_text() -> None:
    source = 'MARK = "<|fim_suffix|>"\n\n\n' + AT
    async with serving(knowing(source.replace("$0", REST))) as client:
        reply = await client.complete(zed(source))
        assert reply.json()["choices"][0]["text"] == REST


def typed(source: str, text: str) -> list[str]:
    """The text with its cursor behind each key of `text`."""
    return [source.replace("$0", text[:count] + "$0") for count in range(1, len(text) + 1)]


async def costs(client: Client, bodies: Sequence[dict[str, Any]], path: str = "/infill") -> list[int]:
    """How many tokens of prompts the engine evaluates for each request, by its own counter."""
    found = []
    for body in bodies:
        before = client.engine.evaluated_tokens
        reply = await client.post(path, body)
        assert reply.status == 200, reply.body
        while client.engine.running:
            await anyio.lowlevel.checkpoint()
        found.append(client.engine.evaluated_tokens - before)
    return found


@pytest.mark.parametrize("ask", [llama_vim, llama_vscode, zed])
async def test_a_key_costs_two_tokens_though_the_whole_text_is_sent(ask: Any) -> None:
    """In a file that is longer than any of the windows."""
    source = LINES.replace("    return value + 150\n", "    $0\n", 1)
    path = "/v1/completions" if ask is zed else "/infill"
    async with serving() as client:
        first, *others = await costs(client, [ask(each) for each in typed(source, "Zq = [Xj, Yk]")], path)
        assert first > 500
        assert max(others) <= 2, others


async def test_a_new_line_moves_the_window_and_costs_no_prompt() -> None:
    """llama.vim's window has a fixed number of lines, so that each line end drops one at its beginning."""
    source = LINES.replace("    return value + 150\n", "    $0\n", 1)
    async with serving() as client:
        keys = typed(source, "Zq = Xj\n    Yk = Zq\n    Xw")
        first, *others = await costs(client, [llama_vim(each) for each in keys])
        windows = {tuple(llama_vim(each)["input_prefix"].split("\n")[:3]) for each in keys}
        assert len(windows) == 3
        assert first > 1000
        assert sorted(others)[len(others) // 2] <= 2
        assert max(others) <= 40, others


async def test_two_files_in_turn_are_two_documents() -> None:
    other = LINES.replace("value", "thing").replace("    return thing + 80\n", "    $0\n", 1)
    source = LINES.replace("    return value + 150\n", "    $0\n", 1)
    async with serving() as client:
        keys = [each for pair in zip(typed(source, "Zq = Xj"), typed(other, "Yw = Kv"), strict=True) for each in pair]
        _, _, *others = await costs(client, [llama_vim(each) for each in keys])
        assert max(others) <= 2, others


async def test_what_is_typed_into_a_suggestion_is_answered_without_the_model() -> None:
    async with serving(knowing(KNOWN)) as client:
        await client.infill(llama_vim(AT))
        before = client.engine.evaluated_tokens, client.engine.decoded_tokens
        reply = await client.infill(llama_vim(AT.replace("$0", " * h$0")))
        assert reply.json()["content"] == "eight"
        assert (reply.json()["timings/prompt_n"], reply.json()["timings/prompt_ms"]) == (0, 0)
        assert (client.engine.evaluated_tokens, client.engine.decoded_tokens) == before


async def test_a_blank_line_is_completed_from_its_beginning() -> None:
    """llama.vim drops the white space of such a line from the request, and takes what is there off the answer."""
    async with serving() as client:
        body = llama_vim("def area(width, height):\n    $0\n\n\nprint(area(2, 3))\n")
        assert body["prompt"] == ""
        assert re.match(r"    \w", (await client.infill(body)).json()["content"])


async def test_a_name_may_be_defined_where_no_client_looks() -> None:
    """Such as in an import far above, so that what is written with it is no mistake."""
    begun = "def show(parts):\n    print(parts)\n    "
    async with serving(knowing(begun + "measure_of(parts)\n")) as client:
        await client.complete(zed(begun.replace("\n    print(parts)", "$0")))
        body = zed(begun + "$0\n")
        assert (await client.complete(body)).json()["choices"][0]["text"] == "measure_of(parts)"


async def test_on_the_first_line_nothing_stands_above() -> None:
    async with serving(knowing("import collections\n")) as client:
        body = llama_vim("import collec$0\n")
        assert body["input_prefix"] == "\n"
        assert body["input_suffix"] == "\n\n"
        assert (await client.infill(body)).json()["content"] == "tions"


async def test_nothing_to_suggest_is_an_empty_text() -> None:
    async with serving(knowing(KNOWN)) as client:
        reply = await client.infill(llama_vim("def ar$0ea(width, height):\n    return width\n"))
        assert (reply.status, reply.json()["content"]) == (200, "")


async def test_the_client_limits_what_is_written() -> None:
    async with serving(knowing(KNOWN)) as client:
        found = (await client.complete({**zed(AT), "max_tokens": 3})).json()
        assert found["choices"][0]["finish_reason"] == "length"
        assert found["usage"]["completion_tokens"] <= 3
        stopped = await client.complete({**zed(AT), "stop": ["hei"]})
        assert stopped.json()["choices"][0]["text"] == " * "


BLOCK = "def total(prices):\n    one = prices[0]\n    two = prices[1]\n    three = prices[2]\n    return three\n"
AT_BLOCK = "def total(prices):\n    one = prices[0]\n    $0\n"
BLOCK_REST = "two = prices[1]\n    three = prices[2]\n    return three"


async def test_a_stream_has_the_same_text_in_pieces() -> None:
    async with serving(knowing(BLOCK)) as client:
        reply = await client.complete({**zed(AT_BLOCK), "stream": True})
        assert reply.headers["content-type"] == "text/event-stream"
        *pieces, last, end = reply.events
        assert "".join(piece["choices"][0]["text"] for piece in pieces) == BLOCK_REST
        assert len({piece["id"] for piece in (*pieces, last)}) == 1
        assert (last["choices"][0]["text"], last["choices"][0]["finish_reason"]) == ("", "stop")
        assert last["usage"]["completion_tokens"] >= len(BLOCK_REST)
        assert end == "[DONE]"
        # The same line, but for its white space, which this client drops from the request.
        *pieces, last = (await client.infill({**llama_vscode(AT_BLOCK), "stream": True})).events
        assert "".join(piece["content"] for piece in pieces) == "    " + BLOCK_REST
        assert (last["content"], last["stop"]) == ("", True)


async def test_a_stream_begins_before_the_text_is_whole() -> None:
    gate = Gate()

    class Holding(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            if bytes(token for token in self._cells[sequence] if token < 256).endswith(b"[1]\n    three"):
                gate.hold()
            return super().evaluate(sequence, position, tokens, logits=logits)

    settings = msgspec.structs.replace(PATIENT, answer_ms=0)
    async with serving(lambda spec, progress: Holding(spec, progress, texts=[BLOCK.encode()]), settings) as client:
        body = json.dumps({**zed(AT_BLOCK), "stream": True}).encode()
        async with await client.connect() as stream:
            await stream.send(client.head("/v1/completions", len(body)) + body)
            found = b""
            while b"data: " not in found:
                found += await stream.receive()
            assert b"[DONE]" not in found
            await gate.reached.wait()
            gate.open()
            while b"[DONE]" not in found:
                found += await stream.receive()
        assert found.count(b"data: ") >= 4


async def test_parts_of_other_files_are_shown_to_the_model() -> None:
    """They come with each request; those for the next prompts are read while the user rests."""
    shapes = "def surface_of(width, height, depth):\n    return 2 * (width * height + height * depth + depth * width)\n"
    extra = [{"text": shapes, "time": [12, 34], "filename": "shapes.py"}]
    prompts: list[bytes] = []

    class Noting(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            prompts.append(bytes(token for token in tokens if token < 256))
            return super().evaluate(sequence, position, tokens, logits=logits)

    settings = msgspec.structs.replace(PATIENT, buffers_tokens=400)
    async with serving(Noting, settings) as client:
        ring = await client.infill(llama_vim_ring(extra))
        assert (ring.status, ring.json()) == (200, {})
        source = "import shapes\n\n\ndef box(width):\n    side = shapes.surface_of(width, 1, 1)\n    return side$0\n"
        assert (await client.infill(llama_vim(source, extra=extra))).status == 200
        assert b"def surface_of" in b"".join(prompts)
        assert b"shapes.py" in b"".join(prompts)


async def test_a_part_of_a_file_of_secrets_is_not_shown() -> None:
    key = "AWS_SECRET_ACCESS_KEY = 'wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzzzzz'\n"
    extra = [
        {"text": f"def load_settings():\n    {key}    return 1\n", "filename": "load.py"},
        {"text": "def load_settings():\n    return 'hunter2-hunter2'\n", "filename": ".env"},
    ]
    prompts: list[bytes] = []

    class Noting(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            prompts.append(bytes(token for token in tokens if token < 256))
            return super().evaluate(sequence, position, tokens, logits=logits)

    settings = msgspec.structs.replace(PATIENT, buffers_tokens=400)
    async with serving(Noting, settings) as client:
        await client.infill(
            llama_vim("import load\n\n\nfirst = load.load_settings()\nvalue = load.load_set$0\n", extra=extra)
        )
        shown = b"".join(prompts)
        assert b"load.load_set" in shown
        assert b"wJalr" not in shown
        assert b"hunter2" not in shown


async def test_a_newer_request_for_a_file_ends_the_older_one() -> None:
    """Which gets an error and no empty text: a client would remember that as the answer for the place."""
    gate = Gate()

    class Holding(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            if b"Zq" in bytes(token for token in tokens if token < 256):
                gate.hold()
            return super().evaluate(sequence, position, tokens, logits=logits)

    replies: dict[str, Any] = {}
    async with serving(lambda spec, progress: Holding(spec, progress, texts=[KNOWN.encode()])) as client:

        async def ask(text: str) -> None:
            replies[text] = await client.infill(llama_vim(AT.replace("$0", text + "$0")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, " Zq")
            await gate.reached.wait()
            tasks.start_soon(ask, " *")
            while " Zq" not in replies:
                await anyio.sleep(0)
            gate.open()
        assert replies[" Zq"].status == 409
        assert b'"content"' not in replies[" Zq"].body
        assert replies[" *"].json()["content"] == " height"


async def test_a_client_that_goes_away_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()

    class Holding(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            gate.hold()
            return super().evaluate(sequence, position, tokens, logits=logits)

    async with serving(Holding) as client:
        cancelled, cancel = anyio.Event(), client.engine.cancel
        monkeypatch.setattr(client.engine, "cancel", lambda id, **kept: (cancelled.set(), cancel(id, **kept)))
        body = json.dumps(llama_vim(AT)).encode()
        async with await client.connect() as stream:
            await stream.send(client.head("/infill", len(body)) + body)
            await gate.reached.wait()
            assert client.engine.running == 1
        await cancelled.wait()
        gate.open()
        while client.engine.running:
            await anyio.sleep(0)
        assert client.engine.decoded_tokens <= 1


async def test_without_a_model_there_is_an_error_and_no_empty_text() -> None:
    gate = Gate()

    def slow(spec: Any, progress: Any) -> ScriptedBackend:
        gate.hold()
        return ScriptedBackend(spec, progress, texts=[KNOWN.encode()])

    async with serving(slow, is_ready=False) as client:
        await gate.reached.wait()
        reply = await client.infill(llama_vim(AT))
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert "loading" in reply.error
        gate.open()
        while client.engine.model.kind != "ready":
            await anyio.sleep(0)
        assert (await client.infill(llama_vim(AT))).json()["content"] == REST


async def test_switched_off_means_nothing_and_no_error() -> None:
    async with serving(knowing(KNOWN), msgspec.structs.replace(PATIENT, enabled=False)) as client:
        reply = await client.infill(llama_vim(AT))
        assert (reply.status, reply.json()["content"]) == (200, "")


async def test_a_pause_has_the_prompt_made_better() -> None:
    """As over LSP: an anchor near the cursor, evaluated when nobody waits, so that the next key is behind it."""
    source = LINES.replace("    return value + 150\n", "    $0\n", 1)
    typed_so_far = "".join(f"Zq{n} = Xj[{n}] + Yk[{n}]\n    " for n in range(60))
    async with serving(rest_seconds=0) as client:
        await client.infill(llama_vim(source))
        answered = (await client.infill(llama_vim(source.replace("$0", typed_so_far + "$0")))).json()
        asked = client.engine.evaluated_tokens
        with anyio.fail_after(SECONDS):
            while client.engine.evaluated_tokens == asked or client.engine.running:
                await anyio.sleep(0)
        later = (await client.infill(llama_vim(source.replace("$0", typed_so_far + "Xw$0")))).json()
        assert answered["timings/prompt_n"] > 0
        assert later["timings/prompt_n"] <= 6  # the new line, since the anchor is at its beginning


async def test_many_files_are_forgotten_in_time() -> None:
    async with serving() as client:
        for number in range(40):
            body = llama_vim("".join(f"value_{number}_{n} = {n * number}\n" for n in range(30)) + "x = $0\n")
            assert (await client.infill(body)).status == 200


async def test_one_request_gets_one_answer_on_a_connection_that_is_kept() -> None:
    async with serving(knowing(KNOWN)) as client:
        sent = b""
        for text in ("", " *", " * h"):
            body = json.dumps(llama_vim(AT.replace("$0", text + "$0"))).encode()
            sent += client.head("/infill", len(body)) + body
        async with await client.connect() as stream:
            found = b""
            await stream.send(sent)
            while found.count(b"HTTP/1.1 200") < 3 or not found.endswith(b"}\n"):
                found += await stream.receive()
        parts = found.replace(b"HTTP/1.1", b"\r\n").split(b"\r\n")
        contents = [json.loads(part)["content"] for part in parts if part.startswith(b"{")]
        assert contents == [REST, " height", "eight"]
