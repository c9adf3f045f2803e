"""Downloads GGUF files from the Hugging Face hub with its own client."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lsp_server.backends.base import ModelError
from lsp_server.models import connection, incoming, lock
from lsp_server.system.kept_files import UNWRITABLE, why_unwritable

# The order of preference if a repository has several quantisations and none was asked for.
_PREFERRED = ("Q4_K_M", "Q4_0", "Q8_0", "Q5_K_M", "Q6_K", "F16")
_PART = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")
_QUANT = re.compile(r"(?:^|[-._])(I?Q\d\w*|B?F16|F32|MXFP4\w*)(?=\.gguf$|-\d{5}-of)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the hub. sha256: empty if the hub does not have it."""

    name: str
    size: int
    sha256: str


def fetch(hub_id: str, quant: str, pinned: lock.Pin | None, tell: Callable[[str], None]) -> Path:
    """Downloads a model's files and pins them. Returns the path of the (first) file.

    quant: empty for the preferred one. pinned: the exact file that is wanted, if it is known. An interrupted download
    is kept and continued. Raises ModelError, one line.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ModelError(f"{hub_id} cannot be pulled: HF_HUB_OFFLINE is set")
    with _Explained(hub_id):
        revision, licence, files = _list(hub_id)
        if pinned is not None:
            wanted = [file for file in files if f"{hub_id}/{file.name}" == pinned.name and file.sha256 == pinned.sha256]
            if not wanted:
                raise ModelError(f"{hub_id} no longer has the file that the catalogue describes")
        else:
            wanted = choose(hub_id, files, quant)
        paths = [_fetch(hub_id, revision, file, licence, tell) for file in wanted]
    return paths[0]


def choose(hub_id: str, files: Sequence[RemoteFile], quant: str) -> list[RemoteFile]:
    """The files of one quantisation, with all parts in order."""
    groups: dict[str, list[RemoteFile]] = {}
    for file in sorted(files, key=lambda entry: entry.name):
        base = Path(file.name).name.lower()
        if base.endswith(".gguf") and not base.startswith("mmproj") and "imatrix" not in base:
            groups.setdefault(_PART.sub("", file.name), []).append(file)
    by_quant: dict[str, list[RemoteFile]] = {}
    for base, parts in groups.items():
        found = _QUANT.search(Path(base).name)
        by_quant.setdefault(found[1].upper() if found else "", parts)
    if not by_quant:
        raise ModelError(f"{hub_id} has no GGUF files")
    if quant:
        if quant.upper() in by_quant:
            return by_quant[quant.upper()]
    elif len(by_quant) == 1:
        return next(iter(by_quant.values()))
    else:
        for preferred in _PREFERRED:
            if preferred in by_quant:
                return by_quant[preferred]
    there = ", ".join(sorted(filter(None, by_quant)))
    raise ModelError(f"{hub_id} has no {quant or 'usual quantisation'}; name one of {there} as {hub_id}:QUANT")


def _list(hub_id: str) -> tuple[str, str, list[RemoteFile]]:
    """The revision, the licence and the files of a repository."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(hub_id, files_metadata=True, timeout=20)
    tags = [tag for tag in info.tags or () if tag.startswith("license:")]
    files = []
    for entry in info.siblings or ():
        lfs: Any = entry.lfs
        files.append(RemoteFile(entry.rfilename, int(entry.size or 0), str(lfs.sha256) if lfs else ""))
    return info.sha or "main", tags[0].partition(":")[2] if tags else "", files


def _fetch(hub_id: str, revision: str, file: RemoteFile, licence: str, tell: Callable[[str], None]) -> Path:
    pin = lock.Pin(f"{hub_id}/{file.name}", file.size, file.sha256, f"{hub_id}@{revision}", licence)
    if not file.sha256:
        raise ModelError(f"the hub has no SHA-256 of {pin.name}, so it cannot be checked; it is not pulled")
    target = incoming.target_of(pin)
    if incoming.is_here(pin):
        tell(f"{pin.name} is already here")
        return target
    incoming.check_disk(pin)
    target.parent.mkdir(parents=True, exist_ok=True)
    _download(hub_id, revision, file, incoming.partial_of(pin))
    return incoming.put_in_place(pin, "the hub")


def _download(hub_id: str, revision: str, file: RemoteFile, partial: Path) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    # The client logs its retries; we report only the outcome. Importing it sets the level, so this comes after the
    # import.
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    url = hf_hub_url(hub_id, file.name, revision=revision)
    headers = {**build_hf_headers(library_name="fimble"), "Accept-Encoding": "identity"}
    with partial.open("ab") as out:
        there = out.tell()
        if there > file.size:
            out.truncate(0)
            there = 0
        shown = Path(file.name).name
        http_get(url, out, resume_size=there, headers=headers, expected_size=file.size, displayed_filename=shown)


def _has_token() -> bool:
    from huggingface_hub import get_token

    try:
        return get_token() is not None
    except OSError:  # the client's token file cannot be read
        return False


class _Explained:
    """Turns errors of the hub's client into one line that says what happened and what to do."""

    def __init__(self, hub_id: str) -> None:
        self._hub_id = hub_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (ModelError, KeyboardInterrupt)) or not isinstance(error, Exception):
            return
        raise ModelError(f"{self._hub_id} cannot be pulled: {self._why(error)}") from None

    def _why(self, error: Exception) -> str:
        from huggingface_hub import errors

        token = _has_token()
        status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0
        if isinstance(error, errors.GatedRepoError):
            remedy = "with the account that HF_TOKEN belongs to" if token else "and set HF_TOKEN"
            return f"its owner asks for an agreement; accept it on the hub's page {remedy}"
        if isinstance(error, errors.RepositoryNotFoundError) and status != 401:
            of_token = "the token may not see it" if token else "HF_TOKEN is not set"
            return f"the hub has no such repository, or it is private and {of_token}"
        if refused := connection.why_refused(status, token=token):
            return refused
        if isinstance(error, (errors.EntryNotFoundError, errors.RevisionNotFoundError)):
            return "the hub no longer has that file; try again"
        if isinstance(error, errors.OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set"
        goes_on = ""
        if any((lock.models_folder() / self._hub_id).glob("**/*.part")):
            goes_on = "; what was loaded is kept, the same command goes on from there"
        if why := connection.why(error, urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").netloc):
            return f"{why}{goes_on}"
        if isinstance(error, OSError) and error.strerror:
            if error.errno in UNWRITABLE:
                return why_unwritable(lock.models_folder(), error)
            return f"{error.strerror}{goes_on}"
        text = " ".join(str(error).split())[:200] or type(error).__name__
        return f"{text}{goes_on}"
