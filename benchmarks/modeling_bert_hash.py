"""The bert_hash architecture for Hugging Face's transformers: what PyLate needs to load such a folder.

It is BERT, but a token's embedding is a row of a narrow table, projected to the hidden size.
"""

import torch
from transformers import BertConfig, BertModel


class BertHashConfig(BertConfig):
    """BERT's configuration, and the numbers per token."""

    model_type = "bert_hash"

    def __init__(self, projections: int = 5, **rest):
        super().__init__(**rest)
        self.projections = projections


class HashEmbedding(torch.nn.Module):
    """[...] token ids -> [..., hidden]."""

    def __init__(self, vocabulary: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embeddings = torch.nn.Embedding(vocabulary, width)
        self.projections = torch.nn.Linear(width, hidden)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.projections(self.embeddings(ids))


class BertHashModel(BertModel):
    """BERT over hashed embeddings."""

    config_class = BertHashConfig

    def __init__(self, config: BertHashConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        self.embeddings.word_embeddings = HashEmbedding(
            config.vocab_size, config.projections, config.hidden_size
        )
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Embedding:
        """The narrow table: what grows when tokens are added."""
        return self.embeddings.word_embeddings.embeddings

    def set_input_embeddings(self, table: torch.nn.Embedding) -> None:
        """Put a table of another length in its place."""
        self.embeddings.word_embeddings.embeddings = table
