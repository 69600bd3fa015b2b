"""bert_hash for Hugging Face's transformers: BERT with a narrow token table, projected to the hidden size.

femtosearch writes this file beside the weights of every bert_hash that it saves, so that PyLate, Sentence
Transformers and txtai can load the folder (trust_remote_code=True).
"""

import torch
from transformers import BertConfig, BertModel


class BertHashConfig(BertConfig):
    """BERT's configuration. projections: the numbers per token; projections_bias: whether a bias is added."""

    model_type = "bert_hash"

    def __init__(self, projections: int = 5, projections_bias: bool = True, **rest):
        super().__init__(**rest)
        self.projections = projections
        self.projections_bias = projections_bias


class HashEmbedding(torch.nn.Module):
    """Token ids [...] -> [..., hidden]."""

    def __init__(self, config: BertHashConfig) -> None:
        super().__init__()
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.projections)
        self.projections = torch.nn.Linear(
            config.projections, config.hidden_size, bias=config.projections_bias
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.projections(self.embeddings(ids))


class BertHashModel(BertModel):
    """BERT over the narrow table, without a pooler unless it is asked for."""

    config_class = BertHashConfig

    def __init__(self, config: BertHashConfig, add_pooling_layer: bool = False) -> None:
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        self.embeddings.word_embeddings = HashEmbedding(config)
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Embedding:
        """The narrow table: what grows when tokens are added."""
        return self.embeddings.word_embeddings.embeddings

    def set_input_embeddings(self, value: torch.nn.Embedding) -> None:
        """Put a table of another length in its place."""
        self.embeddings.word_embeddings.embeddings = value
