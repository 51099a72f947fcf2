# SPDX-License-Identifier: MIT
"""Which schema this program knows: its numbered migrations, and whether a database has them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from importlib.resources import files
from typing import NamedTuple

from tessmon.database.session import Session
from tessmon.errors import SchemaError


class Migration(NamedTuple):
    """One SQL file: its number (from 1), name, text, and SHA-256 of the text."""

    version: int
    name: str
    sql: str
    digest: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All of them, in order. Applied to an empty database they make the schema."""
    found = []
    for file in (files("tessmon.database") / "migrations").iterdir():
        number, _, rest = file.name.partition("_")
        if number.isdecimal() and rest.endswith(".sql"):
            sql = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(number), rest.removesuffix(".sql"), sql, digest))
    return tuple(sorted(found))


SCHEMA_VERSION = migrations()[-1].version
"""The version this program works with: the number of the newest migration."""


def program_version() -> str:
    """Of the installed tessmon."""
    try:
        return metadata.version("tessmon")
    except metadata.PackageNotFoundError:  # run from a directory of sources
        return "unknown"


TABLE_SQL = "SELECT to_regclass('public.schema_migrations') IS NOT NULL"
VERSION_SQL = "SELECT version, program_version FROM public.schema_migrations ORDER BY version DESC LIMIT 1"


async def check_schema(connection: Session) -> None:
    """Make sure that the database has the schema that this program knows.

    Raises:
        SchemaError: it is too old, too new, or there is none; the text has both numbers and what to do.
        psycopg2.Error: the database's trouble.
    """
    [(exists,)] = await connection.query(TABLE_SQL)
    found = await connection.query(VERSION_SQL) if exists else []
    fault = fault_of_version(found[0] if found else None)
    if fault is not None:
        raise SchemaError(fault)


def fault_of_version(found: tuple[int, str] | None) -> str | None:
    """What is wrong with a database's schema version, and what to do.

    Args:
        found: the row of `VERSION_SQL`: newest version, and which tessmon made it; None when there is none.

    Returns:
        One sentence, or None when this program can work with it.
    """
    if found is None:
        return (
            f"the database has no tessmon schema (version 0), this tessmon {program_version()} "
            f"needs version {SCHEMA_VERSION}: run tessmon db init"
        )
    version, made_by = found
    if version < SCHEMA_VERSION:
        return (
            f"the database has schema version {version}, this tessmon {program_version()} "
            f"needs version {SCHEMA_VERSION}: run tessmon db migrate"
        )
    if version > SCHEMA_VERSION:
        return (
            f"the database has schema version {version}, this tessmon {program_version()} "
            f"knows version {SCHEMA_VERSION}: install tessmon {made_by} or newer"
        )
    return None
