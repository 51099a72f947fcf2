# SPDX-License-Identifier: MIT
"""The database is away, and the service is paused: polls go on, the lag grows and returns, and nothing is missing."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from tessmon.demo.servers import PostgresServer
from tests import scale
from tests.observatory import Service, wait_for
from tests.postgres import Database
from tests.vlbimon_server import VlbimonServer, vlbimon_server
from tests.vlbimon_service import expected, source, swept, wait_stored, watching

__all__ = ["vlbimon_server"]

PERIOD_S = 0.25
PARAMETERS = ("telescope_onSource", "telescope_sourceName", "weather_tau225", "weather_windSpeed")


def test_polls_go_on_while_the_database_is_away_and_during_a_pause(
    tmp_path: Path,
    vlbimon_server: VlbimonServer,
    database: Database,
    other_database: Database,
    postgres: PostgresServer,
) -> None:
    """Two services ask one server. One is paused all the time; for a part of it the database of both is away."""
    period = {"period_s": PERIOD_S}
    waiting = watching(tmp_path / "waiting", vlbimon_server, database, vlbimon=period)
    paused = watching(tmp_path / "paused", vlbimon_server, other_database, vlbimon=period)
    services = (waiting, paused)
    try:
        for service in services:
            service.start()
        vlbimon_server.run(1.5 * scale.VLBIMON_PAUSED_S, 1.5, parameters=PARAMETERS)
        for service in services:
            wait_for(lambda service=service: _lane(service)["last_commit_ns"], "the first commit")
        began_s = time.monotonic()
        paused.signal(signal.SIGUSR1)
        wait_for(lambda: _lane(paused)["state"] == "paused", "the pause")
        postgres.stop()
        wait_for(lambda: _lane(waiting)["state"] == "waiting", "the lane to wait")
        polls = [source(service)["polls"] for service in services]
        _sleep_until(began_s + scale.VLBIMON_AWAY_S)
        for service, before in zip(services, polls, strict=True):
            assert source(service)["polls"] - before > 0.5 * scale.VLBIMON_AWAY_S / PERIOD_S / 2
            assert _lane(service)["lag_s"] > 0.5 * scale.VLBIMON_AWAY_S
        postgres.start()
        wait_for(lambda: _lane(waiting)["state"] in ("running", "idle"), "the lane to go on", 120)
        wait_settled_once(waiting)
        assert _lane(waiting)["lag_s"] < 5
        _sleep_until(began_s + scale.VLBIMON_PAUSED_S)
        assert _lane(paused)["state"] == "paused"
        assert _lane(paused)["lag_s"] > 0.8 * scale.VLBIMON_PAUSED_S
        paused.signal(signal.SIGUSR2)
        wait_for(lambda: not vlbimon_server.running(), "the end of the run")
        wait_for(lambda: _lane(paused)["lag_s"] < 5, "the lag to return")
        wanted = None
        for service, one in zip(services, (database, other_database), strict=True):
            swept(service)
            wanted = wanted or expected(vlbimon_server.received())
            wait_stored(wanted, one, service)
            service.assert_quick()
    finally:
        for service in services:
            service.end()


def wait_settled_once(service: Service) -> None:
    """Until what is in the journal now is in the database; more comes all the time."""
    status = service.status()
    assert status is not None
    newest = status["journals"][0]["newest"]
    wait_for(lambda: (_lane(service)["position"] or []) >= newest, "the lane to catch up", 120)


def _lane(service: Service) -> dict[str, Any]:
    status = service.status()
    assert status is not None, service.last_words()
    return status["lanes"][0]


def _sleep_until(moment_s: float) -> None:
    time.sleep(max(0.0, moment_s - time.monotonic()))  # the length of the outage
