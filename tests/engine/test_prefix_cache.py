"""The prefix cache as plain data: where prompts go, what is kept, and that its record is never wrong."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lsp_server.engine.prefix_cache import (
    LEAST_COPY_TOKENS,
    MOST_LOSS_TOKENS,
    ROWS_BEFORE,
    ROWS_FROM,
    Placement,
    PrefixCache,
    common_prefix,
)


def brute_prefix(first: list[int], second: list[int]) -> int:
    length = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        length += 1
    return length


def evaluate(cache: PrefixCache, id: int, prompt: list[int], most: int | None = None) -> int:
    """What the engine does with a placed prompt: nothing if all of it is there, else it cuts where they part and
    evaluates at most `most` tokens. Returns where they part."""
    position = brute_prefix(list(cache.tokens(id)), prompt)
    if position < len(prompt):
        cache.truncate(id, position)
        cache.append(id, prompt[position:][:most])
    return position


def fill(cache: PrefixCache, *prompts: list[int]) -> list[int]:
    """Places each prompt, evaluates what is missing and releases it. Returns the sequences they went to."""
    targets = []
    for prompt in prompts:
        placement = cache.place(prompt)
        assert placement is not None
        evaluate(cache, placement.target, prompt)
        cache.release(placement.target)
        targets.append(placement.target)
    return targets


A, B, C = [[base + i for i in range(400)] for base in (1000, 2000, 3000)]
SHORT = LEAST_COPY_TOKENS - 1


@pytest.mark.parametrize(
    ("resident", "prompt", "expected"),
    [
        pytest.param([], A, Placement(0, 0), id="empty cache"),
        pytest.param([A], [*A, 1], Placement(0, 400), id="a typed key"),
        pytest.param([A], A, Placement(0, 400), id="the same again: all of it is there"),
        pytest.param([A], A[:300], Placement(0, 300), id="a small loss is taken"),
        pytest.param([A], A[: 400 - MOST_LOSS_TOKENS], Placement(0, 240), id="the largest loss that is taken"),
        pytest.param([A], A[: 400 - MOST_LOSS_TOKENS - 1], Placement(1, 239, 0), id="one token more is a copy"),
        pytest.param([A], [*A[:100], 7], Placement(1, 100, 0), id="a large loss is a copy"),
        pytest.param([A[:60]], [*A[:29], 7], Placement(1, 0), id="less than half kept, too short to copy"),
        pytest.param([A], [*A[:SHORT], 7], Placement(1, 0), id="too short to copy"),
        pytest.param([A], [*A[:LEAST_COPY_TOKENS], 7], Placement(1, LEAST_COPY_TOKENS, 0), id="just worth a copy"),
        pytest.param([A, B], [*B, 1], Placement(1, 400), id="the longest match wins"),
        pytest.param([A, B], C, Placement(0, 0), id="the least recently used goes"),
        pytest.param([A, B, [*A, 5]], C, Placement(1, 0), id="use keeps a sequence"),
        pytest.param([A, B], [*A[:100], 7], Placement(1, 100, 0), id="a copy does not go over its source"),
    ],
)
def test_where_a_prompt_goes(resident: list, prompt: list, expected: Placement) -> None:
    cache = PrefixCache(2)
    fill(cache, *resident)
    held = {sequence.id: list(sequence.tokens) for sequence in cache}
    assert cache.place(prompt) == expected
    # Nothing is cut yet: the target holds what it held, or all of what it is copied from.
    copied = expected.target if expected.source is None else expected.source
    assert {s.id: list(s.tokens) for s in cache} == {**held, expected.target: held[copied]}
    assert cache.forks == (expected.source is not None)
    position = evaluate(cache, expected.target, prompt)
    assert position == expected.reuse
    if position < len(prompt):
        assert list(cache.tokens(expected.target)) == prompt
    if expected.source is not None:
        assert list(cache.tokens(expected.source)) == resident[0]


def test_a_single_sequence_is_cut_back_whatever_the_loss() -> None:
    cache = PrefixCache(1)
    fill(cache, A)
    assert cache.place([*A[:100], 7]) == Placement(0, 100)
    assert cache.place(B) is None, "the only sequence is busy"
    cache.release(0)
    assert cache.place(B) == Placement(0, 0)


def test_a_busy_sequence_is_a_source_but_not_a_target() -> None:
    cache = PrefixCache(2)
    fill(cache, A)
    assert cache.place([*A, 1]) == Placement(0, 400)
    assert cache.place([*A, 1]) == Placement(1, 400, 0)
    assert list(cache.tokens(0)) == A
    assert cache.place(A) is None


def test_of_two_equal_matches_the_free_one_is_taken() -> None:
    cache = PrefixCache(2)
    fill(cache, A)
    assert cache.place([*A, 1]) == Placement(0, 400)
    assert fill(cache, [*A, 2]) == [1]
    cache.truncate(1, 400)
    assert cache.place([*A, 3]) == Placement(1, 400), "copied over its equal"


def test_a_prompt_that_grows_into_what_is_there_cuts_nothing() -> None:
    """A suggestion that was written stays while the user types it, and goes with the first key that differs."""
    cache = PrefixCache(1)
    fill(cache, A)
    for length in (380, 390, 400):
        assert cache.place(A[:length]) == Placement(0, length)
        cache.release(0)
        assert list(cache.tokens(0)) == A
    fill(cache, [*A[:390], 7])
    assert list(cache.tokens(0)) == [*A[:390], 7]


def row(number: int) -> np.ndarray:
    return np.array([number], dtype=np.float32)


def kept(cache: PrefixCache, id: int) -> list[int]:
    """Where the rows of a sequence are; what each holds is checked."""
    found = {index: cache.row(id, index) for index in range(-1, 500)}
    assert all(values is None or values.tolist() == [index] for index, values in found.items())
    return [index for index, values in found.items() if values is not None]


def test_rows_are_kept_from_the_first_on_and_no_more_than_a_few() -> None:
    cache = PrefixCache(2)
    fill(cache, A)
    for index in range(390, 400):
        cache.keep_row(0, index, row(index), first=388)
    assert kept(cache, 0) == list(range(390, 388 + ROWS_FROM))
    cache.keep_row(0, 393, row(393), first=392)
    assert kept(cache, 0) == list(range(390, 397)), "two in front of the first are near, those behind stay"
    cache.keep_row(0, 396, row(396), first=396)
    assert kept(cache, 0) == list(range(396 - ROWS_BEFORE, 397)), "rows far in front of the first were kept"
    cache.keep_row(0, 7, row(7), first=0)
    assert kept(cache, 0) == [7]
    assert kept(cache, 1) == []


def test_rows_go_with_their_tokens_and_come_along_with_a_copy() -> None:
    cache = PrefixCache(3)
    fill(cache, A)
    for index in range(300, 305):
        cache.keep_row(0, index, row(index), first=300)
    assert cache.place([*A[:303], 1]) == Placement(0, 303)
    assert kept(cache, 0) == [300, 301, 302, 303, 304], "placing alone changes nothing"
    assert cache.place([*A[:302], 2]) == Placement(1, 302, 0)
    cache.truncate(1, 302)
    assert kept(cache, 1) == [300, 301]
    assert kept(cache, 0) == [300, 301, 302, 303, 304], "the copy shares its rows with the source"
    cache.append(1, [2])
    assert kept(cache, 1) == [300, 301], "the row of a token that is gone came back"
    cache.truncate(0, 303)
    assert kept(cache, 0) == [300, 301, 302]
    assert cache.place(B) == Placement(2, 0)
    assert kept(cache, 2) == []


def test_check_finds_a_record_that_differs() -> None:
    cache = PrefixCache(2)
    fill(cache, A)
    cache.check(lambda id: 400 if id == 0 else 0)
    with pytest.raises(AssertionError, match="sequence 1 holds 3"):
        cache.check(lambda id: 400 if id == 0 else 3)


def test_common_prefix_is_what_counting_finds() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        first = [rng.randrange(3) for _ in range(rng.randrange(12))]
        second = first[: rng.randrange(len(first) + 1)] + [rng.randrange(3) for _ in range(rng.randrange(4))]
        assert common_prefix(first, second) == brute_prefix(first, second) == common_prefix(second, first)


class Shadow:
    """Does to plain lists what a backend would be told, and keeps its own account of use."""

    def __init__(self, sequences: int) -> None:
        self.cells: dict[int, list[int]] = {id: [] for id in range(sequences)}
        self.rows: dict[int, set[int]] = {id: set() for id in range(sequences)}
        self.busy: set[int] = set()
        self.recent: list[int] = []  # least recently used first

    def touch(self, id: int) -> None:
        self.recent = [other for other in self.recent if other != id] + [id]

    def check_placement(self, prompt: list[int], placed: Placement) -> None:
        """The placement is allowed, and leaves out nothing better of its own kind."""
        free = self.cells.keys() - self.busy
        assert placed.target in free
        assert 0 <= placed.reuse <= len(prompt)
        assert placed.source != placed.target
        holder = self.cells[placed.target if placed.source is None else placed.source]
        assert holder[: placed.reuse] == prompt[: placed.reuse]
        best = max(brute_prefix(cells, prompt) for cells in self.cells.values())
        longest = {id for id, cells in self.cells.items() if brute_prefix(cells, prompt) == best}
        if placed.reuse:
            assert placed.reuse == best, "a longer match was left unused"
        if placed.source is None and placed.target in longest:
            return
        # It was taken from another prompt: an empty one if there is one, else the least recently used.
        candidates = free - {placed.source}
        empty = {id for id in candidates if not self.cells[id]}
        if empty:
            assert placed.target in empty
        elif placed.source is not None or not (longest & free):
            assert placed.target == next(id for id in self.recent if id in candidates)

    def carry_out(self, placed: Placement) -> None:
        if placed.source is not None:
            self.cells[placed.target] = list(self.cells[placed.source])
            self.rows[placed.target] = set(self.rows[placed.source])
        self.busy.add(placed.target)
        self.touch(placed.target)

    def cut(self, id: int, length: int) -> None:
        del self.cells[id][length:]
        self.rows[id] = {index for index in self.rows[id] if index < length}

    def keep_row(self, id: int, index: int, first: int) -> None:
        self.rows[id] = {i for i in {*self.rows[id], index} if first - ROWS_BEFORE <= i < first + ROWS_FROM}

    def row(self, id: int, index: int) -> np.ndarray:
        """What stands for the logits behind a token: all that they depend on."""
        return np.array(self.cells[id][: index + 1], dtype=np.float32)

    def check(self, cache: PrefixCache) -> None:
        """The record says what is there, and every row that is kept belongs to the very tokens before it."""
        assert {s.id: list(s.tokens) for s in cache} == self.cells
        assert {s.id for s in cache if s.busy} == self.busy
        for id, kept in self.rows.items():
            assert len(kept) <= ROWS_BEFORE + ROWS_FROM
            for index in range(len(self.cells[id]) + 2):
                row = cache.row(id, index)
                assert (row is not None) == (index in kept)
                assert row is None or np.array_equal(row, self.row(id, index))


@pytest.mark.parametrize(("seed", "sequences"), [(seed, n) for n in (1, 2, 4, 8) for seed in range(3)])
def test_random_events_keep_every_promise(seed: int, sequences: int) -> None:
    rng = random.Random(f"{seed} {sequences}")
    cache, shadow = PrefixCache(sequences), Shadow(sequences)
    prompts = [[rng.randrange(4) for _ in range(rng.randrange(1, 500))] for _ in range(6)]
    for _ in range(1500):
        event = rng.random()
        busy = sorted(shadow.busy)
        if event < 0.36:
            base = rng.choice(prompts)
            prompt = base[: rng.randrange(len(base)) + 1] + [rng.randrange(4) for _ in range(rng.randrange(30))]
            prompts[rng.randrange(len(prompts))] = prompt[:600]
            id, shared = cache.match(prompt)
            assert shared == max(brute_prefix(cells, prompt) for cells in shadow.cells.values())
            assert brute_prefix(shadow.cells[id], prompt) == shared
            forks = cache.forks
            placed = cache.place(prompt)
            if len(busy) == sequences:
                assert placed is None
            else:
                assert placed is not None, "a free sequence was refused"
                shadow.check_placement(prompt, placed)
                assert cache.forks - forks == (placed.source is not None)
                shadow.carry_out(placed)
                assert {s.id: list(s.tokens) for s in cache} == shadow.cells, "cut before something is evaluated"
                if rng.random() < 0.8:
                    most = rng.choice([None, rng.randrange(1, 40)])
                    cells = shadow.cells[placed.target]
                    position = evaluate(cache, placed.target, prompt, most)
                    assert position == brute_prefix(cells, prompt) >= placed.reuse
                    if position < len(prompt):
                        shadow.cut(placed.target, position)
                        cells += prompt[position:][:most]
        elif busy and event < 0.48:
            id = rng.choice(busy)
            tokens = [rng.randrange(4) for _ in range(rng.randrange(20))]
            cache.append(id, tokens)
            shadow.cells[id] += tokens
        elif busy and event < 0.53:
            id = rng.choice(busy)
            length = rng.randrange(len(shadow.cells[id]) + 2)
            cache.truncate(id, length)
            shadow.cut(id, length)
        elif busy and event < 0.68:
            id = rng.choice(busy)
            first = rng.randrange(-1, len(shadow.cells[id]) + 1)
            for index in range(max(0, first - ROWS_BEFORE - 3), min(len(shadow.cells[id]), first + ROWS_FROM + 3)):
                if rng.random() < 0.7:
                    cache.keep_row(id, index, shadow.row(id, index), first=first)
                    shadow.keep_row(id, index, first)
        elif busy:
            id = rng.choice(busy)
            cache.release(id)
            shadow.busy.discard(id)
            shadow.touch(id)
        shadow.check(cache)
        cache.check(lambda id: len(shadow.cells[id]))
    assert cache.evictions > 0 or sequences == 1
    assert cache.forks > 0 or sequences == 1
