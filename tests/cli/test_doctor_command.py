# SPDX-License-Identifier: MIT
"""``tessmon doctor`` as people run it: alone, beside the real service, and interrupted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tessmon.cli import main
from tessmon.config.model import Mqtt
from tessmon.demo.servers import Broker, PostgresServer
from tessmon.doctor.patience import Patience
from tessmon.doctor.probe import Account, Probe
from tests.observatory import Publisher, Service, reading, wait_accounted, wait_for
from tests.postgres import Database
from tests.scale import FULL

ROOT = Path(__file__).parents[2]
MANY = 100_000
VERDICTS = ("ok", "warning", "fault", "not checked")


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tessmon", "--config", str(config), "doctor", *arguments]


def doctor(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(config, *arguments), capture_output=True, text=True, timeout=120, cwd=ROOT)


def findings(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    """Subject → finding, from the command in this process."""
    code = main(["--config", str(config), "doctor", *arguments, "--json"])
    told = capsys.readouterr()
    assert told.err == ""
    found = {each["subject"]: each for each in json.loads(told.out)}
    assert code == (1 if any(each["verdict"] == "fault" for each in found.values()) else 0)
    return found


@pytest.fixture
def durable(postgres: PostgresServer) -> Iterator[None]:
    """The server as it should run; for tests it needn't reach the disk."""
    _restart(postgres, "on")
    yield
    _restart(postgres, "off")


def _restart(postgres: PostgresServer, fsync: str) -> None:
    postgres.stop("fast")
    postgres.settings["fsync"] = fsync
    postgres.start()


@pytest.fixture
def running(
    durable: None, make_service: Callable[..., Service], broker: Broker, database: Database
) -> Iterator[Service]:
    service = make_service(broker, database, journal={"max_bytes": 1 << 20})
    service.config.chmod(0o600)
    service.start()
    wait_for(lambda: service.source_state() == "connected", "the service to subscribe")
    yield service
    assert service.stop() == 0


def test_beside_a_service_it_finds_everything_and_hurts_nothing(
    running: Service, broker: Broker, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    done = doctor(running.config, "--messages", "1500")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith((*VERDICTS, " ")) for line in lines[:-2])
    text = " ".join(done.stdout.split())
    assert "ok broker queue: all 1500 messages were kept" in text
    assert "ok broker window: 1000 messages may be unacknowledged" in text
    assert "ok service configuration: the service does what the file says" in text
    assert re.fullmatch(r"\d+ ok, \d+ warning, \d+ not checked", lines[-1])
    _the_service_is_as_before(running, broker, database)
    running.tables["photometer"] = {"deny": ["stars9"]}
    running.write_config()
    running.config.chmod(0o600)
    changed = findings(running.config, capsys, "configuration")["service configuration"]
    assert changed["verdict"] == "warning"
    assert "deny" in changed["found"]
    assert changed["advice"] == "run tessmon reload"


def _the_service_is_as_before(service: Service, broker: Broker, database: Database) -> None:
    """One connection since its start, none of the doctor's messages, and it stores what comes next."""
    publisher = Publisher(broker, "publisher-doctor")
    publisher.register("stars1", "01:02:03:04:05:06")
    publisher.publish(*reading("stars1", 1))
    publisher.flush()
    publisher.close()
    wait_accounted(database.dsn, 2, service)
    status = service.status()
    assert status is not None
    assert status["sources"][0]["connects"] == 1
    assert status["sources"][0]["received"] == 2
    assert database.fetch("SELECT count(*) FROM rejects") == [(0,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM] if FULL else [signal.SIGINT])
def test_interrupted_it_leaves_no_session(broker: Broker, tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "tessmon.toml"
    config.write_text(f'[mqtt]\nbroker = "{broker.url}"\n')
    known = _publishers(broker)
    waiting = subprocess.Popen(
        command(config, "broker", "--messages", str(MANY)),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    [publisher] = wait_for(lambda: _many_times(_publishers(broker) - known, broker), "the doctor to publish")
    waiting.send_signal(number)
    _, told = waiting.communicate(timeout=60)
    assert (waiting.returncode, told) == (1, b"tessmon: interrupted\n")
    ours = Account(Mqtt(broker=broker.url), None, f"{publisher[:-1]}s", five=False, session_s=60)
    with Probe(ours, Patience(30)) as probe:
        assert not probe.session_present
    with Probe(ours._replace(session_s=None), Patience(30)):
        pass


def _publishers(broker: Broker) -> set[str]:
    """Client ids of doctors that publish, by the broker's log."""
    return set(re.findall(r"as (tessmon-doctor-\w+p) ", broker.log.read_text()))


def _many_times(ids: set[str], broker: Broker) -> set[str]:
    """Those that came a fourth time: limits, subscriptions and QoS 0 are behind them, the queue is measured."""
    log = broker.log.read_text()
    return {each for each in ids if len(re.findall(rf"as {each} ", log)) > 4}


def test_a_configuration_that_is_wrong_is_the_only_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tessmon.toml"
    config.write_text("[mqtt]\nbrokr = 1\nqos = 7\n")
    assert main(["--config", str(config), "doctor", "--json"]) == 1
    listed = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in listed] == ["fault", "fault"]
    assert "brokr" in listed[0]["found"]
    assert main(["--config", str(config), "doctor"]) == 1
    assert capsys.readouterr().out.endswith("\n\n2 fault\n")


def test_only_what_was_asked_for_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "tessmon.toml"
    config.write_text(f'[journal]\ndirectory = "{tmp_path}"\nmin_free_bytes = 0\nmax_bytes = 1048576\n')
    assert set(findings(config, capsys, "journal")) == {"journal room", "journal disk", "journal sync"}
    assert {each.split()[0] for each in findings(config, capsys, "unit", "journal")} == {"journal", "unit"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["broker", "nonsense"],
        ["--messages", "-1"],
        ["--messages", "100001"],
        ["--messages", "few"],
    ],
)
def test_wrong_usage_of_the_doctor_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["doctor", *arguments])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("usage: tessmon doctor")
