"""Measures next edits: in scenarios with an expected result, in histories of real projects, in recorded sessions."""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.edit_cases import edit_sessions, scenarios
from bench.edit_cases.edit_models import EditModel, computed
from bench.edit_cases.histories import Commit, GitHunk, commits, groups
from bench.sessions import recordings
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.next_edits.by_model.formats import NAMES
from lsp_server.core.next_edits.gates import Rejected, next_edits
from lsp_server.core.next_edits.history import EditHistory
from lsp_server.core.next_edits.proposal import NextEdit, Situation
from lsp_server.core.next_edits.trees import forget_tree

# The file patterns of each language, and how many groups of one commit are tried.
PATTERNS = {
    "Python": ["*.py"],
    "Go": ["*.go"],
    "Rust": ["*.rs"],
    "Java": ["*.java"],
    "TypeScript": ["*.ts", "*.tsx"],
}
_MOST_GROUPS, _MOST_COMMITS, _MOST_FILES, _MOST_BYTES = 3, 5000, 8, 400_000
_SECONDS_APART = 10.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One group, of which two hunks were made. form: whether lines were replaced, inserted or removed. verdict: `third`
    if the proposal is a later hunk of the group, `commit` if the commit has it elsewhere, `wrong`, or `silent`."""

    language: str
    form: str
    verdict: str
    kind: str
    milliseconds: float
    commit: Commit
    group: Sequence[GitHunk]
    edit: NextEdit | None


@dataclass(slots=True)
class _State:
    """Documents with the first two hunks of a group made in them."""

    documents: dict[str, DocumentSnapshot]
    history: EditHistory = field(default_factory=EditHistory)
    grown: list[tuple[str, int, int]] = field(default_factory=list)
    last: str = ""

    def make(self, hunk: GitHunk) -> bool:
        """Makes a hunk. Returns whether it fits."""
        document = self.documents[hunk.path]
        start, end = self.place(hunk)
        if document.source[start:end].removesuffix(b"\n") != b"\n".join(hunk.removed):
            return False
        changed = document.edited(start, end, b"".join(line + b"\n" for line in hunk.added))
        self.history.changed(document, changed, _SECONDS_APART * len(self.grown))
        self.documents[hunk.path], self.last = changed, hunk.path
        self.grown.append((hunk.path, hunk.first, len(hunk.added) - len(hunk.removed)))
        return True

    def place(self, hunk: GitHunk) -> tuple[int, int]:
        """The present place of the removed lines of a hunk."""
        document = self.documents[hunk.path]
        line = hunk.first + sum(more for path, first, more in self.grown if path == hunk.path and first < hunk.first)
        ends = [line, line + len(hunk.removed)]
        start, end = (document.line_start(n) if n < document.line_count else len(document.source) for n in ends)
        return start, end


def tried(language: str, commit: Commit, group: Sequence[GitHunk]) -> Tried | None:
    """The proposal after the first two hunks of a group; None if they cannot be made."""
    paths = list(dict.fromkeys(hunk.path for hunk in group))[:_MOST_FILES]
    documents = {}
    for path in paths:
        source = commit.before(path)
        if len(source) > _MOST_BYTES:
            return None
        documents[path] = DocumentSnapshot.of(f"file:///{path}", source, path=path)
    state = _State(documents)
    if not all(state.make(hunk) for hunk in group[:2]):
        return None
    document = state.documents[state.last]
    others = tuple(state.documents[path] for path in paths if path != state.last)
    situation = Situation(document, document.edit_end, state.history.hunks(), others)
    began = time.perf_counter()
    edit = next(next_edits(situation, "low", Rejected()), None)
    milliseconds = 1000 * (time.perf_counter() - began)
    for path in paths:
        forget_tree(f"file:///{path}")
    form = "replaced" if group[0].removed and group[0].added else "put in" if group[0].added else "taken out"
    verdict = "silent" if edit is None else _verdict(commit, group, state, edit)
    return Tried(language, form, verdict, edit.kind if edit else "", milliseconds, commit, group, edit)


def _verdict(commit: Commit, group: Sequence[GitHunk], state: _State, edit: NextEdit) -> str:
    """The verdict: whether the commit has the edit, as a hunk or as lines of one."""
    verdict = "wrong"
    for hunk in commit.hunks:
        if hunk.path != edit.document.path or hunk in group[:2]:
            continue
        start, end = state.place(hunk)
        source = edit.document.source
        if source[:start] + b"".join(line + b"\n" for line in hunk.added) + source[end:] == edit.result:
            return "third" if hunk in group else "commit"
        inside = start <= edit.start and edit.end <= end
        if inside and edit.lines()[1] in b"\n".join(hunk.added):
            verdict = "commit"
    return verdict


def replay(language: str, repositories: Sequence[Path], most: int) -> Iterator[Tried]:
    """The groups of the newest commits that have any, `most` commits in all."""
    for repository in repositories:
        found = 0
        for commit in commits(repository, PATTERNS[language], _MOST_COMMITS):
            same = groups(commit)
            if not same:
                continue
            found += 1
            for group in same[:_MOST_GROUPS]:
                result = tried(language, commit, group)
                if result is not None:
                    yield result
            if found >= most // len(repositories):
                break


def table(results: Sequence[Tried]) -> str:
    lines = [
        "| | commits | groups | third | elsewhere in the commit | wrong | precision | recall |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = [("all", list(results))]
    rows += [(name, [r for r in results if r.language == name]) for name in PATTERNS]
    rows += [(f"lines {form}", [r for r in results if r.form == form]) for form in ("replaced", "put in", "taken out")]
    for name, found in rows:
        if not found:
            continue
        verdicts = Counter(result.verdict for result in found)
        right, shown = verdicts["third"] + verdicts["commit"], len(found) - verdicts["silent"]
        lines.append(
            f"| {name} | {len({r.commit.hash for r in found})} | {len(found)} | {verdicts['third']} | "
            f"{verdicts['commit']} | {verdicts['wrong']} | {_percent(right, shown)} | "
            f"{_percent(verdicts['third'], len(found))} |"
        )
    times = sorted(result.milliseconds for result in results)
    lines.append(f"\n{statistics.median(times):.1f} ms at the median, with the first parse of the file.")
    kinds = Counter((result.kind, result.verdict != "wrong") for result in results if result.edit is not None)
    lines += [
        f"{kind}: {kinds[kind, True]} right, {kinds[kind, False]} wrong" for kind in sorted({k for k, _ in kinds})
    ]
    return "\n".join(lines)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "-"


def _shown(result: Tried) -> str:
    """A proposal that the commit does not have, with the hunks that it was made from."""
    assert result.edit is not None
    old, new = result.edit.lines()
    made = [f"-{_text(hunk.removed)}\n+{_text(hunk.added)}" for hunk in result.group[:2]]
    place = f"{result.edit.document.path}:{result.edit.document.line_at(result.edit.start) + 1}"
    proposed = f"{place}\n-{_text([old])}\n+{_text([new])}"
    return "\n".join((f"{result.commit.hash[:10]} {result.commit.subject}", *made, proposed, ""))


def _text(lines: Sequence[bytes]) -> str:
    return b"\n".join(lines).decode("utf-8", "replace")[:300]


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenarios", type=Path, help="a folder of scenarios (*.txtar)")
    parser.add_argument("--model", type=Path, help="a GGUF file that is asked in the scenarios where none is computed")
    parser.add_argument(
        "--edit-format", default="", choices=("", *NAMES), help="how it is asked (default: by its name)"
    )
    parser.add_argument("--alone", action="store_true", help="ask the model everywhere, and compute nothing")
    parser.add_argument(
        "--sessions", type=Path, nargs="+", default=[], help="recordings, as `bench keystrokes` takes them"
    )
    for name in PATTERNS:
        parser.add_argument(f"--{name.lower()}", type=Path, nargs="+", default=[], help=f"git repositories in {name}")
    parser.add_argument("--commits", type=int, default=60, help="how many commits for each language")
    parser.add_argument("--wrong", action="store_true", help="show what was proposed and the commit does not have")


def _play_scenarios(options: argparse.Namespace) -> None:
    from lsp_server.backends.llama import load

    model = None
    if options.model is not None:
        model = EditModel(options.model, options.edit_format, load, alone=options.alone)
    try:
        paths = sorted(options.scenarios.glob("*.txtar"))
        results = [scenarios.run(scenarios.read(path), model or computed) for path in paths]
    finally:
        if model is not None:
            model.close()
    print(scenarios.table(results))
    for due, name in ((True, "right where an edit is due"), (False, "silent where that is right")):
        some = [result for result in results if (result.scenario.expected is not None) == due]
        print(f"{name}: {sum(result.right for result in some)} of {len(some)}")
    if model is not None:
        print(model.summary())


def run(options: argparse.Namespace) -> int:
    if options.scenarios is not None:
        _play_scenarios(options)
    sessions = [edit_sessions.replay(path.name.partition(".")[0], recordings.read(path)) for path in options.sessions]
    if sessions:
        print(edit_sessions.table(sessions))
    found = [
        result
        for name in PATTERNS
        if (repositories := getattr(options, name.lower()))
        for result in replay(name, repositories, options.commits)
    ]
    if found:
        print(table(found))
    if options.wrong:
        not_agreed = [each for session in sessions for each in session.proposed if not each.agreed]
        print("\n".join(map(edit_sessions.shown, not_agreed)))
        print("\n".join(_shown(result) for result in found if result.verdict == "wrong"))
    if options.scenarios is None and not found and not sessions:
        print("nothing to measure: name a folder with --scenarios, recordings, or repositories, as in --python PATH")
        return 2
    return 0
