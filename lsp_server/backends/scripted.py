"""A backend without a model, for tests and for trying an editor's set-up. It is deterministic and instant.

Its logits are a hash of the tokens and positions that its KV cells hold at that moment. So a cache that is wrong by one
token gives another text, and "the text equals a cold run's" proves that reuse is right. If it is given texts, it
predicts how they continue after the last bytes in the cells; an earlier text has precedence. As a chat model it answers
with the first reply whose key occurs in the question.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server.backends.base import Adapter, ModelError, ModelInfo, ModelSpec, SequenceState, StepCosts
from lsp_server.core.fim_formats import find_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lsp_server.backends.base import Logits

_BOS, _END = 256, 257
_TOKEN_BITS = 16
_CONTEXT_BYTES = 12  # how much of a known text must match before its continuation is predicted
_BYTES_PER_WORD = 4  # its tokens are bytes, so its window needs this many times more
_ASSISTANT = b"<assistant>\n"
_CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
_WORD = b"abcdefghijklmnopqrstuvwxyz_"


@lru_cache(maxsize=64)
def _splitter(words: tuple[bytes, ...]) -> Callable[[bytes], list[bytes]]:
    """A function that splits a text into these words, the first that matches at each place, and into single bytes
    elsewhere."""
    return re.compile(b"|".join([*map(re.escape, words), b"."]), re.DOTALL).findall


class ScriptedBackend:
    """Its vocabulary: the 256 bytes, BOS, end of text, and the markers of `spec.fim_format` (default: Qwen's).

    spec.path: a file whose text it knows besides `texts`; for a chat model, a JSON file with a list of replies.
    words: tokens of several bytes.
    costs: the step costs that it claims; with them, the engine drafts.
    replies: for a chat model, pairs of a key, which must occur in the question, and the answer.
    """

    def __init__(
        self,
        spec: ModelSpec,
        progress: Callable[[float], bool],
        *,
        texts: Sequence[bytes] = (),
        words: Sequence[bytes] = (),
        costs: StepCosts | None = None,
        replies: Sequence[tuple[str, str]] = (),
    ) -> None:
        if not progress(1.0):
            raise ModelError("loading was given up")
        form = find_format(spec.fim_format or "qwen")
        if form is None:
            raise ModelError(f"there is no FIM format called {spec.fim_format!r}")
        self._markers = {spelling: 258 + index for index, spelling in enumerate(form.spellings)}
        self._texts = tuple(texts)
        first = 258 + len(self._markers)
        self._pieces = {first + index: word for index, word in enumerate(words)}
        self._words = sorted(((word, id) for id, word in self._pieces.items()), key=lambda entry: -len(entry[0]))
        # Each cell is a token with, in the bits above it, the adapters that were in use when it was evaluated.
        self._cells: list[list[int]] = [[] for _ in range(spec.sequences)]
        self._adapted = 0
        self.evaluated_tokens = 0
        self._replies = [(key.encode(), reply.encode()) for key, reply in replies]
        if spec.path:
            try:
                script = Path(spec.path).read_bytes()
            except OSError as error:
                raise ModelError(f"cannot read the script {spec.path}: {error.strerror}") from None
            if spec.chat:
                self._replies = [(key.encode(), reply.encode()) for key, reply in json.loads(script)]
            else:
                self._texts += (script,)
        self.info = ModelInfo(
            name="scripted",
            path=spec.path,
            architecture="none",
            parameters=0,
            bytes=0,
            vocabulary=first + len(words),
            context_tokens=spec.context_tokens * _BYTES_PER_WORD,
            sequences=spec.sequences,
            chunk_tokens=64,
            format=form,
            device="none",
            costs=costs,
            chat_template=_CHAT_TEMPLATE if spec.chat else "",
            state_key=self._state_key(()),
        )
        if spec.adapters:
            self.adapt(spec.adapters)

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        """Greedy: the longest matching word, else one byte."""
        markers = [(spelling.encode(), id) for spelling, id in self._markers.items()] if special else []
        words = [*markers, *self._words]
        if not words:
            return list(text)
        ids = dict(reversed(words))
        split = _splitter(tuple(word for word, _ in words))
        return [ids[piece] if piece in ids else piece[0] for piece in split(text)]

    def interrupt(self, wanted: bool) -> None:
        pass

    def rest(self) -> bool:
        return False

    def start_tokens(self) -> list[int]:
        return [_BOS]

    def marker(self, spelling: str) -> int | None:
        return self._markers.get(spelling)

    def piece(self, token: int) -> bytes:
        if token < 256:
            return bytes((token,))
        return self._pieces.get(token, b"")

    def special(self, token: int) -> str:
        return next((spelling for spelling, marker in self._markers.items() if marker == token), "")

    def ends(self, token: int) -> bool:
        return token == _END

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        cells = self._cells[sequence]
        if position != len(cells):
            raise ModelError(f"evaluated at {position}, but the sequence holds {len(cells)} tokens")
        if len(tokens) > self.info.chunk_tokens:
            raise ModelError(f"{len(tokens)} tokens in a batch of {self.info.chunk_tokens}")
        if position + len(tokens) > self.info.context_tokens:
            raise ModelError(f"the sequence is full ({self.info.context_tokens} tokens)")
        cells.extend(token | self._adapted for token in tokens)
        self.evaluated_tokens += len(tokens)
        return [self._logits(cells[: len(cells) - behind]) for behind in range(logits - 1, -1, -1)]

    def evaluate_each(self, steps: Sequence[tuple[int, int, int]]) -> list[Logits]:
        return [self.evaluate(sequence, position, [token], logits=1)[0] for sequence, position, token in steps]

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool]) -> None:
        """Accepts all adapters."""

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        digest = hashlib.blake2b(repr(tuple(adapters)).encode(), digest_size=2).digest()
        self._adapted = (int.from_bytes(digest, "little") | 1) << _TOKEN_BITS if adapters else 0
        self._cells = [[] for _ in self._cells]
        self.info = replace(self.info, adapters=tuple(adapters), state_key=self._state_key(adapters))

    def _state_key(self, adapters: Sequence[Adapter]) -> str:
        """Tokens keep their meaning as long as the words are the same."""
        return repr(("scripted", self._markers, self._words, tuple(adapters)))

    def checkpoint(self, sequence: int) -> None:
        """Does nothing, since its cells can be cut at any length."""

    def truncate(self, sequence: int, length: int) -> int:
        del self._cells[sequence][length:]
        return len(self._cells[sequence])

    def copy(self, source: int, target: int) -> None:
        self._cells[target] = list(self._cells[source])

    def save(self, sequence: int) -> SequenceState | None:
        cells = self._cells[sequence]
        return SequenceState(len(cells), memoryview(array("I", cells)).cast("B"))

    def restore(self, sequence: int, state: SequenceState) -> int:
        fits = len(state.data) == 4 * state.length and state.length <= self.info.context_tokens
        self._cells[sequence] = list(memoryview(bytes(state.data)).cast("I")) if fits else []
        return len(self._cells[sequence])

    def length(self, sequence: int) -> int:
        return len(self._cells[sequence])

    def tokens(self, sequence: int) -> list[int]:
        """The tokens in the cells of a sequence, for tests."""
        return self._tokens_in(self._cells[sequence])

    def close(self) -> None:
        self._cells = []

    def _logits(self, cells: list[int]) -> Logits:
        import numpy as np

        state = struct.pack(f"<{len(cells)}{'I' if self._adapted else 'H'}", *cells)
        digest = hashlib.blake2b(state, digest_size=16).digest()
        # No two values are equal: the order of equal ones would depend on the processor.
        logits = -40.0 - np.arange(self.info.vocabulary, dtype=np.float32) / 64.0
        logits[_END] = -30.0
        # The values differ enough that its suggestions are confident enough to be shown unasked.
        logits[self._letters] = 5.0 * np.random.default_rng(list(digest)).standard_normal(len(self._letters))
        if digest[0] < 12:  # about one token in twenty ends the line
            logits[10] = 40.0
        for rank, known in reversed(list(enumerate(self._continuations(self._tokens_in(cells))))):
            logits[known] = 50.0 - rank
        return logits

    @cached_property
    def _letters(self) -> NDArray[np.intp]:
        import numpy as np

        return np.array([*_WORD, *self._pieces])

    def _tokens_in(self, cells: list[int]) -> list[int]:
        return [cell & ((1 << _TOKEN_BITS) - 1) for cell in cells] if self._adapted else list(cells)

    def _continuations(self, cells: list[int]) -> list[int]:
        """The tokens that may follow, the most probable first."""
        if self._replies:
            return [self._reply(cells)]
        if not self._texts:
            return []
        # Twice as many cells as bytes: markers have no bytes, and two of them can stand just before the typed text.
        tail = b"".join(map(self.piece, cells[-2 * _CONTEXT_BYTES :]))[-_CONTEXT_BYTES:]
        if len(tail) < _CONTEXT_BYTES:
            return []
        ends = ((text, text.find(tail) + len(tail)) for text in self._texts if tail in text)
        return [text[end] if end < len(text) else _END for text, end in ends]

    def _reply(self, cells: list[int]) -> int:
        asked, _, said = b"".join(map(self.piece, cells)).rpartition(_ASSISTANT)
        for key, reply in self._replies:
            if key in asked:
                return reply[len(said)] if len(said) < len(reply) and reply.startswith(said) else _END
        return _END
