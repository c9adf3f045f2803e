"""Reads calls, assignments and texts out of a syntax tree, the same way for every language.

A text is read as a list of pieces: known parts as strings, unknown parts as holes. A name is followed to the values
that are assigned to it in the same function. The number of visited nodes is limited, which limits the time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lsp_server.core.danger.node_kinds import (
    ADDS,
    BY_WORD,
    CALLS,
    CONSTANTS,
    DOTTED,
    FUNCTIONS,
    HOLES,
    KEYWORDS,
    NAMES,
    SETS,
    STRINGS,
    SUMS,
    WRAPPERS,
)

if TYPE_CHECKING:
    from tree_sitter import Node

# How many nodes may be visited for all findings of one suggestion, and of a range of a file. Then: how deep a value is
# read, how many assignments to one name are followed, and how many functions are searched for the enclosing one.
MOST_NODES, MOST_NODES_OF_FILE = 40_000, 400_000
_DEEPEST, _MOST_VALUES, _MOST_FUNCTIONS = 12, 4, 200
_NAME_BYTES, _TEXT_BYTES = 200, 4000

# Functions that build a text from a format, with the index of the format argument.
_FORMATTERS = {
    "fmt.Sprintf": 0,
    "fmt.Fprintf": 1,
    "fmt.Printf": 0,
    "String.format": 0,
    "sprintf": 0,
    "format": 0,
    "format!": 0,
    "println!": 0,
    "write!": 1,
    "std.format": 0,
    "util.format": 0,
    "snprintf": 2,
    "asprintf": 1,
    "g_strdup_printf": 0,
}
_C_FORMATTERS = {"sprintf": 1, "std.sprintf": 1}
_SPEC = re.compile(r"%(?:\(\w+\))?[-+ #0]*(?:\*|\d+\$?\d*)?(?:\.(?:\*|\d+))?(?:hh?|ll?|z|j|t|L)?([a-zA-Z%])")
_BRACE = re.compile(r"\{\{|\}\}|\{([^{}:!]*)(?:![rsa])?(:[^{}]*)?\}")
_NUMERIC = "diuoxXeEfFgGcpbt"
# Methods that return the text itself, or a form of it that makes no difference here.
_SAME = re.compile(
    r"\.(?:encode|decode|strip|trim|c_str|data|to_string|to_owned|as_str|as_bytes|into|toString|getBytes|lower|upper"
    r"|toLowerCase|toUpperCase|to_s|clone|as_ref|rstrip|lstrip|str|unwrap|freeze|chomp|dup)$"
)
_CAST = re.compile(r"(?:^|\.)(?:String\.from|str|String|\[\]byte|std\.string|string|bytes|_|gettext|N_|Text|text)$")
_CONSTANT_NAME = re.compile(r"(?:^|\.)_?[A-Z][A-Z0-9_]+$")


@dataclass(frozen=True, slots=True)
class Hole:
    """An unknown piece of a text. node: its node in the tree; None if there is only its name in a format."""

    text: str
    node: Node | None
    numeric: bool = False


Piece = str | Hole


@dataclass(slots=True)
class Reader:
    """Reads one tree. c_like: whether `sprintf` writes into its first argument. left: nodes that may still be
    visited."""

    source: bytes
    root: Node
    c_like: bool = False
    left: int = MOST_NODES
    _assigned: dict[int, dict[str, list[tuple[int, Node, bool]]]] = field(default_factory=dict)
    _functions: list[tuple[int, int, Node]] | None = None

    def text(self, node: Node, most: int = _TEXT_BYTES) -> str:
        return self.source[node.start_byte : min(node.end_byte, node.start_byte + most)].decode("utf-8", "replace")

    # Names and calls ----------------------------------------------------------------------------------------

    def dotted(self, node: Node | None, depth: int = 0) -> str:
        """The name that is called or assigned to, with dots between its parts: `a.b().c`."""
        if node is None or depth > _DEEPEST:
            return "?"
        if node.type in CALLS:
            return self.callee(node, depth + 1) + "()"
        if node.type in DOTTED:
            parts = [self.dotted(child, depth + 1) for child in node.named_children if "comment" not in child.type]
            if node.type in ("generic_function", "template_function"):
                return parts[0] if parts else "?"
            if node.type in ("subscript", "subscript_expression"):
                return f"{parts[0]}[{','.join(parts[1:])}]" if parts else "?"
            return ".".join(part for part in parts if part)
        if node.type in WRAPPERS and node.named_child_count == 1:
            return self.dotted(node.named_children[0], depth + 1)
        text = re.sub(r"\s+", "", self.text(node, _NAME_BYTES)).rstrip("=")
        return text.lstrip("$&*@") or text

    def callee(self, node: Node, depth: int = 0) -> str:
        if node.type in BY_WORD:
            return BY_WORD[node.type]
        if node.type == "macro_invocation":
            return self.dotted(node.child_by_field_name("macro"), depth) + "!"
        if node.type == "new_expression":
            made = node.child_by_field_name("constructor") or node.child_by_field_name("type")
            return "new " + self.dotted(made, depth)
        if node.type == "object_creation_expression":
            made = node.child_by_field_name("type") or next(iter(node.named_children), None)
            return "new " + re.sub(r"<.*", "", self.dotted(made, depth))
        function = node.child_by_field_name("function")
        if function is not None:
            # In PHP a function in a variable keeps its `$`, so that it is not taken for a known function.
            return "$" * (function.type == "variable_name") + self.dotted(function, depth)
        name = node.child_by_field_name("name") or node.child_by_field_name("method")
        on = (
            node.child_by_field_name("object")
            or node.child_by_field_name("receiver")
            or node.child_by_field_name("scope")
        )
        called = self.dotted(name, depth)
        return called if on is None else f"{self.dotted(on, depth)}.{called}"

    def arguments(self, node: Node) -> list[tuple[str, Node]]:
        """The arguments of a call, each with its keyword."""
        if node.type in BY_WORD:
            return [("", node)] if BY_WORD[node.type] == "`" else [("", child) for child in node.named_children]
        given = node.child_by_field_name("arguments") or next(
            (child for child in node.named_children if child.type in ("arguments", "argument_list", "token_tree")), None
        )
        if given is None:
            return []
        found = []
        for child in given.named_children:
            if "comment" in child.type:
                continue
            if child.type in KEYWORDS:
                key, value = self.target(child)
                if value is not None:
                    found.append((key, value))
                continue
            name = child.child_by_field_name("name") if child.type == "argument" else None
            if child.type == "argument" and child.named_children:
                found.append((self.dotted(name) if name is not None else "", child.named_children[-1]))
            else:
                found.append(("", child))
        return found

    def target(self, node: Node) -> tuple[str, Node | None]:
        """The target and the value of an assignment; the value is None if there is none."""
        left, right = SETS[node.type]
        if left:
            name, value = node.child_by_field_name(left), node.child_by_field_name(right)
        else:
            children = [child for child in node.named_children if "comment" not in child.type]
            name, value = (children[0], children[-1]) if len(children) > 1 else (None, None)
        while name is not None and name.type.endswith("_declarator") and name.type != "function_declarator":
            name = name.child_by_field_name("declarator")
        if value is not None and value.type == "property_initializer":
            value = next(iter(value.named_children), None)
        return self.dotted(name).strip("\"'`:").removesuffix("()") if name is not None else "", value

    # Texts --------------------------------------------------------------------------------------------------

    def pieces(self, node: Node, depth: int = 0) -> list[Piece]:
        """The pieces that a value consists of."""
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            return [Hole(self.text(node, _NAME_BYTES), node)]
        kind = node.type
        if kind in STRINGS or kind in ("shell_command_expression", "subshell"):
            return self._of_string(node, depth)
        if kind in CONSTANTS or kind.endswith("_lit"):
            return [self.text(node, _NAME_BYTES)]
        if kind in WRAPPERS and node.named_child_count:
            return self.pieces(node.named_children[-1], depth + 1)
        if kind == "preproc_arg":
            text = self.text(node).strip()
            return [text[1:-1]] if text[:1] == '"' and text[-1:] == '"' else [Hole(text, node)]
        if kind in ("conditional_expression", "ternary_expression", "conditional"):
            ends = [self.pieces(child, depth + 1) for child in node.named_children[-3:]]
            known = [pieces for pieces in ends if is_known(pieces)]
            return known[-1] if len(known) >= len(ends) - 1 and known else [Hole(self.text(node, _NAME_BYTES), node)]
        if kind in SUMS:
            return self._of_sum(node, depth)
        if kind in CALLS:
            return self._of_call(node, depth)
        if kind in NAMES:
            return self._of_name(node, depth)
        return [Hole(self.text(node, _NAME_BYTES), node)]

    def _of_string(self, node: Node, depth: int) -> list[Piece]:
        found: list[Piece] = []
        inner = [child for child in node.named_children if child.type not in ("string_start", "string_end")]
        if not inner and node.type not in ("template_string", "heredoc"):
            return [self.text(node).strip("\"'`")]
        for child in inner:
            if child.type in HOLES:
                named = [each for each in child.named_children if each.type not in ("type_conversion",)]
                spec = next((each for each in named if each.type == "format_specifier"), None)
                numeric = spec is not None and self.text(spec)[-1:] in _NUMERIC
                found += self._holes_of(named[0], depth + 1, numeric=numeric) if named else [""]
            elif child.type in ("heredoc_body", "string"):
                found += self._of_string(child, depth + 1)
            elif "content" in child.type or "fragment" in child.type or "escape" in child.type:
                found.append(self.text(child))
            elif node.type in ("encapsed_string", "heredoc_body", "shell_command_expression"):
                found += self._holes_of(child, depth + 1)
            else:
                found.append(self.text(child))
        return found

    def _holes_of(self, node: Node, depth: int, *, numeric: bool = False) -> list[Piece]:
        if numeric:
            return [Hole(self.text(node, _NAME_BYTES), node, numeric=True)]
        return self.pieces(node, depth)

    def _of_sum(self, node: Node, depth: int) -> list[Piece]:
        if node.type in ("concatenated_string", "chained_string"):
            return [piece for child in node.named_children for piece in self.pieces(child, depth + 1)]
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        operator = node.child_by_field_name("operator")
        sign = self.text(operator) if operator is not None else ""
        if left is None or right is None or sign not in ("+", ".", "%", "<<"):
            return [Hole(self.text(node, _NAME_BYTES), node, numeric=sign in ("-", "*", "/", "//", "&", "|"))]
        if sign == "%":
            form = self.pieces(left, depth + 1)
            if not any(isinstance(piece, str) for piece in form):
                return [Hole(self.text(node, _NAME_BYTES), node)]
            values = right.named_children if right.type in ("tuple", "array", "dictionary") else [right]
            return self._filled(form, [*values], depth)
        # A long sum is nested on its left side; the loop avoids recursion.
        operands, first = [right], left
        while first.type == node.type and len(operands) < 200:
            operator = first.child_by_field_name("operator")
            inner = first.child_by_field_name("left"), first.child_by_field_name("right")
            if operator is None or self.text(operator) != sign or inner[0] is None or inner[1] is None:
                break
            operands.append(inner[1])
            first = inner[0]
        operands.append(first)
        return [piece for operand in reversed(operands) for piece in self.pieces(operand, depth + 1)]

    def _of_call(self, node: Node, depth: int) -> list[Piece]:
        called = self.callee(node)
        given: list[Node | Hole] = [value for _, value in self.arguments(node)]
        if node.type == "macro_invocation":
            given = self._of_macro(node)
        if called in ("`", "echo", "print", "include", "include_once", "require", "require_once"):
            return [Hole(self.text(node, _NAME_BYTES), node)]
        if called.endswith((".format", ".formatted")) and called.count(".") >= 1:
            on = self._receiver(node)
            if on is not None and on.type in STRINGS | SUMS:
                return self._filled(self.pieces(on, depth + 1), given, depth)
        at = _C_FORMATTERS.get(called) if self.c_like else None
        at = _FORMATTERS.get(called) if at is None else at
        if at is not None and len(given) > at and not isinstance(first := given[at], Hole):
            form = self.pieces(first, depth + 1)
            if any(isinstance(piece, str) for piece in form):
                return self._filled(form, given[at + 1 :], depth)
        if _SAME.search(called) and (on := self._receiver(node)) is not None:
            return self.pieces(on, depth + 1)
        if _CAST.search(called) and len(given) == 1 and not isinstance(only := given[0], Hole):
            return self.pieces(only, depth + 1)
        return [Hole(self.text(node, _NAME_BYTES), node)]

    def _of_macro(self, node: Node) -> list[Node | Hole]:
        """The arguments of a macro. The grammar gives them as tokens, so only single literals are read; all others
        become holes."""
        tokens = next((child for child in node.named_children if child.type == "token_tree"), None)
        found: list[Node | Hole] = []
        part: list[Node] = []
        for child in tokens.children[1:] if tokens is not None else ():
            if child.type not in (",", ")", "]", "}"):
                part.append(child)
            elif part:
                if len(part) == 1 and part[0].type in STRINGS | CONSTANTS:
                    found.append(part[0])
                else:
                    text = self.source[part[0].start_byte : part[-1].end_byte][:_NAME_BYTES]
                    found.append(Hole(text.decode("utf-8", "replace"), part[0]))
                part = []
        return found

    def _receiver(self, node: Node) -> Node | None:
        """The object that a method is called on."""
        found = node.child_by_field_name("object") or node.child_by_field_name("receiver")
        if found is None and (function := node.child_by_field_name("function")) is not None:
            found = next(iter(function.named_children), None) if function.type in DOTTED else None
        return found

    def _filled(self, form: list[Piece], values: list[Node | Hole], depth: int) -> list[Piece]:
        """The pieces of a format with `values` in place of its placeholders."""
        found: list[Piece] = []
        left = iter(values)
        for piece in form:
            if isinstance(piece, Hole):
                found.append(piece)
                continue
            braces = _BRACE.search(piece) is not None and _SPEC.search(piece) is None
            behind = 0
            for match in (_BRACE if braces else _SPEC).finditer(piece):
                if match.group() in ("{{", "}}", "%%"):
                    continue
                found.append(piece[behind : match.start()])
                behind = match.end()
                value = next(left, None)
                spec = (match[2] or "")[-1:] if braces else match[1]
                if spec and spec in _NUMERIC and (not braces or match[2]):
                    found.append(Hole("", None, numeric=True))
                elif isinstance(value, Hole):
                    found.append(value)
                elif value is not None and value.type not in KEYWORDS:
                    found += self.pieces(value, depth + 1)
                else:
                    value = self.target(value)[1] if value is not None else None
                    found.append(Hole(match[1] if braces else "" if value is None else self.text(value), value))
            found.append(piece[behind:])
        return found

    def _of_name(self, node: Node, depth: int) -> list[Piece]:
        name = self.dotted(node)
        values = self.values_of(name, node)
        unknown: list[Piece] = [Hole(name, node)]
        if not values or len(values) > _MOST_VALUES or depth > 4:
            return unknown
        added = any(adds for _, adds in values)
        read = [self.pieces(value, depth + 3) for value, _ in values]
        if added:
            return [piece for pieces in read for piece in pieces]
        texts = [pieces for pieces in read if not is_known(pieces)]
        if not texts:
            return read[-1]
        return next((pieces for pieces in texts if any(isinstance(piece, str) for piece in pieces)), unknown)

    def values_of(self, name: str, at: Node) -> list[tuple[Node, bool]]:
        """The values assigned to a name before `at` in its function, each with whether it is added to the old one."""
        around = self.around(at)
        if around.id not in self._assigned:
            self._assigned[around.id] = self._assignments(around)
        found = self._assigned[around.id].get(name, [])
        return [(value, adds) for start, value, adds in found if start < at.start_byte]

    def _assignments(self, around: Node) -> dict[str, list[tuple[int, Node, bool]]]:
        found: dict[str, list[tuple[int, Node, bool]]] = {}
        for node in self.walk(around, around.start_byte, around.end_byte):
            if node.type in SETS and node.type not in KEYWORDS:
                name, value = self.target(node)
                if name and value is not None:
                    found.setdefault(name, []).append((node.start_byte, value, node.type in ADDS))
        return found

    def around(self, node: Node) -> Node:
        """The function around a node, else the root. Searched by position, because tree-sitter finds the parent of a
        node only from the root down."""
        if self._functions is None:
            whole = self.walk(self.root, self.root.start_byte, self.root.end_byte)
            self._functions = [(each.start_byte, each.end_byte, each) for each in whole if each.type in FUNCTIONS]
        start, end = node.start_byte, node.end_byte
        last = bisect_right(self._functions, start, key=lambda each: each[0])
        for first, behind, function in reversed(self._functions[max(0, last - _MOST_FUNCTIONS) : last]):
            if behind >= end and (first, behind) != (start, end):
                return function
        return self.root

    def walk(self, top: Node, start: int, end: int) -> Iterator[Node]:
        """The nodes under `top` that overlap the bytes `start:end`, in the order of the text."""
        nodes = [top]
        while nodes and self.left > 0:
            node = nodes.pop()
            self.left -= 1
            yield node
            nodes += [
                child for child in reversed(node.named_children) if child.start_byte < end and child.end_byte > start
            ]


def is_known(pieces: list[Piece]) -> bool:
    """Whether all pieces are known. Names of constants (in capitals) and numbers count as known."""
    return all(isinstance(piece, str) or piece.numeric or _CONSTANT_NAME.search(piece.text) for piece in pieces)
