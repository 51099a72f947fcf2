# SPDX-License-Identifier: MIT
"""From a vlbimon server to what dashboards ask for: the real service, TLS, passwords, two servers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.observatory import Service, wait_for
from tests.postgres import Database
from tests.vlbimon_server import PLAIN, SECURE, VlbimonServer, vlbimon_server
from tests.vlbimon_service import (
    accounted,
    events,
    expected,
    rows,
    sent,
    service,
    source,
    swept,
    wait_stored,
    watching,
)

__all__ = ["service", "vlbimon_server"]

STATUS = ("telescope_onSource", "telescope_sourceName", "telescope_observingMode", "if_1_systemTemp")


def test_what_a_station_says_is_what_a_dashboard_finds(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """With TLS and digest authentication; odd points cost themselves, and the file that ends it does."""
    vlbimon_server.set_keys("digest-sha256")
    service.tables["vlbimon"] |= {
        "servers": [vlbimon_server.secure_url],
        "ca_file": str(vlbimon_server.ca_file),
        "auth_file": str(vlbimon_server.auth_file(service.directory / "digest.yaml", scheme="digestauth")),
    }
    service.write_config()
    now_s = int(time.time())
    vlbimon_server.set(clients={"KP": {"KP central": {"recvTime": now_s, "version": "2.1"}}})
    vlbimon_server.receive(
        [
            ("KP", "telescope_onSource", now_s - 9, True),
            ("KP", "telescope_azimuthElevation", now_s - 8.5, "123.4+45.6"),
            ("KP", "weather_tau225", now_s - 8, [1, 2]),
            ("KP", "mystery_knob", now_s - 8, 1.5),
            ("NEWT", "telescope_sourceName", now_s - 7, "M87"),
            ("APEX", "weather_tau225", now_s - 7, None),
            ("APEX", "weather_pwv", now_s - 7, 1.1),
        ]
    )
    service.start()
    good = [point for point in vlbimon_server.received() if isinstance(point.value, bool | float | str)]
    wait_stored(expected(good), database, service)
    vlbimon_server.receive([("KP", "telescope_onSource", now_s, False)])

    def asked(sql: str) -> list[tuple[Any, ...]]:
        return database.fetch(sql.replace("$now", str(now_s)))

    wait_for(
        lambda: (
            asked("SELECT time, value FROM ts_param_telescope_onSource WHERE station = 'KP' ORDER BY time")
            == [(now_s - 9, 1), (now_s, 0)]
        ),
        "the next snapshot",
    )
    assert asked(
        "SELECT value FROM ts_param_bridge_events WHERE time > $now - 60 ORDER BY time, station"
    ) == [
        ("KP is on source",),
        ("NEWT source name is M87",),
        ("KP is off source",),
    ]
    assert asked("SELECT station, source, onsource FROM bridge_stationStatus WHERE source = 'M87'") == [
        ("NEWT", "M87", None)
    ]
    assert asked("SELECT value FROM ts_param_telescope_azimuthElevation_el") == [(45.6,)]
    assert asked("SELECT client, version FROM vlbimon_clients") == [("KP central", "2.1")]
    wait_for(lambda: source(service)["swept_s"] and not source(service)["sweeping"], "the first sweep")
    assert asked("SELECT subject, reason, count(*) FROM rejects GROUP BY 1, 2 ORDER BY 1") == [
        ("APEX", "null_value", 2),  # in the snapshot, and in the history
        ("KP", "list_value", 2),
    ]
    wait_for(lambda: accounted(database) == sent(vlbimon_server), "the same count on both sides")

    vlbimon_server.shut(SECURE)
    lag = "SELECT value FROM ts_param_bridge_totalLag WHERE station = 'bridge' ORDER BY time DESC LIMIT 1"
    [(before_s,)] = asked(lag)
    wait_for(lambda: asked(lag)[0][0] > before_s + 1, "the lag to grow while nobody answers")
    vlbimon_server.reopen(SECURE)
    wait_for(lambda: not source(service)["failures"], "the server again")
    assert {each.status for each in vlbimon_server.asked("history")} == {200}
    please = service.directory / "PLEASE-EXIT"
    please.touch()
    assert service.process is not None
    assert service.process.wait(30) == 0
    assert not please.exists()
    service.assert_quick()


def test_another_server_is_asked_when_the_first_is_gone(
    service: Service, vlbimon_server: VlbimonServer, database: Database
) -> None:
    """Both doors lead to the same array here, and have cursors of their own."""
    service.tables["vlbimon"] |= {
        "servers": [vlbimon_server.url, vlbimon_server.secure_url],
        "ca_file": str(vlbimon_server.ca_file),
    }
    service.write_config()
    now_s = int(time.time())
    vlbimon_server.receive([("KP", "weather_tau225", now_s - 5, 0.05)])
    service.start()
    wait_stored(expected(vlbimon_server.received()), database, service)
    vlbimon_server.shut(PLAIN)
    vlbimon_server.receive([("KP", "weather_tau225", now_s - 4, 0.06)])
    vlbimon_server.receive([("KP", "weather_tau225", now_s - 3, 0.07)])
    wait_stored(expected(vlbimon_server.received()), database, service)
    assert {each.door for each in vlbimon_server.asked("history")} == {PLAIN, SECURE}
    assert events(database).count("server_changed") == 1
    vlbimon_server.reopen(PLAIN)
    service.stop()
    service.start()
    wait_for(lambda: source(service)["server"] == vlbimon_server.url, "the preferred server")
    service.assert_quick()


def test_late_history_gives_the_events_and_status_of_an_undisturbed_run(
    tmp_path: Path,
    service: Service,
    vlbimon_server: VlbimonServer,
    database: Database,
    other_database: Database,
) -> None:
    """Two services ask one server, and one of them is away in the middle."""
    away = watching(tmp_path / "away", vlbimon_server, other_database)
    try:
        for each in (service, away):
            each.start()
            wait_for(lambda each=each: source(each)["polls"], "the first snapshot")
        vlbimon_server.run(600, 150, parameters=STATUS)
        wait_for(lambda: len(vlbimon_server.received()) > 200, "some points")
        away.stop()
        wait_for(lambda: not vlbimon_server.running(), "the end of the run")
        wanted = expected(vlbimon_server.received())
        for each, one in ((service, database), (away, other_database)):
            swept(each)
            wait_stored(wanted, one, each)
    finally:
        away.end()
    for sql in (
        "SELECT time, station, value FROM ts_param_bridge_events ORDER BY 1, 2, 3",
        "SELECT * FROM bridge_stationstatus ORDER BY station",
    ):
        found = database.fetch(sql)
        assert found == other_database.fetch(sql)
        assert len(found) > 10
    assert rows(database) == rows(other_database)
    service.assert_quick()
