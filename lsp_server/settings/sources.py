"""Loads the settings from all sources, merges them, and explains mistakes."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from platformdirs import user_config_path

from lsp_server.features.actions.catalogue import MOST_ACTIONS, ActionError, workspace_action
from lsp_server.settings import models, toml, trust
from lsp_server.settings.denied import DeniedFolders
from lsp_server.settings.endpoints import endpoints_of, places_asked_again, routing_of, unknown_places
from lsp_server.settings.fields import OWN_FILE_ALONE, USERS_ALONE, Settings

FILE_NAME = "fimble.toml"
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Source:
    """Settings from one source. name: its name in messages. users: they are the user's own, and not from a workspace,
    which anybody may have written. own_file: they are from the user's own fimble.toml; the settings of an editor may
    also come from a workspace."""

    name: str
    values: Mapping[str, Any]
    users: bool = True
    own_file: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Settings of a workspace that name model files and are ignored. folder: the folder that the user could trust.
    names: the settings. declined: the user has said not to trust it."""

    folder: Path
    names: tuple[str, ...]
    message: str
    declined: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """settings: those in force. problems: mistakes, a line each. refusals: settings that would count if the user
    trusted the folder. origins: for each setting that is set, its source: a file's path or the source's name.
    asked_again: the places that the user lets be asked again about a code action, the best first."""

    settings: Settings
    problems: list[str]
    refusals: list[Refusal]
    origins: dict[str, str]
    asked_again: tuple[str, ...] = ()


_TYPES = get_type_hints(Settings, include_extras=True)
# The most mistakes reported for one source.
_MOST_PROBLEMS = 20


def _name(key: str) -> str:
    """A setting's name in snake case."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()


def is_setting(key: str) -> bool:
    return _name(key) in _TYPES


def merge(sources: Sequence[Source]) -> tuple[Settings, list[str]]:
    """The settings of all sources, where later sources override earlier ones, and their mistakes.

    A wrong value is ignored, so that one mistake does not affect other settings. Names may be in camel case, as VS Code
    users write them; null means not set.
    """
    chosen: dict[str, Any] = {}
    problems: list[str] = []
    for source in sources:
        unknown = [key for key in source.values if not is_setting(key)]
        wrong = [*(_unknown(key, source) for key in unknown[:_MOST_PROBLEMS]), *_add(chosen, source)]
        more = max(0, len(unknown) - _MOST_PROBLEMS) + max(0, len(wrong) - _MOST_PROBLEMS)
        problems += [*wrong[:_MOST_PROBLEMS], *([f"{more} more mistakes in {source.name}"] if more else [])]
    return Settings(**chosen), [*problems, *_wrong_places(chosen)]


def _wrong_places(chosen: Mapping[str, Any]) -> list[str]:
    """Mistakes in the endpoints and in the routing that names them."""
    if not {"endpoints", "endpoints_denied", "routing"} & chosen.keys():
        return []
    found, wrong = endpoints_of(chosen.get("endpoints", {}))
    routing, problems = routing_of(chosen.get("routing", {}))
    denied = DeniedFolders(chosen.get("endpoints_denied", ())).problems
    return [*wrong, *problems, *denied, *unknown_places(routing, found)][:_MOST_PROBLEMS]


def _add(chosen: dict[str, Any], source: Source) -> Iterator[str]:
    """Adds the settings of one source to those chosen so far, and yields its mistakes."""
    for key, value in source.values.items():
        name, spelt = _name(key), toml.shown(key)
        if name not in _TYPES:
            continue
        if (name in USERS_ALONE and not source.users) or (name in OWN_FILE_ALONE and not source.own_file):
            yield f"setting `{spelt}` in {source.name} does not count there; set it in your own {FILE_NAME}"
        elif name == "offline" and value is False and chosen.get("offline") and not source.own_file:
            yield f"setting `{spelt}` in {source.name} does not count there: a {FILE_NAME} says that it is true"
        elif value is not None:
            try:
                converted = msgspec.convert(value, _TYPES[name])
            except msgspec.ValidationError as error:
                # msgspec's messages have types in back quotes: "Expected `int` >= 256 - at ...".
                what = str(error).split(" - at")[0]
                what = what[:1].lower() + what[1:]
                yield f"setting `{spelt}` in {source.name}: {what}, found {repr(value)[:200]}"
                if name == "endpoints_denied":
                    chosen[name] = ["**"]  # the denied folders are unknown, so every folder is denied
            else:
                if name == "actions" and not source.users:
                    converted = yield from _workspace_actions(converted, chosen.get("actions", {}), source)
                chosen[name] = converted


def _unknown(key: str, source: Source) -> str:
    near = difflib.get_close_matches(_name(key[:_LONGEST_NAME]), _TYPES, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(_TYPES)}"
    return f"unknown setting `{toml.shown(key)}` in {source.name}; {hint}"


def _workspace_actions(
    given: dict[str, Any], users: dict[str, Any], source: Source
) -> Generator[str, None, dict[str, Any]]:
    """The user's actions together with those of a workspace. Yields the mistakes of the workspace's actions."""
    found = dict(users)
    if len(given) > MOST_ACTIONS:
        yield f"{len(given)} actions in {source.name} are more than a menu can have; the first {MOST_ACTIONS} count"
    for id, values in list(given.items())[:MOST_ACTIONS]:
        try:
            if id in users:
                raise ActionError(f"action `{id}` has the name of one of your own")
            found[id] = workspace_action(id, values)
        except ActionError as error:
            yield f"{error}; it is in {source.name}"
    return found


def _read(path: Path, folder: Path | None) -> tuple[Source | None, list[str], Refusal | None]:
    """The settings in a TOML file, the mistakes in it, and the model files that it names without being trusted. folder:
    the workspace's folder; None for the user's own file."""
    values, problem = toml.read(path)
    if values is None:
        return None, [problem] if problem else [], None
    answer = None if folder is None else trust.answer(folder)
    may_be_path = folder is None or answer is True
    problems, files = [], []
    for key in [key for key in values if models.names_models(_name(key))]:
        try:
            values[key] = models.placed(_name(key), values[key], path.parent, may_be_path=may_be_path)
        except models.RefusedError as error:
            del values[key]
            if error.is_file:
                files.append(key)
            else:
                problems.append(f"setting `{key}` in {path}: {error}")
        except (OSError, ValueError, RuntimeError) as error:  # an impossible path
            del values[key]
            problems.append(f"setting `{key}` in {path} cannot be used: {toml.shown(error)}")
    refusal = None
    if folder is not None and files:
        listed = " and ".join(f"`{key}`" for key in files)
        refusal = Refusal(
            folder,
            tuple(files),
            f"{listed} in {path} cannot be used: only your own settings may name a file; name an installed model, "
            f"or trust the folder: `fimble trust {shlex.quote(str(folder))}`",
            answer is False,
        )
    return Source(str(path), values, folder is None, folder is None), problems, refusal


def settings_files(roots: Sequence[Path]) -> list[Path]:
    """The paths of all settings files: the user's file, then one in each root of the workspace."""
    return list(dict.fromkeys([user_config_path("fimble") / FILE_NAME, *(root / FILE_NAME for root in roots)]))


def collect(roots: Sequence[Path], sources: Sequence[Source] = ()) -> Loaded:
    """The settings in force: defaults, the user's file, the workspace's files, then `sources`. Reads files."""
    found: list[Source] = []
    problems: list[str] = []
    refusals: list[Refusal] = []
    for number, path in enumerate(settings_files(roots)):
        source, wrong, refusal = _read(path, path.parent if number else None)
        problems += wrong
        found += [source] if source is not None else []
        refusals += [refusal] if refusal is not None else []
    every = [*found, *sources]
    return _loaded(every, problems, refusals)


def collect_sent(sources: Sequence[Source]) -> Loaded:
    """The settings in force without any files."""
    return _loaded(sources, [], [])


def _loaded(every: Sequence[Source], problems: list[str], refusals: list[Refusal]) -> Loaded:
    settings, wrong = merge(every)
    origins = {
        _name(key): source.name
        for source in every
        for key, value in source.values.items()
        if is_setting(key) and value is not None
    }
    own = {_name(key): value for source in every if source.own_file for key, value in source.values.items()}
    asked_again = places_asked_again(settings.endpoints_in_use(), own.get("routing"))
    return Loaded(settings, problems + wrong, refusals, origins, asked_again)


def origins(roots: Sequence[Path], sources: Sequence[Source] = ()) -> dict[str, str]:
    """For each setting that is set, its source: a file's path, or the name of one of `sources`."""
    return collect(roots, sources).origins


def load(roots: Sequence[Path], sources: Sequence[Source] = ()) -> tuple[Settings, list[str]]:
    """The settings in force, and all mistakes, including refusals."""
    found = collect(roots, sources)
    return found.settings, [*found.problems, *(refusal.message for refusal in found.refusals)]
