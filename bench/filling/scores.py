"""Scores one completion: whether the program passes its tests, equals the author's text, is similar, and parses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.filling import sandbox
from bench.filling.safim import same_output
from bench.filling.tasks import Task
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.names.undefined import without_undefined
from lsp_server.core.parsing import parser_of
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import encode

if TYPE_CHECKING:
    from tree_sitter import Node


@dataclass(frozen=True, slots=True)
class Completion:
    """`text` in place of the bytes `start:end` of the task's document. An empty text means that nothing is shown."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Score:
    """verdict: `passed`, or the reason why not; empty without tests. exact: whether it equals the reference, apart from
    white space at its ends. similarity: 0 to 1, the normalised edit distance over insertions and deletions. parses:
    whether accepting it adds no ERROR or MISSING nodes; None without a grammar or a text. undefined: whether it has a
    name that is certainly defined nowhere; None without a text, and for languages other than Python.
    """

    text: str
    verdict: str
    exact: bool
    similarity: float
    parses: bool | None
    undefined: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(task: Task, completion: Completion) -> Score:
    """All scores of one completion. Blocks while the tests run."""
    from rapidfuzz import fuzz

    document = task.document()
    completed = document.edited(completion.start, completion.end, encode(completion.text))
    written, reference = _normal(completion.text), _normal(task.reference)
    return Score(
        text=completion.text,
        verdict=verdict(task, completed.source.decode("utf-8", "replace")),
        exact=written == reference,
        similarity=round(fuzz.ratio(written, reference) / 100, 4),
        parses=parses(document, completed) if completion.text.strip() else None,
        undefined=undefined(document, completion) if completion.text.strip() else None,
    )


def undefined(document: DocumentSnapshot, completion: Completion) -> bool | None:
    """Whether a completion has a name that is certainly defined nowhere; None for languages other than Python."""
    if find_language(document.language_id, document.path).name != "Python":
        return None
    suggestion = Suggestion(completion.text, completion.start, completion.end)
    return bool(without_undefined(suggestion, document).undefined)


def verdict(task: Task, program: str, limits: sandbox.Limits | None = None) -> str:
    """`passed` if `program` passes all tests of `task`, else the message of the first test that fails."""
    for test in task.tests:
        execution = sandbox.run(program + test.tail, test.stdin, limits)
        if test.output is None:
            good = execution.ended
        else:
            good = execution.succeeded and any(same_output(execution.stdout, output) for output in test.output)
        if not good:
            wrong_output = execution.succeeded and test.output is not None
            return "wrong output" if wrong_output else f"{execution.outcome} {execution.detail}".strip()
    return "passed" if task.tests else ""


def parses(before: DocumentSnapshot, after: DocumentSnapshot) -> bool | None:
    """Whether `after` has no more ERROR and MISSING nodes than `before`; None for a language without a grammar."""
    parser = parser_of(find_language(before.language_id, before.path))
    if parser is None:
        return None
    return broken_nodes(parser.parse(after.source).root_node) <= broken_nodes(parser.parse(before.source).root_node)


def broken_nodes(root: Node) -> int:
    """How many ERROR and MISSING nodes a tree has, including those that its lists of children omit."""
    count, waiting = str(root).count("(MISSING _"), [root]
    while waiting:
        node = waiting.pop()
        if not node.has_error:
            continue  # it contains no error
        count += node.is_error or node.is_missing
        waiting.extend(node.children)
    return count


def _normal(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip()
