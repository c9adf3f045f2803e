"""The code action and the button "Ask NAME again": another place is asked about an action that one has answered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import TrackedRange
from lsp_server.core.hidden_characters import escaped
from lsp_server.features.actions.attempts import Attempt
from lsp_server.features.actions.catalogue import Action, Result
from lsp_server.features.actions.offers import Offer, is_wanted
from lsp_server.lsp.action_arguments import offer_at

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

ASK_AGAIN = "fimble.askAgain"
# How many answered actions are remembered, for how long, and the most places offered for one.
_MOST_KEPT, _KEPT_SECONDS, _MOST_PLACES = 20, 600.0, 3


@dataclass(frozen=True, slots=True)
class Answered:
    """An action that one or more places have answered. number: its identifier in commands. tracked: the bytes of its
    subject. unchanged: whether the document is still the one that `offer` was made for. attempt: the last answer.
    asked: the names of all places that have answered. since: the time of the last answer, in seconds."""

    number: int
    offer: Offer
    tracked: TrackedRange
    unchanged: bool
    attempt: Attempt
    asked: frozenset[str]
    since: float

    @property
    def uri(self) -> str:
        return self.tracked.document.uri

    def offer_now(self, document: DocumentSnapshot) -> Offer | None:
        """The offer for the present version of the document; None if its subject is no longer there. May parse the
        whole document."""
        offer, where = self.offer, (self.tracked.start, self.tracked.end)
        if self.unchanged and document is self.tracked.document:
            return offer
        shift = self.tracked.start - self.tracked.began
        problems = [replace(each, start=each.start + shift, end=each.end + shift) for each in offer.subject.problems]
        found = offer_at(document, *where, offer.action, offer.instruction, problems)
        return found if found is not None and (found.subject.start, found.subject.end) == where else None


@dataclass(frozen=True, slots=True)
class Again:
    """The name of the place to ask, and the action that other places have answered. is_named: whether the user has seen
    the name of the place. Asking again is then consent to this place."""

    place: str
    answered: Answered
    is_named: bool = True


class _Arguments(msgspec.Struct):
    """The argument of the command `fimble.askAgain`. number: 0 means the last answer. place: empty means the first
    place that may be asked."""

    number: int = 0
    place: str = ""


class AskingAgain:
    """Remembers answered actions, and offers to ask other places. allowed: the names of the places that may be asked,
    the best first; only the user's own file sets them. start: called to ask a place; `ended` must follow. warn: shows a
    message."""

    def __init__(
        self,
        session: Session,
        start: Callable[[Again], None],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._start, self._warn, self._clock = session, start, warn, clock
        self.allowed: tuple[str, ...] = ()
        self._kept: deque[Answered] = deque(maxlen=_MOST_KEPT)
        self._numbers = count(1)
        self._running: set[tuple[int, str]] = set()  # the answers and places that are being asked about

    def document_changed(self, document: DocumentSnapshot) -> None:
        for number, each in enumerate(self._kept):
            if each.uri == document.uri:
                each.tracked.follow(document)
                self._kept[number] = replace(each, unchanged=False)

    def document_closed(self, uri: str) -> None:
        self._kept = deque((each for each in self._kept if each.uri != uri), maxlen=_MOST_KEPT)

    def delivered(
        self, document: DocumentSnapshot, offer: Offer, attempt: Attempt, said: str, by: Again | None
    ) -> None:
        """Remembers an answer that was delivered, unless its edit was applied. said: the result of the delivery, in
        words."""
        applied = said.startswith("edited") or (offer.action.result is Result.NEW_FILE and said.startswith("created"))
        if not applied:
            self.note(document, offer, attempt, by)

    def note(self, document: DocumentSnapshot, offer: Offer, attempt: Attempt, by: Again | None) -> None:
        """Remembers an answer. by: the place that was asked by name, if one was. If that place could not answer, the
        earlier answer stays remembered."""
        if by is not None and not attempt.answer:
            return
        tracked = TrackedRange(document, offer.subject.start, offer.subject.end)
        current = self._session.documents.get(document.uri)
        if current is None:
            return
        tracked.follow(current)
        asked = frozenset({attempt.place}) | (by.answered.asked if by is not None else frozenset())
        new = Answered(next(self._numbers), offer, tracked, current is document, attempt, asked, self._clock())
        kept = [each for each in self._kept if _key(each) != _key(new)]
        self._kept = deque([*kept, new], maxlen=_MOST_KEPT)

    def _known(self) -> list[Answered]:
        """The answers that are not too old and whose subject is unchanged, the latest first. Leaves out answers about a
        document that was closed and opened again, because its text may be different."""
        now, get = self._clock(), self._session.documents.get
        fresh = [each for each in self._kept if not each.tracked.lost and now - each.since < _KEPT_SECONDS]
        return [each for each in fresh[::-1] if get(each.uri) is each.tracked.document]

    def _places(self, answered: Answered) -> list[str]:
        return [name for name in self.allowed if name not in answered.asked][:_MOST_PLACES]

    # Offers ---------------------------------------------------------------------------------------------

    def offered(
        self, document: DocumentSnapshot, found: Iterable[Offer], kinds: Sequence[str] | None
    ) -> list[tuple[str, Action, types.Command]]:
        """The offers to ask again about the subjects of `found`: the title, the action and the command of each. kinds:
        the kinds of actions that the client wants; None means all."""
        about = {(offer.subject.start, offer.subject.end, offer.subject.target) for offer in found}
        answer = []
        for each in self._known():
            where = (each.tracked.start, each.tracked.end, each.offer.subject.target)
            if each.tracked.document is document and where in about and is_wanted(each.offer.action.kind, kinds):
                for place in self._places(each):
                    title = escaped(f"fimble: Ask {place} again: {each.offer.title}")
                    arguments = msgspec.to_builtins(_Arguments(each.number, place))
                    answer.append((title, each.offer.action, types.Command(title, ASK_AGAIN, arguments=[arguments])))
        return answer

    def execute(self, arguments: Sequence[Any]) -> None:
        """Runs the command. Raises ValidationError for an invalid argument."""
        given = msgspec.convert(arguments[0], _Arguments) if arguments and arguments[0] is not None else _Arguments()
        known = [each for each in self._known() if given.number in (0, each.number)]
        if not known:
            self._warn("that answer is not known any more; ask for the action again")
            return
        places = self._places(known[0])
        place = given.place or next(iter(places), "")
        if (known[0].number, place) in self._running:
            self._warn(f"`{place}` is being asked about it already")
        elif place in places:
            self._running.add((known[0].number, place))
            self._start(Again(place, known[0], is_named=bool(given.place)))
        else:
            what = f"`{place}` may not be asked about it" if place else "no endpoint may be asked about it"
            self._warn(f"{what}: see `ask_again` in docs/endpoints.md")

    def ended(self, again: Again) -> None:
        """Must be called when the place has answered, or when it was not asked after all."""
        self._running.discard((again.answered.number, again.place))

    # Messages -------------------------------------------------------------------------------------------

    def tell(self, message: str, attempt: Attempt | None) -> None:
        """Shows why an action failed and which places can be asked, with buttons if the client can show them without
        taking the keys that the user types. Does not wait for the user."""
        # Compared by identity, because failures of one place have equal texts.
        about = next((each for each in self._known() if each.attempt is attempt), None)
        places = self._places(about) if about is not None else []
        if about is None or not places:
            self._warn(message)
        elif self._session.client.asks_aside:
            self._session.start_task(self._ask, f"{message}; {_listed(places)} can be asked", about.number, places)
        else:
            self._warn(f"{message}; {_listed(places)} can be asked, with the code action `Ask {places[0]} again`")

    async def _ask(self, message: str, number: int, places: Sequence[str]) -> None:
        buttons = {f"Ask {place}": place for place in places}
        params = types.ShowMessageRequestParams(
            types.MessageType.Warning, f"fimble: {message}", [types.MessageActionItem(title) for title in buttons]
        )
        answer = await self._session.window_show_message_request_async(params)
        if answer is not None and answer.title in buttons:
            self.execute([{"number": number, "place": buttons[answer.title]}])


def _key(answered: Answered) -> tuple[str, str, int, int]:
    return answered.uri, answered.offer.action.id, answered.tracked.start, answered.tracked.end


def _listed(places: Sequence[str]) -> str:
    return " or ".join(f"`{place}`" for place in places)
