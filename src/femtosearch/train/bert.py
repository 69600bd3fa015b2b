"""BERT and bert_hash in torch, with the state names of Hugging Face's BERT: the trainable twin of the
native encoder.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.types import BertConfig


class HashEmbedding(nn.Module):
    """The token table of bert_hash: a code of a few numbers per token, projected to the hidden size."""

    def __init__(self, vocab_size: int, code_width: int, hidden_size: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, code_width)
        self.projections = nn.Linear(code_width, hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        return self.projections(self.embeddings(ids))


class Embeddings(nn.Module):
    """Token, position and type tables, summed and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        if config.code_width is None:
            self.word_embeddings: nn.Module = nn.Embedding(config.vocab_size, hidden)
        else:
            self.word_embeddings = HashEmbedding(config.vocab_size, config.code_width, hidden)
        self.position_embeddings = nn.Embedding(config.positions, hidden)
        self.token_type_embeddings = nn.Embedding(config.types, hidden)
        self.LayerNorm = nn.LayerNorm(hidden, eps=config.norm_epsilon)

    def forward(self, ids: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(self.word_embeddings(ids) + positions + self.token_type_embeddings.weight[0])


class Attention(nn.Module):
    """Multi-head self-attention with the output projection and the post-norm residual."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.heads
        self.self = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")})
        self.output = _residual(hidden, hidden, config.norm_epsilon)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, hidden = states.shape
        query, key, value = (
            self.self[name](states).view(batch, length, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed = mixed.transpose(1, 2).reshape(batch, length, hidden)
        return self.output["LayerNorm"](self.output["dense"](mixed) + states)


class Layer(nn.Module):
    """One post-norm transformer layer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        hidden, wide = config.hidden_size, config.intermediate_size
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(hidden, wide)})
        self.output = _residual(wide, hidden, config.norm_epsilon)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        states = self.attention(states, mask)
        wide = F.gelu(self.intermediate["dense"](states))
        return self.output["LayerNorm"](self.output["dense"](wide) + states)


class Bert(nn.Module):
    """The backbone. forward: ids [N, T] int64, attended [N, T] bool or None -> states [N, T, hidden]."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer(config) for _ in range(config.layers))})

    def forward(self, ids: Tensor, attended: Tensor | None = None) -> Tensor:
        states = self.embeddings(ids)
        mask = None if attended is None else attended[:, None, None, :]
        for layer in self.encoder["layer"]:
            states = layer(states, mask)
        return states


def _residual(wide: int, hidden: int, epsilon: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(wide, hidden), "LayerNorm": nn.LayerNorm(hidden, eps=epsilon)})
