"""A hook of MkDocs: pages that are written outside of docs become pages of the site, and links between them hold."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def pages() -> dict[str, str]:
    """Where each file outside of docs stands on the site, by its path in the repository."""
    found = {
        "README.md": "index.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "bench/README.md": "bench.md",
        "lsp_server/models/README.md": "model-files.md",
    }
    for page in sorted((ROOT / "editors").glob("*/README.md")):
        found[f"editors/{page.parent.name}/README.md"] = f"editors/{page.parent.name}.md"
    for picture in sorted([*ROOT.glob("editors/*/*.png"), *ROOT.glob("editors/*/*.gif")]):
        path = picture.relative_to(ROOT).as_posix()
        found[path] = path
    return found


def site_link(link: str, source: str, repository: str) -> str:
    """Where a link leads on the site: a relative path, a URL, or empty if the site does not have it. source: the
    repository's path of the file that it stands in. repository: the URL of the repository's files, if there is one."""
    if re.match(r"[a-z]+:", link):
        return link
    places = pages()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    page = places.get(target) or places.get(f"{target}/README.md")
    if page is None and target.startswith("docs/"):
        page = target.removeprefix("docs/")
    if page is None:
        return f"{repository}/{target}" if repository else ""
    here = places.get(source) or source.removeprefix("docs/")
    return posixpath.relpath(page, posixpath.dirname(here) or ".")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path, page in pages().items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    sources = {place: path for path, place in pages().items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    repository = f"{config.repo_url.rstrip('/')}/blob/HEAD" if config.repo_url else ""

    def replaced(match: re.Match[str]) -> str:
        link = site_link(match[3], source, repository)
        return f"{match[1]}[{match[2]}]({link}{match[4] or ''})" if link else match[2]

    return LINK.sub(replaced, markdown)
