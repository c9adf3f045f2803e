"""Tests in C and C++: finds them in an answer by the framework's macros, and adds them to the file's other tests."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lsp_server.core.languages import Language, find_language
from lsp_server.core.outline import Definition, broken_at, definitions, top_level
from lsp_server.features.actions.generated_tests.frameworks import (
    INCLUDE,
    Framework,
    code_only,
    framework_named,
    includes,
    masked,
)
from lsp_server.features.actions.generated_tests.place import Place, name_parts
from lsp_server.features.actions.generated_tests.testparts import (
    ALREADY,
    NewTests,
    Parts,
    checks_target,
    fresh_name,
    leave_out_known,
    squeezed,
    used_helpers,
)
from lsp_server.features.untrusted_files import is_file

# The headers of the standard libraries, which an answer may include. C++ has some of C's headers under other names.
_STANDARD = re.compile(
    r"(?:c?(?:assert|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdarg|stdbool|stddef|stdint|stdio"
    r"|stdlib|string|time|uchar|wchar|wctype)(?:\.h)?|complex\.h|tgmath\.h|threads\.h|stdatomic\.h|unistd\.h"
    r"|algorithm|any|array|atomic|bit|bitset|charconv|chrono|compare|complex|concepts|condition_variable|deque"
    r"|exception|execution|expected|filesystem|format|forward_list|fstream|functional|future|initializer_list|iomanip"
    r"|ios|iosfwd|iostream|istream|iterator|limits|list|locale|map|memory|memory_resource|mutex|new|numbers|numeric"
    r"|optional|ostream|queue|random|ranges|ratio|regex|scoped_allocator|set|shared_mutex|source_location|span|sstream"
    r"|stack|stdexcept|streambuf|string|string_view|system_error|thread|tuple|type_traits|typeindex|typeinfo"
    r"|unordered_map|unordered_set|utility|valarray|variant|vector)"
)
# Namespaces from which an answer may use names.
_USING = re.compile(r"using\s+(?:namespace\s+)?(?:::)?(?:std|testing|doctest|Catch)\b")
_POINTER = re.compile(r"\(\s*\*\s*(\w+)")  # a pointer to a function
# More than code has in practice. Each namespace is parsed separately.
_MOST_NAMESPACES = 10
_NAMED = re.compile(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:[=;({]|$)")


@dataclass(frozen=True, slots=True)
class _Item:
    """An item at the top level of a file or of a namespace in it. Offsets are bytes of the file."""

    kind: str
    start: int
    end: int


def add_c_tests(
    text: str, existing: str, place: Place, language: Language, target: Definition, source: str
) -> NewTests:
    """The test file with the tests from one reading of an answer. language, source: of the file under test, whose
    header may be in another language than its tests. Raises SyntaxError."""
    framework = framework_named(place.framework)
    parts = _parts(text, existing, place, target)
    if not parts.tests:
        return NewTests()
    *around, name = name_parts(target.name)
    named = replace(target, name=name, parents=(*target.parents, *around))
    check = re.compile(framework.checks)
    if name.startswith("operator"):  # a test uses an operator by its sign, so the name cannot be searched for
        parts.tests = [test for test in parts.tests if check.search(_body(test)[1])]
    else:
        parts.tests = [test for test in parts.tests if checks_target(_body(test), parts.helpers, named, check)]
    if not parts.tests:
        return NewTests(problem=f"no test in the answer checks `{target.name}`")
    _rename_taken(parts, existing, place)
    if not parts.tests:
        return NewTests(problem=ALREADY)
    names = tuple(name for name, _ in parts.tests)
    problem = _unregistered(framework, place, existing, names)
    if problem:
        return NewTests(problem=problem)
    joined = _added(framework, place, parts, existing) if existing.strip() else _new(framework, place, parts)
    broken = [broken_at(_language(place), masked(framework, each.encode())) for each in (joined, existing)]
    if len(broken[0]) > len(broken[1]):
        return NewTests(problem="the test file would not parse")
    return NewTests(joined, names)


def _parts(text: str, existing: str, place: Place, target: Definition) -> Parts:
    """The parts of an answer that can be added to `existing`. Raises SyntaxError."""
    framework, language = framework_named(place.framework), _language(place)
    source = text.encode("utf-8", "replace")
    errors = broken_at(language, masked(framework, source))
    parts = Parts(imports=_imports(text, place))
    under_test = set(re.findall(r"\w+", " ".join((target.name, *target.parents))))
    for item in _items(framework, language, source):
        if any(first < item.end and item.start <= last for first, last in errors):
            continue
        code = textwrap.dedent(_code(source, item))
        test = re.match(framework.tests, code) if item.kind == "function_definition" else None
        if test:
            parts.tests.append((_key(test), code))
        elif item.kind == "using_declaration":
            if _USING.match(code):
                parts.imports.append(code)
        elif (name := _name(item.kind, code, framework, language)) and name not in {*under_test, "main"}:
            parts.helpers.append((name, code))
    if errors and not parts.tests and re.search(framework.tests, text):
        line = source.count(b"\n", 0, errors[0][0]) + 1
        raise SyntaxError("the code is broken", ("", line, 1, ""))
    given = [name for name, _ in framework.fixtures]
    parts.helpers = used_helpers(parts.helpers, "\n".join([*given, *(code for _, code in parts.tests)]))
    known = {*(name for name, _ in parts.helpers), *re.findall(r"\w+", existing)}
    parts.tests = [test for test in parts.tests if not _fixture(test[1]) or _fixture(test[1]) in known]
    return parts


def _body(test: tuple[str, str]) -> tuple[str, str]:
    """A test without its head, whose names do not show what it checks. A fixture counts as part of the body."""
    name, code = test
    return name, f"{_fixture(code)} {code.partition('{')[2]}"


def _fixture(code: str) -> str:
    """The fixture class of a test; empty if it has none."""
    fixture = re.match(r"\w+_(?:F|METHOD|FIXTURE)\s*\(\s*(\w+)", code)
    return fixture[1] if fixture else ""


def _rename_taken(parts: Parts, existing: str, place: Place) -> None:
    """Drops parts that the file has already, and renames tests and helpers whose names are taken."""
    framework, language = framework_named(place.framework), _language(place)
    source = existing.encode("utf-8", "replace")
    items = [(item.kind, _code(source, item)) for item in _items(framework, language, source)]
    found = list(re.finditer(framework.tests, existing))  # inside `#if` too
    keys = {_key(test) for test in found}
    suites = {test["suite"]: test[0].partition("(")[0] for test in found if "suite" in test.groupdict()}
    taken = {_name(kind, code, framework, language) for kind, code in items} | suites.keys()
    taken |= {one.name for one in definitions(language, masked(framework, source))}
    given = {name for name, _ in framework.fixtures}
    parts.helpers = [(name, code) for name, code in parts.helpers if name not in taken & given]
    leave_out_known(parts, existing, taken)
    kept: list[tuple[str, str]] = []
    for _, text in parts.tests:
        code = text
        test = re.match(framework.tests, code)
        assert test is not None
        if _key(test) in keys:
            suite = _key(test).removesuffix(test["name"])
            among = {key.removeprefix(suite) for key in keys}
            fresh = fresh_name(test["name"], among, " " if '"' in test[0] else "" if suite else "_")
            code = code[: test.start("name")] + fresh + code[test.end("name") :]
            test = re.match(framework.tests, code)
            assert test is not None
        # All tests of a suite use the same macro, because an earlier answer may have added a fixture class for it.
        if (macro := suites.get(test.groupdict().get("suite") or "")) and test[0].partition("(")[0] != macro:
            code = macro + code[code.index("(") :]
        keys.add(_key(test))
        kept.append((_key(test), code))
    parts.tests = kept


# Reading --------------------------------------------------------------------------------------------------


def _language(place: Place) -> Language:
    return find_language("", place.file.name)


def _items(framework: Framework, language: Language, source: bytes, offset: int = 0, depth: int = 0) -> Iterator[_Item]:
    """The items at the top level, and in namespaces and suites there."""
    text = masked(framework, source)
    for kind, start, end in top_level(language, text):
        if (
            kind == "namespace_definition"
            and depth < _MOST_NAMESPACES
            and (brace := text.find(b"{", start, end)) >= 0
            and text[end - 1 : end] == b"}"
        ):
            yield from _items(framework, language, source[brace + 1 : end - 1], offset + brace + 1, depth + 1)
            continue
        if framework.closing and (closing := re.match(framework.closing.encode(), source[end:])):
            yield _Item(kind, start + offset, end + closing.end() + offset)
        elif text[end : end + 1] == b";":
            yield _Item(kind, start + offset, end + 1 + offset)
        else:
            yield _Item(kind, start + offset, end + offset)


def _code(source: bytes, item: _Item) -> str:
    """The text of an item, with the white space before it in its line."""
    first = source.rfind(b"\n", 0, item.start) + 1
    lead = source[first : item.start]
    return (source[first : item.end] if not lead.strip() else source[item.start : item.end]).decode("utf-8", "replace")


def _key(test: re.Match[str]) -> str:
    """The name of a test in the test runner."""
    suite = test.groupdict().get("suite")
    return f"{suite}.{test['name']}" if suite else test["name"]


def _name(kind: str, code: str, framework: Framework, language: Language) -> str:
    """The name that an item introduces; empty if it is unknown."""
    code = code.strip()
    if kind in {"function_definition", "template_declaration", "class_specifier", "struct_specifier", "enum_specifier"}:
        found = definitions(language, code.encode("utf-8", "replace"))
        return found[0].name if found and found[0].name not in framework.functions else ""
    if kind.startswith("preproc_"):
        macro = re.match(r"#\s*define\s+(\w+)", code)
        own = {*framework.functions, *framework.blocks, *framework.scopes, *framework.gone}
        return macro[1] if macro and macro[1] not in own else ""
    if kind == "type_definition":
        named = re.search(r"(\w+)\s*;\s*$", code)
    else:
        is_variable = kind in {"declaration", "alias_declaration"}
        named = (_POINTER.search(code) or _NAMED.search(code)) if is_variable else None
    return named[1] if named else ""


def _imports(text: str, place: Place) -> list[str]:
    """The includes of an answer that are safe to add: of the standard library, of the framework, and of files that
    exist. The header under test is included by our own line."""
    framework = framework_named(place.framework)
    ours = "\n".join(place.imports)
    is_old = bool(framework.defined_for and re.search(framework.defined_for, ours))
    found = []
    for opener, path in INCLUDE.findall(text):
        line = f"#include <{path}>" if opener == "<" else f'#include "{path}"'
        is_more = bool(framework.more) and not is_old and re.fullmatch(framework.more, path)
        file = place.file.parent / path
        is_there = opener == '"' and is_file(file) and file.resolve().is_relative_to(place.root.resolve())
        if (_STANDARD.fullmatch(path) or is_more or is_there) and not _is_included(line, ours, framework):
            found.append(line)
    return list(dict.fromkeys(found))


# Writing --------------------------------------------------------------------------------------------------


def _head(imports: Sequence[str]) -> str:
    """The head of a file: includes from outside, includes of the project, and using declarations."""
    lines = list(dict.fromkeys(imports))
    uses = [line for line in lines if line.startswith("using")]
    outside = [line for line in lines if re.match(r"#\s*include\s*<", line)]
    others = [line for line in lines if line not in uses and line not in outside]
    blocks = ("\n".join(block) for block in (outside, others, uses))
    return "\n\n".join(block for block in blocks if block)


def _is_included(line: str, existing: str, framework: Framework) -> bool:
    """Whether a file has an include, possibly in another spelling."""
    included = INCLUDE.search(line)
    if included is None:
        return False
    paths = {path for _, path in INCLUDE.findall(existing)}
    names = {path.rpartition("/")[2] for path in paths}
    own = includes(framework, line) and not re.search("gmock", line)
    there = included[2] in paths if included[1] == "<" else included[2].rpartition("/")[2] in names
    return there or (own and includes(framework, existing))


def _missing(imports: Sequence[str], existing: str, framework: Framework) -> list[str]:
    """The includes and using declarations that a file lacks. Inside a namespace, its names need no declaration."""
    code = code_only(existing.encode()).decode()
    there, opened = squeezed(code), set(re.findall(r"\bnamespace\s+([\w:]+)", code))
    missing = []
    for line in dict.fromkeys(imports):
        if not line.startswith("using"):
            is_there = _is_included(line, existing, framework)
        else:
            space = re.match(r"using\s+([\w:]+)::\w+;", line)
            is_there = squeezed(line) in there or (space is not None and space[1] in opened)
        if not is_there:
            missing.append(line)
    return missing


def _registration(framework: Framework, name: str, group: str) -> str:
    return framework.registration.replace("{name}", name).replace("{group}", group)


def _registered(framework: Framework, source: bytes) -> list[re.Match[bytes]]:
    """The lines that register tests, except those in comments."""
    return list(re.finditer(framework.registered.encode(), code_only(source))) if framework.registered else []


def _unregistered(framework: Framework, place: Place, existing: str, names: Sequence[str]) -> str:
    """The reason why new tests would not run in the existing file; empty if they would."""
    if not framework.registration or not existing.strip() or _registered(framework, existing.encode()):
        return ""
    if framework.generated and not re.search(r"\bmain\s*\(", existing):
        return ""
    line = _registration(framework, names[0], "…").rstrip(",")
    return f"{place.file.name} has no line such as `{line}`, without which no test runs"


def _new(framework: Framework, place: Place, parts: Parts) -> str:
    """The text of a new file."""
    helped = {name for name, _ in parts.helpers}
    fixtures = [code for name, code in framework.fixtures if name not in helped]
    indent = " " * 8 if framework.registration.endswith(",") else " " * 4
    lines = [indent + _registration(framework, name, "tcase") for name, _ in parts.tests]
    text = place.frame.replace("{registered}", "\n".join(lines))
    text = text.replace("{imports}", _head([*place.imports, *parts.imports]))
    return text.replace("{tests}", "\n\n".join([*fixtures, *_codes(parts)]))


def _codes(parts: Parts) -> list[str]:
    return [code.strip("\n") for _, code in [*parts.helpers, *parts.tests]]


def _added(framework: Framework, place: Place, parts: Parts, existing: str) -> str:
    """The file with the new tests after its others, registered in the same way."""
    source = existing.encode()
    items = list(_items(framework, _language(place), source))
    tests = [
        item
        for item in items
        if item.kind == "function_definition" and re.match(framework.tests, _code(source, item).lstrip())
    ]
    insertions: list[tuple[int, str]] = []
    registered = _registered(framework, source)
    if registered:
        last = registered[-1]
        group = (last.groupdict().get("group") or b"").decode()
        comma = "," if framework.registration.endswith(",") and not last[0].endswith(b",") else ""
        indent = _indent(source, last.start())
        lines = (f"\n{indent}{_registration(framework, name, group)}" for name, _ in parts.tests)
        insertions.append((last.end(), comma + "".join(lines)))
    text = "\n\n".join(_codes(parts))
    runner = registered[-1].start() if registered else source.find(b" main(")
    before = next((number for number, item in enumerate(items) if item.start <= runner < item.end), None)
    tests = [item for item in tests if not registered or item.end <= runner]  # C requires a declaration before its use
    if tests:
        end = tests[-1].end
        line = source[end:].partition(b"\n")[0]
        if line.strip().startswith(b"//"):
            end += len(line)
        insertions.append((end, "\n\n" + textwrap.indent(text, _indent(source, tests[-1].start))))
    elif before is not None:
        while before and items[before - 1].kind == "comment":
            before -= 1
        insertions.append((items[before].start, text + "\n\n"))
    else:
        insertions.append((len(source.rstrip()), f"\n\n{text}"))
    missing = _missing([*place.imports, *parts.imports], existing, framework)
    if missing:
        first = min((item.start for item in items if item.kind == "function_definition"), default=len(source))
        ends = [item.end for item in items if item.kind == "preproc_include" and item.end <= first]
        at = len(source[: max(ends)].rstrip()) if ends else 0
        uses = [line for line in missing if line.startswith("using")]
        block = "\n".join(line for line in missing if line not in uses)
        block += ("\n\n" if block or not ends else "\n") * bool(uses) + "\n".join(uses)
        insertions.append((at, "\n" + block if ends else block.lstrip("\n") + "\n\n"))
    for at, inserted in sorted(insertions, reverse=True):
        source = source[:at] + inserted.encode() + source[at:]
    return source.decode()


def _indent(source: bytes, offset: int) -> str:
    line = source[source.rfind(b"\n", 0, offset) + 1 :]
    return line[: len(line) - len(line.lstrip(b" \t"))].decode()
