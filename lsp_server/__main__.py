"""`fimble` and `python -m lsp_server`: the entry point. Keeps stdout for the protocol from the start."""

from __future__ import annotations

import sys


def main() -> None:
    # Nothing is written outside the user's own folders, so no compiled modules beside the sources either.
    sys.dont_write_bytecode = True
    from lsp_server.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
