"""Finds out from later changes of the document whether a suggestion was shown, accepted, typed or dismissed.

Reports of a client count, if it sends any. For other clients it is guessed from the changes: text inserted at
once is accepted, text inserted character by character is typed.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lsp_server.stats.counts import Key, Tally
from lsp_server.stats.kept import Accepted, Change, length

# If a client does not report it, a suggestion counts as shown after this time.
_SHOWN_SECONDS = 0.03
# When accepted text is checked, in seconds after the acceptance, and the names of these checks.
_LOOKS = ((30.0, "30"), (300.0, "300"))
# How many suggestions are remembered for reports of the client, and how much accepted text per document is tracked.
_MOST_OFFERS, _MOST_ACCEPTED = 64, 256
# A client may report an acceptance after the change that it made, but not later than this.
_TELLS_SECONDS = 5.0
_CLOSERS = b")]}>\"'`"
_PAIRS = ("()", "[]", "{}", "<>", '""', "''", "``")
# The text that Enter inserts, with the editor's indentation.
_ENTER = re.compile(r"[ \t]*\r?\n[ \t]*")

_Part = Literal["typed", "words", "lines", "whole", "other"]


@dataclass(slots=True, eq=False)
class _Step:
    """The effect of a change on a suggestion. `other`: the suggestion became useless. reported: the client has reported
    it as an acceptance."""

    part: _Part
    change: Change
    at: float
    reported: bool = False


@dataclass(slots=True, eq=False)
class _Offer:
    """A suggestion, from when it is made until it is gone. at: the offset where the rest of it goes. over: the text
    that stands there, which the rest contains. lefts: the rest of it, and the rests of the alternatives. expects: what
    the client has reported, when the change is still to come. agreed: how many of its characters were typed. passed:
    how much of the last answer has been typed or accepted, in UTF-16 units, as clients count."""

    id: int
    uri: str
    key: Key
    at: int
    over: bytes
    lefts: list[bytes]
    answered: float
    tokens: int
    shown: Literal["", "guessed", "reported"] = ""
    accepted: bool = False
    agreed: int = 0
    passed: int = 0
    expects: Literal["", "part", "whole"] = ""
    last: _Step | None = None
    end: Literal["", "accepted", "typed", "dismissed", "unseen"] = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to insert."""
        return all(not left.strip() or left == self.over for left in self.lefts)


@dataclass(slots=True)
class Tracker:
    """The suggestions of one client. All times are seconds of one clock. Belongs to one thread."""

    tally: Tally
    _live: dict[str, _Offer] = field(default_factory=dict)
    _recent: OrderedDict[int, _Offer] = field(default_factory=OrderedDict)
    _accepted: dict[str, list[Accepted]] = field(default_factory=dict)
    _due: float = math.inf  # accepted text need not be checked before this time
    _ids: int = 0
    _tells_shown: bool = False
    _tells_parts: bool = False

    # What the server does ---------------------------------------------------------------------------------

    def suggested(
        self, uri: str, key: Key, at: int, over: bytes, texts: Sequence[bytes], now: float, tokens: int = 0
    ) -> int:
        """Notes an answer for the offset `at`: `texts` are the best suggestion and its alternatives. over: the text
        that stands there, which they contain. Returns the id for the client's reports; if this continues a suggestion,
        the id of that."""
        self.tick(now)
        before = self._live.get(uri)
        if before is not None:
            if self._goes_on(before, at, texts):
                before.at, before.over, before.lefts = at, over, list(texts)
                before.tokens += tokens
                before.passed = 0
                return before.id
            self._finish(before, now)
        self._ids += 1
        offer = _Offer(self._ids, uri, key, at, over, list(texts), now, tokens)
        self._live[uri] = offer
        self._recent[offer.id] = offer
        while len(self._recent) > _MOST_OFFERS:
            self._recent.popitem(last=False)
        self.tally.add(key, suggestions=1)
        return offer.id

    def nothing_for(self, uri: str, now: float) -> None:
        """Notes that a request got no suggestion, so an earlier one is no longer shown."""
        if (offer := self._live.get(uri)) is not None:
            self.tick(now)
            self._finish(offer, now)

    # What the user does -----------------------------------------------------------------------------------

    def changed(self, uri: str, changes: Sequence[Change], where: Key, now: float) -> None:
        """Takes the changes of a document, in order. where: the key for counts that belong to no suggestion."""
        self.tick(now)
        for change in changes:
            if not change.text and not change.removed:
                continue
            offer = self._live.get(uri)
            step = self._step(offer, change, now) if offer is not None else None
            self._follow(uri, change, revives=step is None or step.part == "typed")
            if offer is not None and step is not None:
                self._take(offer, step, now)
            characters = length(change.text)
            if characters and (step.part == "typed" if step is not None else _by_hand(change)):
                self.tally.add(where, keys=1, typed=characters)
            if offer is not None and step is None:
                self._finish(offer, now, change)

    def saved(self, uri: str, now: float) -> None:
        self.tick(now)
        for text in self._accepted.get(uri, ()):
            self._look(text, "save")

    def closed(self, uri: str, now: float) -> None:
        """Forgets a document. Its accepted text is not checked any more."""
        self.tick(now)
        if (offer := self._live.get(uri)) is not None:
            self._finish(offer, now)
        self._accepted.pop(uri, None)

    def close(self, now: float) -> None:
        for uri in {*self._live, *self._accepted}:
            self.closed(uri, now)

    # What the client tells --------------------------------------------------------------------------------

    def reported_shown(self, id: int) -> None:
        """The client reports that it has shown a suggestion."""
        self._tells_shown = True
        offer = self._recent.get(id)
        if offer is not None and offer.shown != "reported":
            self.tally.add(offer.key, shown_told=1, shown_guessed=-1 if offer.shown else 0)
            offer.shown = "reported"
            if offer.end == "unseen":
                self._end(offer, "dismissed")

    def reported_accepted(self, id: int, now: float) -> None:
        """The client reports that the user has accepted the rest of a suggestion. The change may come before or after
        this."""
        self.tick(now)
        offer = self._recent.get(id)
        if offer is not None and not offer.end:
            offer.expects = "whole"
        elif offer is not None:
            self._count_reported(offer, "whole", now)

    def reported_accepted_part(self, id: int, now: float, units: int = 0) -> None:
        """The client reports that the user has accepted a part of a suggestion. units: the end of the part in the last
        answer, in UTF-16 units; 0 if the client does not say, which then means the last change."""
        self._tells_parts = True
        self.tick(now)
        offer = self._recent.get(id)
        last = offer.last if offer is not None else None
        comes = last is None or last.reported or (last.part == "typed" and offer is not None and offer.passed < units)
        if offer is not None and not offer.end and comes:
            offer.expects = "part"
        elif offer is not None:
            self._count_reported(offer, "part", now)

    def _count_reported(self, offer: _Offer, what: Literal["part", "whole"], now: float) -> None:
        """Counts the last change as an acceptance, because the client has reported one."""
        step = offer.last
        if step is None or step.reported or now - step.at > _TELLS_SECONDS:
            return
        step.reported = True
        if step.part in ("typed", "other"):
            self._untake(offer, step)
            part: _Part = "whole" if what == "whole" else _kind(offer, step.change)
            self._take(offer, _Step(part, step.change, step.at, reported=True), now, moves=False)
        elif what == "whole" and step.part != "whole":
            self.tally.add(offer.key, **{f"accepted_{step.part}": -1, "accepted_whole": 1})

    # Time ---------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Does the checks that are due. Called before each change, so that text is checked as it was when the check was
        due."""
        if now >= self._due:
            self._look_at_all(now)
        if not self._tells_shown:
            for offer in self._live.values():
                if not offer.shown and now - offer.answered >= _SHOWN_SECONDS:
                    self._guess_shown(offer)

    def next_look(self) -> float | None:
        """When the next check may be due, in seconds of the clock; None if never."""
        return None if self._due == math.inf else self._due

    def _look_at_all(self, now: float) -> None:
        for uri, texts in list(self._accepted.items()):
            for text in texts:
                for seconds, name in _LOOKS:
                    if now - text.since >= seconds:
                        self._look(text, name)
            left = [text for text in texts if now - text.since < _LOOKS[-1][0]]
            if left:
                self._accepted[uri] = left
            else:
                del self._accepted[uri]
        due = (
            text.since + seconds
            for texts in self._accepted.values()
            for text in texts
            for seconds, name in _LOOKS
            if name not in text.measured
        )
        self._due = min(due, default=math.inf)

    def seen(self, id: int, now: float) -> Literal["shown", "unseen", ""]:
        """Whether a suggestion was shown; empty while that is unknown."""
        self.tick(now)
        offer = self._recent.get(id)
        if offer is None or not (offer.shown or offer.end):
            return ""
        return "shown" if offer.shown else "unseen"

    # Inside -------------------------------------------------------------------------------------------------

    def _goes_on(self, offer: _Offer, at: int, texts: Sequence[bytes]) -> bool:
        """Whether an answer is the present suggestion, or a longer version of it."""
        if not 0 <= at - offer.at <= len(offer.over):
            return False
        passed = offer.over[: at - offer.at]
        lefts = [left[len(passed) :] for left in offer.lefts if left.startswith(passed)]
        return any(text.startswith(left) or left.startswith(text) for text in texts for left in lefts)

    def _step(self, offer: _Offer, change: Change, now: float) -> _Step | None:
        """The effect of a change on a suggestion, which is updated; None if the change makes it useless."""
        start, end = change.start - offer.at, change.end - offer.at
        if end == 0 and change.removed and not change.text and length(change.removed) <= offer.agreed:
            offer.at += start
            offer.lefts = [change.removed + left for left in offer.lefts]
            return _Step("typed", change, now)
        if start < 0 or end > len(offer.over):
            return None
        if not change.removed and offer.over[:start] == change.text[:start]:  # as if at `offer.at`
            change = replace(change, start=offer.at, end=offer.at, text=change.text[start:] + change.text[:start])
            start = end = 0
        window = offer.over[:start] + change.text + offer.over[end:]
        whole = [left for left in offer.lefts if left == window]
        parts = [left[len(change.text) :] for left in offer.lefts if left.startswith(change.text)] if start == 0 else []
        if whole and (len(change.text.decode("utf-8", "replace")) > 1 or offer.expects or parts == [b""]):
            offer.at, offer.over, offer.lefts = offer.at + len(window), b"", [b""]
            part: _Part = "whole" if length(change.text) > 1 or offer.expects == "whole" else "typed"
            if part == "whole" and self._is_typing(offer, change):
                part = "typed"
            return _Step(part, change, now)
        if parts and not change.removed:
            offer.at, offer.lefts = offer.at + len(change.text), parts
            part = "typed" if self._is_typing(offer, change) else _kind(offer, change)
            return _Step(part, change, now)
        typed, closers = change.text[:1], change.text[1:]
        if start == 0 and change.text.decode("utf-8", "replace") in _PAIRS and not change.removed:
            left = [each[1:] for each in offer.lefts if each.startswith(typed)]
            if left:
                offer.at, offer.over, offer.lefts = offer.at + 1, closers + offer.over, left
                return _Step("typed", replace(change, text=typed), now)
        if start == 0 and change.text and not change.removed and not change.text.strip(_CLOSERS):
            offer.over = change.text + offer.over  # the editor has inserted closing brackets after the cursor
            return _Step("typed", replace(change, text=b""), now)
        return None

    def _is_typing(self, offer: _Offer, change: Change) -> bool:
        """Whether a change that agrees with a suggestion was typed."""
        if offer.expects:
            return False
        text = change.text.decode("utf-8", "replace")
        return len(text) == 1 or self._tells_parts or text in _PAIRS or _ENTER.fullmatch(text) is not None

    def _take(self, offer: _Offer, step: _Step, now: float, *, moves: bool = True) -> None:
        """Counts a step. moves: whether the change is new; False for one that is counted again."""
        step.reported = step.reported or bool(offer.expects)
        offer.expects, offer.last = "", step
        offer.passed += len(step.change.text.decode("utf-8", "replace").encode("utf-16-le")) // 2 if moves else 0
        if not offer.shown and not self._tells_shown:
            self._guess_shown(offer)
        change = step.change
        characters = length(change.text)
        if step.part == "typed":
            grown = characters - length(change.removed)
            offer.agreed += grown
            self.tally.add(offer.key, agreed_characters=grown)
        else:
            put_in = max(0, characters - length(change.removed))
            first = 0 if offer.accepted else 1
            offer.accepted = True
            counted = {f"accepted_{step.part}": 1}
            self.tally.add(offer.key, accepted=first, accepted_characters=put_in, **counted)
            texts = self._accepted.setdefault(offer.uri, [])
            texts.append(Accepted(offer.key, change.start, change.text, put_in, step.at))
            self._due = min(self._due, step.at + _LOOKS[0][0])
            del texts[:-_MOST_ACCEPTED]
        if moves and offer.is_done:
            self._finish(offer, now)

    def _untake(self, offer: _Offer, step: _Step) -> None:
        """Corrects the counts of a change that seemed to be a single key."""
        characters = length(step.change.text)
        if step.part == "typed":
            offer.agreed -= characters
            self.tally.add(offer.key, agreed_characters=-characters)
        if step.part == "typed" or _by_hand(step.change):
            self.tally.add(replace(offer.key, source=""), keys=-1, typed=-characters)
        if offer.end in ("typed", "dismissed"):
            self.tally.add(offer.key, **{"typed_through" if offer.end == "typed" else "dismissed": -1})
        offer.end = "accepted" if offer.end else ""

    def _guess_shown(self, offer: _Offer) -> None:
        offer.shown = "guessed"
        self.tally.add(offer.key, shown_guessed=1)

    def _finish(self, offer: _Offer, now: float, change: Change | None = None) -> None:
        """Ends a suggestion. change: the change that made it useless, which the client may still report as an
        acceptance."""
        if self._live.get(offer.uri) is offer:
            del self._live[offer.uri]
        if change is not None and change.text:
            if offer.expects:
                self._take(offer, _Step("whole", change, now), now, moves=False)
            else:
                offer.last = _Step("other", change, now)
        if offer.accepted:
            offer.end = "accepted"
        elif offer.agreed and offer.is_done:
            self._end(offer, "typed")
        else:
            self._end(offer, "dismissed" if offer.shown else "unseen")

    def _end(self, offer: _Offer, end: Literal["typed", "dismissed", "unseen"]) -> None:
        offer.end = end
        if end == "typed":
            self.tally.add(offer.key, typed_through=1)
            return
        if end == "dismissed":
            self.tally.add(offer.key, dismissed=1)
        if not offer.agreed and offer.tokens:
            self.tally.add(offer.key, wasted_tokens=offer.tokens)
            offer.tokens = 0

    def _follow(self, uri: str, change: Change, *, revives: bool) -> None:
        for text in self._accepted.get(uri, ()):
            before = text.undone
            text.follow(change, revives=revives)
            if text.undone and not before:
                self.tally.add(text.key, undone=1)
            elif before and not text.undone:
                self.tally.add(text.key, undone=-1)

    def _look(self, text: Accepted, name: str) -> None:
        if name not in text.measured:
            text.measured.add(name)
            self.tally.add(text.key, **{f"due_{name}": text.characters, f"kept_{name}": text.kept()})


def _by_hand(change: Change) -> bool:
    """Whether a change is from one key: a character, with what an editor inserts beside it."""
    text = change.text.decode("utf-8", "replace")
    return len(text) == 1 or text in _PAIRS or _ENTER.fullmatch(text) is not None


def _kind(offer: _Offer, change: Change) -> _Part:
    """Whether an accepted part ends with a line. `offer` has the rest after the part."""
    left = offer.lefts[0] if offer.lefts else b""
    if not left.strip():
        return "whole"
    ends = change.text.endswith((b"\n", b"\r")) or left.startswith((b"\n", b"\r"))
    return "lines" if ends else "words"
