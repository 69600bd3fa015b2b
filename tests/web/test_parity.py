"""What a page finds, in Node, is what the index finds: ids, passages, scores; and so are tokens and rows."""

import platform
import warnings

import numpy as np
import pytest

from femtosearch import _core
from femtosearch.errors import UnknownQueryWarning
from femtosearch.index.index import Index
from femtosearch.model.model import Model
from femtosearch.web.contents import Contents
from femtosearch.web.site import write_site

from ..tiny import write_tiny_model
from .conftest import in_node

SAME_BITS = platform.machine() in (
    "x86_64",
    "AMD64",
)  # whose baseline has the same vectors, and fuses nothing
QUERIES = [
    "what survives a power cut",
    "how are rows stored on the disk",
    "a small cat",
    "export a model to ONNX",
    "of\ufb01ce \uff26\uff29\uff2c\uff34\uff25\uff32 by year",
    "how do I run the server with a key?",
    "torch, transformers, sentence-transformers!",
    "Qu'est-ce que c'est, la recherche? \u00fcber M\u00fcller",
    "kernels for avx512 and aarch64",
    "where is the CHANGELOG",
    "who may write to an index at the same time",
    "[Q] text that holds a prefix [SEP] and a special token",
    "\u6f22\u5b57 and \U0001f600 emoji",
    "infor-\nmation retrieval",
    "ex\u2010\n tracted re\xad\nsults \x1b[1min b\bbold\x1b[0m",
    "python -m benchmarks million --json",
    "nDCG@10 on SciFact",
    "licence",
    "a b c d e f g",
    "long documents are cut into passages",
    "how large is the default model in bytes",
    "one two. " * 90 + "What comes last? " + "the learned encoding of rows " * 60,
]


SETTLED = "(query) => { engine.settle(); return engine.search(query, 10); }"


def compared(index, answers, queries, tolerance=2e-3):
    """tolerance: of scores, for instruction sets round a code of a query otherwise, one in some thousands."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownQueryWarning)
        native = index.search(queries, mode="maxsim", hybrid=0, k=10)
    for query, hits, answer in zip(queries, native, answers, strict=True):
        assert [hit.id for hit in hits] == [hit["id"] for hit in answer["hits"]], query
        texts = [hit.text[slice(*hit.passage)] for hit in hits]
        assert texts == [hit["passage"] for hit in answer["hits"]]
        scores = np.array([hit.score for hit in hits]), np.array([hit["score"] for hit in answer["hits"]])
        np.testing.assert_allclose(*scores, rtol=1e-5, atol=tolerance)


@in_node
@pytest.mark.slow
def test_a_page_ranks_as_the_index_does(docs_index, whole_site, in_page):
    answers = in_page(whole_site, QUERIES, "(query) => engine.search(query, 10)")
    compared(docs_index, answers, QUERIES)
    assert answers[-1]["pieces"] > 1 and len(answers[0]["hits"]) == 10
    assert all(answer["exact"] for answer in answers)


@in_node
@pytest.mark.slow
def test_and_so_does_one_with_rows_in_shorthand(docs_index, docs_site, in_page):
    answers = in_page(docs_site, QUERIES, SETTLED)
    compared(docs_index, answers, QUERIES)
    assert all(answer["exact"] for answer in answers)


@in_node
@pytest.mark.slow
def test_what_is_found_is_exact_before_all_is(docs_index, docs_site, in_page):
    """MaxSim alone, with nothing taken off by how scores are spread over all passages."""
    javascript = "(query) => { engine.penalty = 0; return [engine.waiting, engine.search(query, 10)]; }"
    answers = in_page(docs_site, QUERIES, javascript)
    assert answers[0][0] > 200 and answers[-1][0] > 0
    native = docs_index.search(QUERIES, mode="maxsim", hybrid=0, length_penalty=0)
    same = [
        [hit.id for hit in hits] == [hit["id"] for hit in answer["hits"]]
        for hits, (_, answer) in zip(native, answers, strict=True)
    ]
    assert sum(same) >= len(QUERIES) - 1


@in_node
@pytest.mark.slow
def test_hits_get_better_and_better(docs_site, in_page):
    javascript = "(query) => [...engine.steps(query, 3)].map(({ hits }) => hits.map(({ id }) => id))"
    steps, again = in_page(docs_site, ["what survives a power cut"] * 2, javascript)
    assert len(steps) > 1 and all(len(ids) == 3 for ids in steps) and again == steps[-1:]


@in_node
@pytest.mark.slow
def test_rows_that_the_page_cannot_make_are_kept(in_page, tmp_path, monkeypatch):
    """Every second passage counts as one of which the page would make other rows."""
    monkeypatch.setattr("femtosearch.web.contents.LEAST_ROWS", 2048)
    monkeypatch.setattr(Contents, "_is_same", lambda self, passage, rows: passage % 2 == 0)
    documents = [{"id": f"{n:03}", "text": f"{n} {text}"} for n, text in enumerate(QUERIES * 20)]
    documents.append({"id": "unknown", "text": "\U0001f600 \U0001f601"})  # a passage without rows
    with Index(model=Model.load("femto")) as index:
        index.add(documents)
        write_site(index, tmp_path / "site")
        answers = in_page(tmp_path / "site", QUERIES, SETTLED)
        compared(index, answers, QUERIES)
        (waiting,) = in_page(tmp_path / "site", [""], "() => [engine.waiting, engine.rows.passages]")
    assert 0 < waiting[0] < waiting[1] * 0.6


@in_node
@pytest.mark.slow
def test_tokens_are_the_tokenizers(docs_site, in_page):
    tokenizer = Model.load()._tokenizer._texts
    texts = [*QUERIES, "", " ", "\x00\x07", "a" * 300, "e\u0301\u0327 \uac00\u11a8 \u1e9b\u0323 \u2126"]
    answers = in_page(docs_site, texts, "(text) => [...engine.model.tokenise(text).ids]")
    for text, ids in zip(texts, answers, strict=True):
        assert ids == tokenizer.ids([text])[0].tolist(), text


@in_node
@pytest.mark.slow
def test_rows_are_the_bits_of_the_baseline(docs_site, in_page):
    before = _core.kernel()
    _core.use("baseline")
    model = Model.load().unweighted()
    _core.use(before)
    javascript = (
        "(query) => { engine.model.weights = null;"
        " return engine.model.pieces(query).map((piece) => [...engine.model.queryRows(piece)]); }"
    )
    for query, pieces in zip(QUERIES, in_page(docs_site, QUERIES, javascript), strict=True):
        native = model.encode_query_pieces([query]).rows
        assert len(pieces) == len(native)
        for piece, rows in zip(pieces, native, strict=True):
            in_page_rows = np.array(piece, "f4").reshape(rows.shape)
            np.testing.assert_allclose(in_page_rows, rows, rtol=0, atol=2e-6)
            assert not SAME_BITS or np.array_equal(in_page_rows, rows)


@in_node
@pytest.mark.slow
def test_rows_weigh_what_they_weigh_in_the_index(docs_site, in_page):
    javascript = "(query) => engine.model.pieces(query).map((piece) => [...engine.model.queryRows(piece)])"
    model = Model.load()
    for query, pieces in zip(QUERIES, in_page(docs_site, QUERIES, javascript), strict=True):
        for piece, rows in zip(pieces, model.encode_query_pieces([query]).rows, strict=True):
            np.testing.assert_allclose(np.array(piece, "f4").reshape(rows.shape), rows, rtol=0, atol=1e-5)


@in_node
@pytest.mark.slow
def test_a_query_without_a_known_word_finds_nothing(docs_site, in_page):
    (answer,) = in_page(docs_site, ["?! \U0001f600"], "(query) => engine.search(query, 10)")
    assert answer == {"pieces": 0, "hits": [], "exact": False}


@in_node
@pytest.mark.parametrize("name", ["femto", "tiny"])
def test_other_models_and_documents_of_any_text(name, tmp_path, in_page):
    model = Model.load("femto") if name == "femto" else tiny(tmp_path)
    documents = [
        {"id": "\U0001f600", "text": "\U0001f600 red fox. " * 200},
        {"id": "\uffee", "text": "the red cat \U0001f600 and the dog"},
        {"id": "a", "text": "the red cat \U0001f600 and the dog"},
        {"id": "empty", "text": ""},
        {"id": "marks", "text": "?!"},
    ]
    with Index(model=model) as index:
        index.add(documents)
        write_site(index, tmp_path / "site")
        queries = ["red fox", "the cat", "a dog and a cat sat on the red mat at night"]
        compared(index, in_page(tmp_path / "site", queries, "(query) => engine.search(query, 10)"), queries)


def tiny(folder):
    """A BERT with random weights that expands its queries, and cuts them."""
    return Model.load(write_tiny_model(folder / "model", code_width=None))
