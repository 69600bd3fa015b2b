"""Fitting a learned FDE (`fde.Lemur`) to a model: anchors, and features that tell documents apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.errors import RecipeError
from femtosearch.fde import Features, Lemur, calibrated
from femtosearch.fde.calibrating import samples
from femtosearch.fde.calibration import BEST, LEAST_QUERIES
from femtosearch.fde.calibration import fit as fit_calibration
from femtosearch.fde.nested import gains_of
from femtosearch.model.checkpoint.packed import int8_matrix
from femtosearch.model.model import Model
from femtosearch.reference import normalise
from femtosearch.train.corpus import keywords
from femtosearch.types import Rows

PREFIXES = (1, 2, 4, 16)  # a half, a quarter and a sixteenth of the features have to do by themselves too
LEAST_PER_ANCHOR = 2  # query rows
_MOST_CODE = 7  # of an anchor's number, in four bits
_MOVED = 1 << 16  # rows at a time

Report = Callable[[str, int, int, str], object]  # task, done, total, note: what Progress.update takes
_BATCH = 2048  # documents that are encoded at a time


class Collection(NamedTuple):
    """Texts of one kind: queries, documents to fit an FDE to, and all documents, to measure it on."""

    queries: Sequence[str]
    documents: Sequence[str]
    all_documents: Sequence[str] = ()


class Encoded(NamedTuple):
    """The rows of a collection: of its queries, of a few words of each, and of its documents."""

    queries: Rows
    short: Rows
    documents: Rows


@dataclass(frozen=True)
class Settings:
    """size, hidden: features of a row, and the width before them. anchors: rows of queries.

    rows, documents: how many take part in the training of the features. components: directions in which
    documents differ the most, that the features have to tell. calibrate, calibrate_queries: documents and
    queries of each collection, at most, that the calibration is measured with, all together. short: the share
    of the rows that are of a few words of a query.
    """

    size: int = 2048
    hidden: int = 256
    anchors: int = 8192
    ridge: float = 3e-4
    code_bits: int = 4
    rows: int = 80_000
    documents: int = 2000
    components: int = 512
    steps: int = 3000
    batch: int = 1024
    learning_rate: float = 2e-3
    calibrate: int = 40_000
    calibrate_queries: int = 40
    short: float = 0.5
    seed: int = 1


class Network(nn.Module):
    """`fde.Features` in torch."""

    def __init__(self, dims: int, hidden: int, size: int) -> None:
        super().__init__()
        self.inner, self.inner_norm = nn.Linear(dims, hidden, bias=False), nn.LayerNorm(hidden)
        self.outer, self.outer_norm = nn.Linear(hidden, size, bias=False), nn.LayerNorm(size)

    def forward(self, rows: Tensor) -> Tensor:
        state = F.gelu(self.inner_norm(self.inner(rows)), approximate="tanh")
        return F.gelu(self.outer_norm(self.outer(state)), approximate="tanh")

    def features(self) -> Features:
        """As they are stored: the large matrix in int8, the rest in float16's precision."""

        def small(*arrays: Tensor) -> np.ndarray:
            return torch.stack(arrays).detach().half().float().numpy()

        outer, scale = int8_matrix(self.outer.weight.detach().numpy())
        return Features(
            small(*self.inner.weight),
            small(self.inner_norm.weight, self.inner_norm.bias),
            outer,
            scale,
            small(self.outer_norm.weight, self.outer_norm.bias),
        )


def fit(model: Model, collections: Sequence[Collection], settings: Settings, progress: Report) -> Lemur:
    """The FDE for a model's rows, fitted to the queries, to two to four words of each, and to the documents
    of all collections, and calibrated on all documents of all.

    progress(what, done, of, note) is called as it goes. Raises RecipeError if there are too few queries or
    documents.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    encoded = []
    for number, collection in enumerate(collections):
        progress("encode", number, len(collections), "")
        short = [keywords(query, rng) for query in collection.queries]
        queries, encode = list(collection.queries), model.encode_queries
        encoded.append(
            Encoded(encode(queries), encode(short), model.encode_documents(list(collection.documents)))
        )
    query_rows = torch.from_numpy(_mixed(encoded, settings.short, rng))
    documents = _drawn([collection.documents for collection in encoded], settings.documents, rng)
    if len(query_rows) < LEAST_PER_ANCHOR * settings.anchors:
        raise RecipeError(
            f"expected queries of {LEAST_PER_ANCHOR * settings.anchors:,} rows or more for "
            f"{settings.anchors:,} anchors, found {len(query_rows):,}: give more --queries or fewer --anchors"
        )
    anchors, scale = _coded(_centres(query_rows, settings.anchors, rng, progress))
    features = _train(query_rows, documents, settings, rng, progress)
    fde = _balanced(features, anchors, scale, documents, settings, model.fingerprint)
    return recalibrated(model, fde, collections, settings, progress)


def _mixed(encoded: Sequence[Encoded], share: float, rng: np.random.Generator) -> np.ndarray:
    """Unit rows of queries, as many as there can be if that share of them is of short ones."""
    uncut = np.concatenate([collection.queries.rows for collection in encoded])
    short = np.concatenate([collection.short.rows for collection in encoded])
    count = min(len(short), round(len(uncut) * share / (1 - share)))
    short = short[rng.permutation(len(short))[:count]]
    uncut = uncut[rng.permutation(len(uncut))[: round(count * (1 - share) / share)]]
    return normalise(np.concatenate([uncut, short])).astype(np.float32)


def _drawn(collections: Sequence[Rows], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of `count` documents, of any collection."""
    all_rows = [rows for documents in collections for rows in documents if len(rows)]
    if len(all_rows) < count:
        raise RecipeError(
            f"expected {count:,} documents or more, found {len(all_rows):,}: give more --documents"
        )
    return [all_rows[i] for i in rng.permutation(len(all_rows))[:count]]


def _centres(
    rows: Tensor, count: int, rng: np.random.Generator, progress: Report, rounds: int = 3
) -> np.ndarray:
    """Unit centres of k-means by inner products."""
    centres = rows[torch.from_numpy(rng.permutation(len(rows))[:count])].clone()
    for round_ in range(rounds):
        progress("anchors", round_, rounds, "")
        nearest = torch.cat([(piece @ centres.T).argmax(1) for piece in rows.split(_MOVED // 8)])
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        centres = F.normalize(sums + 1e-6 * centres, dim=1)
    return centres.numpy()


def _coded(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[A, D] int8 within ±7 and [A] float32 scales of float16's precision, of unit rows."""
    scale = np.abs(rows).max(1) / _MOST_CODE
    codes = np.clip(np.rint(rows / scale[:, None]), -_MOST_CODE, _MOST_CODE).astype(np.int8)
    return codes, scale.astype(np.float16).astype(np.float32)


def _targets(rows: Tensor, documents: Sequence[np.ndarray], count: int, progress: Report) -> Tensor:
    """[rows, count]: the documents' largest inner products with each row, in the directions in which they
    differ the most, with a mean square of 1.
    """
    maxima = torch.empty(len(documents), len(rows))
    for n, document in enumerate(documents):
        progress("targets", n, len(documents), "")
        maxima[n] = (torch.from_numpy(document) @ rows.T).amax(0)
    maxima -= maxima.mean(0)
    directions = torch.linalg.eigh(maxima @ maxima.T)[1].flip(1)[:, :count]
    targets = (directions.T @ maxima).T.contiguous()
    return targets / targets.square().mean().sqrt()


def _train(
    rows: Tensor,
    documents: Sequence[np.ndarray],
    settings: Settings,
    rng: np.random.Generator,
    progress: Report,
) -> Features:
    """Regression of the targets on the features, and on each prefix of them, by a linear layer of its own."""
    rows = rows[torch.from_numpy(rng.permutation(len(rows))[: settings.rows])]
    targets = _targets(rows, documents, min(settings.components, len(documents) // 2), progress)
    network = Network(rows.shape[1], settings.hidden, settings.size)
    with torch.no_grad():
        network.inner.weight.mul_(4)  # unit rows are small
    sizes = [settings.size // share for share in PREFIXES]
    heads = nn.ModuleList(nn.Linear(size, targets.shape[1]) for size in sizes)
    parameters = [*network.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, settings.learning_rate, betas=(0.9, 0.98), weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, settings.steps, pct_start=0.1
    )
    for step in range(settings.steps):
        batch = torch.from_numpy(rng.integers(0, len(rows), settings.batch))
        features, target = network(rows[batch]), targets[batch]
        losses = [
            F.mse_loss(head(features[:, :size]), target) for head, size in zip(heads, sizes, strict=True)
        ]
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        progress("features", step + 1, settings.steps, f"unexplained {losses[0].item():.3f}")
    return network.features()


def _balanced(
    features: Features,
    anchors: np.ndarray,
    scale: np.ndarray,
    documents: Sequence[np.ndarray],
    settings: Settings,
    fingerprint: str,
) -> Lemur:
    """The FDE with the centre, and then the gains, of these documents."""
    rows = Rows(np.concatenate(documents), np.cumsum([0, *map(len, documents)]))
    arrays = (features, anchors, scale)
    parameters = {"ridge": settings.ridge, "code_bits": settings.code_bits, "model": fingerprint}
    floats = anchors.astype(np.float32) * scale[:, None]
    centre = np.mean([(document @ floats.T).max(0) for document in documents], axis=0)
    centre = centre.astype(np.float16).astype(np.float32)
    ones = np.ones_like(gains_of(np.zeros((1, settings.size), dtype=np.float32)))
    plain = Lemur(*arrays, centre, ones, **parameters)
    return Lemur(*arrays, centre, gains_of(plain.documents(rows)), **parameters)


def recalibrated(
    model: Model, fitted: Lemur, collections: Sequence[Collection], settings: Settings, progress: Report
) -> Lemur:
    """The FDE with a calibration measured on all documents of all collections together, whole queries and
    short ones apart; without one where there are too few.

    A calibration is carried over to larger collections by a power law, so it is measured on a large one.
    """
    rng = np.random.Generator(np.random.PCG64((settings.seed, 1)))
    queries = [query for texts in collections for query in texts.queries[-settings.calibrate_queries :]]
    documents = [
        document
        for texts in collections
        for document in (texts.all_documents or texts.documents)[: settings.calibrate]
    ]
    if len(queries) < LEAST_QUERIES or len(documents) < 2 * BEST:
        return fitted
    kinds = [queries, [keywords(query, rng) for query in queries]]

    def batches() -> Iterator[Rows]:
        for at in range(0, len(documents), _BATCH):
            progress("calibrate", at, len(documents), "")
            yield model.encode_documents(documents[at : at + _BATCH])

    return calibrated(
        fitted, fit_calibration(samples(fitted, [*map(model.encode_queries, kinds)], batches()))
    )
