"""The special tokens around the thinking of reasoning models, by their spelling in each family's vocabulary.

If these are control tokens, they have no text, and would end an answer before it begins. In the text of an answer, the
thinking begins and ends with the same tags for all families.
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

# Tokens before the answer itself that are no part of it.
_SILENT = ("<|START_RESPONSE|>", "<response>")

# The tokens around each message of OpenAI's open models, which think in one message and answer in the next. Other
# models have some of them with other meanings.
_CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>")


def written_as(marker: Callable[[str], int | None]) -> dict[int, bytes]:
    """The text in an answer for each token of a vocabulary that has to do with thinking, by token id.

    marker: gives the id of the special token with that spelling, or None.
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
