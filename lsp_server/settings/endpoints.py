"""The settings `endpoints` and `routing`: the servers with models, and which of them answers which requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lsp_server.engine.endpoint import LOCAL, Endpoint, Routing, problem_of

_MOST_ENDPOINTS = 32


def endpoints_of(given: Mapping[str, Any]) -> tuple[dict[str, Endpoint], list[str]]:
    """The endpoints in a table, and the errors of those that are ignored, a line each."""
    found: dict[str, Endpoint] = {}
    problems: list[str] = []
    for name, values in list(given.items())[:_MOST_ENDPOINTS]:
        try:
            endpoint = msgspec.convert(values, Endpoint)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$.")
            place = f"`{where[:-1]}`: " if where else ""
            problems.append(f"endpoint `{name}`: {place}{what[:1].lower()}{what[1:]}")
            continue
        problem = problem_of(name, endpoint)
        if problem:
            problems.append(problem)
        else:
            found[name] = endpoint
    if len(given) > _MOST_ENDPOINTS:
        problems.append(f"{len(given)} endpoints are more than there can be; the first {_MOST_ENDPOINTS} count")
    return found, problems


def routing_of(given: Mapping[str, Any]) -> tuple[Routing, list[str]]:
    """The places for each kind of request, and the errors of the table."""
    try:
        return msgspec.convert(given, Routing), []
    except msgspec.ValidationError as error:
        what = str(error).split(" - at")[0]
        takes = "it takes `completion`, `actions` and `edits`, each a list of names"
        return Routing(), [f"setting `routing`: {what[:1].lower()}{what[1:]}; {takes}"]


def places_asked_again(endpoints: Mapping[str, Endpoint], own_routing: Any) -> tuple[str, ...]:
    """The places that may be asked again about a code action, the best first: those of `routing.actions` in the user's
    own file, and the endpoints with `ask_again`. A workspace's routing does not count. own_routing: the value in the
    user's own file; None if there is none."""
    named = [name for name, endpoint in endpoints.items() if endpoint.ask_again]
    if isinstance(own_routing, Mapping) and "actions" in own_routing:
        named = [*routing_of(own_routing)[0].actions, *named]
    known = [name for name in named if name == LOCAL or (name in endpoints and not endpoints[name].is_for_edits)]
    return tuple(dict.fromkeys(known))


def unknown_places(routing: Routing, endpoints: Mapping[str, Endpoint]) -> Iterator[str]:
    """The errors in the names of a routing, a line each."""
    known = ", ".join(f"`{name}`" for name in (LOCAL, *endpoints))
    for job, names in (("completion", routing.completion), ("actions", routing.actions), ("edits", routing.edits)):
        for name in names:
            if name != LOCAL and name not in endpoints:
                yield f"setting `routing`: {job} names {name!r}, which is no endpoint; there are {known}"
            elif job == "completion" and name != LOCAL and endpoints[name].is_chat:
                yield f"setting `routing`: {name} takes chat messages, and completes no code; use it for `actions`"
            elif job == "actions" and name != LOCAL and endpoints[name].is_for_edits:
                yield f"setting `routing`: {name} answers next edits alone; use it for `edits`"
