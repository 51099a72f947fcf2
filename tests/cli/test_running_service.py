# SPDX-License-Identifier: MIT
"""The command beside the real service, with a real broker and a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tessmon.demo.guarded import free_port
from tessmon.demo.servers import Broker
from tests.observatory import Publisher, Service, reading, wait_accounted, wait_for
from tests.postgres import Database

READINGS = 20
NONSENSE = 3


class Running:
    """A service that has stored readings of one photometer and refused nonsense."""

    def __init__(self, service: Service, database: Database, web_port: int) -> None:
        self.service = service
        self.database = database
        self.web_port = web_port

    def tessmon(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tessmon", "--config", str(self.service.config), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )

    def get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.web_port, timeout=60)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def connections(self) -> int:
        """Of the service to the database."""
        ((count,),) = self.database.fetch(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tessmon_writer' AND datname = current_database()"
        )
        return int(count)


@pytest.fixture
def running(make_service: Callable[..., Service], broker: Broker, database: Database) -> Iterator[Running]:
    port = free_port()
    service = make_service(broker, database, web={"listen": f"127.0.0.1:{port}"})
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the service to subscribe")
    publisher = Publisher(broker, f"publisher-{port}")
    publisher.register("stars1", "01:02:03:04:05:06")
    for number in range(READINGS):
        topic, payload = reading("stars1", number, tstamp=f"2026-03-01T22:00:{number:02}Z")
        publisher.publish(topic, payload)
    for _ in range(NONSENSE):
        publisher.publish("STARS4ALL/stars1/reading", b"nonsense")
    publisher.flush()
    publisher.close()
    wait_accounted(database.dsn, len(publisher.sent), service)
    yield Running(service, database, port)
    assert service.stop() == 0


def test_the_service_is_seen_and_steered(running: Running) -> None:
    """One walk through all commands: a service of its own for each would cost more than it tells."""
    _status_tells_what_was_stored(running)
    _metrics_tell_the_same(running)
    _journal_is_passed(running)
    _rejects_come_back(running)
    _a_pause_closes_every_connection(running)
    _signals_do_the_same(running)
    _a_reload_is_whole_or_refused(running)


def _status_tells_what_was_stored(running: Running) -> None:
    shown = running.tessmon("status")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"(not_json {NONSENSE})" in shown.stdout
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    status = json.loads(running.tessmon("status", "--json").stdout)
    assert status["sources"][0]["received"] == READINGS + NONSENSE + 1
    assert status["waiting"]["photometer"]["frames"] == 0


def _metrics_tell_the_same(running: Running) -> None:
    assert running.get("/livez")[0] == 200
    assert running.get("/readyz")[0] == 200
    code, text = running.get("/metrics")
    assert code == 200
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    rejected = [
        sample.value
        for sample in samples
        if sample.name == "tessmon_lane_records_total" and sample.labels["cause"] == "not_json"
    ]
    assert rejected == [NONSENSE]
    assert "stars1" not in text


def _journal_is_passed(running: Running) -> None:
    shown = running.tessmon("journal", "status")
    assert shown.returncode == 0
    assert "waiting for lane photometer: nothing" in shown.stdout


def _rejects_come_back(running: Running) -> None:
    """Nonsense stays nonsense: it is taken again, refused again and kept, due no more."""
    listed = json.loads(running.tessmon("rejects", "list", "--json").stdout)
    assert listed["counts"] == {"not_json": NONSENSE}
    shown = running.tessmon("rejects", "show", str(listed["rejects"][0]["reject_id"]))
    assert "nonsense" in shown.stdout
    assert running.tessmon("rejects", "retry", "--all").stdout.startswith(f"{NONSENSE} rejects are due")
    due = "SELECT count(*), count(*) FILTER (WHERE due) FROM rejects"
    wait_for(lambda: running.database.fetch(due) == [(NONSENSE, 0)], "the rejects to be taken again")


def _a_pause_closes_every_connection(running: Running) -> None:
    paused = running.tessmon("pause")
    assert paused.returncode == 0, paused.stderr
    assert running.connections() == 0
    shown = running.tessmon("status")
    assert shown.returncode == 1
    assert "state       paused" in shown.stdout
    assert running.get("/readyz")[0] == 503
    assert running.get("/livez")[0] == 200
    assert running.tessmon("resume").returncode == 0
    wait_for(lambda: running.tessmon("status").returncode == 0, "the service to write again")
    assert running.connections() > 0


def _signals_do_the_same(running: Running) -> None:
    running.service.signal(signal.SIGUSR1)
    wait_for(lambda: running.connections() == 0, "SIGUSR1 to pause")
    assert json.loads(running.tessmon("status", "--json").stdout)["paused"]["by"] == "SIGUSR1"
    running.service.signal(signal.SIGUSR2)
    wait_for(lambda: running.connections() > 0, "SIGUSR2 to resume")


def _a_reload_is_whole_or_refused(running: Running) -> None:
    service = running.service
    assert running.tessmon("reload").stdout == "nothing changed\n"
    service.tables["photometer"] = {"deny": ["stars9"]}
    service.write_config()
    assert "deny" in running.tessmon("reload").stdout
    service.tables["photometer"] = {"deny": 9}
    service.write_config()
    assert running.tessmon("pause").returncode == 0  # a mistake in the file keeps nobody from the service
    assert running.tessmon("resume").returncode == 0
    assert "deny" in running.tessmon("reload").stderr
    service.signal(signal.SIGHUP)
    wait_for(lambda: "the running configuration stays" in service.last_words(), "SIGHUP to be refused")
    service.tables["photometer"] = {}
    service.tables["journal"]["max_bytes"] = 1 << 30
    service.write_config()
    refused = running.tessmon("reload")
    assert refused.returncode == 1
    assert "restart" in refused.stderr
