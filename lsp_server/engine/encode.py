"""Turns a prompt's text into tokens, and cuts it to fit the model's window."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

from lsp_server.backends.base import Backend, ModelError
from lsp_server.core.prompt import FimPrompt, Segment

_REMEMBERED_SEGMENTS = 128
_FAR_TOKENS = 128
# The characters that the token of a word can begin with.
_BEFORE_WORDS = (b" ", b"\t")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A prompt's tokens.

    typed: how many tokens at the end are of the text typed since the anchor.
    cut: how many tokens did not fit.
    stable: prompt lengths, ascending, at which a part ends that does not change with the next key. A recurrent model
    makes checkpoints there.
    """

    tokens: list[int]
    typed: int
    cut: int
    stable: tuple[int, ...] = ()


class Encoder:
    """Tokenises segment by segment, and caches the tokens of segments that do not change from key to key.

    A token never crosses the border of a segment. So a key changes the tokens of its own segment only, and the prompt
    has the same tokens whether it is evaluated from a warm or a cold cache.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._remembered: OrderedDict[bytes, list[int]] = OrderedDict()

    def encode(self, prompt: FimPrompt, room: int) -> Encoded:
        """The tokens of `prompt`, at most `room` of them.

        First all context of other files is cut; then the end of the text after the hole, the beginning of the text
        before it, and the beginning of the typed text, in steps of a quarter of `room`, so that the cut stays where it
        is while the user types. Raises ModelError if the format's own tokens do not fit.
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
        """The tokens of the typed text. If the vocabulary puts the space or tab before a word into the word's token,
        the last of several of them becomes a token of its own, which healing then replaces by a longer one. Such a
        model has never seen a word after one token that holds all of the white space: it would end the text there,
        indent further, or begin with a stray bracket."""
        last = text[-1:]
        if last in _BEFORE_WORDS and text[-2:-1] in _BEFORE_WORDS:
            most = self._backend.tokenize(text[:-1])
            if self._backend.tokenize(text + b"x")[:-1] == most:
                return most + self._backend.tokenize(last)
        return self._backend.tokenize(text)


def _stable(start: int, parts: list[tuple[str, list[int]]]) -> tuple[int, ...]:
    """The ends of the parts that are not typed. An end is left out if it is less than `_FAR_TOKENS` after the one
    before, since going back to that one costs little."""
    ends = list(accumulate((len(tokens) for kind, tokens in parts if kind != "typed"), initial=start))
    far = [start]
    for end in ends[1:-1]:
        if end - far[-1] >= _FAR_TOKENS:
            far.append(end)
    return tuple(dict.fromkeys((*far[1:], ends[-1])))


def _without_context(parts: list[tuple[str, list[int]]]) -> list[tuple[str, list[int]]]:
    """The segments without the context of other files, and without the markers in front of it."""
    kinds = [kind for kind, _ in parts]
    return [
        part
        for part, following in zip(parts, [*kinds[1:], ""], strict=True)
        if part[0] != "context" and (part[0] != "marker" or following != "context")
    ]
