"""Settings: what there is, where they come from, and clear words for what is wrong with them."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta
from platformdirs import user_config_path

from lsp_server.backends.base import Adapter, FlashAttention, ModelSpec
from lsp_server.features.actions.asking import ActionOptions
from lsp_server.features.actions.catalogue import BUILT_IN
from lsp_server.features.options import Eagerness, InlineOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "fimble.toml"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, its type, its bounds and its default. The descriptions are shown to users."""

    enabled: Annotated[bool, Meta(description="Whether completions are offered.")] = True
    disabled_languages: Annotated[
        list[str], Meta(description="Languages without automatic completions, by LSP identifier or name.")
    ] = msgspec.field(default_factory=list)
    model: Annotated[str, Meta(description="The GGUF file that completes code. Empty: the starter model.")] = ""
    lora: Annotated[
        list[str],
        Meta(description="LoRA adapters for the model: GGUF files, each as `PATH` or `PATH:SCALE`."),
    ] = msgspec.field(default_factory=list)
    draft_model: Annotated[
        str,
        Meta(
            description="A small GGUF file of the same vocabulary that drafts for the model, which writes faster so. "
            "Empty: none."
        ),
    ] = ""
    offline: Annotated[bool, Meta(description="Whether `models pull`, the one use of the network, is an error.")] = (
        False
    )
    fim_format: Annotated[
        str, Meta(description="A name from the table of FIM formats, instead of the detected one.")
    ] = ""
    context_tokens: Annotated[int, Meta(ge=256, le=131072, description="The window of one prompt, in tokens.")] = 2560
    resident_prompts: Annotated[int, Meta(ge=1, le=16, description="How many prompts stay in the KV cache.")] = 6
    threads: Annotated[int, Meta(ge=0, le=256, description="Threads of the model. 0: as many as pay.")] = 0
    gpu_layers: Annotated[int, Meta(ge=-1, le=1000, description="Layers on the GPU. -1: all, if there is a GPU.")] = -1
    flash_attention: Annotated[
        FlashAttention, Meta(description="Flash attention: auto is on with a GPU and off without.")
    ] = "auto"
    calibrate: Annotated[
        bool,
        Meta(description="Whether to measure the machine at the first start with a model, for a few seconds."),
    ] = True
    unload_minutes: Annotated[
        int, Meta(ge=0, le=10080, description="After how long without use the model is unloaded. 0: never.")
    ] = 0
    answer_ms: Annotated[
        int,
        Meta(ge=0, le=60000, description="How long an automatic request waits for the whole suggestion, in ms."),
    ] = 120
    max_tokens: Annotated[int, Meta(ge=1, le=1024, description="The longest completion, in tokens.")] = 64
    max_lines: Annotated[int, Meta(ge=1, le=200, description="The longest completion, in lines.")] = 8
    deadline_ms: Annotated[
        int, Meta(ge=10, le=600000, description="When the model is late, give up after this time, in ms.")
    ] = 8000
    min_confidence: Annotated[
        float,
        Meta(ge=0, le=1, description="How probable each token of a suggestion must be to show it unasked."),
    ] = 0.0

    cold_ms: Annotated[
        int,
        Meta(ge=100, le=600000, description="What the first prompt at a new place may take, in ms; sets its size."),
    ] = 4000
    candidates: Annotated[
        int, Meta(ge=1, le=5, description="How many suggestions an explicit request gets at most.")
    ] = 3
    debounce: Annotated[
        bool, Meta(description="Whether decoding waits for a pause where the model is slower than the typing.")
    ] = True
    prepare_next: Annotated[
        bool, Meta(description="Whether to work on what follows a suggestion while it is shown.")
    ] = True
    buffers_tokens: Annotated[
        int,
        Meta(ge=-1, le=65536, description="Tokens of a prompt for parts of other buffers. -1: what suits the model."),
    ] = -1
    next_edit: Annotated[
        Eagerness,
        Meta(
            description="How readily the edit that follows from your last ones is proposed, without a model: off, low, "
            "medium or high."
        ),
    ] = "low"
    code_actions: Annotated[bool, Meta(description="Whether code actions are offered.")] = True
    chat_model: Annotated[
        str,
        Meta(
            description="The GGUF file that carries out code actions. Empty: `model`, if it is set and follows "
            "instructions, else the starter model for chat."
        ),
    ] = ""
    chat_context_tokens: Annotated[
        int, Meta(ge=512, le=131072, description="The window of the chat model, in tokens.")
    ] = 4096
    chat_unload_minutes: Annotated[
        int, Meta(ge=0, le=10080, description="After how long without use the chat model is unloaded. 0: never.")
    ] = 10
    action_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="How long one answer of the chat model may take, in seconds.")
    ] = 300
    format_edits: Annotated[
        bool, Meta(description="Whether the project's formatter is applied to what an action changes.")
    ] = True
    prettier: Annotated[
        bool,
        Meta(
            description="Whether prettier may format edits; it runs code in the workspace's configuration. Counts in "
            "your own settings, not in a workspace's fimble.toml."
        ),
    ] = False
    test_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="How long generated tests may run when you run them, in seconds.")
    ] = 60
    actions: Annotated[
        dict[str, Any],
        Meta(
            description="Your own code actions, by identifier: `title`, `prompt`, `kind`, `languages`, `targets`, "
            "`result` and `file`."
        ),
    ] = msgspec.field(default_factory=dict)

    def model_spec(self) -> ModelSpec:
        """What to load. Two settings with equal specs need no reload."""
        return ModelSpec(
            path=self.model,
            context_tokens=self.context_tokens,
            sequences=self.resident_prompts,
            threads=self.threads,
            gpu_layers=self.gpu_layers,
            flash_attention=self.flash_attention,
            fim_format=self.fim_format or None,
            calibrate=self.calibrate,
            adapters=tuple(map(adapter_of, self.lora)),
            draft=self.draft_model,
        )

    def action_options(self) -> ActionOptions:
        spec = ModelSpec(
            path=self.chat_model,
            context_tokens=self.chat_context_tokens,
            sequences=1,
            threads=self.threads,
            gpu_layers=self.gpu_layers,
            flash_attention=self.flash_attention,
            calibrate=self.calibrate,
            chat=True,
        )
        return ActionOptions(
            model=spec,
            shared=bool(self.model) and not self.chat_model,
            deadline_seconds=self.action_seconds,
            format=self.format_edits,
            prettier=self.prettier,
        )

    def inline_options(self, *, replaces: bool = True) -> InlineOptions:
        return InlineOptions(
            enabled=self.enabled,
            disabled_languages=frozenset(self.disabled_languages),
            answer_ms=self.answer_ms,
            max_tokens=self.max_tokens,
            max_lines=self.max_lines,
            deadline_ms=self.deadline_ms,
            cold_ms=self.cold_ms,
            candidates=self.candidates,
            debounce=self.debounce,
            prepare_next=self.prepare_next,
            buffers_tokens=self.buffers_tokens,
            min_confidence=self.min_confidence,
            replaces=replaces,
        )


def adapter_of(text: str) -> Adapter:
    """`PATH` or `PATH:SCALE`. A colon that no number follows belongs to the path, as on Windows."""
    path, _, scale = text.rpartition(":")
    if path and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", scale):
        return Adapter(str(Path(path).expanduser()), float(scale))
    return Adapter(str(Path(text).expanduser()))


@dataclass(frozen=True, slots=True)
class Source:
    """Settings from one place. name: how the place is called in messages. users: they are the user's own, not
    those of a workspace, which anybody may have written."""

    name: str
    values: Mapping[str, Any]
    users: bool = True


_TYPES = get_type_hints(Settings, include_extras=True)
# What only the user may allow.
_USERS = frozenset({"prettier"})
_MOST_BYTES = 1 << 20


def _name(key: str) -> str:
    """A setting's name, however it is spelt."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()


def is_setting(key: str) -> bool:
    return _name(key) in _TYPES


def merge(sources: Sequence[Source]) -> tuple[Settings, list[str]]:
    """The settings of all sources, later ones over earlier ones, and what is wrong in them.

    A wrong value is left out, so that one mistake does not cost the user the other settings. Names may be
    written in camel case, as VS Code users do; null means not set.
    """
    chosen: dict[str, Any] = {}
    problems: list[str] = []
    for source in sources:
        for key, value in source.values.items():
            name = _name(key)
            if name not in _TYPES:
                near = difflib.get_close_matches(name, _TYPES, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(_TYPES)}"
                problems.append(f"unknown setting `{key}` in {source.name}; {hint}")
            elif name in _USERS and not source.users:
                problems.append(
                    f"setting `{key}` in {source.name} does not count there; set it in your own {FILE_NAME}"
                )
            elif value is not None:
                try:
                    chosen[name] = msgspec.convert(value, _TYPES[name])
                    if name == "actions" and not source.users:
                        # Under the title of a built-in action it would do something else than the user expects.
                        taken = [action.id for action in BUILT_IN if action.id in chosen[name]]
                        problems += [f"action `{id}` in {source.name} has the name of a built-in one" for id in taken]
                        chosen[name] = {id: each for id, each in chosen[name].items() if id not in taken}
                except msgspec.ValidationError as error:
                    # Its words name types in back quotes: "Expected `int` >= 256 - at ...".
                    what = str(error).split(" - at")[0]
                    what = what[:1].lower() + what[1:]
                    problems.append(f"setting `{key}` in {source.name}: {what}, found {repr(value)[:200]}")
    return Settings(**chosen), problems


def read_file(path: Path, *, users: bool = True) -> tuple[Source | None, str]:
    """The settings in a TOML file, and what is wrong with the file; neither if there is no such file. users: it is
    the user's own, not a workspace's."""
    try:
        if not path.is_file():  # a device is read without end
            return None, f"{path} cannot be read: it is not a file" if path.exists() else ""
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            return None, f"{path} is larger than {_MOST_BYTES >> 20} MB"
        values = tomllib.loads(content.decode("utf-8"))
        for key in ("model", "chat_model", "draft_model"):
            if isinstance(values.get(key), str) and values[key]:
                # A relative file is one beside the settings, wherever the server was started.
                values[key] = str(path.parent / Path(values[key]).expanduser())
        if isinstance(values.get("lora"), list):
            values["lora"] = [
                str(path.parent / Path(each).expanduser()) if isinstance(each, str) and each else each
                for each in values["lora"]
            ]
        return Source(str(path), values, users), ""
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except OSError as error:
        return None, f"{path} cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return None, f"{path} is not valid TOML: {error}"
    except (ValueError, RuntimeError, RecursionError) as error:  # a path that cannot be, lists in lists in lists
        return None, f"{path} cannot be used: {error}"


def settings_files(roots: Sequence[Path]) -> list[Path]:
    """Where settings are looked for: the user's file, then one in each root of the workspace."""
    return [user_config_path("fimble") / FILE_NAME, *(root / FILE_NAME for root in roots)]


def origins(roots: Sequence[Path], sources: Sequence[Source] = ()) -> dict[str, str]:
    """Which place each setting comes from, of those that are set: a file's path, or the name of one of `sources`."""
    files = [source for path in settings_files(roots) if (source := read_file(path)[0]) is not None]
    return {
        _name(key): source.name
        for source in (*files, *sources)
        for key, value in source.values.items()
        if is_setting(key) and value is not None
    }


def load(roots: Sequence[Path], sources: Sequence[Source] = ()) -> tuple[Settings, list[str]]:
    """The settings in force: defaults, the user's file, the workspace's files, then `sources`."""
    found: list[Source] = []
    problems: list[str] = []
    for number, path in enumerate(settings_files(roots)):
        source, problem = read_file(path, users=number == 0)
        if source is not None:
            found.append(source)
        if problem:
            problems.append(problem)
    settings, wrong = merge([*found, *sources])
    return settings, problems + wrong
