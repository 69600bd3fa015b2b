"""Model: a model folder and the engine that turns its texts into rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from femtosearch.errors import CheckpointError, FdeError, FemtosearchError
from femtosearch.model.checkpoint import Checkpoint, read_checkpoint, with_conventions
from femtosearch.model.checkpoint.files import Files
from femtosearch.model.checkpoint.hub import is_absent, locate, repository
from femtosearch.model.engines import encoder_of
from femtosearch.model.fingerprint import fingerprint_of, known_fingerprint
from femtosearch.model.pruning import distinct, prune
from femtosearch.model.tokenizer import Tokenizer
from femtosearch.model.tokens import Tokens
from femtosearch.model.weighting import Weighting
from femtosearch.types import BertConfig, Conventions, Coverage, OtherConfig, Passages, Precision, Rows

if TYPE_CHECKING:
    from femtosearch.fde import Fde

BUILT_INS = Path(__file__).parent / "builtin"
FDE = "fde.safetensors"  # of a model folder
FDE_LIMIT = 1 << 30  # bytes of that file: a MUVERA's matrices are the largest
DEFAULT = "megabyte"
BATCH = 512  # texts that are tokenised and encoded at a time: what bounds the memory of a long run

Progress = Callable[[int], None]


class Model:
    """A late-interaction model. A text's rows depend on the text alone: never on its batch or the threads.

    >>> model = Model.load()
    >>> rows = model.encode_queries(["what is a femtometre?"])
    >>> rows.rows.shape[1] == model.dims
    True
    """

    def __init__(self, checkpoint: Checkpoint, engine: str = "native", precision: str = "float32") -> None:
        self._checkpoint = checkpoint
        self._tokenizer = Tokenizer(checkpoint.tokenizer, checkpoint.conventions, checkpoint.config)
        self._encoder = encoder_of(checkpoint, engine, precision)
        self._engine = engine
        weights = checkpoint.query_weights
        self._weighting = None if weights is None else Weighting(weights)
        self._is_built_in = False

    def __repr__(self) -> str:
        return f"<Model {self.name!r}, {self.dims} dims, {self.precision}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a model as the path of its folder, which the other process reads and checks itself."""
        built_in_name = self.source.name if self.source.parent == BUILT_INS else None
        chosen = self.conventions, self._engine, str(self.precision), self.fingerprint, self.weighs
        return _restored, (built_in_name or str(self.source.resolve()), *chosen)

    @classmethod
    def load(
        cls,
        source: str | Path | None = None,
        *,
        conventions: str | Conventions | None = None,
        engine: str = "native",
        precision: str = "float32",
        pool_factor: float | None = None,
        prune_above: float | None = None,
        revision: str | None = None,
    ) -> Model:
        """Load a model folder, a built-in model by its name (`built_in()` lists them; a folder of that name
        goes first), a model of the Hugging Face Hub by its name OWNER/NAME, or the default one. No code from
        it is run.

        conventions: None reads them from the folder; "pylate", "sentence-transformers" or "txtai" gives what
                     that library makes of it; or they are given whole.
        engine:      "native"; or "torch" (extra [torch]), which computes every architecture that transformers
                     knows. Its rows are the same in any company only up to rounding.
        precision:   "float32"; or "int8", which the native engine computes faster (see `Encoder`), with rows
                     at a cosine of about .9999 to float32's.
        pool_factor: pool documents to about one row in so many, whatever the conventions say.
        prune_above: drop a passage's row whose product with a row before it is above this, whatever the
                     conventions say; 1 drops none.
        revision:    a branch, tag or commit of the Hub's repository.
        Raises CheckpointError: what was expected in the folder, what was found, what to do.
        """
        checkpoint = read_checkpoint(_place(source, revision), conventions)
        if pool_factor is not None:
            checkpoint = with_conventions(
                checkpoint, replace(checkpoint.conventions, pool_factor=pool_factor)
            )
        if prune_above is not None:
            checkpoint = with_conventions(
                checkpoint, replace(checkpoint.conventions, prune_above=prune_above)
            )
        model = cls(checkpoint, engine, precision)
        model._is_built_in = checkpoint.folder.parent == BUILT_INS
        return model

    @cached_property
    def name(self) -> str:
        """The model folder's name, or its name on the Hub."""
        return repository(self.source) or self.source.resolve().name

    @property
    def source(self) -> Path:
        """The model folder."""
        return self._checkpoint.folder

    @property
    def config(self) -> BertConfig | OtherConfig:
        """The backbone's shape."""
        return self._checkpoint.config

    @property
    def conventions(self) -> Conventions:
        """How text becomes token ids, and which rows are kept."""
        return self._checkpoint.conventions

    @property
    def origins(self) -> Mapping[str, str]:
        """For each convention the file and key that it was read from, or the library whose default it is."""
        return self._checkpoint.origins

    @property
    def layout(self) -> str:
        """The library whose layout the model folder has: "PyLate", "Sentence Transformers", ..."""
        return self._checkpoint.layout

    @property
    def dims(self) -> int:
        """D: the numbers of a row."""
        dims: int = self._encoder.dims
        return dims

    @property
    def precision(self) -> Precision:
        """What the engine computes in."""
        precision: Precision = self._encoder.precision
        return precision

    @property
    def weighs(self) -> bool:
        """Whether the model has query weights, so that the length of a query's row is its weight; else rows
        have unit length.
        """
        return self._weighting is not None

    def unweighted(self) -> Model:
        """The same model without query weights."""
        return Model(replace(self._checkpoint, query_weights=None), self._engine, str(self.precision))

    @cached_property
    def parameters(self) -> int:
        """How many numbers the model has, Dense included."""
        arrays = [array for dense in self._checkpoint.modules for array in dense.parts]
        return sum(array.size for array in (*self._checkpoint.weights.values(), *arrays))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that the rows of documents depend on, except engine and precision: two models with
        equal fingerprints give documents the same rows, up to rounding. Query weights are not part of it.
        """
        known = known_fingerprint(self._checkpoint) if self._is_built_in else None
        return known or fingerprint_of(self._checkpoint)

    @cached_property
    def fde(self) -> Fde | None:
        """The FDE that the folder brings, read when it is first asked for; None if it brings none, or if the
        model was loaded under other conventions than the folder's own, for which the FDE was fitted.

        Raises FdeError if it is damaged, or was made for other rows than this model's.
        """
        from femtosearch.fde import restore_fde

        try:
            files = Files(self.source)
            if not files.has(FDE):
                return None
            fde = restore_fde(files.read(FDE, FDE_LIMIT), str(files.folder / FDE))
            fde.size(self.dims)
        except (CheckpointError, FdeError) as error:
            raise FdeError(f"{error}; fetch the file again, or remove it") from error
        if fde.model in (None, self.fingerprint):
            return fde
        fingerprint = fingerprint_of(read_checkpoint(self.source))
        if fde.model == fingerprint:
            return None
        raise FdeError(
            f"{self.source / FDE}: made for the model of fingerprint {fde.model[:12]}, this one's is "
            f"{fingerprint[:12]}: fetch the model's own, or remove it"
        )

    def encode_queries(
        self, texts: Sequence[str], *, threads: int = 0, progress: Progress | None = None
    ) -> Rows:
        """Rows of queries, of unit length, or as long as they weigh if the model weighs them (`weighs`).
        threads 0 means every core that this process may use; progress(texts done) is called.
        """
        return self._encode(texts, self._tokenizer.queries, threads, progress, self._query_rows)

    def encode_query_pieces(self, texts: Sequence[str], *, threads: int = 0) -> Passages:
        """Encode queries to the rows of their pieces. A query has one piece, or several if it is long and the
        conventions allow them; `encode_queries` gives the rows of all pieces of a query end to end.
        """
        tokens, spans = self._tokenizer.query_pieces(_checked(texts))
        owner = np.arange(len(spans)) if tokens.owner is None else tokens.owner
        return Passages(self._query_rows(tokens, threads), owner, spans)

    def coverage(self, query: str) -> Coverage:
        """How much of a query the model knows, and how much is cut off."""
        (text,) = _checked([query])
        return self._tokenizer.coverage(text)

    def encode_documents(
        self, texts: Sequence[str], *, threads: int = 0, progress: Progress | None = None
    ) -> Rows:
        """Rows of documents, pooled if the conventions say so; what is beyond document_length is cut off."""
        rows = self._encode(texts, self._tokenizer.documents, threads, progress, self._rows)
        return self._pooled(rows)

    def encode_passages(self, texts: Sequence[str], *, threads: int = 0) -> Passages:
        """Rows of documents of any length: a text that is too long is cut into passages that fit. Rows that
        are nearly the same as one before them in their passage are dropped, if the conventions say so.
        """
        cut = self._tokenizer.passages(_checked(texts), threads)
        rows = self._rows(cut.tokens, threads)
        rows = prune(rows, self.conventions.prune_above, self._tokenizer.framing, threads)
        return Passages(self._pooled(rows), cut.owner, cut.spans, cut.counts, cut.unknown)

    def token_rows(self, text: str, *, query: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The rows of one text, before pruning and pooling, [T, D] float32, and where in it each comes from,
        in characters: [T, 2] int64, -1 for a row of no character.

        query:  as a query, else as a document, cut at the model's document length.
        """
        (text,) = _checked([text])
        if query:
            rows = self._query_rows(self._tokenizer.queries([text]), 0)
        else:
            rows = self._rows(self._tokenizer.documents([text]), 0)
        return rows.rows, self._tokenizer.spans(text, query=query)

    def passage_rows(self, passage: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a passage and their spans, as `token_rows` gives them, without the rows that pruning
        drops.
        """
        rows, spans = self.token_rows(passage)
        one_text = Rows(rows, np.array([0, len(rows)], np.int64))
        keep = distinct(one_text, self.conventions.prune_above, self._tokenizer.framing)
        return rows[keep], spans[keep]

    def save(self, folder: str | Path, *, fold_dense: bool = False) -> None:
        """Write a model folder that loads again bit for bit, and that PyLate, Sentence Transformers and txtai
        load with the same rows. It must be new or empty. The FDE comes along if it fits what is written.

        fold_dense: make one Dense of several, as txtai needs; rows are then the same up to rounding.
        Raises CheckpointError; FdeError if the model's FDE is damaged.
        """
        from femtosearch.fde import store_fde
        from femtosearch.model.checkpoint.write import check_new, folded, new_files, write_checkpoint

        checkpoint, fde = folded(self._checkpoint) if fold_dense else self._checkpoint, self.fde
        target = _path(folder)
        check_new(target)
        with new_files(target) as partial:
            write_checkpoint(checkpoint, partial)
            if fde is not None and fde.model in (None, fingerprint_of(read_checkpoint(partial))):
                (partial / FDE).write_bytes(store_fde(fde, self.dims))

    @property
    def caveats(self) -> list[str]:
        """How the results of other libraries differ with the folder that `save` writes; usually empty."""
        from femtosearch.model.checkpoint.write import caveats

        return caveats(self._checkpoint)

    def save_onnx(self, path: str | Path) -> None:
        """Write the model as an ONNX graph, token ids -> unit rows, and what has to be known beside it: to
        FILE.onnx and FILE.json, or as model.onnx, model.json and tokenizer.json to a new or empty folder.

        Raises MissingExtraError without the extra [onnx]; CheckpointError as `save` does, and for another
        architecture than bert and bert_hash.
        """
        from femtosearch.model.onnx import write_onnx

        write_onnx(self._checkpoint, self._tokenizer, _path(path))

    def _encode(
        self,
        texts: Sequence[str],
        tokenise: Callable[[Sequence[str], int], Tokens],
        threads: int,
        progress: Progress | None,
        rows_of: Callable[[Tokens, int, np.ndarray], Rows],
    ) -> Rows:
        texts = _checked(texts)
        batches = [tokenise(texts[at : at + BATCH], threads) for at in range(0, len(texts), BATCH)]
        ends = np.cumsum([0, *(int(batch.keep.sum()) for batch in batches)])
        rows = np.empty((int(ends[-1]), self.dims), dtype=np.float32)
        starts = [np.zeros(1, dtype=np.int64)]
        for number, (batch, (begin, end)) in enumerate(zip(batches, pairwise(ends), strict=True), 1):
            by_text = rows_of(batch, threads, rows[begin:end]).starts
            if batch.owner is not None:
                count = min(BATCH, len(texts) - (number - 1) * BATCH)
                by_text = by_text[np.searchsorted(batch.owner, np.arange(count + 1))]
            starts.append(by_text[1:] + begin)
            if progress is not None:
                progress(min(number * BATCH, len(texts)))
        return Rows(rows, np.concatenate(starts))

    def _pooled(self, rows: Rows) -> Rows:
        from femtosearch.model.pooling import pool

        conventions = self.conventions
        if conventions.pool_factor == 1:
            return rows
        return pool(rows, conventions.pool_factor, conventions.protected_tokens, unit=conventions.unit_pools)

    def _query_rows(self, tokens: Tokens, threads: int, out: np.ndarray | None = None) -> Rows:
        """As long as they weigh, if the model weighs them."""
        rows = self._rows(tokens, threads, out)
        if self._weighting is not None:
            self._weighting.apply(rows, threads)
        return rows

    def _rows(self, tokens: Tokens, threads: int, out: np.ndarray | None = None) -> Rows:
        rows: np.ndarray = self._encoder.encode(
            tokens.ids, tokens.starts, tokens.attended, tokens.keep, threads, out
        )
        row_starts = np.concatenate([[0], np.cumsum(tokens.keep)])
        return Rows(rows, row_starts[tokens.starts].astype(np.int64))


def built_in() -> list[str]:
    """The names of the built-in models, the default one first."""
    names = {path.parent.name for path in BUILT_INS.glob("*/config.json")}
    return [DEFAULT, *sorted(names - {DEFAULT})]


def _place(source: str | Path | None, revision: str | None) -> Path:
    """The model folder that a source names."""
    if source is not None and not isinstance(source, str):
        source = _path(source)
    if isinstance(source, str) and source in built_in() and not Path(source).exists():
        source = BUILT_INS / source
    folder = locate(BUILT_INS / DEFAULT if source is None else source, revision)
    if isinstance(source, str) and (not source or is_absent(folder)):
        raise CheckpointError(
            f"{source or 'an empty name'}: expected a model folder, a built-in model's name "
            f"({', '.join(built_in())}) or OWNER/NAME on the Hub, found nothing of that name"
        )
    return folder


def _restored(
    source: str, conventions: Conventions, engine: str, precision: str, fingerprint: str, weighs: bool
) -> Model:
    """Load a pickled model from its folder. Raises CheckpointError if the folder has changed since."""
    model = Model.load(source, conventions=conventions, engine=engine, precision=precision)
    if model.fingerprint != fingerprint:
        raise CheckpointError(f"{source}: expected the model that was pickled, found another: load it again")
    return model if weighs else model.unweighted()


def _checked(texts: Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        raise FemtosearchError(f"expected a list of texts, found one str; pass [{texts[:20]!r}]")
    if not isinstance(texts, Iterable):
        raise FemtosearchError(f"expected a list of texts, found {type(texts).__name__}")
    return list(texts)


def _path(value: str | os.PathLike[str]) -> Path:
    """Check that an argument is a path. Raises CheckpointError."""
    if not isinstance(value, (str, os.PathLike)):
        raise CheckpointError(f"expected the path of a file or folder, found {type(value).__name__}")
    return Path(value)
