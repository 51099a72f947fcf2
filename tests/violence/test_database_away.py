# SPDX-License-Identifier: MIT
"""The database stops, freezes, is away, ends our sessions: no row is lost, none is doubled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from tessmon.demo.servers import Broker, PostgresServer
from tests import scale
from tests.observatory import (
    Publisher,
    Service,
    fetch,
    in_background,
    reading,
    stamp,
    wait_accounted,
    wait_for,
)

PHOTOMETERS = 20
COUNT = 4000


@pytest.fixture
def loaded(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> tuple[Service, Publisher, list[tuple[str, dict[str, Any]]]]:
    """A service with registered photometers, and messages to publish."""
    service = make_service(broker, database)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    for n in range(PHOTOMETERS):
        publisher.register(f"stars{n}", f"AA:BB:CC:00:00:{n:02X}", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, PHOTOMETERS, service)
    return service, publisher, [_message(n) for n in range(COUNT)]


@pytest.mark.parametrize("how", ["fast", "immediate", "killed"])
def test_a_database_that_stops_in_mid_load_costs_nothing(
    how: str, loaded: Any, database: Any, postgres: PostgresServer
) -> None:
    service, publisher, messages = loaded
    with in_background(publisher.at_rate, messages, scale.KILL_RATE_HZ):
        _wait_rows(database.dsn, COUNT // 5)
        if how == "killed":
            postgres.kill()
        else:
            postgres.stop(how)  # type: ignore[arg-type]
        wait_for(lambda: service.lane_state() == "waiting", "the lane to wait")
        postgres.start()
    _assert_complete(service, publisher, database.dsn)


def test_a_database_that_is_frozen_costs_nothing(
    loaded: Any, database: Any, postgres: PostgresServer
) -> None:
    service, publisher, messages = loaded
    service.tables["writer"] = {"statement_timeout_s": 2}
    service.stop()
    service.write_config()
    service.start()
    with in_background(publisher.at_rate, messages, scale.KILL_RATE_HZ):
        _wait_rows(database.dsn, COUNT // 5)
        postgres.freeze()
        try:
            frozen_at = time.monotonic()
            wait_for(lambda: service.lane_state() == "waiting", "the lane to notice")
            left_s = scale.DATABASE_FREEZE_S - (time.monotonic() - frozen_at)
            time.sleep(max(left_s, 0))  # the length of the freeze
        finally:
            postgres.thaw()
    _assert_complete(service, publisher, database.dsn)


def test_a_database_that_is_away_at_the_start_is_waited_for(
    loaded: Any, database: Any, postgres: PostgresServer
) -> None:
    service, publisher, messages = loaded
    service.stop()
    postgres.stop()
    try:
        service.start()
        wait_for(lambda: service.source_state() == "connected", "the broker's session")
        assert service.lane_state() in ("starting", "waiting")
        for topic, payload in messages:
            publisher.publish(topic, payload)
        publisher.flush()
    finally:
        postgres.start()
    _assert_complete(service, publisher, database.dsn)


def test_backends_that_are_terminated_cost_nothing(
    loaded: Any, database: Any, postgres: PostgresServer
) -> None:
    service, publisher, messages = loaded
    terminated = 0
    with in_background(publisher.at_rate, messages, scale.KILL_RATE_HZ):
        while terminated < scale.BACKENDS_TERMINATED:
            found = wait_for(
                lambda: service.lane_state() in ("running", "idle") and _backends(postgres.superuser_dsn()),
                "a session of the service",
            )
            fetch(postgres.superuser_dsn(), "SELECT pg_terminate_backend(%s)", [found[0][0]])
            terminated += 1
            wait_for(
                lambda gone=found[0][0]: all(pid != gone for (pid,) in _backends(postgres.superuser_dsn())),
                "its end",
            )
    _assert_complete(service, publisher, database.dsn)


def test_a_commit_that_outlives_our_patience_is_not_repeated(
    broker: Broker, publisher: Publisher, loaded: Any, database: Any, postgres: PostgresServer
) -> None:
    """The server is frozen while it commits, the lane gives up and tries again, then the old commit goes on."""
    service, publisher, messages = loaded
    service.tables["writer"] = {"statement_timeout_s": 1}
    service.stop()
    service.write_config()
    _slow_commits(database)
    service.start()
    for topic, payload in messages[: COUNT // 4]:
        publisher.publish(topic, payload)
    publisher.flush()
    wait_for(lambda: _committing(postgres.superuser_dsn()), "a commit to begin")
    postgres.freeze()
    try:
        wait_for(
            lambda: service.last_words().count("waiting for the database") >= scale.FROZEN_COMMIT_TRIES,
            "the lane to give up and to try again",
        )
    finally:
        postgres.thaw()
    _assert_complete(service, publisher, database.dsn, COUNT // 4)


def _message(n: int) -> tuple[str, dict[str, Any]]:
    return reading(f"stars{n % PHOTOMETERS}", n, tstamp=stamp(n // PHOTOMETERS))


def _assert_complete(service: Service, publisher: Publisher, dsn: str, count: int = COUNT) -> None:
    publisher.flush()
    counted = wait_accounted(dsn, count + PHOTOMETERS, service)
    assert fetch(dsn, "SELECT sequence_number FROM tess_readings_t ORDER BY 1") == [
        (n,) for n in range(count)
    ]
    assert counted["stored"] == count, counted
    service.assert_quick()


def _wait_rows(dsn: str, count: int) -> None:
    wait_for(
        lambda: fetch(dsn, "SELECT count(*) FROM tess_readings_t")[0][0] >= count, f"the first {count} rows"
    )


def _backends(superuser_dsn: str) -> list[tuple[int]]:
    try:
        return fetch(  # type: ignore[return-value]
            superuser_dsn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'tessmon'"
        )
    except psycopg2.OperationalError:
        return []


def _slow_commits(database: Any) -> None:
    """A deferred trigger that sleeps at commit: the window in which a commit has begun and is not done."""
    database.execute(
        "CREATE FUNCTION tardy() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$"
    )
    database.execute(
        "CREATE CONSTRAINT TRIGGER tardy AFTER UPDATE ON positions DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION tardy()"
    )


def _committing(superuser_dsn: str) -> bool:
    return bool(
        fetch(
            superuser_dsn,
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'tessmon' AND wait_event = 'PgSleep'",
        )
    )
