"""Fitting query weights to a model: how much each row of a query should count, so that the passage that
answers it comes before those that the model takes for as good.

The model's rows stay as they are, and so does the best product of each row with each passage; only the
weights of the sum are learned, which takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.codes import maxsim_codes, quantise
from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint.query_weights import QueryWeights
from femtosearch.model.model import Model
from femtosearch.train.corpus import keywords

ONE = float(np.log(np.e - 1))  # softplus(ONE) = 1
LEAST_QUERIES = 256
SHARPNESS = 3.0  # of the softmax over scores, at first
DECAY = 0.1  # of the numbers, at the rate of learning

Report = Callable[[str, int, int, str], object]  # task, done, total, note: what Progress.update takes
Pairs = Sequence[tuple[str, str]]  # a query, and a passage that answers it


@dataclass(frozen=True)
class Settings:
    """queries: of a collection, at most, and one for two passages at most: the others are there to be told
    apart, and many questions of few passages teach what is theirs alone.

    hidden: numbers between a row and its weight. negatives: the best passages that answer another query.
    short: the share of the queries of which two to four words ask a second time. rate: of learning.
    members: networks that are learned apart, of other random numbers, and then are one.
    share: how much of what was learned counts, before softplus; the rest are even weights, since the pairs
    are not what will be asked.
    first: how often the first row of a query, [CLS]'s, counts beside what the network says. The pairs cannot
    teach it: their questions ask for words of a passage, others for its subject.
    """

    queries: int = 1500
    hidden: int = 16
    negatives: int = 31
    short: float = 0.25
    steps: int = 400
    batch: int = 256
    rate: float = 3e-3
    members: int = 4
    share: float = 0.8
    first: float = 1.75
    seed: int = 1


class Example(NamedTuple):
    """A query's rows, [Q, D], and their best products with its answer and its negatives, [Q, 1 + N]."""

    rows: Tensor
    products: Tensor


class Network(nn.Module):
    """`QueryWeights` in torch; at first every weight is 1."""

    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dims, hidden), nn.Linear(hidden, 1)
        self.sharpness = nn.Parameter(torch.tensor(SHARPNESS))
        nn.init.zeros_(self.outer.weight)
        nn.init.constant_(self.outer.bias, ONE)

    def forward(self, rows: Tensor) -> Tensor:
        return F.softplus(self.outer(torch.relu(self.inner(rows)))[:, 0])

    @property
    def arrays(self) -> list[np.ndarray]:
        """Those of `QueryWeights`, in its order."""
        arrays = (self.inner.weight, self.inner.bias, self.outer.weight, self.outer.bias)
        return [array.detach().numpy() for array in arrays]


def mean_of(networks: Sequence[Network], settings: Settings) -> QueryWeights:
    """One network: its output, before softplus, is the mean of theirs and of even weights, see `Settings`."""
    inner, inner_bias, outer, outer_bias = zip(*(network.arrays for network in networks), strict=True)
    share = settings.share / len(networks)
    return QueryWeights(
        np.concatenate(inner),
        np.concatenate(inner_bias),
        share * np.concatenate(outer, axis=1),
        share * np.sum(outer_bias, axis=0) + np.float32(1 - settings.share) * np.float32(ONE),
        np.array([settings.first], np.float32),
    )


def fit(model: Model, collections: Sequence[Pairs], settings: Settings, progress: Report) -> QueryWeights:
    """The query weights for a model, of pairs; a collection's passages are the negatives of its queries.

    model: without query weights. progress(what, done, of, note) is called as it goes.
    Raises RecipeError if there are too few pairs.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.Generator(np.random.PCG64(settings.seed))
    examples: list[Example] = []
    for number, pairs in enumerate(collections):
        progress("encode", number, len(collections), "")
        examples += _examples(model, pairs, settings, rng)
    if len(examples) < LEAST_QUERIES:
        raise RecipeError(
            f"expected {LEAST_QUERIES} pairs or more with {settings.negatives} other passages beside them, "
            f"found {len(examples)}: give more --pairs"
        )
    networks = []
    for member in range(settings.members):
        done, total = member * settings.steps, settings.members * settings.steps
        networks.append(_trained(examples, settings, rng, partial(_tell, progress, done, total)))
    return mean_of(networks, settings)


def _tell(progress: Report, done: int, total: int, step: int, loss: float) -> None:
    progress("weights", done + step, total, f"loss {loss:.3f}")


def _trained(
    examples: Sequence[Example],
    settings: Settings,
    rng: np.random.Generator,
    tell: Callable[[int, float], object],
) -> Network:
    """One network, learned from examples drawn at random; tell(steps done, loss) is called as it goes."""
    network = Network(examples[0].rows.shape[1], settings.hidden)
    layers = [array for name, array in network.named_parameters() if name != "sharpness"]
    groups = [
        {"params": layers, "weight_decay": DECAY, "rate": settings.rate},
        {"params": [network.sharpness], "weight_decay": 0.0, "rate": 3 * settings.rate},
    ]
    optimiser = torch.optim.AdamW(groups)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = group["rate"] * (1 - step / settings.steps)
        drawn = rng.integers(0, len(examples), settings.batch)
        loss = _loss(network, [examples[i] for i in drawn])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        tell(step + 1, loss.item())
    return network


def _examples(model: Model, pairs: Pairs, settings: Settings, rng: np.random.Generator) -> Iterable[Example]:
    """Of each query, and of a few words of some: its answer and the passages that the model ranks highest."""
    numbers = {text: n for n, text in enumerate(dict.fromkeys(answer for _, answer in pairs))}
    asking = pairs[: min(settings.queries, len(numbers) // 2)]
    shortened = asking[: round(settings.short * len(asking))]
    samples = [*asking, *((keywords(query, rng), answer) for query, answer in shortened)]
    if len(numbers) <= settings.negatives:
        return
    documents = model.encode_documents(list(numbers))
    codes = quantise(documents.rows)
    queries = model.encode_queries([query for query, _ in samples])
    for query, (_, text) in zip(queries, samples, strict=True):
        if not len(query):
            continue
        scores, answer = maxsim_codes(query, codes, documents.starts), numbers[text]
        scores[answer] = np.inf  # the answer comes first
        first = np.argpartition(-scores, settings.negatives)[: settings.negatives + 1]
        chosen = first[np.argsort(-scores[first], kind="stable")]
        products = np.stack([(query @ documents[n].T).max(axis=1) for n in chosen], axis=1)
        yield Example(torch.from_numpy(query.copy()), torch.from_numpy(products))


def _loss(network: Network, examples: Sequence[Example]) -> Tensor:
    """The cross entropy of the answers among their negatives, by weighted scores."""
    rows = torch.cat([example.rows for example in examples])
    products = torch.cat([example.products for example in examples])
    owner = torch.repeat_interleave(torch.tensor([len(example.rows) for example in examples]))
    scores = torch.zeros(len(examples), products.shape[1])
    scores = scores.index_add(0, owner, network(rows)[:, None] * products)
    return F.cross_entropy(network.sharpness * scores, torch.zeros(len(examples), dtype=torch.long))
