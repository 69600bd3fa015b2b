"""The student: a bert_hash, or a bert, with one Dense on top, trained in torch, saved as a model folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.disk import replace_folder
from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint import HASH_TABLE, WORD_TABLE, Checkpoint
from femtosearch.model.checkpoint.packed import packed
from femtosearch.model.checkpoint.write import write_checkpoint
from femtosearch.tensors import write_tensors
from femtosearch.train.bert import Bert
from femtosearch.train.corpus import Corpus
from femtosearch.train.packing import PackedEmbedding
from femtosearch.train.recipe import ModelShape
from femtosearch.train.teacher import pad
from femtosearch.types import BertConfig, Conventions

QUERY_LENGTH, DOCUMENT_LENGTH = 128, 300
TOKENIZER_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "model")
SPECIAL = ("[CLS]", "[SEP]")
GROUPS = 4  # of texts of like length in a batch
MOSTLY_TEXT = 0.85  # of a padded batch: more is not worth cutting up


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """N texts as the student takes them. ids: [N, T] int64; attended: [N, T] bool; kept: [N, T] bool, the
    rows that MaxSim sees: no padding, no word of the skiplist, but a query's expansion.
    """

    ids: Tensor
    attended: Tensor
    kept: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device), self.attended.to(device), self.kept.to(device))


class Student(nn.Module):
    """Token ids -> unit rows, under PyLate's conventions: the prefix is one token at position 1."""

    def __init__(
        self, shape: ModelShape, tokenizer: Tokenizer, conventions: Conventions | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        self.conventions = conventions or Conventions(
            query_length=shape.query_length or QUERY_LENGTH,
            document_length=shape.document_length or DOCUMENT_LENGTH,
            expand_queries=shape.expand_queries,
            skiplist=_skiplist(shape),
        )
        self.tokenizer = with_prefixes(tokenizer, self.conventions)
        self.query_id = self.tokenizer.token_to_id(self.conventions.query_prefix)
        self.document_id = self.tokenizer.token_to_id(self.conventions.document_prefix)
        self.mask_id = self.tokenizer.token_to_id("[MASK]")
        if self.conventions.expand_queries and self.mask_id is None:
            raise RecipeError("model: expand_queries needs a tokenizer with [MASK]")
        skipped = map(self.tokenizer.token_to_id, self.conventions.skiplist)
        self.skipped = [number for number in skipped if number is not None]
        config = BertConfig(
            self.tokenizer.get_vocab_size(), shape.hidden_size, shape.layers, shape.heads,
            shape.intermediate_size, shape.positions, code_width=shape.code_width or None,
        )  # fmt: skip
        self.bert = Bert(config)
        self.dense = nn.Linear(shape.hidden_size, shape.dims, bias=False)
        self._initialise()

    @property
    def device(self) -> torch.device:
        return self.dense.weight.device

    @property
    def table(self) -> nn.Parameter:
        """The token table, which learns at its own rate."""
        words = self._words
        return words.books if self.is_packed else words.weight

    @property
    def table_width(self) -> int:
        """The numbers of a token in the table."""
        return self.shape.code_width or self.bert.config.hidden_size

    @property
    def _words(self) -> nn.Module:
        words = self.bert.embeddings.word_embeddings
        return words.embeddings if self.shape.code_width else words

    @property
    def is_packed(self) -> bool:
        """Whether the token table is product-quantised."""
        return isinstance(self._words, PackedEmbedding)

    def pack_table(self, groups: int, weights: Tensor, seed: int) -> None:
        """Keep `groups` bytes a token from now on; weights [V] say how much a token counts."""
        packed = PackedEmbedding.of(self._words.weight, groups, weights.to(self.device), seed)
        embeddings = self.bert.embeddings
        if self.shape.code_width:
            embeddings.word_embeddings.embeddings = packed
        else:
            embeddings.word_embeddings = packed

    @torch.no_grad()
    def _initialise(self) -> None:
        for layer in self.bert.encoder["layer"]:
            layer.attention.output["dense"].weight.mul_(0.5)
            layer.output["dense"].weight.mul_(0.5)
        self.bert.embeddings.position_embeddings.weight.normal_(std=0.02)
        self.bert.embeddings.token_type_embeddings.weight.zero_()
        if not self.shape.code_width:
            self.table.normal_(std=0.02)

    @torch.no_grad()
    def start_table(self, means: Tensor) -> None:
        """Start the token table from each piece's mean teacher vector, [V, dims]; of a bert_hash, reduced to
        their principal components.

        The hidden space starts as the row space (lifted by orthonormal columns where it is wider), so the
        Dense starts as that lift's transpose, and the untrained student already says what a token means on
        average.
        """
        hidden, dims, width = self.shape.hidden_size, self.shape.dims, self.shape.code_width
        lift = torch.zeros(hidden, dims)
        nn.init.orthogonal_(lift)
        if hidden == dims:
            lift = torch.eye(dims)
        unit = means.std() * 2
        self.dense.weight.copy_(lift.T)
        self.table[len(means) :].normal_(std=0.02)
        if not width:
            self.table[: len(means)] = means @ lift.T / unit
            return
        centre = means.mean(0)
        left, values, right = torch.linalg.svd(means - centre, full_matrices=False)
        width = min(width, dims)  # codes beyond that start without a say
        codes = left[:, :width] * values[:width]
        spread = codes.std(0)
        self.table[: len(means), :width] = codes / spread
        projections = self.bert.embeddings.word_embeddings.projections
        projections.weight.zero_()
        projections.weight[:, :width] = lift @ (right[:width].T * spread) / unit
        projections.bias.copy_(lift @ centre / unit)

    def forward(self, ids: Tensor, attended: Tensor) -> Tensor:
        """ids, attended [N, T] -> unit rows [N, T, D]."""
        return F.normalize(self.dense(self.bert(ids, attended)).float(), dim=-1)

    def rows(self, batch: Batch) -> Tensor:
        """Unit rows [N, T, D] of a batch; zeros beyond a group's longest text.

        Where there is much padding, texts of like length run together, so that little is computed for it.
        """
        lengths = (batch.attended | batch.kept).sum(1)
        if len(lengths) < GROUPS or int(lengths.sum()) > MOSTLY_TEXT * batch.ids.numel():
            return self(batch.ids, batch.attended)
        rows = torch.zeros(*batch.ids.shape, self.shape.dims, device=self.device)
        for group in torch.argsort(lengths).tensor_split(GROUPS):
            longest = int(lengths[group].max())
            rows[group, :longest] = self(batch.ids[group, :longest], batch.attended[group, :longest])
        return rows

    def batch(self, texts: list[np.ndarray], *, queries: bool) -> Batch:
        """Token ids of texts -> the student's ids on its device: cut to length, the prefix inserted at
        position 1, queries expanded if the conventions say so.
        """
        length = self.conventions.query_length if queries else self.conventions.document_length
        prefix = self.query_id if queries else self.document_id
        ids, attended = pad([np.insert(_cut(text, length - 1), 1, prefix) for text in texts])
        keep = attended.clone()
        if queries and self.conventions.expand_queries:
            missing = length - ids.shape[1]
            ids, attended = F.pad(ids, (0, missing)), F.pad(attended, (0, missing))
            ids = ids.masked_fill(~attended, self.mask_id)
            keep = torch.ones_like(attended)
            if self.conventions.attend_to_expansion:
                attended = keep
        if not queries:
            keep &= ~torch.isin(ids, torch.tensor([*self.skipped, self.query_id, self.document_id]))
            keep[:, 1] = True
        return Batch(ids, attended, keep).to(self.device)

    def save(self, folder: Path) -> None:
        """Write the model folder that `femtosearch.Model.load` reads, whole or not at all."""
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        weights, tables = self._weights()
        dense = ((self.dense.weight.detach().cpu().numpy(), None),)
        tokenizer = partial / "tokenizer.json"
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.save(str(tokenizer), pretty=False)
        write_checkpoint(
            Checkpoint(partial, self.bert.config, weights, dense, self.conventions, tokenizer), partial
        )
        if tables:
            write_tensors(partial / "model.safetensors", packed(weights, tables))
        replace_folder(partial, folder)

    def _weights(self) -> tuple[dict[str, np.ndarray], dict[str, tuple[np.ndarray, np.ndarray]]]:
        """The backbone's tensors by name, whole; and of a packed table its (codes, books)."""
        weights = {name: array.detach().cpu().numpy() for name, array in self.bert.state_dict().items()}
        if not self.is_packed:
            return weights, {}
        name = HASH_TABLE if self.shape.code_width else WORD_TABLE
        at = name.removesuffix("weight")
        tables = {name: (weights.pop(at + "codes"), weights.pop(at + "books"))}
        return weights | {name: self._words.weight.detach().cpu().numpy()}, tables


class Pupil:
    """The student with a corpus before it: the corpus's texts as the student's batches."""

    def __init__(self, student: Student, corpus: Corpus) -> None:
        self.student, self.corpus = student, corpus

    def queries(self, numbers: np.ndarray) -> Batch:
        """The queries of these numbers."""
        return self.student.batch([self.corpus.queries[n] for n in numbers], queries=True)

    def passages(self, numbers: np.ndarray) -> Batch:
        """The passages of these numbers."""
        return self.student.batch([self.corpus.passages[n] for n in numbers], queries=False)

    def query_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Their rows [n, T, D], and which are kept [n, T]."""
        batch = self.queries(numbers)
        return self.student.rows(batch), batch.kept

    def passage_rows(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Their rows [n, T, D], and which are kept [n, T]."""
        batch = self.passages(numbers)
        return self.student.rows(batch), batch.kept


def _skiplist(shape: ModelShape) -> tuple[str, ...]:
    words = Conventions().skiplist if shape.skiplist else ()
    return words if shape.special_rows else (*words, *SPECIAL)


def from_checkpoint(checkpoint: Checkpoint, shape: ModelShape) -> Student:
    """The student that a model folder holds, to be trained further. A backbone without a Dense gets a new one
    of shape.dims; a vocabulary without the prefixes gets them.
    """
    config, dense = checkpoint.config, checkpoint.dense
    if len(dense) > 1 or any(bias is not None for _, bias in dense):
        raise RecipeError(f"start: {checkpoint.folder}: expected one Dense without bias, as ours have")
    if dense and len(dense[0][0]) != shape.dims:
        raise RecipeError(
            f"start: {checkpoint.folder} has rows of {len(dense[0][0])} dims, the recipe {shape.dims}; "
            "set model.dims to the former"
        )
    stated = checkpoint.conventions
    others = shape.expand_queries > stated.expand_queries or shape.skiplist < bool(stated.skiplist)
    others |= not shape.special_rows and not set(SPECIAL) <= set(stated.skiplist)
    if dense and others:
        raise RecipeError(
            f"start: {checkpoint.folder} brings its own conventions; remove model.expand_queries, skiplist "
            "and special_rows"
        )
    lengths = {key: getattr(shape, key) for key in ("query_length", "document_length") if getattr(shape, key)}
    conventions = replace(stated, **lengths) if dense else None
    shape = replace(
        shape, code_width=config.code_width or 0, hidden_size=config.hidden_size, layers=config.layers,
        heads=config.heads, intermediate_size=config.intermediate_size, positions=config.positions,
    )  # fmt: skip
    student = Student(shape, Tokenizer.from_file(str(checkpoint.tokenizer)), conventions)
    state = student.bert.state_dict()
    for name, array in checkpoint.weights.items():
        if name in state:
            rows = len(state[name])
            if name in (HASH_TABLE, WORD_TABLE):  # a table may be padded, or lack the prefixes
                rows = min(rows, len(array))
            state[name][:rows] = torch.from_numpy(array[:rows].copy())
    student.bert.load_state_dict(state)
    if dense:
        student.dense.weight.data.copy_(torch.from_numpy(dense[0][0].copy()))
    return student


def with_prefixes(tokenizer: Tokenizer, conventions: Conventions) -> Tokenizer:
    """A copy of the tokenizer that knows the two prefixes as tokens of their own, as PyLate adds them."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    for prefix in (conventions.query_prefix, conventions.document_prefix):
        copy.add_tokens([AddedToken(prefix, normalized=False)])
    return copy


def differing_part(one: Tokenizer, other: Tokenizer) -> str:
    """The part by which two tokenizers cut a text into other tokens or numbers; empty if there is none."""
    ours, theirs = (json.loads(tokenizer.to_str()) for tokenizer in (one, other))
    return next((part for part in TOKENIZER_PARTS if ours[part] != theirs[part]), "")


def check_same_tokenizer(student: Student, teacher: Tokenizer, stage: str) -> None:
    """Raises RecipeError unless student and teacher have the same tokens: a stage that compares token vectors
    needs that.
    """
    part = differing_part(student.tokenizer, teacher)
    if part:
        raise RecipeError(
            f"{stage}: the student's tokenizer differs from the teacher's in its {part}; token vectors "
            "can only be compared token by token: take the teacher's tokenizer, or a pooled teacher"
        )


def _cut(text: np.ndarray, limit: int) -> np.ndarray:
    return text if len(text) <= limit else np.concatenate([text[: limit - 1], text[-1:]])
