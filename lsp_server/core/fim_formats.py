"""The fill-in-the-middle formats as data: the order of the parts of a prompt, and the tokens between them.

No GGUF key states the order, and llama.cpp's own detection misses several families, so this is a table. A format
matches a model if the model's vocabulary has every marker of its layout as one special token. Where two families
spell their tokens alike, the model's name must match, too. Models whose names say that they were never trained on
their FIM tokens are excluded.

Parts of other files stand before all text of the document itself: after the tokens for files if a model was trained
on them, else as plain text, which in a PSM order belongs to the prefix.

Orders: PSM is prefix, suffix, middle; SPM is suffix, prefix, middle (Bavarian et al., arXiv 2207.14255). The text
typed since the anchor stands after the middle marker. For the model it is the beginning of the middle; in the KV
cache it is the only part that a key changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Slot(Enum):
    """A place in a layout that is filled with text. Its value is a number, so that a slot differs from a marker, which
    is a string, in MessagePack."""

    CONTEXT = 0
    PATH = 1
    BEFORE = 2
    AFTER = 3
    TYPED = 4

    @property
    def kind(self) -> str:
        """The kind of the segment that fills the slot."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class FimFormat:
    """The FIM format of one family of models.

    layout: special tokens, by their spelling, and slots, in the order of the prompt. stops: further special tokens
    that end a completion. names: a pattern that the model's name must match; None matches all. file: the token before
    the path of each other file that is shown; without one, the path is a comment. repository: the token before the
    repository's name. path_alone: whether the document's own path is shown when no other file is.
    """

    name: str
    layout: tuple[str | Slot, ...]
    stops: tuple[str, ...] = ()
    names: str | None = None
    file: str = ""
    repository: str = ""
    path_alone: bool = True

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(piece for piece in self.layout if isinstance(piece, str))

    @property
    def spellings(self) -> tuple[str, ...]:
        """All special tokens that the vocabulary must have."""
        return (*self.markers, self.repository) if self.repository else self.markers

    @property
    def has_fim(self) -> bool:
        """False for a model that can only continue a text; its prompt shows the suffix as a comment."""
        return bool(self.markers)

    @property
    def suffix_first(self) -> bool:
        """Whether the text after the hole stands before the text in front of the hole."""
        return self.layout.index(Slot.AFTER) < self.layout.index(Slot.BEFORE)

    @property
    def typed_extends_before(self) -> bool:
        """Whether the typed text directly follows the text before it, with no marker in between."""
        return self.layout.index(Slot.TYPED) == self.layout.index(Slot.BEFORE) + 1

    @property
    def has_path(self) -> bool:
        """Whether the layout has a slot for the path; otherwise the path goes into a comment."""
        return Slot.PATH in self.layout and self.has_fim


_C, _P, _B, _A, _T = Slot.CONTEXT, Slot.PATH, Slot.BEFORE, Slot.AFTER, Slot.TYPED
_STARCODER = ("<fim_prefix>", _C, _B, "<fim_suffix>", _A, "<fim_middle>", _T)
_STARCODER_STOPS = ("<fim_pad>", "<file_sep>", "<filename>", "<repo_name>", "<|endoftext|>")
_QWEN = ("<|fim_prefix|>", _B, "<|fim_suffix|>", _A, "<|fim_middle|>", _T)
_QWEN_FIM = ("<|fim_prefix|>", _C, *_QWEN[1:])
_QWEN_STOPS = ("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|endoftext|>", "<|im_end|>")

_MOST_BASES = 4

PREFIX_ONLY = FimFormat("prefix-only", (_C, _P, _A, _B, _T))

# The first match is taken, so a family with more tokens, or with a name to match, stands before one with fewer tokens.
FORMATS: tuple[FimFormat, ...] = (
    FimFormat(
        "mellum",
        (_C, "<filename>", _P, "<fim_suffix>", _A, "<fim_prefix>", _B, "<fim_middle>", _T),
        _STARCODER_STOPS,
        names="mellum",
        file="<filename>",
    ),
    # Gemma 3 with fimble's adapter, which was trained on these unused tokens. Every Gemma 3 has them in its vocabulary,
    # so the adapter's name must match.
    FimFormat(
        "gemma-adapter",
        (_C, "<unused1640>", _P, "<unused62>", _B, "<unused465>", _A, "<unused2197>", _T),
        names="fimble.fim.adapter",
        file="<unused1640>",
    ),
    FimFormat(
        "qwen",
        (_C, "<|file_sep|>", _P, *_QWEN),
        _QWEN_STOPS,
        file="<|file_sep|>",
        repository="<|repo_name|>",
        path_alone=False,  # Qwen2.5-Coder 0.5B fills fewer holes behind a path (bench/README.md)
    ),
    FimFormat("codegemma", (_C, "<|file_separator|>", _P, *_QWEN), _QWEN_STOPS, file="<|file_separator|>"),
    FimFormat("qwen-fim", _QWEN_FIM, _QWEN_STOPS),
    FimFormat(
        "deepseek",
        ("<｜fim▁begin｜>", _C, _B, "<｜fim▁hole｜>", _A, "<｜fim▁end｜>", _T),
        ("<｜end▁of▁sentence｜>",),
    ),
    FimFormat(
        "starcoder2",
        (_C, "<file_sep>", "<fim_prefix>", _P, _B, "<fim_suffix>", _A, "<fim_middle>", _T),
        _STARCODER_STOPS,
        names="starcoder-?2",
        file="<file_sep>",
        repository="<repo_name>",
    ),
    FimFormat("starcoder", _STARCODER, _STARCODER_STOPS),
    FimFormat("codellama", ("▁<PRE>", _C, _B, "▁<SUF>", _A, "▁<MID>", _T), ("▁<EOT>",)),
    FimFormat(
        "seed-coder",
        (_C, "<[fim-suffix]>", _A, "<[fim-prefix]>", _B, "<[fim-middle]>", _T),
        ("<[end▁of▁sentence]>",),
    ),
    # All newer vocabularies of Mistral have these tokens (Nemo, Ministral, Devstral, Magistral and their derivatives),
    # but only Codestral was trained on them.
    FimFormat("codestral", (_C, "[SUFFIX]", _A, "[PREFIX]", _B, _T), ("[MIDDLE]",), names="codestral"),
    PREFIX_ONLY,
)

# All marker tokens of all formats. If one is a special token of a vocabulary, it is never text.
MARKERS = frozenset(
    spelling for entry in FORMATS for spelling in (*entry.spellings, *entry.stops, entry.file) if spelling
)

# Models that have FIM tokens of the table in their vocabulary but were never trained on them: a pattern for the names
# of the family, and one for its members that were trained.
_UNTRAINED = tuple(
    (re.compile(name, re.IGNORECASE), re.compile(trained, re.IGNORECASE) if trained else None)
    for name, trained in (
        # Distilled reasoning models carry the tokens of the base they were made from.
        (r"r1.?distill|deepseek.?r1|deepcoder", ""),
        # One vocabulary for the whole family; only the models for code were trained.
        (r"qwen|qwq|qvq", r"coder|codeqwen"),
        # Up to V2 only the models for code were trained, except v1.5.
        (r"deepseek.?(v2(?!\.5)|llm|moe|math|prover|vl|ocr)|\bjanus", r"coder.?v2"),
        (r"deepseek.?coder.*v1\.5", ""),
        # StarCoder's vocabulary; trained from 3.3 on, and the models for code.
        (r"granite.?3(\.[0-2]|[^.\d])", r"code"),
        (r"granite.*(guardian|vision|speech)", ""),
        # Only the models with 7 and 13 billion parameters were trained, except those for Python.
        (r"code.?llama.*(python|34b|70b)|wizardcoder.?python|phind", ""),
        (r"seed.?(oss|coder.*reasoning)", ""),
        # Vocabularies derived from OpenAI's cl100k contain its FIM tokens.
        (r"\bphi.?[3-9]|olmo|dbrx|stablelm.?2|stablelm.*zephyr", ""),
        (r"glm.?(4(?!\.[5-9])|z1)|chatglm", r"codegeex"),
    )
)


# Formats by model name, for models whose vocabulary is not accessible. The first match is taken.
_NAMED = tuple(
    (re.compile(name, re.IGNORECASE), form)
    for name, form in (
        (r"mellum", "mellum"),
        (r"codestral", "codestral"),
        (r"codegemma", "codegemma"),
        (r"seed.?coder", "seed-coder"),
        (r"deepseek.*coder", "deepseek"),
        (r"codeqwen|qwen.*coder|sweep", "qwen"),
        (r"starcoder.?2", "starcoder2"),
        (r"starcoder|santacoder|stable.?code|refact|granite", "starcoder"),
        (r"code.?llama", "codellama"),
    )
)


def declared_format(prefix: str, suffix: str, middle: str) -> FimFormat:
    """The PSM format of a model whose file declares its FIM tokens under spellings not in the table."""
    return FimFormat("declared", (prefix, _C, _B, suffix, _A, middle, _T))


def find_format(name: str) -> FimFormat | None:
    """The format called `name` in the table."""
    return next((entry for entry in FORMATS if entry.name == name), None)


def format_by_name(model_name: str) -> FimFormat | None:
    """The format of a model of which only the name is known; None if the name tells nothing."""
    if any(name.search(model_name) and not (trained and trained.search(model_name)) for name, trained in _UNTRAINED):
        return None
    return next((find_format(form) for name, form in _NAMED if name.search(model_name)), None)


def detect_format(
    has_token: Callable[[str], bool], model_name: str, declared: tuple[str, str, str] | None = None
) -> FimFormat:
    """The format of a model.

    has_token: whether a spelling is one special token of the vocabulary. model_name: from `names_of`. declared: the
    spellings of the prefix, suffix and middle tokens that the file or llama.cpp names; used if no format of the table
    matches.
    """
    if any(name.search(model_name) and not (trained and trained.search(model_name)) for name, trained in _UNTRAINED):
        return PREFIX_ONLY
    for entry in FORMATS:
        if entry.names and not re.search(entry.names, model_name, re.IGNORECASE):
            continue
        if entry.has_fim and all(map(has_token, entry.spellings)):
            return entry
    # Spellings of the table are ignored here: the table decides what they mean, and llama.cpp finds tokens by them.
    return declared_format(*declared) if declared and not MARKERS.issuperset(declared) else PREFIX_ONLY


def names_of(text: Callable[[str], str], file: str) -> str:
    """All names of a model: from the metadata of its file, with those of its base models, and the file's name.

    text: the metadata's text under a key, empty if there is none.
    """
    bases = (text(f"general.base_model.{number}.name") for number in range(_MOST_BASES))
    return " ".join(filter(None, (text("general.name"), text("general.basename"), file, *bases)))
