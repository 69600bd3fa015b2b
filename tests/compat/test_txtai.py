"""txtai's Embeddings on our index: ids, saving, what is not supported, and SQL that a stranger wrote."""

import numpy as np
import pytest

from femtosearch.compat.txtai import Embeddings
from femtosearch.compat.txtai.pipeline import Reranker, Similarity
from femtosearch.compat.txtai.statement import is_sql, read_statement
from femtosearch.errors import CorruptError, FemtosearchError, QueryError, StoreError

TEXTS = ["the cat sat on the mat", "the dog ran fast", "a red moon at night"]


@pytest.fixture
def embeddings():
    with Embeddings(path="femto", content=True) as embeddings:
        embeddings.index(TEXTS)
        yield embeddings


def test_ids_and_scores_without_content():
    with Embeddings({"path": "femto"}) as embeddings:
        assert embeddings.search("a cat") == [] and embeddings.count() == 0 and not embeddings.exists()
        embeddings.index([(7, TEXTS[0]), ("own", TEXTS[1], "tag")])
        embeddings.upsert([TEXTS[2]])
        assert {name for name, _ in embeddings.search("a cat", 3)} == {7, "own", 0}
        assert all(isinstance(score, float) and score <= 1 for _, score in embeddings.search("a cat"))
        assert embeddings.search("select id from txtai")[0][0] in (7, "own", 0)  # a text as any other
        assert embeddings.delete([7, 8]) == [7] and embeddings.count() == 2
        assert [
            [name for name, _ in hits] for hits in embeddings.batchsearch(["the dog", "the moon"], 1)
        ] == [
            ["own"],
            [0],
        ]
        embeddings.upsert([{"id": "own", "text": "another", "tags": "t", "n": 1}, {"id": 7, "text": "more"}])
        assert embeddings.count() == 3 and embeddings.delete(["own"]) == ["own"]
        embeddings.index(["anew"])
        assert embeddings.search("anew")[0][0] == 0 and embeddings.count() == 1


def test_what_is_saved_is_loaded_and_goes_on(embeddings, tmp_path):
    embeddings.save(tmp_path / "saved")
    before = embeddings.search("a cat")
    embeddings.delete(["0"])
    with Embeddings(path="femto", content=True) as other:
        assert other.exists(tmp_path / "saved") and not other.exists(tmp_path)
        other.load(tmp_path / "saved")
        assert other.search("a cat") == before
        other.upsert(["one more"])
        assert other.search("select id from txtai where text = 'one more'") == [{"id": "3"}]
    embeddings.save(tmp_path / "saved")
    with Embeddings(path="femto", content=True).load(tmp_path / "saved") as again:
        assert again.count() == 2
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("")
    with pytest.raises(StoreError, match="expected a new folder"):
        embeddings.save(tmp_path / "theirs")
    with pytest.raises(StoreError, match="there is no index here"):
        embeddings.load(tmp_path / "none")


def test_the_configuration_is_saved_and_loaded(embeddings, tmp_path):
    embeddings.save(tmp_path / "saved")
    with Embeddings() as other:
        other.load(tmp_path / "saved")
        assert other.config == {"path": "femto", "content": True, "hybrid": False}
        assert other.search("a cat", 1)[0].keys() == {"id", "text", "score"}
        other.save(tmp_path / "again")
    with Embeddings({"path": "femto", "hybrid": True}) as plain:
        plain.index(TEXTS)
        plain.save(tmp_path / "again")
    with Embeddings(content=True).load(tmp_path / "again") as other:
        assert other.config == {"path": "femto", "content": False, "hybrid": True}
        assert other.search("a cat", 1)[0][0] == 0
    (tmp_path / "again" / "embeddings.json").unlink()  # as an older femtosearch saved it
    with Embeddings(path="femto", content=True).load(tmp_path / "again") as other:
        assert other.search("a cat", 1)[0]["id"] == "0"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{" * 50_000,
        b'{"content": 1}',
        b'{"path": ["a"]}',
        b'{"path": ""}',
        b'{"path": "a\\u0000"}',
        b'{"graph": true}',
        b'{"path": "' + b"a" * 5000 + b'"}',
        b'{"content": true}' + b" " * 70_000,
        b"\xff",
    ],
)
def test_a_configuration_that_is_none_is_told(embeddings, tmp_path, content):
    embeddings.save(tmp_path / "saved")
    (tmp_path / "saved" / "embeddings.json").write_bytes(content)
    with Embeddings() as other, pytest.raises(CorruptError, match="expected JSON of content"):
        other.load(tmp_path / "saved")


def test_nothing_is_read_through_a_link(embeddings, tmp_path):
    embeddings.save(tmp_path / "saved")
    secret = tmp_path / "secret"
    secret.write_bytes((tmp_path / "saved" / "embeddings.json").read_bytes())
    (tmp_path / "saved" / "embeddings.json").unlink()
    (tmp_path / "saved" / "embeddings.json").symlink_to(secret)
    with Embeddings() as other, pytest.raises(StoreError, match="a symbolic link"):
        other.load(tmp_path / "saved")
    (tmp_path / "saved" / "embeddings.json").unlink()
    (tmp_path / "saved" / "catalog.db").rename(tmp_path / "catalog.db")
    (tmp_path / "saved" / "catalog.db").symlink_to(tmp_path / "catalog.db")
    with Embeddings(path="femto") as other, pytest.raises(StoreError, match="a symbolic link"):
        other.load(tmp_path / "saved")


def test_a_score_is_the_mean_over_the_rows_that_are_asked_with():
    with Embeddings(path="femto") as embeddings:
        embeddings.index(TEXTS)
        broken, whole = "mid-\nnight for\ufb01x", "mid- night midnight forfix"
        rows = [len(embeddings.model.encode_queries([query]).rows) for query in (broken, whole)]
        assert rows[0] < rows[1]  # as the index asks
        (_, score), (_, expected) = embeddings.search(broken, 1)[0], embeddings.search(whole, 1)[0]
        assert score == pytest.approx(expected, abs=1e-6)


def test_sql_with_similar(embeddings):
    query = "select id, text, score from txtai where similar('a cat') and score > 0.1 and text like '%the%'"
    (best, *_) = embeddings.search(query)
    assert best["id"] == "0" and best["text"] == TEXTS[0] and best["score"] > 0.1
    assert len(embeddings.search("select id from txtai where similar(:q, 1)", parameters={"q": "a dog"})) == 1
    either = "select id from txtai where similar('it''s a moon', 1) or id = '0' order by id"
    assert [row["id"] for row in embeddings.search(either)] == ["0", "2"]
    assert embeddings.search("select count(*) n from txtai limit 1") == [{"n": 3}]


@pytest.mark.parametrize(
    "query",
    [
        "select * from sqlite_master, txtai",
        "select load_extension('x') from txtai",
        "select 1 from txtai; drop table txtai",
        "select * from txtai, pragma_table_info('txtai')",
        "select x from txtai where similar(5)",
        "select x from txtai where similar(:none)",
        "select from txtai",
        "select \0 from txtai",
        "with recursive n(x) as (select 1 union all select x + 1 from n) select max(x) from n, txtai",
        "select :none from txtai",
    ],
)
def test_sql_of_a_stranger_reads_nothing_else_and_ends(embeddings, query):
    if not is_sql(query):
        query = "select * from txtai where id in (" + query.replace("txtai", "n") + ")"
    with pytest.raises(QueryError):
        embeddings.search(query)
    assert embeddings.count() == 3


def test_sql_that_would_take_for_ever_is_given_up(embeddings, monkeypatch):
    monkeypatch.setattr("femtosearch.compat.txtai.sql.MOST_STEPS", 3)
    tables = ", ".join(f"txtai t{n}" for n in range(12))
    with pytest.raises(QueryError, match="interrupted"):
        embeddings.search(f"select count(*) from txtai, {tables} where t0.id + t11.id > 9")


def test_words_count_where_they_are_asked_for():
    with Embeddings(path="femto", content=True, hybrid=True) as embeddings:
        embeddings.index([*TEXTS, "part PX-7300 fits"])
        assert embeddings.search("px-7300 manual", 1)[0]["id"] == "3"
        assert embeddings.search("px-7300 manual", 1, weights=0.1)[0]["id"] == "3"


def test_a_statement_is_read():
    statement = read_statement(
        "SELECT a FROM txtai WHERE similar('x (y)', 5) OR b = 'similar(1)' LIMIT 7;", {}
    )
    assert statement.clauses == [("x (y)", 5)] and statement.limit == 7 and not statement.narrows
    assert statement.sql(3) == (
        "SELECT a FROM txtai WHERE \"similar 1\" OR b = 'similar(1)' ORDER BY score DESC LIMIT 7"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Embeddings(path="femto", graph={}), "graph: not supported here"),
        (lambda: Embeddings(path="femto").index([("a", "b", "c", "d")]), "found 4 parts"),
        (lambda: Embeddings(path="femto").index([(1.5, "b")]), "expected a string or a whole number"),
        (lambda: Embeddings(path="femto").index([5]), "text must be a string"),
        (lambda: Embeddings(path="femto").search("a", weights=0.5), "weights: expected a number"),
        (lambda: Similarity("femto"), "expected lateencode=True"),
    ],
)
def test_what_is_not_supported_is_told(call, message):
    with pytest.raises(FemtosearchError, match=message):
        call()


def test_several_queries_are_reranked(embeddings):
    ranker = Reranker(embeddings, Similarity("femto", lateencode=True))
    ranked = ranker(["a cat", "the moon"], limit=1)
    assert [[row["id"] for row in rows] for rows in ranked] == [["0"], ["2"]]
    with Embeddings(path="femto", content=True) as empty:
        assert Reranker(empty, Similarity("femto", lateencode=True))("a cat") == []


@pytest.mark.parametrize("several", ["a text", b"bytes", {"id": "a", "text": "b"}, None, 3])
def test_what_is_not_several_is_told_and_costs_nothing(embeddings, several):
    count = embeddings.count()
    for call in (embeddings.index, embeddings.upsert, embeddings.delete, embeddings.batchsearch):
        with pytest.raises(QueryError, match="expected a list, found "):
            call(several)
    assert embeddings.count() == count


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda embeddings: embeddings.search(None), "query: expected a string, found NoneType"),
        (lambda embeddings: embeddings.search("cat", "2"), "limit: expected a whole number"),
        (lambda embeddings: embeddings.search("select id from txtai", -1), "limit: expected a whole number"),
        (lambda embeddings: embeddings.batchsearch(["cat"], parameters=[{}, {}]), "as many as queries, 1"),
        (
            lambda embeddings: embeddings.search("select id from txtai where id = :a", parameters="a"),
            "parameters: expected a mapping, found str",
        ),
    ],
)
def test_arguments_of_another_kind_are_told(embeddings, call, message):
    with pytest.raises(QueryError, match=message):
        call(embeddings)


def test_it_is_saved_over_no_file(embeddings, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="expected a new folder"):
        embeddings.save(tmp_path / "file")


def test_ids_of_numpy_are_numbers():
    with Embeddings(path="femto") as embeddings:
        embeddings.index([(np.int64(7), "a cat")])
        assert embeddings.search("a cat", np.int64(1))[0][0] == 7
