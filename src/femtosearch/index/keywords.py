"""Which documents have the words of a query, by BM25 over the catalogue's full-text table.

A search has no time for words that nearly every document has: of a query's words the rarest are looked up, as
long as the documents that have them are not too many to be scored.
"""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from femtosearch.frozen import frozen
from femtosearch.index.catalog import Catalog
from femtosearch.index.keys import contains
from femtosearch.index.plain import plain_text, shown_word, words_beside
from femtosearch.index.postings import inverse_document_frequency
from femtosearch.index.snapshot import Snapshot
from femtosearch.index.word_table import Scored, WordStatistics, WordTable
from femtosearch.index.words import LUCENE_STOP_WORDS, MOST_LETTERS, WORD, parts, spaced

if TYPE_CHECKING:
    from femtosearch.index.filtering import Selection

DEPTH = 300  # best documents by words that MaxSim scores, too
MOST_TERMS = 64  # of a query
MOST_SCORED = 10_000  # postings that a search scores
MOST_COUNTED = 60_000  # a term's document frequency is counted up to this; then it is common
PAIR_SHARE = 0.2  # the weight of two words side by side, of what they would count as one word
MOST_QUOTING_WORDS = 20  # a longer query is prose, whose quotes are not taken as phrases to look for
TOP = 2.2  # the most that a term scores, in units of its inverse document frequency: k1 + 1
STOP_WORDS = LUCENE_STOP_WORDS | frozenset([
    "about", "all", "also", "am", "any", "been", "being", "between", "can", "could", "did", "do", "does",
    "from", "get", "had", "has", "have", "how", "i", "its", "many", "may", "me", "might", "more", "most",
    "much", "must", "my", "our", "should", "some", "than", "us", "use", "used", "using", "we", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "would", "you", "your",
])  # fmt: skip
_QUOTED = r'"([^"]*\w[^"]*)"'
# As phones, word processors and other languages write them.
_QUOTES = dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb"), '"')


@frozen
class Keywords:
    """The phrases of FTS5 that a query looks up.

    terms:    words, and identifiers by their parts.
    pairs:    two words that stand side by side.
    phrases:  what stands in double quotes, in a query of at most 20 words; for each the ways to write it.
    forms:    pairs of terms that are one word, as it is typeset and in plain letters: only one is looked up.
    beside:   terms for emoji and the like; one that no document has is ignored.
    """

    terms: tuple[str, ...]
    pairs: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    forms: tuple[tuple[str, str], ...] = ()
    beside: frozenset[str] = frozenset()

    def every(self) -> tuple[str, ...]:
        """All phrases that are looked up."""
        return (*self.terms, *self.pairs, *(phrase for forms in self.phrases for phrase in forms))


@frozen(eq=False)
class WordScores:
    """The documents that have words of a query.

    keys:     [K] int64, rising.
    bm25:     [K] float64, above 0.
    shares:   [K] float64: bm25 as a share of the most that any document could have, at most 1.
    phrases:  [K] bool: whether the document has all that stands in quotes.
    top:      the share of the document that is best by the terms.
    terms:    the terms that were looked up -> how many documents have each.
    pairs:    the pairs that were looked up; paired: [K] bool, whether `bm25` includes them.
    """

    keys: np.ndarray
    bm25: np.ndarray
    shares: np.ndarray
    phrases: np.ndarray
    top: float
    terms: dict[str, int] = field(default_factory=dict)
    pairs: tuple[str, ...] = ()
    paired: np.ndarray = field(default_factory=lambda: np.empty(0, bool))


def keywords_in(query: str, *, in_plain: bool) -> Keywords:
    """The keywords of a query for a table of words. in_plain: whether its words are in plain letters."""
    if not in_plain:
        return keywords_of(query)
    beside = [word.lower() for word in words_beside(query)]
    keywords = keywords_of(" ".join([plain_text(query), *beside]))
    return replace(keywords, beside=frozenset(_quoted(beside)))


def keywords_of(query: str) -> Keywords:
    """The keywords of a query, in the letters in which it is written.

    >>> keywords_of('how does lru_cache work "PX-7300"').terms
    ('"lru_cache"', '"work"', '"px"', '"7300"')

    Words with typeset forms, such as a ligature, are looked up in plain letters, too.

    >>> keywords_of("of\ufb01ce").terms
    ('"of\ufb01ce"', '"office"')
    """
    query = query.translate(_QUOTES)
    text = query if query.isascii() else unicodedata.normalize("NFKC", query)
    every, plain = _words(query), [] if text == query else _words(text)
    forms = [pair for pair in zip(every, plain, strict=False) if pair[0] != pair[1]]
    forms = forms if len(every) == len(plain) else []
    common = {typeset for typeset, word in forms if word in STOP_WORDS} | STOP_WORDS
    every_form = [*every, *(word for word in plain if word not in every)]
    words = [word for word in every_form if word not in common] or every_form
    split = [" ".join(parts(word)) for word in re.findall(WORD, query) if len(word) <= MOST_LETTERS]
    adjacent = list(pairwise(every))
    adjacent += [pair for pair in pairwise(plain) if pair not in adjacent]
    pairs = [f"{a} {b}" for a, b in adjacent if a in words and b in words]
    return Keywords(
        _quoted([*words, *(phrase.lower() for phrase in split if phrase)])[:MOST_TERMS],
        _quoted(pairs)[: MOST_TERMS // 2],
        _phrases(query, text)[:MOST_TERMS] if len(every) <= MOST_QUOTING_WORDS else (),
        tuple((f'"{typeset}"', f'"{word}"') for typeset, word in forms),
    )


def _phrases(query: str, plain: str) -> tuple[tuple[str, ...], ...]:
    """What stands in double quotes: as it is typed, or in plain letters."""
    quoted = re.findall(_QUOTED, plain) if '"' in plain else []
    phrases = [" ".join(_words(phrase)) for phrase in quoted]
    typed = [" ".join(_words(phrase)) for phrase in re.findall(_QUOTED, query)] if query != plain else phrases
    if len(typed) != len(phrases):
        typed = phrases
    return tuple(dict.fromkeys(_quoted(pair) for pair in zip(typed, phrases, strict=True)))


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(WORD, spaced(text))]


@frozen(eq=False)
class WordLists:
    """The best documents of each kind of match, before they are joined to one list.

    terms:   by the terms; pairs: by the pairs; quoted: the documents that have all that stands in quotes.
    counts:  the terms that were looked up -> how many documents have each.
    adjacent: the pairs that were looked up.
    most:    the limit of BM25 for a document that has every term very often.
    best:    the largest BM25 of a document by the terms, over all shards.
    """

    terms: Scored
    pairs: Scored
    quoted: Scored
    counts: dict[str, int]
    adjacent: tuple[str, ...]
    most: float
    best: float

    def joined(self) -> WordScores:
        """Join the lists to one score for each document."""
        keys = np.union1d(self.terms.keys, self.quoted.keys)
        has_term, phrases = contains(self.terms.keys, keys), contains(self.quoted.keys, keys)
        bm25 = np.zeros(len(keys))
        bm25[phrases] = self.quoted.scores
        bm25[has_term] = self.terms.scores
        pairs = self.pairs.of(self.terms.keys)
        bm25[np.searchsorted(keys, pairs.keys)] += PAIR_SHARE * pairs.scores
        shares = np.minimum(1, np.append(bm25, self.best) / max(self.most, 1e-9))
        paired = contains(pairs.keys, keys)
        top = float(shares[-1])
        return WordScores(keys, bm25, shares[:-1], phrases, top, self.counts, self.adjacent, paired)


def find(
    catalog: Catalog,
    snapshot: Snapshot,
    query: str,
    selection: Selection | None,
    *,
    depth: int,
    exhaustive: bool,
    statistics: WordStatistics | None = None,
) -> WordLists:
    """Find the best documents by BM25, of all or of a selection; documents that tie with the last are
    included.

    depth:       how many documents to find; at least DEPTH are.
    exhaustive:  look up all words, however common.
    statistics:  the words of all shards, if the index is one of several; None for an index of its own.
    Raises OutdatedError if a commit came in between.
    """
    keywords = keywords_in(query, in_plain=snapshot.state.has_plain_words)

    def lists(reader: sqlite3.Connection) -> WordLists:
        keys = snapshot.keys if selection is None else selection.keys
        table = WordTable(reader, snapshot.words, statistics)
        return _Lookup(table, keys, max(depth, DEPTH), exhaustive).lists(keywords)

    return catalog.read_at(snapshot.state, lists)


def word_scores(
    catalog: Catalog,
    snapshot: Snapshot,
    words: WordScores | None,
    keys: Iterable[int],
    statistics: WordStatistics | None = None,
) -> dict[int, dict[str, float]]:
    """For each document, by key, the share of each word and pair that it has in its BM25.

    words:  the words that were looked up; statistics: as for `find`.
    Raises OutdatedError if a commit came in between.
    """
    scores = {key: dict[str, float]() for key in keys}
    if words is None or not scores:
        return scores
    rising = np.array(sorted(scores), np.int64)
    counting = [(term, rising, 1.0) for term in words.terms]
    counting += [
        (pair, rising[contains(words.keys[words.paired], rising)], PAIR_SHARE) for pair in words.pairs
    ]

    def read(reader: sqlite3.Connection) -> dict[int, dict[str, float]]:
        table = WordTable(reader, snapshot.words, statistics)
        for phrase, having, share in counting:
            scored = table.scores(phrase, having)
            for key, bm25 in zip(scored.keys.tolist(), scored.scores.tolist(), strict=True):
                scores[key][shown_word(phrase.strip('"'))] = share * bm25
        return scores

    return catalog.read_at(snapshot.state, read)


class _Lookup:
    """The lookup of one query's words.

    keys:        [K] int64, rising: the documents to rank.
    depth:       how many documents to find by each kind of match.
    exhaustive:  score every word, and not only MOST_SCORED postings.
    """

    def __init__(self, table: WordTable, keys: np.ndarray, depth: int, exhaustive: bool) -> None:
        self._table = table
        self._keys = keys
        self._depth = depth
        self._budget = math.inf if exhaustive else MOST_SCORED
        self._most = int(min(self._budget + 1, MOST_COUNTED))  # to count: what is beyond is not scored

    def lists(self, keywords: Keywords) -> WordLists:
        """Look up keywords: the best documents of each kind of match."""
        not_meant = self._not_meant(keywords.forms)
        not_meant |= {term for term in keywords.beside if not self._count(term)}
        meant = [term for term in keywords.terms if term not in not_meant]
        terms = self._affordable(meant)
        pairs = self._affordable(keywords.pairs) if len(terms) == len(meant) else {}
        documents = self._table.documents
        most = sum(TOP * inverse_document_frequency(documents, count) for count in terms.values())
        table, keys, depth = self._table, self._keys, self._depth
        by_terms = table.with_any([*terms], keys, depth)
        by_pairs = table.with_any([*pairs], keys, depth)
        quoted = table.with_every(keywords.phrases, keys, depth)
        best = float(by_terms.scores.max(initial=0.0))
        return WordLists(by_terms, by_pairs, quoted, terms, (*pairs,), most, best)

    def _not_meant(self, forms: Iterable[tuple[str, str]]) -> set[str]:
        """For each word with two forms the one that no document has; the typeset one if no document
        has either.
        """
        return {
            typeset if self._count(word) or not self._count(typeset) else word
            for typeset, word in forms
            if not (self._count(typeset) and self._count(word))
        }

    def _affordable(self, phrases: Iterable[str]) -> dict[str, int]:
        """The rarest phrases that the budget allows to score -> how many documents have each."""
        counts = {phrase: self._count(phrase) for phrase in phrases}
        chosen: dict[str, int] = {}
        for phrase, count in sorted(counts.items(), key=lambda pair: pair[1]):
            if count > self._budget:
                break
            self._budget -= count
            chosen[phrase] = count
        return chosen

    def _count(self, phrase: str) -> int:
        return self._table.document_frequency(phrase, self._most)


def _quoted(phrases: Iterable[str]) -> tuple[str, ...]:
    """Quote phrases for FTS5, each once. They consist of words, so they contain no quotes."""
    return tuple(dict.fromkeys(f'"{phrase}"' for phrase in phrases))
