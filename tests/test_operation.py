# SPDX-License-Identifier: MIT
"""The running service as its operator meets it: signals, reload, health, the command, twistd."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, fetch, reading, wait_accounted, wait_for

ROOT = Path(__file__).parent.parent
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tessmon' AND datname = current_database()"


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def tessmon(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tessmon", *arguments, "--config", str(service.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def running(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> Service:
    """A service with one photometer."""
    service = make_service(broker, database, web={"listen": f"127.0.0.1:{free_port()}"})
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the broker's session")
    publisher.register("stars1", "AA:BB:CC:00:00:01", tstamp="2026-01-01T00:00:00")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    return service


def port_of(service: Service) -> int:
    return int(service.tables["web"]["listen"].rpartition(":")[2])


def test_a_pause_closes_every_connection_survives_a_restart_and_loses_nothing(
    running: Service, publisher: Publisher, database: Any
) -> None:
    running.signal(signal.SIGUSR1)
    wait_for(lambda: running.lane_state() == "paused", "the pause")
    wait_for(lambda: database.fetch(SESSIONS) == [(0,)], "the end of the last session")
    publisher.publish(*reading("stars1", 1, tstamp="2026-02-01T00:00:01"))
    publisher.flush()
    running.stop()
    running.start()
    wait_for(lambda: running.lane_state() == "paused", "the pause to survive")
    wait_for(lambda: running.source_state() == "connected", "the broker's session")
    publisher.publish(*reading("stars1", 2, tstamp="2026-02-01T00:00:02"))
    publisher.flush()
    assert get(port_of(running), "/readyz")[0] == 503
    assert get(port_of(running), "/livez")[0] == 200
    assert database.fetch(SESSIONS) == [(0,)]
    assert database.fetch("SELECT count(*) FROM tess_readings_t") == [(0,)]
    running.signal(signal.SIGUSR2)
    wait_accounted(database.dsn, 3, running)
    assert database.fetch(
        "SELECT what FROM source_events WHERE what IN ('paused', 'resumed') ORDER BY at"
    ) == [
        ("paused",),
        ("resumed",),
    ]


def test_a_reload_takes_up_what_is_live_and_refuses_the_rest_as_a_whole(
    running: Service, publisher: Publisher, database: Any
) -> None:
    running.tables["photometer"] = {"deny": ["STARS1"]}
    running.write_config()
    running.signal(signal.SIGHUP)
    wait_for(lambda: "reloaded" in running.last_words(), "the reload")
    publisher.publish(*reading("stars1", 1))
    publisher.flush()
    assert wait_accounted(database.dsn, 2, running)["filtered denied"] == 1

    running.tables["photometer"] = {}
    running.tables["web"] = {"listen": "127.0.0.1:1"}
    running.write_config()
    running.signal(signal.SIGHUP)
    wait_for(lambda: "[web] listen" in running.last_words(), "the refusal")
    publisher.publish(*reading("stars1", 2))
    publisher.flush()
    assert wait_accounted(database.dsn, 3, running)["filtered denied"] == 2

    running.config.write_text("[photometer]\ndeny = 5\n")
    answer = tessmon(running, "reload")
    assert answer.returncode == 1
    assert running.alive


def test_topics_change_with_a_reload(running: Service, publisher: Publisher, database: Any) -> None:
    running.tables["mqtt"]["reading_topics"] = ["OTHER/+/reading"]
    running.write_config()
    running.signal(signal.SIGHUP)
    wait_for(
        lambda: fetch(
            database.dsn,
            "SELECT 1 FROM source_events WHERE what = 'subscribed' AND detail::text LIKE '%%OTHER%%'",
        ),
        "the new subscription",
    )
    topic, payload = reading("stars1", 1)
    publisher.publish(topic.replace("STARS4ALL", "OTHER"), payload)
    publisher.flush()
    assert wait_accounted(database.dsn, 2, running)["stored"] == 1


def test_an_orderly_stop_takes_seconds_and_exits_with_0(running: Service) -> None:
    assert running.stop() == 0
    assert not running.socket.exists()


def test_health_metrics_and_status_say_what_is(running: Service, publisher: Publisher, database: Any) -> None:
    publisher.publish(*reading("stars1", 1))
    publisher.publish("STARS4ALL/stars1/reading", b"nonsense")
    publisher.flush()
    wait_accounted(database.dsn, 3, running)
    port = port_of(running)
    assert get(port, "/livez")[0] == 200
    assert get(port, "/readyz")[0] == 200
    status, metrics = get(port, "/metrics")
    assert status == 200
    assert 'outcome="rejected"' in metrics
    assert 'cause="not_json"' in metrics
    assert get(port, "/nothing")[0] == 404
    shown = tessmon(running, "status")
    assert shown.returncode == 0, shown.stderr
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "photometer" in shown.stdout
    as_json = json.loads(tessmon(running, "status", "--json").stdout)
    assert as_json["lanes"][0]["state"] in ("idle", "running")
    journal = tessmon(running, "journal", "status", "--json")
    assert journal.returncode == 0, journal.stderr


def test_rejects_are_listed_shown_and_retried(running: Service, publisher: Publisher, database: Any) -> None:
    publisher.publish(*reading("stars1", 1, hash="FFF"))
    publisher.flush()
    wait_accounted(database.dsn, 2, running)
    listed = json.loads(tessmon(running, "rejects", "list", "--json").stdout)
    assert "hash_mismatch" in json.dumps(listed)
    ((reject_id,),) = database.fetch("SELECT reject_id FROM rejects")
    shown = tessmon(running, "rejects", "show", str(reject_id))
    assert shown.returncode == 0, shown.stderr
    assert '"hash": "FFF"' in shown.stdout
    database.execute("UPDATE tess_t SET mac_address = 'AA:BB:CC:00:0F:FF'")
    database.execute("UPDATE name_to_mac_t SET mac_address = 'AA:BB:CC:00:0F:FF'")
    retried = tessmon(running, "rejects", "retry", str(reject_id))
    assert retried.returncode == 0, retried.stderr
    wait_for(lambda: database.fetch("SELECT count(*) FROM tess_readings_t") == [(1,)], "the retried reading")
    assert database.fetch("SELECT count(*) FROM rejects") == [(0,)]
    assert wait_accounted(database.dsn, 2, running)["stored"] == 1


def test_twistd_runs_the_service_too(
    broker: Broker, publisher: Publisher, database: Any, make_service: Callable[..., Service]
) -> None:
    service = make_service(broker, database)
    command = [
        sys.executable,
        "-m",
        "twisted",
        "--log-format=text",
        "tessmon",
        "--config",
        str(service.config),
    ]
    with service.log.open("wb") as log:
        service.process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    wait_for(lambda: service.source_state() == "connected" or not service.alive, "the broker's session")
    assert service.alive, service.last_words()
    publisher.register("stars1", "AA:BB:CC:00:00:01")
    publisher.flush()
    wait_accounted(database.dsn, 1, service)
    service.signal(signal.SIGUSR1)
    wait_for(lambda: service.lane_state() == "paused", "the pause")
    assert service.stop() in (0, -signal.SIGTERM)


def test_a_wrong_configuration_is_one_clear_answer(tmp_path: Path) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text('[mqtt]\nbrokr = "mqtt://127.0.0.1"\nqos = 2\n')
    answer = subprocess.run(
        [sys.executable, "-m", "tessmon", "run", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert "brokr" in answer.stderr
    assert "qos" in answer.stderr
