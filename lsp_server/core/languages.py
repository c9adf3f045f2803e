"""The languages fimble knows, one entry of data each. Unknown ones work by indentation alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Language:
    """What fimble knows of a language.

    name: how people write it. ids: its LSP language identifiers. files: file name patterns.
    comment: how a line comment starts and ends; the end is empty for most. wheel: the module of its
    tree-sitter grammar and the function in it, empty without one. imports: node kinds, at the top level,
    that bring names into the file.
    """

    name: str
    ids: tuple[str, ...]
    files: tuple[str, ...]
    comment: tuple[str, str] = ("#", "")
    wheel: tuple[str, str] | None = None
    imports: frozenset[str] = field(default_factory=frozenset)

    def as_comment(self, line: str) -> str:
        """`line` as a comment of this language, without trailing white space."""
        start, end = self.comment
        return f"{start} {line} {end}".rstrip() if line else f"{start} {end}".rstrip()


_SLASHES = ("//", "")
_TAGS = ("<!--", "-->")


def _language(
    name: str,
    ids: str,
    files: str,
    comment: tuple[str, str] = ("#", ""),
    wheel: str = "",
    imports: str = "",
) -> Language:
    module, _, function = wheel.partition(":")
    return Language(
        name,
        tuple(ids.split()),
        tuple(files.split()),
        comment,
        (module, function or "language") if module else None,
        frozenset(imports.split()),
    )


LANGUAGES: tuple[Language, ...] = (
    _language(
        "Python",
        "python",
        "*.py *.pyi *.pyw",
        wheel="tree_sitter_python",
        imports="import_statement import_from_statement future_import_statement",
    ),
    _language(
        "JavaScript",
        "javascript javascriptreact",
        "*.js *.jsx *.mjs *.cjs",
        _SLASHES,
        "tree_sitter_javascript",
        "import_statement",
    ),
    _language(
        "TypeScript",
        "typescript",
        "*.ts *.mts *.cts",
        _SLASHES,
        "tree_sitter_typescript:language_typescript",
        "import_statement",
    ),
    _language(
        "TSX",
        "typescriptreact",
        "*.tsx",
        _SLASHES,
        "tree_sitter_typescript:language_tsx",
        "import_statement",
    ),
    _language(
        "Java",
        "java",
        "*.java",
        _SLASHES,
        "tree_sitter_java",
        "package_declaration import_declaration",
    ),
    _language(
        "C",
        "c",
        "*.c *.h",
        _SLASHES,
        "tree_sitter_c",
        "preproc_include",
    ),
    _language(
        "C++",
        "cpp cuda-cpp",
        "*.cc *.cpp *.cxx *.hh *.hpp *.hxx *.cu *.cuh",
        _SLASHES,
        "tree_sitter_cpp",
        "preproc_include using_declaration",
    ),
    _language(
        "Go",
        "go",
        "*.go",
        _SLASHES,
        "tree_sitter_go",
        "package_clause import_declaration",
    ),
    _language(
        "Rust",
        "rust",
        "*.rs",
        _SLASHES,
        "tree_sitter_rust",
        "use_declaration extern_crate_declaration",
    ),
    _language("Kotlin", "kotlin", "*.kt *.kts", _SLASHES),
    _language("Scala", "scala", "*.scala *.sc", _SLASHES),
    _language("C#", "csharp", "*.cs", _SLASHES),
    _language("Swift", "swift", "*.swift", _SLASHES),
    _language("Ruby", "ruby", "*.rb Gemfile Rakefile"),
    _language("PHP", "php", "*.php", _SLASHES),
    _language("Lua", "lua", "*.lua", ("--", "")),
    _language("Bash", "shellscript bash sh", "*.sh *.bash"),
    _language("SQL", "sql", "*.sql", ("--", "")),
    _language("HTML", "html", "*.html *.htm", _TAGS),
    _language("CSS", "css scss less", "*.css *.scss *.less", ("/*", "*/")),
    _language("JSON", "json jsonc", "*.json *.jsonc", _SLASHES),
    _language("YAML", "yaml", "*.yaml *.yml"),
    _language("TOML", "toml", "*.toml"),
    _language("Markdown", "markdown", "*.md *.markdown", _TAGS),
)

UNKNOWN = Language("plain text", (), ())


@lru_cache(maxsize=256)
def find_language(language_id: str, path: str = "") -> Language:
    """The language of a document: by the client's identifier, else by its file name, else `UNKNOWN`."""
    for language in LANGUAGES:
        if language_id in language.ids:
            return language
    name = PurePosixPath(path).name
    for language in LANGUAGES:
        if any(fnmatch(name, pattern) for pattern in language.files):
            return language
    return UNKNOWN
