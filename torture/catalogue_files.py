"""Catalogues with changed bytes, and with what SQL can do to them."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from torture.counts import Counts
from torture.mutations import changed
from torture.operations import State
from torture.rounds import share
from torture.sandbox import Case, try_all
from torture.template import make, use

_CASES = 60  # with changed bytes in one round
_TABLES = ("meta", "documents", "segments", "dead", "fde")
_ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT"
_VALUES = ("NULL", "-1", "9223372036854775807", "0.5", "'x'", "''", "x'ff'", "zeroblob(1000000)")


def catalogues(place: Path, seed: int, counts: Counts) -> None:
    """Change the catalogue of an index, and use that."""
    rng = random.Random(seed)
    state = make(place / "template", rng)
    scripts = _scripts(place / "template")
    cases = [_bytes(place, state, rng.random(), number) for number in range(share(_CASES))]
    cases += [_sql(place, state, script) for script in rng.sample(scripts, min(share(30), len(scripts)))]
    try_all(cases, place, counts)


def _bytes(place: Path, state: State, chance: float, number: int) -> Case:
    def attempt() -> None:
        rng = random.Random(chance)
        folder = place / f"{number}"
        shutil.copytree(place / "template", folder)
        path = folder / "catalog.db"
        path.write_bytes(changed(path.read_bytes(), rng))
        if rng.random() < 0.1:
            (folder / "catalog.db-wal").write_bytes(rng.randbytes(5000))
        use(folder, state, forged=False)
        shutil.rmtree(folder)

    return "catalogues, bytes", f"case {number}", attempt


def _sql(place: Path, state: State, script: tuple[str, str]) -> Case:
    topic, statements = script

    def attempt() -> None:
        folder = place / "sql"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(place / "template", folder)
        with closing(sqlite3.connect(folder / "catalog.db")) as connection, suppress(sqlite3.Error):
            connection.executescript(statements)
        use(folder, state, forged=topic == "catalogues, values")

    return topic, statements, attempt


def _scripts(folder: Path) -> list[tuple[str, str]]:
    """(topic, statements): other schemas, and other values in a schema that is right."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        columns = {
            table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] for table in _TABLES
        }
    return [("catalogues, schema", script) for script in _schemas(columns)] + [
        ("catalogues, values", script) for script in _others(columns)
    ]


def _schemas(columns: dict[str, list[str]]) -> list[str]:
    scripts = ["VACUUM; PRAGMA user_version = 99", "PRAGMA application_id = 1", "PRAGMA user_version = -1"]
    for table, names in columns.items():
        if not names:
            continue
        endless = ", ".join(f"x AS {name}" for name in names)
        same = ", ".join(names)
        aside = f"ALTER TABLE {table} RENAME TO aside;"
        scripts += [
            f"{aside} CREATE VIEW {table} AS {_ENDLESS} {endless} FROM c",
            f"{aside} CREATE VIEW {table} AS SELECT {same} FROM aside",
            f"{aside} CREATE TABLE {table} ({same})",
            f"DROP TABLE {table}",
            f"ALTER TABLE {table} ADD COLUMN extra",
            f"ALTER TABLE {table} RENAME COLUMN {names[-1]} TO extra",
            f"CREATE INDEX extra ON {table} ({names[0]})",
            *_triggers(table),
        ]
    return scripts


def _triggers(table: str) -> list[str]:
    return [
        f"CREATE TRIGGER t AFTER {event} ON {table} BEGIN {action}; END"
        for event in ("INSERT", "DELETE")
        for action in (
            "DELETE FROM documents WHERE id <> '0'",
            "INSERT INTO dead SELECT key FROM documents",
            f"INSERT INTO dead {_ENDLESS} x FROM c",
            "SELECT RAISE(ROLLBACK, 'no')",
        )
    ]


def _others(columns: dict[str, list[str]]) -> list[str]:
    scripts = [
        f"UPDATE sqlite_sequence SET seq = {value}"
        for value in ("9223372036854775807", "0", "-5", "'x'", "NULL")
    ]
    for table, names in columns.items():
        scripts += [f"DELETE FROM {table}"]
        scripts += [f"UPDATE OR IGNORE {table} SET {name} = {value}" for name in names for value in _VALUES]
        scripts += [
            f"UPDATE OR IGNORE {table} SET {name} = {name} + {step}"
            for name in names
            for step in (1, -1, 1 << 31)
        ]
    return scripts
