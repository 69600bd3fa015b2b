"""The native BERT encoder: token ids in, unit rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from femtosearch import _core
from femtosearch.model.checkpoint.backbone import HASH_TABLE
from femtosearch.types import BertConfig, Precision


class Encoder:
    """A BERT, or bert_hash, encoder with Dense modules on top, packed for this processor.

    config:   the shape of the encoder.
    weights:  float32 arrays by Hugging Face's names without a `bert.` prefix; others than needed are ignored.
    dense:    (weight [out, in], bias [out] or None) of each Dense module, in order; may be empty.
    precision: "float32"; or "int8", which multiplies whole numbers of 8 bits, a scale for each row of weights
              and of what goes into a layer, and of 16 bits in the attention. It is faster, and its rows are
              the same bits on every instruction set.
    Raises ShapeError if a weight is missing or has another shape or dtype than `config` says.

    No text is padded, and none meets another: its rows are bitwise the same alone, in any batch, in any order
    and with any number of threads, on one instruction set. An encoder keeps the one that was in use when it
    was made. Raises FemtosearchError if FEMTOSEARCH_KERNEL names none of this processor's.
    """

    def __init__(
        self,
        config: BertConfig,
        weights: Mapping[str, np.ndarray],
        dense: Sequence[tuple[np.ndarray, np.ndarray | None]] = (),
        *,
        precision: Precision = "float32",
    ) -> None:
        self.precision = precision
        self._native = _core.Encoder(
            config.vocab_size,
            config.hidden_size,
            config.layers,
            config.heads,
            config.intermediate_size,
            config.positions,
            config.types,
            config.code_width,
            config.norm_epsilon,
            {name: _contiguous(array) for name, array in weights.items()} | _lasting_table(weights),
            [(_contiguous(w), None if b is None else _contiguous(b)) for w, b in dense],
            precision == "int8",
        )

    @property
    def dims(self) -> int:
        """D: the numbers in a row."""
        return self._native.dims

    @property
    def kernel(self) -> str:
        """The instruction set that this encoder uses."""
        return self._native.kernel

    def encode(
        self,
        ids: np.ndarray,
        starts: np.ndarray,
        attended: np.ndarray,
        keep: np.ndarray,
        threads: int = 0,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Unit rows of N texts, end to end.

        ids:       [T] int32, token ids of N texts, end to end, without padding.
        starts:    [N+1] int64, rising from 0 to T; text n is ids[starts[n]:starts[n+1]], at most `positions`.
        attended:  [N] int32; the tokens of text n attend to its first attended[n] tokens: at least 1, unless
                   it is empty. PyLate's unattended [MASK] tokens are the rest.
        keep:      [T] bool; rows of other tokens are not returned.
        threads:   0 uses every core that this process may use.
        out:       [kept, D] float32, C-ordered, to write the rows to; None makes a new array.
        Returns [kept, D] float32, unit length; an empty text gives none. Raises ShapeError for anything else.

        Source: BERT, arXiv 1810.04805 (post-norm, exact GELU); rows as in ColBERT, arXiv 2004.12832.
        """
        return self._native.encode(
            np.require(ids, requirements=["C", "A"]),
            np.require(starts, requirements=["C", "A"]),
            np.require(attended, requirements=["C", "A"]),
            np.require(keep, requirements=["C", "A"]),
            threads,
            out,
        )


def _contiguous(array: np.ndarray) -> np.ndarray:
    return np.require(array, requirements=["C", "A"])


def _lasting_table(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A bert_hash's token table, which the core uses where it is: a copy, if somebody could change it."""
    table = weights.get(HASH_TABLE)
    if table is None:
        return {}
    return {HASH_TABLE: _contiguous(table.copy() if table.flags.writeable else table)}
