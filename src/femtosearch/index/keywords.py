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

DEPTH = 300  # documents that are scored by both words and meaning
MOST_TERMS = 64  # of a query
MOST_SCORED = 10_000  # occurrences of terms in documents that a search scores
MOST_COUNTED = 60_000  # documents of a term that are counted where all are looked up; it is common then
PAIR_SHARE = 0.2  # what two words side by side count, of what they would as one word
MOST_ASKED = 20  # words of a query whose quotes ask for what stands in them; in prose they quote
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
    """What a query looks up, each as a phrase of FTS5.

    terms:    words, and identifiers by their parts.
    pairs:    two words that stand side by side.
    phrases:  what stands in double quotes, in a query of at most MOST_ASKED words; of each one way to write
              it, or several.
    forms:    of the terms, a word as it is typeset and in plain letters, of which one is meant.
    beside:   of the terms, those of emoji and the like, which count as nothing where no document has them.
    """

    terms: tuple[str, ...]
    pairs: tuple[str, ...] = ()
    phrases: tuple[tuple[str, ...], ...] = ()
    forms: tuple[tuple[str, str], ...] = ()
    beside: frozenset[str] = frozenset()

    def every(self) -> tuple[str, ...]:
        """All that is looked up."""
        return (*self.terms, *self.pairs, *(phrase for forms in self.phrases for phrase in forms))


@frozen(eq=False)
class WordScores:
    """Documents that have words of a query.

    keys:     [K] int64, rising.
    bm25:     [K] float64, above 0.
    shares:   [K] float64: of what a document could have at most, if it had every word often.
    phrases:  [K] bool: whether all that stands in quotes is there.
    top:      the share of the document that is best by the terms.
    terms:    what was looked up, and how many documents have it.
    pairs:    the words side by side that were looked up; paired: [K] bool, whether `bm25` has them.
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
    """What a query looks up in a table of words. in_plain: whether that has them in plain letters."""
    if not in_plain:
        return keywords_of(query)
    beside = [word.lower() for word in words_beside(query)]
    keywords = keywords_of(" ".join([plain_text(query), *beside]))
    return replace(keywords, beside=frozenset(_quoted(beside)))


def keywords_of(query: str) -> Keywords:
    """What a query looks up as it is written.

    >>> keywords_of('how does lru_cache work "PX-7300"').terms
    ('"lru_cache"', '"work"', '"px"', '"7300"')

    Of typeset forms, as of a ligature, the plain letters are looked up too.

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
        _phrases(query, text)[:MOST_TERMS] if len(every) <= MOST_ASKED else (),
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
    """The best documents of each kind of match, before they are put together.

    terms:   by the words; pairs: by words that stand side by side; quoted: those that have all that stands in
             quotes.
    counts:  the terms that were looked up, and how many documents have each.
    adjacent: the pairs that were looked up.
    most:    what BM25 would be for a document that had every term, and had it very often.
    best:    the most that a document has by the terms; of shards, a document of any of them.
    """

    terms: Scored
    pairs: Scored
    quoted: Scored
    counts: dict[str, int]
    adjacent: tuple[str, ...]
    most: float
    best: float

    def together(self) -> WordScores:
        """The score of each document."""
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
    """The best documents by BM25, of all or of a selection; those that tie with the last ones, too.

    depth:       how many, if that is more than are usually scored.
    exhaustive:  look all words up, however common.
    statistics:  the words of all shards of which the index is one; None for an index of its own.
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
    """For each document of these keys the words and pairs that it has, and what each is of its BM25.

    words:  what was looked up; statistics: as for `find`.
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
    """The words of one query, looked up.

    keys:        [K] int64, rising: the documents that count.
    depth:       how many documents of each kind of match.
    exhaustive:  every word is scored, and not only MOST_SCORED occurrences.
    """

    def __init__(self, table: WordTable, keys: np.ndarray, depth: int, exhaustive: bool) -> None:
        self._table = table
        self._keys = keys
        self._depth = depth
        self._budget = math.inf if exhaustive else MOST_SCORED
        self._most = int(min(self._budget + 1, MOST_COUNTED))  # to count: what is beyond is not scored

    def lists(self, keywords: Keywords) -> WordLists:
        not_meant = self._not_meant(keywords.forms)
        not_meant |= {term for term in keywords.beside if not self._count(term)}
        meant = [term for term in keywords.terms if term not in not_meant]
        terms = self._affordable(meant)
        pairs = self._affordable(keywords.pairs) if len(terms) == len(meant) else {}
        documents = self._table.documents
        most = sum(TOP * inverse_document_frequency(documents, count) for count in terms.values())
        table, among = self._table, (self._keys, self._depth)
        best = table.any([*terms], *among)
        quoted = table.every(keywords.phrases, *among)
        top = float(best.scores.max(initial=0.0))
        return WordLists(best, table.any([*pairs], *among), quoted, terms, (*pairs,), most, top)

    def _not_meant(self, forms: Iterable[tuple[str, str]]) -> set[str]:
        """Of two forms of a word the one that no document has; the typeset one if none has either."""
        return {
            typeset if self._count(word) or not self._count(typeset) else word
            for typeset, word in forms
            if not (self._count(typeset) and self._count(word))
        }

    def _affordable(self, phrases: Iterable[str]) -> dict[str, int]:
        """The rarest phrases that there is time to score, and how many documents have each."""
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
    """Phrases as FTS5 writes them, each once; there is no quote within, for they are made of words."""
    return tuple(dict.fromkeys(f'"{phrase}"' for phrase in phrases))
