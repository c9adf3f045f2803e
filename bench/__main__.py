"""The commands of `python -m bench`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from bench import (
    abort,
    actions,
    beside,
    cold,
    context,
    copies,
    departures,
    edits,
    homes,
    keystrokes,
    limit,
    names,
    over_http,
    peers,
    project,
    quality,
    safety,
    session,
    stats,
    team,
)

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "session": (
        "type a line in a real file, key by key, and show what an editor would",
        session.arguments,
        session.run,
    ),
    "keystrokes": (
        "replay editing sessions: what every key costs, in tokens and in time",
        keystrokes.arguments,
        keystrokes.run,
    ),
    "cold": (
        "open files at drawn places: the time to the first suggestion, in fresh servers and reopened ones",
        cold.arguments,
        cold.run,
    ),
    "limit": (
        "compare the engine with its floor: bare llama_decode calls for the same tokens",
        limit.arguments,
        limit.run,
    ),
    "abort": (
        "cancel long prompts at random depths: how soon the model is free again",
        abort.arguments,
        abort.run,
    ),
    "departures": (
        "compare warm answers with cold ones on a real model, where batch sizes change the rounding",
        departures.arguments,
        departures.run,
    ),
    "peers": (
        "compare with llama-server as llama.vim and llama.vscode use it, and with tabby-agent",
        peers.arguments,
        peers.run,
    ),
    "http": (
        "replay editing sessions as llama.vim, llama.vscode and Zed ask over HTTP: what every key costs",
        over_http.arguments,
        over_http.run,
    ),
    "quality": (
        "fill holes in code and score them: tests, exact match, edit similarity, with and without our shaping",
        quality.arguments,
        quality.run,
    ),
    "names": (
        "complete names cut from Python files: are they found, and do those that are shown exist",
        names.arguments,
        names.run,
    ),
    "safety": (
        "lead the model into weaknesses: what is shown with the filter and without; false alarms in code",
        safety.arguments,
        safety.run,
    ),
    "context": (
        "complete ends of lines with and without parts of other files in the prompt",
        context.arguments,
        context.run,
    ),
    "project": (
        "find the definitions of names that other files of a repository have, and how likely they make the names",
        project.arguments,
        project.run,
    ),
    "actions": (
        "carry out code actions on real functions: what ends in an edit, and what in a message",
        actions.arguments,
        actions.run,
    ),
    "edits": (
        "propose next edits in scenarios and in the histories of git repositories: what is right, wrong and silent",
        edits.arguments,
        edits.run,
    ),
    "beside": (
        "type the same keys with and without a code action under way, in turns: what the action costs a key",
        beside.arguments,
        beside.run,
    ),
    "homes": (
        "type the same keys with the engine in each of its homes, in turns; and what three windows take that share one",
        homes.arguments,
        homes.run,
    ),
    "stats": (
        "count keys: the time of each, room on the disk, and what is lost by a kill and by two writers",
        stats.arguments,
        stats.run,
    ),
    "team": (
        "many developers and one server, simulated or a llama-server: how long they wait, and how many it carries",
        team.arguments,
        team.run,
    ),
    "copies": (
        "compare copies of the chat model in other quantisations: speed in turns, and agreement with the original",
        copies.arguments,
        copies.run,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (description, add_arguments, _) in COMMANDS.items():
        add_arguments(commands.add_parser(name, help=description, description=description))
    options = parser.parse_args(arguments)
    return COMMANDS[options.command][2](options)


if __name__ == "__main__":
    sys.exit(main())
