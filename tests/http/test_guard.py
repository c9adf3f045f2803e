"""Who may ask: nobody but this machine's programs that know the token, and nothing that is out of bounds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from lsp_server.http import server, token, wire
from lsp_server.http.guard import Address, AddressError
from tests.http.clients import llama_vim, zed
from tests.http.harness import TOKEN, serving

BODY = llama_vim("def area(width, height):\n    return width$0\n")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8012", "http://127.0.0.1:8012"),
        ("127.1.2.3:0", "http://127.1.2.3:0"),
        ("[::1]:8012", "http://[::1]:8012"),
        ("localhost:80", "http://127.0.0.1:80"),
    ],
)
def test_addresses_of_this_machine(text: str, url: str) -> None:
    assert Address.of(text).url == url


@pytest.mark.parametrize("port", ["", ":", ":99999", ":-1", ":x", ":8012.0"])
def test_a_port_is_a_number(port: str) -> None:
    with pytest.raises(AddressError, match="is not of the form"):
        Address.of(f"127.0.0.1{port}")


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "[::]", "192.168.0.2", "10.0.0.1", "[::ffff:127.0.0.1]", "example.org", "127.1", "2130706433", "", "*"],
)
def test_no_other_address_is_served_at(host: str) -> None:
    with pytest.raises(AddressError):
        Address.of(f"{host}:8012")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/infill", {"Host": "evil.example"}, 403),
        ("POST", "/infill", {"Host": "evil.example:80"}, 403),
        ("POST", "/infill", {"Host": "127.0.0.1"}, 403),
        ("POST", "/infill", {"Host": "localhost.evil.example"}, 403),
        ("GET", "/health", {"Host": "evil.example"}, 403),
        ("POST", "/infill", {"Origin": "https://evil.example"}, 403),
        ("POST", "/infill", {"Origin": "null"}, 403),
        ("GET", "/health", {"Origin": "http://localhost"}, 403),
        ("GET", "/v1/models", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("OPTIONS", "/infill", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, 403),
        ("POST", "/infill", {"Authorization": None}, 401),
        ("POST", "/infill", {"Authorization": "Bearer wrong"}, 401),
        ("POST", "/infill", {"Authorization": f"Basic {TOKEN}"}, 401),
        ("POST", "/infill", {"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ("POST", "/infill", {"Authorization": "Bearer \u00ff"}, 401),
        ("POST", "/infill", {"Authorization": None, "Content-Type": "text/plain"}, 401),
        ("GET", "/v1/models", {"Authorization": None}, 401),
        ("POST", "/infill", {"Content-Type": "text/plain"}, 415),
        ("POST", "/infill", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "/infill", {"Content-Type": None}, 415),
        ("GET", "/infill", {}, 405),
        ("OPTIONS", "/infill", {}, 405),
        ("POST", "/health", {}, 405),
        ("DELETE", "/v1/completions", {}, 405),
        ("POST", "/", {}, 404),
        ("POST", "/v1/chat/completions", {}, 404),
        ("GET", "/../../etc/passwd", {}, 404),
        ("POST", "/infill/", {}, 404),
    ],
)
async def test_what_is_refused(method: str, path: str, headers: Mapping[str, str | None], status: int) -> None:
    """A browser's attacks among it: a page's own name after DNS rebinding, and a POST as a form or as text."""
    async with serving() as client:
        reply = await client.request(method, path, json.dumps(BODY).encode(), headers)
        assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
        assert reply.error
        assert reply.body.count(b"\n") == 1
        assert TOKEN.encode() not in reply.body
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert client.engine.evaluated_tokens == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/infill", b"", 400),
        ("/infill", b"{", 400),
        ("/infill", b"[]", 400),
        ("/infill", b'{"prompt": 1}', 400),
        ("/infill", b'{"input_extra": [{"filename": "x"}]}', 400),
        ("/infill", b'{"prompt": "\\ud800"}', 400),
        ("/infill", b"\xff\xfe", 400),
        ("/infill", b"[" * 100_000, 400),
        ("/v1/completions", b"{}", 400),
        ("/v1/completions", b'{"prompt": []}', 400),
        ("/v1/completions", b'{"prompt": ["a", "b"]}', 400),
        ("/v1/completions", b'{"prompt": "a", "max_tokens": -1}', 400),
        ("/v1/completions", b'{"prompt": "<[fim-suffix]>\\n<[fim-prefix]><filename>a.py"}', 400),
    ],
)
async def test_a_body_that_is_not_as_it_should_be(path: str, body: bytes, status: int) -> None:
    async with serving() as client:
        reply = await client.post(path, body)
        assert reply.status == status
        assert reply.error
        assert (await client.infill(BODY)).status == 200


async def test_health_is_for_all_of_this_machine_and_the_model_for_those_who_know_the_token() -> None:
    async with serving() as client:
        for path in ("/health", "/v1/health"):
            reply = await client.request("GET", path, headers={"Authorization": None})
            assert (reply.status, reply.json()) == (200, {"status": "ok"})
        models = await client.request("GET", "/v1/models")
        assert [model["id"] for model in models.json()["data"]] == ["scripted"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
async def test_the_names_of_the_server(host: str) -> None:
    async with serving() as client:
        reply = await client.post("/infill", BODY, {"Host": f"{host}:{client.address.port}"})
        assert reply.status == 200
        assert (await client.post("/infill", BODY, {"Host": f"{host}:1"})).status == 403


async def test_who_asks_first_whether_to_send_is_told_to() -> None:
    """As curl does with a large body."""
    async with serving() as client:
        body = json.dumps(BODY).encode()
        head = client.head("/infill", len(body)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        async with await client.connect() as stream:
            await stream.send(head)
            assert (await stream.receive()).startswith(b"HTTP/1.1 100 ")
            await stream.send(body)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")


async def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    async with serving() as client:
        head = client.head("/infill", wire.MOST_BODY_BYTES + 1)
        assert (await client.raw(head)).startswith(b"HTTP/1.1 413 ")
        chunked = client.head("/infill", 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        sent = chunked + (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 5
        assert (await client.raw(sent)).startswith(b"HTTP/1.1 413 ")
        long = client.head("/infill", 0).replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * (1 << 17) + b"\r\n\r\n")
        assert (await client.raw(long)).startswith(b"HTTP/1.1 431 ")
        endless = client.head("/infill", 10**15).replace(b"10000", b"9" * 6000)
        assert (await client.raw(endless)).startswith(b"HTTP/1.1 4")
        assert (await client.infill(BODY)).status == 200


async def test_the_largest_body_is_answered() -> None:
    async with serving() as client:
        source = "".join(f"value_{n} = {n}\n" for n in range(120_000)) + "last = $0\n"
        body = zed("x = $0\n")
        body["prompt"] = "<|fim_prefix|>" + source.replace("$0", "<|fim_suffix|>") + "<|fim_middle|>"
        assert len(body["prompt"]) > 2_000_000
        assert (await client.complete(body)).status == 200


async def test_connections_beyond_the_limit_are_told_so() -> None:
    async with serving() as client:
        held = [await client.connect() for _ in range(server.MOST_CONNECTIONS)]
        try:
            while not (found := await client.raw(b"")):
                pass
            assert found.startswith(b"HTTP/1.1 503 ")
        finally:
            for stream in held:
                await stream.aclose()
        while (await client.raw(client.head("/infill", 2) + b"{}")).startswith(b"HTTP/1.1 503 "):
            await anyio.sleep(0)
        assert (await client.infill(BODY)).status == 200


async def test_who_sends_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(server, "BODY_SECONDS", 0.0)
    async with serving() as client:
        async with await client.connect() as stream:
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
        monkeypatch.setattr(server, "IDLE_SECONDS", 20.0)
        async with await client.connect() as stream:
            await stream.send(client.head("/infill", 10) + b"{")
            assert (await stream.receive()).startswith(b"HTTP/1.1 408 ")


async def test_a_thousand_damaged_requests_leave_the_server_as_it_was() -> None:
    body = json.dumps(BODY).encode()
    chance = random.Random(7)
    async with serving() as client:
        whole = client.head("/infill", len(body)) + body
        statuses = set()

        async def damaged(seed: int) -> None:
            answer = await client.raw(_damaged(whole, random.Random(seed)))
            statuses.add(answer[9:12])
            assert answer == b"" or answer.startswith(b"HTTP/1.1 "), answer[:80]
            assert b"Traceback" not in answer

        for _ in range(50):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(damaged, chance.getrandbits(32))
        # Those that are still right have gone before they are answered, since they send nothing more.
        assert {b"400", b"401", b"403", b"404", b"405"} <= statuses
        while client.engine.running:
            await anyio.sleep(0)
        assert (await client.infill(BODY)).status == 200


def _damaged(whole: bytes, chance: random.Random) -> bytes:
    """A request with some of its bytes exchanged, gone, doubled or put in, mostly in its head."""
    data = bytearray(whole)
    end = whole.index(b"\r\n\r\n") if chance.random() < 0.7 else len(whole)
    for _ in range(chance.choice((1, 1, 2, 5, 40))):
        at = chance.randrange(max(1, min(end, len(data))))
        kind = chance.randrange(5)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + chance.choice((1, 3, 30, 3000))]
        elif kind == 2:
            data[at:at] = data[at : at + chance.choice((1, 10, 300))]
        elif kind == 3:
            data[at:at] = chance.choice((b"\r\n", b"\n", b"\0", b"Content-Length: 3\r\n", b"Host: x\r\n", b" ", b"{"))
        else:
            data[at] ^= 0x20
        if not data:
            break
    return bytes(data)


def test_a_token_is_made_once_for_the_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made, is_new = token.kept_token()
    assert is_new
    assert len(made) >= 32
    assert token.kept_token() == (made, False)
    assert token.token_path().stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"a-token-of-the-user's\n", 0o600, ""),
        (b"a-token-of-the-user's\n", 0o640, "others can read"),
        (b"short\n", 0o600, "must hold one token"),
        (b"two tokens with spaces\n", 0o600, "must hold one token"),
        (b"", 0o600, "must hold one token"),
        (b"x" * 5000, 0o600, "must hold one token"),
        (b"\xff" * 20, 0o600, "must hold one token"),
    ],
)
def test_a_token_of_the_users_own(tmp_path: Path, content: bytes, mode: int, words: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(mode)
    if not words:
        assert token.read_token(path) == "a-token-of-the-user's"
        return
    with pytest.raises(token.TokenError, match=words):
        token.read_token(path)


def test_no_token_in_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(token.TokenError, match="cannot read"):
            token.read_token(path)
