"""Guesses the language of a text for clients that do not send it. Guesses nothing unless there are many signs."""

from __future__ import annotations

import re

# At most this many bytes of a text are examined, around its middle.
_MOST_BYTES = 5 << 10
# The most times that one sign counts.
_MOST_TIMES = 6
_LEAST_SCORE, _LEAST_LEAD = 3, 1.3
# With this many tags, signs of these languages may come from the scripts and styles of a page, or from a component
# whose file has another language.
_IN_PAGES, _A_PAGE, _PAGE = ("javascript", "typescript", "css"), 4, b"<!doctype html"

# For each language, by its LSP identifier: signs, each a pattern and the score of one match.
_SIGNS: dict[str, tuple[tuple[str, int], ...]] = {
    "python": (
        (r"^[ \t]*(?:async )?def \w+\(.*\)(?: ->.*)?:", 3),
        (r"^[ \t]*class \w+(?:\(.*\))?:[ \t]*$", 3),
        (r"^(?:from [\w.]+ )?import [\w., ]+$", 2),
        (r"^[ \t]*(?:if|elif|for|while|with|except)\b.*:[ \t]*$", 2),
        (r"^[ \t]*(?:else|try|finally):[ \t]*$", 2),
        (r"\bself\.\w", 1),
    ),
    "javascript": (
        (r"\b(?:const|let|var) [\w{\[][^=\n]* = ", 2),
        (r"=> [\w({\[]", 1),
        (r"\bfunction \w*\(.*\) \{", 2),
        (r"^import .* from ['\"]", 3),
        (r"\brequire\(['\"]|module\.exports", 3),
        (r"===|!==", 2),
        (r"^export (?:default|const|class|function|async)\b", 3),
        (r"\bthis\.\w", 1),
    ),
    "typescript": (
        (r"\b(?:const|let|var) [\w{\[][^=\n]* = ", 2),
        (r"=> [\w({\[]", 1),
        (r"^import .* from ['\"]", 3),
        (r"===|!==", 2),
        (r"^export (?:default|const|class|function|async)\b", 3),
        (r"\w\??: (?:string|number|boolean|void|unknown|any|Promise<)", 3),
        (r"^(?:export )?(?:interface \w+|type \w+ =)", 4),
        (r"\bthis\.\w", 1),
    ),
    "go": (
        (r"^package \w+$", 4),
        (r"^func (?:\(\w+ \*?\w+\) )?\w+\(", 3),
        (r"\w := ", 2),
        (r"\berr != nil\b", 3),
        (r"^type \w+ (?:struct|interface) \{", 4),
    ),
    "rust": (
        (r"\bfn \w+(?:<.*>)?\(", 3),
        (r"\blet (?:mut )?\w+", 1),
        (r"^[ \t]*(?:pub )?(?:impl|trait|mod|enum|struct)\b.*\{", 2),
        (r"^use [\w:]+(?:::|;)", 3),
        (r"&(?:mut|self|str)\b", 2),
        (r"^[ \t]*#!?\[\w+", 3),
        (r"\b(?:Some|Ok|Err)\(|::new\(|\w!\(", 1),
    ),
    "c": (
        (r"^#include [<\"][\w/]+\.h[>\"]", 3),
        (r"^#(?:define|ifndef|ifdef|endif)\b", 2),
        (r"^(?:static |const |unsigned )*(?:int|char|void|size_t|struct \w+|bool) \*?\w+\(", 3),
        (r"\w->\w", 1),
        (r"\b(?:malloc|free|printf|sizeof|strlen|memcpy)\(", 2),
    ),
    "cpp": (
        (r"^#include <\w+>", 4),
        (r"\bstd::", 3),
        (r"^(?:namespace \w+|template ?<|using namespace)", 4),
        (r"^[ \t]*(?:public|private|protected):", 4),
        (r"\w::\w", 1),
        (r"\bconst \w+(?:<.*>)?& \w", 2),
    ),
    "java": (
        (r"^import (?:static )?[a-z]+(?:\.\w+)+(?:\.\*)?;", 4),
        (r"^package [\w.]+;", 4),
        (r"\b(?:public|private|protected) (?:static |final |abstract )*[\w<>\[\], ]+\(.*\)(?: throws \w+)? \{", 2),
        (r"\b(?:private|protected|public) (?:static )?final \w", 3),
        (r"@Override|System\.out", 4),
        (r"\bnew \w+(?:<.*>)?\(", 1),
    ),
    "csharp": (
        (r"^using [\w.]+;", 4),
        (r"^namespace [\w.]+", 4),
        (r"\{ get;", 4),
        (r"\b(?:public|private|internal|protected) (?:readonly|override|async|sealed|record|string|virtual)\b", 3),
        (r"\bvar \w+ = ", 1),
        (r"\bConsole\.|\bforeach \(", 2),
        (r"\b(?:public|private|internal) [\w<>\[\]?, ]+\(.*\)$", 2),
    ),
    "kotlin": (
        (r"\bfun (?:\w+\.)?\w+\(", 3),
        (r"\bval \w+", 1),
        (r"\b(?:data|sealed|open) class \w", 4),
        (r"\bwhen \(|\?: |\?\.", 2),
        (r"^import [\w.]+$", 1),
    ),
    "swift": (
        (r"\bfunc \w+(?:<.*>)?\(", 2),
        (r"\b(?:guard|if) let \w", 4),
        (r"\blet \w+(?:: [\w\[\]?]+)? = ", 1),
        (r"\bfunc \w+\(.*\) (?:throws )?-> [\w\[\]?]+ \{", 3),
        (r"^(?:struct|extension|protocol|final class|class|enum) \w+(?:: [\w, ]+)? \{", 2),
        (r"\binit\(|\bself\.\w", 1),
    ),
    "ruby": (
        (r"^[ \t]*def [\w.?!=]+(?:\(.*\))?[ \t]*$", 3),
        (r"^[ \t]*end[ \t]*$", 1),
        (r"\b(?:do|\{) \|[\w, ]+\|", 3),
        (r"^require(?:_relative)? ['\"]", 4),
        (r"(?<!\w)@\w+", 1),
        (r"\battr_(?:reader|accessor)\b|\.nil\?|\bunless\b", 3),
    ),
    "php": (
        (r"<\?php", 6),
        (r"\$\w+(?:->\w| = )", 2),
        (r"\bfunction \w*\(.*\$", 3),
        (r"\$this->", 2),
    ),
    "lua": (
        (r"^[ \t]*local (?:function )?\w+", 3),
        (r"\bthen[ \t]*$", 1),
        (r"^[ \t]*end[,)]?[ \t]*$", 1),
        (r"\bfunction [\w.:]*\(.*\)[ \t]*$", 2),
        (r"\w:\w+\(|~=| \.\. ", 1),
    ),
    "shellscript": (
        (r"^#!.*\b(?:ba|z|da|k)?sh\b", 6),
        (r"^[ \t]*(?:fi|done|esac|;;)\b", 3),
        (r"\$\{\w|\"\$\w|\$\(", 1),
        (r"\b(?:if|while) \[\[? ", 3),
        (r"\b(?:then|do)[ \t]*$", 1),
    ),
    "scala": (
        (r"\bdef \w+(?:\[.*\])?(?:\(.*\))?(?:: [\w\[\], ]+)? =", 3),
        (r"\b(?:case class|object|trait|sealed trait) \w", 3),
        (r"\bval \w+", 1),
        (r"^import [\w.]+(?:\.\{.*\}|\._)?$", 1),
    ),
    "html": ((r"<!DOCTYPE|</?(?:html|head|body|div|span|script|p|ul|li|a|table|form)\b", 2),),
    "css": ((r"^[.#\w@:*][^{};=(]*\{[ \t]*$", 2), (r"^[ \t]+[a-z-]+: [^;{}]+;[ \t]*$", 1)),
    "sql": (
        (r"(?i)^(?:select|insert into|create table|update \w+ set|delete from|alter table)\b.", 3),
        (r"\b(?:FROM|WHERE|GROUP BY|ORDER BY|INNER JOIN|LEFT JOIN|PRIMARY KEY)\b", 2),
    ),
}
_COMPILED = {
    language: tuple((re.compile(pattern.encode(), re.MULTILINE), worth) for pattern, worth in signs)
    for language, signs in _SIGNS.items()
}


def guess_language(source: bytes) -> str:
    """The LSP identifier of a text's language; empty if that is not clear."""
    start = max(0, (len(source) - _MOST_BYTES) // 2)
    part = source[start : start + _MOST_BYTES]
    scores = {
        language: sum(worth * min(_MOST_TIMES, len(pattern.findall(part))) for pattern, worth in signs)
        for language, signs in _COMPILED.items()
    }
    # TypeScript is JavaScript with types. Without types, or with more of its own signs, the text is JavaScript.
    del scores["typescript" if scores["javascript"] >= scores["typescript"] else "javascript"]
    (best, score), (_, second) = sorted(scores.items(), key=lambda entry: -entry[1])[:2]
    if scores["html"] >= _A_PAGE and max(scores.get(name, 0) for name in _IN_PAGES) >= _A_PAGE:
        return "html" if _PAGE in part.lower() else ""
    return best if score >= _LEAST_SCORE and score >= _LEAST_LEAD * second else ""
