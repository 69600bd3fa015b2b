"""Reading pairs and texts: samples, compressed files, what is left out, what cannot be used."""

import gzip
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from femtosearch.errors import RecipeError
from femtosearch.train.archive import Archive
from femtosearch.train.corpus import check_pairs, read_corpus, tokenised
from femtosearch.train.recipe import Data, Source

from .toys import TWINS, write_lines


def corpus_of(folder, teacher, seed=1, archive=None, negatives=False, **data):
    tokenizer = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    tokenizer.enable_truncation(24)
    return read_corpus(Data(**data), folder, tokenizer, seed, archive, negatives=negatives)


def teacher_words(teacher, ids):
    return set(Tokenizer.from_file(str(teacher / "tokenizer.json")).decode(ids.tolist()).split())


def test_a_sample_is_seeded_and_pairs_stay_together(data, teacher):
    settings = {"pairs": (Source("pairs.jsonl", 50),), "keywords": 0.5}
    one, same, other = (corpus_of(data, teacher, seed, **settings) for seed in (1, 1, 2))
    assert np.array_equal(one.queries.ids, same.queries.ids)
    assert not np.array_equal(one.queries.ids, other.queries.ids)
    assert 50 < one.report["queries"] < 100
    for number, answer in enumerate(one.answers):
        asked, passage = (teacher_words(teacher, ids) for ids in (one.queries[number], one.passages[answer]))
        assert asked <= {TWINS[letter] for letter in passage - {"."}}


def test_held_out_queries_are_not_trained_on(data, teacher):
    corpus = corpus_of(data, teacher, pairs=(Source("pairs.jsonl"),), hold_out=7)
    assert len(corpus.held_out) == 7
    assert not np.isin(corpus.held_out, corpus.trained).any()


def test_compressed_files_are_read(data, teacher, tmp_path):
    text = (data / "pairs.jsonl").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress(text))
    for name in ("a.jsonl.gz", "b.jsonl.xz"):
        assert corpus_of(tmp_path, teacher, pairs=(Source(name),)).report["passages"] > 150


def test_texts_of_an_evaluation_set_are_left_out(data, teacher, tmp_path):
    shared = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    lines = [{"query": "a", "positive": f"before {shared} after"}, {"query": "b", "positive": shared[:40]}]
    lines += [{"query": "the evaluation query", "positive": "red"}, {"query": "cat", "positive": "dog"}]
    write_lines(tmp_path / "pairs.jsonl", lines)
    evaluation = [{"_id": "1", "text": f"Some document: {shared.upper()}"}, {"text": "The evaluation query"}]
    write_lines(tmp_path / "corpus.jsonl", evaluation)
    corpus = corpus_of(
        tmp_path, teacher, pairs=(Source("pairs.jsonl"),), exclude=("corpus.jsonl",), keywords=0.0
    )
    assert corpus.report["passages excluded"] == 2
    assert corpus.report["queries"] == 2
    with pytest.raises(RecipeError, match=r"exclude = 'none/\*' matches no file"):
        corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),), exclude=("none/*",))


def test_negatives_are_read_when_asked_for(teacher, tmp_path):
    write_lines(tmp_path / "pairs.jsonl", [
        {"query": "cat", "positive": "the cat", "negatives": ["the dog", " ", "the cat sat"]},
        {"query": "dog", "positive": "the dog"},
    ])  # fmt: skip
    corpus = corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),), keywords=0.0, negatives=True)
    assert corpus.negatives == [(1, 2), ()]
    assert list(corpus.answers) == [0, 1]
    assert len(corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),)).passages) == 2


def test_the_archive_has_the_texts_and_finds_words(teacher, tmp_path):
    (tmp_path / "text.txt").write_text("the red moon\na fast dog\na fast red cat\n")
    archive = Archive(tmp_path / "texts.sqlite")
    corpus_of(tmp_path, teacher, archive=archive, texts=(Source("text.txt"),))
    archive.finish(words=True)
    assert archive.texts("passages", np.array([2, 0])) == ["a fast red cat", "the red moon"]
    assert archive.best('red "cat" OR', 2) == [2, 0]
    assert archive.best("...", 2) == []
    assert list(archive.all("queries")) == []


def test_large_vocabularies_have_wider_ids(tmp_path):
    words = {f"w{n}": n for n in range(70_000)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    assert list(tokenised(["w69999 w3", "w1"], tokenizer).ids) == [69999, 3, 1]
    assert tokenised(["w1"], tokenizer).ids.dtype == np.uint32


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"pairs\.jsonl: empty"),
        (b"\n \n", r"pairs\.jsonl: empty"),
        (b'{"query": "a"}\n', r"pairs\.jsonl:1: expected"),
        (b'{"query": "a", "positive": "b", "negatives": [1]}\n', r"pairs\.jsonl:1: expected"),
        (b'{"query": "a", "positive": "b", "negatives": "cd"}\n', r"pairs\.jsonl:1: .*a list of texts"),
        (b'{"query": 1, "positive": "b"}\n', r"pairs\.jsonl:1: expected"),
        (b'["query", "positive"]\n', r"pairs\.jsonl:1: expected"),
        (b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", r"pairs\.jsonl:1: expected"),
        (b'{"query": "a", "positive": "b"}\nnonsense\n', r"pairs\.jsonl:2: expected"),
        (b"\xfa\xfe", "not UTF-8 after line 0"),
        (b'{"query": " ", "positive": "b"}\n', "empty: it gave nothing to train on"),
    ],
)
def test_data_that_cannot_be_used_is_named(teacher, tmp_path, content, message):
    (tmp_path / "pairs.jsonl").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),))


def test_half_of_a_surrogate_pair_is_replaced(teacher, tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"query": "cat \\ud83d", "positive": "\\ude00 dog"}\n' * 2)
    assert corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),)).report["passages"] == 1


@pytest.mark.parametrize("kind", ["absolute", "relative", "upwards"])
def test_what_is_excluded_may_lie_anywhere(data, teacher, tmp_path, kind):
    folder, outside = tmp_path / "data", tmp_path / "outside.jsonl"
    folder.mkdir()
    pairs = (data / "pairs.jsonl").read_text()
    (folder / "pairs.jsonl").write_text(pairs)
    texts = [json.loads(line)["positive"] for line in pairs.splitlines()[:20]]
    for path in (outside, folder / "eval.jsonl"):
        write_lines(path, [{"text": text} for text in texts] + [{"text": None}])
    pattern = {"absolute": str(outside), "relative": "ev*.jsonl", "upwards": "../outside.jsonl"}[kind]
    corpus = corpus_of(folder, teacher, pairs=(Source("pairs.jsonl"),), exclude=(pattern,))
    assert corpus.report["passages excluded"] == 20


@pytest.mark.parametrize(
    ("pattern", "content", "message"),
    [
        ("none*.jsonl", "", "matches no file"),
        ("", "", "matches no file"),
        ("e.jsonl", '{"text": 3}', r"e\.jsonl:1: expected"),
        ("e.jsonl", '["text"]', r"e\.jsonl:1: expected"),
    ],
)
def test_what_cannot_be_excluded_is_named(data, teacher, tmp_path, pattern, content, message):
    (tmp_path / "pairs.jsonl").write_bytes((data / "pairs.jsonl").read_bytes())
    (tmp_path / "e.jsonl").write_text(content)
    with pytest.raises(RecipeError, match=message):
        corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),), exclude=(pattern,))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("cat", "dog")], "gave 1 pairs; at least 2"),
        ([("cat", "dog"), ("moon", "dog"), ("mat", "dog")], "3 queries, but all of one passage"),
        ([("cat", "dog"), ("cat", "mat")], "2 passages, but all of one query"),
    ],
)
def test_one_sided_pairs_are_refused(teacher, tmp_path, pairs, message):
    write_lines(tmp_path / "pairs.jsonl", [{"query": q, "positive": p} for q, p in pairs])
    corpus = corpus_of(tmp_path, teacher, pairs=(Source("pairs.jsonl"),), keywords=0.0)
    with pytest.raises(RecipeError, match=message):
        check_pairs(corpus, tmp_path)


@pytest.mark.parametrize(("name", "content"), [("a.gz", b"no gzip"), ("a.xz", b"no xz"), ("b.gz", None)])
def test_damaged_and_missing_files_are_named(teacher, tmp_path, name, content):
    whole = gzip.compress(json.dumps({"query": "a", "positive": "b"}).encode() * 100)
    (tmp_path / name).write_bytes(whole[:-20] if content is None else content)
    with pytest.raises(RecipeError, match=rf"{name}: damaged after line 0"):
        corpus_of(tmp_path, teacher, pairs=(Source(name),))
    with pytest.raises(RecipeError, match=r"none\.txt: cannot be read: .*is the data folder right"):
        corpus_of(Path(tmp_path), teacher, texts=(Source("none.txt"),))
