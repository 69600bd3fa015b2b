"""A token table in a few bytes a token: product quantisation, whose centroids learn with everything else.

The table's columns are cut into M groups; of each group a token keeps one byte, which of 256 centroids it
is nearest to. Source: Jegou et al., Product Quantization for Nearest Neighbor Search, TPAMI 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CENTROIDS = 256
ROUNDS = 20


class PackedEmbedding(nn.Module):
    """A table [V, M d] in an nn.Embedding's place. codes: [V, M] uint8, fixed; books: [M, K, d], learned."""

    def __init__(self, codes: Tensor, books: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.books = nn.Parameter(books)

    @classmethod
    def of(cls, table: Tensor, groups: int, weights: Tensor, seed: int) -> PackedEmbedding:
        """The table [V, P] cut into groups, each clustered; weights [V] say how much a token counts."""
        groups_of_rows = table.detach().unflatten(1, (groups, -1)).transpose(0, 1).contiguous()
        generator = torch.Generator().manual_seed(seed)
        clusters = [cluster(part, weights, generator) for part in groups_of_rows]
        codes = torch.stack([codes for codes, _ in clusters], 1)
        return cls(codes.to(torch.uint8), torch.stack([centroids for _, centroids in clusters]))

    @property
    def weight(self) -> Tensor:
        """[V, P]: the table, whole."""
        return self(torch.arange(len(self.codes), device=self.codes.device))

    def forward(self, ids: Tensor) -> Tensor:
        groups, count, width = self.books.shape
        places = self.codes[ids].long() + torch.arange(groups, device=ids.device) * count
        return nn.functional.embedding(places, self.books.view(groups * count, width)).flatten(-2)


def cluster(points: Tensor, weights: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of weighted points [V, d]: (codes [V], centroids [K, d]). A centroid that loses all its
    points takes the point farthest from its own.
    """
    count = min(CENTROIDS, len(points))
    start = torch.multinomial(weights.cpu(), count, generator=generator).to(points.device)
    centroids = points[start].clone()
    for _ in range(ROUNDS):
        distances, codes = torch.cdist(points, centroids).min(1)
        mass = torch.zeros(count, device=points.device).index_add_(0, codes, weights)
        sums = torch.zeros_like(centroids).index_add_(0, codes, points * weights[:, None])
        lost = mass == 0
        centroids = sums / mass.clamp(min=1e-12)[:, None]
        centroids[lost] = points[torch.topk(distances * weights, int(lost.sum())).indices]
    return torch.cdist(points, centroids).argmin(1), centroids
