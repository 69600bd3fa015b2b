"""What people write: unknown words, typeset forms, punctuation, long queries; what is right for each."""

import unicodedata
import warnings

import pytest

import femtosearch as fs
from femtosearch.errors import QueryError, UnknownQueryWarning

TEXTS = {
    "finance": "The financial office files its workflow report in 2023.",
    "space": "A station in space needs air, water and power.",
    "cafe": "The caf\u00e9 serves cr\u00e8me br\u00fbl\u00e9e after noon.",
    "panic": "Don't panic when the ship's computer stops.",
    "thai": "\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "party": "\U0001f389 the party begins at nine \U0001f38a",
    "cups": "Add 12 cups of flour and a litre of milk.",
}
UNKNOWN = {
    "an emoji": "\U0001f389",
    "emoji joined": "\U0001f469\u200d\U0001f4bb \U0001f3f4",
    "Thai": "\u0e0a\u0e49\u0e32\u0e07",
    "a Chinese character": "\u91cf",
    "a long checksum": "9f86d081884c7d65" * 8,
    "one very long word": "a" * 5000,
    "punctuation": "?!...",
    "typeset punctuation": "\u2014 \u201c\u2026\u201d \uff01",
    "a zero-width space": "\u200b",
    "a mark of order and a soft hyphen": "\ufeff\u00ad",
    "control characters": "\0\x01",
    "marks of direction": "\u202e\u2067\u200f",
    "a lone accent": "\u0301",
}
ALIKE = {
    "ligatures": ("\ufb01nancial of\ufb01ce work\ufb02ow", "financial office workflow"),
    "full-width letters and digits": (
        "\uff46inancial report \uff12\uff10\uff12\uff13",
        "financial report 2023",
    ),
    "circled digits": ("\u2460\u2461 cups of flour", "12 cups of flour"),
    "bold letters": ("\U0001d413\U0001d421\U0001d41e financial office", "The financial office"),
    "composed and decomposed": ("cafe\u0301 cre\u0300me", "caf\u00e9 cr\u00e8me"),
    "without accents": ("cafe creme", "caf\u00e9 cr\u00e8me"),
    "soft hyphens": ("fi\u00adnan\u00adcial of\u00adfice", "financial office"),
    "zero-width characters": ("fin\u200bancial off\u200dice\ufeff", "financial office"),
    "marks of direction": ("\u200efinancial\u200f \u202aoffice\u202c", "financial office"),
    "non-breaking spaces": (
        "financial\u00a0office\u202fworkflow\u3000report",
        "financial office workflow report",
    ),
    "control characters": ("\0financial\x01 office\x7f", "financial office"),
    "smart quotes": ("don\u2019t panic", "don't panic"),
    "quotes round it": ("\u201cfinancial office\u201d", "financial office"),
    "a heading's mark": ("## space", "space"),
    "an ellipsis": ("space ...", "space"),
    "a typeset ellipsis": ("space\u2026", "space"),
    "a list's mark": ("- space", "space"),
    "a question mark": ("air in space?!", "air in space"),
    "Chinese punctuation": ("\u300cspace\u300d\u3002", "space"),
    "an emoji": ("space \U0001f680", "space"),
    "emoji among words": ("air \U0001f32c\ufe0f and \U0001f4a7 water", "air and water"),
    "an unknown script among words": ("space \u0e2d\u0e32\u0e01\u0e32\u0e28 station", "space station"),
    "capitals": ("SPACE STATION", "space station"),
}


@pytest.fixture(scope="module")
def model():
    return fs.Model.load("femto")


@pytest.fixture(scope="module")
def index(model):
    with fs.Index(model=model) as index:
        index.add([{"id": name, "text": text} for name, text in TEXTS.items()])
        yield index


def facts(hits):
    return [(hit.id, hit.score, hit.passage) for hit in hits]


@pytest.mark.parametrize("query", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("mode", ["auto", "maxsim", "fde", "rerank"])
def test_a_query_without_a_known_word_finds_nothing_and_says_so(index, query, mode):
    coverage = index.coverage(query)
    assert coverage.pieces == 0 and len(coverage.unknown) == coverage.tokens
    with pytest.warns(UnknownQueryWarning, match=r"the model 'femto' knows no word of it"):
        hits = index.search(query, mode=mode, hybrid=0.0)
    assert hits == []


@pytest.mark.parametrize("query", UNKNOWN.values(), ids=UNKNOWN)
def test_nothing_is_reranked_for_it(model, query):
    with pytest.warns(UnknownQueryWarning):
        assert fs.rerank(model, query, ["some text", query]) == []


@pytest.mark.parametrize("query", ["", " ", "\n\t "])
def test_an_empty_query_is_refused(index, query):
    with pytest.raises(QueryError, match="needs at least one word"):
        index.search(query)


def test_half_of_a_pair_is_refused(index):
    with pytest.raises(QueryError, match="surrogate"):
        index.search("space \ud83d")


@pytest.mark.parametrize(("odd", "plain"), ALIKE.values(), ids=ALIKE)
def test_forms_that_mean_the_same_find_the_same(index, model, odd, plain):
    assert model.encode_queries([odd]).rows.tolist() == model.encode_queries([plain]).rows.tolist()
    assert facts(index.search(odd, hybrid=0.0)) == facts(index.search(plain, hybrid=0.0))
    documents = [TEXTS[name] for name in ("cups", "finance", "space", "party")]
    assert [hit.id for hit in fs.rerank(model, odd, documents)] == [
        hit.id for hit in fs.rerank(model, plain, documents)
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_documents_in_any_normal_form_are_alike(model, form):
    text = "The \ufb01nancial caf\u00e9 in No\u00ebl \uff12\uff10\uff12\uff13, \u1112\u1161\u11ab"
    (plain,) = model.encode_passages([text]).rows
    (other,) = model.encode_passages([unicodedata.normalize(form, text)]).rows
    assert other.tolist() == plain.tolist()


def test_what_is_shown_is_the_text_as_it_was_written(model):
    with fs.Index(model=model) as index:
        text = "Page one. The \ufb01nancial of\ufb01ce, \uff12\uff10\uff12\uff13."
        index.add([{"id": "a", "text": text}])
        (hit,) = index.search("\ufb01nancial", spots=True, explain=True)
        assert hit.text == text and hit.text[slice(*hit.span)] == "\ufb01nancial"
        shown = [match.match for match in hit.explanation.tokens if match.token == "\ufb01nancial"]
        assert shown == ["\ufb01nancial"]


def test_an_unknown_document_is_kept_counted_and_found_by_its_words(index):
    assert index.get("thai").text == TEXTS["thai"]
    stats = index.stats()
    assert stats.documents == len(TEXTS)
    assert stats.unknown_tokens == 4 and 0.04 < stats.unknown_share < 0.1
    with pytest.warns(UnknownQueryWarning):
        (hit,) = index.search("\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35", hybrid=0.36)
    assert hit.id == "thai" and hit.maxsim is None and hit.bm25 > 0
    assert hit.passage == (0, len(TEXTS["thai"]))
    for query in ("space", "\U0001f389 space", "weather"):
        assert "thai" not in [hit.id for hit in index.search(query, hybrid=0.0)]


def test_an_unknown_word_beside_known_ones_finds_by_both(index):
    hits = index.search("weather \u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35", k=10, hybrid=0.36)
    assert "thai" in [hit.id for hit in hits] and len(hits) == len(TEXTS)
    assert all(hit.score == hit.score and abs(hit.score) < 100 for hit in hits)


def test_the_share_that_is_unknown_is_told(index):
    coverage = index.coverage("the \U0001f389 party, \u0e2d\u0e32\u0e01\u0e32\u0e28")
    assert (coverage.tokens, coverage.beyond, coverage.pieces) == (4, 0, 1)
    assert coverage.unknown == ("\U0001f389", "\u0e2d\u0e32\u0e01\u0e32\u0e28") and coverage.share == 0.5


def long_document(topic, sentences=60):
    """A long text in which no two sentences are alike."""
    things = ("valve", "pump", "filter", "sensor", "cable", "switch", "motor", "gauge", "relay", "panel")
    actions = ("opens", "closes", "warms", "cools", "turns", "stops", "starts", "bends", "leaks", "hums")
    return " ".join(
        f"In the {topic} the {things[n % 10]} number {n} {actions[n * 7 % 10]} the "
        f"{things[(n * 3 + 1) % 10]}."
        for n in range(sentences)
    )


TOPICS = ("harbour", "kitchen", "volcano", "library", "factory", "theatre", "garden", "hospital")


@pytest.fixture(scope="module")
def long_index(model):
    with fs.Index(model=model) as index:
        texts = {topic: long_document(topic) for topic in TOPICS}
        index.add([{"id": topic, "text": text} for topic, text in texts.items()])
        index.add([{"id": f"part of {topic}", "text": text[:900]} for topic, text in texts.items()])
        yield index


@pytest.mark.parametrize("mode", ["auto", "maxsim", "rerank", "fde"])
@pytest.mark.parametrize("topic", ["harbour", "hospital"])
def test_a_long_document_finds_itself_first(long_index, topic, mode):
    hits = long_index.search(long_document(topic), k=3, mode=mode)
    assert hits[0].id == topic
    if mode != "fde":
        assert hits[0].maxsim > hits[1].maxsim


def test_all_of_a_long_query_counts(long_index):
    first, second = long_document("volcano", 12), long_document("theatre", 60)
    (best, *_) = long_index.search(f"{first} {second}", k=3)
    assert best.id == "theatre"
    assert long_index.coverage(f"{first} {second}").pieces > 5


def test_reranking_takes_all_of_a_long_query(model):
    texts = [long_document(topic) for topic in TOPICS]
    hits = fs.rerank(model, texts[3], [*texts, texts[3][:900]])
    assert hits[0].id == "3" and hits[0].score > hits[1].score


def test_what_is_beyond_the_longest_query_is_told_and_left_out(long_index, model):
    text = "the pump leaks . " * 3000
    coverage = long_index.coverage(text)
    assert coverage.pieces == model.conventions.query_pieces and coverage.beyond > 4000
    assert len(long_index.search(text, k=3)) == 3
    assert len(model.encode_queries([text]).rows) <= coverage.pieces * model.conventions.query_length


def test_a_short_query_is_one_piece_with_the_bits_of_old(model):
    for text in ("space", "the valve opens " * 30):
        pieces = model.encode_query_pieces([text, "other"])
        assert pieces.owner.tolist() == [0, 1] and pieces.spans[0].tolist() == [0, len(text)]
        assert pieces.rows[0].tobytes() == model.encode_queries([text])[0].tobytes()


def test_many_queries_are_what_each_is(long_index):
    queries = ["pump", long_document("garden"), "\U0001f389", "the relay hums"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownQueryWarning)
        together = long_index.search(queries, k=4)
        alone = [long_index.search(query, k=4) for query in queries]
    assert [facts(hits) for hits in together] == [facts(hits) for hits in alone]
