"""txtai's SQL: order and scores of `similar`, ids of any type, paths into documents, endings, comments."""

import math
from datetime import date

import numpy as np
import pytest

from femtosearch.compat.txtai import Embeddings
from femtosearch.compat.txtai.statement import read_statement
from femtosearch.errors import QueryError

TEXTS = [
    "US tops 5 million confirmed virus cases",
    "Canada's last fully intact ice shelf has suddenly collapsed",
    "Beijing mobilises invasion craft along coast",
    "The National Park Service warns against a bear attack",
    "Maine man wins $1M from $25 lottery ticket",
    "Make huge profits without work, earn up to $100,000 a day",
]
DOCUMENTS = [
    {"text": text, "year": 2020 + n, "meta": {"a": {"b": n}, "list": [n]}} for n, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def embeddings():
    with Embeddings(path="femto", content=True) as embeddings:
        embeddings.index(DOCUMENTS)
        yield embeddings


@pytest.fixture(scope="module")
def best(embeddings):
    return [row["id"] for row in embeddings.search("win money", 6)]


def ids(embeddings, sql, *arguments, **options):
    return [row["id"] for row in embeddings.search(sql, *arguments, **options)]


@pytest.mark.parametrize(
    "condition",
    [
        "similar('win money') and year is not null",
        "year is not null and similar('win money')",
        "similar('win money') or year = 1",
        "similar('win money') and case when year > 1 then 1 else 0 end",
        "(similar('win money')) and not year = 1",
        "similar('win money') and year between 1 and 3000",
        "similar('win money') and id in (select id from txtai)",
    ],
)
def test_what_is_similar_comes_first(embeddings, best, condition):
    assert ids(embeddings, f"select id, score from txtai where {condition} limit 2") == best[:2]
    assert ids(embeddings, f"select id from txtai where {condition} order by id desc limit 2") == ["5", "4"]


def test_a_union_is_ordered_by_its_score(embeddings, best):
    either = "select id, score from txtai where similar('win money', 6) union all select id, 9 from txtai"
    assert ids(embeddings, f"{either} where id = '0' limit 3") == ["0", *best[:2]]
    without = "select id from txtai where similar('win money', 1) union select id from txtai where id = '0'"
    assert set(ids(embeddings, without)) == {best[0], "0"}
    assert embeddings.search("select count(*) n from txtai where similar('win money', 4)") == [{"n": 4}]
    outer = "select id from (select id, year from txtai where similar('win money', 1)) x, txtai limit 1"
    with pytest.raises(QueryError, match="ambiguous"):
        embeddings.search(outer)
    inner = "select id from txtai where id in (select id from txtai where similar('win money', 1))"
    assert ids(embeddings, inner) == best[:1]


@pytest.mark.parametrize(
    ("condition", "narrows"),
    [
        ("similar('a') and year is not null", True),
        ("not year and similar('a') and (b or c) group by x", True),
        ("not similar('a')", False),
        ("similar('a') = 0", False),
        ("similar('a') or b", False),
        ("(similar('a') or b) and c", False),
        ("b between 1 and similar('a')", False),
        ("b > (select avg(b) from txtai) and similar('a')", False),
        ("b group by c having d and similar('a')", False),
    ],
)
def test_only_what_is_similar_is_read_where_nothing_else_can_pass(condition, narrows):
    assert read_statement(f"select id from txtai where {condition}", {}).narrows is narrows


def test_what_is_not_similar_passes_where_it_may(embeddings, best):
    query = "select id from txtai where not similar('win money', 1) order by id limit 9"
    assert ids(embeddings, query) == sorted(set("012345") - {best[0]})


def test_scores_of_several_clauses_are_averaged(embeddings):
    def scores(condition):
        rows = embeddings.search(f"select id, score from txtai where {condition} limit 6")
        return {row["id"]: row["score"] for row in rows}

    money, bear = scores("similar('win money')"), scores("similar('a bear')")
    for joined in (" and ", " or "):
        both = scores(f"similar('win money'){joined}similar('a bear')")
        assert list(both.values()) == sorted(both.values(), reverse=True)
        for name, score in both.items():
            assert math.isclose(score, (money[name] + bear[name]) / 2, abs_tol=1e-6)


def test_ids_are_compared_as_texts(embeddings):
    assert ids(embeddings, "select id from txtai where id = 4") == ["4"]
    assert ids(embeddings, "select id from txtai where id in (1, 2) order by id") == ["1", "2"]
    assert ids(embeddings, "select id from txtai where id = :n", parameters={"n": 3}) == ["3"]


@pytest.mark.parametrize(("value", "found"), [(np.int64(2022), ["2"]), (2022.0, ["2"]), (1 << 80, [])])
def test_parameters_are_numbers_of_any_kind(embeddings, value, found):
    assert ids(embeddings, "select id from txtai where year = :y", parameters={"y": value}) == found


def test_parameters_are_dates():
    with Embeddings(path="femto", content=True) as embeddings:
        embeddings.index([{"text": "a", "day": date(2020, 1, 2)}])
        sql = "select day from txtai where day >= :day"
        assert embeddings.search(sql, parameters={"day": date(2020, 1, 1)}) == [{"day": "2020-01-02"}]


def test_endings(embeddings, best):
    query = "select id from txtai where similar('win money')"
    assert ids(embeddings, f"{query} limit 2 offset 2") == best[2:4]
    assert ids(embeddings, f"{query} limit 2, 3") == best[2:5]
    assert ids(embeddings, f"{query} offset 4") == best[4:]
    assert ids(embeddings, f"{query} limit :n offset :M", parameters={"n": 1, "M": 1}) == best[1:2]
    assert ids(embeddings, f"{query} limit 0") == []
    assert ids(embeddings, f"{query} -- the best; limit 1", 2) == best[:2]
    assert ids(embeddings, f"{query} /* all */ limit 9 ; -- 'twas all") == best
    assert ids(embeddings, "select id from txtai where id in (select id from txtai limit 2)", 1) == ["0"]
    assert len(embeddings.search("select id from txtai -- all")) == 3


def test_a_path_leads_into_a_document(embeddings):
    assert embeddings.search("select meta.a.b, id from txtai where meta.a.b = 3") == [
        {"meta.a.b": 3, "id": "3"}
    ]
    assert embeddings.search("select id from txtai where [meta.a.b] = 3") == [{"id": "3"}]
    assert embeddings.search("select t.id, t.year y from txtai t where t.year = 2021") == [
        {"id": "1", "y": 2021}
    ]
    assert embeddings.search("select txtai.id, meta.list, meta.none.x from txtai limit 1") == [
        {"id": "0", "meta.list": "[0]", "meta.none.x": None}
    ]
    assert embeddings.search("select t.id, t.absent from txtai as t limit 1") == [{"id": "0", "absent": None}]


def test_a_star_has_no_column_of_ours(embeddings):
    (row,) = embeddings.search("select * from txtai where similar('win money') limit 1")
    assert row.keys() == {"id", "text", "tags", "score", "data", "year", "meta"}


def test_a_field_may_be_called_similar():
    with Embeddings(path="femto", content=True) as embeddings:
        embeddings.index([{"text": "a cat", "similar": 5}])
        assert embeddings.search("select similar from txtai where similar = 5") == [{"similar": 5}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select id from txtai where similar('a', 5, other)", "at most a number of candidates"),
        ("select id from txtai where similar('a', 0.5)", "at most a number of candidates"),
        ("select id from txtai where similar('a'", "a bracket that closes it"),
        ("select id from txtai where similar('a", "a bracket that closes it"),
        ("select id from txtai where " + "similar('a') or " * 100 + "similar('a')", "at most 100 of them"),
        ("select name from txtai, sqlite_master", "SQL: "),
        ("select count(*) from txtai, sqlite_schema", "SQL: "),
        ("select name from txtai, pragma_table_list", "SQL: "),
        ("select id from txtai limit 1; attach 'x' as y", "SQL: "),
        ("select id from txtai where meta.a.b = 1 union select sql from sqlite_master", "SQL: "),
        ("select id from txtai limit 99999999999999999999", "SQL: "),
        ("select readfile('/etc/passwd') from txtai", "SQL: "),
    ],
)
def test_what_is_no_statement_of_this_table_is_told(embeddings, query, message):
    with pytest.raises(QueryError, match=message):
        embeddings.search(query)


def test_reading_a_long_statement_takes_no_time():
    for text in ("'" * 99_999, "[" * 100_000, '"' * 99_999, "/*" * 50_000, "a." * 50_000, "(" * 100_000):
        read_statement(f"select id from txtai where {text}", {})
