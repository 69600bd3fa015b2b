"""txtai's calls: `from femtosearch.compat.txtai import Embeddings`, and `.pipeline` beside it."""

from femtosearch.compat.txtai.embeddings import Embeddings

__all__ = ["Embeddings"]
