"""Filters as mappings: each operator, and each mistake."""

from datetime import UTC, date, datetime

import pytest

from femtosearch.errors import QueryError
from femtosearch.index.where import Every, Negation, parse, read_filter


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"year": 2020}, "year = 2020"),
        ({"year": {"$eq": None}}, "year = null"),
        ({"year": {"$ne": True}}, "year != true"),
        ({"year": {"$gt": 1}}, "year > 1"),
        ({"year": {"$gte": 1.5}}, "year >= 1.5"),
        ({"year": {"$lt": "b"}}, "year < 'b'"),
        ({"year": {"$lte": date(2024, 5, 1)}}, "year <= 2024-05-01"),
        ({"year": {"$in": [1, "a"]}}, "year in (1, 'a')"),
        ({"year": {"$in": {1}}}, "year in (1)"),
        ({"year": {"$nin": (1,)}}, "year not in (1)"),
        ({"year": {"$contains": "x"}}, "year contains 'x'"),
        ({"year": {"$not_contains": "x"}}, "year not contains 'x'"),
        ({"year": {"$prefix": "x"}}, "year prefix 'x'"),
        ({"year": {"$glob": "x*"}}, "year ~ 'x*'"),
        ({"year": {"$exists": True}}, "year exists"),
        ({"year": {"$exists": False}}, "year not exists"),
        ({"year": {"$not": {"$gt": 1}}}, "not year > 1"),
        ({"year": {"$gt": 1, "$lt": 3}}, "year > 1 and year < 3"),
        ({"year": 1, "lang": "en"}, "year = 1 and lang = 'en'"),
        ({"$and": [{"year": 1}, {"lang": "en"}]}, "year = 1 and lang = 'en'"),
        ({"$or": [{"year": 1}, {"lang": "en"}]}, "year = 1 or lang = 'en'"),
        ({"$not": {"year": 1}}, "not year = 1"),
        ({"a.b": 1}, "a.b = 1"),
        ('year = "x"', "year = 'x'"),
    ],
)
def test_what_a_mapping_means(where, words):
    assert repr(read_filter(where)) == repr(parse(words))


def test_mappings_inside_mappings():
    filter = read_filter({"author": {"name": "Ada", "born": {"$lt": 1900}}})
    assert filter == Every((parse("`author`.name = 'Ada'"), parse("`author`.born < 1900")))


def test_dates_are_iso_text():
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert read_filter({"x": moment}) == parse("x = '2024-05-01T12:00:00+00:00'")


def test_no_filter_and_one_that_was_read():
    assert read_filter(None) is None and read_filter({}) is None
    assert read_filter(Negation(parse("a = 1"))) == Negation(parse("a = 1"))


def nested(levels, name):
    where = {"a": 1}
    for _ in range(levels):
        where = {name: [where]} if name != "$not" else {name: where}
    return where


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (5, "expected a mapping or a string, found int"),
        ([{"a": 1}], "expected a mapping or a string, found list"),
        ({1: 2}, "expected the name of a field, found '1'"),
        ({"": 2}, "expected the name of a field"),
        ({"$gt": 1}, r"expected a field, \$and, \$or or \$not, found '\$gt': put it inside a field"),
        ({"$nor": []}, r"found '\$nor'"),
        ({"a": {"$foo": 1}}, r"a: expected one of \$eq, .* found '\$foo'"),
        ({"a": {}}, "a: expected an operator such as"),
        ({"a": {"$eq": 1, "b": 2}}, "a: expected operators or fields, found both"),
        ({"a": {2: 2}}, "a: expected the name of a field, found '2'"),
        ({"a": [1, 2]}, r"a: expected text, a number, .* use \$in for several"),
        ({"a": b"x"}, "a: expected text, a number"),
        ({"a": {"$in": "abc"}}, r"a: \$in: expected a list of values, found 'abc'"),
        ({"a": {"$in": 3}}, r"a: \$in: expected a list of values"),
        ({"a": {"$in": [[1]]}}, r"a: \$in: expected text, a number"),
        ({"a": {"$gt": None}}, "expected text or a number to compare with, found None"),
        ({"a": {"$gt": False}}, "expected text or a number to compare with"),
        ({"a": {"$prefix": 3}}, "expected text, found 3"),
        ({"a": {"$exists": 1}}, "expected true or false, found 1"),
        ({"a": float("nan")}, "expected a finite number, found nan"),
        ({"a": 10**400}, "expected a finite number"),
        ({"a": 10**100_000}, "expected a finite number"),
        ({"a": "\ud800"}, "a has a lone surrogate at character 0: decode"),
        ({"$and": {}}, "expected a list of filters"),
        ({"$or": []}, "expected a list of filters"),
        ({"$or": [{}]}, "expected a filter, a mapping with a field"),
        ({"$or": ["a = 1"]}, "expected a filter, a mapping with a field"),
        ({"$not": 3}, "expected a filter, a mapping with a field"),
        (nested(60, "$not"), "nested deeper than 25"),
        (nested(900, "$or"), "nested deeper than 25"),
        ({"$or": [{"a": n} for n in range(501)]}, "more than 500 tests"),
    ],
)
def test_what_is_no_filter(where, message):
    with pytest.raises(QueryError, match=f"^where: .*{message}"):
        read_filter(where)
