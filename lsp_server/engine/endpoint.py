"""A model that another program serves: its address, its protocol, and what may be sent to it. Set by the user."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

# The protocol of a server. openai: `/v1/completions` with a prompt as text, as vLLM, SGLang, LM Studio, LocalAI,
# KoboldCpp, llamafile and others do. mistral, deepseek: prompt and suffix. chat: `/v1/chat/completions`, for code
# actions and next edits. mercury: `/v1/edit/completions`, for next edits only.
# endpoints/dialects.py has the requests of each.
Kind = Literal["llama-server", "openai", "ollama", "mistral", "deepseek", "chat", "mercury"]

# The name of fimble's own model in lists of places.
LOCAL = "local"

_LOOPBACK = re.compile(r"localhost|.+\.localhost|127(\.\d{1,3}){3}|::1", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server.

    url: its root, without the path of a call.
    model: the name that the server gives it; empty if it serves only one.
    fim_format, edit_format: names from the tables of formats, needed if the model's name does not tell the format.
    window: tokens of a prompt and its answer together.
    api_key_env: the environment variable that holds the key.
    remote: whether text may be sent to another machine.
    late_ms: the server counts as late if it has sent no text after this time.
    concurrency: how many requests may run at the same time.
    ask_again: whether the user is offered to ask it about a code action that another place has answered.
    price_in, price_out: what a million tokens of prompts and of answers cost, in the user's currency.
    daily_limit: after it has cost this much on one day, it is not asked again on that day.
    """

    url: str
    kind: Kind
    model: str = ""
    fim_format: str = ""
    edit_format: str = ""
    window: Annotated[int, Meta(ge=256, le=1_000_000)] = 4096
    api_key_env: str = ""
    headers: dict[str, str] = {}
    remote: bool = False
    late_ms: Annotated[int, Meta(ge=50, le=600_000)] = 2000
    timeout_seconds: Annotated[float, Meta(ge=1, le=3600)] = 60.0
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 4
    ask_again: bool = False
    price_in: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    price_out: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    daily_limit: Annotated[float, Meta(ge=0, le=1e9)] | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether its host name is one of this machine (loopback)."""
        return bool(_LOOPBACK.fullmatch(self.host))

    @property
    def has_price(self) -> bool:
        return self.price_in is not None or self.price_out is not None

    def cost(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """What a request costs; None if no price is set."""
        if not self.has_price:
            return None
        return (prompt_tokens * (self.price_in or 0.0) + answer_tokens * (self.price_out or 0.0)) / 1e6

    @property
    def is_chat(self) -> bool:
        """Whether it takes chat messages."""
        return self.kind in ("chat", "mercury")

    @property
    def is_for_edits(self) -> bool:
        """Whether it can only answer next edits."""
        return self.kind == "mercury"


class Routing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The names of the endpoints for each kind of request; the first that works answers. `local` is the model that
    fimble loads."""

    completion: list[str] = msgspec.field(default_factory=lambda: [LOCAL])
    actions: list[str] = msgspec.field(default_factory=lambda: [LOCAL])
    edits: list[str] = msgspec.field(default_factory=lambda: [LOCAL])


def shown_cost(cost: float, *, estimated: bool = False) -> str:
    """A sum of money as text for the user. A small sum has two significant digits. estimated: whether it is an
    estimate."""
    text = f"{cost:.2f}" if cost >= 1 or not cost else f"{cost:.2g}" if cost >= 1e-4 else f"{cost:.1e}"
    return f"~{text}" if estimated else text


def problem_of(name: str, endpoint: Endpoint) -> str:
    """The error in an endpoint's settings, in one line that says what to do; empty if there is none."""
    where = f"endpoint `{name}`"
    if name == LOCAL:
        return f"{where} has the name of the model that fimble loads itself; choose another name"
    if not _NAME.fullmatch(name):
        return f"{where}: a name has letters, digits, `.`, `_` and `-`"
    try:
        parts = urlsplit(endpoint.url)
        parts.port  # noqa: B018 - raises ValueError
    except ValueError:
        return f"{where}: `url` is no URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"{where}: `url` must begin with http:// or https:// and name a host"
    if parts.username or parts.password or parts.query or parts.fragment:
        return f"{where}: `url` holds more than host, port and path; a key belongs in the variable of `api_key_env`"
    if not endpoint.is_here and not endpoint.remote:
        return f"{where}: {parts.hostname} is another machine; `remote = true` allows that your text is sent there"
    if endpoint.daily_limit is not None and not endpoint.has_price:
        return f"{where}: `daily_limit` needs `price_in` or `price_out`, or nothing is known of what it costs"
    wrong = [key for key, value in endpoint.headers.items() if not _HEADER.fullmatch(key) or not value.isprintable()]
    if wrong:
        return f"{where}: the header {wrong[0]!r} cannot be sent"
    return ""
