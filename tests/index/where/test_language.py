"""Filters in words: what they mean, and what is said of those that mean nothing."""

import pytest

from femtosearch.errors import QueryError
from femtosearch.index.where import Either, Every, Negation, Test, parse

YEAR = (("year",),)


@pytest.mark.parametrize(
    ("text", "operator", "operand"),
    [
        ("year = 2020", "in", (2020,)),
        ("year == -2.5e3", "in", (-2500.0,)),
        ("year > 2020", "gt", 2020),
        ("year>=2020", "gte", 2020),
        ("year < .5", "lt", 0.5),
        ("year <= 2024-05-01", "lte", "2024-05-01"),
        ("year <= 2024-05-01T12:30:00Z", "lte", "2024-05-01T12:30:00Z"),
        ('year = "a \\"b\\" \\u00e9"', "in", ('a "b" é',)),
        ("year = 'it''s'", "in", ("it's",)),
        ("year = TRUE", "in", (True,)),
        ("year = null", "in", (None,)),
        ("year IN (1, 'a', false)", "in", (1, "a", False)),
        ("year in [1]", "in", (1,)),
        ("year contains 'x'", "contains", "x"),
        ("year prefix 'x'", "prefix", "x"),
        ("year ~ 'docs/*'", "glob", "docs/*"),
        ("year exists", "exists", True),
    ],
)
def test_one_test(text, operator, operand):
    assert repr(parse(text)) == repr(Test(YEAR, operator, operand))  # for True == 1 == 1.0


@pytest.mark.parametrize(
    ("text", "positive"),
    [
        ("year != 1", "year = 1"),
        ("year <> 1", "year = 1"),
        ("year !~ 'a*'", "year ~ 'a*'"),
        ("year not in (1)", "year in (1)"),
        ("year not contains 1", "year contains 1"),
        ("year not prefix 'a'", "year prefix 'a'"),
        ("year not exists", "year exists"),
        ("not year = 1", "year = 1"),
    ],
)
def test_negatives(text, positive):
    assert parse(text) == Negation(parse(positive))


def test_or_binds_least_and_not_most():
    year, lang, x = (parse(text) for text in ("year = 1", "lang = 2", "x = 3"))
    assert parse("year = 1 or lang = 2 and x = 3") == Either((year, Every((lang, x))))
    assert parse("(year = 1 or lang = 2) and x = 3") == Every((Either((year, lang)), x))
    assert parse("not year = 1 AND lang = 2") == Every((Negation(year), lang))
    assert parse("not (year = 1 and not not lang = 2)") == Negation(Every((year, Negation(Negation(lang)))))


@pytest.mark.parametrize(
    ("field", "paths"),
    [
        ("a.b", (("a.b",), ("a", "b"))),
        ("content-type", (("content-type",),)),
        ("größe", (("größe",),)),
        ("`a b`", (("a b",),)),
        ("`a.b`.c", (("a.b", "c"),)),
        ("`a``b`", (("a`b",),)),
        ("not", (("not",),)),
        ("in", (("in",),)),
    ],
)
def test_fields(field, paths):
    assert parse(f"{field} = 1") == Test(paths, "in", (1,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at the end: expected the name of a field, found nothing"),
        ("year", "at the end: expected one of = != < <= > >= ~ !~, in, contains, prefix, exists"),
        ("year =", "at the end: expected a value, found nothing"),
        ("year = en", 'at character 8: expected a value .text stands in quotes: "en".'),
        ("year = 1 lang = 2", "at character 10: expected and, or, or the end, found 'lang'"),
        ("(year = 1", "at the end: expected and, or, or .,"),
        ("year = 'a", "character 8: a quote that does not end"),
        ("year = ;", "character 8: ';'"),
        ("year = 'a\\' ; DROP TABLE documents; --", "character 13: ';'"),
        ('year = "\\q"', "character 8: a wrong escape"),
        ('path = "C:\\docs"', "write .* for a backslash, or single quotes"),
        ("year in ()", "expected a value, found '.'"),
        ("year in (1", "at the end: expected , or .,"),
        ("year in 1", "expected . and a list of values, found '1'"),
        ("year not = 1", "expected in, contains, prefix or exists after not"),
        ("'year' = 1", "expected the name of a field"),
        ("a. = 1", "expected the name of a field"),
        ("year > true", "expected text or a number to compare with, found True"),
        ("year ~ 3", "expected text, found 3"),
        ("year = 1e999", "expected a finite number"),
        ("year = " + "9" * 400, "expected a finite number, found a whole number beyond floats"),
        ("year = " + "9" * 5000, "expected a finite number"),
        ("year ~ '" + "*a" * 20 + "'", "at most 16"),
        ("(" * 60 + "year = 1" + ")" * 60, "nested deeper than 25"),
        ("not " * 2000 + "year = 1", "nested deeper than 25"),
        ("x" * 200_000, "200,000 characters"),
    ],
)
def test_what_is_no_filter(text, message):
    with pytest.raises(QueryError, match=f"^where: .*{message}"):
        parse(text)
