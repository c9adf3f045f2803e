"""Mutated GGUF files: each is refused with one line, or loads and works; none ends the server's process.

The fast tier takes a few by seed. All 5,000:
    FIMBLE_TEST_EFFORT=100 python -m pytest -n 0 tests/models/test_fuzz.py -s
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import admission
from lsp_server.models.gguf import read_header
from tests.support.effort import scaled
from tests.support.tiny_gguf import write_tiny_gguf

FILES = scaled(40)
SEED = 1
BATCH = 50  # files that one child tries, as long as none of them kills it
_LIMITS = ((1 << 31) - 1, 1 << 31, 4_000_000_000, (1 << 32) - 1, 1 << 62, (1 << 64) - 1)
INTERESTING = (0, 1, 2, 7, 127, 255, 65535, *_LIMITS)


def mutations(whole: bytes, header_bytes: int, count: int, seed: int) -> Iterator[bytes]:
    """Files with one to four faults: mostly in the header, where every number means something."""
    rng = random.Random(seed)
    numbers = _places_of_values(whole, header_bytes)
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            at = rng.randrange(header_bytes)
            kind = rng.randrange(8)
            if kind <= 2:  # a number in the place of a metadata value
                at, width = rng.choice(numbers)
                value = rng.choice((*INTERESTING, rng.randrange(1 << 16))) % (1 << (8 * width))
                data[at : at + width] = value.to_bytes(width, "little")
            elif kind == 3:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 4:
                width = rng.choice((1, 4, 8))
                data[at : at + width] = (rng.choice(INTERESTING) % (1 << (8 * width))).to_bytes(width, "little")
            elif kind == 5:
                del data[at : at + rng.choice((1, 4, 8, 100))]
            elif kind == 6:
                other = rng.randrange(header_bytes)
                data[at:at] = data[other : other + rng.choice((1, 8, 60))]
            else:
                at = rng.randrange(header_bytes, len(data)) if len(data) > header_bytes else at
                data[at : at + 4] = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, 0.0)))
        yield bytes(data)


def _places_of_values(whole: bytes, header_bytes: int) -> list[tuple[int, int]]:
    """Where integers of four bytes stand behind `llama.…` and `tokenizer.…` keys, and in tensor descriptions."""
    places = []
    for marker in (b"llama.", b"tokenizer.ggml."):
        at = whole.find(marker, 0, header_bytes)
        while at >= 0:
            (length,) = struct.unpack_from("<Q", whole, at - 8)
            places.append((at + length + 4, 4))
            at = whole.find(marker, at + 1, header_bytes)
    at = whole.find(b".weight", 0, header_bytes)
    while at >= 0:
        places.extend([(at + 7 + 4, 8), (at + 7 + 12, 8)])
        at = whole.find(b".weight", at + 1, header_bytes)
    return places


def verdicts(paths: list[Path]) -> dict[Path, str]:
    """What the child says of each file. The one that killed it counts as refused, and the rest are tried anew."""
    found: dict[Path, str] = {}
    while paths:
        batch = paths[:BATCH]
        done = _child(batch)
        answers = admission.read_answers(done.stdout)
        found.update(zip(batch, answers, strict=False))
        paths = paths[len(answers) :]
        if len(answers) < len(batch):
            assert done.returncode != 0
            found[batch[len(answers)]] = admission.describe_end(done.returncode, done.stderr.decode("utf-8", "replace"))
            paths = paths[1:]
    return found


def _child(paths: list[Path]) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "lsp_server.models.probe", "--", *map(str, paths)]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    return subprocess.run(command, capture_output=True, env=environment, timeout=600, check=False)


def test_a_mutated_file_is_refused_or_works(tmp_path: Path) -> None:
    tiny = write_tiny_gguf(tmp_path / "tiny.gguf", context=512)
    whole, header_bytes = tiny.read_bytes(), read_header(tiny).data_offset
    outcomes: Counter[str] = Counter()
    tried: list[Path] = []
    for number, data in enumerate(mutations(whole, header_bytes, FILES, SEED)):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        try:
            read_header(path)
            tried.append(path)
        except ModelError as error:
            outcomes["refused by its header"] += 1
            assert "\n" not in str(error)
            path.unlink()
    working = []
    for path, refusal in verdicts(tried).items():
        assert "\n" not in refusal
        if refusal:
            crashed = "crashes llama.cpp" in refusal
            outcomes["killed the child" if crashed else "refused in the child"] += 1
            path.unlink()
        else:
            outcomes["works"] += 1
            working.append(path)
    # What was let through is loaded again as the server would: this process must live to the end of all of it.
    for start in range(0, len(working), BATCH):
        done = _child(working[start : start + BATCH])
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
        assert admission.read_answers(done.stdout) == [""] * len(working[start : start + BATCH])
    print(dict(outcomes))
    assert sum(outcomes.values()) == FILES
    assert outcomes["refused by its header"] and outcomes["works"]
