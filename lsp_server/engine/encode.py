"""From a prompt's text to its tokens, and into the model's window."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

from lsp_server.backends.base import Backend, ModelError
from lsp_server.core.prompt import FimPrompt, Segment

_REMEMBERED_SEGMENTS = 128
_FAR_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's tokens. typed: how many at the end are of what was typed since the anchor. cut: how many
    did not fit. stable: lengths at which a part that outlives a key ends, the shortest first; a recurrent
    model goes back to these."""

    tokens: list[int]
    typed: int
    cut: int
    stable: tuple[int, ...] = ()


class Encoder:
    """Tokenises segment by segment, and remembers the segments that do not change from key to key.

    Segment borders are token borders: a key then changes the tokens of its own segment alone, and a warm
    prompt has the very tokens of a cold one.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._remembered: OrderedDict[bytes, list[int]] = OrderedDict()

    def encode(self, prompt: FimPrompt, room: int) -> Encoded:
        """The tokens of `prompt`, at most `room` of them.

        Cut first is the context of other files, all of it; then the end of the text after the hole, the
        beginning of the text before it, and of what was typed, whole quarters of the room at a time. So the cut
        stays where it is while the user types. Raises ModelError if the format's own tokens do not fit.
        """
        parts = [(segment.kind, self._tokens(segment)) for segment in prompt.segments]
        start = self._backend.start_tokens()
        whole = len(start) + sum(len(tokens) for _, tokens in parts)
        if whole > room:
            parts = _without_context(parts)
        size = len(start) + sum(len(tokens) for _, tokens in parts)
        excess = size - room
        cut = whole - size
        if excess > 0:
            step = max(1, room // 4)
            excess = -(-excess // step) * step + cut
            for kind in ("after", "before", "typed", "path"):
                for index, (part, tokens) in enumerate(parts):
                    if part == kind and cut < excess:
                        less = min(len(tokens), excess - cut)
                        kept = tokens[: len(tokens) - less] if kind == "after" else tokens[less:]
                        parts[index] = (part, kept)
                        cut += less
        tokens = [*start, *(token for _, tokens in parts for token in tokens)]
        if len(tokens) > room or not tokens:
            raise ModelError(f"`context_tokens` leaves {max(0, room)} tokens beside `max_tokens`, too few for a prompt")
        kind, last = parts[-1] if parts else ("", [])
        return Encoded(tokens, len(last) if kind == "typed" else 0, cut, _stable(len(start), parts))

    def _tokens(self, segment: Segment) -> list[int]:
        if segment.kind == "marker":
            marker = self._backend.marker(segment.text.decode())
            if marker is None:
                raise ModelError(f"the model has no token {segment.text.decode()}")
            return [marker]
        if segment.kind == "template":
            return self._backend.tokenize(segment.text, special=True)
        if segment.kind == "typed":
            return self._typed(segment.text)
        found = self._remembered.pop(segment.text, None)
        if found is None:
            found = self._backend.tokenize(segment.text)
            if len(self._remembered) >= _REMEMBERED_SEGMENTS:
                self._remembered.popitem(last=False)
        self._remembered[segment.text] = found
        return found

    def _typed(self, text: bytes) -> list[int]:
        """The tokens of what was typed. Where a word's token has the space in front of it, the last of several spaces
        is a token of its own, which healing then makes longer. Such a model has never seen a word behind one token with
        all of the spaces: it ends there, or indents further."""
        if text.endswith(b"  "):
            most = self._backend.tokenize(text[:-1])
            if self._backend.tokenize(text + b"x")[:-1] == most:
                return most + self._backend.tokenize(b" ")
        return self._backend.tokenize(text)


def _stable(start: int, parts: list[tuple[str, list[int]]]) -> tuple[int, ...]:
    """The ends of the parts that are not typed, without those so near the last one kept that going back further
    costs little."""
    ends = list(accumulate((len(tokens) for kind, tokens in parts if kind != "typed"), initial=start))
    far = [start]
    for end in ends[1:-1]:
        if end - far[-1] >= _FAR_TOKENS:
            far.append(end)
    return tuple(dict.fromkeys((*far[1:], ends[-1])))


def _without_context(parts: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    """The segments without those of other files, and without the markers in front of these."""
    kinds = [kind for kind, _ in parts]
    return [
        part
        for part, following in zip(parts, [*kinds[1:], ""], strict=True)
        if part[0] != "context" and (part[0] != "marker" or following != "context")
    ]
