"""An inference server without a model, as a sequence of steps: continuous batching and a prefix cache in blocks.

Pure: no clock and no network. `begin` says how long the next step takes, and `end` carries it out.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

from bench.serving.service_times import BLOCK_TOKENS, ServiceTimes

# The reason of the end of a request whose server was ended.
BROKEN = "broken"


class PrefixCache:
    """Blocks of a KV cache, some in use and some kept for later prompts. A full block is known by its tokens and all in
    front of it. capacity: how many blocks there are."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.evicted = 0
        self._users: Counter[int] = Counter()  # of the shared blocks in use, by key
        self._idle: OrderedDict[int, None] = OrderedDict()  # shared blocks that nobody uses, the next to go first
        self._private = 0  # blocks that are not full, or not known by their tokens

    @property
    def used(self) -> int:
        """The blocks of requests that run."""
        return len(self._users) + self._private

    @property
    def free(self) -> int:
        """The blocks that a request can have, those that must be evicted for it included."""
        return self.capacity - self.used

    def known(self, keys: Sequence[int]) -> int:
        """How many of these blocks, from the first one on, are in the cache."""
        for index, key in enumerate(keys):
            if key not in self._users and key not in self._idle:
                return index
        return len(keys)

    def use(self, keys: Sequence[int]) -> None:
        """Keeps known blocks from being evicted."""
        for key in keys:
            self._idle.pop(key, None)
            self._users[key] += 1

    def take(self, blocks: int) -> None:
        """Gives a request blocks of its own; evicts others where there is no room. There must be enough free ones."""
        self._private += blocks
        while self.used + len(self._idle) > self.capacity:
            self._idle.popitem(last=False)
            self.evicted += 1

    def share(self, key: int) -> bool:
        """One private block is full now. Returns whether it can be known by its tokens: no other one is."""
        if key in self._users or key in self._idle:
            return False
        self._private -= 1
        self._users[key] = 1
        return True

    def give_back(self, shared: Sequence[int], private: int) -> None:
        """A request has ended. shared: its known blocks in order; the last ones will be evicted first."""
        self._private -= private
        for key in reversed(shared):
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._idle[key] = None


@dataclass(slots=True, eq=False)
class Request:
    """One completion. tokens: its prompt, and what was decoded. answer: the tokens and texts that the model will write.
    on_text: gets each text, and on the last the reason of the end. client: who asks. cached: the prompt tokens that
    were in the prefix cache. done: the tokens whose keys and values are computed. gone: whether the client has gone."""

    tokens: list[int]
    answer: Sequence[tuple[int, str]]
    most_tokens: int
    on_text: Callable[[str, str], None]
    client: int = 0
    prompt_tokens: int = 0
    cached: int = 0
    done: int = 0
    written: int = 0
    shared: list[int] = field(default_factory=list)  # keys of its known blocks
    own: int = 0  # its private blocks
    last_key: int = 0  # of the last full block, shared or not
    full: int = 0  # its full blocks
    gone: bool = False

    @property
    def decodes(self) -> bool:
        return self.done >= self.prompt_tokens


@dataclass(slots=True)
class Totals:
    """What a server has done. prompt_tokens: of the requests that were begun, of which cached_tokens were in the prefix
    cache and evaluated_tokens were evaluated; the rest was cancelled in time. busy_ms: the time of all steps.
    in_flight: the requests now."""

    requests: int = 0
    begun: int = 0
    ended: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    evaluated_tokens: int = 0
    decoded_tokens: int = 0
    steps: int = 0
    busy_ms: float = 0.0
    in_flight: int = 0
    most_in_flight: int = 0
    most_of_a_client: int = 0

    def clear(self) -> None:
        """Forgets all but what is in flight and the most that were."""
        for one in fields(self):
            if "in_flight" not in one.name and "most" not in one.name:
                setattr(self, one.name, 0)


class InferenceServer:
    """Requests are begun in the order in which they came. One step may decode a token of each running sequence and
    evaluate parts of prompts."""

    def __init__(self, times: ServiceTimes) -> None:
        self.cache = PrefixCache(times.cache_blocks)
        self.totals = Totals()
        self._times = times
        self._waiting: deque[Request] = deque()
        self._running: list[Request] = []
        self._chunks: dict[Request, int] = {}  # the tokens of each request in the step under way
        self._clients: Counter[int] = Counter()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> None:
        """Raises ValueError if the prompt is larger than the cache, which could never be begun."""
        if self._blocks(request) > self.cache.capacity:
            raise ValueError(f"a prompt of {len(request.tokens)} tokens does not fit {self.cache.capacity} blocks")
        request.prompt_tokens = len(request.tokens)
        self._waiting.append(request)
        self._clients[request.client] += 1
        self.totals.requests += 1
        self.totals.in_flight += 1
        self.totals.most_in_flight = max(self.totals.most_in_flight, self.totals.in_flight)
        self.totals.most_of_a_client = max(self.totals.most_of_a_client, self._clients[request.client])

    def abort(self, request: Request) -> None:
        """The client has gone. What was evaluated stays in the cache, with what the step under way evaluates. Nothing
        if the request has ended."""
        if request.gone:
            return
        if request in self._running:
            if request not in self._chunks:
                self._release(request)
        elif request in self._waiting:
            self._waiting.remove(request)
        else:
            return
        request.gone = True
        self._left(request)
        self.totals.aborted += 1

    def restart(self) -> None:
        """Breaks off all requests, with the reason `broken`, and forgets what was evaluated."""
        left = [*self._running, *self._waiting]
        for request in left:
            if not request.gone:
                self.abort(request)
                request.on_text("", BROKEN)
        self._running.clear()
        self._chunks.clear()
        self.cache = PrefixCache(self._times.cache_blocks)

    def begin(self) -> float | None:
        """Plans a step. Returns how many ms it takes; None if there is nothing to do."""
        left = self._times.most_step_tokens
        self._chunks = {request: 1 for request in self._running if request.decodes}
        left -= len(self._chunks)
        for request in self._running:
            if not request.decodes and left > 0:
                left -= self._plan(request, left)
        while self._waiting and left > 0 and len(self._running) < self._times.most_sequences:
            request = self._waiting[0]
            if not self._admit(request):
                break
            self._running.append(self._waiting.popleft())
            left -= self._plan(request, left)
        if not self._chunks:
            return None
        evaluated = sum(count for request, count in self._chunks.items() if not request.decodes)
        sequences = sum(request.done + count >= request.prompt_tokens for request, count in self._chunks.items())
        ms = self._times.step(sequences, evaluated)
        self.totals.steps += 1
        self.totals.busy_ms += ms
        return ms

    def end(self) -> None:
        """Carries out the step that `begin` has planned."""
        chunks, self._chunks = self._chunks, {}
        for request, count in chunks.items():
            if not request.decodes:
                self.totals.evaluated_tokens += count
            request.done += count
            self._note_full_blocks(request)
            if request.gone:
                self._release(request)
            elif request.decodes:
                self._write(request)

    def _plan(self, request: Request, left: int) -> int:
        count = min(left, request.prompt_tokens - request.done)
        self._chunks[request] = count
        return count

    def _blocks(self, request: Request) -> int:
        """How many blocks it can need."""
        return -(-(len(request.tokens) + request.most_tokens) // BLOCK_TOKENS)

    def _admit(self, request: Request) -> bool:
        """Takes the blocks for a request. Returns False if there are not enough."""
        keys = _keys(request.tokens)
        # The last token of a prompt is always evaluated, since its logits are needed.
        keys = keys[: min(self.cache.known(keys), (len(request.tokens) - 1) // BLOCK_TOKENS)]
        self.cache.use(keys)
        own = self._blocks(request) - len(keys)
        if own > self.cache.free:
            self.cache.give_back(keys, 0)
            return False
        self.cache.take(own)
        request.shared, request.own, request.full = list(keys), own, len(keys)
        request.last_key = keys[-1] if keys else 0
        request.cached = request.done = len(keys) * BLOCK_TOKENS
        self.totals.begun += 1
        self.totals.prompt_tokens += request.prompt_tokens
        self.totals.cached_tokens += request.cached
        return True

    def _note_full_blocks(self, request: Request) -> None:
        while (request.full + 1) * BLOCK_TOKENS <= request.done:
            start = request.full * BLOCK_TOKENS
            request.last_key = _key(request.last_key, request.tokens[start : start + BLOCK_TOKENS])
            request.full += 1
            if self.cache.share(request.last_key):
                request.shared.append(request.last_key)
                request.own -= 1

    def _write(self, request: Request) -> None:
        """The token that the step has given a sequence."""
        if request.written >= len(request.answer):
            self._finish(request, "", "stop")
            return
        token, text = request.answer[request.written]
        request.written += 1
        self.totals.decoded_tokens += 1
        request.tokens.append(token)
        if request.written >= request.most_tokens:
            self._finish(request, text, "length")
        else:
            request.on_text(text, "")

    def _finish(self, request: Request, text: str, reason: str) -> None:
        self._release(request)
        self._left(request)
        self.totals.ended += 1
        request.on_text(text, reason)

    def _left(self, request: Request) -> None:
        self._clients[request.client] -= 1
        self.totals.in_flight -= 1

    def _release(self, request: Request) -> None:
        self._running.remove(request)
        self.cache.give_back(request.shared, request.own)


def _keys(tokens: Sequence[int]) -> list[int]:
    """The keys of the full blocks of a prompt."""
    keys: list[int] = []
    last = 0
    for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        last = _key(last, tokens[start : start + BLOCK_TOKENS])
        keys.append(last)
    return keys


def _key(last: int, tokens: Sequence[int]) -> int:
    return hash((last, *tokens))
