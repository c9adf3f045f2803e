"""Reduces Markdown from a model or a program to text and code: without links, images and HTML.

Editors show it as a preview, which fetches images, may run a command behind a link, and renders HTML. This module does
not assume that it reads Markdown as the editor does. Fenced blocks and inline code are rewritten so that they can only
be read in one way. All other backquotes are escaped, and so is everything that could begin a link or HTML.
"""

from __future__ import annotations

import re

_FENCE = re.compile(r"^( {0,12})(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`]*$")
# Previews render blocks of these languages instead of showing their text.
_DRAWN = frozenset({"mermaid", "math", "katex", "dot", "graphviz", "plantuml", "abc", "geojson", "topojson", "stl"})
# The elements of HTML. Other names in angle brackets, such as those of types, are kept as text.
_ELEMENT_NAMES = """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body br
    button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed
    fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe
    img input ins kbd keygen label legend li link main map mark marquee math menu meta meter nav nobr noframes noscript
    object ol optgroup option output p param picture plaintext portal pre progress q rp rt ruby s samp script search
    section select slot small source span strike strong style sub summary sup svg table tbody td template textarea
    tfoot th thead time title tr track tt u ul var video wbr xmp
"""
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
# Elements whose content is not meant to be read.
_HIDDEN = "script style iframe svg math object video audio canvas template noframes noscript"
# Targets of links that are shown beside the link's text; of other links only the text is kept.
_WEB = re.compile(r"https?://", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
# Each piece is at most some thousand characters long, so that an unfinished piece does not take long to match.
_BRACKETED = r"(?:\\.|[^\[\]\\]|\[(?:\\.|[^\[\]\\]|\[[^\[\]]{0,500}\]){0,500}\]){0,500}"
_ROUND = r"(?:\\.|[^()\\]|\((?:\\.|[^()\\]|\([^()]{0,500}\)){0,500}\)){0,2000}"
_PIECE = re.compile(
    rf"""
      (?P<escape>\\[!-/:-@\[-`{{-~])
    | (?<!`)(?P<ticks>`+)(?!`)(?P<code>[^\n]{{0,1000}}?[^`\n])(?P=ticks)(?!`)
    | (?P<hidden><(?P<whole>{"|".join(_HIDDEN.split())})\b[^>]{{0,2000}}>.{{0,8000}}?</(?P=whole)\s*>
        |<!--.{{0,4000}}?-->|<\?.{{0,4000}}?\?>|<!\[CDATA\[.{{0,4000}}?\]\]>|<![a-z][^>]{{0,2000}}>)
    | <(?P<auto>[a-z][a-z0-9+.-]*:[^\s<>]*|[\w.+-]+@[\w.-]+)>
    | (?P<tag></?(?P<name>[a-z][a-z0-9-]*)(?P<attributes>(?:\s[^<>]{{0,2000}})?)/?>)
    | (?P<definition>^[\ \t>*+.)\d-]*)\[(?=(?:\\.|[^\[\]\\]){{1,999}}\]:)
    | !\[(?P<alt>{_BRACKETED})\](?:\({_ROUND}\)|\[[^\[\]]{{0,999}}\])?
    | \[(?P<text>{_BRACKETED})\]\((?P<to>{_ROUND})\)
    | \[(?P<named>{_BRACKETED})\]\[[^\[\]]{{0,999}}\]
    | (?P<bare>\b(?:[a-z][a-z0-9+.-]*://|mailto:|command:|javascript:|vscode:|www\.)[^\s<>`|\[\]]*[^\s<>`|\[\]().,;:!?'"*_]
        |[\w.+-]+@[\w-]+\.[\w.-]*\w)
    | (?P<open><)(?![\s=\d<-]|$)
    | (?P<close>\])(?=[(\[])
    | (?P<tick>`)
    | (?P<tildes>~~~+)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
_RULE = re.compile(r"^[\s|:>*+-]*-[\s|:-]*$", re.MULTILINE)
# A text that still changes after this many passes gets all its special characters escaped.
_MOST_TIMES = 6


def plain_markdown(text: str) -> str:
    """`text` without links, images and HTML. Plain text stays as it is."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    parts: list[str] = []
    prose: list[str] = []
    row = 0
    while row < len(lines):
        fence = _FENCE.match(lines[row])
        if fence is None:
            prose.append(lines[row])
            row += 1
            continue
        end = next((at for at in range(row + 1, len(lines)) if _closes(lines[at], fence)), len(lines))
        if prose:
            parts.append(_settled("\n".join(prose)))
            prose = []
        if len(fence[1]) > 3 and parts and parts[-1].rpartition("\n")[2].strip():
            parts.append("")
        parts.append(_block(fence, lines[row + 1 : end]))
        row = end + 1
    if prose:
        parts.append(_settled("\n".join(prose)))
    return "\n".join(parts)


def _closes(line: str, fence: re.Match[str]) -> bool:
    found = _FENCE.match(line)
    if found is None or found[3] or found[2][0] != fence[2][0] or len(found[2]) < len(fence[2]):
        return False
    return not line.strip(" \t`~") and len(found[1]) <= len(fence[1]) + 3


def _block(fence: re.Match[str], lines: list[str]) -> str:
    """A fenced block with an end, and with a fence longer than any inside, so that no line can end it early."""
    indent, tag = fence[1], fence[3]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    mark = indent + "`" * max(3, longest + 1)
    inner = [line if not line.strip() or line.startswith(indent) else indent + line.lstrip(" \t") for line in lines]
    return "\n".join([mark + ("" if tag.lower() in _DRAWN else tag), *inner, mark])


def _settled(text: str) -> str:
    """`text` after passes until nothing changes, because a removal may join the text around it into a new link."""
    for _ in range(_MOST_TIMES):
        after = _without(text)
        if after == text:
            return text
        text = after
    return re.sub(r"(?<!\\)([`<\[\]!])", r"\\\1", re.sub(r"\\", "", text))


def _without(text: str) -> str:
    in_table = _RULE.search(text) is not None
    return _PIECE.sub(lambda piece: _replaced(piece, in_table=in_table), text)


def _replaced(piece: re.Match[str], *, in_table: bool) -> str:
    found = piece.groupdict()
    if found["escape"] is not None:
        return piece[0]
    if found["code"] is not None:
        # A bar ends a cell of a table even inside code.
        return re.sub(r"(?<!\\)\|", r"\\|", piece[0]) if in_table else piece[0]
    if found["hidden"] is not None:
        return " "
    if found["auto"] is not None:
        return _apart(piece, _as_code(found["auto"]))
    if found["tag"] is not None:
        known = found["name"].lower() in _ELEMENTS or "=" in found["attributes"]
        return " " if known else "\\" + piece[0]
    if found["definition"] is not None:
        return found["definition"] + "\\["
    for kind in ("alt", "named"):
        if found[kind] is not None:
            return found[kind]
    if found["text"] is not None:
        return _link(found["text"], found["to"])
    if found["bare"] is not None:
        return _apart(piece, _as_code(found["bare"]))
    if found["tildes"] is not None:
        return "\\~" * len(piece[0])
    return "\\" + piece[0]  # a possible start of HTML or end of a link's text, or a single backquote


def _link(text: str, to: str) -> str:
    """A link as its text, followed by its target if that is a web page or a path in the project."""
    target = to.strip().split()[0].strip("<>") if to.strip() else ""
    if not target or target == text or (_SCHEME.match(target) and not _WEB.match(target)):
        return text
    return f"{text} ({_as_code(target)})"


def _apart(piece: re.Match[str], code: str) -> str:
    """`code` with spaces where it would touch text that could become part of the code."""
    before, behind = piece.string[: piece.start()][-1:], piece.string[piece.end() :][:1]
    lead = "" if not before or before.isspace() or before in "(:,;*_\"'" else " "
    tail = "" if not behind or behind.isspace() or behind in "),.:;!?*_\"'" else " "
    return lead + code + tail


def _as_code(text: str) -> str:
    return f"`{text.replace('`', '')}`"
