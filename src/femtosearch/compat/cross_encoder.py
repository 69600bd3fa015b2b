"""Sentence Transformers' `CrossEncoder`, answered by late interaction: `rank` and `predict`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from femtosearch.compat.options import check_names, check_values, several
from femtosearch.errors import QueryError
from femtosearch.index.rerank import similarities
from femtosearch.model.model import Model

# What says how Sentence Transformers computes, and has nothing to say here.
NEUTRAL = frozenset(
    ["device", "cache_folder", "cache_dir", "trust_remote_code", "local_files_only", "token", "model_kwargs",
     "processor_kwargs", "tokenizer_kwargs", "config_kwargs", "automodel_args", "tokenizer_args",
     "config_args", "model_card_data", "backend", "keep_in_fp32_modules"]
)  # fmt: skip
NEUTRAL_IN_CALLS = frozenset(
    ["batch_size", "show_progress_bar", "num_workers", "device", "pool", "chunk_size"]
)
# Options that change the answer, and the only value of each that we have.
ONLY = {
    "modules": None, "prompts": None, "default_prompt_name": None, "num_labels": 1, "max_length": None,
    "activation_fn": None, "default_activation_function": None, "classifier_dropout": None,
}  # fmt: skip
ONLY_IN_CALLS = {
    "prompt_name": None, "prompt": None, "activation_fn": None, "activation_fct": None,
    "apply_softmax": False, "convert_to_numpy": True, "convert_to_tensor": False,
}  # fmt: skip
PAIRS = "predict: expected a pair (query, text), or a list of such pairs"


class CrossEncoder:
    """Scores texts against queries. A score is the mean of the query rows' best products, at most 1.

    model_name_or_path:  a folder, a built-in model, a name on the Hub; None for the default one.
    revision:            a branch, tag or commit of the Hub's repository.
    options:             those of Sentence Transformers. What says how it computes is passed over; what would
                         change the scores is an error.
    Raises FemtosearchError, CheckpointError.
    """

    def __init__(
        self, model_name_or_path: Any = None, *, revision: str | None = None, **options: Any
    ) -> None:
        check_names("CrossEncoder", options, NEUTRAL | ONLY.keys())
        check_values("CrossEncoder", options, ONLY)
        self.model = Model.load(model_name_or_path, revision=revision)

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """{"corpus_id", "score"} of documents, best first, and "text" if asked for. Where the model knows no
        word of the query they are in the order given, at -1. options: as for the class. Raises QueryError.
        """
        _check_call("rank", options)
        ranked = []
        for hit in similarities(self.model, query, several("documents", documents), top_k):
            entry: dict[str, Any] = {"corpus_id": int(hit.id), "score": hit.score}
            ranked.append({**entry, "text": hit.text} if return_documents else entry)
        return ranked

    def predict(self, inputs: Any = None, *, sentences: Any = None, **options: Any) -> Any:
        """[N] float32: the scores of (query, text) pairs; of a single pair one float32.

        sentences:  the name of inputs before Sentence Transformers 6; options: as for the class.
        Raises QueryError.
        """
        _check_call("predict", options)
        if (inputs is None) == (sentences is None):
            raise TypeError("predict() takes pairs as inputs or as sentences, one of them")
        inputs = inputs if sentences is None else sentences
        if not isinstance(inputs, Iterable):
            raise QueryError(PAIRS)
        pairs = [] if isinstance(inputs, str) else list(inputs)
        is_single = bool(pairs) and all(isinstance(text, str) for text in pairs)
        pairs = [pairs] if is_single else [_pair(pair) for pair in pairs]
        is_pairs = all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in pairs)
        if isinstance(inputs, str) or not is_pairs:
            raise QueryError(PAIRS)
        scores = self._scores(pairs)
        return scores[0] if is_single else scores

    def _scores(self, pairs: Sequence[Sequence[str]]) -> np.ndarray:
        """[N] float32: the scores of pairs, each query encoded once."""
        by_query: dict[str, list[int]] = {}
        for number, (query, _) in enumerate(pairs):
            by_query.setdefault(query, []).append(number)
        scores = np.full(len(pairs), -1.0, np.float32)
        for query, numbers in by_query.items():
            for entry in self.rank(query, [pairs[number][1] for number in numbers]):
                scores[numbers[entry["corpus_id"]]] = entry["score"]
        return scores


def _pair(pair: Any) -> list[Any]:
    """What a pair has; nothing of what is none."""
    return list(pair) if isinstance(pair, Iterable) and not isinstance(pair, str) else []


def _check_call(call: str, options: dict[str, Any]) -> None:
    """Raise TypeError for an option that a call does not have, FemtosearchError for one that we have not."""
    check_names(call, options, NEUTRAL_IN_CALLS | ONLY_IN_CALLS.keys())
    check_values(call, options, ONLY_IN_CALLS)
