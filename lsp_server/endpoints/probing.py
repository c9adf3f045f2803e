"""Asks a server whether it runs, which model it serves, and which prompt format that model needs."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import anyio

from lsp_server.backends.base import ModelInfo
from lsp_server.core.fim_formats import (
    MARKERS,
    PREFIX_ONLY,
    FimFormat,
    Slot,
    detect_format,
    find_format,
    format_by_name,
)
from lsp_server.core.next_edits.by_model.formats import EDIT_FORMATS, NAMES, edit_format_by_name, find_edit_format
from lsp_server.endpoints.dialects import DIALECTS
from lsp_server.endpoints.http import EndpointError, busy_error, printable, url_of, why_refused
from lsp_server.endpoints.rendering import MESSAGES_TEMPLATE
from lsp_server.engine.endpoint import Endpoint
from lsp_server.engine.request import Role

if TYPE_CHECKING:
    import httpx2

# For calls with a separate prefix and suffix. The markers only separate the parts.
_PARTS = FimFormat(
    "prefix-suffix", ("<prefix>", Slot.CONTEXT, Slot.BEFORE, "<suffix>", Slot.AFTER, "<middle>", Slot.TYPED)
)
_MOST_NAMED = 5
_MOST_ANSWER, _LONGEST_NAME, _SECONDS = 4 << 20, 200, 20.0


async def probe(client: httpx2.AsyncClient, name: str, endpoint: Endpoint, role: Role = "completion") -> ModelInfo:
    """What is known of a server's model. `path` is the model's name on the server. role: its purpose; only completions
    need a FIM format. Raises EndpointError, and the HTTP client's errors."""
    if endpoint.edit_format and find_edit_format(endpoint.edit_format) is None:
        raise EndpointError(f"has an `edit_format` that there is not; there are {', '.join(NAMES)}")
    if role == "edit" and endpoint.is_chat and endpoint.edit_format:
        form_of_edits = find_edit_format(endpoint.edit_format)
        if form_of_edits is not None and not form_of_edits.is_chat:
            takes = ", ".join(each.name for each in EDIT_FORMATS if each.is_chat)
            raise EndpointError(
                f"takes chat messages, in which `{endpoint.edit_format}` cannot be asked; set its `edit_format` to one "
                f"of {takes}, or `kind` to one that takes a prompt as text"
            )
    dialect = DIALECTS[endpoint.kind]
    found = await _get(client, endpoint, dialect.alive)
    window, template = endpoint.window, ""
    form: FimFormat | None
    if endpoint.kind == "llama-server":
        model = _name(str(found.get("model_alias") or found.get("model_path") or "").rpartition("/")[2])
        settings = found.get("default_generation_settings")
        held = settings.get("n_ctx") if isinstance(settings, dict) else None
        window = min(window, held) if isinstance(held, int) and held > 0 else window
        template = str(found.get("chat_template") or "")
        form = find_format(endpoint.fim_format) or await _by_tokens(client, endpoint, model)
    else:
        if dialect.models:
            found = await _get(client, endpoint, dialect.models)
        model = _chosen(endpoint.model, _models(found))
        form = find_format(endpoint.fim_format) or (format_by_name(model) if dialect.markers else _PARTS)
        template = MESSAGES_TEMPLATE if endpoint.is_chat else ""
    if role == "edit":
        form = form or PREFIX_ONLY
    elif form is None or (dialect.markers and not form.has_fim):
        raise EndpointError(f"serves {model}, whose FIM format is not known; set `fim_format`")
    return ModelInfo(
        name=f"{model or 'the model'} at {name}",
        path=model,
        architecture="",
        parameters=0,
        bytes=0,
        vocabulary=0,
        context_tokens=window,
        sequences=1,
        chunk_tokens=window,
        format=form,
        device=endpoint.host,
        chat_template=template,
        edit_format=endpoint.edit_format or _edit_format(endpoint, model),
        specials=(*form.markers, *form.stops) if dialect.markers else (),
        place=name,
    )


def _edit_format(endpoint: Endpoint, model: str) -> str:
    """The name of the format for next edits, from the endpoint's kind and the model's name; empty if they do not
    tell."""
    if endpoint.is_for_edits:
        return "mercury"
    if not endpoint.is_chat:
        return ""
    form = edit_format_by_name(model, follows_instructions=True)
    return form.name if form is not None and form.is_chat else "instruct"


async def _get(client: httpx2.AsyncClient, endpoint: Endpoint, path: str) -> dict[str, Any]:
    status, body, retry_after = await _answered(client, "GET", url_of(endpoint, path))
    if refusal := why_refused(status):
        raise EndpointError(refusal)
    if busy := busy_error(status, retry_after):
        raise busy
    if status == 404 and path.endswith("/models") and endpoint.model:
        return {}  # not every server lists its models
    if status != 200:
        raise EndpointError(f"answers {path} with {status}; see `url` and `kind`")
    found = _parsed(body)
    if not isinstance(found, dict):
        raise EndpointError(f"answers {path} with something else than JSON; see `url` and `kind`")
    return found


async def _answered(client: httpx2.AsyncClient, method: str, url: str, body: Any = None) -> tuple[int, bytes, str]:
    """An answer: its status, its body of at most `_MOST_ANSWER` bytes, and its `Retry-After`. Raises EndpointError."""
    with anyio.move_on_after(_SECONDS):
        async with client.stream(method, url, json=body) as response:
            found = bytearray()
            async for chunk in response.aiter_bytes():
                found += chunk
                if len(found) > _MOST_ANSWER:
                    raise EndpointError("answers with more than a server says of itself; see `url` and `kind`")
            return response.status_code, bytes(found), response.headers.get("retry-after", "")
    raise EndpointError(f"does not say within {_SECONDS:.0f} s what it is")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _models(found: dict[str, Any]) -> list[str]:
    """The names in a list of models, as OpenAI or Ollama send it."""
    entries = found.get("data") or found.get("models") or []
    given = entries if isinstance(entries, list) else []
    names = [entry.get("id") or entry.get("name") for entry in given if isinstance(entry, dict)]
    return [_name(name) for name in names if name]


def _name(given: Any) -> str:
    return printable(str(given)[:_LONGEST_NAME])


def _chosen(wanted: str, names: list[str]) -> str:
    """The name of the model to use. Raises EndpointError."""
    known = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    if wanted:
        if names and wanted not in names and f"{wanted}:latest" not in names:
            raise EndpointError(f"has no model {wanted}; it has {known}")
        return wanted
    if len(names) != 1:
        what = f"has several models; set `model` to one of {known}" if names else "names no model; set `model`"
        raise EndpointError(what)
    return names[0]


async def _by_tokens(client: httpx2.AsyncClient, endpoint: Endpoint, model: str) -> FimFormat:
    """The prompt format for a llama-server's model, from the special tokens of its vocabulary."""
    spellings = sorted(MARKERS)
    answers = await asyncio.gather(*(_is_one(client, endpoint, spelling) for spelling in spellings))
    known = {spelling for spelling, is_one in zip(spellings, answers, strict=True) if is_one}
    return detect_format(known.__contains__, model)


async def _is_one(client: httpx2.AsyncClient, endpoint: Endpoint, spelling: str) -> bool:
    body = {"content": spelling, "add_special": False, "parse_special": True}
    status, answer, _ = await _answered(client, "POST", url_of(endpoint, "/tokenize"), body)
    found = _parsed(answer)
    tokens = found.get("tokens") if status == 200 and isinstance(found, dict) else None
    return isinstance(tokens, list) and len(tokens) == 1
