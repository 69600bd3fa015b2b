"""A bert as the teacher: its token vectors, projected to their principal directions, and its mean vectors,
cached on disk.

MaxSim over a sentence model's *token* vectors ranks far better than its pooled vector, and loses little
when the vectors are projected to their first 50 principal directions: so a tiny student can learn from
them, token by token.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional as F

from femtosearch.disk import write_whole
from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint import Checkpoint, read_checkpoint
from femtosearch.train.bert import Bert
from femtosearch.train.cache import digest, finish, is_finished, unfinished
from femtosearch.train.corpus import Texts
from femtosearch.train.sources import locate

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Cached teacher vectors of N texts, memory-mapped.

    rows:   [T, C] float16: unit token vectors projected to C principal directions, first ones first; None
            of a teacher whose token vectors are not used.
    pooled: [N, H] float16: the unit mean vector of each text.
    """

    rows: np.ndarray | None
    pooled: np.ndarray


class Teacher:
    """A frozen `bert` from a model folder, in bfloat16, or in float32 where that is faster."""

    def __init__(self, source: str, batch_tokens: int, device: torch.device) -> None:
        self.checkpoint = read_checkpoint(locate(source))
        self.batch_tokens = batch_tokens
        self.bert = Bert(self.checkpoint.config)
        state = {name: torch.from_numpy(array.copy()) for name, array in self.checkpoint.weights.items()}
        self.bert.load_state_dict(state, strict=False)
        self.digest = checkpoint_digest(self.checkpoint)  # what the vectors depend on but the texts
        self.checkpoint.weights.clear()  # the bert has its own copy
        self.device = device
        dtype = processor_dtype() if device.type == "cpu" else torch.bfloat16
        self.bert.to(device, dtype).eval().requires_grad_(False)
        self.dense = [tuple(map(self._constant, parts)) for parts in self.checkpoint.dense]

    def tokenizer(self, length: int) -> Tokenizer:
        """A fresh copy of its tokenizer that cuts texts to `length` tokens, or to its positions."""
        tokenizer = Tokenizer.from_file(str(self.checkpoint.tokenizer))
        tokenizer.enable_truncation(min(length, self.checkpoint.config.positions))
        tokenizer.no_padding()
        return tokenizer

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

    def projection(self, texts: Texts, dims: int, sample: int, seed: int, path: Path) -> torch.Tensor:
        """[H, dims]: the principal directions, uncentred, of a sample of texts' token vectors; kept at
        `path`.
        """
        key = digest(self.digest, texts.ids, texts.starts, dims, sample, seed)
        if is_finished(path, key):
            return torch.from_numpy(np.load(path, allow_pickle=False))
        which = np.random.default_rng(seed).permutation(len(texts))[:sample]
        moment = sum(rows.T @ rows for _, rows, _ in self.encode(texts, which))
        if dims > len(moment):
            raise RecipeError(f"teacher: dims {dims} are more than its vectors have: {len(moment)}")
        _, vectors = torch.linalg.eigh(moment.double())
        reduced = vectors.flip(1)[:, :dims].float().cpu().contiguous()
        content = io.BytesIO()
        np.save(content, reduced.numpy())
        with unfinished(path):
            write_whole(path, content.getvalue())
        finish(path, key)
        return reduced

    def cache(self, texts: Texts, projection: torch.Tensor | None, path: Path, progress: Progress) -> Vectors:
        """Encode every text once to path.rows (not without a projection) and path.pooled; a finished cache
        of the same teacher, texts and projection is used again. Raises RecipeError when the disk is full.
        """
        directions = np.zeros(0) if projection is None else projection.numpy()
        key = digest(self.digest, texts.ids, texts.starts, directions)
        pooled_path, rows_path = path.with_suffix(".pooled"), path.with_suffix(".rows")
        if not (is_finished(pooled_path, key) and is_finished(rows_path, key)):
            with (
                unfinished(pooled_path), unfinished(rows_path),
                pooled_path.open("wb") as pooled, rows_path.open("wb") as rows,
            ):  # fmt: skip
                self._fill(texts, projection, rows, pooled, progress)
            finish(pooled_path, key)
            finish(rows_path, key)
        rows = _mapped(rows_path, int(texts.starts[-1]), directions.shape[-1]) if len(directions) else None
        return Vectors(rows, _mapped(pooled_path, len(texts), self.width))

    @property
    def width(self) -> int:
        """H: the width of its vectors."""
        return len(self.dense[-1][0]) if self.dense else self.checkpoint.config.hidden_size

    def _fill(
        self,
        texts: Texts,
        projection: torch.Tensor | None,
        rows: BinaryIO,
        pooled: BinaryIO,
        progress: Progress,
    ) -> None:
        """Written, not memory-mapped: a full disk is then an error, not a signal that kills the process."""
        count = 0
        projection = None if projection is None else projection.to(self.device)
        for numbers, vectors, lengths in self.encode(texts):
            means = [F.normalize(text.mean(0), dim=0) for text in vectors.split(lengths)]
            _write_at(pooled, numbers, torch.stack(means).half().cpu().numpy()[:, None])
            if projection is not None:
                projected = (vectors @ projection).half().cpu().numpy()
                _write_at(rows, texts.starts[numbers], np.split(projected, np.cumsum(lengths)[:-1]))
            count += sum(lengths)
            progress(count, int(texts.starts[-1]))


def checkpoint_digest(checkpoint: Checkpoint) -> str:
    """Of its shape, weights and Dense layers."""
    weights = [part for item in sorted(checkpoint.weights.items()) for part in item]
    dense = [part for layer in checkpoint.dense for part in layer]
    return digest(checkpoint.config, *weights, *dense)


def _mapped(path: Path, count: int, width: int) -> np.ndarray:
    """A file of float16 rows; an empty file cannot be mapped."""
    shape = (count, width)
    return np.memmap(path, np.float16, "r", shape=shape) if count else np.zeros(shape, dtype=np.float16)


def _write_at(file: BinaryIO, at: np.ndarray, blocks: list[np.ndarray] | np.ndarray) -> None:
    for place, block in zip(at, blocks, strict=True):
        file.seek(int(place) * block.shape[1] * block.itemsize)
        file.write(block.tobytes())


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


@lru_cache(maxsize=1)
def processor_dtype() -> torch.dtype:
    """bfloat16, or float32 on a processor that multiplies matrices of it more than 1.5 times as fast: without
    instructions for bfloat16 that takes many times as long.
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(256, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
        times = []
        for _ in range(5):  # the first warms up
            start = time.perf_counter()
            F.linear(rows, weights)
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return torch.float32 if seconds[torch.bfloat16] > 1.5 * seconds[torch.float32] else torch.bfloat16
