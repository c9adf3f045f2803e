"""Finds the names that may follow `this.` at a position, in languages with classes other than Python.

A class counts as known only if every source of its names is in the file and was read: its base class is in the file and
known, no decorator and no other code extends it, it computes no names, and it uses no name that it does not declare.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from lsp_server.core.brackets import closers
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.languages.entry import Language
from lsp_server.core.names.access_syntax import ACCESS_SYNTAX
from lsp_server.core.names.allowed import Members, Receiver
from lsp_server.core.names.class_facts import MARK, Facts, facts_of, facts_outside, is_static, names_in
from lsp_server.core.names.class_kinds import CLASS_KINDS, ClassKinds
from lsp_server.core.next_edits.trees import Tree, above, tree_of

if TYPE_CHECKING:
    from tree_sitter import Node

# Larger files and longer lines are not examined.
MOST_BYTES, _LINE_CHARACTERS = 128_000, 400
# The maximum number of bytes parsed for one request: the file with each completed variant of the cursor's line.
_MOST_PARSED = 512_000
# The maximum number of names of a class, of base classes of one another, and of occurrences of a class's name.
_MOST_NAMES, _MOST_BASES, _MOST_PLACES = 2000, 8, 1000
# The maximum number of nodes around the cursor, and how much of a line before a name is examined.
_MOST_AROUND, _BEFORE = 200, 120

# Where a class that is an expression gets a name, and where it has none.
_NAMING = frozenset(
    ("variable_declarator", "assignment_expression", "pair", "public_field_definition", "field_definition")
)
_PLAIN_PLACES = frozenset(("export_statement", "return_statement", "arrow_function"))

_NOT_BLANK = re.compile(r"^[^\n]*\S[^\n]*", re.MULTILINE)
_HEADER = re.compile(r"[\s})]*(?:if|else|for|foreach|while|switch|match|catch|using|lock|do|try)\b")
_FOR = re.compile(r"\bfor\s*\([^;]*;[^;]*\Z")
_CHOICE = re.compile(r"\?[^.?:][^:]*\Z|\bcase\b[^:]*\Z")
_IN_TEMPLATE = re.compile(r"`(?:[^`$]|\$(?!\{)|\$\{[^{}`]*\})*\$\{[^{}`]*\Z")
_ASSIGNED = re.compile(r"[\w$]*\s*(?:=(?![=>])|(?:\?\?|\|\||&&)=)")
_IN_WORD = re.compile(r"[\w$]")
_NAME = re.compile(r"#?[\w$]+")


def members_at(document: DocumentSnapshot, cursor: int) -> Members | None:
    """The names that may follow `this.` at `cursor`; None if they are not known."""
    language = find_language(document.language_id, document.path)
    kinds = CLASS_KINDS.get(language.name)
    source = document.source
    if kinds is None or len(source) > MOST_BYTES or b"class" not in source or b"\xef\xbb\xbf" in source:
        return None
    line = document.line_at(cursor)
    start, end = document.line_start(line), document.line_end(line)
    if end - start > _LINE_CHARACTERS or document.newline == b"\r":
        return None
    left = source[start:cursor].decode("utf-8", "replace")
    right = source[cursor:end].decode("utf-8", "replace")
    base = tree_of(document)
    if base.root is None:
        return None
    below = _NOT_BLANK.search(source[end : end + 4 * _LINE_CHARACTERS].decode("utf-8", "replace"))
    syntax = ACCESS_SYNTAX[language.name]
    opens = syntax.other_scope.search(left) is not None
    variants = list(dict.fromkeys(_variants(language, left, right, below[0] if below is not None else "")))
    for variant in variants[: max(1, _MOST_PARSED // max(1, len(source)))]:
        if opens and left not in variant:
            continue  # the variant lacks a function or class that the line begins
        tree = base.edited(start, end, variant.encode("utf-8", "replace"))
        if tree.root is None:
            return None
        at = start + len(variant[: variant.index(MARK)].encode("utf-8", "replace"))
        place = _Place.of(tree, kinds, at)
        if place is None:
            continue
        names = place.names() if place.member is not None else None
        if names is None or len(names) > _MOST_NAMES or (place.grows and _ASSIGNED.match(right)):
            return None
        text = source.decode("utf-8", "replace")
        special = frozenset(name for name in syntax.specials if name in syntax.usual or name in text)
        receiver = Receiver(kinds.receiver, names | syntax.specials, grows=place.grows)
        return Members(left, (receiver,), special, left in variant, language=language.name)
    return None


def _variants(language: Language, left: str, right: str, below: str) -> Iterator[str]:
    """Completed variants of the cursor's line. The first that parses without errors around the cursor is used."""
    quotes, comment = language.quotes, language.comment[0]
    indent = left[: len(left) - len(left.lstrip())]
    closing = closers(left + right, quotes, comment)
    whole = f"{left}{MARK}{right}"
    deeper = len(below) - len(below.lstrip()) > len(indent)
    if (inside := _IN_TEMPLATE.search(left)) is not None:
        yield whole
        yield f"{whole}}}`{closers(left[: inside.start()], quotes, comment)}"
    elif _HEADER.match(left):
        yield whole if right.rstrip().endswith("{") else whole + closing + (" {" if deeper else " {}")
        if _FOR.search(left):
            yield f"{whole};{closing}" + (" {" if deeper else " {}")
        yield f"{whole}{closing};"
    if _CHOICE.search(left):
        yield f"{whole}{closing} : 0"
    yield f"{whole}{closing}"
    yield whole
    yield f"{whole}{closing};"
    yield f"{whole}{closing},"
    yield f"{whole},"
    yield f"{indent}if ({MARK}) {{" if deeper else f"{indent}{MARK};"


@dataclass(frozen=True, slots=True)
class _Place:
    """A position in a tree. text: of the whole document. around: the class around it. member: the member of that class.
    Both are None if the receiver is not an object of a class there. grows: whether a statement there may add names to
    the object."""

    tree: Tree
    kinds: ClassKinds
    text: str = ""
    around: Node | None = None
    member: Node | None = None
    grows: bool = False

    @staticmethod
    def of(tree: Tree, kinds: ClassKinds, at: int) -> _Place | None:
        """The position `at`, where the tree has `MARK`; None if there are errors around it."""
        path = list(islice(above(tree.node_at(at, at + len(MARK))), _MOST_AROUND))
        if not path or any(each.type == "ERROR" for each in path):
            return None
        nothing = _Place(tree, kinds)
        if len(path) == _MOST_AROUND:
            return nothing
        if not path[0].type.endswith(("identifier", "name")) or not tree.is_code(at, at + len(MARK)):
            return nothing  # in a string or comment
        for inner, outer, around in zip(path, path[1:], [*path[2:], None], strict=False):
            if outer.type in kinds.bodies:
                if around is None or around.type not in kinds.classes:
                    return nothing
                # If the class was closed too early, the rest of it is an error after it.
                if around.has_error or any(end >= around.end_byte for _, end in tree.errors):
                    return None
                if inner.type not in kinds.members or is_static(inner, kinds) or _is_in_name(inner, at):
                    return nothing
                parameters = inner.child_by_field_name("parameters")
                if parameters is not None and re.match(rb"\(\s*this\b", tree.text(parameters)):
                    return nothing  # in TypeScript a method may declare the type of its `this`
                within = tree.text(inner).decode("utf-8", "replace")
                is_closure = any(each.type in kinds.closures for each in path)
                if kinds.narrows.search(within) or (is_closure and kinds.rebinds.search(within)):
                    return nothing
                names = {inner.type, *(tree.text(each).decode("utf-8", "replace") for each in names_in(inner))}
                text = tree.document.source.decode("utf-8", "replace")
                return _Place(tree, kinds, text, around, inner, kinds.grows or not names.isdisjoint(kinds.constructors))
            is_method = inner.type in kinds.methods and outer.type not in kinds.bodies
            if inner.type in kinds.own_this or inner.type in kinds.inside or is_method:
                return nothing
        return None if tree.errors else nothing

    def names(self) -> frozenset[str] | None:
        """The names of the class and its base classes; None if they are not all known."""
        assert self.around is not None
        specials = ACCESS_SYNTAX[self.tree.language.name].specials
        classes, names = [self.around], self._given() if self.kinds.grows else set()
        while (base := self._base_of(classes[-1])) != "":
            if base is None or len(classes) >= _MOST_BASES:
                return None
            if (builtin := self._builtin(base)) is not None:
                names |= builtin
                break
            found = self._named(classes[-1], base)
            if found is None:
                return None
            classes.append(found)
        used: set[str] = set()
        says = False
        for node in classes:
            facts = self._body(node)
            if facts is None:
                return None
            inner = node is self.around
            names |= {each for each in facts.own | facts.given if inner or not each.startswith("#")}
            used |= facts.used
            says = says or facts.fields or (inner and bool(facts.used))
        if not says or not all(each in names or each in specials for each in used):
            return None  # the class has only been begun, or has names from elsewhere
        if any("\\" in each or not (each.isascii() or _NAME.fullmatch(each)) for each in names):
            return None  # the text of an access may write such a name in another way
        return frozenset(each for each in names if MARK not in each)

    def _given(self) -> set[str]:
        """The names that code outside the class assigns to any object."""
        assert self.around is not None
        source = self.tree.document.source
        parts = source[: self.around.start_byte], source[self.around.end_byte :]
        return set().union(*(facts_outside(part, self.kinds).given for part in parts))

    def _base_of(self, node: Node) -> str | None:
        """The name of the base class, empty if there is none; None if the class may have names from elsewhere."""
        kinds, base = self.kinds, ""
        takes = not kinds.abstract or any(each.type in kinds.abstract for each in node.children)
        if node.has_error or self._is_extended(node):
            return None
        for child in node.children:
            clauses = [child] if child.type in kinds.bases else []
            if child.type == "class_heritage":
                clauses = [each for each in child.children if each.type in kinds.bases]
                # In JavaScript the clause has nothing but the base class.
                clauses = [child] if child.children[0].type == "extends" else clauses
            for clause in clauses:
                named = [each for each in clause.named_children if each.type not in ("type_arguments", "comment")]
                if named and named[0].type == "generic_type":
                    named[0] = named[0].named_children[0]
                if len(named) != 1 or named[0].type not in ("identifier", "type_identifier", "name"):
                    return None
                base = self.tree.text(named[0]).decode("utf-8", "replace")
            if takes and child.type in kinds.interfaces:
                promised = self._promises(child)
                if not promised <= kinds.plain or any(self._declares_interface(each) for each in promised):
                    return None
        return base

    def _promises(self, clause: Node) -> set[str]:
        """The names of the interfaces in a clause."""
        listed = clause.named_children
        if len(listed) == 1 and listed[0].type == "type_list":
            listed = listed[0].named_children
        return {re.split(r"[^\w.]", self.tree.text(each).decode("utf-8", "replace"))[0] for each in listed}

    def _declares_interface(self, name: str) -> bool:
        """Whether the file declares the interface `name`, or imports it from elsewhere than the standard library."""
        declared = rf"\binterface\s+{name}\b|\bimport\s+(?!java\.)[\w.]*\.{name}\s*;"
        return re.search(declared, self.text) is not None

    def _body(self, node: Node) -> Facts | None:
        """The facts of all members together; None if some names cannot be read."""
        body = node.child_by_field_name("body")
        parts: list[Facts] = []
        if body is not None and body.child_count > _MOST_NAMES:
            return None
        for member in body.children if body is not None else ():
            if member.type in self.kinds.nameless and member.type != "class_static_block":
                continue
            parts.append(facts_of(member, self.tree.text(member), self.kinds))
            if parts[-1].opaque:
                return None
        return Facts(
            own=frozenset().union(*(each.own for each in parts)),
            given=frozenset().union(*(each.given for each in parts)),
            used=frozenset().union(*(each.used for each in parts)),
            fields=any(each.fields for each in parts),
        )

    def _is_extended(self, node: Node) -> bool:
        """Whether a decorator or other code in the file may add names to the class."""
        parent = node.parent
        every = [*node.children, *(parent.children if parent is not None and parent.type == "export_statement" else ())]
        source = self.text
        if self.kinds.generated.search(source) is not None:
            return True
        for each in every:
            if each.type == "decorator":
                name = re.match(r"@\s*([\w$]+)", self.tree.text(each).decode("utf-8", "replace"))
                is_known = name is not None and name[1] in self.kinds.harmless
                if not is_known or self.kinds.frameworks.search(source) is None:
                    return True
        if parent is not None and parent.type == "ambient_declaration":
            return True
        named = [node]
        while node.type == "class" and parent is not None and parent.type in _NAMING:
            named.append(parent)
            parent = parent.parent
        if node.type == "class" and len(named) == 1 and (parent is None or parent.type not in _PLAIN_PLACES):
            return True  # other code, such as a function that is called with it, may add names
        nodes = [each.child_by_field_name(field) for each in named for field in ("name", "left", "key", "property")]
        texts = (self.tree.text(each).decode("utf-8", "replace") for each in nodes if each is not None)
        names = {each.rpartition(".")[2] for each in texts}
        if any(len(each) > _LINE_CHARACTERS for each in names):
            return True
        # In JavaScript a class may use names that only its subclasses have.
        bases = names if self.kinds.grows and node == self.around else ()
        if any(re.search(rf"\bextends\s+{re.escape(each)}(?![\w$])", source) for each in bases):
            return True
        return any("mixin" in each.lower() or self._is_changed(each, source) for each in names)

    def _is_changed(self, name: str, source: str) -> bool:
        """Whether the name of a class has another declaration or is reassigned, or names are added to the class."""
        declared = 0
        for count, match in enumerate(re.finditer(rf"{re.escape(name)}(?![\w$])", source)):
            start, end = match.span()
            if count > _MOST_PLACES:
                return True
            if start and _IN_WORD.match(source, start - 1):
                continue
            line = source[max(start - _BEFORE, source.rfind("\n", max(0, start - _BEFORE), start) + 1) : start]
            declared += self.kinds.declares.search(line) is not None
            behind = source[end : end + 40]
            if declared > 1 or self.kinds.mixed.search(line) or self.kinds.changed.match(behind):
                return True
            if not line.strip() and re.match(r"\s*=(?![=>])", behind):
                return True
        return False

    def _builtin(self, name: str) -> frozenset[str] | None:
        """The names of a base class of the language itself; None for others, and if the file declares the name."""
        found = self.kinds.builtin.get(name)
        source = self.text
        given = rf"\b(?:class|interface|function|const|let|var)\s+{name}\b|\bimport\b[^;'\"]*\b{name}\b"
        return found if found is not None and re.search(given, source) is None else None

    def _named(self, node: Node, name: str) -> Node | None:
        """The class called `name` in the scope of `node` or in an outer one."""
        if self.tree.document.source.count(b"\nnamespace ") > 1:
            return None  # it may be one of another namespace
        for scope in above(node.parent):
            given = scope.child_by_field_name("parameters") or scope.child_by_field_name("parameter")
            if given is not None and re.search(rf"\b{re.escape(name)}\b".encode(), self.tree.text(given)):
                return None  # a function has a parameter of that name
            for child in scope.children:
                inner = child
                if child.type in ("export_statement", "ambient_declaration"):
                    inner = child.child_by_field_name("declaration") or child
                if inner.type not in self.kinds.classes:
                    continue
                named = inner.child_by_field_name("name")
                if named is not None and self.tree.text(named).decode("utf-8", "replace") == name:
                    return inner if inner.id != node.id else None
        return None


def _is_in_name(node: Node, at: int) -> bool:
    """Whether the offset `at` is in the name of a member."""
    names = names_in(node)
    return not names or any(each.start_byte <= at < each.end_byte for each in names)
