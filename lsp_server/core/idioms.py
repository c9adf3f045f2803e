"""Recognises forms of code that actions apply to, in the syntax tree: loops that build a list, formatted text, and
others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lsp_server.core.doc_comments import COMMENTS
from lsp_server.core.languages import Language
from lsp_server.core.outline import leaves_in, nodes_in, top_level
from lsp_server.core.syntax import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_ADDING = "append add push unshift insert extend push_str push_back put set addAll"
_FUNCTION_KINDS = (
    "function_definition lambda function_declaration function_expression arrow_function method_definition "
    "generator_function_declaration function_item closure_expression lambda_expression method_declaration"
)
_ADDS, _FUNCTIONS = frozenset(_ADDING.split()), frozenset(_FUNCTION_KINDS.split())
_WAITS = frozenset({"await", "await_expression", "yield", "yield_expression", "try_expression"})
_LOOPS = frozenset({"for_statement", "for_in_statement", "for_expression", "enhanced_for_statement"})
_SUMS = frozenset({"augmented_assignment", "augmented_assignment_expression", "compound_assignment_expr"})
_ASSIGNS = frozenset({"assignment", "assignment_expression"})
_CALLS = frozenset({"call", "call_expression", "method_invocation"})
_AGAIN = re.compile(r"(?:if|for|for_in|enhanced_for|while|assert|with|switch|match|try|return|raise|throw)_")
# The tokens of a body that does nothing.
_IDLE = frozenset(["{", "}", "(", ")", ":", ";", "pass", "...", "return", "=", "=>"])


def has_idiom(name: str, language: Language, source: bytes, start: int, end: int) -> bool:
    """Whether a node in `start:end` has the form `name`, a key of `IDIOMS`."""
    test = IDIOMS[name]
    nodes = nodes_in(language, source, start, end)
    return any(start <= node.start_byte and node.end_byte <= end and test(node, source) for node in nodes)


def work_in(language: Language, source: bytes, start: int, end: int) -> int:
    """How many tokens in `start:end` do something. Outer brackets, docstrings, `pass` and imports do not count."""
    touched = [(kind, last) for kind, first, last in top_level(language, source) if first < end and start < last]
    if touched and all(kind in language.imports or kind in COMMENTS for kind, _ in touched):
        return 0
    long_strings = ('"""', "'''")
    leaves = [text for kind, text in leaves_in(language, source, start, end) if kind not in {"string_content"}]
    return sum(text not in _IDLE and not text.startswith(long_strings) for text in leaves)


def repeated_statement(language: Language, source: bytes, start: int, end: int) -> str:
    """The first line of a statement in `start:end` that is repeated directly after itself by mistake: a condition, a
    loop, a check, a return. Empty if there is none."""
    for node in nodes_in(language, source, start, end):
        inner = node.named_children[0] if node.type == "expression_statement" and node.named_children else node
        behind = node.next_named_sibling if start <= node.start_byte and _AGAIN.match(inner.type) else None
        if behind is not None and behind.end_byte <= end and behind.type == node.type:
            text = text_of(node, source)
            if text.split() == text_of(behind, source).split():
                return text.decode("utf-8", "replace").split("\n")[0].strip()
    return ""


def returns_outside(language: Language, source: bytes, start: int, end: int) -> bool:
    """Whether a `return` stands outside all functions in `start:end`, which holds whole top-level statements."""
    nodes = (node for node in nodes_in(language, source, start, end) if start <= node.start_byte)
    top = [node for node in nodes if node.parent is not None and node.parent.parent is None]
    return any(each.type == "return_statement" for node in top if node.type not in _FUNCTIONS for each in _inside(node))


def _inside(node: Node) -> Iterator[Node]:
    """The node `node` and the nodes in it, without the contents of nested functions."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        if current is node or current.type not in _FUNCTIONS:
            stack.extend(reversed(current.named_children))


def _field_text(node: Node, field: str, source: bytes) -> str:
    found = node.child_by_field_name(field)
    return text_of(found, source).decode("utf-8", "replace") if found is not None else ""


def _called(node: Node, source: bytes) -> str:
    """The last part of the name of the called function."""
    text = _field_text(node, "name", source) or _field_text(node, "function", source)
    return re.split(r"\.|::|->", text)[-1]


def _adds_up(node: Node, source: bytes) -> bool:
    """Whether a statement or expression adds to a value that the enclosing loop builds up."""
    if node.type in _CALLS:
        return _called(node, source) in _ADDS
    if node.type in _SUMS:
        return True
    if node.type in _ASSIGNS:
        left, right = _field_text(node, "left", source), _field_text(node, "right", source)
        adds = _field_text(node, "operator", source) not in {"", "="}  # in Java, `+=` is an assignment_expression
        return adds or left.endswith("]") or bool(re.search(rf"(?<![\w.]){re.escape(left)}(?!\w)", right))
    return False


def _collects(node: Node, source: bytes) -> bool:
    """Python: a loop that can become a comprehension: it adds one thing, under conditions, or searches for one."""
    if node.type != "for_statement" or node.child_by_field_name("alternative") is not None:
        return False
    body = node.child_by_field_name("body")
    return body is not None and _adds_one(body, source)


def _adds_one(block: Node, source: bytes) -> bool:
    parts = [child for child in block.named_children if child.type not in COMMENTS]
    while len(parts) > 1 and _names_a_value(parts[0], source):
        parts.pop(0)
    if len(parts) != 1 or any(each.type in _WAITS for each in _inside(parts[0])):
        return False
    part = parts[0]
    if part.type == "expression_statement" and part.named_children:
        return _adds_up(part.named_children[0], source)
    if part.type == "return_statement":
        return text_of(part, source).split()[-1] in (b"True", b"False")
    if part.type == "for_statement":
        return _collects(part, source)
    if part.type == "if_statement":
        blocks = [part.child_by_field_name("consequence"), *part.children_by_field_name("alternative")]
        inner = [each.child_by_field_name("body") or each if each is not None else None for each in blocks]
        return all(each is not None and each.type == "block" and _adds_one(each, source) for each in inner)
    return False


def _names_a_value(statement: Node, source: bytes) -> bool:
    value = statement.named_children[0] if statement.named_children else None
    if statement.type != "expression_statement" or value is None or value.type != "assignment":
        return False
    left = value.child_by_field_name("left")
    return left is not None and left.type == "identifier" and not _adds_up(value, source)


def _gathers(node: Node, source: bytes) -> bool:
    """Other languages: a loop that adds up or searches for something, without `await`."""
    body = node.child_by_field_name("body") if node.type in _LOOPS else None
    if body is None:
        return False
    inside = list(_inside(body))
    if any(each.type in _WAITS or each.type in {"break_statement", "break_expression"} for each in inside):
        return False
    return any(_adds_up(each, source) or each.type in {"return_statement", "return_expression"} for each in inside)


def _formats(node: Node, source: bytes) -> bool:
    """Python: text formatted with `%` or `format()`."""
    if node.type == "binary_operator" and _field_text(node, "operator", source) == "%":
        return _is_text(node.child_by_field_name("left"), source, b"%")
    function = node.child_by_field_name("function") if node.type == "call" else None
    if function is None or function.type != "attribute" or _field_text(function, "attribute", source) != "format":
        return False
    given = node.child_by_field_name("arguments")
    splat = given is None or any(each.type in {"list_splat", "dictionary_splat"} for each in given.named_children)
    return not splat and _is_text(function.child_by_field_name("object"), source, b"{")


def _is_text(node: Node | None, source: bytes, holds: bytes) -> bool:
    while node is not None and node.type == "parenthesized_expression" and node.named_children:
        node = node.named_children[0]
    if node is None or node.type not in {"string", "concatenated_string"}:
        return False
    text = text_of(node, source)
    return holds in text and b"b" not in text[: min(text.find(b'"') % 99, text.find(b"'") % 99)].lower()


def _chains(node: Node, source: bytes) -> bool:
    """JavaScript: a callback passed to a promise."""
    function = node.child_by_field_name("function") if node.type == "call_expression" else None
    given = node.child_by_field_name("arguments")
    if function is None or given is None or function.type != "member_expression":
        return False
    return _field_text(function, "property", source) in {"then", "catch", "finally"} and bool(given.named_children)


def _branches(node: Node, source: bytes) -> bool:
    """Go: an `if` with an `else if`."""
    other = node.child_by_field_name("alternative") if node.type == "if_statement" else None
    return other is not None and other.type == "if_statement"


def _untyped(node: Node, source: bytes) -> bool:
    """A function without the type of a parameter or of its result; in Python also a top-level variable without one."""
    if node.type == "assignment":
        left = node.child_by_field_name("left")
        at_top = node.parent is not None and node.parent.type == "expression_statement" and _is_outside_function(node)
        return at_top and left is not None and left.type == "identifier" and node.child_by_field_name("type") is None
    value = node.child_by_field_name("value") if node.type == "variable_declarator" else None
    function = value if value is not None and value.type in _FUNCTIONS else node
    if function is node and node.type not in _FUNCTIONS - {"lambda", "arrow_function", "function_expression"}:
        return False
    if function.child_by_field_name("return_type") is None and _gives_a_result(function, source):
        return True
    listed = function.child_by_field_name("parameters")
    given = listed.named_children if listed is not None else function.children_by_field_name("parameter")
    first = _is_method(function)
    for number, each in enumerate(given):
        if each.type in COMMENTS or each.type in {"keyword_separator", "positional_separator"}:
            continue
        if number == 0 and first and each.type == "identifier":
            continue
        if each.child_by_field_name("type") is None and each.child_by_field_name("value") is None:
            return True
        if each.type == "default_parameter":
            return True
    return False


def _gives_a_result(function: Node, source: bytes) -> bool:
    """Whether a function has a result that can have a type; constructors and setters have none."""
    before = text_of(function, source).partition(b"(")[0].split()
    return _field_text(function, "name", source) != "constructor" and b"set" not in before[:-1]


def _is_method(function: Node) -> bool:
    """Python: whether a function is in a class, so that its first parameter needs no type."""
    around = function.parent
    while around is not None and around.type in {"block", "decorated_definition"}:
        around = around.parent
    return around is not None and around.type == "class_definition"


def _is_outside_function(node: Node) -> bool:
    around = node.parent
    while around is not None and around.type not in _FUNCTIONS:
        around = around.parent
    return around is None


def _comprehends(node: Node, source: bytes) -> bool:
    return node.type in {"list_comprehension", "dictionary_comprehension", "set_comprehension"}


IDIOMS: dict[str, Callable[[Node, bytes], bool]] = {
    "collecting loop": _collects,
    "comprehension": _comprehends,
    "formatted text": _formats,
    "promise callback": _chains,
    "gathering loop": _gathers,
    "else-if": _branches,
    "untyped": _untyped,
}
