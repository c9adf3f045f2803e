"""Refuses names for new files that tools would run or read without being asked, or that are special to a system.

The content of such a file comes from a model, and its place may come from a workspace's settings. So the file must be
plain code or text that no program runs by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lsp_server.core.languages import LANGUAGES

_TEXTS = frozenset({".adoc", ".csv", ".rst", ".tex", ".tsv", ".txt", ".xml"})
_CODE = frozenset(
    pattern[1:] for language in LANGUAGES for pattern in language.files if re.fullmatch(r"\*\.\w+", pattern)
)
# Endings of files that a system or a tool runs. They are refused even if the document has the same ending.
_RUN_BY_ENDING = re.compile(
    r"\.(?:app|bat|bazel|bzl|cmd|com|command|cpl|csproj|desktop|exe|fsproj|gemspec|gradle|hta|inf|jar|js[ew]|lnk|mk|msi"
    r"|nix|pif|plist|pro|props|pth|pyz|pyzw|reg|sbt|sc[frt]|service|sh[bs]|sln|targets|tf|timer|toolbar"
    r"|url|vb[es]|vbproj|vcxproj|vim|workflow|ws[cfh]?)$"
)
# Names of files that tools run or read as their settings.
_RUN_BY_NAME = re.compile(
    r"""(?x)
    (?:package|composer|deno|deno\.lock|lerna|nx|turbo|project|angular|app|tasks|launch|settings|extensions|mcp
        |devcontainer|vercel|now|firebase|renovate|[jt]sconfig(?:\..*)?|jsr|workspace)\.jsonc?
    |(?:cargo|rust-toolchain|clippy|pyproject|tox|mise|netlify|fly|wrangler|bunfig|lefthook|fimble|pixi|uv|poetry|hatch
        |config|book|taplo|project|manifest)\.toml
    |(?:setup|conftest|sitecustomize|usercustomize|noxfile|fabfile|tasks|dodo|pavement|wscript|sconstruct|sconscript
        |gunicorn(?:\.conf)?|jupyter_.*_config|ipython_.*config|__init__|__main__|manage|snakefile|waf|conf)\.pyi?w?
    |(?:build|settings|init)\.(?:rs|xml|sc|gradle\.kts|zig|sbt|fsx|cake|cs|lua|el)
    |(?:gulpfile|gruntfile|jakefile|gatsby-.*|webpack.*|rollup.*|vite.*|jest.*|karma.*|.*\.(?:config|conf|setup))\.[cm]?[jt]sx?
    |.*\.(?:config|conf|setup)\.json
    |(?:docker-)?compose.*\.ya?ml
    |(?:action|appveyor|azure-pipelines.*|bitbucket-pipelines|buildspec|cloudbuild|codefresh|codemagic|config|dvc|dependabot
        |environment|fly|galaxy|jitpack|lefthook|mkdocs|netlify|playbook|pnpm-workspace|prefect|process-compose|pubspec
        |render|semaphore|serverless|site|skaffold|snapcraft|taskfile|template|vercel|wercker|workflow|_config)\.ya?ml
    |(?:requirements|constraints|dev-requirements|requirements-.*|requirements_.*|cmakelists|meson_options|conanfile)\.(?:txt|py)
    |(?:pom|build|ivy|nuget|package|web|app|directory\.build)\.xml
    |(?:rakefile|gemfile|podfile|fastfile|vagrantfile|guardfile|capfile|dangerfile|brewfile|appfile|spec_helper|rails_helper)\.rb
    |(?:package|project)\.swift|mix\.exs
    |(?:agents?|claude|gemini|copilot-instructions|skill)(?:\.local)?\.md
    |desktop\.ini|thumbs\.db
    """
)
_RUN_FOLDERS = frozenset({"node_modules", "site-packages", "__pycache__", "__pypackages__", "venv", "virtualenv"})
_DEVICES = re.compile(r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\..*)?")
# Characters that count as printable but show nothing.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_SPECIAL = re.compile(r'[\\:*?"<>|]')
_LONGEST_BYTES, _LONGEST_PATH_BYTES = 200, 1000


def refusal(parts: Sequence[str], own_ending: str = "") -> str:
    """The reason why no file may be made at this place; empty if one may. parts: the folders and the name, below the
    workspace.

    own_ending: the ending of the document, which is allowed even if its language is unknown.
    """
    if not parts:
        return "has no name"
    if sum(len(part.encode("utf-8", "replace")) + 1 for part in parts) > _LONGEST_PATH_BYTES:
        return "is too long"
    for part in parts:
        if problem := _special(part):
            return problem
        if part.startswith("."):
            return "is hidden, or lies in a hidden folder, where tools keep what they run"
        if part.casefold() in _RUN_FOLDERS:
            return f"lies in {part}, whose files other programs run"
    name = parts[-1].casefold()
    ending = name[name.rindex(".") :] if "." in name else ""
    if ending not in _CODE | _TEXTS | {own_ending.casefold()} or not ending:
        return "has no ending of code or text"
    if _RUN_BY_ENDING.search(name) or _RUN_BY_NAME.fullmatch(name):
        return "has a name that programs run or obey by themselves"
    return ""


def _special(part: str) -> str:
    """The reason why a part of a path is not what it looks like on some system; empty if there is none."""
    plain = unicodedata.normalize("NFKC", part)
    hidden = _INVISIBLE.search(part) or any(not character.isprintable() for character in part)
    if hidden or plain != unicodedata.normalize("NFC", part):
        return "has characters that are not what they seem"
    if _SPECIAL.search(part) or part[0] in " -~$" or part[-1] in " .":
        return "is a name that is special to some system"
    if _DEVICES.fullmatch(part.casefold()):
        return "is the name of a device on Windows"
    if re.search(r"~\d", part):
        return "is a short name of Windows for another file"
    return "is too long" if len(part.encode("utf-8", "replace")) > _LONGEST_BYTES else ""
