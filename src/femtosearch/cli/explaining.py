"""Explanations as text for a terminal: a line each for the parts of the score, ranks, tokens and words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TextIO

from femtosearch.cli.output import harmless, show_note
from femtosearch.cli.show import wants_colour
from femtosearch.index.queries import notes_of
from femtosearch.types import Coverage, Hit, TokenMatch

PLAIN = "\x1b[0m"
SHADES = (
    (0.75, "\x1b[32m"),
    (0.5, "\x1b[33m"),
    (-2.0, "\x1b[2m"),
)  # similar: green; less so: yellow; else dim
LEAST_WEIGHT = 0.05  # a weight is shown if it differs from 1 by this much
OWN_TOKEN = "·"  # a token that the model adds, such as [CLS]
PARTS = {"maxsim": "MaxSim"}
LISTS = {"exact": "MaxSim of everything", "fde": "the FDE's product", "words": "BM25"}


def explanation_lines(hit: Hit, stream: TextIO) -> Iterator[str]:
    """The explanation of a hit in at most four lines; none if it has no explanation."""
    if hit.explanation is None:
        return
    parts = [f"{PARTS.get(name, name)} {value:+.2f}" for name, value in hit.explanation.parts.items()]
    if len(parts) > 1:
        yield f"     score: {'  '.join(parts)}"
    ranks = ", ".join(f"{LISTS[name]} {rank:,}" for name, rank in hit.explanation.ranks.items())
    measures = {"MaxSim": hit.maxsim, "BM25": hit.bm25}
    scores = ", ".join(f"{name} {value:.2f}" for name, value in measures.items() if value is not None)
    yield f"     ranks: {ranks or 'none'}{'; ' if scores else ''}{scores}"
    coloured = wants_colour(stream)
    tokens = [_token(match, coloured) for match in hit.explanation.tokens if match.token]
    if tokens:
        yield f"     tokens: {'  '.join(tokens)}"
    words = [f"{harmless(word)} {score:.2f}" for word, score in hit.explanation.words.items()]
    if words:
        yield f"     words: {'  '.join(words)}"


def note_coverage(options: argparse.Namespace, coverage: Coverage | None) -> None:
    """Show notes about the words of a query that the model does not know, and about what is cut off."""
    for note in [] if coverage is None else notes_of(coverage):
        show_note(options, note)


def _token(match: TokenMatch, coloured: bool) -> str:
    shown = f"{harmless(match.token)}→{harmless(match.match) or OWN_TOKEN} {match.similarity:.2f}"
    shown += "" if abs(match.weight - 1) < LEAST_WEIGHT else f" x{match.weight:.1f}"
    if not coloured:
        return shown
    shade = next(code for least, code in SHADES if match.similarity >= least)
    return f"{shade}{shown}{PLAIN}"
