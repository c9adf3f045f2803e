"""The special tokens between which reasoning models think, by their spelling in each family's vocabulary.

Where they are control tokens they stand for no text, and would end an answer before it has begun. In an answer the
beginning and the end of the thinking are written in one way for all families.
"""

from __future__ import annotations

from collections.abc import Callable

OPENING, CLOSING = "<think>", "</think>"

PAIRS = (
    (OPENING, CLOSING),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("<longcat_think>", "</longcat_think>"),
    ("[THINK]", "[/THINK]"),  # Mistral's
    ("◁think▷", "◁/think▷"),  # Kimi's
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere's
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|thought_start|>", "<|thought_end|>"),
    ("<|thinking_start|>", "<|thinking_end|>"),
    ("<|think_start|>", "<|think_end|>"),
    ("<|begin_of_think|>", "<|end_of_think|>"),
    ("<think_start>", "<think_end>"),
    ("<|think|>", "<|/think|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ("<unused94>", "<unused95>"),  # MedGemma
)
OPENERS = tuple(opener for opener, _ in PAIRS)

# What stands in front of the answer itself, and is none of it.
_SILENT = ("<|START_RESPONSE|>", "<response>")

# The tokens around each message of OpenAI's open models, which think in one message and answer in the next. Others have
# some of them, with other meanings.
_CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>")


def written_as(marker: Callable[[str], int | None]) -> dict[int, bytes]:
    """What a vocabulary's tokens for thinking stand for in an answer, by their ids.

    marker: the id of the special token spelled so, or None.
    """
    found: dict[int, bytes] = {}
    for opener, closer in PAIRS:
        ids = marker(opener), marker(closer)
        if ids[0] is not None and ids[1] is not None:
            found |= {ids[0]: OPENING.encode(), ids[1]: CLOSING.encode()}
    channels = [marker(spelling) for spelling in _CHANNELS]
    if None not in channels:
        found |= {id: text.encode() for id, text in zip(channels, _CHANNELS, strict=True) if id is not None}
    return found | {id: b"" for spelling in _SILENT if (id := marker(spelling)) is not None}
