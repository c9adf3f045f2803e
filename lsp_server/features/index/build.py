"""Updates the database of a workspace folder: all files by a scan, or only the files that are reported as changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lsp_server.core.modules import Module
from lsp_server.features.index.files import entry_of, library_entry, listed, stamp_of, still_listed
from lsp_server.features.index.installed import installed_files
from lsp_server.features.index.store import Entry, StoreError, Writer, forget_old

# How many files are written in one transaction. Other processes can read and write in between.
_BATCH = 24
# If more changes than this are reported at once, all files are scanned.
MOST_PATHS = 400
_TRIES = 3
# How many files of installed packages are kept in the database.
_MOST_LIBRARIES = 3000


class Builder:
    """Keeps one database up to date. For one thread. report: is called with the numbers of files done and in all."""

    def __init__(
        self, root: Path, path: Path | None = None, report: Callable[[int, int], None] = lambda done, all: None
    ) -> None:
        self._root, self._path, self._report = root, path, report
        self._writer: Writer | None = None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def scan(self, near: Sequence[str] = ()) -> int:
        """Reads all files of the folder that have changed. Returns how many. near: the files that are being edited;
        files near them come first. Raises StoreError."""
        return self._again(lambda writer: self._scan(writer, near))

    def update(self, paths: Sequence[str]) -> int:
        """Reads some files and folders that have changed, are new or are deleted. Returns how many. Raises
        StoreError."""
        if len(paths) > MOST_PATHS or any(path in ("", ".") or path.endswith(".gitignore") for path in paths):
            return self.scan(paths[:1])
        return self._again(lambda writer: self._update(writer, paths))

    def libraries(self, path: str, modules: Sequence[Module]) -> int:
        """Reads the files of installed packages that a document at `path` imports. Returns how many have changed.
        Raises StoreError."""
        return self._again(lambda writer: self._libraries(writer, path, modules))

    def _again(self, work: Callable[[Writer], int]) -> int:
        """Does the work; starts again if the database was removed or is damaged."""
        for tries in range(_TRIES):
            try:
                if self._writer is None or not self._writer.is_current():
                    self.close()
                    self._writer = Writer(self._root, self._path)
                    forget_old(self._writer.path)
                return work(self._writer)
            except StoreError as error:
                self.close()
                if not error.damaged or tries == _TRIES - 1:
                    raise
                if self._path is None or self._path.exists():
                    self._throw_away()
        raise AssertionError

    def _throw_away(self) -> None:
        from lsp_server.features.index.store import database_path, remove

        try:
            remove(self._path or database_path(self._root))
        except OSError as error:
            raise StoreError(f"the damaged index cannot be removed: {error.strerror}") from None

    def _scan(self, writer: Writer, near: Sequence[str]) -> int:
        known = writer.stamps()
        paths = listed(self._root, near)
        return self._take(writer, known, paths, known.keys() - set(paths))

    def _update(self, writer: Writer, paths: Sequence[str]) -> int:
        known = writer.stamps()
        below = tuple(f"{path.rstrip('/')}/" for path in paths)
        named = set(paths)
        touched = [path for path in known if path in named or path.startswith(below)]
        current = list(dict.fromkeys(still_listed(self._root, paths)))
        return self._take(writer, known, current, set(touched) - set(current))

    def _libraries(self, writer: Writer, path: str, modules: Sequence[Module]) -> int:
        known = writer.stamps(library=True)
        found = installed_files(self._root, path, modules)
        new = [each for each in found if known.get(each.path) != each.stamp]
        for start in range(0, len(new), _BATCH):
            writer.put(map(library_entry, new[start : start + _BATCH]))
        # The oldest entries are removed first; if they are needed again, they are read again.
        current = {each.path for each in found}
        others = [each for each in known if each not in current]
        surplus = others[: max(0, len(known) + len(new) - _MOST_LIBRARIES)]
        writer.delete(surplus, library=True)
        return len(new) + len(surplus)

    def _take(self, writer: Writer, known: dict[str, str], paths: Sequence[str], gone: Iterable[str]) -> int:
        """Reads those of `paths` whose stamp differs from the known one, and removes the files that are gone."""
        removed, entries, changed = list(gone), list[Entry](), 0
        for number, path in enumerate(paths):
            stamp = stamp_of(self._root, path)
            if stamp is None:
                removed += [path] if path in known else []
            elif known.get(path) != stamp:
                entries.append(entry_of(self._root, path, stamp))
            if len(entries) >= _BATCH:
                writer.put(entries)
                changed += len(entries)
                entries = []
                self._report(number + 1, len(paths))
        writer.put(entries)
        writer.delete(removed)
        self._report(len(paths), len(paths))
        return changed + len(entries) + len(removed)
