"""Asks the user whether text of this workspace may be sent to an endpoint on another machine, and waits for that.

Until the user has said yes, the endpoint is not among the places that the engine knows, so nothing at all is sent to
it. A prompt may show parts of other files, so each folder of the workspace must be allowed, and one document of a
folder that is forbidden is enough to forbid it for the whole server.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import anyio
import anyio.to_thread
from lsprotocol import types

from lsp_server.core.hidden_characters import escaped
from lsp_server.engine.api import LOCAL, Endpoint
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.settings import consent as kept
from lsp_server.settings.consent import NO_FOLDER, Decision

if TYPE_CHECKING:
    from lsp_server.lsp.asking_again import Again
    from lsp_server.lsp.session import Session

ALLOW, ALLOW_NOW, NOT_NOW, NEVER = "Allow for this workspace", "Allow until the editor ends", "Not now", "Never here"
# How long an action waits for the user's answer.
_WAIT_SECONDS = 60.0

Standing = Literal["unread", "allowed", "asking", "not asked", "not now", "never"]
_Pair = tuple[str, str]


class Consent:
    """The consent of one client's user. changed: called when it may have changed which endpoints are allowed.
    chat_state: the state of a place's model for actions. wait_seconds: how long an action waits."""

    def __init__(
        self,
        session: Session,
        changed: Callable[[], None],
        chat_state: Callable[[str], str] = lambda place: "ready",
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        self._session, self._told_of_change = session, changed
        self._chat_state, self._wait_seconds = chat_state, wait_seconds
        self._elsewhere: dict[str, Endpoint] = {}
        self._automatic: tuple[str, ...] = ()  # the places of completions and next edits
        self._acting: tuple[str, ...] = ()  # the places of actions
        self._keys: dict[Path, str] = {}
        self._decisions: dict[tuple[str, str, str], bool] | None = None  # None until they are read
        self._for_now: dict[tuple[str, str, str], bool] = {}  # answers that count until this server ends
        self._asked: set[tuple[tuple[str, ...], _Pair]] = set()
        self._asking: tuple[tuple[str, ...], _Pair] | None = None
        # The refusals for folders in which a document is or was open.
        self._barred: set[tuple[str, str, str]] = set()
        self._reading = False
        self._read_again = False
        self._kept = 0  # how many answers were written
        self._news = anyio.Event()
        self._shown_messages: set[str] = set()

    # What is allowed ------------------------------------------------------------------------------------

    def follow(self, elsewhere: Mapping[str, Endpoint], automatic: Sequence[str], acting: Sequence[str]) -> None:
        """Sets the endpoints on other machines that may be used, and the names of the places for completions and next
        edits, and for actions. Call `read_decisions` afterwards."""
        self._elsewhere = dict(elsewhere)
        self._automatic, self._acting = tuple(dict.fromkeys(automatic)), tuple(acting)

    def allowed(self, name: str) -> bool:
        """Whether text may be sent to a place without further question."""
        return name not in self._elsewhere or self.standing(name) == "allowed"

    def forbidden(self, name: str) -> bool:
        """Whether the user has forbidden to send this text to a place. True also until the decisions are read."""
        return name in self._elsewhere and self.standing(name) in ("never", "unread")

    def standing(self, name: str) -> Standing:
        pair, roots = self._pair(name), self._session.roots
        if self._decisions is None or any(root not in self._keys for root in roots):
            return "unread"
        known = {**self._decisions, **self._for_now}
        keys = self._folders()
        denied = [folder for (folder, *about), may in known.items() if tuple(about) == pair and not may]
        around = any(kept.is_in(key, folder) or kept.is_in(folder, key) for key in keys for folder in denied)
        if around or any((folder, *pair) in self._barred for folder in denied):
            return "never"
        if all(known.get((key, *pair)) for key in keys):
            return "allowed"
        if self._asking == (keys, pair):
            return "asking"
        return "not now" if (keys, pair) in self._asked else "not asked"

    def _pair(self, name: str) -> _Pair:
        return name, self._elsewhere[name].url

    def _folders(self) -> tuple[str, ...]:
        """The keys of the workspace's folders."""
        return tuple(sorted({self._keys[root] for root in self._session.roots})) or (NO_FOLDER,)

    def opening(self, uri: str) -> None:
        """Must be called before a document is opened."""
        if not self._elsewhere:
            return
        before = len(self._barred)
        self._note(uri)
        if len(self._barred) != before:
            self._changed()
        self.read_decisions()

    # Reading --------------------------------------------------------------------------------------------

    def read_decisions(self) -> None:
        """Starts to read the decisions, which other processes may have changed. Then asks the next question."""
        if not self._elsewhere:
            return
        self._read_again = True
        if not self._reading:
            self._reading = True
            self._session.start_task(self._follow_decisions)

    async def _follow_decisions(self) -> None:
        try:
            while self._read_again:
                self._read_again = False
                await self._read()
        finally:
            self._reading = False
        self._ask_next()

    async def _read(self) -> None:
        roots, kept_before = list(self._session.roots), self._kept
        found, keys = await anyio.to_thread.run_sync(partial(_look, roots), abandon_on_cancel=True)
        if kept_before != self._kept:  # it may have been read before the last answer was written
            self._read_again = True
            return
        decisions = {each.about: each.allowed for each in found}
        before = self._decisions, self._keys
        self._decisions, self._keys = decisions, keys
        for uri in {*self._session.documents.snapshots(), *(each.uri for each in self._session.documents.recent())}:
            self._note(uri)  # of a refusal that has come meanwhile
        if before != (decisions, keys):
            self._changed()
        self._show_messages()

    def _note(self, uri: str) -> None:
        """Adds the refusals of the folders that a document lies in to `_barred`."""
        denied = [about for about, may in (self._decisions or {}).items() if not may and about[0] != NO_FOLDER]
        paths = _paths(uri) if denied else ()
        self._barred |= {about for about in denied if any(kept.is_in(way, about[0]) for way in paths)}

    def place_changed(self) -> None:
        """Must be called when the state of a place has changed."""
        self._news.set()
        self._news = anyio.Event()

    def _changed(self) -> None:
        self.place_changed()
        self._told_of_change()

    # The question ---------------------------------------------------------------------------------------

    def _ask_next(self, also: Sequence[str] = ()) -> None:
        """Asks about the next place; one question at a time. also: the places that an action needs. An unexpected
        question must not take the keyboard, because the user's keys could answer it."""
        client = self._session.client
        if self._asking is not None or not client.asks:
            return
        automatic = self._automatic if client.asks_aside and len(self._session.documents) else ()
        for name in (*also, *automatic):
            if name in self._elsewhere and self.standing(name) == "not asked":
                self._asking = self._folders(), self._pair(name)
                self._asked.add(self._asking)
                self._session.start_task(self._ask, *self._asking)
                self._changed()
                return

    async def _ask(self, folders: tuple[str, ...], pair: _Pair) -> None:
        """Asks about a place, and stores the answer. folders: those that the question is about; the workspace may have
        others when the answer comes."""
        try:
            answer = await self._answer(folders, pair)
            if answer == ALLOW_NOW:
                self._for_now |= {(folder, *pair): True for folder in folders}
            elif answer in (ALLOW, NEVER):
                await self._keep(folders, pair, allowed=answer == ALLOW)
        finally:
            self._asking = None
        self._changed()
        self.read_decisions()

    async def _answer(self, folders: tuple[str, ...], pair: _Pair) -> str:
        """The title of the button that was pressed; empty if none was."""
        name, url = pair
        whose = " and ".join(folders) if folders != (NO_FOLDER,) else "files that are opened without a folder"
        buttons = (ALLOW, NOT_NOW, NEVER) if folders != (NO_FOLDER,) else (ALLOW_NOW, NOT_NOW)
        message = (
            f"fimble: May code of {whose} be sent to the endpoint `{name}` ({url})? It is on another machine, and gets "
            "parts of the files that you edit and have open. Until you answer nothing is sent to it."
        )
        items = [types.MessageActionItem(title) for title in buttons]
        params = types.ShowMessageRequestParams(types.MessageType.Warning, escaped(message), items)
        try:
            answer = await self._session.window_show_message_request_async(params)
        except Exception:  # a client may answer with an error, which is no consent
            return ""
        return answer.title if answer is not None and answer.title in buttons else ""

    async def _keep(self, folders: tuple[str, ...], pair: _Pair, *, allowed: bool) -> None:
        try:
            for about in [(folder, *pair) for folder in folders]:
                if (self._decisions or {}).get(about) is not True or not allowed:
                    keep = partial(kept.remember, *about, allowed=allowed)
                    await anyio.to_thread.run_sync(keep, abandon_on_cancel=True)
                    self._kept += 1
                    self._decisions = {**(self._decisions or {}), about: allowed}
        except OSError as error:
            self._for_now |= {(folder, *pair): allowed for folder in folders}
            why = f"{kept.decisions_path()} cannot be written: {error.strerror}"
            what = f"{why}; your answer counts until the editor ends"
            self._session.show_once(types.MessageType.Warning, what)

    # Actions --------------------------------------------------------------------------------------------

    async def before_action(self, again: Again | None, report: Callable[[str], None]) -> None:
        """Waits for the consent that an action needs. again: the place that the user wants to ask again. If the user
        has seen its name, that is consent to this one request, and it is not stored. Raises ActionFailedError if
        nothing may be sent."""
        if again is None:
            await self._for_action(report)
        elif not again.is_named and again.place in self._elsewhere:
            await self._wait([again.place], report)
            if not self.allowed(again.place):
                raise ActionFailedError(self._text(again.place))

    async def _for_action(self, report: Callable[[str], None]) -> None:
        """Asks about the places that come before the local model, and waits for the answer, for a
        minute at most. Raises ActionFailedError if there is no answer and the local model may not answer instead."""
        has_local = LOCAL in self._acting and self._chat_state(LOCAL) != "failed"
        before = self._acting[: self._acting.index(LOCAL)] if has_local else self._acting
        waits = await self._wait([name for name in before if name in self._elsewhere], report)
        if waits and LOCAL not in self._acting:
            raise ActionFailedError(f"the action waited for your answer: may `{waits}` be sent code of this workspace?")

    async def _wait(self, names: Sequence[str], report: Callable[[str], None]) -> str:
        """Asks about the places that have no answer. Returns the name of one that has still none, empty if none."""
        if not names:
            return ""
        with anyio.move_on_after(self._wait_seconds):
            self.read_decisions()
            while open_one := self._open(names):
                news = self._news
                self._ask_next(names)
                if self.standing(open_one) in ("asking", "not asked"):
                    report(f"waiting for your answer: may `{open_one}` be sent code of this workspace?")
                await news.wait()
            # Else the local model would answer, if it is loaded before an endpoint that was just allowed is reached.
            while any(self.allowed(name) and self._chat_state(name) == "loading" for name in names):
                await self._news.wait()
        return self._open(names)

    def _open(self, names: Sequence[str]) -> str:
        """The first place without an answer that can still come."""
        can_come = ("unread", "asking", *(("not asked",) if self._session.client.asks else ()))
        return next((name for name in names if self.standing(name) in can_come), "")

    # For the user ---------------------------------------------------------------------------------------

    @property
    def question(self) -> str:
        """The question that waits for the user's answer, in words; empty if there is none."""
        return "" if self._asking is None else f"may `{self._asking[1][0]}` be sent code? waiting for your answer"

    def summary(self) -> list[dict[str, Any]]:
        """For `fimble/status`: the endpoints on other machines that are in use, each with the user's decision."""
        used = [*self._automatic, *self._acting]
        return [
            {"endpoint": name, "consent": self.standing(name), "text": self._text(name)}
            for name in self._elsewhere
            if name in used
        ]

    def _text(self, name: str) -> str:
        """Whether a place may be sent text, in words without paths."""
        where = " --no-folder" if not self._session.roots else ""
        allow = f"`fimble endpoints allow {name}{where}`" + ("" if where else ", run in its folder,") + " allows it"
        return {
            "unread": f"`{name}` is sent nothing until your decisions have been read",
            "allowed": f"`{name}` may be sent code of this workspace",
            "asking": f"`{name}` is sent nothing until you answer the question in the editor; {allow}, too",
            "not asked": f"`{name}` is sent nothing, for you were not asked yet; {allow}",
            "not now": f"`{name}` is sent nothing, for you have not allowed it; {allow}",
            "never": f"`{name}` is sent nothing, for you have forbidden it in a folder of this workspace or of an open "
            f"file; `fimble endpoints forget {name}` takes that back",
        }[self.standing(name)]

    def _show_messages(self) -> None:
        """Shows messages instead of questions, for a client that shows no questions, or whose questions take the
        keyboard."""
        client = self._session.client
        for name in self._automatic if not client.asks_aside else ():
            if name in self._elsewhere and self.standing(name) == "not asked" and name not in self._shown_messages:
                self._shown_messages.add(name)
                tell = self._session.show_once if client.asks else self._session.log
                tell(types.MessageType.Warning, self._text(name))


def _look(roots: Sequence[Path]) -> tuple[list[Decision], dict[Path, str]]:
    return kept.decisions(), {root: kept.key_of(root) for root in roots}


def _paths(uri: str) -> tuple[str, ...]:
    """The path of a document, as it is written and with its symbolic links followed. Reads the disk."""
    try:
        given = unquote(urlsplit(uri).path)
    except ValueError:
        return ()
    if "/" not in given:
        return ()  # it was never saved
    path = given[given.index("/") :]  # `jar:file:///…` has a scheme in front of it
    path = path[1:] if path[2:3] == ":" else f"/{path.lstrip('/')}"
    spelt = os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - takes `..` by name, too
    return spelt, kept.key_of(Path(path))
