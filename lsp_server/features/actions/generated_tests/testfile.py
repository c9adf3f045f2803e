"""Adds the imports and tests of an answer to a new or an existing test file. For C and C++ `c_tests` does that."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable

from lsp_server.core.languages import Language
from lsp_server.core.outline import definitions, top_level
from lsp_server.features.actions.generated_tests.place import Place
from lsp_server.features.actions.generated_tests.testparts import Parts, fresh_name

# The attributes before a Rust module with tests.
_TESTS_ONLY = re.compile(rb"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*$")


def joined(parts: Parts, existing: str, place: Place, language: Language, source: str) -> str:
    added = [code.strip("\n") for _, code in [*parts.helpers, *parts.tests]]
    if language.name == "Rust":
        return _rust_file(parts, existing, added, language)
    if language.name == "Java":
        return _java_file(parts, existing, added, place, language, source)
    gap = "\n\n\n" if language.name == "Python" else "\n\n"
    imports = _missing([*place.imports, *parts.imports], existing, place)
    if not existing.strip():
        head = ""
        if language.name == "Go":
            package = re.search(r"^package\s+(\w+)", source, re.MULTILINE)
            head = f"package {package[1] if package else 'main'}\n\n"
        ordered = _sorted_imports(imports) if language.name == "Python" else "\n".join(imports)
        return f"{head}{ordered}{gap}{gap.join(added)}\n"
    text = _with_imports(existing, imports, language)
    at = _main_guard(text, language) if language.name == "Python" else len(text)
    body, tail = text[:at], text[at:].strip("\n")
    return gap.join([body.rstrip("\n"), *added, *([tail] if tail else [])]) + "\n"


def _main_guard(text: str, language: Language) -> int:
    """The offset of `if __name__ == …` with the comments above it; the end of the text if there is none."""
    source = text.encode()
    at = len(source)
    for kind, start, end in reversed(top_level(language, source)):
        if source.startswith(b"if __name__", start) or (kind == "comment" and source[end:at] == b"\n"):
            at = start
        elif at < len(source):
            break
    return len(source[:at].decode())


def _sorted_imports(imports: Iterable[str]) -> str:
    """Sorted imports in three groups: the standard library, pytest, all others."""
    groups: list[list[str]] = [[], [], []]
    for line in imports:
        top = re.split(r"[\s.]+", line)[1]
        groups[0 if top in sys.stdlib_module_names else 1 if top == "pytest" else 2].append(line)
    return "\n\n".join("\n".join(sorted(group)) for group in groups if group)


def _missing(imports: Iterable[str], existing: str, place: Place) -> list[str]:
    """The import lines that a file lacks, also in another spelling."""
    squeezed = {re.sub(r"[\s;'\"]+", " ", line).strip() for line in existing.split("\n")}
    missing = []
    for line in dict.fromkeys(imports):
        match = re.match(r"from (\S+) import (\w+)$", line) or re.match(
            r"(?:import|const) (?:\{ )?(\w+)(?: \})? (?:from|=) ", line
        )
        name = match[match.lastindex or 1] if match else ""
        there = bool(name) and bool(re.search(rf"^[ \t]*(?:from|import|const)\b.*\b{name}\b", existing, re.MULTILINE))
        framework = re.match(r'import "([\w/]+)"', line)
        there = there or bool(framework and f'"{framework[1]}"' in existing)
        there = (
            there
            or ("vitest" in line and "vitest" in existing)
            or ("node:" in line and line.split('"')[-2] in existing)
        )
        if not there and re.sub(r"[\s;'\"]+", " ", line).strip() not in squeezed:
            missing.append(line)
    return missing


def _with_imports(existing: str, imports: list[str], language: Language) -> str:
    if not imports:
        return existing
    source = existing.encode()
    kinds = language.imports | {"package_clause"}
    nodes = top_level(language, source)
    ends = [
        end
        for kind, start, end in nodes
        if kind in kinds or (kind == "lexical_declaration" and b"require(" in source[start:end])
    ]
    block = "\n".join(imports)
    if not ends:
        first = next(((start, end) for kind, start, end in nodes if kind != "comment"), (0, 0))
        doc = language.name == "Python" and source.startswith((b'"""', b"'''"), first[0])
        if not doc:
            above = re.match(r"(?:#.*\n)*\n*", existing)  # a line `#!` and comments on the encoding stay first
            at = above.end() if above else 0
            return f"{existing[:at]}{block}\n\n{existing[at:]}"
        ends = [first[1]]
        block = "\n" + block
    at = max(ends)
    rest = source[at:].partition(b"\n")[0]
    if rest.strip().startswith((b"#", b"//")):
        at += len(rest)
    return source[:at].decode() + "\n" + block + source[at:].decode()


def _rust_file(parts: Parts, existing: str, added: list[str], language: Language) -> str:
    """Rust: adds the unit tests to the file under test, in its existing test module or in a new one."""
    body = textwrap.indent("\n\n".join(added), "    ")
    source = existing.encode()
    taken: set[str] = set()
    for kind, start, end in top_level(language, source):
        module = re.match(rb"(?:pub\s+)?mod\s+(\w+)\s*(\{|;)", source[start:end]) if kind == "mod_item" else None
        if module is None:
            continue
        taken.add(module[1].decode())
        if module[2] == b"{" and _TESTS_ONLY.search(source[:start]):
            inside = start + module.end()
            inner = source[inside : end - 1].decode().rstrip()
            lines = [] if "super::" in inner else ["use super::*;"]
            lines += [line for line in parts.imports if line not in inner]
            gap = "\n" if lines and not inner.lstrip().startswith("use ") else ""
            missing = "".join(f"\n    {line}" for line in lines) + gap
            return f"{source[:inside].decode()}{missing}{inner}\n\n{body}\n{source[end - 1 :].decode()}"
    name = fresh_name("tests", taken) if "tests" in taken else "tests"
    uses = "\n".join(f"    {line}" for line in ("use super::*;", *parts.imports))
    return f"{existing.rstrip()}\n\n#[cfg(test)]\nmod {name} {{\n{uses}\n\n{body}\n}}\n"


def _java_file(parts: Parts, existing: str, added: list[str], place: Place, language: Language, source: str) -> str:
    body = textwrap.indent("\n\n".join(added), "    ")
    if existing.strip():
        there = existing.encode()
        classes = [one for one in definitions(language, there) if one.kind == "class" and not one.parents]
        if classes:
            named = next((one for one in classes if one.name == place.file.stem), classes[-1])
            before, after = there[: named.end - 1].decode(), there[named.end - 1 :].decode()
            text = f"{before.rstrip()}\n\n{body}\n{after}"
        else:
            text = f"{existing.rstrip()}\n\nclass {place.file.stem} {{\n{body}\n}}\n"
        missing = [line for line in (*place.imports, *parts.imports) if line not in existing]
        found = re.search(r"^(package [^;]+;)", text, re.MULTILINE)
        if missing and found:
            block = "\n".join(missing)
            return f"{text[: found.end()]}\n\n{block}{text[found.end() :]}"
        return "\n".join([*missing, text]) if missing else text
    package = re.search(r"^package [^;]+;", source, re.MULTILINE)
    head = f"{package[0]}\n\n" if package else ""
    block = "\n".join(dict.fromkeys((*place.imports, *parts.imports)))
    return f"{head}{block}\n\nclass {place.file.stem} {{\n{body}\n}}\n"
