"""Random interleavings of changes, requests and cancellations, in writes that respect no message's bounds.

Every request must get exactly one answer and none that is stale. What the server has read when it answers is
seen from outside with barriers: a request of an unknown method is answered while it is read, so an answer
that comes after the barrier behind a change was given with that change read.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.buffer import Buffer
from tests.support.effort import scaled
from tests.support.stdio import SERVE, Message, StdioClient, frame, inline_params, notification, request

Start = Callable[..., StdioClient]

INLINE, MENU = "textDocument/inlineCompletion", "textDocument/completion"
CANCEL, CHANGE = "$/cancelRequest", "change"
TEXTS = [
    "def area(width, height):\n    return width * height\n\n\nclass Box:\n    def __init__(self):\n        self.a = 1",
    "café = '🎉 naïve'\n\ndef größe(länge):\n    return länge  # 漢字 e\u0301\n",
    "function f(x) {\r\n\tconst y = x\r\n\treturn y\r\n}\r\n",
    "",
]
# The model knows lines of which twelve bytes are enough to tell them apart; behind the key of one, only its own
# value may be suggested.
KEYS = 500
KEY = re.compile(r"k(\d{3})k\1k\1 = ")
TYPED = ["x", "return ", "\n", "    ", "é", "😀", "漢", "(", "foo.bar", "\r\n", ""]


def key(number: int) -> str:
    return f"k{number:03}k{number:03}k{number:03} = "


def value(number: int) -> str:
    return f"v{number:03}w{number:03}x{number:03}y{number:03}"


@dataclass
class Asked:
    """A request as it was sent. expected: the only text that may be suggested, if the model knows the line.
    changed_by: the barrier behind the first later change of its document."""

    method: str
    uri: str
    position: tuple[int, int]
    expected: str | None = None
    cancelled: bool = False
    superseded: bool = False
    changed_by: str | None = None


@dataclass
class Session:
    """The messages of a random session, and what was asked in it."""

    seed: int
    buffers: list[Buffer] = field(default_factory=list)
    asked: dict[Any, Asked] = field(default_factory=dict)
    barriers: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.buffers = [Buffer(f"file:///w/f{number}.txt", text) for number, text in enumerate(TEXTS)]

    def opening(self) -> list[Message]:
        return [
            notification(
                "textDocument/didOpen",
                {"textDocument": {"uri": b.uri, "languageId": "plaintext", "version": 1, "text": b.text}},
            )
            for b in self.buffers
        ]

    def next(self) -> list[Message]:
        """One random message; a change comes with its barrier."""
        kind = self.random.choices([CHANGE, INLINE, MENU, CANCEL], [40, 35, 15, 10])[0]
        buffer = self.random.choice(self.buffers)
        if kind == CHANGE:
            return self._change(buffer)
        if kind == CANCEL:
            if not self.asked:
                return [notification(CANCEL, {"id": "never"})]
            recent = list(self.asked)[-8:]
            self.asked[id := self.random.choice(recent)].cancelled = True
            return [notification(CANCEL, {"id": id})]
        if kind == INLINE:
            self._supersede(buffer.uri)
        id = f"q{len(self.asked)}"
        offset = self._key_end(buffer) if self.random.random() < 0.8 else self._place(buffer)
        line, character = buffer.position(offset)
        left, right = re.split(r"[\r\n]", buffer.text[:offset])[-1], buffer.text[offset : offset + 1]
        known = KEY.fullmatch(left) if right in ("", "\r", "\n") else None
        expected = value(int(known[1])) if known else None
        self.asked[id] = Asked(kind, buffer.uri, (line, character), expected)
        params = inline_params(buffer.uri, line, character)
        if kind == MENU:
            params["context"] = {"triggerKind": 1}
        return [request(id, kind, params)]

    def _change(self, buffer: Buffer) -> list[Message]:
        edits = []
        for _ in range(self.random.choice([1, 1, 1, 2, 3])):
            if self.random.random() < 0.5:
                edits.append(self._type_key(buffer))
                continue
            start = self._place(buffer)
            end = _outside_line_end(buffer.text, min(len(buffer.text), start + self.random.choice([0, 0, 0, 1, 5])))
            edits.append(buffer.edit(start, end, self.random.choice(TYPED)))
        self.barriers += 1
        barrier = f"b{self.barriers}"
        self._supersede(buffer.uri)
        for asked in self.asked.values():
            if asked.uri == buffer.uri and asked.changed_by is None:
                asked.changed_by = barrier
        return [notification("textDocument/didChange", buffer.did_change(*edits)), request(barrier, "no/such")]

    def _type_key(self, buffer: Buffer) -> dict[str, Any]:
        """Puts another number into a key that is there, or a new key at the text's end."""
        number = self.random.randrange(KEYS)
        keys = list(KEY.finditer(buffer.text))
        if keys and self.random.random() < 0.7:
            start, end = self.random.choice(keys[-3:]).span()
            return buffer.edit(start, end, key(number))
        end = len(buffer.text)
        return buffer.edit(end, end, "\n" + key(number))

    def _key_end(self, buffer: Buffer) -> int:
        """The end of one of the last keys, or of the text."""
        ends = [found.end() for found in KEY.finditer(buffer.text)]
        return self.random.choice(ends[-3:] or [len(buffer.text)])

    def _supersede(self, uri: str) -> None:
        for asked in self.asked.values():
            if asked.uri == uri and asked.method == INLINE:
                asked.superseded = True

    def _place(self, buffer: Buffer) -> int:
        return _outside_line_end(buffer.text, self.random.randint(0, len(buffer.text)))


def _outside_line_end(text: str, offset: int) -> int:
    """`offset`, but not between the two characters of a line end: no editor has a position there."""
    return offset + (text[max(0, offset - 1) : offset + 1] == "\r\n")


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """`data` cut at random places."""
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.choice([0, 0, 1, 3])))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


def check(server: StdioClient, session: Session) -> list[str]:
    """Checks what holds for every session; `messages` must be complete. Returns the ids of the answers whose
    text is known to be right."""
    answers = server.responses()
    order = {m["id"]: at for at, m in enumerate(server.messages) if "method" not in m}
    given = []
    for id, asked in session.asked.items():
        assert len(answers.get(id, [])) == 1, f"{id} has {len(answers.get(id, []))} answers"
        (answer,) = answers[id]
        if "error" in answer:
            assert asked.cancelled, f"{id} was not cancelled, but: {answer}"
            assert answer["error"]["code"] == -32800
            continue
        if not answer["result"]["items"]:
            continue
        if asked.changed_by is not None:
            assert order[id] < order[asked.changed_by], f"{id} was answered with items after its document changed"
        if asked.method == INLINE:
            (item,) = answer["result"]["items"]
            point = {"line": asked.position[0], "character": asked.position[1]}
            assert item["range"]["start"] == point
            if asked.expected is not None:
                assert item["insertText"] == asked.expected, f"{id} is answered for another text"
                given.append(id)
    barriers = {f"b{number + 1}" for number in range(session.barriers)}
    assert {id for id in answers if isinstance(id, str)} == barriers | set(session.asked)
    assert not server.notifications("window/showMessage")
    return given


@pytest.fixture
def known(home: Path) -> str:
    path = home / "known.txt"
    path.write_text("".join(f"{key(number)}{value(number)}\n" for number in range(KEYS)))
    return str(path)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_messages_in_random_pieces(start: Start, known: str, seed: int) -> None:
    session = Session(seed)
    server = start(*SERVE, "--model", known)
    server.initialize()
    server.send(*session.opening())
    chance = random.Random(1000 + seed)
    sent, settled, filled = 0, 0, 0
    while sent < scaled(1000):
        burst = [session.next() for _ in range(chance.randint(1, 6))]
        sent += len(burst)
        data = b"".join(frame(message) for messages in burst for message in messages)
        for piece in pieces(data, chance):
            server.write(piece)
        waited = [id for id in list(session.asked)[-6:] if not _over(session.asked[id])]
        if chance.random() < 0.5:  # now and then the user stops and looks
            for id in waited:
                answer = server.response(id)
                settled += 1
                filled += bool(answer.get("result", {}).get("items"))
    assert server.finish() == 0
    assert len(check(server, session)) >= 0.05 * sent
    assert settled >= 0.075 * sent
    # The cursor is anywhere: inside a name, where nothing is wanted, at one place in six.
    assert filled >= 0.75 * settled, f"{filled} of {settled} undisturbed requests have a completion"


def _over(asked: Asked) -> bool:
    return asked.method != INLINE or asked.cancelled or asked.superseded


def test_a_client_that_writes_everything_before_it_reads_anything(start: Start, known: str) -> None:
    session = Session(4)
    server = start(*SERVE, "--model", known, reading=False)
    handshake = request(0, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    server.send(handshake, notification("initialized", {}), *session.opening())
    for _ in range(scaled(1000)):
        server.send(*session.next())
    big = request("big", "fimble/status", {"padding": "x" * 3_000_000})  # far more than pipes hold
    server.send(big, *(request(f"s{number}", "fimble/status") for number in range(200)))
    server.read()
    assert server.response("s199")["result"]["documents"] == len(TEXTS)
    for id in list(session.asked):
        server.response(id)
    server.send(request("bye", "shutdown"), notification("exit"))
    assert server.ended() == 0
    extra = {"big", "bye", *(f"s{number}" for number in range(200))}
    assert all(len(server.responses()[id]) == 1 for id in extra)
    server.messages = [message for message in server.messages if message.get("id") not in extra]
    check(server, session)


def test_a_newer_request_ends_the_older_one(start: Start) -> None:
    server = start()
    server.initialize()
    buffer = Buffer("file:///w/a.txt", "value = ")
    server.open(buffer.uri, buffer.text)
    params = inline_params(buffer.uri, *buffer.position(8))
    server.send(*(request(f"q{number}", INLINE, params) for number in range(50)))
    answers = [server.response(f"q{number}") for number in range(50)]
    # Messages are handled one a turn, so that an answer can be ready before the next request is looked at.
    ended = sum(not answer["result"]["items"] for answer in answers[:-1])
    assert ended > 0
    assert len(answers[-1]["result"]["items"]) == 1
    counts = server.status()["requests"]["counts"]
    assert (counts["answered"], counts["empty"]) == (50, ended)


def test_a_cancelled_request_is_answered_with_request_cancelled(start: Start) -> None:
    server = start()
    server.initialize()
    server.open("file:///w/a.txt", "value = ")
    params = inline_params("file:///w/a.txt", 0, 8)
    server.send(request("q", INLINE, params), notification(CANCEL, {"id": "q"}))
    assert server.response("q")["error"]["code"] == -32800
    server.notify(CANCEL, {"id": "q"})
    assert len(server.inline("file:///w/a.txt", 0, 8)) == 1
    assert len(server.responses()["q"]) == 1
