"""Asks a server what it is: whether it is there, which model it has, and which format of prompts that one wants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lsp_server.backends.base import ModelInfo
from lsp_server.core.formats import MARKERS, FimFormat, Slot, detect_format, find_format, format_by_name
from lsp_server.engine.endpoint import Endpoint
from lsp_server.remote.dialects import DIALECTS
from lsp_server.remote.rendering import MESSAGES_TEMPLATE

if TYPE_CHECKING:
    import httpx2

# For calls that take prefix and suffix apart, the markers only tell the parts.
_PARTS = FimFormat(
    "prefix-suffix", ("<prefix>", Slot.CONTEXT, Slot.BEFORE, "<suffix>", Slot.AFTER, "<middle>", Slot.TYPED)
)
_MOST_NAMED = 5
_MOST_ANSWER = 4 << 20


class ProbeError(Exception):
    """A server that cannot be used as it is set. The message is one line that follows the server's name."""


async def probe(client: httpx2.AsyncClient, name: str, endpoint: Endpoint) -> ModelInfo:
    """What a server's model is, as far as it tells. `path` is the model's name there. Raises ProbeError, and what the
    client raises."""
    dialect = DIALECTS[endpoint.kind]
    found = await _get(client, endpoint, dialect.alive)
    window, template = endpoint.window, ""
    form: FimFormat | None
    if endpoint.kind == "llama-server":
        model = str(found.get("model_alias") or found.get("model_path") or "").rpartition("/")[2]
        held = (found.get("default_generation_settings") or {}).get("n_ctx")
        window = min(window, held) if isinstance(held, int) and held > 0 else window
        template = str(found.get("chat_template") or "")
        form = find_format(endpoint.fim_format) or await _by_tokens(client, endpoint, model)
    else:
        if endpoint.kind == "ollama":
            found = await _get(client, endpoint, "/api/tags")
        model = _chosen(endpoint.model, _models(found))
        form = find_format(endpoint.fim_format) or (format_by_name(model) if dialect.markers else _PARTS)
        template = MESSAGES_TEMPLATE if endpoint.is_chat else ""
    if form is None or (dialect.markers and not form.has_fim):
        raise ProbeError(f"serves {model}, whose FIM format is not known; set `fim_format`")
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
        specials=(*form.markers, *form.stops) if dialect.markers else (),
    )


async def _get(client: httpx2.AsyncClient, endpoint: Endpoint, path: str) -> dict[str, Any]:
    response = await client.get(f"{endpoint.url.rstrip('/')}{path}")
    status = response.status_code
    if status in (401, 403):
        raise ProbeError(f"refuses the key ({status}); see `api_key_env`")
    if 300 <= status < 400:
        raise ProbeError(f"sends us elsewhere ({status}), where we do not go; correct `url`")
    if status == 404 and path.endswith("/models") and endpoint.model:
        return {}  # not every server lists its models
    if status != 200:
        raise ProbeError(f"answers {path} with {status}; see `url` and `kind`")
    try:
        found = response.json() if len(response.content) <= _MOST_ANSWER else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProbeError(f"answers {path} with something else than JSON; see `url` and `kind`")
    return found


def _models(found: dict[str, Any]) -> list[str]:
    """The names of the models in a list of OpenAI's kind, or of Ollama's."""
    entries = found.get("data") or found.get("models") or []
    names = [entry.get("id") or entry.get("name") for entry in entries if isinstance(entry, dict)]
    return [str(name) for name in names if name]


def _chosen(wanted: str, names: list[str]) -> str:
    """The model to ask for. Raises ProbeError."""
    known = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    if wanted:
        if names and wanted not in names and f"{wanted}:latest" not in names:
            raise ProbeError(f"has no model {wanted}; it has {known}")
        return wanted
    if len(names) != 1:
        what = f"has several models; set `model` to one of {known}" if names else "names no model; set `model`"
        raise ProbeError(what)
    return names[0]


async def _by_tokens(client: httpx2.AsyncClient, endpoint: Endpoint, model: str) -> FimFormat:
    """The format that a llama-server's model wants, by the special tokens of its vocabulary."""
    spellings = sorted(MARKERS)
    answers = await asyncio.gather(*(_is_one(client, endpoint, spelling) for spelling in spellings))
    known = {spelling for spelling, is_one in zip(spellings, answers, strict=True) if is_one}
    return detect_format(known.__contains__, model)


async def _is_one(client: httpx2.AsyncClient, endpoint: Endpoint, spelling: str) -> bool:
    body = {"content": spelling, "add_special": False, "parse_special": True}
    response = await client.post(f"{endpoint.url.rstrip('/')}/tokenize", json=body)
    if response.status_code != 200:
        return False
    return len(response.json().get("tokens") or []) == 1
