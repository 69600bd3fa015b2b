"""The student: a bert_hash with one Dense on top, trained in torch, saved as a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.checkpoint import Checkpoint
from femtosearch.folder import write_checkpoint
from femtosearch.train.bert import Bert
from femtosearch.train.recipe import ModelShape
from femtosearch.train.teacher import pad
from femtosearch.types import BertConfig, Conventions


class Student(nn.Module):
    """Token ids -> unit rows, under PyLate's conventions: the prefix is one token at position 1."""

    def __init__(self, shape: ModelShape, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.shape = shape
        self.conventions = Conventions(
            query_length=shape.query_length, document_length=shape.document_length, expand_queries=False
        )
        self.tokenizer = with_prefixes(tokenizer, self.conventions)
        self.query_id = self.tokenizer.token_to_id(self.conventions.query_prefix)
        self.document_id = self.tokenizer.token_to_id(self.conventions.document_prefix)
        config = BertConfig(
            self.tokenizer.get_vocab_size(), shape.hidden_size, shape.layers, shape.heads,
            shape.intermediate_size, shape.positions, code_width=shape.code_width,
        )  # fmt: skip
        self.bert = Bert(config)
        self.dense = nn.Linear(shape.hidden_size, shape.dims, bias=False)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for layer in self.bert.encoder["layer"]:
            layer.attention.output["dense"].weight.mul_(0.5)
            layer.output["dense"].weight.mul_(0.5)
        self.bert.embeddings.position_embeddings.weight.normal_(std=0.02)
        self.bert.embeddings.token_type_embeddings.weight.zero_()

    @torch.no_grad()
    def start_table(self, means: Tensor) -> None:
        """Start the token table from each piece's mean teacher vector, [V, dims], reduced to its principal
        components.

        The hidden space starts as the row space (lifted by orthonormal columns where it is wider), so the
        Dense starts as that lift's transpose, and the untrained student already says what a token means on
        average.
        """
        hidden, dims, width = self.shape.hidden_size, self.shape.dims, self.shape.code_width
        lift = torch.zeros(hidden, dims)
        nn.init.orthogonal_(lift)
        if hidden == dims:
            lift = torch.eye(dims)
        centre = means.mean(0)
        left, values, right = torch.linalg.svd(means - centre, full_matrices=False)
        codes = left[:, :width] * values[:width]
        spread = codes.std(0)
        table = self.bert.embeddings.word_embeddings
        table.embeddings.weight[: len(means)] = codes / spread
        table.embeddings.weight[len(means) :].normal_(std=0.02)
        unit = means.std() * 2
        table.projections.weight.copy_(lift @ (right[:width].T * spread) / unit)
        table.projections.bias.copy_(lift @ centre / unit)
        self.dense.weight.copy_(lift.T)

    def forward(self, ids: Tensor, attended: Tensor) -> Tensor:
        """ids, attended [N, T] -> unit rows [N, T, D]."""
        return F.normalize(self.dense(self.bert(ids, attended)), dim=-1)

    def batch(self, texts: list[np.ndarray], *, queries: bool) -> tuple[Tensor, Tensor]:
        """Teacher ids of texts -> student ids and mask, [N, T]: cut to length, the prefix inserted at
        position 1.
        """
        limit = (self.conventions.query_length if queries else self.conventions.document_length) - 1
        prefix = self.query_id if queries else self.document_id
        pieces = []
        for text in texts:
            if len(text) > limit:
                text = np.concatenate([text[: limit - 1], text[-1:]])
            pieces.append(np.insert(text, 1, prefix))
        return pad(pieces)

    def save(self, folder: Path) -> None:
        """Write the model folder that `femtosearch.Model.load` reads."""
        weights = {name: array.detach().cpu().numpy() for name, array in self.bert.state_dict().items()}
        dense = ((self.dense.weight.detach().cpu().numpy(), None),)
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = folder / "tokenizer.json"
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.save(str(tokenizer), pretty=False)
        write_checkpoint(
            Checkpoint(folder, self.bert.config, weights, dense, self.conventions, tokenizer), folder
        )


def with_prefixes(tokenizer: Tokenizer, conventions: Conventions) -> Tokenizer:
    """A copy of the tokenizer that knows the two prefixes as tokens of their own, as PyLate adds them."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    for prefix in (conventions.query_prefix, conventions.document_prefix):
        copy.add_tokens([AddedToken(prefix, normalized=False)])
    return copy
