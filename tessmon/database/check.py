# SPDX-License-Identifier: MIT
"""Looks whether a database is as it should be: what ``tessmon db check`` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tessmon.database import objects
from tessmon.database.plain import connected, rows, value
from tessmon.database.references import check_references
from tessmon.database.roles import OWNER, WRITER
from tessmon.database.schema import TABLE_SQL, VERSION_SQL, fault_of_version, migrations

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PlainConnection  # noqa: N812

REFERENCES_BUDGET_S = 60.0
"""For looking through the fact tables [s]."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: one or two words.
        ok: whether it is as it should be.
        sentence: what was found and, where it is wrong, what to do.
    """

    name: str
    ok: bool
    sentence: str


def check(
    dsn: str, *, password: str | None = None, references_budget_s: float = REFERENCES_BUDGET_S
) -> list[Finding]:
    """Look at everything; nothing is changed.

    Args:
        dsn: the database, with a user who may read the tables.
        password: of that user; else libpq's own ways.
        references_budget_s: no more time than this for the references of fact tables [s]; newest months first.

    Returns:
        Findings, the most important first. With a schema that this program does not know, only that one;
        where objects are missing, nothing of the rows.

    Raises:
        DatabaseError: the database can't be reached, or this user may not read it.
    """
    with connected(dsn, password) as connection:
        found = look_at_catalogue(connection)
        if not all(one.ok for one in found[:2]):
            return found
        found += [look(connection) for look in _LOOKS_AT_ROWS]
        complete, sentence = check_references(connection, references_budget_s)
        return [*found, Finding("references", complete, sentence)]


def look_at_catalogue(connection: PlainConnection) -> list[Finding]:
    """What can be seen without reading rows: version and objects first. With an unknown schema, only the version.

    Raises:
        psycopg2.Error: this user may not see it.
    """
    schema = _schema_version(connection)
    if not schema.ok:
        return [schema]
    return [schema, _missing_objects(connection), *(look(connection) for look in _LOOKS_AT_CATALOGUE)]


def _schema_version(connection: PlainConnection) -> Finding:
    found = rows(connection, VERSION_SQL) if value(connection, TABLE_SQL) else []
    fault = fault_of_version(found[0] if found else None)
    return Finding("schema version", fault is None, fault or f"version {found[0][0]}")


def _migrations(connection: PlainConnection) -> Finding:
    known = {one.version: (one.name, one.digest) for one in migrations()}
    applied = {
        version: (name, digest)
        for version, name, digest in rows(connection, "SELECT version, name, digest FROM schema_migrations")
    }
    different = sorted(version for version in known if applied.get(version) != known[version])
    if not different:
        return Finding("migrations", True, f"all {len(known)} as this tessmon has them")
    numbers = ", ".join(map(str, different))
    return Finding(
        "migrations",
        False,
        f"migrations {numbers} differ from those of this tessmon: install the release that made this database",
    )


def _missing_objects(connection: PlainConnection) -> Finding:
    owners = {(kind, name): owner for kind, name, owner in rows(connection, objects.PRESENT_SQL)}
    faults = [f"{kind} {name} is missing" for kind, name in sorted(objects.EXPECTED - owners.keys())]
    faults += [
        f"{kind} {name} belongs to {owners[kind, name]} instead of {OWNER}"
        for kind, name in sorted(objects.EXPECTED & owners.keys())
        if owners[kind, name] != OWNER
    ]
    if not faults:
        return Finding("objects", True, f"all {len(objects.EXPECTED)} are there")
    return Finding("objects", False, "; ".join(faults) + ": restore them from a backup or a fresh database")


def _foreign_objects(connection: PlainConnection) -> Finding:
    present = {(kind, name) for kind, name, _ in rows(connection, objects.PRESENT_SQL)}
    listed = rows(connection, _PARAMETER_VIEWS_SQL) if ("table", "vlbimon_parameters") in present else []
    ours = objects.EXPECTED | {("view", name) for (name,) in listed}
    foreign = [f"{kind} {name}" for kind, name in sorted(present - ours)]
    named = ", ".join(foreign)
    return Finding("foreign objects", True, f"not ours, left alone: {named}" if foreign else "none")


_PARAMETER_VIEWS_SQL = "SELECT view_name FROM vlbimon_parameters WHERE view_name IS NOT NULL"

_FAULTY_VIEWS_SQL = """
SELECT p.view_name || CASE WHEN c.oid IS NULL THEN ' is missing' WHEN c.relkind <> 'v' THEN ' is no view'
                           ELSE ' belongs to ' || pg_get_userbyid(c.relowner) END
FROM vlbimon_parameters AS p
LEFT JOIN pg_class AS c ON c.relname = p.view_name AND c.relnamespace = 'public'::regnamespace
WHERE p.view_name IS NOT NULL AND (c.relkind = 'v' AND pg_get_userbyid(c.relowner) = %s) IS NOT TRUE
ORDER BY p.view_name
"""
_WITHOUT_VIEW_SQL = (
    "SELECT count(*) FROM vlbimon_parameters WHERE view_name IS NULL AND datatype IS DISTINCT FROM 'none'"
)
_MOST_NAMED = 10


def _parameter_views(connection: PlainConnection) -> Finding:
    faults = [what for (what,) in rows(connection, _FAULTY_VIEWS_SQL, [OWNER])]
    if faults:
        listed = ", ".join(faults[:_MOST_NAMED])
        more = f" and {len(faults) - _MOST_NAMED} more" if len(faults) > _MOST_NAMED else ""
        return Finding(
            "parameter views",
            False,
            f"{listed}{more}: those that are missing are made when the service starts and gets a masterlist",
        )
    [(views,)] = rows(connection, "SELECT count(view_name) FROM vlbimon_parameters")
    [(without,)] = rows(connection, _WITHOUT_VIEW_SQL)
    rest = (
        f"; {without} parameters have none, as their names are no identifiers or are taken" if without else ""
    )
    return Finding("parameter views", True, f"all {views} are there{rest}")


_MISSING_RIGHTS_SQL = """
SELECT t.right_wanted || ' on ' || t.name
FROM unnest(%(tables)s, %(rights)s) AS t (name, right_wanted)
WHERE to_regclass('public.' || t.name) IS NOT NULL
  AND NOT has_table_privilege(%(role)s, 'public.' || t.name, t.right_wanted)
UNION ALL
SELECT t.right_wanted || ' on ' || t.name || '.' || t.column_name
FROM unnest(%(column_tables)s, %(columns)s, %(column_rights)s) AS t (name, column_name, right_wanted)
WHERE to_regclass('public.' || t.name) IS NOT NULL
  AND NOT has_column_privilege(%(role)s, 'public.' || t.name, t.column_name, t.right_wanted)
UNION ALL
SELECT 'EXECUTE on ' || f FROM unnest(%(functions)s) AS f
WHERE to_regprocedure('public.' || f) IS NOT NULL
  AND NOT has_function_privilege(%(role)s, 'public.' || f, 'EXECUTE')
UNION ALL
SELECT 'USAGE on schema public' WHERE NOT has_schema_privilege(%(role)s, 'public', 'USAGE')
UNION ALL
SELECT 'CONNECT on the database' WHERE NOT has_database_privilege(%(role)s, current_database(), 'CONNECT')
"""

_EXCESSIVE_RIGHTS_SQL = """
SELECT 'is a superuser' FROM pg_roles WHERE rolname = %(role)s AND rolsuper
UNION ALL
SELECT 'is a member of ' || %(owner)s WHERE pg_has_role(%(role)s, %(owner)s, 'MEMBER')
UNION ALL
SELECT 'may make objects in schema public (on PostgreSQL 14, let a superuser run tessmon db init)'
WHERE has_schema_privilege(%(role)s, 'public', 'CREATE')
"""


def _writer_rights(connection: PlainConnection) -> Finding:
    if not value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [WRITER]):
        return Finding("writer", False, f"the role {WRITER} is missing: run tessmon db init")
    return role_rights(connection, WRITER)


def role_rights(connection: PlainConnection, role: str) -> Finding:
    """Whether a role may do what the service does, and no more."""
    pairs = [
        (table, right)
        for table, rights in objects.WRITER_TABLE_RIGHTS.items()
        for right in rights.split(", ")
    ]
    triples = [
        (table, column, right) for table, right, columns in objects.WRITER_COLUMN_RIGHTS for column in columns
    ]
    arguments = {
        "tables": [table for table, _ in pairs],
        "rights": [right for _, right in pairs],
        "column_tables": [table for table, _, _ in triples],
        "columns": [column for _, column, _ in triples],
        "column_rights": [right for _, _, right in triples],
        "functions": list(objects.WRITER_FUNCTIONS),
        "role": role,
        "owner": OWNER,
    }
    missing = [what for (what,) in rows(connection, _MISSING_RIGHTS_SQL, arguments)]
    excessive = [what for (what,) in rows(connection, _EXCESSIVE_RIGHTS_SQL, arguments)]
    faults = [f"lacks {', '.join(missing)} (grant it)"] if missing else []
    faults += excessive
    if faults:
        return Finding("writer", False, f"{role} {'; '.join(faults)}")
    return Finding("writer", True, f"{role} has the rights it needs and no others")


_AMBIGUOUS_SQL = """
SELECT 'tess_t: MAC ' || mac_address FROM tess_t WHERE valid_state = 'Current'
GROUP BY mac_address HAVING count(*) > 1
UNION ALL
SELECT 'name_to_mac_t: MAC ' || mac_address FROM name_to_mac_t WHERE valid_state = 'Current'
GROUP BY mac_address HAVING count(*) > 1
UNION ALL
SELECT 'name_to_mac_t: name ' || name FROM name_to_mac_t WHERE valid_state = 'Current'
GROUP BY name HAVING count(*) > 1
"""


def _current_rows(connection: PlainConnection) -> Finding:
    ambiguous = [what for (what,) in rows(connection, _AMBIGUOUS_SQL)]
    if not ambiguous:
        return Finding("current rows", True, "one for each MAC and name")
    listed = ", ".join(ambiguous[:10])
    return Finding(
        "current rows",
        False,
        f"{len(ambiguous)} have more than one Current row, set all but one to Expired: {listed}",
    )


_MISSING_PARTITIONS_SQL = """
SELECT p.parent || ' ' || to_char(m.first_day, 'YYYY-MM')
FROM unnest(%s::text[]) AS p (parent),
     generate_series(date_trunc('month', now()), date_trunc('month', now()) + interval '1 month', interval '1 month')
         AS m (first_day)
WHERE to_regclass('public.' || p.parent || to_char(m.first_day, '_YYYY_MM')) IS NULL
"""


def _partitions(connection: PlainConnection) -> Finding:
    missing = [what for (what,) in rows(connection, _MISSING_PARTITIONS_SQL, [list(objects.PARTITIONED)])]
    if missing:
        return Finding("partitions", False, f"missing: {', '.join(missing)}; tessmon db init makes them")
    return Finding("partitions", True, "there are those of this month and the next")


_MISSING_DAYS_SQL = """
SELECT count(*), min(d)::date::text
FROM generate_series(timestamp '2000-01-01', date_trunc('month', now()::timestamp) + interval '2 months - 1 day',
                     interval '1 day') AS d
WHERE NOT EXISTS (SELECT FROM date_t WHERE date_id = to_char(d, 'YYYYMMDD')::integer)
"""


def _calendar(connection: PlainConnection) -> Finding:
    [(days, first)] = rows(connection, _MISSING_DAYS_SQL)
    seconds = 86_400 - value(connection, "SELECT count(*) FROM time_t")
    if not days and not seconds:
        return Finding(
            "calendar", True, "every day from 2000 to the end of next month, every second of the day"
        )
    return Finding(
        "calendar",
        False,
        f"date_t lacks {days} days{f' from {first} on' if days else ''} and time_t {seconds} seconds: "
        f"as {OWNER}, run SELECT tessmon_add_dates('2000-01-01', '2050-12-31'), and restore time_t",
    )


_Look: TypeAlias = Callable[["PlainConnection"], Finding]
_LOOKS_AT_CATALOGUE: tuple[_Look, ...] = (_migrations, _foreign_objects, _writer_rights, _partitions)
_LOOKS_AT_ROWS: tuple[_Look, ...] = (_current_rows, _calendar, _parameter_views)
