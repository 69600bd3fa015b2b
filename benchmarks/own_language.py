"""Training data and known-item questions of folders of documentation, for a model of one's own language.

python -m benchmarks.own_language FOLDER... --out DATA

A section's heading asks for the section's text, if the heading is there once and says more than a word. Every
tenth file is held out: DATA/judged is a collection in BEIR's layout, whose queries are the headings of these
files and whose documents are the sections of all files. Of the others it writes DATA/pairs.jsonl (headings,
and sentences that ask for the text around them), DATA/text.txt and DATA/tokenizer, a WordPiece vocabulary.
docs/training.md goes on from there.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import NFKC, BertNormalizer, Normalizer, Sequence
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

from femtosearch.errors import ReadError
from femtosearch.read.documents import FileReader
from femtosearch.read.entries import Entry, Options
from femtosearch.read.walk import walk

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LEAST, MOST = 120, 4000  # characters of a section
HELD_OUT = 10  # of so many files the questions of one are kept for the evaluation
SENTENCES = 3  # of a section, at most, that ask for the rest
QUESTIONS = 1000  # that are judged, at most


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a file: where it is, the headings that it is under, its own first of all, and its text."""

    file: str
    headings: list[str]
    text: str

    @property
    def is_held_out(self) -> bool:
        """Whether its file is."""
        return zlib.crc32(self.file.encode()) % HELD_OUT == 0


def main() -> None:
    """Write the data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_language", description=__doc__)
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=16_000, help="pieces (default: 16,000)")
    options = parser.parse_args()
    try:
        sections = [*_distinct(_sections(options.folder))]
    except ReadError as error:
        parser.error(str(error))
    learned = [section for section in sections if not section.is_held_out]
    if not learned:
        parser.error(
            f"no section of {LEAST} characters or more under a heading in {', '.join(options.folder)}: give "
            "folders of documentation that have more of them"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    _write_lines(options.out / "text.txt", (" ".join(section.text.split()) for section in learned))
    pairs = [*_pairs(learned, _asking(sections))]
    _write_lines(options.out / "pairs.jsonl", map(_json, pairs))
    # NFKC, lower case, accents kept, since they tell German words apart
    normalizer = Sequence([NFKC(), BertNormalizer(lowercase=True, strip_accents=False)])
    texts = (section.text for section in learned)
    write_tokenizer(options.out / "tokenizer", texts, options.vocabulary, normalizer)
    asked = _write_judged(options.out / "judged", sections)
    print(f"{len(sections):,} sections, {len(pairs):,} pairs, {asked:,} questions")


def _sections(folders: list[str]) -> Iterator[Section]:
    reader = FileReader(Options(exclude=("*.pdf",)))  # which says nothing of its headings
    for file in walk(folders, reader.options).files:
        for named in reader.read(file):
            yield from _cut(file.path, named.entry)


def _cut(path: str, entry: Entry) -> Iterator[Section]:
    """An entry's sections: what stands between two headings."""
    headed = [(at, facts["heading"]) for at, facts in entry.marks if facts.get("heading")]
    for (begin, headings), (end, _) in pairwise([*headed, (len(entry.text), [])]):
        text = entry.text[begin:end].strip()
        body = text.lstrip("# ").removeprefix(headings[-1]).lstrip("\n=-# ")
        if len(body) >= LEAST:
            yield Section(path, [" ".join(heading.split()) for heading in reversed(headings)], body[:MOST])


def _distinct(sections: Iterable[Section]) -> Iterator[Section]:
    """Each text once."""
    seen: set[int] = set()
    for section in sections:
        digest = hash(" ".join(section.text.split()))
        if digest not in seen:
            seen.add(digest)
            yield section


def _asking(sections: list[Section]) -> set[str]:
    """The headings that are questions: there once, and of two words or more."""
    counts = Counter(section.headings[0] for section in sections)
    return {text for text, count in counts.items() if count == 1 and len(re.findall(r"\w{3,}", text)) > 1}


def _pairs(sections: list[Section], asking: set[str]) -> Iterator[dict[str, str]]:
    rng = random.Random(1)
    for section in sections:
        if section.headings[0] in asking:
            yield {"query": section.headings[0], "positive": section.text}
        if len(section.headings) > 1:
            yield {"query": f"{section.headings[1]} {section.headings[0]}", "positive": section.text}
        sentences = [sentence for sentence in re.split(r"(?<=[.!?:])\s+", section.text) if len(sentence) > 40]
        for sentence in rng.sample(sentences, min(SENTENCES, max(0, len(sentences) - 1))):
            rest = section.text.replace(sentence, " ")
            if len(rest) >= LEAST:
                yield {"query": " ".join(sentence.split())[:300], "positive": rest}


def _write_judged(folder: Path, sections: list[Section]) -> int:
    """The collection; how many questions it has."""
    asking = _asking(sections)
    questions = [n for n, of in enumerate(sections) if of.is_held_out and of.headings[0] in asking]
    questions = sorted(random.Random(1).sample(questions, min(QUESTIONS, len(questions))))
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": f"d{n}", "title": "", "text": of.text} for n, of in enumerate(sections))
    _write_lines(folder / "corpus.jsonl", map(_json, corpus))
    queries = ({"_id": f"q{n}", "text": sections[n].headings[0]} for n in questions)
    _write_lines(folder / "queries.jsonl", map(_json, queries))
    _write_lines(
        folder / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in questions)]
    )
    return len(questions)


def write_tokenizer(
    folder: Path, texts: Iterable[str], size: int, normalizer: Normalizer, **limits: Any
) -> None:
    """A WordPiece vocabulary of BERT's kind, of `size` pieces of the texts. limits: the trainer's own."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False, **limits)
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def _json(record: dict[str, str]) -> str:
    return json.dumps(record, ensure_ascii=False)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
