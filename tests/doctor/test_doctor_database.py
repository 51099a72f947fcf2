# SPDX-License-Identifier: MIT
"""What the doctor finds in real databases: right ones, and such with one thing wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from tessmon.config import model
from tessmon.database.schema import SCHEMA_VERSION
from tessmon.demo.guarded import free_port
from tessmon.demo.programs import system_binaries
from tessmon.demo.servers import PostgresServer
from tessmon.doctor.database import reading
from tessmon.doctor.finding import Finding, Verdict
from tests.doctor.examined import configured, examined
from tests.observatory import wait_for
from tests.postgres import LOGINS, Database, fresh_database, running_server
from tests.sources.certificates import make_identity

OK, WARNING, FAULT, NOT_CHECKED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.NOT_CHECKED


def look(dsn: str, directory: Path, check: str = "database") -> dict[str, Finding]:
    return examined(check, configured(directory, database={"dsn": dsn}))


def troubles(found: dict[str, Finding]) -> set[str]:
    """Subjects that are not as they should be; the tests' server runs without fsync."""
    return {subject for subject, one in found.items() if one.verdict is not OK} - {"database durability"}


@contextmanager
def server_set(database: Database, **settings: str) -> Iterator[None]:
    """Settings of the whole server, for a while."""

    def asked(name: str) -> str:
        ((text,),) = database.fetch(f"SHOW {name}")
        return str(text)

    before = {name: asked(name) for name in settings}
    for name, text in settings.items():
        database.execute(f"ALTER SYSTEM SET {name} = '{text}'")
    database.execute("SELECT pg_reload_conf()")
    wait_for(
        lambda: all(asked(name) == text for name, text in settings.items()), "the server to take settings"
    )
    try:
        yield
    finally:
        for name in settings:
            database.execute(f"ALTER SYSTEM RESET {name}")
        database.execute("SELECT pg_reload_conf()")
        wait_for(
            lambda: all(asked(name) == text for name, text in before.items()), "the server to take them back"
        )


def test_a_good_database_has_no_trouble(unchanged_database: Database, tmp_path: Path) -> None:
    found = look(unchanged_database.dsn, tmp_path)
    assert troubles(found) == set()
    assert "as tessmon_writer" in found["database"].found
    assert {"database rights", "database partitions", "database commit", "database reader"} < set(found)
    assert found["database durability"].verdict is FAULT
    assert "fsync off" in found["database durability"].found


def test_the_doctor_can_change_nothing(unchanged_database: Database) -> None:
    settings = model.Database(dsn=unchanged_database.superuser_dsn)
    with pytest.raises(Exception, match="read-only"), reading(settings, None) as connection:
        connection.cursor().execute("DELETE FROM rejects")


def test_another_user_than_the_writer_is_judged_by_its_rights(
    unchanged_database: Database, tmp_path: Path
) -> None:
    reader = look(unchanged_database.reader_dsn, tmp_path)
    assert reader["database rights"].verdict is FAULT
    assert "tessmon_reader lacks" in reader["database rights"].found
    superuser = look(unchanged_database.superuser_dsn, tmp_path)
    assert superuser["database"].verdict is WARNING
    assert "is a superuser" in superuser["database rights"].found


def test_what_was_taken_from_the_roles_is_found(database: Database, tmp_path: Path) -> None:
    database.execute(
        "REVOKE INSERT ON rejects FROM tessmon_writer; REVOKE SELECT ON tess_t FROM tessmon_reader"
    )
    database.execute("DROP TABLE tess_readings_t CASCADE")
    found = look(database.dsn, tmp_path)
    assert "lacks INSERT on rejects" in found["database rights"].found
    assert "GRANT SELECT ON tess_t TO tessmon_reader" in found["database reader"].advice
    assert "table tess_readings_t is missing" in found["database objects"].found
    assert found["database commit"].verdict is OK


def test_an_old_schema_is_named_with_the_command_to_run(unchanged_database: Database, tmp_path: Path) -> None:
    move = "UPDATE schema_migrations SET version = version + %s WHERE version >= %s"
    unchanged_database.execute(move, [100, SCHEMA_VERSION])
    newer = look(unchanged_database.dsn, tmp_path)
    unchanged_database.execute(move, [-200, SCHEMA_VERSION])
    older = look(unchanged_database.dsn, tmp_path)
    unchanged_database.execute(
        "UPDATE schema_migrations SET version = %s WHERE version < 1", [SCHEMA_VERSION]
    )
    assert troubles(newer) == troubles(older) == {"database schema version"}
    assert "run tessmon db migrate" in older["database schema version"].found
    assert f"knows version {SCHEMA_VERSION}: install" in newer["database schema version"].found
    assert "database rights" not in older


def test_a_database_that_is_not_there_is_one_fault(
    unchanged_database: Database, postgres: PostgresServer, tmp_path: Path
) -> None:
    nowhere = look(f"host=127.0.0.1 port={free_port()} dbname=x user=x", tmp_path)
    assert "Connection refused" in nowhere["database"].found
    unknown = look(postgres.dsn("tessmon_writer", "nobody_made_it", LOGINS["tessmon_writer"]), tmp_path)
    assert "does not exist" in unknown["database"].found
    wrong = look(postgres.dsn("tessmon_writer", unchanged_database.name, "wrong"), tmp_path)
    assert "password authentication failed" in wrong["database"].found
    assert [set(found) for found in (nowhere, unknown, wrong)] == [{"database"}] * 3
    assert {found["database"].verdict for found in (nowhere, unknown, wrong)} == {FAULT}


def test_a_lock_on_our_tables_is_seen_and_not_waited_for(
    unchanged_database: Database, tmp_path: Path
) -> None:
    database = unchanged_database
    holder = psycopg2.connect(database.superuser_dsn)
    try:
        holder.cursor().execute("LOCK TABLE tess_readings_t IN SHARE MODE")
        found = look(database.dsn, tmp_path)["database locks"]
        assert found.verdict is WARNING
        assert f"process {holder.get_backend_pid()} has ShareLock on tess_readings_t" in found.found
        holder.cursor().execute("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
        found = look(database.dsn, tmp_path)
        assert "lock timeout" in found["database schema"].found
        assert "AccessExclusiveLock on schema_migrations" in found["database locks"].found
    finally:
        holder.close()


def test_settings_that_end_sessions_are_named(unchanged_database: Database, tmp_path: Path) -> None:
    name = unchanged_database.name
    unchanged_database.execute(f"ALTER DATABASE {name} SET idle_session_timeout = '5min'")
    found = look(unchanged_database.dsn, tmp_path)["database time-outs"]
    unchanged_database.execute(f"ALTER DATABASE {name} RESET idle_session_timeout")
    assert found.verdict is WARNING
    assert "idle_session_timeout = 5min" in found.found
    assert found.advice == "ALTER ROLE tessmon_writer SET idle_session_timeout = 0;"


def test_a_role_with_few_connections_is_warned(unchanged_database: Database, tmp_path: Path) -> None:
    unchanged_database.execute("ALTER ROLE tessmon_writer CONNECTION LIMIT 3")
    try:
        found = look(unchanged_database.dsn, tmp_path)["database connections"]
    finally:
        unchanged_database.execute("ALTER ROLE tessmon_writer CONNECTION LIMIT -1")
    assert found.verdict is WARNING
    assert found.found.startswith("2 of ")


def test_a_slot_that_nobody_uses_is_named(unchanged_database: Database, tmp_path: Path) -> None:
    unchanged_database.execute("SELECT pg_create_physical_replication_slot('left_over', true)")
    try:
        found = look(unchanged_database.dsn, tmp_path)["database slots"]
    finally:
        unchanged_database.execute("SELECT pg_drop_replication_slot('left_over')")
    assert found.verdict is WARNING
    assert "left_over" in found.found


def test_a_missing_password_file_of_systemd_is_not_guessed(tmp_path: Path) -> None:
    loaded = configured(tmp_path, database={"dsn": "host=127.0.0.1", "password_file": "credential:database"})
    found = examined("database", loaded)
    assert found["database"].verdict is NOT_CHECKED
    assert "CREDENTIALS_DIRECTORY" in found["database"].advice


def test_the_databases_certificate_is_judged(
    unchanged_database: Database, postgres: PostgresServer, tmp_path: Path, readable: Path
) -> None:
    """It counts as much as sslmode lets the service look at it."""
    dsn = unchanged_database.dsn
    without = look(dsn, tmp_path, "certificates")["certificate database"]
    assert (without.verdict, "none is needed" in without.found) == (OK, True)
    authority = make_identity(readable, "authority")
    server = make_identity(readable, "server", authority, days=(-30, -1))
    os.chown(server.key_file, postgres.data_directory.stat().st_uid, -1)
    server.key_file.chmod(0o600)
    files = {"ssl_cert_file": str(server.certificate_file), "ssl_key_file": str(server.key_file)}
    binaries = system_binaries()
    assert binaries is not None, "the wheel's server speaks no TLS: install the system's"
    with running_server(binaries=binaries, ssl="on", **files) as tls, fresh_database(tls) as database:
        dsn = database.dsn
        preferred = look(dsn, tmp_path, "certificates")["certificate database"]
        verified = look(f"{dsn} sslmode=verify-full", tmp_path, "certificates")["certificate database"]
        refused = look(f"{dsn} sslmode=verify-full sslrootcert={authority.certificate_file}", tmp_path)[
            "database"
        ]
    assert (preferred.verdict, verified.verdict) == (WARNING, FAULT)
    assert "has expired on" in verified.found
    assert "sslmode prefer" in preferred.found
    assert "certificate" in refused.found
