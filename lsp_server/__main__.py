"""The entry point of `fimble` and `python -m lsp_server`."""

from __future__ import annotations

import sys


def main() -> None:
    # fimble writes only in the user's own folders, so Python must not write compiled modules beside the sources.
    sys.dont_write_bytecode = True
    from lsp_server.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
