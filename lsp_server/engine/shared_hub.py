"""Connects one core with several servers: it routes each event to the server of its request, and shares the models.

Each server is a client. The hub gives each request a new id, so that no event reaches another client. A role has one
model. A client that asks for the same model shares it; a client that asks for another model while it is in use is
refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from lsp_server.backends.base import ModelSpec
from lsp_server.engine.request import (
    ROLES,
    CacheUse,
    Cancel,
    Event,
    Finished,
    FinishReason,
    Generate,
    Keep,
    Load,
    Message,
    ModelFailed,
    ModelIdle,
    ModelLoading,
    ModelReady,
    Role,
    Usage,
    Working,
)

# How many requests of one client may run at the same time; a core holds 64 of all clients.
_MOST_REQUESTS = 32
_TAKEN = "the shared engine has another {} model for another window; use the same, or set `engine` to `process`"


class Core(Protocol):
    """The core that gets the messages of all clients."""

    def send(self, message: Message) -> None: ...


@dataclass(eq=False)
class Client:
    """One server. post: sends it an event, and does not block. ids: maps the hub's id of each running request to the
    client's id."""

    post: Callable[[Event], None]
    ids: dict[int, int] = field(default_factory=dict)
    loads: dict[Role, int] = field(default_factory=dict)
    keep: Keep | None = None


@dataclass
class _Model:
    """The model of a role. told: the last event about it. users: the clients that have asked for it."""

    spec: ModelSpec
    number: int
    told: ModelLoading | ModelReady | ModelFailed | ModelIdle | None = None
    users: set[Client] = field(default_factory=set)


class Hub:
    """Sits between a core and its clients. One lock guards all state: messages come on the clients' threads, events on
    the core's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._core: Core | None = None
        self._clients: set[Client] = set()
        self._owners: dict[int, Client] = {}
        self._models: dict[Role, _Model] = {}
        self._next_id = self._next_load = 0

    def serve(self, core: Core) -> None:
        """Sets the core that gets all messages."""
        self._core = core

    def join(self, post: Callable[[Event], None]) -> Client:
        client = Client(post)
        with self._lock:
            self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Removes a client and cancels all its running requests."""
        with self._lock:
            self._clients.discard(client)
            for model in self._models.values():
                model.users.discard(client)
            for id in list(client.ids):
                self._owners.pop(id, None)
                self._send(Cancel(id))
            client.ids.clear()
            self._keep()

    def take(self, client: Client, message: Message) -> None:
        """Handles a message of a client."""
        with self._lock:
            if isinstance(message, Generate):
                self._generate(client, message)
            elif isinstance(message, Cancel):
                ours = next((ours for ours, theirs in client.ids.items() if theirs == message.id), None)
                if ours is not None:
                    self._send(replace(message, id=ours))
            elif isinstance(message, Load):
                self._load(client, message)
            elif isinstance(message, Keep):
                client.keep = message
                self._keep()

    def post(self, event: Event) -> None:
        """Sends an event of the core to the clients that it concerns. Called on the core's thread and on loader
        threads."""
        with self._lock:
            if isinstance(event, Working | CacheUse):
                for client in self._clients:
                    client.post(event)
            elif isinstance(event, ModelLoading | ModelReady | ModelFailed | ModelIdle):
                self._model_event(event)
            elif (owner := self._owners.get(event.id)) is not None:
                theirs = owner.ids[event.id]
                if isinstance(event, Finished):
                    del self._owners[event.id], owner.ids[event.id]
                owner.post(replace(event, id=theirs))

    def _generate(self, client: Client, request: Generate) -> None:
        model = self._models.get(request.role)
        problem = ""
        if len(client.ids) >= _MOST_REQUESTS:
            problem = f"more than {_MOST_REQUESTS} requests of one server are under way"
        elif model is None or client not in model.users:
            problem = "no model is loaded"
        if problem:
            client.post(Finished(request.id, "", FinishReason.REJECTED, Usage(), message=problem))
            return
        self._next_id += 1
        client.ids[self._next_id] = request.id
        self._owners[self._next_id] = client
        self._send(replace(request, id=self._next_id))

    def _load(self, client: Client, load: Load) -> None:
        client.loads[load.role] = load.number
        model = self._models.get(load.role)
        others = model.users - {client} if model is not None else set()
        if model is not None and others and model.spec != load.spec:
            model.users.discard(client)
            client.post(ModelFailed(_TAKEN.format(load.role), load.number, load.role, passing=True))
            return
        if model is not None and model.spec == load.spec and isinstance(model.told, ModelLoading | ModelReady):
            model.users.add(client)
            client.post(replace(model.told, load=load.number))
            return
        self._next_load += 1
        self._models[load.role] = _Model(load.spec, self._next_load, users=others | {client})
        self._send(replace(load, number=self._next_load))

    def _model_event(self, event: ModelLoading | ModelReady | ModelFailed | ModelIdle) -> None:
        model = self._models.get(event.role)
        if model is None or model.number != event.load:
            return
        model.told = event
        for client in model.users:
            client.post(replace(event, load=client.loads[event.role]))

    def _keep(self) -> None:
        """Combines the clients' wishes: a model stays as long as any client wants it, and prompts are kept on the disk
        only if all clients allow it."""
        wishes = [client.keep for client in self._clients if client.keep is not None]
        if not wishes:
            return
        roles = [role for role in ROLES if any(role in wish.seconds for wish in wishes)]
        seconds = {role: [wish.seconds.get(role, 0.0) for wish in wishes] for role in roles}
        longest = {role: 0.0 if 0.0 in each else max(each) for role, each in seconds.items()}
        self._send(Keep(longest, min(wish.prompt_bytes for wish in wishes)))

    def _send(self, message: Message) -> None:
        assert self._core is not None
        self._core.send(message)
