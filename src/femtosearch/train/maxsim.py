"""MaxSim in torch: padded for a step's rows, flat with a lean gradient for large batches, and of each query
with its own candidates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FAR = -1e9  # a score that no candidate has; finite, so that no gradient becomes NaN


def maxsim(queries: Tensor, query_mask: Tensor, passages: Tensor, kept: Tensor) -> Tensor:
    """[n, Q, D], [n, Q], [m, T, D], [m, T] -> [n, m]: the sum over query rows of the maximum over kept
    passage rows.

    Only kept rows are multiplied; the maxima are taken passage by passage.
    """
    rows = queries[query_mask]
    best = torch.stack([(rows @ text[keep].T).amax(1) for text, keep in zip(passages, kept, strict=True)], 1)
    return _sum_by_owner(best.float(), query_mask.sum(1))


def own_maxsim(queries: Tensor, query_mask: Tensor, passages: Tensor, kept: Tensor) -> Tensor:
    """[n, Q, D], [n, Q], [n, C, T, D], [n, C, T] -> [n, C]: each query with its own C candidates. A candidate
    without kept rows scores FAR or less.
    """
    products = torch.einsum("nqd,nctd->ncqt", queries, passages).float()
    best = products.masked_fill(~kept[:, :, None, :], FAR).amax(-1)
    return (best * query_mask[:, None, :]).sum(-1)


def flat_maxsim(queries: Tensor, query_lengths: Tensor, passages: Tensor, lengths: list[int]) -> Tensor:
    """[q, D], [n], [t, D], m lengths -> [n, m]: rows end to end, never padded.

    What is kept for the gradient is where each maximum was, 4 bytes a query row and passage, instead of all
    products: so a batch of thousands of passages fits.
    """
    best = _Best.apply(queries.float(), passages.float(), lengths)
    return _sum_by_owner(best, query_lengths)


def _sum_by_owner(best: Tensor, lengths: Tensor) -> Tensor:
    owner = torch.arange(len(lengths), device=best.device).repeat_interleave(lengths.to(best.device))
    return torch.zeros(len(lengths), best.shape[1], device=best.device).index_add_(0, owner, best)


class _Best(torch.autograd.Function):
    """[q, D], [t, D] -> [q, m]: each query row's best product with a row of each passage."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, passages: Tensor, lengths: list[int]) -> Tensor:
        best = torch.empty(len(queries), len(lengths), device=queries.device)
        at = torch.empty(len(queries), len(lengths), dtype=torch.int32, device=queries.device)
        start = 0
        with torch.autocast(queries.device.type, enabled=False):
            for number, length in enumerate(lengths):
                largest = (queries @ passages[start : start + length].T).max(1)
                best[:, number] = largest.values
                at[:, number] = largest.indices + start
                start += length
        ctx.save_for_backward(queries, passages, at)
        return best

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, passages, at = ctx.saved_tensors
        for_queries, for_passages = torch.zeros_like(queries), torch.zeros_like(passages)
        for number in range(grad.shape[1]):
            where, share = at[:, number].long(), grad[:, number, None]
            for_queries += share * passages[where]
            for_passages.index_add_(0, where, share * queries)
        return for_queries, for_passages, None
