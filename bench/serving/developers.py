"""The simulated developers: which part of which session each of them types, and what the model writes for them."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

from bench.keystrokes import Session
from bench.sessions.counting import Tokenizer
from bench.sessions.recordings import Change
from lsp_server.core.hole import Hole, HoleKind, find_hole, for_automatic_request, refined

# Of what the model writes, this share is all as the developer goes on to type it. That is about the share of
# suggestions that were accepted in a study of GitHub Copilot (Ziegler et al. 2022, arXiv 2205.06537: 27%).
RIGHT_SHARE = 0.27
# The others agree with what is typed for so many characters on average; `bench keystrokes` found 2.0 to 3.2.
RIGHT_CHARACTERS = 2.0
# What is wrong has so many characters on average, and no answer has more than so many.
_WRONG_CHARACTERS, _MOST_CHARACTERS = 20.0, 120
# How much text in front of the hole identifies a place, and how much of it a client may leave to be written again.
_KNOWN_BYTES, _MOST_AGAIN = 48, 26
# No piece of a text that is tokenised by itself begins inside white space, so that its tokens are those of the whole.
_PIECES = re.compile(r"[^\n]*\n(?=[^\s])|.+\Z", re.DOTALL)
_MARKERS = re.compile(r"(<\|[a-z_]+\|>)")
_PIECES_KEPT = 1 << 15


class Tokens:
    """Tokenises prompts piece by piece, and keeps the tokens of pieces."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._marker = tokenizer.marker
        self._of_piece = lru_cache(_PIECES_KEPT)(lambda piece: tuple(tokenizer.tokenize(piece.encode())))
        self._start = tuple(tokenizer.start_tokens())

    def of_prompt(self, text: str) -> list[int]:
        """The tokens of a prompt whose markers are spelled out."""
        found = list(self._start)
        for index, part in enumerate(_MARKERS.split(text)):
            marker = self._marker(part) if index % 2 else None
            if marker is not None:
                found.append(marker)
            else:
                for piece in _PIECES.findall(part):
                    found += self._of_piece(piece)
        return found

    def of_answer(self, text: str) -> list[tuple[int, str]]:
        """Tokens with their texts: words with the space in front of them, as most vocabularies have them. What the ids
        are makes no difference but to a prefix cache, which sees equal ids for equal texts."""
        return [(hash(piece) & 0xFFFF, piece) for piece in re.findall(r"\s?\w{1,8}|\s*\n\s*|\s?[^\w\s]{1,2}|\s", text)]


@dataclass(slots=True)
class Developer:
    """Somebody who types a part of a session. gaps_ms: the time after each change until the next one. begins_share: how
    late he begins, from 0 to 1. right_share: of what the model writes for him, the share that he goes on to type."""

    number: int
    session: str
    changes: Sequence[Change]
    gaps_ms: Sequence[float]
    begins_share: float
    right_share: float = RIGHT_SHARE
    _holes: dict[int, Hole] = field(default_factory=dict)

    def hole(self, index: int) -> Hole:
        """The place after a change; of the kind NONE where no completion is wanted. Known for all runs."""
        if index not in self._holes:
            change = self.changes[index]
            near = find_hole(change.document, change.cursor)
            self._holes[index] = for_automatic_request(refined(change.document, near), comments=True, docs=True)
        return self._holes[index]

    def until(self, seconds: float) -> Developer:
        """The same developer, who stops after `seconds`."""
        most = len(_within(self.gaps_ms, seconds))
        return replace(self, changes=self.changes[:most], gaps_ms=self.gaps_ms[:most])

    def wanted(self, index: int) -> bool:
        return self.hole(index).kind is not HoleKind.NONE

    def answer(self, index: int, prompt: str) -> str:
        """What the model writes after change `index`: what the developer types next, all of it or its beginning, and
        something else then. A prompt whose end is not the place of the cursor gets something else altogether."""
        change = self.changes[index]
        before = change.document.source[: change.cursor].decode("utf-8", "replace")
        dice = random.Random(f"{self.number} {index}")
        end = _text_before_hole(prompt)[-_KNOWN_BYTES:]
        again = next((size for size in range(_MOST_AGAIN) if before[: len(before) - size].endswith(end)), None)
        wrong = _other_text(change, dice)
        if again is None:
            return wrong
        typed = self._typed_next(index)
        if not typed or dice.random() >= self.right_share:
            right = min(len(typed), int(dice.expovariate(1 / RIGHT_CHARACTERS)))
            # A letter that nobody types is where the two part.
            typed = typed[:right] + "Q" + wrong
        return (before[len(before) - again :] if again else "") + typed[:_MOST_CHARACTERS]

    def _typed_next(self, index: int) -> str:
        """What is typed at the cursor from a change on, up to the end of the line."""
        uri, cursor, typed = self.changes[index].document.uri, self.changes[index].cursor, ""
        for change in self.changes[index + 1 :]:
            (edit, *more) = change.replacements or (None,)
            if change.document.uri != uri or more or edit is None or (edit.start, edit.end) != (cursor, cursor):
                break
            typed += edit.inserted.decode("utf-8", "replace")
            cursor += len(edit.inserted)
            if len(typed) > _MOST_CHARACTERS or "\n" in typed.lstrip("\n"):
                break
        lead = len(typed) - len(typed.lstrip("\n"))
        return typed[:lead] + typed[lead:].split("\n")[0]


def _text_before_hole(prompt: str) -> str:
    """The text before the hole at the end of a prompt in PSM order: what stands behind the last marker, or if that is
    nothing, what stands before the suffix."""
    parts = _MARKERS.split(prompt)
    typed = parts[-1]
    before = parts[parts.index("<|fim_prefix|>") + 1] if "<|fim_prefix|>" in parts else ""
    return before + typed


def _other_text(change: Change, dice: random.Random) -> str:
    """A part of another line of the document."""
    document = change.document
    line = document.line(dice.randrange(document.line_count)).decode("utf-8", "replace").strip()
    size = max(4, min(_MOST_CHARACTERS, math.ceil(dice.expovariate(1 / _WRONG_CHARACTERS))))
    return (line or "value = other.value")[:size]


def developers(
    sessions: Sequence[Session],
    count: int,
    seconds: Callable[[int], float],
    longest_pause_ms: float,
    seed: int,
    first: int | None = None,
) -> list[Developer]:
    """`count` developers, who take turns with the sessions and begin at places drawn by `seed`. seconds: how long
    each types, by his number, with pauses cut to `longest_pause_ms`. first: only so many changes of each session are
    read; None for all. Raises ValueError if a session is empty."""
    found: list[Developer] = []
    for at, session in enumerate(sessions):
        numbers = range(at, count, len(sessions))
        times = [(change.time_ms, change.types) for change in islice(session.changes(), first)]
        if not any(types for _, types in times):
            raise ValueError(f"{session.name} has no keys")
        parts: dict[int, tuple[int, list[float]]] = {}
        for number in numbers:
            dice = random.Random(f"{seed} {number}")
            begin = dice.randrange(max(1, len(times) * 9 // 10))
            parts[number] = begin, _gaps([time for time, _ in times[begin:]], seconds(number), longest_pause_ms)
        kept: dict[int, list[Change]] = {number: [] for number in numbers}
        for index, change in enumerate(islice(session.changes(), first)):
            for number, (begin, gaps) in parts.items():
                if begin <= index < begin + len(gaps):
                    kept[number].append(change)
        for number, (_, gaps) in parts.items():
            begins = random.Random(f"{seed} {number} begins").uniform(0, 1)
            found.append(Developer(number, session.name, kept[number], gaps, begins))
    return sorted(found, key=lambda developer: developer.number)


def _gaps(times: Sequence[float], seconds: float, longest_pause_ms: float) -> list[float]:
    """The time after each change until the next, until `seconds` are over or the session is."""
    ends = [*times[1:], times[-1] + longest_pause_ms]
    return _within([min(longest_pause_ms, then - now) for now, then in zip(times, ends, strict=True)], seconds)


def _within(gaps_ms: Sequence[float], seconds: float) -> list[float]:
    """The first gaps, up to the one in which `seconds` are over."""
    kept: list[float] = []
    sum_ms = 0.0
    for gap_ms in gaps_ms:
        kept.append(gap_ms)
        sum_ms += gap_ms
        if sum_ms > 1000 * seconds:
            break
    return kept


def never_right(team: Sequence[Developer]) -> list[Developer]:
    """The same developers with a model that writes nothing that they type."""
    return [replace(developer, right_share=0.0) for developer in team]
