"""Counts the prompt tokens of a session on virtual time, with the server's own engine and without a model.

Each key starts at its time stamp, and the evaluation of a token takes a fixed time. A key whose prompt is not complete
when the next change comes is not answered; its evaluated tokens stay in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bench.sessions.recordings import Change
from bench.sessions.timeline import with_gaps
from lsp_server.backends.base import Adapter, ModelError, ModelInfo, ModelSpec, SequenceState
from lsp_server.core.anchor import AnchorBook
from lsp_server.core.fim_formats import FimFormat, Slot
from lsp_server.core.hole import Hole, HoleKind, find_hole
from lsp_server.core.prompt import Anchor, FimPrompt, PromptBudget, lay_out, new_anchor
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Cancel, Event, Finished, FinishReason, Generate, Load, Priority
from lsp_server.engine.spawn import at_once
from lsp_server.settings.fields import Settings

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

# The tokens of the window that stay free for decoded tokens (the setting max_tokens).
_DECODED_TOKENS = 64
_MAX_LINES = 8


class Tokenizer(Protocol):
    """The tokeniser of a model. size: all token ids are lower, also those of substituted markers."""

    @property
    def size(self) -> int: ...

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]: ...

    def start_tokens(self) -> list[int]: ...

    def marker(self, spelling: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """The server's settings and the clock. rest_ms: after this time without a key, the user pauses. chunk_tokens: how
    many tokens are evaluated between two checks of the queue."""

    context_tokens: int = Settings().context_tokens
    resident_prompts: int = Settings().resident_prompts
    ms_per_token: float = 2.6
    rest_ms: float = 500.0
    chunk_tokens: int = 16


@dataclass(frozen=True, slots=True)
class KeyCount:
    """One key. evaluated: the prompt tokens that were evaluated before the answer, or until the next change. rest: the
    tokens that were evaluated after that, while the user paused."""

    answered: bool
    evaluated: int
    rest: int


class Policy(Protocol):
    """Chooses the prompt for a key, and the prompt that is prepared while the user pauses."""

    form: FimFormat
    resident_prompts: int

    def key(self, change: Change) -> FimPrompt: ...

    def rest(self, change: Change) -> FimPrompt | None: ...

    def rested(self) -> None:
        """Must be called when the prompt for the pause was completely evaluated."""
        ...


class Anchored:
    """fimble's prompts in one format."""

    def __init__(self, form: FimFormat, rules: Rules) -> None:
        self.resident_prompts = rules.resident_prompts
        self.form = form
        self._budget = PromptBudget.of_tokens(rules.context_tokens)
        self._book = AnchorBook()
        self._anchor: Anchor | None = None

    def key(self, change: Change) -> FimPrompt:
        hole = find_hole(change.document, change.cursor)
        anchor = self._book.choose(change.document, hole, self.form, self._budget)
        return lay_out(change.document, anchor, hole.cursor, self.form)

    def rest(self, change: Change) -> FimPrompt | None:
        hole = find_hole(change.document, change.cursor)
        anchor = self._book.at_rest(change.document, hole, self.form, self._budget)
        self._anchor = anchor
        return None if anchor is None else lay_out(change.document, anchor, hole.cursor, self.form)

    def rested(self) -> None:
        if self._anchor is not None:
            self._book.adopt(self._anchor)


class Usual:
    """The prompts of other local tools: all text before the cursor, the text after it, and the middle marker; with the
    same window and hysteresis, and one resident prompt. The cursor's line is a segment of its own, which makes counting
    fast and changes the count by one token at most."""

    resident_prompts = 1

    def __init__(self, rules: Rules) -> None:
        self._budget = PromptBudget.of_tokens(rules.context_tokens)
        layout = ("<|fim_prefix|>", Slot.BEFORE, Slot.TYPED, "<|fim_suffix|>", Slot.AFTER, "<|fim_middle|>")
        self.form = FimFormat("usual-psm", layout)

    def key(self, change: Change) -> FimPrompt:
        document, cursor = change.document, change.cursor
        line_start = document.line_start(document.line_at(cursor))
        hole = Hole(HoleKind.LINE, line_start, cursor, line_end=cursor)
        return lay_out(document, new_anchor(document, hole, self.form, self._budget), cursor, self.form)

    def rest(self, change: Change) -> FimPrompt | None:
        return None

    def rested(self) -> None:
        return


class CountingBackend:
    """A backend that evaluates nothing: it counts tokens, advances the clock, and ends every text at once."""

    def __init__(self, tokenizer: Tokenizer, form: FimFormat, rules: Rules, residents: int) -> None:
        self._tokenizer = tokenizer
        self._ms_per_token = rules.ms_per_token
        self._lengths = [0] * residents
        self._row: Logits = np.zeros(1, dtype=np.float32)
        self.now_ms = 0.0
        self.info = ModelInfo(
            name="counting",
            path="",
            architecture="none",
            parameters=0,
            bytes=0,
            vocabulary=tokenizer.size,
            context_tokens=rules.context_tokens,
            sequences=residents,
            chunk_tokens=rules.chunk_tokens,
            format=form,
            device="none",
        )

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        return self._tokenizer.tokenize(text)

    def evaluate_each(self, steps: Sequence[tuple[int, int, int]]) -> list[Logits]:
        return [self.evaluate(sequence, position, [token], logits=1)[0] for sequence, position, token in steps]

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool]) -> None:
        raise ModelError("nothing is computed here, so there is nothing to adapt")

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        raise ModelError("nothing is computed here, so there is nothing to adapt")

    def checkpoint(self, sequence: int) -> None:
        """Does nothing, because every sequence can be cut at any length."""

    def start_tokens(self) -> list[int]:
        return self._tokenizer.start_tokens()

    def marker(self, spelling: str) -> int | None:
        return self._tokenizer.marker(spelling)

    def piece(self, token: int) -> bytes:
        return b""

    def special(self, token: int) -> str:
        return ""

    def ends(self, token: int) -> bool:
        return True

    def interrupt(self, wanted: bool) -> None:
        pass

    def rest(self) -> bool:
        return False

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        assert position == self._lengths[sequence], "evaluated behind the end of what the cache holds"
        self._lengths[sequence] += len(tokens)
        self.now_ms += len(tokens) * self._ms_per_token
        return [self._row] * logits

    def truncate(self, sequence: int, length: int) -> int:
        self._lengths[sequence] = min(length, self._lengths[sequence])
        return self._lengths[sequence]

    def copy(self, source: int, target: int) -> None:
        self._lengths[target] = self._lengths[source]

    def save(self, sequence: int) -> SequenceState | None:
        return None

    def restore(self, sequence: int, state: SequenceState) -> int:
        return self.truncate(sequence, 0)

    def length(self, sequence: int) -> int:
        return self._lengths[sequence]

    def close(self) -> None:
        return


class _Runner:
    """The engine on the virtual clock, one request at a time."""

    def __init__(self, backend: CountingBackend) -> None:
        self._backend = backend
        self._finished: dict[int, Finished] = {}
        self._id = 0
        clock = lambda: backend.now_ms / 1000  # noqa: E731
        self._engine = EngineCore(lambda spec, progress: backend, self._posted, clock, at_once)
        self._engine.send(Load(ModelSpec("")))
        self._engine.receive()

    def evaluate(
        self, prompt: FimPrompt, change: Change, max_tokens: int, begin_ms: float, end_ms: float
    ) -> tuple[bool, int]:
        """Evaluates a prompt from `begin_ms`, or from the end of the step before, until `end_ms` at the latest. Returns
        whether it was completed, and how many tokens were evaluated."""
        self._id += 1
        self._backend.now_ms = max(begin_ms, self._backend.now_ms)
        rule = stop_rule(change.document, find_hole(change.document, change.cursor), _MAX_LINES)
        priority = Priority.INLINE if max_tokens else Priority.WARMING
        self._engine.send(Generate(self._id, prompt, rule, max_tokens, priority))
        self._engine.receive()
        while self._id not in self._finished and self._backend.now_ms < end_ms:
            self._engine.step()
        in_time = self._id in self._finished and self._backend.now_ms <= end_ms
        self._engine.send(Cancel(self._id))
        self._engine.receive()
        ended = self._finished.pop(self._id)
        if ended.reason in (FinishReason.FAILED, FinishReason.REJECTED):
            raise RuntimeError(f"the engine did not take a prompt: {ended.message}")
        return in_time, ended.usage.evaluated_tokens

    def _posted(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._finished[event.id] = event


def count(changes: Iterable[Change], policy: Policy, tokenizer: Tokenizer, rules: Rules) -> Iterator[KeyCount]:
    """The cost of every change with `types`. The changes must be in order of time (see `timeline.spread`)."""
    backend = CountingBackend(tokenizer, policy.form, rules, policy.resident_prompts)
    runner = _Runner(backend)
    for change, gap_ms in with_gaps(changes):
        if not change.types:
            continue
        began_ms, next_ms = change.time_ms, change.time_ms + gap_ms
        answered, evaluated = runner.evaluate(policy.key(change), change, _DECODED_TOKENS, began_ms, next_ms)
        rest, rest_began_ms = 0, max(backend.now_ms, began_ms + rules.rest_ms)
        if answered and rest_began_ms < next_ms:
            prompt = policy.rest(change)
            if prompt is not None:
                whole, rest = runner.evaluate(prompt, change, 0, rest_began_ms, next_ms)
                if whole:
                    policy.rested()
        yield KeyCount(answered, evaluated, rest)


@dataclass(frozen=True, slots=True)
class CountSummary:
    """One session with one policy. p50 to mean: the tokens evaluated before an answer, over the answered keys.
    evaluated_per_key: over all keys, with the tokens of unanswered keys, but without those of pauses."""

    session: str
    order: str
    keys: int
    unanswered: int
    p50: int
    p95: int
    p99: int
    mean: float
    evaluated_per_key: float
    rest_per_key: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def summarise(session: str, order: str, keys: Sequence[KeyCount]) -> CountSummary:
    """The figures of a session with at least one key."""
    answered = sorted(key.evaluated for key in keys if key.answered) or [0]
    return CountSummary(
        session=session,
        order=order,
        keys=len(keys),
        unanswered=sum(not key.answered for key in keys),
        p50=percentile(answered, 50),
        p95=percentile(answered, 95),
        p99=percentile(answered, 99),
        mean=round(sum(answered) / len(answered), 2),
        evaluated_per_key=round(sum(key.evaluated for key in keys) / len(keys), 2),
        rest_per_key=round(sum(key.rest for key in keys) / len(keys), 2),
    )


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The smallest value that `percent` of an ordered, non-empty list do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]
