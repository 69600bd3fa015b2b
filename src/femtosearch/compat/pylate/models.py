"""PyLate's `models.ColBERT`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from femtosearch.compat.options import check_values, several
from femtosearch.errors import FemtosearchError, check_whole
from femtosearch.model.model import Model

Encode = Callable[[list[str]], list[np.ndarray]]
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
# Options of `encode`, and the only value of each that we have.
ONLY = {
    "prompt_name": None, "prompt": None, "precision": "float32", "convert_to_numpy": True,
    "convert_to_tensor": False, "padding": False, "normalize_embeddings": True,
}  # fmt: skip


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
            raise FemtosearchError(f"{', '.join(sorted(unknown))}: not supported here: leave it out")
        model = Model.load(model_name_or_path, conventions="pylate", revision=revision)
        chosen = {ours: options[name] for name, ours in CONVENTIONS.items() if options.get(name) is not None}
        if chosen:
            if "skiplist" in chosen:
                chosen["skiplist"] = tuple(several("skiplist_words", chosen["skiplist"]))
            conventions = replace(model.conventions, **chosen)
            model = Model.load(model_name_or_path, conventions=conventions, revision=revision)
        self.model = model

    def encode(
        self,
        sentences: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        padding: bool = False,
        device: Any = None,
        normalize_embeddings: bool = True,
        is_query: bool = True,
        pool_factor: int = 1,
        protected_tokens: int = 1,
    ) -> Any:
        """Rows of texts, [rows, D] float32 each: of a text an array, of a list a list, of lists lists of
        lists. They are queries unless is_query=False, as PyLate has it.

        pool_factor:       documents are pooled to about one row in so many; protected_tokens: but for so many
                           first ones. batch_size, show_progress_bar and device say how PyLate computes.
        Raises FemtosearchError for other options that have another value than PyLate's default.
        """
        check_values("encode", {name: value for name, value in locals().items() if name in ONLY}, ONLY)
        del batch_size, show_progress_bar, device
        encode = self._encoder(is_query, pool_factor, protected_tokens)
        if isinstance(sentences, str):
            return encode([sentences])[0]
        texts = list(several("sentences", sentences))
        if texts and not isinstance(texts[0], str):
            return _nested(texts, encode)
        return encode(texts)

    def _encoder(self, is_query: bool, pool_factor: int, protected_tokens: int) -> Encode:
        """What makes rows of texts."""
        model = self.model
        if is_query:
            return lambda texts: list(model.encode_queries(texts))
        check_whole(FemtosearchError, "pool_factor", pool_factor, 1)
        if pool_factor > 1:
            pooled = replace(
                model.conventions, pool_factor=float(pool_factor), protected_tokens=protected_tokens
            )
            model = Model.load(model.source, conventions=pooled)
        return lambda texts: list(model.encode_documents(texts))


def _nested(groups: Sequence[Any], encode: Encode) -> list[list[np.ndarray]]:
    """Rows of lists of texts, encoded together."""
    lists = [list(several("sentences", group)) for group in groups]
    rows = iter(encode([text for group in lists for text in group]))
    return [[next(rows) for _ in group] for group in lists]
