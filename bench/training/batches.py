"""Packed rows as batches. The order of the rows depends only on the seed, so a run can be resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.training.pack import Role


@dataclass(frozen=True, slots=True)
class Batch:
    """inputs, targets: int64, rows × (length - 1). weights: float32, how much each target counts."""

    inputs: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


class PackedRows:
    """All rows of a folder that `pack` has written. context_share: the share of prompt tokens that count in the loss;
    all tokens of middles count. Raises ValueError if the folder is not complete.
    """

    def __init__(self, folder: Path, context_share: float = 1.0, seed: int = 0) -> None:
        if not (folder / "meta.json").is_file():
            raise ValueError(f"{folder} has no meta.json; run the stage pack to its end")
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text("utf-8"))
        names = sorted(folder.glob("*.tokens.npy"))
        self._tokens = [np.load(path, mmap_mode="r") for path in names]
        self._roles = [np.load(str(path).replace(".tokens.", ".roles."), mmap_mode="r") for path in names]
        self._starts = np.cumsum([0, *(len(shard) for shard in self._tokens)])
        self._context_share, self._seed = context_share, seed

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batch(self, position: int, size: int, device: torch.device) -> Batch:
        """The `size` rows from index `position` on. After the last row all rows come again in another order."""
        tokens, weights = [], []
        for number in range(position, position + size):
            epoch, index = divmod(number, len(self))
            row = int(self._order(epoch)[index])
            shard = int(np.searchsorted(self._starts, row, side="right")) - 1
            roles = np.asarray(self._roles[shard][row - self._starts[shard]])
            tokens.append(np.asarray(self._tokens[shard][row - self._starts[shard]]).astype(np.int64))
            counted = np.random.default_rng([self._seed, number]).random(len(roles)) < self._context_share
            weights.append(np.where(roles == Role.CONTEXT, counted, roles == Role.MIDDLE).astype(np.float32))
        whole = torch.from_numpy(np.stack(tokens)).to(device, non_blocking=True)
        counts = torch.from_numpy(np.stack(weights)).to(device, non_blocking=True)
        return Batch(whole[:, :-1].contiguous(), whole[:, 1:].contiguous(), counts[:, 1:].contiguous())

    _cached: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=np.int64))

    def _order(self, epoch: int) -> np.ndarray:
        if self._cached[0] != epoch:
            self._cached = (epoch, np.random.default_rng([self._seed, epoch]).permutation(len(self)))
        return self._cached[1]
