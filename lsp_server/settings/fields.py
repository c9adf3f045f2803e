"""All settings as data: name, type, limits, default and description; and the options that are made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lsp_server.backends.base import Adapter, FlashAttention, ModelSpec
from lsp_server.engine.api import HomeKind, Role
from lsp_server.engine.endpoint import LOCAL, Endpoint
from lsp_server.features.actions.asking import ActionOptions
from lsp_server.features.model_edit import EditOptions
from lsp_server.features.options import Comments, Eagerness, InlineOptions
from lsp_server.settings import models
from lsp_server.settings.endpoints import endpoints_of, routing_of
from lsp_server.system.user_folders import expanded

# The formats of next edits for models that fimble itself can load, from core/next_edits/by_model/formats.py.
EditFormatName = Literal["", "sweep", "zeta-2", "zeta-2.1", "instinct", "instruct"]
# Settings that only the user may set: in the user's own fimble.toml or in the editor, not in a workspace's fimble.toml.
USERS_ALONE = frozenset({"engine", "prettier", "stats", "stats_weekly", "status_socket"})
# Settings that only the user's own fimble.toml may set, because they decide where text is sent.
OWN_FILE_ALONE = frozenset({"endpoints", "endpoints_denied"})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings with type, limits and default. The descriptions are shown to users."""

    enabled: Annotated[bool, Meta(description="Whether completions are offered.")] = True
    disabled_languages: Annotated[
        list[str], Meta(description="Languages without automatic completions, by LSP identifier or name.")
    ] = msgspec.field(default_factory=list)
    disabled_files: Annotated[
        list[str],
        Meta(description="Files without automatic completions, by patterns such as `*.min.js` or `vendor/*.py`."),
    ] = msgspec.field(default_factory=list)
    snooze_minutes: Annotated[
        int, Meta(ge=1, le=1440, description="How long completions are off when you snooze them, in minutes.")
    ] = 60
    model: Annotated[str, Meta(description="The GGUF file that completes code. Empty: the starter model.")] = ""
    engine: Annotated[
        HomeKind,
        Meta(
            description="In your own fimble.toml, or your editor's settings: where the model lives. in-process: in the "
            "server. process: in a process of its own, so that a crash of a driver does not end the editor's session. "
            "shared: in one process for all windows with the same model, so that it is in memory once."
        ),
    ] = "in-process"
    lora: Annotated[
        list[str],
        Meta(description="LoRA adapters for `model`: GGUF files, each as `PATH` or `PATH:SCALE`."),
    ] = msgspec.field(default_factory=list)
    draft_model: Annotated[
        str,
        Meta(
            description="A small GGUF file of the same vocabulary that drafts for the model, which writes faster so. "
            "Empty: none."
        ),
    ] = ""
    offline: Annotated[
        bool,
        Meta(description="In your own fimble.toml: `models pull` is an error, and no endpoint is asked."),
    ] = False
    endpoints: Annotated[
        dict[str, Any],
        Meta(description="In your own fimble.toml alone: servers that have models, by name: `url`, `kind`, `model`, …"),
    ] = msgspec.field(default_factory=dict)
    endpoints_denied: Annotated[
        list[str],
        Meta(
            description="In your own fimble.toml alone: folders, such as `~/work/secret` or `~/clients/*/private`, of "
            "which nothing is sent to endpoints on other machines."
        ),
    ] = msgspec.field(default_factory=list)
    routing: Annotated[
        dict[str, Any],
        Meta(
            description="Which endpoints answer, the first that works: `completion`, `actions` and `edits`, each a "
            "list of names. `local` is the model that fimble loads itself."
        ),
    ] = msgspec.field(default_factory=dict)
    fim_format: Annotated[
        str, Meta(description="A name from the table of FIM formats, instead of the detected one.")
    ] = ""
    context_tokens: Annotated[int, Meta(ge=256, le=131072, description="The window of one prompt, in tokens.")] = 2560
    resident_prompts: Annotated[int, Meta(ge=1, le=16, description="How many prompts stay in the KV cache.")] = 6
    threads: Annotated[int, Meta(ge=0, le=256, description="Threads of the model. 0: as many as pay.")] = 0
    gpu_layers: Annotated[int, Meta(ge=-1, le=1000, description="Layers on the GPU. -1: all, if there is a GPU.")] = -1
    flash_attention: Annotated[
        FlashAttention, Meta(description="auto: on where it was measured to be faster, else with a GPU.")
    ] = "auto"
    calibrate: Annotated[
        bool,
        Meta(description="Whether to measure the machine with a model, once, a step at a time while you rest."),
    ] = True
    unload_minutes: Annotated[
        int, Meta(ge=0, le=10080, description="Minutes without use after which the model is unloaded. 0: never.")
    ] = 0
    answer_ms: Annotated[
        int,
        Meta(ge=0, le=60000, description="How long an automatic request waits for a whole text, in ms; more follows."),
    ] = 120
    max_tokens: Annotated[int, Meta(ge=1, le=1024, description="The longest completion, in tokens.")] = 64
    max_lines: Annotated[int, Meta(ge=1, le=200, description="The longest completion, in lines; over 30 in parts.")] = 8
    deadline_ms: Annotated[
        int, Meta(ge=10, le=600000, description="When the model is late, give up after this time, in ms.")
    ] = 8000
    min_confidence: Annotated[
        float,
        Meta(ge=0, le=1, description="How probable each token of a suggestion must be to show it unasked."),
    ] = 0.0
    check_danger: Annotated[
        bool,
        Meta(
            description="Whether a suggestion with a dangerous pattern, such as a shell command put together with a "
            "value, is held back unless you ask for it, and edits of code actions say what was found in them."
        ),
    ] = True

    comments: Annotated[
        Comments,
        Meta(
            description="Where completions come in comments: `on` (everywhere), `docstrings` (only in docstrings and "
            "doc comments) or `off`. They end where the model is not sure of the next word."
        ),
    ] = "on"
    check_names: Annotated[
        bool,
        Meta(
            description="Whether in Python a name that is defined nowhere, or a keyword argument that a function of "
            "the same file does not have, is written anew, as one that exists; or the suggestion ends in front of its "
            "statement."
        ),
    ] = True
    limit_names: Annotated[
        bool,
        Meta(
            description="Whether behind a dot only names are written that there are, where all of these are known: in "
            "Python those of classes of the same file and of builtin types; behind `this` in TypeScript, JavaScript, "
            "Java and PHP those of classes of the same file."
        ),
    ] = True
    limit_imports: Annotated[
        bool,
        Meta(
            description="With `limit_names`: the same for what is imported, by the text of its files on the disk. "
            "What other files add when they run, and what other systems have, is not known."
        ),
    ] = False
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
    save_battery: Annotated[
        bool, Meta(description="Whether on battery only the work is done that you wait for, and nothing ahead.")
    ] = True
    buffers_tokens: Annotated[
        int,
        Meta(
            ge=-1,
            le=65536,
            description="Tokens of a prompt for parts of other files. -1: what suits the model, 0: none.",
        ),
    ] = -1
    project_index: Annotated[
        bool,
        Meta(
            description="Whether prompts may show parts of the workspace's files that are not open, from an index. Off "
            "by default, since it has not been shown yet that completions gain from it."
        ),
    ] = False
    large_document_mb: Annotated[
        int,
        Meta(ge=1, le=1000, description="Documents of more megabytes get completions alone, from what is near."),
    ] = 5
    saved_prompts_mb: Annotated[
        int,
        Meta(
            ge=0,
            le=1048576,
            description="How much of evaluated prompts is kept in the cache folder, in MB, so that a file that is "
            "opened again needs no evaluation. 0: nothing.",
        ),
    ] = 1024
    next_edit: Annotated[
        Eagerness,
        Meta(
            description="How readily the edit that follows from your last ones is proposed: off, low, medium or high."
        ),
    ] = "low"
    edit_model: Annotated[
        str,
        Meta(
            description="The GGUF file that proposes next edits where none can be computed: a model made for that, or "
            "one that follows instructions. Empty: none."
        ),
    ] = ""
    edit_format: Annotated[
        EditFormatName,
        Meta(
            description="How `edit_model` is asked, instead of what its name tells; `instruct` is for any chat model."
        ),
    ] = ""
    code_actions: Annotated[bool, Meta(description="Whether code actions are offered.")] = True
    chat_model: Annotated[
        str,
        Meta(
            description="The GGUF file that carries out code actions. Empty: `model`, if it is set and follows "
            "instructions, else the starter model."
        ),
    ] = ""
    chat_context_tokens: Annotated[
        int, Meta(ge=512, le=131072, description="The window of the chat model and of `edit_model`, in tokens.")
    ] = 4096
    chat_unload_minutes: Annotated[
        int, Meta(ge=0, le=10080, description="Minutes without use after which these two are unloaded. 0: never.")
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
    stats: Annotated[
        bool,
        Meta(
            description="Whether to count what becomes of suggestions, on this machine and for `fimble stats` alone. "
            "Counts in your own settings, not in a workspace's fimble.toml."
        ),
    ] = True
    stats_weekly: Annotated[
        bool,
        Meta(
            description="Whether the editor shows what was counted in the last week, in one message: once a week, when "
            "the first server starts. Counts in your own settings, not in a workspace's fimble.toml."
        ),
    ] = False
    status_socket: Annotated[
        bool,
        Meta(
            description="Whether `fimble status` can ask a running server what it does, over a Unix socket that nobody "
            "else can open. Counts in your own settings, not in a workspace's fimble.toml."
        ),
    ] = True

    def model_spec(self) -> ModelSpec:
        """The spec of the completion model. Two settings with equal specs need no reload."""
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

    def endpoints_in_use(self, *, elsewhere: bool = True) -> dict[str, Endpoint]:
        """The endpoints that may be asked; none with `offline`. elsewhere: whether those on other machines may."""
        found = {} if self.offline else endpoints_of(self.endpoints)[0]
        return {name: endpoint for name, endpoint in found.items() if elsewhere or endpoint.is_here}

    def places(self) -> dict[Role, Sequence[str]]:
        """For each role, the names of the places that may answer, the best first."""
        routing, endpoints = routing_of(self.routing)[0], self.endpoints_in_use()
        completing = [name for name in routing.completion if name not in endpoints or not endpoints[name].is_chat]
        acting = [name for name in routing.actions if name not in endpoints or not endpoints[name].is_for_edits]
        editing = [name for name in routing.edits if name != LOCAL or self.edit_model]
        return {"completion": completing, "chat": acting, "edit": editing or [LOCAL]}

    def kept_seconds(self) -> dict[Role, float]:
        """Seconds without use after which a model is unloaded; 0: never."""
        other = 60.0 * self.chat_unload_minutes
        return {"completion": 60.0 * self.unload_minutes, "chat": other, "edit": other}

    def files(self) -> tuple[str, ...]:
        """All model files in the settings."""
        return self.model, self.chat_model, self.draft_model, self.edit_model, *self.lora

    def edit_options(self) -> EditOptions:
        return EditOptions(
            model=replace(self.action_options().model, path=self.edit_model),
            is_set=bool(self.edit_model) or list(self.places()["edit"]) != [LOCAL],
            form=self.edit_format,
            check_danger=self.check_danger,
            disabled_files=tuple(self.disabled_files),
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
            shared=bool(self.model) and not self.chat_model and list(self.places()["chat"]) == [LOCAL],
            deadline_seconds=self.action_seconds,
            format=self.format_edits,
            prettier=self.prettier,
            check_danger=self.check_danger,
        )

    def inline_options(self, *, replaces: bool = True, ahead: bool = True) -> InlineOptions:
        return InlineOptions(
            enabled=self.enabled,
            disabled_languages=frozenset(self.disabled_languages),
            disabled_files=tuple(self.disabled_files),
            answer_ms=self.answer_ms,
            max_tokens=self.max_tokens,
            max_lines=self.max_lines,
            deadline_ms=self.deadline_ms,
            cold_ms=self.cold_ms,
            candidates=self.candidates,
            debounce=self.debounce,
            prepare_next=self.prepare_next and ahead,
            buffers_tokens=self.buffers_tokens,
            project_index=self.project_index,
            check_names=self.check_names,
            limit_names=self.limit_names,
            limit_imports=self.limit_imports,
            min_confidence=self.min_confidence,
            check_danger=self.check_danger,
            replaces=replaces,
            comments=self.comments,
        )


def adapter_of(text: str) -> Adapter:
    """Parses `PATH` or `PATH:SCALE`. A colon without a number after it belongs to the path, as on Windows."""
    path, scale = models.split_scale(text)
    return Adapter(str(expanded(path)), float(scale[1:] or 1))
