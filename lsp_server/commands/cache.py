"""`fimble cache`: shows and removes the evaluated prompts on the disk, which contain parts of the user's files."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lsp_server.commands.output import human_size, tell

if TYPE_CHECKING:
    from lsp_server.system.saved_prompt_files import Usage


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble cache`."""
    parser = commands.add_parser(
        "cache",
        parents=[common],
        help="show or remove the evaluated prompts in the cache folder",
        description="Shows how much of evaluated prompts is in the cache folder. They hold parts of your files, and "
        "spare their evaluation when you open them again.",
    )
    parser.add_argument("--empty", action="store_true", help="remove all of them")


def run(options: argparse.Namespace) -> int:
    """Prints a line. Returns 1 if prompts should be removed and some are still there."""
    from lsp_server.system import saved_prompt_files

    where = saved_prompt_files.folder()
    if not options.empty:
        found = saved_prompt_files.usage()
        tell(f"{_prompts(found)} in {where}")
        return 0
    gone, left = saved_prompt_files.empty(), saved_prompt_files.usage()
    tell(f"removed {_prompts(gone)} from {where}")
    if left.files:
        tell(f"{_prompts(left)} cannot be removed; look at who owns the folder")
    return 1 if left.files else 0


def _prompts(usage: Usage) -> str:
    return f"{usage.files} evaluated prompt{'' if usage.files == 1 else 's'} ({human_size(usage.bytes)})"
