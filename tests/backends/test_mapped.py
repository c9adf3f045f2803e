"""What loaded models have mapped is summed on one thread while another loads and closes models."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from lsp_server.backends.llama_library import MappedBytes


class Owner:
    pass


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_it_is_summed_while_models_come_and_go(hasty: None) -> None:
    mapped, wrong, ended = MappedBytes(), [], threading.Event()
    lasting = [Owner() for _ in range(200)]
    for owner in lasting:
        mapped.add(owner, 5)

    def comes_and_goes(lost: bool) -> None:
        for _ in range(10000):
            owner = Owner()
            mapped.add(owner, 1)
            if not lost:
                mapped.drop(owner)

    def sums() -> None:
        while not ended.is_set():
            try:
                total = mapped.total()
            except RuntimeError as error:
                wrong.append(error)
            else:
                wrong.extend([total] * (not 1000 <= total <= 1003))

    threads = [threading.Thread(target=comes_and_goes, args=(lost,)) for lost in (False, True, False)]
    summing = threading.Thread(target=sums)
    for thread in (*threads, summing):
        thread.start()
    for thread in threads:
        thread.join()
    ended.set()
    summing.join()
    assert wrong == []
    assert mapped.total() == 1000


def test_a_model_that_is_closed_or_lost_maps_nothing() -> None:
    mapped, kept, closed = MappedBytes(), Owner(), Owner()
    mapped.add(kept, 10)
    mapped.add(closed, 10)
    mapped.add(Owner(), 10)
    mapped.drop(closed)
    mapped.drop(closed)
    assert mapped.total() == 10
