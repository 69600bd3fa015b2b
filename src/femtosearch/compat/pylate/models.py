"""PyLate's `models.ColBERT`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from femtosearch.errors import FemtosearchError
from femtosearch.model.model import Model

# PyLate's names of conventions, and ours.
CONVENTIONS = {
    "query_prefix": "query_prefix",
    "document_prefix": "document_prefix",
    "query_length": "query_length",
    "document_length": "document_length",
    "do_query_expansion": "expand_queries",
    "attend_to_expansion_tokens": "attend_to_expansion",
    "skiplist_words": "skiplist",
}
# What says how PyLate computes, and has nothing to say here.
NEUTRAL = frozenset(
    ["device", "trust_remote_code", "cache_folder", "token", "local_files_only", "model_kwargs",
     "tokenizer_kwargs", "config_kwargs", "similarity_fn_name"]
)  # fmt: skip


class ColBERT:
    """A late-interaction model, read as PyLate reads it.

    model_name_or_path:  a folder, a built-in model, a name on the Hub; None for the default one.
    options:             conventions by PyLate's names: query_length, document_length, query_prefix, ... What
                         says how PyLate computes is passed over; anything else is an error.
    Raises FemtosearchError, CheckpointError.
    """

    def __init__(
        self, model_name_or_path: Any = None, *, revision: str | None = None, **options: Any
    ) -> None:
        unknown = options.keys() - NEUTRAL - CONVENTIONS.keys()
        if unknown:
            raise FemtosearchError(f"{', '.join(sorted(unknown))}: not supported here")
        model = Model.load(model_name_or_path, conventions="pylate", revision=revision)
        chosen = {ours: options[name] for name, ours in CONVENTIONS.items() if options.get(name) is not None}
        if chosen:
            chosen |= {"skiplist": tuple(chosen["skiplist"])} if "skiplist" in chosen else {}
            conventions = replace(model.conventions, **chosen)
            model = Model.load(model_name_or_path, conventions=conventions, revision=revision)
        self.model = model

    def encode(self, sentences: Any, *, is_query: bool = False, pool_factor: int = 1, **options: Any) -> Any:
        """Rows of texts, [rows, D] float32 each: of a text an array, of a list a list, of lists lists of
        lists. options: batch_size, show_progress_bar and others that say how PyLate computes.
        """
        if options.get("convert_to_tensor") or options.get("output_value") not in (None, "token_embeddings"):
            raise FemtosearchError("encode: only numpy arrays of rows are supported here")
        if isinstance(sentences, str):
            return self._rows([sentences], is_query, pool_factor)[0]
        texts = list(sentences)
        if texts and not isinstance(texts[0], str):
            return self._nested(texts, is_query, pool_factor)
        return self._rows(texts, is_query, pool_factor)

    def _nested(self, groups: Sequence[Any], is_query: bool, pool_factor: int) -> list[list[np.ndarray]]:
        """Rows of lists of texts, encoded together."""
        lists = [list(group) for group in groups]
        rows = iter(self._rows([text for group in lists for text in group], is_query, pool_factor))
        return [[next(rows) for _ in group] for group in lists]

    def _rows(self, texts: list[str], is_query: bool, pool_factor: int) -> list[np.ndarray]:
        if is_query:
            return list(self.model.encode_queries(texts))
        if pool_factor > 1:
            pooled = replace(self.model.conventions, pool_factor=float(pool_factor))
            return list(Model.load(self.model.source, conventions=pooled).encode_documents(texts))
        return list(self.model.encode_documents(texts))
