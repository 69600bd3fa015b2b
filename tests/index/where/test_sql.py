"""Filters as SQL: beside a plain reading of them in Python, on random metadata."""

import json
import operator as operators
import random
import sqlite3

import pytest

from femtosearch.index import fields
from femtosearch.index.where import Either, Every, Negation, compile_filter, read_filter, values_of
from femtosearch.index.where.sql import LAST, Condition
from femtosearch.index.where.tree import paths_of

VALUES = [
    None, True, False, 0, 1, -1, 2, 1.0, 1.5, 0.1, 19.99, 2**53 + 1, 10**25, 1e22, 1e-300, "", "a", "b", "ab",
    "A", "é", "東京", "1", "true", "2024-05-01", "2024-05-01T10:00:00Z", "a'b", 'a"b', "%", "[a]", "a\nb",
    "x" * 300,
    "a\0b", "a\0", "\0", "\\u0000", "a\\", "\\\0", ["a\0b"], [], {},
    ["a"], ["a", "b", 1], [None, True], [["a"]], {"b": 1}, {"b": "a", "c": {"b": 2}},
]  # fmt: skip
FIELDS = ["a", "b", "c", "a.b", "it's", 'q"', "back\\slash", "$x", "a b", "é", "[0]", "*", "n\0m", "n"]
SCALARS = [value for value in VALUES if not isinstance(value, (list, dict))]


def database(documents):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE documents (key INTEGER PRIMARY KEY, id TEXT, text TEXT, metadata TEXT)")
    rows = [(n, f"id{n}", f"text {n}", json.dumps(d, ensure_ascii=False)) for n, d in enumerate(documents)]
    connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", rows)
    return connection


def passing(connection, where):
    condition = compile_filter(read_filter(where), fields.declared(connection))
    query = f"SELECT key FROM documents WHERE {condition.sql} ORDER BY key"
    return [key for (key,) in connection.execute(query, condition.parameters)]


def kind(value):
    if value is None or isinstance(value, bool):
        return str(value)
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def same(value, operand):
    if isinstance(value, int) and abs(value) >= 2**63:
        value = float(value)
    if isinstance(operand, int) and abs(operand) >= 2**63:
        operand = float(operand)
    return kind(value) == kind(operand) and value == operand


def values_at(metadata, path):
    value = metadata
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return []
        value = value[name]
    return [(value, False)] + ([(element, True) for element in value] if isinstance(value, list) else [])


def passes(filter, metadata):
    """What the filter says, in plain Python."""
    if isinstance(filter, Negation):
        return not passes(filter.filter, metadata)
    if isinstance(filter, Every):
        return all(passes(child, metadata) for child in filter.filters)
    if isinstance(filter, Either):
        return any(passes(child, metadata) for child in filter.filters)
    values = [pair for path in filter.paths for pair in values_at(metadata, path)]
    return any(one_passes(filter.operator, filter.operand, *pair) for pair in values)


def one_passes(operator, operand, value, listed):
    if operator == "exists":
        return not listed
    if isinstance(value, (list, dict)):
        return False
    if operator == "in":
        return any(same(value, each) for each in operand)
    if operator == "contains":
        texts = isinstance(value, str) and isinstance(operand, str)
        return same(value, operand) if listed else texts and operand in value
    if operator == "prefix":
        return isinstance(value, str) and value.startswith(operand)
    if operator == "glob":
        return isinstance(value, str) and value.startswith(operand.rstrip("*"))
    if kind(value) != kind(operand):
        return False
    compare = {"gt": operators.gt, "gte": operators.ge, "lt": operators.lt, "lte": operators.le}
    return compare[operator](ordered(value), ordered(operand))


def ordered(value):
    """A value as it is put in order: a NUL comes after every other character."""
    return value.replace("\0", LAST) if isinstance(value, str) else value


def random_filter(rng, depth=0):
    shape = rng.random()
    if depth < 3 and shape < 0.15:
        return {"$not": random_filter(rng, depth + 1)}
    if depth < 3 and shape < 0.4:
        return {
            rng.choice(["$and", "$or"]): [random_filter(rng, depth + 1) for _ in range(rng.randint(1, 3))]
        }
    operator = rng.choice(
        [
            "$eq",
            "$ne",
            "$gt",
            "$gte",
            "$lt",
            "$lte",
            "$in",
            "$nin",
            "$contains",
            "$prefix",
            "$glob",
            "$exists",
        ]
    )
    operand = rng.choice(SCALARS)
    if operator in ("$in", "$nin"):
        operand = rng.sample(SCALARS, 3)
    elif operator in ("$gt", "$gte", "$lt", "$lte"):
        operand = rng.choice([value for value in SCALARS if kind(value) in ("number", "str")])
    elif operator in ("$prefix", "$glob"):
        operand = rng.choice(["", "a", "[", "a\0", "\\", "2024", "é", "東"]) + (
            "*" if operator == "$glob" else ""
        )
    elif operator == "$exists":
        operand = rng.random() < 0.5
    return {rng.choice([name for name in FIELDS if not name.startswith("$")]): {operator: operand}}


def declare(connection, documents):
    """The tables of declared keys, for every other field."""
    connection.execute("CREATE TABLE keys (number INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE)")
    connection.execute("CREATE TABLE fields (number, kind, value, listed, key)")
    fields.declare(connection, [path for name in FIELDS[::2] for path in paths_of(name)])
    assert fields.differing(connection) == []


@pytest.mark.parametrize("declares", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_sql_and_python_agree(seed, declares):
    rng = random.Random(seed)
    documents = [
        {rng.choice(FIELDS): rng.choice(VALUES) for _ in range(rng.randint(0, 4))} for _ in range(150)
    ]
    connection = database(documents)
    if declares:
        declare(connection, documents)
    for _ in range(150):
        where = random_filter(rng)
        filter = read_filter(where)
        expected = [n for n, metadata in enumerate(documents) if passes(filter, metadata)]
        assert passing(connection, where) == expected, where


def test_the_documents_own_id_and_text():
    connection = database([{"id": "other"}, {}])
    assert passing(connection, {"id": "id1"}) == [1]
    assert passing(connection, {"text": {"$contains": "t 0"}}) == [0]
    assert passing(connection, 'id in ("id0", "id1") and not text ~ "*1"') == [0]


@pytest.mark.parametrize("hostile", ["'; DROP TABLE documents; --", "1) OR (1=1", '"', "\\", "?", ":a", "\0"])
def test_no_string_becomes_sql(hostile):
    connection = database([{hostile: hostile}, {"a": 1}])
    for where in ({hostile: hostile}, {"a": hostile}, {hostile: {"$prefix": hostile}}):
        sql = compile_filter(read_filter(where)).sql
        assert hostile not in sql.replace("?", "") or hostile in ("?", "\\")
        assert passing(connection, where) in ([0], [])
    assert len(passing(connection, {"a": 1})) == 1


def test_values_of_a_field():
    connection = database([{"t": ["a", "b"]}, {"t": "a"}, {"u": 1}])
    values = values_of(("t",), Condition("documents.key < ?", (9,)))
    rows = connection.execute(values.sql, values.parameters).fetchall()
    assert sorted(row for row in rows if row[1]) == [(0, 2, "a", 1), (0, 2, "b", 1), (1, 2, "a", 0)]


def test_many_operands_and_tests():
    connection = database([{"a": n} for n in range(100)])
    assert passing(connection, {"a": {"$in": list(range(50, 100_000))}}) == list(range(50, 100))
    assert len(passing(connection, {"$or": [{"a": n} for n in range(400)]})) == 100


@pytest.mark.parametrize(
    "where", [{"$or": [{"a": {"$ne": n}} for n in range(1, 501)]}, " and ".join(["a != 1"] * 500)]
)
def test_five_hundred_tests_are_a_filter_however_they_are_joined(where):
    assert passing(database([{"a": 0}]), where) == [0]


def test_the_deepest_filters_fit_on_the_stack_of_sqlites_parser():
    def tree(levels):
        return {["$or", "$and"][levels % 2]: [tree(levels - 1), tree(levels - 1)]} if levels else {"a.b": 1}

    connection = database([{"a": {"b": 1}}, {"a": 1}])
    where = tree(8)
    for level in range(16):
        where = {["$and", "$or"][level % 2]: [{"a.b.c": {"$ne": 2} if level % 2 == 0 else 2}, where]}
    condition = compile_filter(read_filter(where))
    facets = values_of(("a", "b"), condition)
    assert len(connection.execute(facets.sql, facets.parameters).fetchall()) == 1
    assert passing(connection, where) == [0]
