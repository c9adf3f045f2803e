"""The list of actions, one data entry for each, and the actions that users add in their settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

from lsp_server.core.danger.search import LANGUAGES
from lsp_server.features.actions.filenames import refusal


class Result(str, Enum):
    """What happens to the model's answer."""

    DOCUMENT = "document"  # shown, nothing is edited
    REPLACE = "replace"
    BEFORE = "insert_before"
    AFTER = "insert_after"
    NEW_FILE = "new_file"
    DOC_COMMENT = "doc_comment"
    TESTS = "tests"
    CHECK = "check"  # the findings of the rules are shown; no model is asked


class Target(str, Enum):
    """The kinds of subjects that an action can have."""

    FUNCTION = "function"
    CLASS = "class"
    SELECTION = "selection"
    DIAGNOSTIC = "diagnostic"


@dataclass(frozen=True, slots=True)
class Action:
    """title: for the menu; `{target}` in it is replaced by a name of the subject. kind: the LSP's code action kind.
    instruction: the task for the model. languages: names or identifiers; empty means all. needs: what the subject must
    have, one of `applies.NEEDS`; empty means nothing. signature: whether the function's own parameters may change.
    more: whether new definitions may be added beside the subject. keeps: whether the names that the code uses and the
    content of its comments must remain. file: for a new file, its name, with `{stem}`, `{name}` and `{extension}`.
    """

    id: str
    title: str
    kind: str
    targets: frozenset[Target]
    result: Result
    instruction: str = ""
    languages: frozenset[str] = frozenset()
    needs: str = ""
    signature: bool = False
    more: bool = False
    keeps: bool = True
    file: str = ""


_ANYTHING = frozenset(Target)
_CODE = frozenset({Target.FUNCTION, Target.SELECTION})
_ANY_CODE = _CODE | {Target.CLASS}
_DEFINITIONS = frozenset({Target.FUNCTION, Target.CLASS})
_TYPED_LATER = frozenset({"Python", "JavaScript", "TypeScript", "TSX"})
_TESTED = frozenset({"Python", "JavaScript", "TypeScript", "TSX", "Go", "Rust", "Java", "C", "C++"})

EXPLAIN = Action(
    "explain",
    "Explain {target}",
    "refactor.fimble.explain",
    _ANYTHING,
    Result.DOCUMENT,
    "Explain what this code does, step by step, for a programmer who sees it for the first time. "
    "Name its inputs, its result and what can go wrong. Answer in Markdown, without repeating the whole code.",
)
CHECK = Action(
    "check",
    "Check {target} for dangerous patterns",
    "refactor.fimble.check",
    _ANY_CODE,
    Result.CHECK,
    languages=frozenset(LANGUAGES),
)
FIX = Action(
    "fix",
    "Fix {target}",
    "quickfix",
    frozenset({Target.DIAGNOSTIC}),
    Result.REPLACE,
    "Fix the problems that are listed. Change nothing else.",
    signature=True,
)
TESTS = Action(
    "tests",
    "Generate tests for {target}",
    "refactor.fimble.tests",
    _DEFINITIONS,
    Result.TESTS,
    "Write unit tests for this code: the usual case, the edge cases and the errors.",
    _TESTED,
    needs="testable",
)
DOC = Action(
    "doc",
    "Write the doc comment of {target}",
    "refactor.rewrite.fimble.doc",
    _DEFINITIONS,
    Result.DOC_COMMENT,
    "Write the documentation comment for this code. Answer with the comment only.",
)
EXTRACT = Action(
    "extract",
    "Extract a function from {target}",
    "refactor.extract.fimble",
    _CODE,
    Result.REPLACE,
    "Move a self-contained part of this code into a new function with a telling name, and call it. "
    "What the code does must stay the same.",
    needs="parts",
    more=True,
)
EDIT = Action(
    "edit",
    "Edit {target} as the comment says",
    "refactor.rewrite.fimble.edit",
    _ANY_CODE,
    Result.REPLACE,
    "",
    signature=True,
    more=True,
    keeps=False,
)


def _rewrite(id: str, title: str, instruction: str, languages: Iterable[str], needs: str) -> Action:
    """A conversion. It applies to a function or a selection, not to a whole class."""
    return Action(
        id,
        title,
        f"refactor.rewrite.fimble.{id}",
        _CODE,
        Result.REPLACE,
        f"{instruction} What the code does must stay the same.",
        frozenset(languages),
        needs,
    )


_SCRIPTS = ("JavaScript", "TypeScript", "TSX")

BUILT_IN: tuple[Action, ...] = (
    FIX,
    EDIT,
    EXPLAIN,
    CHECK,
    TESTS,
    DOC,
    Action(
        "simplify",
        "Simplify {target}",
        "refactor.rewrite.fimble.simplify",
        _ANY_CODE,
        Result.REPLACE,
        "Make this code shorter and easier to read. What the code does must stay the same.",
        needs="text or work",
    ),
    Action(
        "types",
        "Add types to {target}",
        "refactor.rewrite.fimble.types",
        _ANY_CODE,
        Result.REPLACE,
        "Add type annotations to the parameters, the result and the variables that need them. Change nothing else.",
        _TYPED_LATER - {"JavaScript"},
        "untyped",
    ),
    Action(
        "errors",
        "Handle errors and edge cases in {target}",
        "refactor.rewrite.fimble.errors",
        _ANY_CODE,
        Result.REPLACE,
        "Handle the errors and the edge cases that this code overlooks: empty and missing input, failing calls.",
        needs="work",
    ),
    EXTRACT,
    _rewrite(
        "to_comprehension",
        "Convert the loop to a comprehension",
        "Turn the loop into a comprehension.",
        ["Python"],
        "collecting loop",
    ),
    _rewrite(
        "to_loop",
        "Convert the comprehension to a loop",
        "Turn the comprehension into a plain loop.",
        ["Python"],
        "comprehension",
    ),
    _rewrite(
        "to_fstring",
        "Convert to f-strings",
        "Turn string formatting with % and format() into f-strings.",
        ["Python"],
        "formatted text",
    ),
    _rewrite(
        "to_async",
        "Convert promise callbacks to async/await",
        "Turn the chains of .then() into async and await.",
        _SCRIPTS,
        "promise callback",
    ),
    _rewrite(
        "to_methods",
        "Convert the loop to array methods",
        "Turn the loop into array methods such as map and filter.",
        _SCRIPTS,
        "gathering loop",
    ),
    _rewrite(
        "to_iterator",
        "Convert the loop to an iterator chain",
        "Turn the loop into a chain of iterator methods.",
        ["Rust"],
        "gathering loop",
    ),
    _rewrite("to_switch", "Convert the ifs to a switch", "Turn the chain of ifs into a switch.", ["Go"], "else-if"),
    _rewrite(
        "to_stream",
        "Convert the loop to a stream",
        "Turn the loop into a stream.",
        ["Java"],
        "gathering loop",
    ),
)

_BUILT_IN_IDS = frozenset(action.id for action in BUILT_IN)
_BUILT_IN_TITLES = frozenset(action.title for action in BUILT_IN)
_RESULTS = {result.value: result for result in Result if result is not Result.CHECK}
_TARGETS = {target.value: target for target in Target}
MOST_ACTIONS = 64
_LONGEST = {"title": 120, "prompt": 8000, "kind": 100, "result": 20, "file": 200}
_LONGEST_NAME, _MOST_LISTED = 60, 50
_KNOWN_KEYS = ("title", "prompt", "kind", "languages", "result", "targets", "file")


class ActionError(ValueError):
    """An action in the settings that cannot be used. The message is one line that says why."""


def _texts(id: str, values: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an action, each empty if it is not given, after a check of the types and sizes of all values. Raises
    ActionError."""
    if not id or not _is_line(id, _LONGEST_NAME):
        raise ActionError(f"action `{_shown(id)}`: its name must be one line of at most {_LONGEST_NAME} characters")
    unknown = sorted(set(values) - set(_KNOWN_KEYS))
    if unknown:
        raise ActionError(f"action `{id}`: unknown key `{_shown(unknown[0])}`; known are {', '.join(_KNOWN_KEYS)}")
    texts = {key: values.get(key, "") for key in ("title", "prompt", "kind", "result", "file")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ActionError(f"action `{id}`: `{key}` must be a text, found {_shown(value)!r}")
        if len(value) > _LONGEST[key] or (key != "prompt" and not _is_line(value, _LONGEST[key])):
            raise ActionError(
                f"action `{id}`: `{key}` must have at most {_LONGEST[key]} characters, none of them hidden"
            )
    for key in ("languages", "targets"):
        value = values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ActionError(f"action `{id}`: `{key}` must be a list of texts, found {_shown(value)!r}")
        if len(value) > _MOST_LISTED or not all(_is_line(item, _LONGEST_NAME) for item in value):
            raise ActionError(f"action `{id}`: `{key}` may list at most {_MOST_LISTED} names")
    return texts


def user_action(id: str, values: Mapping[str, Any]) -> Action:
    """The action for an entry of the settings. Raises ActionError."""
    texts = _texts(id, values)
    if not texts["prompt"].strip():
        raise ActionError(f"action `{id}` has no `prompt`")
    result = _RESULTS.get(texts["result"] or "replace")
    if result is None:
        raise ActionError(f"action `{id}`: `result` must be one of {', '.join(_RESULTS)}, found {texts['result']!r}")
    wrong = [target for target in values.get("targets", []) if target not in _TARGETS]
    if wrong:
        raise ActionError(f"action `{id}`: `targets` may hold {', '.join(_TARGETS)}, found {wrong[0]!r}")
    if result is Result.NEW_FILE and not texts["file"]:
        raise ActionError(f"action `{id}` makes a new file and needs `file`, its name, such as '{{stem}}_notes.md'")
    if problem := _file_problem(texts["file"]):
        raise ActionError(f"action `{id}`: its `file` {problem}")
    default = "refactor.fimble.user" if result is Result.DOCUMENT else "refactor.rewrite.fimble.user"
    return Action(
        id,
        texts["title"] or id,
        texts["kind"] or default,
        frozenset(_TARGETS[target] for target in values.get("targets", [])) or _ANY_CODE,
        result,
        texts["prompt"],
        frozenset(values.get("languages", [])),
        signature=True,
        more=True,
        keeps=False,
        file=texts["file"],
    )


def workspace_action(id: str, values: Any) -> Mapping[str, Any]:
    """The values of an action from a workspace's settings, which somebody else may have written, made safe for the
    user's menu: its title is marked, and kinds that editors run by themselves, such as on saving, are refused. Raises
    ActionError."""
    # With the name or title of a built-in action it would do something that the user does not expect.
    if id in _BUILT_IN_IDS:
        raise ActionError(f"action `{id}` has the name of a built-in one")
    if not isinstance(values, Mapping):
        raise ActionError(f"action `{_shown(id)}` must be a table with `title` and `prompt`, found {_shown(values)!r}")
    action = user_action(id, values)
    if not re.fullmatch(r"(?:quickfix|refactor)(?:\.[\w.]*)?", action.kind):
        raise ActionError(f"action `{id}`: its `kind` must be `quickfix` or `refactor`, or begin so, with a dot behind")
    if _plain(action.title) in map(_plain, _BUILT_IN_TITLES):
        raise ActionError(f"action `{id}` has the title of a built-in one")
    return {**values, "title": f"(workspace) {action.title}"[: _LONGEST["title"]]}


def _plain(title: str) -> str:
    """The letters and digits of a title, for comparison."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKD", title).casefold())


def _file_problem(file: str) -> str:
    """What is wrong with the name pattern of a new file, for any values of its placeholders; empty if nothing."""
    for key, value in (("stem", "a"), ("name", "a"), ("extension", ".txt")):
        file = file.replace("{" + key + "}", value)
    parts = [part for part in file.split("/") if part not in ("", ".", "..")]
    return refusal(parts, PurePosixPath(file).suffix) if file else ""


def _is_line(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isprintable()


def _shown(value: Any) -> str:
    """A value of the settings, made fit for a line to the user."""
    text = value if isinstance(value, str) else repr(value)
    return "".join(character if character.isprintable() else "?" for character in text[:80])


def catalogue(user: Mapping[str, Any]) -> tuple[dict[str, Action], list[str]]:
    """All actions by identifier, where the user's replace built-in ones; and the errors in the user's actions."""
    found = {action.id: action for action in BUILT_IN}
    problems: list[str] = []
    if len(user) > MOST_ACTIONS:
        problems.append(f"{len(user)} actions are more than a menu can have; the first {MOST_ACTIONS} count")
    for id, values in list(user.items())[:MOST_ACTIONS]:
        try:
            if not isinstance(values, Mapping):
                raise ActionError(f"action `{id}` must be a table with `title` and `prompt`, found {_shown(values)!r}")
            found[id] = user_action(id, values)
        except ActionError as error:
            problems.append(str(error))
    return found, problems
