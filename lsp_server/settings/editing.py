"""Changes one setting in the user's `fimble.toml`, and keeps its comments and order."""

from __future__ import annotations

from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.system.kept_files import write_whole


def set_value(path: Path, key: str, value: str) -> str | None:
    """Sets `key` at the top level of the file, and creates the file if needed. Returns the previous value as text, or
    None.

    Raises ModelError, and changes nothing, if the file cannot be read, parsed or written.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_bytes().decode("utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        before = document.get(key)
        document[key] = value
        # Writes to the target of a link, so that the link stays.
        write_whole(path.resolve(), tomlkit.dumps(document).encode())
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid TOML ({error}); mend it first, nothing was changed") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ModelError(f"{value} cannot be named in {path}, because its name is not UTF-8; rename it") from None
    return None if before is None else str(before)
