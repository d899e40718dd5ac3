"""Damage to SQLite files, among them GeoPackages: in their pages and in their tables."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tests.campaign.damage.documents import NUMBERS, TEXTS
from tests.campaign.damage.raw import damage_bytes

PAGE_SIZE_OFFSET = 16


def damage_database(data: bytes, rng: random.Random, scratch: Path) -> bytes:
    """Return a database with damaged bytes or pages, or with other values in its tables.

    Args:
        data: The file.
        rng: Random numbers.
        scratch: File that may be written.
    """
    action = rng.random()
    if action < 0.3:
        return damage_bytes(data, rng)
    if action < 0.6:
        return _damage_pages(data, rng)
    scratch.write_bytes(data)
    with closing(sqlite3.connect(scratch)) as database:
        for _ in range(rng.choice((1, 1, 2, 3))):
            with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                _change_table(database, rng)
                database.commit()
    changed = scratch.read_bytes()
    scratch.unlink()
    return changed


def _damage_pages(data: bytes, rng: random.Random) -> bytes:
    """Exchange, empty or repeat pages, or cut the file at a page."""
    size = int.from_bytes(data[PAGE_SIZE_OFFSET : PAGE_SIZE_OFFSET + 2], "big") or 1
    size = 65_536 if size == 1 else size
    pages = [data[start : start + size] for start in range(0, len(data), size)]
    first, second = rng.randrange(len(pages)), rng.randrange(len(pages))
    action = rng.randrange(5)
    if action == 0:
        pages[first], pages[second] = pages[second], pages[first]
    elif action == 1:
        pages[first] = bytes(size)
    elif action == 2:
        pages[first] = pages[second]
    elif action == 3:
        pages = pages[:first]
    else:
        pages[first] = damage_bytes(pages[first], rng)
    return b"".join(pages)


def _change_table(database: sqlite3.Connection, rng: random.Random) -> None:
    """Change a value, delete rows, drop or rename a table, or define a column anew."""
    tables = [
        name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    ]
    table = rng.choice(tables)
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    column = rng.choice(columns)
    action = rng.randrange(10)
    if action == 0:
        database.execute(f'DROP TABLE "{table}"')
    elif action == 1:
        database.execute(f'DELETE FROM "{table}" WHERE rowid % 2 = {rng.randrange(2)}')
    elif action == 2:
        database.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "x y"')
    elif action == 3:
        database.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
    else:
        value = rng.choice((None, b"GP\0\1", b"", rng.randbytes(30), *NUMBERS[:-2], *TEXTS))
        where = rng.choice(("", f" WHERE rowid = {rng.randrange(1, 5)}"))
        database.execute(f'UPDATE OR REPLACE "{table}" SET "{column}" = ?{where}', (value,))
